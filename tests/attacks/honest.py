"""Files that harm nobody, as real programs write them: none may be called dangerous, and most are clean.

Those of `PLAIN` need no torch; `torch_files` writes the others.
"""

from __future__ import annotations

import argparse
import array
import bz2
import collections
import datetime
import decimal
import enum
import fractions
import gzip
import io
import lzma
import pathlib
import pickle
import random
import tarfile
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.corpus import pickles as p
from tests.corpus.stored import FIXTURES
from tests.corpus.torch_zip import pt


class Colour(enum.Enum):
    """An enumeration of a project: its name is unknown to everybody but that project."""

    RED = 1


_DEEP: Any = []
for _ in range(50):
    _DEEP = [_DEEP]
_CYCLE: list[Any] = [1]
_CYCLE.append(_CYCLE)

#: Values of Python's own types, as checkpoints hold them.
VALUES: dict[str, Any] = {
    "none": None,
    "numbers": [0, 1, -1, 255, 256, 65_536, 2**31, -(2**31), 2**63, 2**200, True, False, 1.5, float("inf"), 1j],
    "texts": ["", "a", "é", "\u202e", "x" * 300, "a\nb\0c", "\U0001f600", "{}", "os.system", "c os system"],
    "bytes": [b"", b"abc", bytes(range(256)), b"x" * 70_000, bytearray(b"abc"), bytearray(300)],
    "containers": [(), (1,), (1, 2, 3, 4), [], [[]], {}, {"a": {"b": [1, 2]}}, {1, 2}, frozenset({3}), _DEEP],
    "cycle": _CYCLE,
    "ordered": collections.OrderedDict(a=1, b=2),
    "defaults": collections.defaultdict(list, a=[1]),
    "defaults_int": collections.defaultdict(int, a=1),
    "deque": collections.deque([1, 2], maxlen=5),
    "counter": collections.Counter("hello"),
    "namespace": argparse.Namespace(lr=0.1, name="x", layers=[1, 2]),
    "datetime": [datetime.datetime(2024, 1, 2, 3, 4, 5), datetime.date(2024, 1, 2), datetime.timedelta(1, 2)],
    "datetime_zone": datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    "time": datetime.time(1, 2, 3),
    "paths": [pathlib.PurePosixPath("/a/b"), pathlib.PureWindowsPath("c:/a"), pathlib.Path("a/b")],
    "decimal": [decimal.Decimal("1.5"), fractions.Fraction(1, 3)],
    "uuid": uuid.UUID(int=5),
    "ranges": [range(3), range(0, 10, 2), slice(1, 2)],
    "complex": complex(1, 2),
    "arrays": array.array("d", [1.0, 2.0]),
    "hyperparameters": {"lr": 1e-3, "betas": (0.9, 0.999), "name": "resnet", "epochs": 3, "path": "/data/x.pkl"},
    "base64_text": {"token": "TWFuIGlzIGRpc3Rpbmd1aXNoZWQsIG5vdCBvbmx5IGJ5IGhpcyByZWFzb24=", "hash": "a" * 64},
    "vocabulary": {f"word{n}": n for n in range(2_000)},
    "source": "import os\nprint(os.getcwd())\n",
}
#: Known to be harmless only if one knows the type: these may be suspicious.
ODD = {"uuid", "decimal", "arrays", "time"}

ARRAYS: dict[str, Any] = {
    "float": np.arange(6.0).reshape(2, 3),
    "ints": [np.arange(3, dtype=kind) for kind in ("i1", "u1", "i2", "i4", "i8", "u8")],
    "bools": np.array([True, False]),
    "half": np.zeros(3, "f2"),
    "complex": np.zeros(3, "c16"),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">f8"),
    "empty": np.zeros((0, 3)),
    "text": np.array(["a", "bc"]),
    "bytes": np.array([b"a", b"bc"]),
    "dates": np.array(["2024-01-01"], "M8[D]"),
    "structured": np.zeros(2, [("a", "f4"), ("b", "i8")]),
    "objects": np.array([1, "a", None], dtype=object),
    "scalars": [np.float32(1), np.float64(2), np.int64(3), np.bool_(True), np.str_("x")],
    "dtypes": [np.dtype("f4"), np.dtype(">i2"), np.dtype("U3")],
    "random": np.random.RandomState(0),
    "random_state": np.random.RandomState(0).get_state(),
    "generator": np.random.default_rng(0),
}
_ODD_ARRAYS = {"generator", "random"}


def _npy(value: Any, **how: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, **how)
    return buffer.getvalue()


def _npz(save: Callable[..., None]) -> bytes:
    buffer = io.BytesIO()
    save(buffer, a=np.arange(3), b=np.zeros((2, 2)))
    return buffer.getvalue()


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def _tar(members: dict[str, bytes], mode: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def plain() -> Iterator[tuple[str, bytes, str]]:
    """Name, bytes, and the worst verdict that is right, of files that need no torch."""
    for protocol in range(6):
        for name, value in VALUES.items():
            yield f"{name}_{protocol}.pkl", pickle.dumps(value, protocol), "suspicious" if name in ODD else "clean"
        for name, value in ARRAYS.items():
            worst = "suspicious" if name in _ODD_ARRAYS else "clean"
            yield f"array_{name}_{protocol}.pkl", pickle.dumps(value, protocol), worst
    yield "enum.pkl", pickle.dumps(Colour.RED), "suspicious"
    state = (FIXTURES / "zip/state_dict.pt").read_bytes()
    for name, value in ARRAYS.items():
        if isinstance(value, np.ndarray):
            yield f"{name}.npy", _npy(value, allow_pickle=True), "clean"
    yield "plain.npz", _npz(np.savez), "clean"
    yield "packed.npz", _npz(np.savez_compressed), "clean"
    yield "state.pt.gz", gzip.compress(state), "clean"
    yield "weights.tar", _tar({"a/model.pt": state, "a/readme.txt": b"hello"}, "w:"), "clean"
    yield "weights.tar.gz", _tar({"a/model.pt": state}, "w:gz"), "clean"
    yield "several.zip", _zip({"a.pt": state, "b/c.pt": state, "config.json": b"{}"}), "clean"
    yield "packed.zip", _zip({"a.pt": state, "b.txt": b"words " * 50}, zipfile.ZIP_DEFLATED), "clean"


PLAIN: dict[str, tuple[bytes, str]] = {name: (data, worst) for name, data, worst in plain()}
#: One of every kind, for who must import what they need beforehand.
WARM_UP: dict[str, bytes] = {
    **{name: PLAIN[name][0] for name in PLAIN if not name.endswith(".pkl")},
    **{name: PLAIN[name][0] for name in PLAIN if name.endswith(("_0.pkl", "_4.pkl"))},
    "x.bz2": bz2.compress(pickle.dumps([1, 2])), "x.xz": lzma.compress(pickle.dumps([1, 2])),
    "x.lzma": lzma.compress(pickle.dumps([1, 2]), lzma.FORMAT_ALONE), "x.tar.bz2": _tar({"a": b"x"}, "w:bz2"),
    "x.tar.xz": _tar({"a": b"x"}, "w:xz"), "gz_in.zip": _zip({"a": gzip.compress(b"x")}),
    "bzip.zip": _zip({"a": b"x"}, zipfile.ZIP_BZIP2), "tar_in.zip": _zip({"a": _tar({"b": b"x"}, "w:")}),
    "unknown.pkl": p.pickled(p.global_("no", "thing")), "called.pt": pt(p.pickled(p.call("no", "thing", p.none()))),
    "text.pkl": pickle.dumps(["gASVBQAAAAAAAABLAUsChpQu" * 4, b"\x80\x04N." * 9, "00" * 40, "\\x00" * 40]),
    "wide.zip": _zip({f"m{n}": b"x" for n in range(3_000)}), "no_file": b"no file at all",
    "empty": b"", "short.zip": b"PK\3\4" + bytes(99),
}  # fmt: skip


def torch_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Write what programs save with torch; give each file and the worst verdict that is right."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2))
    objects: dict[str, Any] = {"state_dict": model.state_dict(), "tensor": torch.arange(3), "module": model}
    for kind in _optimizers(torch):
        weights = [nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))]
        optimizer = _stepped(kind, weights)
        objects[f"optimizer_{kind.__name__}"] = {"optimizer": optimizer.state_dict(), "epoch": 1}
        objects[f"optimizer_object_{kind.__name__}"] = optimizer
    for name in ("namespace", "datetime", "paths", "ordered", "defaults", "deque", "hyperparameters"):
        objects[f"checkpoint_{name}"] = {"model": model.state_dict(), "args": VALUES[name], "epoch": 3, "loss": 0.5}
    objects["checkpoint_rng"] = {
        "torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate(),
    }  # fmt: skip
    objects |= {f"module_{name}": made for name, made in _modules(nn).items()}
    for name, value in objects.items():
        worst = "suspicious" if name.startswith(("module", "optimizer_object")) else "clean"
        for suffix, how in {"zip": {}, "legacy": {"_use_new_zipfile_serialization": False}}.items():
            path = folder / f"{name}_{suffix}.pt"
            torch.save(value, path, **how)
            yield path, worst


def _optimizers(torch: Any) -> list[Any]:
    kinds = [kind for kind in vars(torch.optim).values() if isinstance(kind, type)]
    odd = (torch.optim.Optimizer, torch.optim.SparseAdam)
    return [kind for kind in kinds if issubclass(kind, torch.optim.Optimizer) and kind not in odd]


def _stepped(kind: Any, weights: list[Any]) -> Any:
    """An optimizer of that kind that has taken a step, so that it has a state."""
    matrices = [each for each in weights if each.ndim == 2] if kind.__name__ == "Muon" else weights
    optimizer = kind(matrices, lr=0.1)
    for each in matrices:
        each.grad = each.detach() * 0.5
    optimizer.step(lambda: sum(each.sum() for each in matrices))
    return optimizer


def _modules(nn: Any) -> dict[str, Any]:
    return {
        "linear": nn.Linear(2, 3), "lstm": nn.LSTM(2, 3, 2), "embedding": nn.Embedding(5, 3),
        "transformer": nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2),
        "list": nn.ModuleList([nn.Linear(1, 1), nn.Dropout()]), "dictionary": nn.ModuleDict({"a": nn.GELU()}),
        "attention": nn.MultiheadAttention(4, 2), "loss": nn.CrossEntropyLoss(), "parameters": nn.ParameterList(
            [nn.Parameter(nn.Linear(1, 1).weight.detach())]),
    }  # fmt: skip
