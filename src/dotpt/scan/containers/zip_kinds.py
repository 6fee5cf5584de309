"""Kinds of zip files besides torch.save's, by the names in them; and which of their records each kind accounts for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from dotpt.container.zip import ZipContainer
from dotpt.scan.containers import exported, old_scripts, packages
from dotpt.scan.session import Session

Account = Callable[[Session, ZipContainer], "set[str]"]


def _nothing(session: Session, container: ZipContainer) -> set[str]:
    return set()


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of zip file.

    Attributes:
        label: in words.
        account: says which records the others say everything of.
        code: the folder with TorchScript's texts, if there is one.
        compiled: whether sources in C are a part of its programs.
    """

    label: str
    account: Account = _nothing
    code: str | None = None
    compiled: bool = False


_EXPORTED = Kind("an exported PyTorch program (.pt2)", exported.account, compiled=True)
_PACKAGE = Kind("a torch.package archive", packages.account, code=".data/ts_code/")
_OLD_SCRIPT = Kind("a TorchScript program of torch 1.0 to 1.2", old_scripts.account, code="code/")
_MAR = Kind("a TorchServe model archive")
_ARRAYS = Kind("a NumPy .npz archive")
_OTHER = Kind("a zip archive")


def kind_of(names: Sequence[str]) -> Kind:
    """The kind of an archive with records of these names."""
    short = without_root(names)
    if ".data/extern_modules" in short or ".data/python_version" in short:
        return _PACKAGE
    if "archive_format" in short or any(name.startswith(("models/", "data/aotinductor/")) for name in short):
        return _EXPORTED
    if "model.json" in short and any(name.startswith(("tensors/", "code/")) for name in short):
        return _OLD_SCRIPT
    if "MAR-INF/MANIFEST.json" in names:
        return _MAR
    return _ARRAYS if names and all(name.endswith(".npy") for name in names) else _OTHER


def root_of(names: Collection[str]) -> str:
    """The one folder that all records lie in, with its slash; or nothing."""
    roots = {name.partition("/")[0] if "/" in name else None for name in names}
    root = roots.pop() if len(roots) == 1 else None
    return f"{root}/" if root else ""


def without_root(names: Collection[str]) -> set[str]:
    """The names, without the one folder that all records lie in."""
    root = root_of(names)
    return {name.removeprefix(root) for name in names}
