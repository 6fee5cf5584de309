"""How the encoder writes Python's own scalars and containers, batch by batch as the C pickler does.

Each function writes a value or refers to it; of a container it gives the values inside, for the encoder to write
in between (see `Encoder.save`). Containers are remembered before what is in them, tuples and frozensets after it:
so those may turn out to be known already when their parts are written, if one of the parts leads back to them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from dotpt.pickling.encode_objects import BATCH, steps_of_reduced

if TYPE_CHECKING:
    from dotpt.pickling.encoder import Encoder, Save

_byte_and_double = struct.Struct(">Bd").pack


def _none(encoder: Encoder, value: None) -> None:
    encoder.parts.append(b"N")


def _bool(encoder: Encoder, value: bool) -> None:
    encoder.parts.append(b"\x88" if value else b"\x89")


def _float(encoder: Encoder, value: float) -> None:
    encoder.parts.append(_byte_and_double(0x47, value))


def _bytearray(encoder: Encoder, value: bytearray) -> None:
    if encoder.get(value):
        return
    if encoder.protocol >= 5:
        encoder.parts += (struct.pack("<BQ", 0x96, len(value)), bytes(value))
    else:
        encoder.name("builtins", "bytearray")
        if value:
            encoder.write_bytes(bytes(value))
            encoder.put()
            encoder.parts.append(b"\x85")
            encoder.put()
        else:
            encoder.parts.append(b")")
        encoder.parts.append(b"R")
    encoder.memoize(value)


def _list(encoder: Encoder, value: list[Any]) -> Iterator[Any] | None:
    if encoder.get(value):
        return None
    encoder.parts.append(b"]")
    encoder.memoize(value)
    return _list_items(encoder.parts.append, value) if value else None


def _list_items(append: Callable[[bytes], None], value: list[Any]) -> Iterator[Any]:
    if len(value) == 1:
        yield value[0]
        append(b"a")
        return
    for start in range(0, len(value), BATCH):
        append(b"(")
        yield from value[start : start + BATCH]
        append(b"e")


def _dict(encoder: Encoder, value: dict[Any, Any]) -> Iterator[Any] | None:
    if encoder.get(value):
        return None
    encoder.parts.append(b"}")
    encoder.memoize(value)
    return _dict_items(encoder.parts.append, value) if value else None


def _dict_items(append: Callable[[bytes], None], value: dict[Any, Any]) -> Iterator[Any]:
    flat = chain.from_iterable(value.items())
    if len(value) == 1:
        yield from flat
        append(b"s")
        return
    # the C pickler ends a dictionary of 1000, 2000, ... items with an empty batch, and so do we
    for _ in range(0, len(value) + 1, BATCH):
        append(b"(")
        yield from islice(flat, 2 * BATCH)
        append(b"u")


def _tuple(encoder: Encoder, value: tuple[Any, ...]) -> Iterator[Any] | None:
    if not value:
        encoder.parts.append(b")")
        return None
    return None if encoder.get(value) else _tuple_items(encoder, value)


def _tuple_items(encoder: Encoder, value: tuple[Any, ...]) -> Iterator[Any]:
    append, size = encoder.parts.append, len(value)
    if size > 3:
        append(b"(")
    yield from value
    if id(value) in encoder.memo:  # it lies in itself, through a list in it, and was written meanwhile
        append(b"1" if size > 3 else b"0" * size)
        encoder.get(value)
        return
    append(_TUPLES[min(size, 4)])
    encoder.memoize(value)


_TUPLES = (b")", b"\x85", b"\x86", b"\x87", b"t")


def _set(encoder: Encoder, value: set[Any]) -> Iterator[Any] | None:
    if encoder.get(value):
        return None
    members = encoder.order.of(value, encoder.memo)
    if encoder.protocol < 4:
        return steps_of_reduced(encoder, value, (set, (members,)))
    encoder.parts.append(b"\x8f")
    encoder.memoize(value)
    return _set_items(encoder.parts.append, members)


def _set_items(append: Callable[[bytes], None], members: list[Any]) -> Iterator[Any]:
    for start in range(0, len(members), BATCH):
        append(b"(")
        yield from members[start : start + BATCH]
        append(b"\x90")


def _frozenset(encoder: Encoder, value: frozenset[Any]) -> Iterator[Any] | None:
    if encoder.get(value):
        return None
    members = encoder.order.of(value, encoder.memo)
    if encoder.protocol < 4:
        return steps_of_reduced(encoder, value, (frozenset, (members,)))
    return _frozenset_items(encoder, value, members)


def _frozenset_items(encoder: Encoder, value: frozenset[Any], members: Iterable[Any]) -> Iterator[Any]:
    encoder.parts.append(b"(")
    yield from members
    if id(value) in encoder.memo:  # as with tuples
        encoder.parts.append(b"1")
        encoder.get(value)
        return
    encoder.parts.append(b"\x91")
    encoder.memoize(value)


PLAIN: dict[type, Save] = {
    type(None): _none, bool: _bool, float: _float, bytearray: _bytearray, list: _list, dict: _dict, tuple: _tuple,
    set: _set, frozenset: _frozenset,
}  # fmt: skip
