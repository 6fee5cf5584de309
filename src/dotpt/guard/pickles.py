"""pickle's ways to load from a file, guarded: `load`, `Unpickler`, and the `_load` and `_Unpickler` written in Python.

One pickle is read from the file, up to its STOP and no further; these very bytes are scanned, and then unpickled by
pickle itself. So what the file becomes meanwhile does not matter, and several objects in one file are loaded in turn.

What lies in memory (`io.BytesIO`) is left alone, as `pickle.loads` is; so are pipes and sockets, over which processes
talk to each other. Invariant: nothing is unpickled here. This file has pickle's names only to replace them.
"""

from __future__ import annotations

import _pickle
import io
import pickle
import pickletools
from collections.abc import Callable
from typing import Any

from dotpt.dropin.bindings import Replacement
from dotpt.errors import DotptError, LimitExceeded, PickleError, UsageError
from dotpt.formats import pt_legacy
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.guard.files import is_conversation
from dotpt.guard.guarding import check, most_bytes, on_duty, on_guard, passed
from dotpt.scan.findings import Findings
from dotpt.scan.policy import Policy
from dotpt.scan.session import Session
from dotpt.scan.strict import read_as_load
from dotpt.source.base import Source
from dotpt.source.memory import BytesSource
from dotpt.source.stream import name_of

_PIECE, _SMALL = 1 << 20, 1 << 8
_HOMES = (pickle, _pickle)


def load(following: Callable[..., Any], file: Any, **options: Any) -> Any:
    """`pickle.load`, of what scans clean."""
    if not (_is_guarded(file) and hasattr(file, "readline")):  # without it, pickle itself says what is wrong
        return following(file, **options)
    content = _checked(file.read, file.readline, name_of(file))
    with passed():
        return following(io.BytesIO(content), **options)


def _is_guarded(file: Any) -> bool:
    return on_duty() and not isinstance(file, io.BytesIO) and not is_conversation(file)


# -- one pickle -------------------------------------------------------------------------------------------------------


class _Recorder:
    """A file that keeps what is read from it, up to a limit."""

    def __init__(self, read: Callable[[int], Any], readline: Callable[[], Any], most: int) -> None:
        self._read, self._readline = read, readline
        self._most = most
        self.kept = bytearray()

    def read(self, length: int) -> bytes:
        """As of a file. A length that the file only claims is not believed."""
        self._check(length)
        start = len(self.kept)
        if length <= _SMALL:  # an opcode and its argument, of which there are millions
            data = self._read(length)
            self.kept += data
            if len(data) == length:
                return bytes(data)
        end = start + length
        while len(self.kept) < end and (piece := self._read(min(end - len(self.kept), _PIECE))):
            self.kept += piece
        with memoryview(self.kept) as kept:
            return bytes(kept[start:])

    def readline(self) -> bytes:
        """As of a file."""
        line = self._readline()
        self._check(len(line))
        self.kept += line
        return bytes(line)

    def _check(self, length: int) -> None:
        if len(self.kept) + length > self._most:
            raise LimitExceeded("pickle_bytes", len(self.kept) + length, self._most)


def _checked(read: Callable[..., Any], readline: Callable[..., Any], name: str) -> bytes:
    """The next pickle of a file, which every guard lets pass.

    Raises:
        RefusedByGuard: it is not clean.
    """
    recorder = _Recorder(read, readline, most_bytes())
    trouble: DotptError | None = None
    try:
        for _ in pickletools.genops(recorder):  # type: ignore[arg-type]
            pass
    except LimitExceeded as error:
        trouble = error
    except ValueError as error:  # what pickletools says of bytes that are no pickle, or not all of one
        trouble = PickleError(f"It is no pickle, or cut short: {error!s:.100}.")
    content = bytes(recorder.kept)
    if content:  # else pickle itself says that the file is at its end
        check(lambda policy: scan_pickle(content, name, policy, trouble))
    return content


def scan_pickle(content: bytes, name: str, policy: Policy, trouble: DotptError | None = None) -> Findings:
    """What one pickle may do, for a reader that takes the bytes for nothing else.

    Args:
        content: the pickle.
        name: of the file that it is from.
        policy: how it is judged.
        trouble: what was wrong with it when it was read, if anything.
    """
    findings = Findings(name, kind="a pickle", members=1)
    session = Session(findings, policy)
    if trouble is not None:
        session.report(trouble)
    reading = read_as_load(session, BytesSource(content, name), reader=_read)
    if reading.error is not None:
        session.report(reading.error)
    # Loading it runs nothing that a text may hide, and arrays of numpy are texts of any size.
    findings.findings = [finding for finding in findings.findings if finding.rule != "texts-not-searched"]
    findings.sort()
    return findings


def _read(source: Source, options: ReadOptions) -> Contents:
    contents = pt_legacy.read(source, options)
    if int(contents.facts["end"]) != source.size:
        raise PickleError("It ends elsewhere for dotpt than for other readers.", path=source.name)
    return contents


# -- Unpickler --------------------------------------------------------------------------------------------------------


class _Feed:
    """A file, given to an unpickler pickle by pickle; as it is once no guard is active."""

    def __init__(self, file: Any) -> None:
        self._ready = io.BytesIO()
        self._file = file
        self._name = name_of(file)

    def next(self) -> None:
        """Have the next pickle ready, which every guard lets pass."""
        self._ready = io.BytesIO(_checked(self._file.read, self._file.readline, self._name))

    def peek(self, length: int) -> Any:
        """What follows, so that pickle need not ask for each opcode."""
        return self._ready.getbuffer()[self._ready.tell() :][:length].tobytes()

    def read(self, length: int = -1) -> Any:
        """As of a file."""
        return self._ready.read(length) or (b"" if on_guard() else self._file.read(length))

    def readline(self) -> Any:
        """As of a file."""
        return self._ready.readline() or (b"" if on_guard() else self._file.readline())


_FEED = "_dotpt_feed"
_without_attributes: dict[int, tuple[object, _Feed]] = {}  # unpicklers of classes that have no room for one


def _guarded() -> tuple[Any, Any]:
    """The class with a scan before each load, and the class of its own instances.

    In no module by name: there, they would be put back as any other name.
    """

    class Unpickler(_pickle.Unpickler):
        __slots__ = ()  # so that it can take the place of the base of classes that exist
        __module__, __qualname__, __doc__ = "_pickle", "Unpickler", _pickle.Unpickler.__doc__

        def __new__(cls, *arguments: Any, **options: Any) -> Any:
            return super().__new__(plain if cls is Unpickler else cls)

        def __init__(self, file: Any, **options: Any) -> None:
            if _is_guarded(file) and hasattr(file, "readline"):
                file = _feed(self, file)
            super().__init__(file, **options)

        def load(self) -> Any:
            feed = getattr(self, _FEED, None) or _without_attributes.get(id(self), (None, None))[1]
            if feed is None or not on_guard():
                return super().load()
            feed.next()
            with passed():
                return super().load()

    plain = type("Unpickler", (Unpickler,), {"__module__": "_pickle", "__doc__": Unpickler.__doc__})
    return Unpickler, plain


def _feed(unpickler: Any, file: Any) -> _Feed:
    feed = _Feed(file)
    if hasattr(unpickler, "__dict__"):
        vars(unpickler)[_FEED] = feed
    else:
        _without_attributes[id(unpickler)] = unpickler, feed
    return feed


class _Unpickler(Replacement):
    """`pickle.Unpickler`, also where classes were derived from it before, or are while it is replaced."""

    def __init__(self) -> None:
        self._class: Any = _pickle.Unpickler
        self._guarded, self._plain = _guarded()
        super().__init__(self._class, "Unpickler", _HOMES, ours=self._guarded)
        self._wanted: set[object] = set()

    def add(self, user: object, function: Callable[..., Any], *, around: bool = False) -> None:
        """Put ours in place."""
        for derived in self._class.__subclasses__():
            if derived is not self._guarded:
                _change_base(derived, self._class, self._guarded)
        self._wanted.add(user)
        super().add(user, function, around=around)

    def remove(self, user: object) -> None:
        """Put back what was there, if nobody else wants ours."""
        self._wanted.discard(user)
        super().remove(user)
        if not self._wanted:
            _without_attributes.clear()
            for derived in self._guarded.__subclasses__():
                if derived is not self._plain:
                    _change_base(derived, self._guarded, self._class)


def _change_base(derived: type, old: type, new: type) -> None:
    try:
        derived.__bases__ = tuple(new if base is old else base for base in derived.__bases__)
    except TypeError as error:
        name = f"{derived.__module__}.{derived.__qualname__}"
        raise UsageError(
            f"{name} is derived from pickle.Unpickler in a way that cannot be guarded: {error}.",
            hint="call dotpt.guard() before its module is imported",
        ) from error


class _PythonsLoad:
    """The method `load` of the unpickler that is written in Python, for it and whatever is derived from it."""

    def __init__(self) -> None:
        self._class: Any = pickle._Unpickler
        self._original = self._class.load
        self._users: set[object] = set()
        original = self._original

        def load(unpickler: Any) -> Any:
            return _load_by_python(original, unpickler)

        load.__qualname__, load.__module__ = original.__qualname__, original.__module__
        self._ours = load

    def add(self, user: object, function: Callable[..., Any], *, around: bool = False) -> None:
        """Put ours in place."""
        self._users.add(user)
        self._class.load = self._ours

    def remove(self, user: object) -> None:
        """Put back what was there, if nobody else wants ours."""
        self._users.discard(user)
        if not self._users and self._class.load is self._ours:
            self._class.load = self._original


def _load_by_python(original: Callable[[Any], Any], unpickler: Any) -> Any:
    read = getattr(unpickler, "_file_read", None)
    if read is None or not _is_guarded(getattr(read, "__self__", unpickler)):
        return original(unpickler)
    content = _checked(read, unpickler._file_readline, name_of(getattr(read, "__self__", unpickler)))
    fed = io.BytesIO(content)
    methods = {name: value for name, value in vars(unpickler).items() if name.startswith("_file_")}
    vars(unpickler).update((name, getattr(fed, name.removeprefix("_file_"), None)) for name in methods)
    try:
        with passed():
            return original(unpickler)
    finally:
        vars(unpickler).update(methods)


LOAD = Replacement(_pickle.load, "load", _HOMES)
UNPICKLER = _Unpickler()
PYTHONS_LOAD = _PythonsLoad()
