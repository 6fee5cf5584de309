"""The legacy format: five pickles, then the storages. A bare pickle, which torch.save never wrote, is read too."""

from __future__ import annotations

import sys
from typing import Any

from dotpt.container.legacy import MAGIC, PROTOCOL, LegacyContainer
from dotpt.errors import LegacyError, PickleError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.embedded import nested_reader
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine, PickleCut
from dotpt.source.base import Source

_FIRST_READ, _NEXT_READ = 1 << 18, 1 << 12


def read(source: Source, options: ReadOptions, start: int = 0, *, partial: bool = False) -> Contents:
    """The contents of the legacy file, or bare pickle, that begins at ``start``.

    Args:
        partial: accept a file that was cut within its storages (see `LegacyContainer.find`).

    Raises:
        LegacyError, TruncatedFile: the storages are not as the pickle says.
        PickleError, TensorError, LimitExceeded: what each says.
    """
    context = Context(options.limits, nested_reader(options), options.journal)
    stream = _Stream(source, options, context, start)
    first = stream.next("magic number")
    container = LegacyContainer(source, options.limits)
    if type(first) is not int or first != MAGIC:
        return _bare_pickle(first, stream, container, start)
    protocol, system = stream.next("protocol"), stream.next("system info")
    if type(protocol) is not int or protocol != PROTOCOL:
        raise LegacyError(
            f"The legacy protocol is {protocol!r:.40}; {PROTOCOL} is the only one.",
            path=source.name,
            offset=stream.position,
        )
    begin = stream.position
    tree = stream.next("object")
    place = (begin, stream.position)
    keys = stream.next("storage keys")
    if type(keys) is not list or any(type(key) not in (str, bytes) for key in keys):
        raise LegacyError("The list of storage keys is not one.", path=source.name, offset=stream.position)
    keys = [key.decode("ascii", "replace") if type(key) is bytes else key for key in keys]
    roots = {
        key: storage for key, storage in context.storages.items() if not storage.view_of and storage.container is None
    }
    if len(set(keys)) != len(keys) or set(keys) != set(roots):
        raise LegacyError(
            "The list of storage keys is not the list of the storages that the object refers to.",
            path=source.name,
            offset=stream.position,
            found=f"{len(keys):,} keys",
            expected=f"{len(roots):,} storages",
            hint="the file is damaged: get it again",
        )
    sizes = {key: (roots[key].nbytes, roots[key].dtype.itemsize) for key in keys}
    container.find(stream.position, sizes, partial=partial)
    for key, storage in roots.items():
        storage.container, storage.place = container, container.record(key)
        storage.swap = sys.byteorder != "little"
    facts = {"byteorder": "little", "protocol": PROTOCOL, "start": start, "end": container.end, "object": place}
    if isinstance(system, dict):
        facts["system"] = {str(key): value for key, value in system.items() if type(value) in (int, bool, str)}
    contents = Contents("legacy", tree, container, context.storages, stream.globals, facts, decoded=stream.decoded)
    if context.module_sources:
        contents.extra["module_sources"] = context.module_sources
    return contents


def _bare_pickle(tree: Any, stream: _Stream, container: LegacyContainer, start: int) -> Contents:
    """Any other pickle: ``pickle.dump`` of tensors embeds each storage as a legacy file of its own."""
    container.end = stream.position
    facts = {"byteorder": "little", "start": start, "end": stream.position}
    contents = Contents("pickle", tree, container, {}, stream.globals, facts, decoded=stream.decoded)
    contents.notes.append("This is a plain Python pickle, not written by torch.save: torch.load cannot open it.")
    return contents


class _Stream:
    """Pickles one after the other at the head of a file whose tail may be gigabytes of storages."""

    def __init__(self, source: Source, options: ReadOptions, context: Context, start: int) -> None:
        self._source = source
        self._start = start
        self._length = 0
        self._machine = Machine(
            b"", context, encoding=options.encoding, errors=options.errors, path=source.name, record="pickle"
        )

    @property
    def position(self) -> int:
        """The byte of the file after the last pickle."""
        return self._start + self._machine.position

    @property
    def decoded(self) -> int:
        """Bytes of objects so far."""
        return self._machine.limits.decoded_bytes - self._machine.room

    @property
    def globals(self) -> list[Any]:
        """Every name met so far."""
        return list(self._machine.globals.values())

    def next(self, what: str) -> Any:
        """The next pickle's object, reading more of the file as long as the pickle does not end."""
        self._machine.record = f"pickle of the {what}" + (f" at byte {self._start:,}" if self._start else "")
        while True:
            try:
                return self._machine.load()
            except PickleCut:
                if self._start + self._length >= self._source.size:
                    raise
                self._read_on()

    def _read_on(self) -> None:
        # The objects behind the first may be thousands, and small.
        wanted = max(4 * self._length, _FIRST_READ if self._start == 0 else _NEXT_READ)
        self._length = min(wanted, self._source.size - self._start, self._machine.limits.pickle_bytes + _FIRST_READ)
        if len(self._machine.data) == self._length:
            raise PickleError("The pickle is larger than the limit.", path=self._source.name)
        self._machine.data = self._source.read(self._start, self._length)
