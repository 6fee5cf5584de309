"""Torch files inside pickles: ``pickle.dumps(tensor)`` writes each storage as a whole legacy file of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from dotpt.formats.contents import ReadOptions
from dotpt.pickling.values import GlobalName


def nested_reader(options: ReadOptions) -> Callable[[bytes], tuple[Any, list[GlobalName]]] | None:
    """The function that reads an embedded file, or None where they are embedded too deeply already."""
    if options.nested >= options.limits.nested_files:
        return None

    def read(data: bytes) -> tuple[Any, list[GlobalName]]:
        from dotpt.formats import read_contents
        from dotpt.source.memory import BytesSource

        contents = read_contents(BytesSource(data), replace(options, nested=options.nested + 1))
        return contents.tree, contents.globals

    return read
