"""What one pickle stream is decoded against: its storages, the bounds of its tensors, its limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dotpt.errors import PickleError, TensorError
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.pickling.journal import Journal
from dotpt.pickling.values import GlobalName, StorageClass
from dotpt.tensors.bounds import MAX_INT64, Bounds
from dotpt.tensors.refs import StorageRef

# Reads an embedded file within a number of decoded bytes: its object, what it names, the bytes decoded.
Nested = Callable[[bytes, int], tuple[Any, list[GlobalName], int]]


class Context:
    """The storages that a pickle names, gathered while it is decoded.

    Args:
        nested: reads a whole torch file that is embedded as bytes (`torch.storage._load_from_bytes`).
        journal: where what the pickle asks for is noted, if anyone wants to know.
    """

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, nested: Nested | None = None, journal: Journal | None = None
    ) -> None:
        self.limits = limits
        self.journal = journal
        self.bounds = Bounds(limits)
        self.nested = nested
        self.outside: Callable[[str, tuple[Any, ...]], Any] | None = None  # makes of other persistent ids what they are
        self.built: Callable[[Any, Any], Any] | None = None  # makes of an object that got its state what it stands for
        self.storages: dict[str, StorageRef] = {}
        self.unbind()
        self.embedded: list[GlobalName] = []  # what the files embedded in the pickle name
        # source texts of module classes, which torch below 1.6 wrote beside the pickle
        self.module_sources: dict[str, str] = {}

    def bind(self, charge: Callable[[int], None], room: Callable[[], int]) -> None:
        """Take the budget of the machine that decodes: an embedded file spends from it."""
        self.charge, self.room = charge, room

    def unbind(self) -> None:
        """Let that machine go."""
        self.charge, self.room = _free, lambda: 0

    def storage(self, kind: StorageClass, key: str, location: str, numel: int) -> StorageRef:
        """The storage ``key``, made on first sight; every later mention must agree with the first."""
        nbytes = numel * kind.dtype.itemsize
        known = self.storages.get(key)
        if known is None:
            known = self.storages[key] = StorageRef(key, kind.dtype, location, nbytes, kind.untyped)
        elif known.nbytes != nbytes:
            raise TensorError("The pickle gives one storage two sizes.", key=key, found=nbytes, expected=known.nbytes)
        elif not nbytes and known.dtype is not kind.dtype:  # no memory, which can be of two types
            return StorageRef(key, kind.dtype, location, 0, kind.untyped)
        return known

    def persistent(self, pid: Any) -> Any:
        """What a persistent id stands for. Only the exact tuples that torch writes are accepted."""
        if type(pid) is tuple and pid and type(pid[0]) in (str, bytes):
            kind = _text(pid[0])
            if kind == "storage" and len(pid) in (5, 6):
                return self._persistent_storage(*pid[1:])
            if kind == "module" and len(pid) == 4:
                return self._persistent_module(*pid[1:])
            if self.outside is not None:
                return self.outside(kind, pid[1:])
        raise PickleError("The pickle refers to something outside it in a form that torch does not write.")

    def _persistent_storage(self, kind: Any, key: Any, location: Any, numel: Any, view: Any = None) -> StorageRef:
        if type(kind) is not StorageClass or type(numel) is not int or not 0 <= numel <= MAX_INT64:
            raise PickleError("A storage reference of the pickle has the wrong types.")
        if type(key) is int:  # torch.package numbers its storages
            key = str(key)
        storage = self.storage(kind, _text(key), _text(location), numel)
        return storage if view is None else self._view(storage, kind, view)

    def _view(self, base: StorageRef, kind: StorageClass, view: Any) -> StorageRef:
        """A storage that is a window of another (torch 0.3 and before)."""
        if type(view) is not tuple or len(view) != 3 or type(view[1]) is not int or type(view[2]) is not int:
            raise PickleError("A storage view of the pickle has the wrong types.")
        key, offset, numel = _text(view[0]), view[1], view[2]
        itemsize = kind.dtype.itemsize
        if offset < 0 or numel < 0 or (offset + numel) * itemsize > base.nbytes:
            raise TensorError(
                "A storage view reaches outside its storage.", key=key, found=offset + numel, expected=base.nbytes
            )
        known = self.storages.get(key)
        if known is None:
            known = StorageRef(key, kind.dtype, base.location, numel * itemsize)
            known.view_of = (base, offset * itemsize)
            self.storages[key] = known
        elif known.view_of != (base, offset * itemsize) or known.nbytes != numel * itemsize:
            raise TensorError("The pickle gives one storage two places.", key=key)
        return known

    def _persistent_module(self, cls: Any, source_file: Any, source: Any) -> Any:
        """Torch below 1.6 wrote the source text of each module class beside it. It is text to us."""
        if type(source) is str:
            self.module_sources[getattr(cls, "qualified", str(cls))] = source
        return cls


def _free(size: int) -> None:
    """Outside a machine nothing is accounted for."""


def _text(value: Any) -> str:
    """Python 2 wrote keys and locations as byte strings."""
    if type(value) is str:
        return value
    if type(value) is bytes and value.isascii():
        return value.decode("ascii")
    raise PickleError("A storage reference of the pickle has a key or location that is no text.")
