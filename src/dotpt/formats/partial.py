"""Files that were cut or broken: what can still be decoded of them, and which storages are still whole.

The pickle (or header) of a file says where every storage lies and how long it is. So a file whose head is whole
can be decoded as ever; the storages that are missing have places behind its end, and reading them is
`TruncatedFile`. Nothing is repaired, and nothing but the head is read.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from dotpt.container.record import Container, Record, RecordTable
from dotpt.container.salvage import Salvage, scan_local_headers
from dotpt.errors import DotptError, TruncatedFile
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.embedded import nested_reader
from dotpt.formats.pt_zip import storage_folder
from dotpt.limits import MIB, Limits
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine
from dotpt.source.base import Source
from dotpt.tensors.refs import StorageRef

_REMOTE_SEARCH = 64 * MIB  # how far the pickle is looked for where every byte is a download


@dataclass(slots=True)
class Partial:
    """What is left of a file.

    Attributes:
        contents: the decoded file; None if its pickle or header is not whole.
        expected: bytes of the whole file, or None where that cannot be told.
        exact: whether ``expected`` is certain (else an estimate).
        whole: keys of the storages whose bytes are all there.
        records: names of the records that are whole.
        cut: whether the file ends too early (else it is broken in another way).
    """

    contents: Contents | None = None
    expected: int | None = None
    exact: bool = False
    whole: set[str] = field(default_factory=set)
    records: list[str] = field(default_factory=list)
    cut: bool = True


def read_partial(source: Source, kind: str, error: DotptError, options: ReadOptions) -> Partial | None:
    """What is left of a file of this kind (as `sniff` names it); None for kinds of which nothing is known.

    Args:
        error: what reading it as a whole raised.
    """
    try:
        if kind == "zip":
            return _zip(source, error, options)
        if kind == "legacy":
            return _legacy(source, options)
        if kind == "safetensors":
            return _safetensors(source, error, options)
    except DotptError:
        return Partial(cut=isinstance(error, EOFError))
    return None


# -- zip ------------------------------------------------------------------------------------------------------------


class SalvagedZip(RecordTable):
    """The records of a zip without a sound directory, as a walk over their own headers found them."""

    kind = "zip"
    absent = "The record is not in what is left of the file."

    def __init__(self, source: Source, limits: Limits, salvage: Salvage) -> None:
        super().__init__(source, limits)
        self.root = salvage.root
        self._records = salvage.whole


class _Head(Source):
    """The first bytes of a source."""

    def __init__(self, source: Source, size: int) -> None:
        self.name, self.size, self._source = source.name, size, source

    def read_into(self, offset: int, target: memoryview) -> None:
        self.check_range(offset, len(target))
        self._source.read_into(offset, target)


def _zip(source: Source, error: DotptError, options: ReadOptions) -> Partial:
    cut = isinstance(error, TruncatedFile)
    record = _find_pickle(source, options.limits)
    if record is None:
        head = _Head(source, min(source.size, MIB))
        return Partial(cut=cut, records=list(scan_local_headers(head, options.limits).whole))
    data = Container(source, options.limits).content(record)
    context = Context(options.limits, nested_reader(options), options.journal)
    machine = Machine(
        data, context, encoding=options.encoding, errors=options.errors, path=source.name, record=record.name
    )
    tree = machine.load()
    own = {key: s for key, s in context.storages.items() if s.container is None and not s.view_of}
    early = scan_local_headers(_Head(source, min(source.size, MIB)), options.limits)
    folder = storage_folder(early.whole)
    salvage = scan_local_headers(source, options.limits, sizes={folder + key: s.nbytes for key, s in own.items()})
    container = SalvagedZip(source, options.limits, salvage)
    facts = _facts(container)
    whole = _attach(container, own, folder, facts["byteorder"])
    named = list(machine.globals.values())
    script = any(name.module.startswith("__torch__") for name in named)
    contents = Contents("torchscript" if script else "zip", tree, container, context.storages, named, facts)
    expected = salvage.expected_size if cut else None
    return Partial(contents, expected, False, whole, container.names, cut)


def _find_pickle(source: Source, limits: Limits) -> Record | None:
    """The record data.pkl, which torch writes first: looked for in a head that grows until it is found."""
    size = MIB
    while True:
        size = min(size, source.size)
        record = scan_local_headers(_Head(source, size), limits).whole.get("data.pkl")
        if record is not None or size == source.size or (source.remote and size >= _REMOTE_SEARCH):
            return record
        size *= 8


def _facts(container: SalvagedZip) -> dict[str, Any]:
    """The short records that are still there, as `pt_zip` gives them."""
    facts: dict[str, Any] = {"root": container.root}
    for name in ("version", "byteorder", ".format_version", ".storage_alignment"):
        if name in container and container.record(name).size <= 100:
            with suppress(DotptError):
                facts[name.removeprefix(".")] = container.read(name, verify=False).decode("ascii", "replace").strip()
    facts["byteorder_recorded"] = facts.get("byteorder") in ("little", "big")
    if not facts["byteorder_recorded"]:
        facts["byteorder"] = "little"
    return facts


def _attach(container: SalvagedZip, storages: Mapping[str, StorageRef], folder: str, byteorder: str) -> set[str]:
    whole = set()
    for key, storage in storages.items():
        name = folder + key
        storage.container, storage.swap = container, byteorder != sys.byteorder
        if name in container and container.record(name).size == storage.nbytes:
            storage.place = container.record(name)
            whole.add(key)
        else:
            storage.place = Record(name, container.source.size, storage.nbytes, storage.nbytes)
            if not storage.nbytes:
                whole.add(key)
    return whole


# -- the others -------------------------------------------------------------------------------------------------------


def _legacy(source: Source, options: ReadOptions) -> Partial:
    from dotpt.formats import pt_legacy

    contents = pt_legacy.read(source, options, partial=True)
    if contents.format != "legacy":
        return Partial()
    whole = {key for key in contents.container.names if _is_whole(contents.container.record(key), source)}
    return Partial(contents, int(contents.facts["end"]), True, whole, sorted(whole))


class _Longer(Source):
    """A source that claims the length it should have: what is missing cannot be read, but has its place."""

    def __init__(self, source: Source, size: int) -> None:
        self.name, self.remote, self._source = source.name, source.remote, source
        self.size = size

    def read_into(self, offset: int, target: memoryview) -> None:
        self._source.read_into(offset, target)

    def close(self) -> None:
        self._source.close()


def _safetensors(source: Source, error: DotptError, options: ReadOptions) -> Partial:
    if not isinstance(error, TruncatedFile) or type(error.expected) is not int or error.expected <= source.size:
        return Partial(cut=isinstance(error, TruncatedFile))
    from dotpt.formats import safetensors

    if error.expected <= 8 + int.from_bytes(source.read(0, 8), "little"):  # its header is cut
        return Partial()
    contents = safetensors.read(_Longer(source, error.expected), options)
    whole = {key for key in contents.container.names if _is_whole(contents.container.record(key), source)}
    return Partial(contents, error.expected, True, whole, sorted(whole))


def _is_whole(record: Record, source: Source) -> bool:
    return record.offset + record.size <= source.size
