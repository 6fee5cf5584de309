"""Rescue every file of a folder in a process where torch cannot be imported: ``python without_torch.py FOLDER``.

Of ``NAME.pt`` it writes ``NAME.out.pt``, the state dict, and prints as JSON what else was found.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


class NoTorch:
    """Whoever imports torch learns that it is not installed."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "torch" or name.startswith("torch."):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main(folder: Path) -> None:
    sys.meta_path.insert(0, NoTorch())
    import dotpt

    found = {}
    for path in sorted(folder.glob("*.pt")):
        with dotpt.rescue(path, backend="numpy") as rescued:
            rescued.save(path.with_suffix(".out.pt"))
            arrays = rescued.state_dict
            found[path.stem] = {
                "names": list(arrays),
                "shapes": {name: list(array.shape) for name, array in arrays.items() if hasattr(array, "shape")},
                "metadata": {name: dict(versions) for name, versions in rescued.metadata.items()},
                "order": list(rescued.metadata),
                "tree": str(rescued.tree),
                "notes": rescued.notes,
                "unknown": [needed.name for needed in rescued.unknown],
                "values": json.loads(json.dumps(rescued.values, default=str)),
            }
    assert "torch" not in sys.modules
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
