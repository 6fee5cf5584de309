"""Builders of Python's own harmless types, from the forms in which pickles of protocol 0 to 5 write them."""

from __future__ import annotations

import datetime
import re
from argparse import Namespace
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterator
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from dotpt.errors import PickleError
from dotpt.pickling.keys import KeyGuard, is_numpy_scalar
from dotpt.pickling.values import InertGlobal, InertObject, PosixFile, WindowsFile
from dotpt.pickling.vocabulary import Known, StateSetter, Vocabulary, bad

Args = tuple[Any, ...]
_BUILTINS = "builtins __builtin__"
_CODECS = re.compile(r"latin[-_]?1|iso[-_]?8859[-_]1|utf[-_]?8|ascii", re.IGNORECASE)


def entries() -> Iterator[tuple[str, str, Any]]:
    """(modules, name, value) rows of the vocabulary."""
    for name, build in (
        ("set", _set), ("frozenset", _frozenset), ("bytes", _bytes), ("bytearray", _bytearray), ("complex", _complex),
        ("range", _range), ("xrange", _range), ("slice", _slice), ("list", _list), ("tuple", _tuple), ("dict", _dict),
    ):  # fmt: skip
        yield _BUILTINS, name, Known(f"builtins.{name}", build, _LEAVES[name])
    for name in ("int", "long", "float", "str", "unicode", "bool", "object"):
        yield _BUILTINS, name, Known(f"builtins.{name}", _scalar(_LEAVES[name]), _LEAVES[name])
    yield "collections", "OrderedDict", Known("collections.OrderedDict", _ordered, OrderedDict)
    yield "collections", "Counter", Known("collections.Counter", _counter, Counter)
    yield "collections", "defaultdict", Known("collections.defaultdict", _defaultdict, defaultdict)
    yield "_codecs", "encode", Known("_codecs.encode", _encode)
    yield "copyreg copy_reg", "_reconstructor", Known("copyreg._reconstructor", _reconstructor)
    for name, kind, leaf in (
        ("PosixPath", PosixFile, PurePosixPath), ("PurePosixPath", PurePosixPath, PurePosixPath),
        ("Path", PosixFile, PurePosixPath), ("PurePath", PurePosixPath, PurePosixPath),
        ("WindowsPath", WindowsFile, PureWindowsPath), ("PureWindowsPath", PureWindowsPath, PureWindowsPath),
    ):  # fmt: skip
        yield "pathlib pathlib._local", name, Known(f"pathlib.{name}", _path(kind), leaf)
    yield "argparse", "Namespace", Known("argparse.Namespace", _namespace, Namespace)
    for moment in (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone):
        yield "datetime _pydatetime", moment.__name__, Known(f"datetime.{moment.__name__}", _datetime(moment), moment)


_LEAVES: dict[str, type] = {
    "set": set, "frozenset": frozenset, "bytes": bytes, "bytearray": bytearray, "complex": complex, "range": range,
    "xrange": range, "slice": slice, "list": list, "tuple": tuple, "dict": dict, "int": int, "long": int,
    "float": float, "str": str, "unicode": str, "bool": bool, "object": object,
}  # fmt: skip


def _members(vocabulary: Vocabulary, args: Args, name: str) -> list[Any]:
    """The members that a set is made of, each fit to be hashed."""
    if not args:
        return []
    if len(args) != 1 or type(args[0]) not in (list, tuple, set, frozenset):
        raise bad(name)
    members = list(args[0])
    KeyGuard(vocabulary.context.limits).check(None, members)
    return members


def _set(vocabulary: Vocabulary, args: Args) -> Any:
    return set(_members(vocabulary, args, "set"))


def _frozenset(vocabulary: Vocabulary, args: Args) -> Any:
    return frozenset(_members(vocabulary, args, "frozenset"))


def _bytes(vocabulary: Vocabulary, args: Args) -> bytes:
    if not args:
        return b""
    if len(args) == 1 and type(args[0]) is bytes:
        return args[0]
    if len(args) == 1 and type(args[0]) is list and all(type(n) is int and 0 <= n < 256 for n in args[0]):
        return bytes(args[0])
    return _encode(vocabulary, args)


def _bytearray(vocabulary: Vocabulary, args: Args) -> bytearray:
    return bytearray(_bytes(vocabulary, args))


def _encode(vocabulary: Vocabulary, args: Args) -> bytes:
    """Protocols 0 to 2 write bytes as text and the codec that turns it back."""
    names = [name.decode("ascii", "replace") if type(name) is bytes else name for name in args[1:]]  # bytes: Python 2
    if not 1 <= len(args) <= 3 or any(type(arg) is not str for arg in (args[0], *names)):
        raise bad("_codecs.encode")
    codec = names[0] if names else "utf-8"
    if not _CODECS.fullmatch(codec):
        raise bad("_codecs.encode")
    return args[0].encode(codec, "strict")  # type: ignore[no-any-return]


def _complex(vocabulary: Vocabulary, args: Args) -> complex:
    if len(args) > 2 or any(type(arg) not in (int, float) for arg in args):
        raise bad("complex")
    return complex(*args)


def _range(vocabulary: Vocabulary, args: Args) -> range:
    if not 1 <= len(args) <= 3 or any(type(arg) is not int for arg in args):
        raise bad("range")
    return range(*args)


def _slice(vocabulary: Vocabulary, args: Args) -> slice:
    odd = [arg for arg in args if type(arg) not in (int, float, str, type(None), InertGlobal, InertObject)]
    if not 1 <= len(args) <= 3 or any(not is_numpy_scalar(type(arg)) for arg in odd):
        raise bad("slice")
    return slice(*args)


def _list(vocabulary: Vocabulary, args: Args) -> list[Any]:
    if len(args) > 1 or (args and type(args[0]) not in (list, tuple)):
        raise bad("list")
    return list(*args)


def _tuple(vocabulary: Vocabulary, args: Args) -> Args:
    if len(args) > 1 or (args and type(args[0]) not in (list, tuple)):
        raise bad("tuple")
    return tuple(*args)


def _dict(vocabulary: Vocabulary, args: Args) -> dict[Any, Any]:
    return dict(_pairs(vocabulary, args, "dict"))


def _pairs(vocabulary: Vocabulary, args: Args, name: str) -> list[tuple[Any, Any]]:
    """Items given to a dictionary's constructor: nothing, a dictionary, or a list of pairs (Python 2)."""
    if not args:
        return []
    if len(args) != 1 or type(args[0]) not in (list, tuple, dict, OrderedDict):
        raise bad(name)
    pairs = list(args[0].items()) if isinstance(args[0], dict) else [tuple(pair) for pair in args[0]]
    if any(len(pair) != 2 for pair in pairs):
        raise bad(name)
    KeyGuard(vocabulary.context.limits).check(None, [key for key, _ in pairs])
    return pairs


def _ordered(vocabulary: Vocabulary, args: Args) -> OrderedDict[Any, Any]:
    return OrderedDict(_pairs(vocabulary, args, "collections.OrderedDict"))


def _counter(vocabulary: Vocabulary, args: Args) -> Counter[Any]:
    counter: Counter[Any] = Counter()
    for key, count in _pairs(vocabulary, args, "collections.Counter"):
        dict.__setitem__(counter, key, count)
    return counter


def _defaultdict(vocabulary: Vocabulary, args: Args) -> Any:
    if len(args) > 2:
        raise bad("collections.defaultdict")
    factory = args[0] if args else None
    pairs = _pairs(vocabulary, args[1:], "collections.defaultdict")
    if factory is None or (type(factory) is Known and isinstance(factory.leaf, type)):
        return defaultdict(factory.leaf if factory else None, pairs)
    if type(factory) not in (InertGlobal, InertObject):
        raise bad("collections.defaultdict")
    inert = InertObject(InertGlobal("collections", "defaultdict"), "call", args)
    inert.pairs.extend(pairs)
    return inert


def _scalar(kind: type) -> Any:
    def build(vocabulary: Vocabulary, args: Args) -> Any:
        if len(args) > (kind is not object) or any(type(arg) not in (int, float, bool, str) for arg in args):
            raise bad(kind.__name__)
        if kind is not str and args and type(args[0]) is str:  # int("9" * 10**6) takes a while
            raise bad(kind.__name__)
        return kind(*args)

    return build


def _reconstructor(vocabulary: Vocabulary, args: Args) -> Any:
    """How protocols 0 and 1 write an instance of a class of one's own."""
    if len(args) != 3:
        raise bad("copyreg._reconstructor")
    cls, base, content = args
    if type(cls) in (InertGlobal, InertObject):
        inert = InertObject(cls, "reconstruct")
        inert.base = base
        if type(base) is Known and base.leaf is dict and isinstance(content, dict):
            inert.pairs.extend(content.items())
        elif type(base) is Known and base.leaf is list and type(content) is list:
            inert.items.extend(content)
        elif content is not None:
            inert.args = (content,)
        return inert
    if type(cls) is Known and content is None:
        return cls.call(vocabulary, ())
    raise bad("copyreg._reconstructor")


def _path(kind: type[PurePath]) -> Any:
    def build(vocabulary: Vocabulary, args: Args) -> PurePath:
        if any(type(arg) is not str for arg in args) or len(args) > 1 << 12:
            raise bad("pathlib")
        return kind(*args)

    return build


def _namespace(vocabulary: Vocabulary, args: Args) -> Namespace:
    if args:
        raise bad("argparse.Namespace")
    return Namespace()


def _datetime(kind: Any) -> Any:
    def build(vocabulary: Vocabulary, args: Args) -> Any:
        first = args[0] if args else None
        if type(first) is str:  # Python 2, read as latin1
            args = (first.encode("latin1"), *args[1:])
        good = (bytes, int, float, str, datetime.timedelta, datetime.timezone, type(None))
        if any(type(arg) not in good for arg in args):
            if any(type(arg) in (InertGlobal, InertObject) for arg in args):  # a time zone class of a package
                return InertObject(InertGlobal("datetime", kind.__name__), "call", args)
            raise bad(f"datetime.{kind.__name__}")
        return kind(*args)

    return build


def _set_attributes(vocabulary: Vocabulary, target: Any, state: Any) -> bool:
    """Attributes of an ordered dictionary (a state dict's ``_metadata``) or of a namespace."""
    if type(state) is tuple and len(state) == 2 and state[0] is not None:
        state = state[0]
    # bytes: the names that Python 2 wrote, where its texts are kept as bytes; Python and torch set them so too
    if type(state) not in (dict, OrderedDict) or any(type(key) not in (str, bytes) for key in state):
        return False
    if any(type(key) is str and hasattr(type(target), key) for key in state):
        # an attribute "items" would stand before the method of that name, and hide what is in the dictionary
        raise PickleError("The pickle sets an attribute that would replace a method.")
    target.__dict__.update(state)
    return True


SETTERS: dict[type, StateSetter] = {
    OrderedDict: _set_attributes,
    Counter: _set_attributes,
    Namespace: _set_attributes,
}
