"""The archive writer, against torch's own archives and Python's zip reader."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from dotpt.container.zip import ZipContainer
from dotpt.container.zipwrite import SMALL, Written, ZipWriter
from dotpt.errors import UsageError
from dotpt.source.memory import BytesSource
from tests.corpus import torch_zip as tz
from tests.corpus.stored import FIXTURES


class Out(io.BytesIO):
    """A buffer that can leave holes."""

    def skip(self, size: int) -> None:
        self.write(bytes(size))


def written(records: list[tuple[str, bytes]], **options: object) -> bytes:
    out = Out()
    writer = ZipWriter(out, **options)  # type: ignore[arg-type]
    for name, content in records:
        if len(content) % 2:
            writer.add(name, content)
        else:
            writer.stream(
                name, len(content), [memoryview(content)[at : at + 777] for at in range(0, len(content), 777)]
            )
    writer.close()
    assert writer.position == out.tell()
    return out.getvalue()


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("zip/*.pt")), ids=lambda path: path.stem)
def test_the_bytes_are_those_of_torch(path) -> None:
    data = path.read_bytes()
    root, records = tz.read(data)
    assert written(records, root=root) == data


@pytest.mark.parametrize("alignment", [1, 16, 64, 4096])
@pytest.mark.parametrize("checksums", [True, False])
def test_every_content_is_aligned(alignment: int, checksums: bool) -> None:
    records = [("data.pkl", b"x"), ("a/ü", b""), ("big", bytes(SMALL + 1)), ("odd", b"12345")]
    data = written(records, alignment=alignment, checksums=checksums)
    container = ZipContainer(BytesSource(data))
    container.check_layout()
    for name, content in records:
        record = container.record(name)
        assert record.offset % alignment == 0
        assert container.read(name) == content
        assert record.crc is None or checksums or not content
    assert data == tz.write(records, tz.Style(alignment=alignment, crc=checksums))


def test_python_agrees() -> None:
    records = [(f"data/{n}", bytes([n % 251]) * n) for n in range(300)]
    with zipfile.ZipFile(io.BytesIO(written(records))) as archive:
        assert archive.testzip() is None
        assert [info.filename for info in archive.infolist()] == [f"archive/{name}" for name, _ in records]


def test_one_record_aligned_differently() -> None:
    out = Out()
    writer = ZipWriter(out)
    writer.add("a", b"1")
    assert writer.add("b", b"2", alignment=4096).start == 4096
    writer.close()
    assert ZipContainer(BytesSource(out.getvalue())).read("b") == b"2"


def test_holes_are_zeros() -> None:
    out = Out()
    writer = ZipWriter(out)
    writer.hole("data/0", 100)
    writer.close()
    container = ZipContainer(BytesSource(out.getvalue()))
    assert container.read("data/0") == bytes(100)
    assert container.record("data/0").crc is None


def test_records_that_are_too_short() -> None:
    with pytest.raises(UsageError, match="a record of 10 bytes was given 3".capitalize()):
        ZipWriter(Out()).stream("data/0", 10, [memoryview(b"123")])


@pytest.mark.parametrize("alignment", [0, -1, 1 << 20])
def test_alignments_that_cannot_be(alignment: int) -> None:
    with pytest.raises(UsageError, match="aligned"):
        ZipWriter(Out(), alignment=alignment)


def test_going_on_behind_records_that_are_there() -> None:
    records = [("data.pkl", b"abc"), ("data/0", b"0123456789"), ("version", b"3\n")]
    whole = written(records)
    before = ZipContainer(BytesSource(whole)).record("data/0")
    out = Out()
    first = ZipWriter(out)
    kept = [first.add(*record) for record in records[:2]]
    first.flush()
    second = ZipWriter(out, before=[record.entry() for record in kept], position=first.position)
    second.add(*records[2])
    second.close()
    assert out.getvalue() == whole
    assert kept[1].start == before.offset


def test_entries_beyond_4_gib() -> None:
    # a real file of that size is written by tests/saving/test_large.py
    far = Written(b"archive/x", 5 << 30, (5 << 30) + 64, 7, 1).entry()
    assert far.endswith(struct.pack("<HHQ", 1, 8, 5 << 30))
    large = Written(b"archive/x", 0, 64, 5 << 30, 1).entry()
    assert large.endswith(struct.pack("<HHQQ", 1, 16, 5 << 30, 5 << 30))
