"""A record that is one pickle, decoded: its object, and the machine that knows what it named."""

from __future__ import annotations

from typing import Any, ClassVar

from dotpt.container.record import Container
from dotpt.errors import LimitExceeded, PickleError
from dotpt.formats.contents import ReadOptions
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine


class TrailingBytes(PickleError):
    """Something follows the end of a pickle that must be the whole of its record; `offset` is where."""

    rule: ClassVar[str] = "PickleError"  # the stable id that `verify` gives it


def decode(container: Container, name: str, context: Context, options: ReadOptions) -> tuple[Any, Machine]:
    """The object of one pickle record, which must be the whole of it."""
    size, allowed = container.record(name).size, options.limits.pickle_bytes
    if size > allowed:  # before it is read into memory
        raise LimitExceeded("pickle_bytes", size, allowed, path=container.source.name, record=name)
    data = container.read(name, verify=options.verify)
    machine = Machine(
        data, context, encoding=options.encoding, errors=options.errors, path=container.source.name, record=name
    )
    tree = machine.load()
    if machine.position != len(data):
        raise TrailingBytes(
            f"{len(data) - machine.position:,} bytes follow the pickle's end.",
            path=container.source.name,
            record=name,
            offset=machine.position,
            hint="something is hidden behind the pickle: do not trust the file",
        )
    return tree, machine
