"""Look at, check and use weights that other people published, with no torch in the environment."""

from __future__ import annotations

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

import dotpt
from dotpt.cli import main as command


def folder(package: str) -> Path:
    """Where a package lies, without importing it (these need torch; their files do not)."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        sys.exit(f"The package {package} is not installed. Try: make demo")
    return Path(spec.submodule_search_locations[0])


def run(where: Path, *words: str) -> None:
    """Show a command as a user types it, and run it in the folder ``where``."""
    if Path.cwd() != where:
        print(f"\n$ cd {where}")
        os.chdir(where)
    print(f"\n$ dotpt {shlex.join(words)}", flush=True)
    code = command(list(words))
    if code:
        sys.exit(code)


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


if __name__ == "__main__":
    main()
