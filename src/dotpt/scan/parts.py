"""Tensors made of tensors: sparse and nested ones, whose indices must lie within their shape.

Whether they do stands in their bytes, not in the pickle, so these bytes are read. Where an index lies outside, torch
writes to memory that is not the tensor's (CVE-2025-62164).
"""

from __future__ import annotations

from dotpt.archive.archive import Archive
from dotpt.errors import DotptError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.scan.session import Session

_MAKERS = ("sparse", "nested", "jagged")


def judge_parts(session: Session, contents: Contents, options: ReadOptions) -> None:
    """Report sparse and nested tensors that load would refuse."""
    if not any(maker in name.name for name in contents.globals for maker in _MAKERS):
        return
    archive = Archive(contents, options)
    try:
        for address, ref in archive.tensors.items():
            if ref.parts:
                try:
                    archive.read_tensor(ref, "numpy")
                except DotptError as error:
                    session.add("bad-tensor", error.problem, hint=error.hint, name=address)
    except DotptError as error:  # the tree itself: too deep to be walked
        session.report(error)
