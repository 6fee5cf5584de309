"""Values -> pickle bytes, protocols 2 to 5: the other half of `machine`, without Python's own pickler.

It writes opcode by opcode what CPython's C pickler writes (tests compare them), since torch's readers and
`torchrun` know those runs. It differs on purpose in four points, so that the bytes depend on what is saved only:

* equal texts, and equal bytes, are written once and referred to by value; the C pickler goes by identity, which
  depends on what the interpreter happened to intern;
* sets are written in an order of their content (`encode_order`), not of their hashes;
* protocol 2 writes ``b""`` as `_codecs.encode` like other bytes, since torch's weights-only reader knows no `bytes()`;
* a frame of protocols 4 and 5 goes around the whole pickle; extension codes are not used.

Containers are not saved by recursion: a `Save` that has values inside gives an iterator of them (mostly it is a
generator that writes what stands between them), and `Encoder.save` keeps those iterators on a stack of its own. So
the depth of what is saved is bounded by memory, not by Python's stack, and an error knows its address.
"""

from __future__ import annotations

import struct
from _compat_pickle import REVERSE_IMPORT_MAPPING, REVERSE_NAME_MAPPING
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from dotpt.errors import UsageError
from dotpt.pickling import cannot_pickle
from dotpt.pickling.encode_objects import save_other
from dotpt.pickling.encode_order import Order
from dotpt.pickling.encode_plain import PLAIN

Save = Callable[["Encoder", Any], "Iterator[Any] | None"]

_HIGHEST_PROTOCOL = 5
_DEEPEST = 100_000  # containers within each other: beyond it, something makes new ones without end
_MOST_TEXT = 0xFFFFFFFF
_byte_and_long = struct.Struct("<BI").pack
_SMALL_INTEGERS = [b"K%c" % n for n in range(256)]
_SHORT_PUTS = [b"q%c" % n for n in range(256)]
_SHORT_GETS = [b"h%c" % n for n in range(256)]
_TEXT_HEADS = [b"X%c\0\0\0" % n for n in range(256)]
_SHORT_TEXT_HEADS = [b"\x8c%c" % n for n in range(256)]


def integer_bytes(n: int) -> bytes:
    """The opcode that pushes an integer.

    Example:
        >>> integer_bytes(300)
        b'M,\\x01'
    """
    if 0 <= n <= 0xFFFF:
        return _SMALL_INTEGERS[n] if n <= 0xFF else struct.pack("<BH", 0x4D, n)
    if -0x80000000 <= n <= 0x7FFFFFFF:
        return struct.pack("<Bi", 0x4A, n)
    size = (n if n >= 0 else ~n).bit_length() // 8 + 1
    head = b"\x8a%c" % size if size < 256 else struct.pack("<Bi", 0x8B, size)
    return head + n.to_bytes(size, "little", signed=True)


def put_bytes(index: int) -> bytes:
    """The opcode that remembers the topmost object under a memo index (BINPUT, LONG_BINPUT)."""
    return _SHORT_PUTS[index] if index < 256 else _byte_and_long(0x72, index)


def get_bytes(index: int) -> bytes:
    """The opcode that pushes what is remembered under a memo index (BINGET, LONG_BINGET)."""
    return _SHORT_GETS[index] if index < 256 else _byte_and_long(0x6A, index)


def _memoize_bytes(index: int) -> bytes:
    return b"\x94"


class Encoder:
    """Writes one pickle.

    Args:
        protocol: 2 to 5; a negative number is the highest. 1 is written as 2. There is no protocol 0: torch
            cannot read its own files of it.
        types: how values of an exact type are written, instead of our way. A `Save` is called each time a value of
            its type is met, so one that memoises begins with ``if encoder.get(value): return None``. It writes the
            value with the methods below, or gives an iterator of the values inside, and writes between them.
        reduce: what is asked how to write an object of any other type, before `copyreg` and ``__reduce_ex__``: a
            text or tuple as ``__reduce__`` returns it, or NotImplemented.
        persistent: the persistent id of an object that is neither in ``types`` nor of a plain type (None, bool,
            int, float, str, bytes, bytearray, tuple, list, dict, set, frozenset), or None if it has none.

    Attributes:
        parts: the pieces of the stream, one list for the encoder's life. Whoever appends opcodes that use the memo
            also moves `next_index`.
        next_index: the memo index that the next PUT takes.
        memo: the memo index of each object that is remembered, by its id.
        names: the memo index of each global that was written, by module and name.
        reduced: what ``__reduce__`` returned, by id of the object, of the objects that are being written.

    Raises:
        UsageError: a protocol that is not written.

    Example:
        >>> Encoder().dump([1, 1.5])
        b'\\x80\\x02]q\\x00(K\\x01G?\\xf8\\x00\\x00\\x00\\x00\\x00\\x00e.'
    """

    def __init__(
        self,
        protocol: int = 2,
        *,
        types: Mapping[type, Save] = {},
        reduce: Callable[[Any], Any] | None = None,
        persistent: Callable[[Any], Any] | None = None,
    ) -> None:
        self.protocol = _checked(protocol)
        self.reduce = reduce
        self.persistent = persistent
        self.parts: list[bytes] = []
        self.next_index = 0
        self.reduced: dict[int, Any] = {}
        self.savers: dict[type, Save] = _Savers({**PLAIN, **_TEXTS, **types})
        self.order = Order(self.protocol, tuple(kind for kind in types if kind not in PLAIN and kind not in _TEXTS))
        self._put_bytes = put_bytes if self.protocol < 4 else _memoize_bytes
        self._text_heads = _TEXT_HEADS if self.protocol < 4 else _SHORT_TEXT_HEADS
        self.memo: dict[int, int] = {}
        self._kept: list[Any] = []  # what the memo knows by id must live as long as the memo
        self._texts: dict[str, int] = {}
        self._bytes: dict[bytes, int] = {}
        self.names: dict[tuple[str, str], int] = {}
        self._waiting: list[tuple[Iterator[Any], Any]] = []
        self._running = 0
        self._failure: BaseException | None = None
        self._failed_at = 0
        self._trail: list[Any] = []

    # -- a whole pickle -----------------------------------------------------------------------------------------------

    def dump(self, value: Any) -> bytes:
        """The pickle of ``value``: `start`, `save` and `finish`.

        Raises:
            CannotPickle: something in it cannot be written; ``key`` is its address.
        """
        self.start()
        self.save(value)
        return self.finish()

    def start(self) -> None:
        """Write what a pickle begins with."""
        self.parts += (b"\x80%c" % self.protocol, b"")  # the second is the frame's, known at the end

    def finish(self) -> bytes:
        """The bytes from `start` on, with the end of the pickle; every hole must be filled."""
        self.parts.append(b".")
        if self.protocol >= 4:
            self.parts[1] = struct.pack("<BQ", 0x95, sum(map(len, islice(self.parts, 2, None))))
        return b"".join(self.parts)

    def hole(self) -> int:
        """Leave a place in `parts` that the caller fills before `finish`.

        Returns:
            Its index in `parts`.
        """
        self.parts.append(b"")
        return len(self.parts) - 1

    # -- values -------------------------------------------------------------------------------------------------------

    def save(self, value: Any) -> None:
        """Write one value and everything in it."""
        waiting, savers = self._waiting, self.savers
        height = len(waiting)
        items: Iterator[Any] = iter((value,))
        owner: Any = _NOBODY
        item: Any = value
        self._running = depth = self._running + 1
        try:
            while True:
                for item in items:
                    inside = savers[type(item)](self, item)
                    if inside is not None:
                        waiting.append((items, owner))
                        items, owner = inside, item
                        break
                else:
                    if len(waiting) == height:
                        self._running = depth - 1
                        return
                    items, owner = waiting.pop()
                    continue
                if len(waiting) > _DEEPEST:
                    raise cannot_pickle.too_deep(item, _DEEPEST)
        except BaseException as error:
            self._fail(error, depth, height, (items, owner), item)
            raise

    def text(self, text: str) -> None:
        """Write a text, or refer to an equal one."""
        index = self._texts.get(text)
        if index is not None:
            self.parts.append(_SHORT_GETS[index] if index < 256 else _byte_and_long(0x6A, index))
            return
        encoded = text.encode("utf-8", "surrogatepass")
        size = len(encoded)
        head = self._text_heads[size] if size < 256 else self._long_text_head(size)
        self._texts[text] = index = self.next_index
        self.next_index = index + 1
        self.parts += (head, encoded, self._put_bytes(index))

    def binary(self, data: bytes) -> None:
        """Write bytes, or refer to equal ones."""
        index = self._bytes.get(data)
        if index is not None:
            self.parts.append(get_bytes(index))
            return
        self.write_bytes(data)
        self._bytes[data] = self.put()

    def integer(self, n: int) -> None:
        """Write an integer."""
        self.parts.append(integer_bytes(n))

    def name(self, module: str, name: str) -> None:
        """Write a global by its name, or refer to it. Protocol 2 spells it as Python 2 does."""
        index = self.names.get((module, name))
        if index is not None:
            self.parts.append(get_bytes(index))
            return
        if self.protocol >= 4:
            self.text(module)
            self.text(name)
            self.parts.append(b"\x93")
        else:
            self.parts.append(self._global(module, name))
        self.names[module, name] = self.put()

    def memoize(self, value: Any) -> None:
        """Remember the object just written, by identity, under the next index; it is kept alive."""
        self.memo[id(value)] = index = self.next_index
        self._kept.append(value)
        self.next_index = index + 1
        self.parts.append(self._put_bytes(index))

    def alias(self, value: Any, index: int) -> None:
        """Know an object, by identity, under an index that was written already."""
        self.memo[id(value)] = index
        self._kept.append(value)

    def get(self, value: Any) -> bool:
        """Refer to an object if it is remembered.

        Returns:
            Whether it was.
        """
        index = self.memo.get(id(value))
        if index is None:
            return False
        self.parts.append(get_bytes(index))
        return True

    def put(self) -> int:
        """Remember what was just written under the next index, for the stream alone.

        Returns:
            The index.
        """
        index = self.next_index
        self.next_index = index + 1
        self.parts.append(self._put_bytes(index))
        return index

    def write_bytes(self, data: bytes) -> None:
        """Write bytes that nothing refers to."""
        size = len(data)
        if self.protocol < 3:
            self.name("_codecs", "encode")
            encoded = data.decode("latin1").encode("utf-8")
            self.parts += (self._long_text_head(len(encoded)), encoded)
            self.put()
            self.text("latin1")
            self.parts.append(b"\x86")
            self.put()
            self.parts.append(b"R")
            return
        if size <= 0xFF:
            head = b"C%c" % size
        elif size <= _MOST_TEXT:
            head = _byte_and_long(0x42, size)
        elif self.protocol >= 4:
            head = struct.pack("<BQ", 0x8E, size)
        else:
            raise cannot_pickle.too_long("bytes", size)
        self.parts += (head, data)

    def _long_text_head(self, size: int) -> bytes:
        if size <= _MOST_TEXT:
            return _byte_and_long(0x58, size)
        if self.protocol >= 4:
            return struct.pack("<BQ", 0x8D, size)
        raise cannot_pickle.too_long("text", size)

    def _global(self, module: str, name: str) -> bytes:
        written = module, name
        if self.protocol < 3:
            if written in REVERSE_NAME_MAPPING:
                written = REVERSE_NAME_MAPPING[written]
            elif module in REVERSE_IMPORT_MAPPING:
                written = REVERSE_IMPORT_MAPPING[module], name
        spelled = "c{}\n{}\n".format(*written)
        if spelled.count("\n") != 2 or (self.protocol < 3 and not spelled.isascii()):
            raise cannot_pickle.unwritable_name(module, name, self.protocol)
        return spelled.encode("utf-8")

    def _fail(self, error: BaseException, depth: int, height: int, top: tuple[Iterator[Any], Any], item: Any) -> None:
        """Note the way to where it failed; the outermost `save` tells the error, or raises a better one."""
        self._running = depth - 1
        if error is not self._failure:
            self._failure, self._failed_at, self._trail = error, depth, []
        owners = [owner for _, owner in (*self._waiting[height:], top) if owner is not _NOBODY]
        # a generator that has raised is over: it failed itself, and not what it gave last
        failed_itself = getattr(top[0], "gi_frame", top[0]) is None
        self._trail[:0] = owners if failed_itself else [*owners, item]
        del self._waiting[height:]
        if depth > 1:
            return
        trail, reduced = self._trail, self.reduced.copy()
        self._failure, self._trail = None, []
        self.reduced.clear()
        if isinstance(error, Exception):
            cannot_pickle.place(error, trail, reduced, self._failed_at)


_NOBODY = object()


def _checked(protocol: int) -> int:
    if protocol == 0 or protocol > _HIGHEST_PROTOCOL:
        raise UsageError(
            f"Protocol {protocol} of pickle is not written.",
            found=protocol,
            expected=f"2 to {_HIGHEST_PROTOCOL}",
            hint="leave it at 2, which every torch reads with weights_only=True",
        )
    return _HIGHEST_PROTOCOL if protocol < 0 else max(protocol, 2)


class _Savers(dict[type, Save]):
    """How each exact type is written; what is not in it is an object."""

    def __missing__(self, kind: type) -> Save:
        self[kind] = save_other
        return save_other


_TEXTS: dict[type, Save] = {str: Encoder.text, bytes: Encoder.binary, int: Encoder.integer}
