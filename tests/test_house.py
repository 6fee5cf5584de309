"""The shape of the house: what is public, which way imports go, how large a file may be."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dotpt

SRC = Path(dotpt.__file__).parent
FILES = sorted(SRC.rglob("*.py"))
# The road a byte travels. A room may import from those before it, and from itself.
ROAD = (
    "errors", "limits", "source", "container", "tensors", "pickling", "formats",
    "signing", "archive", "saving", "rescue", "dropin", "inspect", "scan", "clean", "guard", "models", "training",
    "cli",
)  # fmt: skip
# An open archive offers the report on itself: the one look back, inside functions that are called when it is wanted.
LOOKS_BACK = {("archive/archive.py", "inspect")}

# errors.py takes the types of pickle's errors. guard/pickles.py puts a scan before pickle's own functions in programs
# that call them: it names them to replace them, and nothing is unpickled that the program would not have unpickled.
MAY_IMPORT_PICKLE = {"errors.py", "guard/pickles.py"}


def room_of(module: str) -> str | None:
    """The room of a module of ours, None for anything else."""
    parts = module.split(".")
    return parts[1] if parts[0] == "dotpt" and len(parts) > 1 else None


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it, for types only included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module == "dotpt":
                found |= {f"dotpt.{alias.name}" for alias in node.names}
    return found


def test_the_public_names_are_all_there_and_sorted() -> None:
    assert dotpt.__all__ == sorted(dotpt.__all__, key=lambda name: (name.islower(), name))
    assert len(dotpt.__all__) <= 30
    for name in dotpt.__all__:
        assert getattr(dotpt, name).__doc__, name


def test_public_names_say_that_they_are_of_dotpt() -> None:
    assert dotpt.load.__module__ == "dotpt"
    assert dotpt.UnsafeGlobal.__module__ == "dotpt"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dotpt.nothing


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_imports_go_one_way(path: Path) -> None:
    here = path.relative_to(SRC)
    room = here.parts[0].removesuffix(".py")
    if room not in ROAD:  # __init__ and __main__ stand outside the house
        return
    for module in imports_of(path):
        other = room_of(module)
        if other is None or other == room or other in ("__version__",):
            continue
        assert other in ROAD, f"{here} imports {module}, which is no room of the house"
        if (here.as_posix(), other) not in LOOKS_BACK:
            assert ROAD.index(other) <= ROAD.index(room), f"{here} imports {module}, which lies further down the road"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_only_files_named_so_import_torch(path: Path) -> None:
    importers = {module.partition(".")[0] for module in imports_of(path)}
    assert "torch" not in importers or path.name.startswith("torch_")
    assert (
        not importers & {"pickle", "_pickle", "marshal", "shelve", "dill"}
        or str(path.relative_to(SRC)) in MAY_IMPORT_PICKLE
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SRC)))
def test_no_file_is_a_hall(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 620, "a room is missing"
    assert ast.get_docstring(ast.parse("\n".join(lines))), "no module docstring"


@pytest.mark.parametrize("statement", ["import dotpt", "import dotpt.cli", "import dotpt.source, dotpt.errors"])
def test_importing_is_light(statement: str) -> None:
    code = f"{statement}; import sys; print({{'torch', 'numpy', 'rich', 'fsspec'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
