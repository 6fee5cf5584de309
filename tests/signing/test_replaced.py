"""The bytes that are verified are the bytes that were compared with the signature, whatever happens to the file."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

import dotpt
from dotpt.archive import verify as verifying
from dotpt.errors import SourceChanged, TruncatedFile
from dotpt.signing.hashing import BLOCK, SealedSource, hash_source
from dotpt.source import open_source
from tests.corpus.stored import FIXTURES
from tests.signing.making import PRIVATE, PUBLIC

EVIL = (FIXTURES / "legacy/state_dict.pt").read_bytes()


def in_between(monkeypatch, change):
    """Do something after the signature was compared, and before anything else is read."""
    run = verifying._Verifier.run

    def later(self):
        change()
        return run(self)

    monkeypatch.setattr(verifying._Verifier, "run", later)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    pytest.importorskip("cryptography")
    path = Path(shutil.copy(FIXTURES / "zip/state_dict.pt", tmp_path / "model.pt"))
    dotpt.sign(path, key=PRIVATE)
    return path


def test_a_file_put_in_its_place_is_not_read(model, monkeypatch):
    def replace():
        other = model.with_name("other.pt")
        other.write_bytes(EVIL)
        other.replace(model)

    in_between(monkeypatch, replace)
    outcome = dotpt.verify(model, key=PUBLIC)
    assert model.read_bytes() == EVIL
    assert (outcome.ok, len(outcome.records)) == (True, 15)  # of the file that was compared: it is still open


def test_a_file_that_is_written_over_is_noticed(model, monkeypatch):
    before = model.stat()

    def overwrite():
        with model.open("r+b") as file:
            file.seek(1000)
            file.write(b"\xff" * 8)
        os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns))  # the time of change is no witness

    in_between(monkeypatch, overwrite)
    with pytest.raises(SourceChanged, match="after its signature was compared"):
        dotpt.verify(model, key=PUBLIC)


def test_a_shard_that_is_replaced_is_noticed(tmp_path, monkeypatch):
    pytest.importorskip("cryptography")
    from tests.formats.test_sharded import FILES, ST_INDEX, WEIGHTS, folder

    root = folder(tmp_path / "model", FILES, WEIGHTS, metadata={})
    dotpt.sign(root, key=PRIVATE)
    opening = verifying.open_contents

    def later(*args):
        (root / "two.bin").write_bytes(FILES["two.bin"][:-1] + b"\1")
        return opening(*args)

    monkeypatch.setattr(verifying, "open_contents", later)
    with pytest.raises(SourceChanged) as caught:
        dotpt.verify(root, key=PUBLIC)
    assert caught.value.path == str(root / "two.bin")

    def another(*args):
        (root / "three.bin").write_bytes(FILES["two.bin"])
        text = (root / ST_INDEX).read_text().replace("two.bin", "three.bin")
        (root / ST_INDEX).write_text(text)
        return opening(*args)

    (root / "two.bin").write_bytes(FILES["two.bin"])
    monkeypatch.setattr(verifying, "open_contents", another)
    with pytest.raises(SourceChanged):
        dotpt.verify(root, key=PUBLIC)


# -- the source itself --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 17])
def test_a_sealed_source_reads_like_any_other(size):
    data = os.urandom(size)
    (digest,), seal = hash_source(open_source(data), "sha256")
    source = SealedSource(open_source(data), seal)
    assert source.read(0, size) == data
    for offset in {0, size // 3, max(size - 1, 0)}:
        for length in {0, 1, size // 2, size - offset}:
            if offset + length <= size:
                assert source.read(offset, length) == data[offset : offset + length]
    with pytest.raises(TruncatedFile):
        source.read(size, 1)
    assert len(digest) == 32


def test_every_changed_byte_of_a_sealed_source_is_noticed():
    data = bytearray(os.urandom(3 * BLOCK + 5))
    _, seal = hash_source(open_source(bytes(data)), "sha256")
    source = SealedSource(open_source(data), seal)
    for at in (0, BLOCK - 1, BLOCK, 3 * BLOCK, len(data) - 1):
        data[at] ^= 1
        with pytest.raises(SourceChanged) as caught:
            source.read(0, len(data))
        assert caught.value.offset == at // BLOCK * BLOCK
        with pytest.raises(SourceChanged):
            SealedSource(open_source(data), seal).read(at, 1)
        data[at] ^= 1
    assert source.read(0, len(data)) == data
    with pytest.raises(SourceChanged):
        SealedSource(open_source(bytes(data[:-1])), seal)


def test_a_sealed_source_is_read_by_several_threads():
    data = os.urandom(40 * BLOCK)
    _, seal = hash_source(open_source(data), "sha256")
    source, wrong = SealedSource(open_source(data), seal), []

    def read(start: int) -> None:
        for offset in range(start, len(data) - 100, 70_001):
            if source.read(offset, 100) != data[offset : offset + 100]:
                wrong.append(offset)

    threads = [threading.Thread(target=read, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("step", [1, 3, 1000, None])
def test_hashes_of_ranges(step):
    import hashlib

    data = os.urandom(4 * (1 << 20) + 2500) if step is None or step > 3 else os.urandom(1000)
    size = step or len(data)
    digests, _ = hash_source(open_source(data), "sha256", step)
    assert digests == [hashlib.sha256(data[at : at + size]).digest() for at in range(0, len(data), size)]
