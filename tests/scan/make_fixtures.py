"""Writes the files of `fixtures/`: small ones by libraries that are not installed everywhere. Run where they are.

python tests/scan/make_fixtures.py       (joblib 1.6.0, numpy 2; torch 2.13 for the exported programs)
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "fixtures"


def joblib_files() -> None:
    """Arrays as joblib writes them: plain, of objects, in other orders and byte orders, with every compression."""
    import joblib
    import numpy as np

    several: dict[str, Any] = {
        "a": np.arange(10.0), "b": np.ones((3, 4), order="F"), "s": "x", "e": np.zeros(0), "i": np.array(3),
    }  # fmt: skip
    objects = [np.array([1, "a", {"k": np.ones(2)}], object), np.arange(4)]
    files: dict[str, tuple[Any, dict[str, Any]]] = {
        "array": (np.arange(6), {}), "several": (several, {}), "objects": (objects, {}),
        "protocol_2": (several, {"protocol": 2}), "fields": (np.zeros(3, [("a", "f4"), ("b", "i2")]), {}),
        "big_endian": (np.arange(3, dtype=">i4"), {}), "dates": (np.array(["2020"], "M8[D]"), {}),
        "matrix": (np.matrix([[1, 2]]), {}), "no_array": ({"n": 1}, {}),
    }  # fmt: skip
    files |= {
        f"packed_{how}": ([several, objects], {"compress": (how, 3)}) for how in ("zlib", "gzip", "bz2", "xz", "lzma")
    }
    for name, (value, options) in files.items():
        joblib.dump(value, HERE / f"{name}.joblib", **options)


def exported_programs() -> None:
    """A program of torch.export: weights that share a storage, constants, and one that was never saved alone."""
    import torch
    from torch import nn

    class Net(nn.Module):
        """Everything that lies in a folder of its own in the archive."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3, 4)
            self.tied = self.linear.weight
            self.part = nn.Parameter(torch.arange(16.0).reshape(4, 4)[1])
            self.narrow = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
            self.empty = nn.Parameter(torch.empty(0))
            self.register_buffer("aside", torch.ones(4), persistent=False)
            self.constant = torch.arange(4.0)

        def forward(self, x: Any) -> Any:
            """Use all of it."""
            return self.linear(x) + self.part + self.narrow + self.aside + self.constant

    program = torch.export.export(Net(), (torch.ones(2, 3),))
    torch.export.save(program, HERE / "net.pt2", extra_files={"note.txt": "hello"})


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    HERE.mkdir(exist_ok=True)
    joblib_files()
    exported_programs()
