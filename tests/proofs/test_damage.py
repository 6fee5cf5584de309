"""Every cut and any changed byte: a typed error, or exactly the right data. Never another exception, a hang or a crash.

Three thousand changes in the usual run; ``DOTPT_MUTATIONS=100000`` makes it as many as you like. Needs no torch.
"""

from __future__ import annotations

import gzip
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.container.zip import ZipContainer
from dotpt.errors import ChecksumMismatch, DotptError
from dotpt.source.memory import BytesSource
from tests.corpus.legacy_tar import EXAMPLES as TARS
from tests.corpus.old import EXAMPLES as OLD
from tests.corpus.stored import FIXTURES
from tests.corpus.torch_zip import write
from tests.proofs.images import image

MUTATIONS = int(os.environ.get("DOTPT_MUTATIONS", "3000"))
LIMITS = dotpt.Limits(deflated=True)
SECONDS = 20


def _stored(path: str) -> bytes:
    return (FIXTURES / path).read_bytes()


FILES: dict[str, bytes] = {
    "zip": _stored("zip/shared_views.pt"),
    "zip sparse": _stored("zip/sparse_csr.pt"),
    "zip quantized": _stored("zip/quantized_channel_quint8.pt"),
    "zip jagged": _stored("zip/nested_jagged_lengths.pt"),
    "zip deflated": _stored("deflated/state_dict.pt"),
    "zip with 64-bit sizes": _stored("zip64_forced/shared_many.pt"),
    "zip without checksums": _stored("zip_crc_off/shared_many.pt"),
    "zip of numpy": _stored("zip/numpy_kinds.pt"),
    "zip of classes": _stored("zip/custom_objects.pt"),
    "zip big-endian": _stored("big_endian/conj_view.pt"),
    "legacy": _stored("legacy/shared_views.pt"),
    "legacy sparse": _stored("legacy/sparse_coo.pt"),
    "legacy strided nested": _stored("legacy/nested_strided.pt"),
    "legacy protocol 5": _stored("legacy_protocol_5/shared_views.pt"),
    "legacy gzip": gzip.compress(_stored("legacy/shared_views.pt"), mtime=0),
    "TorchScript": _stored("other/script_half.pt"),
    "lite": _stored("other/lite.ptl"),
    "safetensors": _stored("other/hf_safetensors/model-00002-of-00002.safetensors"),
    **{f"old {name}": data for name, data in OLD.items()},
    **TARS,
}
#: Containers with a checksum over everything that is loaded.
CHECKED = {name for name in FILES if name.startswith("zip") and "without" not in name} | {"legacy gzip"}


class _HungError(BaseException):
    """The alarm rang."""


def _ring(*_: object) -> None:
    raise _HungError


@contextmanager
def alarm() -> Iterator[None]:
    """Turn a hang into a failure, where the system can."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, _ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def load(data: bytes | Path, **options: Any) -> Any:
    return dotpt.load(
        data, **{"backend": "numpy", "unknown": "inert", "limits": LIMITS, "encoding": "latin1", **options}
    )


@cache
def pristine(name: str) -> list[Any]:
    return image(load(FILES[name]))


def outcome(data: bytes | Path, **options: Any) -> Any:
    """The loaded object, or the error: only a typed one is let through."""
    with alarm():
        try:
            return load(data, **options)
        except DotptError as error:
            str(error), error.to_dict()
            return error


@pytest.mark.parametrize("name", FILES)
def test_the_whole_file_is_read(name: str) -> None:
    assert len(pristine(name)) > 1


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_a_typed_error_or_whole(name: str) -> None:
    data = FILES[name]
    step = 1 if len(data) < 6_000 else 7
    read = 0
    for length in [*range(0, len(data), step), *range(max(len(data) - 200, 0), len(data))]:
        found = outcome(data[:length])
        if not isinstance(found, DotptError):
            assert image(found) == pristine(name), length
            read += 1
    assert read < len(data) // 2  # only padding at the very end can be missed without loss


@pytest.mark.parametrize("name", ["zip", "legacy", "tar", "safetensors"])
def test_a_cut_file_on_disk_is_a_typed_error_when_mapped(name: str, tmp_path: Path) -> None:
    data, path = FILES[name], tmp_path / "cut.pt"
    for length in range(0, len(data), 13):
        path.write_bytes(data[:length])
        found = outcome(path, mmap=True)
        assert isinstance(found, DotptError) or image(found) == pristine(name)


def change(data: bytes, dice: random.Random) -> bytes:
    """One to three changed, dropped, doubled or zeroed runs of bytes."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        at = dice.randrange(len(made))
        kind = dice.randrange(10)
        if kind < 5:
            made[at] = dice.randrange(256)
        elif kind == 5:
            made[at] ^= 1 << dice.randrange(8)
        elif kind == 6:
            made[at : at + 4] = dice.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"))
        elif kind == 7:
            del made[at : at + dice.randrange(1, 9)]
        elif kind == 8:
            made[at:at] = made[at : at + dice.randrange(1, 17)]
        else:
            other = dice.randrange(len(made))
            made[at : at + 8] = made[other : other + 8]
        made = made or bytearray(b"\0")
    return bytes(made)


def test_changed_bytes_are_typed_errors_or_the_right_data(tmp_path: Path) -> None:
    dice = random.Random(20_261)
    names = sorted(FILES)
    for number in range(MUTATIONS):
        name = names[number % len(names)]
        data = change(FILES[name], dice)
        found = outcome(data)
        if name in CHECKED:
            assert isinstance(found, DotptError) or image(found) == pristine(name), (name, number)
        elif not isinstance(found, DotptError):
            image(found)
        if number % 3 == 0:  # without checksums, whatever was changed is believed: it must still be harmless
            outcome(data, verify=False)
        if number % 5 == 0:
            look_around(data)
        if number % 11 == 0:
            path = tmp_path / "changed.pt"
            path.write_bytes(data)
            outcome(path, mmap=True, verify=False)


def look_around(data: bytes) -> None:
    """Open the file, describe it, read one tensor at a time and in parts."""
    with alarm():
        try:
            with dotpt.open(data, limits=LIMITS, encoding="latin1", verify=False) as archive:
                for ref in list(archive.tensors.values())[:20]:
                    repr(ref), ref.describe(), ref.byte_range
                    try:
                        ref.numpy()
                        if ref.shape and ref.shape[0]:
                            ref[0]
                    except DotptError:
                        continue
        except DotptError:
            return


@pytest.mark.parametrize("name", sorted(CHECKED - {"legacy gzip"}))
def test_a_changed_payload_byte_is_a_checksum_mismatch(name: str) -> None:
    data = FILES[name]
    with dotpt.open(data, limits=LIMITS) as archive:
        found = [storage.record for storage in archive.contents.storages.values() if storage.nbytes]
        records = {record.offset: record.stored for record in found}
    for offset, length in records.items():
        for at in {offset, offset + length // 2, offset + length - 1}:
            changed = bytearray(data)
            changed[at] ^= 0x10
            found = outcome(bytes(changed))
            if (
                "deflated" in name
            ):  # the stream may fail to unpack, or the change lie in the unused bits of its last byte
                assert isinstance(found, DotptError) or image(found) == pristine(name), at
            else:
                assert isinstance(found, ChecksumMismatch), at


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith(("legacy", "old", "tar")) and "gzip" not in n])
def test_a_changed_payload_byte_of_a_file_without_checksums_changes_only_values(name: str) -> None:
    data, shape = FILES[name], image(load(FILES[name]), values=False)
    with dotpt.open(data, encoding="latin1") as archive:
        records = [s.record for s in archive.contents.storages.values() if s.nbytes and s.view_of is None]
    assert records
    for record in records:
        for at in range(record.offset, record.offset + record.size):
            changed = bytearray(data)
            changed[at] ^= 0xFF
            found = outcome(bytes(changed))
            assert isinstance(found, DotptError) or image(found, values=False) == shape, at  # indices are checked


@pytest.mark.torch
def test_changed_bytes_are_harmless_with_torch_too(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tests.corpus.objects import quiet

    dice = random.Random(7)
    names = sorted(FILES)
    for number in range(min(MUTATIONS // 3, 5_000)):
        data = change(FILES[names[number % len(names)]], dice)
        for verify in (True, False):
            with quiet():
                outcome(data, backend="torch", verify=verify)


# -- damage that the checksums cannot see: the archive is written anew around it ------------------------------------


RESEALED = [name for name in FILES if name.startswith("zip") and "deflated" not in name]


def resealed(data: bytes, dice: random.Random) -> bytes:
    """A whole archive whose pickle, or one of its records, says something else."""
    container = ZipContainer(BytesSource(data))
    records = [(name, container.read(name)) for name in container.names]
    chosen = "data.pkl" if dice.randrange(4) else dice.choice([name for name, body in records if body])
    return write([(name, change(body, dice) if name == chosen else body) for name, body in records])


def test_what_a_whole_archive_says_wrong_is_a_typed_error_or_harmless() -> None:
    dice = random.Random(5)
    read = 0
    for number in range(MUTATIONS):
        data = resealed(FILES[RESEALED[number % len(RESEALED)]], dice)
        found = outcome(data)
        if not isinstance(found, DotptError):
            image(found)
            read += 1
        if number % 3 == 0:
            look_around(data)
    assert read > MUTATIONS // 20


@pytest.mark.torch
def test_what_a_whole_archive_says_wrong_is_harmless_with_torch_too() -> None:
    torch = pytest.importorskip("torch")
    from tests.corpus.objects import quiet

    dice = random.Random(6)
    for number in range(min(MUTATIONS // 2, 20_000)):
        data = resealed(FILES[RESEALED[number % len(RESEALED)]], dice)
        with quiet():
            found = outcome(data, backend="torch")
            outcome(data, backend="torch", map_location="meta")
            if isinstance(found, dict):
                for value in found.values():  # what was built can be looked at
                    if isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_nested:
                        value.detach().sum() if value.dtype.is_floating_point and value.dtype.itemsize > 1 else None
