"""Folders: every file is signed, and nothing else may be there."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import dotpt
from dotpt.errors import LimitExceeded, UsageError
from dotpt.limits import Limits
from tests.corpus.stored import FIXTURES
from tests.signing.making import PRIVATE, PUBLIC, payload_of, resource, rules, signed, statement, write

pytest.importorskip("cryptography")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links and odd names are POSIX's")
USUAL = {"b.txt": b"b", "a.txt": b"a", "sub/deep/x.bin": b"x" * 300_000, "sub.txt": b"", "é": b"e"}


def fill(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return fill(tmp_path / "model", USUAL)


def places(outcome):
    return [(deviation.rule, deviation.record) for deviation in outcome.deviations]


def test_a_round_trip(model):
    fill(model, {".git/config": b"", ".github/x": b"", ".gitignore": b"", "sub/.git/kept": b"k", ".gitmodules": b"m"})
    result = dotpt.sign(model, key=PRIVATE)
    assert result.signature == str(model / "model.sig")
    names = ["sub/.git/kept", ".gitmodules", *USUAL]
    assert [file.name for file in result.files] == sorted(names)
    payload = payload_of(model / "model.sig")
    assert [entry["name"] for entry in payload["predicate"]["resources"]] == sorted(names)
    assert payload["subject"][0]["name"] == "model"
    ignored = payload["predicate"]["serialization"]["ignore_paths"]
    assert ignored == [".git", ".gitattributes", ".github", ".gitignore", "model.sig"]
    outcome = dotpt.verify(model, key=PUBLIC)
    assert (outcome.ok, outcome.signature.files) == (True, len(names))
    assert outcome.notes == ["Only the signature was compared: This is a folder, not a PyTorch file."]
    # neither the folder's name nor what is left out counts
    fill(model, {".git/more": b""})
    assert dotpt.verify(model.rename(model.with_name("renamed")), key=PUBLIC).ok


@pytest.mark.parametrize("spelling", [str, lambda path: f"{path}/", lambda path: os.path.relpath(path)])
def test_spellings_of_a_folder(model, spelling):
    dotpt.sign(spelling(model), key=PRIVATE)
    assert payload_of(model / "model.sig")["subject"][0]["name"] == "model"
    assert dotpt.verify(spelling(model), key=PUBLIC).ok


def test_the_folder_that_one_stands_in(model, monkeypatch):
    monkeypatch.chdir(model)
    dotpt.sign(".", key=PRIVATE)
    assert dotpt.verify(".", key=PUBLIC).ok
    assert dotpt.verify(model, key=PUBLIC).signature.subject == "model"


def test_what_is_changed_missing_or_new_is_named(model):
    dotpt.sign(model, key=PRIVATE)
    (model / "a.txt").write_bytes(b"A")
    (model / "b.txt").unlink()
    (model / "sub/new.txt").touch()
    (model / "empty folder").mkdir()
    assert places(dotpt.verify(model, key=PUBLIC)) == [
        ("signature-missing-file", "b.txt"),
        ("signature-unsigned-file", "sub/new.txt"),
        ("signature-mismatch", "a.txt"),
    ]


def test_two_files_that_change_places_are_noticed(model):
    dotpt.sign(model, key=PRIVATE)
    (model / "a.txt").write_bytes(b"b")
    (model / "b.txt").write_bytes(b"a")
    assert rules(dotpt.verify(model, key=PUBLIC)) == ["signature-mismatch"] * 2


def test_a_signature_outside_of_the_folder(model, tmp_path):
    place = tmp_path / "elsewhere.sig"
    dotpt.sign(model, key=PRIVATE, signature=place)
    assert "model.sig" not in payload_of(place)["predicate"]["serialization"]["ignore_paths"]
    assert dotpt.verify(model, key=PUBLIC, signature=place).ok
    shutil.copy(place, model / "model.sig")  # as it is downloaded together with the model
    assert dotpt.verify(model, key=PUBLIC).ok
    assert places(dotpt.verify(model, key=PUBLIC, signature=place)) == [("signature-unsigned-file", "model.sig")]


def test_an_empty_folder(tmp_path):
    root = fill(tmp_path / "model", {".git/x": b""})
    with pytest.raises(UsageError, match="no file in the folder"):
        dotpt.sign(root, key=PRIVATE)


def test_links_are_not_signed(model):
    (model / "link").symlink_to("a.txt")
    with pytest.raises(UsageError, match=r"link \(it is a symbolic link\)") as caught:
        dotpt.sign(model, key=PRIVATE)
    assert "cp -rL" in caught.value.hint
    (model / "link").unlink()
    dotpt.sign(model, key=PRIVATE)
    for target in ("a.txt", "sub", "nowhere"):
        (model / "link").symlink_to(target)
        assert places(dotpt.verify(model, key=PUBLIC)) == [("signature-unsigned-file", "link")]
        (model / "link").unlink()
    (model / "a.txt").rename(model.with_name("a.txt"))
    (model / "a.txt").symlink_to(model.with_name("a.txt"))  # the same bytes, elsewhere
    assert places(dotpt.verify(model, key=PUBLIC)) == [("signature-unsigned-file", "a.txt")]


def test_a_folder_that_is_reached_by_a_link(model, tmp_path):
    link = tmp_path / "latest"
    link.symlink_to("model")
    dotpt.sign(link, key=PRIVATE)
    assert dotpt.verify(link, key=PUBLIC).ok
    assert dotpt.verify(model, key=PUBLIC).ok


def follow(root: Path, files: dict[str, bytes]) -> None:
    content = statement([resource(name, data) for name, data in files.items()], allow_symlinks=True)
    write(root / "model.sig", signed(content))


def test_links_are_followed_where_the_signer_did(tmp_path):
    root = fill(tmp_path / "model", {"a": b"a", "sub/b": b"b"})
    fill(tmp_path / "blobs", {"c": b"c"})
    (root / "link").symlink_to("a")
    (root / "away").symlink_to("../blobs")
    (root / "sub/up").symlink_to("..")  # a circle
    (root / "itself").symlink_to("itself")
    follow(root, {"a": b"a", "sub/b": b"b", "link": b"a", "away/c": b"c"})
    outcome = dotpt.verify(root, key=PUBLIC)
    assert places(outcome) == [("signature-unsigned-file", "itself")]
    (root / "itself").unlink()
    outcome = dotpt.verify(root, key=PUBLIC)
    assert outcome.ok
    assert sorted(outcome.notes[:2]) == [
        "The symbolic link away leads out of the folder.",
        "The symbolic link sub/up leads back to a folder above it; it was passed over.",
    ]
    (tmp_path / "blobs/c").write_bytes(b"C")
    assert places(dotpt.verify(root, key=PUBLIC)) == [("signature-mismatch", "away/c")]


def test_special_files_and_names_that_are_no_text(model):
    dotpt.sign(model, key=PRIVATE)
    os.mkfifo(model / "pipe")
    assert places(dotpt.verify(model, key=PUBLIC)) == [("signature-unsigned-file", "pipe")]
    with pytest.raises(UsageError, match=r"pipe \(it is no regular file\)"):
        dotpt.sign(model, key=PRIVATE)
    (model / "pipe").unlink()
    odd = os.fsencode(model) + b"/\xff"
    try:
        Path(os.fsdecode(odd)).touch()
    except OSError:
        pytest.skip("this file system takes only text")
    outcome = dotpt.verify(model, key=PUBLIC)
    assert rules(outcome) == ["signature-unsigned-file"]
    with pytest.raises(UsageError, match="no Unicode text"):
        dotpt.sign(model, key=PRIVATE)


def test_what_the_signer_left_out_is_told(tmp_path):
    root = fill(tmp_path / "model", {"a": b"a", "cache/x": b"x", "cached": b"y"})
    content = statement(
        [resource("a", b"a"), resource("cached", b"y")], ignore_paths=["cache", "gone", "../up", "/etc"]
    )
    write(root / "model.sig", signed(content))
    outcome = dotpt.verify(root, key=PUBLIC)
    assert outcome.ok
    assert "The signature leaves out cache." in outcome.notes
    content = statement([resource("a", b"a")], ignore_paths=["."])  # not a way to leave out everything
    write(root / "model.sig", signed(content))
    assert rules(dotpt.verify(root, key=PUBLIC)) == ["signature-unsigned-file"] * 2


def test_shards_of_a_folder(tmp_path):
    root = fill(tmp_path / "model", {"a:b": b"0123456789", "empty": b""})
    parts = [resource("a:b:0:4", b"0123"), resource("a:b:4:8", b"4567"), resource("a:b:8:10", b"89")]
    write(root / "model.sig", signed(statement(parts, method="shards", shard_size=4)))
    outcome = dotpt.verify(root, key=PUBLIC)
    assert (rules(outcome), outcome.signature.files) == ([], 1)
    (root / "a:b").write_bytes(b"0123456780")
    assert places(dotpt.verify(root, key=PUBLIC)) == [("signature-mismatch", "a:b")]


def test_a_signature_of_one_file_in_a_folder(model):
    write(model / "model.sig", signed(statement([resource(".", b"a")])))
    outcome = dotpt.verify(model, key=PUBLIC)
    assert outcome.deviations[0].rule == "signature-other-model"
    assert not outcome.ok


def test_one_file_of_a_signed_folder_is_not_the_folder(model):
    dotpt.sign(model, key=PRIVATE)
    outcome = dotpt.verify(model / "a.txt", key=PUBLIC, signature=model / "model.sig")
    assert rules(outcome) == ["signature-other-model"]


def test_limits(model):
    dotpt.sign(model, key=PRIVATE)
    with pytest.raises(LimitExceeded, match="records"):
        dotpt.sign(model, key=PRIVATE, limits=Limits(records=3))


def test_progress_is_that_of_the_whole(model):
    total = sum(map(len, USUAL.values()))
    for work in (dotpt.sign, dotpt.verify):
        told = []
        work(model, key=PRIVATE if work is dotpt.sign else PUBLIC, progress=lambda *now, told=told: told.append(now))
        assert told[-1] == (total, total)
        assert sorted(told) == told


def test_a_sharded_checkpoint_is_verified_through_its_signature(tmp_path):
    from tests.formats.test_sharded import FILES, ST_INDEX, WEIGHTS, folder

    root = folder(tmp_path / "model", FILES, WEIGHTS, metadata={})
    dotpt.sign(root / ST_INDEX, key=PRIVATE)  # the index stands for its folder
    assert len(payload_of(root / "model.sig")["predicate"]["resources"]) == 3
    for place in (root, root / ST_INDEX):
        outcome = dotpt.verify(place, key=PUBLIC)
        assert outcome.ok
        assert (outcome.format, outcome.tensors, outcome.signature.files) == ("sharded", 4, 3)
    (root / "two.bin").write_bytes(FILES["two.bin"][:-1] + b"\1")
    assert places(dotpt.verify(root, key=PUBLIC)) == [("signature-mismatch", "two.bin")]


def test_a_file_reached_by_a_link(tmp_path):
    shutil.copy(FIXTURES / "zip/state_dict.pt", tmp_path / "step.pt")
    (tmp_path / "latest.pt").symlink_to("step.pt")
    dotpt.sign(tmp_path / "latest.pt", key=PRIVATE)
    assert dotpt.verify(tmp_path / "latest.pt", key=PUBLIC).ok
