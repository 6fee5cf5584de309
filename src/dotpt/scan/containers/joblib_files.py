"""Files of joblib: a pickle in which the bytes of each array stand right behind the object that describes it.

    ... joblib.numpy_pickle.NumpyArrayWrapper NEWOBJ {subclass, shape, order, dtype, ...} BUILD   (a frame ends)
    n, n times 0xFF          since joblib 1.2: padding, so that the array begins at a multiple of 16
    the array's bytes        or, of an array of objects, a pickle of its own
    ... and the pickle goes on

joblib reads it so; `pickle.load` would take the array's bytes for opcodes. Both readings are decoded by the one
machine, and what either would name is reported. Invariant: an array is skipped only if every field that tells its
length is what joblib writes.
"""

from __future__ import annotations

from math import prod
from typing import Any

from dotpt.errors import DotptError, LimitExceeded
from dotpt.formats.contents import ReadOptions
from dotpt.formats.embedded import nested_reader
from dotpt.pickling.context import Context
from dotpt.pickling.journal import Journal
from dotpt.pickling.machine import Machine
from dotpt.pickling.values import InertGlobal, InertObject, NumpyDType
from dotpt.scan.hidden import search_texts
from dotpt.scan.raw import search_names
from dotpt.scan.session import Session
from dotpt.scan.streams import judge
from dotpt.source.base import Source
from dotpt.source.memory import BytesSource
from dotpt.source.part import PartSource

_MARK = b"NumpyArrayWrapper"
_SEARCHED, _WINDOW = 64 << 20, 4 << 20
_WRAPPERS = frozenset(f"{place}joblib.numpy_pickle.NumpyArrayWrapper" for place in ("", "sklearn.externals."))


def is_joblib(source: Source) -> bool:
    """Whether a pickle names joblib's description of an array, in its first 64 MiB."""
    end = min(source.size, _SEARCHED)
    return any(_MARK in source.read(at, min(_WINDOW + len(_MARK), end - at)) for at in range(0, end, _WINDOW))


def scan_joblib(session: Session, source: Source) -> str:
    """Examine a file of joblib; gives what it is, in words."""
    if source.size > session.limits.pickle_bytes:
        session.report(LimitExceeded("pickle_bytes", source.size, session.limits.pickle_bytes))
        search_names(session, source)
        return "a file of joblib"
    data = source.read(0, source.size)
    end, refusal, wrappers = _decode(session, data, skipping=True)
    if wrappers and _decode(session, data, skipping=False)[1] is None:
        session.add("disguised", "joblib and pickle both read it to an end, and read different things.")
    if not wrappers:
        session.add("disguised", "It names joblib's arrays, and has none.")
    else:
        session.add("known-library", "It holds arrays as joblib writes them.", name=_WRAPPERS_NAME)
    if refusal is not None:
        session.report(refusal)
        search_names(session, BytesSource(data))
    elif end < len(data):
        session.add("trailing-data", f"{len(data) - end:,} bytes follow the pickle's end.", offset=end)
        _examine_rest(session, source, end)
    return "a file of joblib"


_WRAPPERS_NAME = "joblib.numpy_pickle.NumpyArrayWrapper"


def _examine_rest(session: Session, source: Source, end: int) -> None:
    from dotpt.scan.examine import examine

    with session.inside(f"from byte {end:,} on") as allowed:
        if allowed:
            examine(session, PartSource(source, end, source.size - end, source.name), whole=False)


def _decode(session: Session, data: bytes, *, skipping: bool) -> tuple[int, DotptError | None, int]:
    """Report what the pickle asks for; gives where it ends, why it does not, and how many arrays were skipped."""
    journal = Journal()
    machine = _machine(session, data, journal)
    skipped: list[str] = []

    def built(machine: Machine, made: InertObject) -> Any:
        callee = made.callee
        if type(callee) is InertGlobal and callee.qualified in _WRAPPERS:
            skipped.append(callee.qualified)
            _skip(session, machine, made, journal)
        return made

    if skipping:
        machine.context.built = built
    refusal = None
    try:
        machine.load()
    except DotptError as error:
        refusal = error
    journal.names[:] = [noted for noted in journal.names if str(noted.name) not in _WRAPPERS]
    judge(session, journal)
    search_texts(session, journal)
    return machine.position, refusal, len(skipped)


def _machine(session: Session, data: bytes, journal: Journal, position: int = 0) -> Machine:
    options = ReadOptions(limits=session.limits, encoding="latin1", journal=journal)
    context = Context(session.limits, nested_reader(options), journal)
    return Machine(data, context, encoding="latin1", record="", position=position)


def _skip(session: Session, machine: Machine, made: InertObject, journal: Journal) -> None:
    """Go over the bytes of an array, as joblib does."""
    fields = made.state
    if made.args or type(fields) is not dict or len(made.states) != 1:
        raise machine.broken("An array of joblib is described as joblib does not.")
    shape, dtype, order = fields.get("shape"), fields.get("dtype"), fields.get("order")
    alignment = fields.get("numpy_array_alignment_bytes")
    is_plain = type(shape) is tuple and all(type(length) is int and length >= 0 for length in shape)
    if not is_plain or type(dtype) is not NumpyDType or order not in ("C", "F"):
        raise machine.broken("An array of joblib is described as joblib does not.")
    machine.skip(0)
    if dtype.value.hasobject:
        inner = _machine(session, machine.data, journal, machine.at)
        inner.room = machine.room
        inner.load()
        machine.room = inner.room
        machine.skip(inner.position - machine.at)
        return
    if alignment is not None:
        machine.skip(1 + machine.data[machine.at] if machine.at < len(machine.data) else 1)
    assert isinstance(shape, tuple)  # noqa: S101 - checked above
    machine.skip(prod(shape) * dtype.value.itemsize)
