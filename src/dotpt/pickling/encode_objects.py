"""How the encoder writes objects that are not Python's own: by name, or by what ``__reduce_ex__`` says of them.

The rules are those of Python's pickler: a class or function is written by its name if that name leads back to it;
for anything else `copyreg.dispatch_table` and then ``__reduce_ex__`` are asked, whose answer is a name or
``(callable, arguments[, state[, items[, pairs[, state setter]]]])``. Everything that cannot be written ends in
`CannotPickle`; what the object's own methods raise goes through unchanged.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Iterator
from copyreg import dispatch_table
from functools import partial
from itertools import islice
from types import FunctionType
from typing import TYPE_CHECKING, Any

from dotpt.pickling import cannot_pickle

if TYPE_CHECKING:
    from dotpt.pickling.encoder import Encoder

BATCH = 1000  # items that one APPENDS or SETITEMS takes
_UNNAMED_TYPES = {type(None): None, type(NotImplemented): NotImplemented, type(...): ...}

Steps = Iterator[Any]
Append = Callable[[bytes], None]


def save_other(encoder: Encoder, value: Any) -> Steps | None:
    """Write an object of no plain type: by its persistent id, if it has one."""
    if encoder.persistent is not None:
        pid = encoder.persistent(value)
        if pid is not None:
            return _persistent_steps(encoder, pid)
    return save_object(encoder, value)


def _persistent_steps(encoder: Encoder, pid: Any) -> Steps:
    saver = encoder.savers[type(pid)]
    inside = save_object(encoder, pid) if saver is save_other else saver(encoder, pid)  # an id has no id
    if inside is not None:
        yield from inside
    encoder.parts.append(b"Q")


def save_object(encoder: Encoder, value: Any) -> Steps | None:
    """Write an object by its name or by what it reduces to, or refer to it."""
    if encoder.get(value):
        return None
    reduced = NotImplemented if encoder.reduce is None else encoder.reduce(value)
    if reduced is NotImplemented:
        kind = type(value)
        if kind is type and value in _UNNAMED_TYPES:
            return steps_of_reduced(encoder, value, (type, (_UNNAMED_TYPES[value],)))
        if kind is type or kind is FunctionType:
            return _save_global(encoder, value)
        if kind.__name__ == "PickleBuffer" and kind.__module__ == "pickle":
            _save_buffer(encoder, value)
            return None
        asked = dispatch_table.get(kind)
        if asked is None and issubclass(kind, type):
            return _save_global(encoder, value)
        reduced = asked(value) if asked is not None else _reduced(encoder, value)
    if isinstance(reduced, str):
        return _save_global(encoder, value, reduced)
    if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6:
        raise cannot_pickle.wrong_reduction(value, "is neither a text nor a tuple of two to six parts")
    return steps_of_reduced(encoder, value, reduced)


def _reduced(encoder: Encoder, value: Any) -> Any:
    try:
        return value.__reduce_ex__(encoder.protocol)
    except TypeError as error:
        # Raised by the method itself, in C: Python's word for types that cannot be written. Methods written in
        # Python are the user's, and so are their errors.
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise cannot_pickle.unwritable(value, error) from error
        raise


# -- what __reduce_ex__ returned -----------------------------------------------------------------------------------


def steps_of_reduced(encoder: Encoder, value: Any, reduced: tuple[Any, ...]) -> Steps:
    """Write an object as the call, items and state that ``reduced`` lists; gives the values in them."""
    callee, args, state, items, pairs, setter = (*reduced, None, None, None, None)[:6]
    if not isinstance(args, tuple):
        raise cannot_pickle.wrong_reduction(value, "has arguments that are no tuple")
    if not callable(callee):
        raise cannot_pickle.wrong_reduction(value, "begins with something that cannot be called")
    encoder.reduced[id(value)] = reduced
    append = encoder.parts.append
    how = getattr(callee, "__name__", "")
    if how == "__newobj__":
        _check_class(value, args)
        yield args[0]
        yield args[1:]
        append(b"\x81")
    elif how == "__newobj_ex__":
        yield from _new_with_keywords(encoder, value, args)
    else:
        yield callee
        yield args
        append(b"R")
    if id(value) in encoder.memo:  # it lies in its own arguments, and was written meanwhile
        append(b"0")
        encoder.get(value)
    else:
        encoder.memoize(value)
    if items is not None:
        yield from _items(append, items)
    if pairs is not None:
        yield from _pairs(append, value, pairs)
    if state is not None:
        yield from _state(append, value, state, setter)
    encoder.reduced.pop(id(value), None)


def _check_class(value: Any, args: tuple[Any, ...]) -> None:
    if not args or not hasattr(args[0], "__new__") or args[0] is not value.__class__:
        raise cannot_pickle.wrong_reduction(value, "makes an object of another class")


def _new_with_keywords(encoder: Encoder, value: Any, args: tuple[Any, ...]) -> Steps:
    _check_class(value, args)
    if list(map(type, args[1:])) != [tuple, dict]:
        raise cannot_pickle.wrong_reduction(value, "has arguments that are no tuple and dictionary")
    cls, positional, keywords = args
    if encoder.protocol >= 4:
        yield cls
        yield positional
        yield keywords
        encoder.parts.append(b"\x92")
    else:
        yield partial(cls.__new__, cls, *positional, **keywords)
        yield ()
        encoder.parts.append(b"R")


def _items(append: Append, items: Iterable[Any]) -> Steps:
    rest = iter(items)
    while batch := list(islice(rest, BATCH)):
        if len(batch) == 1:
            yield batch[0]
            append(b"a")
            return
        append(b"(")
        yield from batch
        append(b"e")


def _pairs(append: Append, value: Any, pairs: Iterable[Any]) -> Steps:
    rest = iter(pairs)
    while batch := list(islice(rest, BATCH)):
        if any(not isinstance(pair, tuple) or len(pair) != 2 for pair in batch):
            raise cannot_pickle.wrong_reduction(value, "has dictionary items that are no pairs")
        if len(batch) == 1:
            yield from batch[0]
            append(b"s")
            return
        append(b"(")
        for pair in batch:
            yield from pair
        append(b"u")


def _state(append: Append, value: Any, state: Any, setter: Any) -> Steps:
    if setter is None:
        yield state
        append(b"b")
        return
    yield setter
    yield value
    yield state
    append(b"\x86R0")  # the setter changes the object; what it returns is dropped


# -- by name -------------------------------------------------------------------------------------------------------


def _save_global(encoder: Encoder, value: Any, name: str | None = None) -> Steps | None:
    """Write a class, function or constant by its name, having checked that the name leads to it."""
    if name is None:
        name = getattr(value, "__qualname__", None) or value.__name__
    module_name, parent = _find(value, name)
    if parent is None:
        name = name.rpartition(".")[2]
    elif encoder.protocol < 4:
        return _attribute_steps(encoder, value, parent, name.rpartition(".")[2])
    encoder.name(module_name, name)
    encoder.alias(value, encoder.names[module_name, name])
    return None


def _attribute_steps(encoder: Encoder, value: Any, parent: Any, name: str) -> Steps:
    """Before protocol 4 a name has no dots: a class in a class is an attribute of it.

    This is how Python up to 3.12 writes it; 3.13 writes the outer class again each time.
    """
    yield getattr
    yield (parent, name)
    encoder.parts.append(b"R")
    encoder.memoize(value)


def _find(value: Any, name: str) -> tuple[str, Any]:
    """The module of a name, and what holds it there: None if that is the module itself."""
    module_name = _module_of(value, name)
    if type(module_name) is not str or not module_name:
        raise cannot_pickle.not_found(value, str(module_name), name)
    try:
        __import__(module_name)
        module = sys.modules[module_name]
        found, parent = _follow(module, name)
    except (ImportError, KeyError, AttributeError):
        raise cannot_pickle.not_found(value, module_name, name) from None
    if found is not value:
        raise cannot_pickle.another(value, module_name, name)
    return module_name, None if parent is module else parent


def _follow(module: Any, name: str) -> tuple[Any, Any]:
    found = parent = module
    for part in name.split("."):
        if part == "<locals>":
            raise AttributeError(name)
        parent, found = found, getattr(found, part)
    return found, parent


def _module_of(value: Any, name: str) -> Any:
    module_name = getattr(value, "__module__", None)
    if module_name is not None:
        return module_name
    for module_name, module in sys.modules.copy().items():
        if module_name in ("__main__", "__mp_main__") or module is None:
            continue
        try:
            if _follow(module, name)[0] is value:
                return module_name
        except Exception:  # noqa: S112 - a module that loads its parts late fails in its own ways: it is not this one
            continue
    return "__main__"


# -- buffers -------------------------------------------------------------------------------------------------------


def _save_buffer(encoder: Encoder, value: Any) -> None:
    """Write a `pickle.PickleBuffer` (numpy's arrays give one in protocol 5) in the stream itself."""
    if encoder.protocol < 5:
        raise cannot_pickle.wrong_reduction(value, "is asked for in a protocol below 5")
    with memoryview(value) as view:
        if not view.contiguous:
            raise cannot_pickle.wrong_reduction(value, "refers to memory that is not contiguous")
        read_only = view.readonly
    with value.raw() as raw:
        if read_only:
            encoder.write_bytes(bytes(raw))
        else:
            encoder.parts += (struct.pack("<BQ", 0x96, len(raw)), bytes(raw))
    encoder.memoize(value)
