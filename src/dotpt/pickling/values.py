"""What a pickle's names become before torch or numpy is asked: plain, inert values.

Known names become the values below (or Python's own). Unknown ones become `InertGlobal` and `InertObject`:
they keep what the file says and can do nothing, so that a stranger's object can be looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from dotpt.tensors.dtypes import DType


class Size(tuple[int, ...]):
    """A `torch.Size`, as a tuple."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Size({list(self)})"


@dataclass(frozen=True, slots=True)
class Device:
    """A `torch.device`: it says where something was, nothing about this machine."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A singleton of torch that is neither dtype nor device: a layout or a quantization scheme."""

    name: str

    def __repr__(self) -> str:
        return f"torch.{self.name}"


@dataclass(frozen=True, slots=True)
class StorageClass:
    """A storage class of torch: it stands for its element type."""

    dtype: DType
    untyped: bool = False


@dataclass(slots=True)
class GeneratorState:
    """A `torch.Generator`: its device, seed, Philox offset and state bytes."""

    device: Device
    seed: int = 0
    offset: int | None = None
    state: Any = None


@dataclass(slots=True)
class ReturnType:
    """A named tuple of `torch.return_types`."""

    name: str
    values: tuple[Any, ...]


@dataclass(slots=True)
class NumpyDType:
    """A numpy dtype, which pickles build in two steps.

    Attributes:
        depth: how many structured ones lie within it.
        scalar: the class of its scalars, if that is one that dotpt does not know (``numpy.record``).
    """

    value: Any
    depth: int = 0
    scalar: Any = None


class PosixFile(PurePosixPath):
    """A `pathlib.PosixPath`, which is a pure path to whoever does not trust the file to reach the disk."""

    __slots__ = ()


class WindowsFile(PureWindowsPath):
    """A `pathlib.WindowsPath`, likewise."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class GlobalName:
    """A name that a pickle asks for.

    Attributes:
        module, name: as written in the stream (Python 2's module names are not translated here).
        known: whether it is in dotpt's table of harmless names.
        offset: byte offset in the stream at which it is first named.
        python2: whether the stream is of a protocol (0 to 2) that has Python 2's names for Python's own modules.
    """

    module: str
    name: str
    known: bool
    offset: int
    python2: bool = False

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


class InertGlobal:
    """A class or function that a file names and that dotpt does not know. It was not imported.

    Example:
        >>> InertGlobal("my_package.models", "Net")
        <my_package.models.Net>
    """

    __slots__ = ("module", "name", "python2")

    def __init__(self, module: str, name: str, python2: bool = False) -> None:
        self.module = module
        self.name = name
        self.python2 = python2  # as `GlobalName` has it

    @property
    def qualified(self) -> str:
        """Module and name, joined by a dot."""
        return f"{self.module}.{self.name}"

    def __repr__(self) -> str:
        from dotpt.errors import readable

        return f"<{readable(self.qualified)}>"


class InertObject:
    """What a file would have had built by calling something: kept, never called.

    Attributes:
        callee: what would have been called, an `InertGlobal` or another inert object.
        how: what was to happen:
            ``call`` a function or class was to be called; ``new`` an instance was to be made;
            ``inst`` the one or the other, as Python 2 wrote it; ``reconstruct`` an instance made by its builtin `base`;
            ``array`` an empty array of a subclass of numpy's; ``set`` (among `states`) a function was to set the state;
            ``subclass`` the tensor in `args` seen as a subclass; ``wrapper`` a tensor subclass without data of its own;
            ``parameter`` a `torch.nn.Parameter` around the tensor subclass that is the `callee`.
        args, kwargs: the arguments as written.
        base: the builtin class of ``reconstruct``.
        state: the last state that was to be set on the instance (usually its ``__dict__``), or None.
        states: all of them.
        items: what was to be appended to it (a list subclass).
        pairs: what was to be set in it (a dict subclass).
    """

    __slots__ = ("args", "base", "callee", "how", "items", "kwargs", "pairs", "states")

    def __init__(self, callee: Any, how: str, args: Any = (), kwargs: Any = None) -> None:
        self.callee = callee
        self.how = how
        self.args = args
        self.kwargs = kwargs
        self.base: Any = None
        self.states: list[Any] = []
        self.items: list[Any] = []
        self.pairs: list[tuple[Any, Any]] = []

    @property
    def state(self) -> Any:
        """The last state that was to be set, or None."""
        state = self.states[-1] if self.states else None
        return state.args[0] if type(state) is InertObject and state.how == "set" else state

    @property
    def type_name(self) -> str:
        """The class or function that it stands for, readable."""
        callee = self.callee
        for _ in range(16):  # calls of calls of ...: the name is at the bottom
            if not isinstance(callee, InertObject):
                break
            callee = callee.callee
        if isinstance(callee, InertObject):
            return "what a call gave"
        return callee.qualified if isinstance(callee, InertGlobal) else str(getattr(callee, "qualified", callee))

    @property
    def attributes(self) -> dict[str, Any]:
        """Its instance attributes, as far as the file gives them as a dictionary."""
        state = self.state
        if isinstance(state, tuple) and len(state) == 2:  # (dict, slots)
            merged: dict[str, Any] = {}
            for part in state:
                if isinstance(part, dict):
                    merged.update(part)
            state = merged
        own = state if isinstance(state, dict) else {}
        return {**self.callee.attributes, **own} if self.how == "parameter" else own

    def __repr__(self) -> str:
        from dotpt.errors import readable

        shown = {"args": len(self.args) if isinstance(self.args, tuple) else 1, "attributes": len(self.attributes)}
        shown |= {"items": len(self.items), "pairs": len(self.pairs)}
        facts = ", ".join(f"{count} {what}" for what, count in shown.items() if count)
        return f"<inert {readable(self.type_name)}{': ' if facts else ''}{facts}>"
