"""Look at, check, use and save weights that other people published, with no torch in the environment."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dotpt
from dotpt.cli import main as command


def folder(package: str) -> Path:
    """Where a package lies, without importing it (these need torch; their files do not)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"The package {package} is not installed. Try: make demo")
    return Path(spec.submodule_search_locations[0])


def run(where: Path, *words: str, expected: int = 0) -> None:
    """Show a command as a user types it, and run it in the folder ``where``."""
    if Path.cwd() != where:
        print(f"\n$ cd {where}")
        os.chdir(where)
    print(f"\n$ dotpt {shlex.join(words)}", flush=True)
    code = command(list(words))
    if code != expected:
        sys.exit(code or 1)


def main() -> None:
    """Inspect, verify, print tensors."""
    print("torch is", "installed" if find_spec("torch") else "not installed", "in this environment.")
    faces = folder("facenet_pytorch") / "data"
    lpips = folder("lpips") / "weights"
    run(faces, "inspect", "onet.pt")
    run(faces, "verify", *sorted(path.name for path in faces.glob("*.pt")))
    run(faces, "show", "pnet.pt", "conv1.weight", "conv1.bias")
    run(lpips / "v0.1", "inspect", "vgg.pth")
    run(lpips, "verify", *sorted(str(path.relative_to(lpips)) for path in lpips.glob("*/*.pth")))
    print("\n>>> weights = dotpt.load('v0.1/vgg.pth')        # written years ago, under Python 2")
    weights = dotpt.load(lpips / "v0.1" / "vgg.pth")
    for name, array in weights.items():
        print(f"{name:22} {array.dtype} {array.shape}, mean {array.mean():.4f}")
    with tempfile.TemporaryDirectory() as desk:
        save(weights, Path(desk))


def save(weights: dict[str, Any], where: Path) -> None:
    """A file of our own, which torch opens: checked, noted in, and damaged on purpose."""
    print("\n>>> dotpt.save(weights, 'vgg.pt', metadata={'from': 'lpips v0.1'})")
    dotpt.save(weights, where / "vgg.pt", metadata={"from": "lpips v0.1"})
    run(where, "metadata", "vgg.pt", "license=bsd-2-clause")
    run(where, "verify", "vgg.pt")
    with dotpt.open(where / "vgg.pt") as archive:
        name, ref = list(archive.tensors.items())[-1]
        begin, _ = ref.byte_range or (0, 0)
    print(f"\nOne bit of {name} is turned round, as an old disk does it:")
    with (where / "vgg.pt").open("r+b") as file:
        file.seek(begin)
        byte = file.read(1)[0]
        file.seek(begin)
        file.write(bytes([byte ^ 1]))
    run(where, "verify", "vgg.pt", expected=1)


if __name__ == "__main__":
    main()
