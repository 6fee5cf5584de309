"""Without its library an adapter says which extra brings it."""

from __future__ import annotations

import subprocess
import sys

import pytest

LIBRARIES = {
    "lightning": ("lightning", "pytorch_lightning"),
    "transformers": ("transformers",),
    "accelerate": ("accelerate",),
    "ignite": ("ignite",),
}


@pytest.mark.parametrize("extra", LIBRARIES)
def test_a_library_that_is_missing(extra):
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({LIBRARIES[extra]!r}))\n"
        "from dotpt.errors import MissingDependency\n"
        "try:\n"
        f"    import dotpt.training.adapters.{extra}\n"
        "except MissingDependency as error:\n"
        "    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith(f"is not installed. Try: pip install 'dotpt[{extra}]'")
