"""Whole records out of cut zip files. The files are written here, byte by byte, as torch's writer lays them out."""

from __future__ import annotations

import io
import struct
import time
import zipfile
import zlib

import pytest

from dotpt.container import salvage
from dotpt.container.salvage import Salvage, scan_local_headers
from dotpt.container.ziplayout import BIG, content_start, descriptor_length, entry_length, next_header
from dotpt.errors import LimitExceeded, UsageError
from dotpt.limits import Limits
from dotpt.source.base import Source

LIMITS = Limits()


class Bytes(Source):
    """Bytes in memory."""

    name = "model.pt"

    def __init__(self, content: bytes) -> None:
        self.content, self.size = content, len(content)
        self.taken = 0

    def read_into(self, offset: int, target: memoryview) -> None:
        self.taken += len(target)
        target[:] = self.content[offset : offset + len(target)]


def torch_zip(
    records: dict[str, bytes], root: str = "archive", *, alignment: int = 64, crc: bool = True, wide: bool = False
) -> bytes:
    """What `torch.save` makes of these records: headers without sizes, padding, descriptors, zip64 end."""
    out, directory = bytearray(), bytearray()
    for short, content in records.items():
        name, header = f"{root}/{short}".encode(), len(out)
        pad = -(header + 30 + len(name) + 4) % alignment
        check = zlib.crc32(content) if crc else 0
        flags = 0x0808 if content else 0x0800
        out += struct.pack("<4s5H3L2H", b"PK\3\4", 0, flags, 0, 0, 0, 0, 0, 0, len(name), 4 + pad) + name
        out += struct.pack("<2sH", b"FB", pad) + b"Z" * pad + content
        if content:
            out += struct.pack("<4sLQQ" if wide else "<4s3L", b"PK\7\x08", check, len(content), len(content))
        size = len(content)
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 0, 0, flags, 0, 0, 0, check, size, size, len(name), *[0] * 5, header
        )
        directory += name
    start = len(out)
    counts = (len(records), len(records), len(directory), start)
    out += directory
    out += struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 798, 45, 0, 0, *counts)
    out += struct.pack("<4sLQL", b"PK\6\7", 0, start + len(directory), 1)
    out += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, *counts, 0)
    return bytes(out)


RECORDS = {
    "data.pkl": b"\x80\x02}q\x00." * 20,
    ".format_version": b"1",
    ".storage_alignment": b"64",
    "byteorder": b"little",
    "data/0": bytes(range(256)) * 20,
    "data/1": b"",
    "data/2": b"\x07" * 999,
    "data/3": bytes(3000),
    "version": b"3\n",
    ".data/serialization_id": b"1" * 40,
}
FILE = torch_zip(RECORDS)
SIZES = {name: len(content) for name, content in RECORDS.items() if name.startswith("data/")}


def scan(content: bytes, sizes: dict[str, int] | None = None, limits: Limits = LIMITS) -> Salvage:
    return scan_local_headers(Bytes(content), limits, sizes=sizes)


def contents(content: bytes, found: Salvage) -> dict[str, bytes]:
    return {name: content[place.offset : place.offset + place.size] for name, place in found.whole.items()}


@pytest.mark.parametrize("sizes", [None, SIZES])
def test_a_whole_file(sizes: dict[str, int] | None) -> None:
    found = scan(FILE, sizes)
    assert (found.root, found.reason, found.cut) == ("archive", "directory", None)
    assert contents(FILE, found) == RECORDS
    assert found.expected_size == len(FILE)
    assert list(found.whole) == list(RECORDS)
    assert found.whole["data/2"].crc == zlib.crc32(RECORDS["data/2"])


def test_the_walk_agrees_with_zipfile() -> None:
    """The files of these tests are zip files by another reader's judgement too."""
    with zipfile.ZipFile(io.BytesIO(FILE)) as archive:
        assert archive.testzip() is None
        places = {info.filename: info.header_offset for info in archive.infolist()}
    assert {f"archive/{item.record.name}": item.header for item in scan(FILE).records} == places


@pytest.mark.parametrize("sizes", [None, SIZES])
def test_cut_anywhere(sizes: dict[str, int] | None) -> None:
    first_storage = scan(FILE).whole["data/0"].offset
    for cut in range(len(FILE)):
        found = scan(FILE[:cut], sizes)
        for name, content in contents(FILE[:cut], found).items():
            assert content == RECORDS[name], (cut, name)
        assert found.reason == ("directory" if found.end == scan(FILE).end and cut >= found.end + 4 else "cut"), cut
        if sizes and cut >= first_storage:
            assert found.expected_size == len(FILE), cut


def test_the_cut_record_is_described() -> None:
    place = scan(FILE).whole["data/2"]
    content = FILE[: place.offset + 100]
    known = scan(content, SIZES).cut
    assert known is not None
    assert (known.record.name, known.record.size, known.present, known.size_known) == ("data/2", 999, 100, True)
    unknown = scan(content).cut
    assert unknown is not None
    assert (unknown.record.size, unknown.present, unknown.whole, unknown.size_known) == (100, 100, False, False)
    assert scan(content).expected_size is None


def test_a_content_whose_descriptor_is_cut_is_whole_if_its_size_is_known() -> None:
    place = scan(FILE).whole["data/2"]
    for extra in (0, 3, 15):
        content = FILE[: place.offset + place.size + extra]
        assert "data/2" in scan(content, SIZES).whole
        assert "data/2" not in scan(content).whole


def test_known_sizes_spare_reading_the_contents() -> None:
    content = torch_zip({"data.pkl": b"x" * 9, "data/0": bytes(8 << 20)})
    source = Bytes(content)
    assert "data/0" in scan_local_headers(source, LIMITS, sizes={"data.pkl": 9, "data/0": 8 << 20}).whole
    assert source.taken < 8192


def test_wrong_sizes_are_found_out() -> None:
    for wrong in (0, 1, 5119, 5121, 6000):
        found = scan(FILE, {**SIZES, "data/0": wrong})
        assert contents(FILE, found) == RECORDS
    too_big = scan(FILE, {**SIZES, "data/0": 1 << 80})
    assert too_big.cut is not None
    assert too_big.cut.record.size == 1 << 80
    with pytest.raises(UsageError):
        scan(FILE, {"data/0": -1})


def test_a_zip_in_a_record_is_not_taken_for_records() -> None:
    records = {"data.pkl": b"x", "data/0": FILE + FILE, "data/1": b"y"}
    content = torch_zip(records)
    found = scan(content)
    assert contents(content, found) == records
    assert all(item.intact for item in found.records)


def test_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor may lie across the border of two windows, anywhere."""
    for window in range(40, 140):
        monkeypatch.setattr(salvage, "WINDOW", window)
        found = scan(FILE)
        assert contents(FILE, found) == RECORDS
        assert all(item.intact is not False for item in found.records)


def test_damage_is_reported_by_the_checksum() -> None:
    content = bytearray(FILE)
    content[scan(FILE).whole["data/2"].offset + 5] ^= 1
    verdicts = {item.record.name: item.intact for item in scan(bytes(content)).records}
    assert verdicts.pop("data/2") is False
    assert verdicts.pop("data/1") is None  # empty: nothing to check
    assert all(verdicts.values())


def test_a_writer_without_checksums() -> None:
    found = scan(torch_zip(RECORDS, crc=False))
    assert [item.record.crc for item in found.records] == [None] * len(RECORDS)
    assert {item.intact for item in found.records} == {None}


def test_other_layouts() -> None:
    for content in (torch_zip(RECORDS, wide=True), torch_zip(RECORDS, "résumé"), torch_zip(RECORDS, alignment=4096)):
        for sizes in (None, SIZES):
            assert contents(content, scan(content, sizes)) == RECORDS
    page = {**RECORDS, ".storage_alignment": b"4096"}
    content = torch_zip(page, alignment=4096)
    assert scan(content[: len(content) // 2], SIZES).expected_size == len(content)


def test_before_torch_2_1() -> None:
    old = {name: RECORDS[name] for name in ("data.pkl", "data/0", "data/1", "data/2", "data/3", "version")}
    content = torch_zip(old)
    assert scan(content[:2000], SIZES).expected_size == len(content)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_zips_of_other_writers(method: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in RECORDS.items():
            archive.writestr(f"m/{name}", content)
        with archive.open("m/wide", "w", force_zip64=True) as member:
            member.write(b"w" * 50)
    content = buffer.getvalue()
    found = scan(content)
    assert found.reason == "directory"
    assert {name: place.size for name, place in found.whole.items()} == {
        **{n: len(c) for n, c in RECORDS.items()},
        "wide": 50,
    }
    assert scan(content[:200]).reason == "cut"


def test_deflated_with_descriptors() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.content = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.content += memoryview(data)  # type: ignore[call-overload]
            return len(memoryview(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/code.py", b"pass\n" * 400)
        archive.writestr("m/data.pkl", b"x" * 300)
    found = scan(bytes(pipe.content))
    assert found.reason == "directory"
    assert found.whole["code.py"].size == 2000
    assert found.whole["code.py"].stored < 100


def test_not_a_header() -> None:
    place = scan(FILE).whole["data/2"]
    assert scan(FILE[: place.offset - 30].ljust(len(FILE), b"\0"), SIZES).reason in ("damaged", "cut")
    assert scan(b"").reason == "cut"
    assert scan(b"hello").reason == "damaged"
    assert scan(b"PK\3\4").reason == "cut"


def test_duplicates_end_the_walk() -> None:
    one = torch_zip({"data.pkl": b"first"})
    body = one[: scan(one).end]
    two = torch_zip({"DATA.PKL": b"second"})
    found = scan(body + two)
    assert found.reason == "duplicate"
    assert list(found.whole) == ["data.pkl"]


def test_limits() -> None:
    with pytest.raises(LimitExceeded) as error:
        scan(FILE, limits=Limits(records=5))
    assert error.value.limit == "records"
    with pytest.raises(LimitExceeded) as error:
        scan(FILE, limits=Limits(header_bytes=50))
    assert error.value.limit == "header_bytes"


def test_a_million_false_descriptors_end_in_bounded_time() -> None:
    header = struct.pack("<4s5H3L2H", b"PK\3\4", 0, 0x0808, 0, 0, 0, 0, 0, 0, 3, 0) + b"a/b"
    started = time.monotonic()
    with pytest.raises(LimitExceeded):
        scan(header + b"PK\7\x08" * (2 << 20))
    assert time.monotonic() - started < 10  # about 0.7 s


def test_layout_of_large_files() -> None:
    """The numbers of a 4 GiB + 99 B record that torch wrote (reference, section 1.3)."""
    size = (4 << 30) + 99
    assert descriptor_length(0, size) == 24
    assert descriptor_length(BIG, 1) == 24
    assert content_start(0, 10, size, 64) == 64  # 30 + 10 + 20 (zip64) + 4 (FB)
    assert content_start(0, 11, size, 64) == 128
    assert next_header(128, 0, size) == 128 + size + 24
    assert next_header(128, 0, 0) == 128
    assert entry_length(0, 10, 1) == 56
    assert entry_length(BIG, 10, size) == 56 + 28
