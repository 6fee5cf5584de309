"""Rewrites of a torch-written archive: to the layout of older versions, to another byte order, to rarer encodings.

Each function takes the bytes of an archive and returns the bytes of another that holds the same objects.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from . import torch_zip
from .torch_zip import Records, Style

_STORAGE = re.compile(r"data/\d+")


def _split(data: bytes) -> tuple[str, dict[str, bytes], dict[str, bytes]]:
    """Return the root, the storages by key and the other records by name."""
    root, records = torch_zip.read(data)
    storages = {name.removeprefix("data/"): body for name, body in records if _STORAGE.fullmatch(name)}
    return root, storages, {name: body for name, body in records if not _STORAGE.fullmatch(name)}


def _sorted(storages: dict[str, bytes]) -> Records:
    """Records of the storages in the order of their keys as text, as up to torch 2.6: 0, 1, 10, 11, 2."""
    return [(f"data/{key}", storages[key]) for key in sorted(storages)]


def torch_1_4(data: bytes) -> bytes:
    """``version`` first and 2, addresses as storage keys, no other records."""
    root, storages, other = _split(data)
    stream, storages = _address_keys(other["data.pkl"], storages)
    return torch_zip.write([("version", b"2\n"), ("data.pkl", stream), *_sorted(storages)], Style(root))


def torch_1_6(data: bytes) -> bytes:
    """``version`` last and 3, addresses as storage keys."""
    root, storages, other = _split(data)
    stream, storages = _address_keys(other["data.pkl"], storages)
    return torch_zip.write([("data.pkl", stream), *_sorted(storages), ("version", b"3\n")], Style(root))


def torch_2_0(data: bytes) -> bytes:
    """Storage keys counted, still no ``byteorder``."""
    root, storages, other = _split(data)
    return torch_zip.write([("data.pkl", other["data.pkl"]), *_sorted(storages), ("version", b"3\n")], Style(root))


def torch_2_1(data: bytes) -> bytes:
    """With ``byteorder`` and a serialization id."""
    root, storages, other = _split(data)
    records = [("data.pkl", other["data.pkl"]), ("byteorder", b"little"), *_sorted(storages), ("version", b"3\n")]
    return torch_zip.write([*records, _identity(other)], Style(root))


#: Nothing in the layout changed between 2.1 and 2.6; both names are kept for the tests' sake.
torch_2_6 = torch_2_1


def _identity(other: dict[str, bytes]) -> tuple[str, bytes]:
    return (".data/serialization_id", other[".data/serialization_id"])


def deflated(data: bytes) -> bytes:
    """Every record compressed, as somebody's zip tool would leave it."""
    root, records = torch_zip.read(data)
    return torch_zip.write(records, Style(root, deflated=None))


def zip64_forced(data: bytes) -> bytes:
    """64-bit sizes and offsets for every record, as torch writes from 4 GiB on."""
    root, records = torch_zip.read(data)
    return torch_zip.write(records, Style(root, zip64=True))


def no_descriptors(data: bytes) -> bytes:
    """Sizes and checksums in the local headers."""
    root, records = torch_zip.read(data)
    return torch_zip.write(records, Style(root, descriptors=False))


def extra_records(data: bytes) -> bytes:
    """With records that torch does not know and ignores."""
    root, records = torch_zip.read(data)
    return torch_zip.write([*records, ("extra/note.txt", b"hello"), (".dotpt/manifest", b"{}")], Style(root))


def big_endian(data: bytes) -> bytes:
    """As a big-endian machine writes: ``byteorder`` says big and every element is turned round."""
    return _turned(data, mark=True)


def big_endian_unmarked(data: bytes) -> bytes:
    """As a big-endian machine wrote before torch 2.1: no ``byteorder``, so only the reader's wish can tell."""
    return _turned(data, mark=False)


def _turned(data: bytes, *, mark: bool) -> bytes:
    root, records = torch_zip.read(data)
    sizes = element_sizes(dict(records)["data.pkl"])
    turned: Records = []
    for name, body in records:
        if _STORAGE.fullmatch(name):
            size = sizes.get(name.removeprefix("data/"), 1)
            turned.append((name, np.frombuffer(body, np.uint8).reshape(-1, size)[:, ::-1].tobytes()))
        elif name == "byteorder":
            turned += [(name, b"big")] if mark else []
        else:
            turned.append((name, body))
    return torch_zip.write(turned, Style(root))


# Bytes that change places together: a complex number is two floats, each turned round by itself.
_SIZES = {
    **dict.fromkeys(("ShortStorage", "HalfStorage", "BFloat16Storage"), 2),
    **dict.fromkeys(("IntStorage", "FloatStorage", "QInt32Storage", "ComplexFloatStorage"), 4),
    **dict.fromkeys(("LongStorage", "DoubleStorage", "ComplexDoubleStorage"), 8),
    **{"uint16": 2, "bits16": 2, "complex32": 2, "uint32": 4, "uint64": 8},
}


def element_sizes(stream: bytes) -> dict[str, int]:
    """Return, for each storage key of a ``data.pkl``, how many bytes change places together.

    An untyped storage takes the dtype of the tensor rebuilt from it; alone, it is bytes. Nothing the pickle names is
    imported: every global is a stand-in.
    """
    sizes: dict[str, int] = {}

    class Inert:
        """Stands for any global: can be called, built, appended to."""

        def __new__(cls, *args: Any) -> Any:
            if cls.__name__ == "_rebuild_tensor_v3":
                sizes[args[0]] = _SIZES.get(args[6].__name__, 1)
            return object.__new__(cls)

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.state = None

        def __setstate__(self, state: Any) -> None:
            self.state = state

        def __setitem__(self, key: Any, value: Any) -> None: ...

        def append(self, item: Any) -> None: ...

        def extend(self, items: Any) -> None: ...

        add = append

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            return type(name, (Inert,), {})

        def persistent_load(self, pid: Any) -> str:
            _, storage_class, key, *_ = pid
            sizes.setdefault(key, _SIZES.get(storage_class.__name__, 1))
            return str(key)

    Reader(BytesIO(stream)).load()
    return sizes


def _address_keys(stream: bytes, storages: dict[str, bytes]) -> tuple[bytes, dict[str, bytes]]:
    """Rename the storage keys to addresses, which is what torch used up to 1.7."""
    names = {key: str(94_000_000_000_064 + 96 * int(key)) for key in storages}
    return _map_keys(stream, names.__getitem__), {names[key]: body for key, body in storages.items()}


def _map_keys(stream: bytes, rename: Callable[[str], str]) -> bytes:
    """Rename the third item of every ``('storage', class, key, location, numel)`` that BINPERSID takes."""
    ops = [(op.name, arg, pos) for op, arg, pos in pickletools.genops(stream)]
    ends = [pos for _, _, pos in ops[1:]] + [len(stream)]
    wanted: set[int] = set()
    for i, (name, _, _) in enumerate(ops):
        if name == "BINPERSID":
            mark = max(j for j in range(i) if ops[j][0] == "MARK")
            values = [j for j in range(mark + 1, i) if "PUT" not in ops[j][0]]
            wanted.add(values[2])
    out = bytearray()
    for i, (name, arg, pos) in enumerate(ops):
        if i in wanted and name == "BINUNICODE":
            text = rename(arg).encode()
            out += b"X" + len(text).to_bytes(4, "little") + text
        else:  # a key met before comes by BINGET, from a memo that now holds the new name
            out += stream[pos : ends[i]]
    return bytes(out)
