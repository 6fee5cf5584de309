"""Torch files inside pickles: ``pickle.dumps(tensor)`` writes each storage as a whole legacy file of its own."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from dotpt.formats.contents import ReadOptions
from dotpt.pickling.context import Nested
from dotpt.pickling.values import GlobalName


def nested_reader(options: ReadOptions) -> Nested | None:
    """The function that reads an embedded file, or None where they are embedded too deeply already."""
    if options.nested >= options.limits.nested_files:
        return None

    def read(data: bytes, room: int) -> tuple[Any, list[GlobalName], int]:
        from dotpt.formats import read_contents
        from dotpt.source.memory import BytesSource

        limits = replace(options.limits, decoded_bytes=room)
        inner = replace(options, limits=limits, nested=options.nested + 1)
        with options.journal.inside() if options.journal is not None else nullcontext():
            contents = read_contents(BytesSource(data), inner)
        return contents.tree, contents.globals, contents.decoded

    return read
