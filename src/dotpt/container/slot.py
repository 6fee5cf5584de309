"""What crosses this boundary: a text in, the same text padded to a given size and a given CRC-32 out.

A record that is changed in place must keep its size and its checksum, for both stand elsewhere in the archive too.
The text (JSON) is followed by whitespace up to the size, and the last 32 characters of it are spaces or tabs, chosen
such that the checksum comes out: turning one into the other changes the CRC by a vector of 32 bits that depends on
the place only, and the vectors of 32 neighbouring places are independent. So for every text and every checksum there
is exactly one choice.
"""

from __future__ import annotations

from functools import cache

from dotpt.container.crc import crc32

STEERING = 32  # characters at the end that the checksum decides on: as many as it has bits
_SPACE, _TAB = b" \t"
_TURN = _SPACE ^ _TAB


def padded(text: bytes, size: int, crc: int) -> bytes:
    """``text`` and whitespace, ``size`` bytes together, with the CRC-32 ``crc``.

    Args:
        text: at least 32 bytes shorter than ``size``.

    Example:
        >>> found = padded(b"{}", 4096, 0x12345678)
        >>> found.strip(), len(found), hex(crc32(found))
        (b'{}', 4096, '0x12345678')
    """
    content = bytearray(text.ljust(size, b" "))
    wrong = crc32(content) ^ crc
    for bit, places in enumerate(_places()):
        if wrong >> bit & 1:
            for place in places:
                content[size - STEERING + place] ^= _TURN
    return bytes(content)


@cache
def _places() -> list[list[int]]:
    """For each bit of the checksum, the places of the last 32 whose turning changes this bit alone (Gauss, Jordan)."""
    zeros = bytes(STEERING)
    none_turned = crc32(zeros)
    rows: list[tuple[int, int]] = []  # the bits that change, and the places turned, as bits too
    for place in range(STEERING):
        change = crc32(zeros[:place] + bytes([_TURN]) + zeros[place + 1 :]) ^ none_turned
        turned = 1 << place
        for other, its_places in rows:
            if change & other & -other:  # each row owns its lowest bit
                change, turned = change ^ other, turned ^ its_places
        owned = change & -change
        rows = [(c ^ change, t ^ turned) if c & owned else (c, t) for c, t in rows]
        rows.append((change, turned))
    # 32 rows that own a bit each: nothing but that bit is left in them
    return [[place for place in range(STEERING) if turned >> place & 1] for _, turned in sorted(rows)]
