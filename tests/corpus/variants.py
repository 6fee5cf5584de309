"""The table of ways to write: ``VARIANTS["legacy"](obj, path)`` writes `obj` and returns where it lies.

The first kind is torch's own writer with its options; the second rewrites a torch-written archive to the layout of
another version or platform. Legacy storage keys are memory addresses; here they are counted, so that files repeat.
"""

from __future__ import annotations

import gzip
import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.serialization import get_crc32_options, set_crc32_options
from torch.utils.serialization import config

from . import rewrite
from .entry import Entry, quiet

Variant = Callable[[Any, Path], Path]


@contextmanager
def counted_storage_keys() -> Iterator[None]:
    """Number storages instead of taking their address, which the legacy form uses as their key."""
    address = torch._C.StorageBase._cdata  # type: ignore[attr-defined]
    seen: dict[int, int] = {}
    kept: list[Any] = []  # an address may not come back while it stands for a storage
    numbers = itertools.count(94_000_000_000_064, 96)

    def key(storage: Any) -> int:
        kept.append(storage)
        found = address.__get__(storage)
        return seen[found] if found in seen else seen.setdefault(found, next(numbers))

    with mock.patch.object(torch.UntypedStorage, "_cdata", property(key), create=True):
        yield


def zip_bytes(obj: Any, **options: Any) -> bytes:
    """What ``torch.save`` writes into a buffer."""
    buffer = io.BytesIO()
    with quiet():
        torch.save(obj, buffer, **options)
    return buffer.getvalue()


def legacy_bytes(obj: Any, **options: Any) -> bytes:
    """What ``torch.save`` writes into a buffer in the legacy form."""
    with counted_storage_keys():
        return zip_bytes(obj, _use_new_zipfile_serialization=False, **options)


def legacy_stream(*objects: Any) -> bytes:
    """Several legacy files one after the other: ``torch.load`` on one stream reads them in turn."""
    return b"".join(map(legacy_bytes, objects))


def _zip(obj: Any, path: Path, **options: Any) -> Path:
    with quiet():
        torch.save(obj, path, **options)
    return path


def _named(name: str, obj: Any, path: Path) -> Path:
    return _zip(obj, path.with_name(name))


def _crc_off(obj: Any, path: Path) -> Path:
    before = get_crc32_options()
    set_crc32_options(False)
    try:
        return _zip(obj, path)
    finally:
        set_crc32_options(before)


def _aligned(alignment: int, obj: Any, path: Path) -> Path:
    with config.patch({"save.storage_alignment": alignment}):
        return _zip(obj, path)


def _bytes(make: Callable[[Any], bytes], obj: Any, path: Path) -> Path:
    path.write_bytes(make(obj))
    return path


def _rewritten(change: Callable[[bytes], bytes]) -> Variant:
    return partial(_bytes, lambda obj: change(zip_bytes(obj)))


def _gzipped(make: Callable[[Any], bytes]) -> Variant:
    return partial(_bytes, lambda obj: gzip.compress(make(obj), mtime=0))


#: Protocol 0 is not among them: it writes persistent ids as text, and torch refuses to read what it wrote.
PROTOCOLS = range(1, 6)

#: torch's own writer.
WRITERS: dict[str, Variant] = {
    "zip": _zip,
    "zip_crc_off": _crc_off,
    "zip_align_1": partial(_aligned, 1),
    "zip_align_8": partial(_aligned, 8),
    "zip_align_4096": partial(_aligned, 4096),
    **{f"zip_protocol_{n}": partial(_zip, pickle_protocol=n) for n in PROTOCOLS},
    "zip_buffer": partial(_bytes, zip_bytes),
    "zip_dotted_name": partial(_named, "a.b.c.pth.tar"),
    "zip_unicode_name": partial(_named, "modèle_日本.pt"),
    "zip_no_extension": partial(_named, "model"),
    "legacy": partial(_bytes, legacy_bytes),
    **{f"legacy_protocol_{n}": partial(_bytes, partial(legacy_bytes, pickle_protocol=n)) for n in PROTOCOLS},
    "gzip_zip": _gzipped(zip_bytes),
    "gzip_legacy": _gzipped(legacy_bytes),
}

#: Other versions, other platforms, other writers.
REWRITERS: dict[str, Variant] = {
    name: _rewritten(change)
    for name, change in {
        "as_torch_1_4": rewrite.torch_1_4,
        "as_torch_1_6": rewrite.torch_1_6,
        "as_torch_2_0": rewrite.torch_2_0,
        "as_torch_2_1": rewrite.torch_2_1,
        "as_torch_2_6": rewrite.torch_2_6,
        "big_endian": rewrite.big_endian,
        "big_endian_unmarked": rewrite.big_endian_unmarked,
        "deflated": rewrite.deflated,
        "zip64_forced": rewrite.zip64_forced,
        "no_descriptors": rewrite.no_descriptors,
        "extra_records": rewrite.extra_records,
    }.items()
}

VARIANTS: dict[str, Variant] = {**WRITERS, **REWRITERS}


def torch_reads(variant: str, entry: Entry) -> bool:
    """Whether torch reads back, whole and right, what was written of `entry` in this way, with ``weights_only=False``.

    ``big_endian_unmarked`` needs ``set_default_load_endianness(LoadEndianness.BIG)``; see `V3_DTYPES` for the others.
    """
    if "legacy" in variant:
        return "no-legacy" not in entry.tags
    return not (variant.startswith("big_endian") and entry.tags.issuperset({"dtype", "no-legacy"}))
