"""Real files, changed: any byte, whole spans, opcodes of their pickles, a record inside a zip that is whole again.

A changed byte in a zip is mostly caught by a checksum. What lies behind the checksums is reached by packing the
records anew around one that was changed.
"""

from __future__ import annotations

import gzip
import zipfile
import zlib
from functools import cache

from tests.corpus.legacy_tar import EXAMPLES as TARS
from tests.corpus.old import EXAMPLES as OLD
from tests.corpus.stored import FIXTURES
from tests.corpus.torch_zip import Records, Style, read, write

from . import opcodes
from .choices import Choices

_LARGEST = 24_000
_INTERESTING = (b"\0", b"\xff", b"\x7f", b"\x80", b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80",
                b"\xff" * 8, b"PK\3\4", b"PK\5\6", b".", b"(", b"\n", b"R", b"Q", b"\x80\2",
                b"\x95" + b"\0" * 8)  # fmt: skip


@cache
def files() -> dict[str, bytes]:
    """Small real files of every kind, by name."""
    found = {f"old {name}": data for name, data in OLD.items()} | dict(TARS)
    for root in (FIXTURES, FIXTURES.parent / "old_fixtures"):
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".json" and path.stat().st_size <= _LARGEST:
                found[path.relative_to(root.parent).as_posix()] = path.read_bytes()
    return found


@cache
def _by_kind() -> dict[str, list[str]]:
    """Names of the files by the folder that they lie in: a kind of few files is chosen as often as one of many."""
    kinds: dict[str, list[str]] = {}
    for name in files():
        kind = "old" if name.startswith("old_fixtures") else name.rpartition("/")[0]
        kinds.setdefault(kind, []).append(name)
    return kinds


def mutant(choices: Choices) -> bytes:
    """One real file with one to four changes."""
    kinds = _by_kind()
    data = files()[choices.pick(kinds[choices.pick(sorted(kinds))])]
    if choices.below(3) and (deep := _deep(choices, data)) is not None:
        return deep
    return _changed(choices, data)


def _changed(choices: Choices, data: bytes) -> bytes:
    for _ in range(1 + choices.below(4)):
        data = _change(choices, data)
    return data


def _change(choices: Choices, data: bytes) -> bytes:
    at = choices.below(len(data) + 1)
    end = min(at + 1 + choices.below(40), len(data))
    how = choices.below(9)
    if how == 0 and at < len(data):
        return data[:at] + bytes((data[at] ^ 1 << choices.below(8),)) + data[at + 1 :]
    if how == 1:
        new = choices.pick(_INTERESTING)
        return data[:at] + new + data[at + len(new) :]
    if how == 2:
        return data[:at]
    if how == 3:
        return data[:at] + data[end:]
    if how == 4:
        return data[:at] + data[at:end] + data[at:]
    if how == 5:
        return data[:at] + choices.blob(16) + data[at:]
    if how == 6:
        other = files()[choices.pick(sorted(files()))]
        return data[:at] + other[choices.below(len(other) + 1) :]
    if how == 7:
        return data[:at] + bytes(end - at) + data[end:]
    return data[:at] + choices.blob(4) + data[at + 4 :]


def _deep(choices: Choices, data: bytes) -> bytes | None:
    """The file with one part of it changed and all around that part made right again; None if it has no parts."""
    if data[:4] == b"PK\3\4":
        return _deep_zip(choices, data)
    if data[:2] == b"\x1f\x8b":
        return gzip.compress(_changed(choices, gzip.decompress(data)), mtime=0)
    if data[:1] in (b"\x80", b"(", b"}"):
        return _pickles(choices, data)
    if len(data) > 600 and data[257:262] == b"ustar":
        return _deep_tar(choices, data)
    return None


def _deep_zip(choices: Choices, data: bytes) -> bytes:
    root, records = _records(data)
    if not records:
        return _changed(choices, data)
    records = list(records)
    at = choices.below(len(records))
    name, body = records[at]
    if name.endswith(".pkl"):
        body = _pickles(choices, body)
    elif choices.once_in(6):
        name = choices.pick((name.upper(), name + "0", "data.pkl", "constants.pkl", "extra/x", ".dotpt/manifest"))
    else:
        body = _changed(choices, body)
    records[at] = (name, body)
    return write(records, Style(root, crc=not choices.once_in(4), descriptors=not choices.once_in(4)))


@cache
def _records(data: bytes) -> tuple[str, Records]:
    """Root and records; none of an archive whose checksums are left out, or which is no plain one."""
    try:
        return read(data)
    except zipfile.BadZipFile:
        return "", []


def _pickles(choices: Choices, data: bytes) -> bytes:
    """The first pickle of these bytes with its opcodes changed, and what follows it as it was."""
    streams, at = _streams(data)
    if not streams:
        return _changed(choices, data)
    which = choices.below(len(streams))
    made = opcodes.hostile(choices, opcodes.split(streams[which]))
    return b"".join([*streams[:which], made, *streams[which + 1 :], data[at:]])


@cache
def _streams(data: bytes) -> tuple[list[bytes], int]:
    """The pickles one after the other at the beginning, and where they end."""
    found, at = [], 0
    while at < len(data):
        try:
            ops = opcodes.split(data[at:])
        except Exception:  # no pickle, or one that pickletools cannot read: a legacy file's tensors begin
            break
        length = sum(map(len, ops))
        if not ops or ops[-1] != b".":
            break
        found.append(data[at : at + length])
        at += length
    return found, at


def _deep_tar(choices: Choices, data: bytes) -> bytes:
    """A tar with a header or a member changed, its header's checksum right."""
    at = 512 * choices.below(len(data) // 512)
    block = _changed(choices, data[at : at + 512])[:512].ljust(512, b"\0")
    if data[at + 257 : at + 262] == b"ustar":
        total = sum(block[:148]) + 8 * 32 + sum(block[156:])
        block = block[:148] + b"%06o\0 " % total + block[156:]
    return data[:at] + block + data[at + 512 :]


def packed(choices: Choices, data: bytes) -> bytes:
    """The same bytes inside something that holds files."""
    how = choices.below(4)
    if how == 0:
        return gzip.compress(data, mtime=0)
    if how == 1:
        return write([("data.pkl", b"\x80\x02N."), ("version", b"3\n"), ("extra/inner.pt", data)])
    if how == 2:
        return zlib.compress(data)
    return write([("inner.pt", data)])
