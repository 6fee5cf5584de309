"""Bytes of a source into a sink: within the system where it can, else through this process; the same bytes."""

from __future__ import annotations

import errno
import io
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dotpt import errors
from dotpt.source import atomic as atomic_files
from dotpt.source import open_sink, open_source
from dotpt.source.sink import Sink

DATA = random.Random(3).randbytes(9_000_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.pt"
    path.write_bytes(DATA)
    return path


def copied(source: object, sink: Sink) -> None:
    """A middle part, between bytes of the caller's."""
    with open_source(source) as opened, sink:
        sink.write(b"head")
        sink.copy_from(opened, 1000, 8_500_000)
        assert sink.position == 8_500_004
        sink.write(b"tail")
        sink.commit()


EXPECTED = b"head" + DATA[1000:8_501_000] + b"tail"


@pytest.mark.parametrize("durable", [True, False])
def test_from_file_to_file(path: Path, tmp_path: Path, durable: bool) -> None:
    copied(path, open_sink(tmp_path / "b.pt", durable=durable))
    assert (tmp_path / "b.pt").read_bytes() == EXPECTED
    copied(path, open_sink(path, durable=durable))  # onto itself: the old one is read until the new one is complete
    assert path.read_bytes() == EXPECTED


def test_from_and_to_other_things(path: Path, tmp_path: Path) -> None:
    stream = io.BytesIO()
    copied(path, open_sink(stream))
    assert stream.getvalue() == EXPECTED
    copied(DATA, open_sink(tmp_path / "b.pt"))
    assert (tmp_path / "b.pt").read_bytes() == EXPECTED
    stream = io.BytesIO(b"skipped" + DATA)
    stream.seek(7)
    copied(stream, open_sink(tmp_path / "b.pt"))
    assert (tmp_path / "b.pt").read_bytes() == EXPECTED


def refusing(code: int) -> Callable[..., int]:
    def refuse(*arguments: object, **options: object) -> int:
        raise OSError(code, os.strerror(code))

    return refuse


def test_where_the_system_does_not_copy(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        monkeypatch.setattr(os, "copy_file_range", refusing(code), raising=False)
        copied(path, open_sink(tmp_path / "b.pt"))
        assert (tmp_path / "b.pt").read_bytes() == EXPECTED
    monkeypatch.delattr(os, "copy_file_range")
    copied(path, open_sink(tmp_path / "b.pt"))
    assert (tmp_path / "b.pt").read_bytes() == EXPECTED


def test_where_it_copies_only_a_part(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = getattr(os, "copy_file_range", None)
    if copy is None:
        pytest.skip("this system does not copy")
    answers = [1000, 65_536, 0]

    def partly(source: int, target: int, count: int, **options: int) -> int:
        allowed = answers.pop(0)
        return copy(source, target, min(count, allowed), **options) if allowed else 0

    monkeypatch.setattr(os, "copy_file_range", partly)
    copied(path, open_sink(tmp_path / "b.pt"))
    assert (tmp_path / "b.pt").read_bytes() == EXPECTED
    assert answers == []


def test_pieces(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files, "_COPIED", 1 << 20)
    copied(path, open_sink(tmp_path / "b.pt"))
    assert (tmp_path / "b.pt").read_bytes() == EXPECTED


def test_errors_of_the_disk_and_of_the_range(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_source(path) as source, open_sink(tmp_path / "b.pt") as sink:
        with pytest.raises(errors.TruncatedFile):
            sink.copy_from(source, 1000, len(DATA))
        monkeypatch.setattr(os, "copy_file_range", refusing(errno.ENOSPC), raising=False)
        with pytest.raises(errors.NoSpace):
            sink.copy_from(source, 0, 10)
    assert not (tmp_path / "b.pt").exists()
