"""Small files to scan, built from opcodes and never unpickled."""

from __future__ import annotations

from pathlib import Path

from tests.corpus import torch_zip


def call(module: str, name: str, argument: str = "true") -> bytes:
    """A pickle that calls a function with one text: GLOBAL, the text, TUPLE1, REDUCE."""
    text = argument.encode()
    return b"\x80\x02c%s\n%s\nX%s%s\x85R." % (module.encode(), name.encode(), len(text).to_bytes(4, "little"), text)


def names(*full: str) -> bytes:
    """A pickle that is a list of classes."""
    return b"\x80\x02](" + b"".join(b"c%s\n%s\n" % tuple(name.encode().rsplit(b".", 1)) for name in full) + b"e."


CLEAN = b"\x80\x02}X\x01\x00\x00\x00aK\x01s."
EVIL = call("os", "system")
UNKNOWN = names("my_package.nets.Net")
CUT = EVIL[:10]


def in_zip(pickle: bytes) -> bytes:
    """A pickle as the one of a file of torch's."""
    records = [("data.pkl", pickle), ("byteorder", b"little"), ("version", b"3\n")]
    return torch_zip.write(records)


def fill(folder: Path, **contents: bytes) -> Path:
    """Write files: the part of a keyword before the last underscore is the name, the rest is the suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        stem, _, suffix = name.rpartition("_")
        (folder / f"{stem}.{suffix}").write_bytes(content)
    return folder
