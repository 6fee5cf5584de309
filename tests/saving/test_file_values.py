"""A tree of references, saved: tensors go from file to file and are the same, whatever they are."""

from __future__ import annotations

import io
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from dotpt.errors import ChecksumMismatch, SourceError, UnsupportedError, UsageError  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.corpus.objects import OBJECTS, quiet  # noqa: E402

# Not copied: their metadata lives in a class of torch's that is private and changes from version to version.
REFUSED = {"nested_jagged", "nested_jagged_view", "nested_jagged_lengths"}


def written(value: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


def copied(data: bytes, **options: Any) -> bytes:
    out = io.BytesIO()
    with dotpt.open(data) as archive:
        dotpt.save(archive.tree, out, arrays="numpy", **options)
    return out.getvalue()


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", list(OBJECTS))
def test_every_object_of_the_corpus(name: str, zipped: bool) -> None:
    with quiet():
        value = OBJECTS[name]()
        theirs = written(value, _use_new_zipfile_serialization=zipped)
        if dotpt.open(theirs).unknown_globals:
            pytest.skip("names classes that are not known")
        if name in REFUSED:
            with pytest.raises(UnsupportedError, match="jagged cannot be copied"):
                copied(theirs)
            return
        ours = copied(theirs)
        assert dotpt.verify(ours).ok
        difference = same(dotpt.load(theirs), dotpt.load(ours), strides=False)
        assert difference is None, difference
        torch.load(io.BytesIO(ours), weights_only=False)


def test_parts_of_a_file_take_only_their_bytes(tmp_path) -> None:
    big = torch.arange(1_000_000.0)
    torch.save({"head": big[:10], "tail": big[-10:], "whole": big}, tmp_path / "a.pt")
    with dotpt.open(tmp_path / "a.pt") as archive:
        dotpt.save({"head": archive.tree["head"], "tail": archive.tree["tail"]}, tmp_path / "b.pt")
    assert (tmp_path / "b.pt").stat().st_size < 10_000
    loaded = torch.load(tmp_path / "b.pt", weights_only=True)
    assert torch.equal(loaded["head"], big[:10])
    assert torch.equal(loaded["tail"], big[-10:])
    assert dotpt.verify(tmp_path / "b.pt").ok


def test_a_file_may_be_saved_over_itself(tmp_path) -> None:
    path = tmp_path / "a.pt"
    torch.save({"model": {"w": torch.ones(300_000)}, "optimizer": torch.zeros(300_000)}, path)
    with dotpt.open(path) as archive:
        dotpt.save(archive.tree["model"], path)
    assert torch.equal(torch.load(path, weights_only=True)["w"], torch.ones(300_000))


@pytest.mark.parametrize("kept", ["all", "part"])
def test_damage_is_not_copied(tmp_path, kept: str) -> None:
    """Also where it lies in bytes that are not copied: the checksum is that of the whole storage."""
    path, target = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save({"w": torch.arange(5_000_000.0), "part": None}, path)
    target.write_bytes(b"what was there")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with dotpt.open(path) as archive:
        tree = archive.tree
        if kept == "part":
            tree["w"].look(shape=(10,), strides=(1,))
        with pytest.raises(ChecksumMismatch):
            dotpt.save(tree, target)
    assert target.read_bytes() == b"what was there"


def test_files_mix_with_tensors_and_arrays(tmp_path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pt")
    with dotpt.open(tmp_path / "a.pt") as archive:
        both = {"theirs": archive["w"], "again": archive["w"], "ours": torch.zeros(2), "n": [1, "two", (3.0, None)]}
        dotpt.save(both, tmp_path / "b.pt")
    loaded = torch.load(tmp_path / "b.pt", weights_only=True)
    assert loaded["theirs"] is loaded["again"]
    assert loaded["n"] == [1, "two", (3.0, None)]


def test_a_class_of_another_file_is_no_value(tmp_path) -> None:
    torch.save({"model": torch.nn.Linear(2, 2)}, tmp_path / "a.pt")
    with dotpt.open(tmp_path / "a.pt") as archive, pytest.raises(UsageError, match=r"dotpt\.rescue"):
        dotpt.save(archive.tree, tmp_path / "b.pt")
    assert not (tmp_path / "b.pt").exists()


def test_a_closed_archive_is_told(tmp_path) -> None:
    torch.save({"w": torch.ones(3)}, tmp_path / "a.pt")
    with dotpt.open(tmp_path / "a.pt") as archive:
        tree = archive.tree
    with pytest.raises(SourceError, match="closed"):
        dotpt.save(tree, tmp_path / "b.pt")
