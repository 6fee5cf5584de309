"""The order in which the members of a set are written: by their content, so that equal sets give equal bytes.

Python orders a set by hashes, which differ from process to process for texts and from object to object for most
others. `Order` sorts plain members by type and value, and others by the pickle that each would make alone. For
that, members of a set are asked twice for their state. What has no content to sort by keeps Python's order: members
whose types the caller of the encoder writes itself (tensors: asking for their bytes has effects), members that
fail (the encoder meets the same failure, and reports it), and tangles of sets that would take too long.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dotpt.pickling.encoder import Encoder

_DIRECT = (str, int, bytes)
_DEEPEST = 50  # plain tuples within each other
_STEPS, _STEPS_A_MEMBER = 1_000_000, 100
_LAST = 1 << 63


class _NoOrder(Exception):
    """Members that cannot be sorted by content."""


class Order:
    """Sorts the sets of one pickle.

    Args:
        protocol: the pickle's.
        foreign: types that their own `Save` writes.
    """

    def __init__(self, protocol: int, foreign: tuple[type, ...]) -> None:
        self._protocol = protocol
        self._foreign = foreign
        self._steps = _STEPS  # nested members that may be looked at: shared ones are, once a path to them
        self._open: set[int] = set()

    def of(self, members: set[Any] | frozenset[Any], memo: Mapping[int, int]) -> list[Any]:
        """The members in their order.

        Args:
            memo: memo indices by id. Members of the same content come as they were met before.
        """
        kinds = set(map(type, members))
        if len(kinds) == 1 and not kinds.isdisjoint(_DIRECT):
            return sorted(members)
        if len(members) < 2:
            return list(members)
        self._steps += _STEPS_A_MEMBER * len(members)
        self._open = {id(members)}
        try:
            keys = {id(member): (self._key(member), memo.get(id(member), _LAST)) for member in members}
        except Exception:  # whatever a member's own method raises: it is asked again, and heard, when it is written
            return list(members)
        return sorted(members, key=lambda member: keys[id(member)])

    def _key(self, member: Any) -> tuple[bool, str, Any]:
        plain = self._plain(member, 0)
        return (False, *plain) if plain is not None else (True, type(member).__qualname__, self._alone(member))

    def _plain(self, value: Any, depth: int) -> tuple[str, Any] | None:
        """Type and value of a plain member, such that any two of one type can be compared."""
        self._step()
        kind = type(value)
        if kind in (str, int, bytes, bool):
            return kind.__name__, value
        if kind is float:
            return "float", struct.pack(">d", value)  # NaNs have no order among numbers
        if kind is complex:
            return "complex", struct.pack(">dd", value.real, value.imag)
        if value is None:
            return "NoneType", 0
        if kind in (tuple, frozenset) and depth < _DEEPEST:
            parts = [self._plain(item, depth + 1) for item in value]
            whole = [part for part in parts if part is not None]
            if len(whole) == len(parts):
                return kind.__name__, whole if kind is tuple else sorted(whole)
        return None

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0:
            raise _NoOrder

    def _alone(self, member: Any) -> bytes:
        """The pickle of one member, in which sets stand as the sorted spellings of their members."""
        from dotpt.pickling.encoder import Encoder

        types = {**dict.fromkeys(self._foreign, self._refuse), set: self._spell, frozenset: self._spell}
        return Encoder(self._protocol, types=types, reduce=self._claim).dump(member)

    def _refuse(self, encoder: Encoder, value: Any) -> None:
        raise _NoOrder

    def _claim(self, value: Any) -> Any:
        if isinstance(value, self._foreign):
            raise _NoOrder
        return NotImplemented

    def _spell(self, encoder: Encoder, value: Iterable[Any]) -> None:
        if encoder.get(value):
            return
        encoder.memoize(value)
        if id(value) in self._open:  # a member that leads back to its set
            return
        self._open.add(id(value))
        encoder.parts.append(ascii(sorted(self._key(member) for member in value)).encode())
        self._open.discard(id(value))
