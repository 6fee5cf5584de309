"""`dotpt.read_metadata` and `dotpt.set_metadata`: what is noted changes, and nothing else, whatever happens."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dotpt
from dotpt import errors
from dotpt.container.zip import ZipContainer
from dotpt.formats.manifest import MANIFEST
from dotpt.formats.metadata import METADATA
from dotpt.source import open_source
from dotpt.source.overwrite import PAGE
from tests.container.test_slot import VALUES
from tests.corpus.torch_zip import Style, read, write
from tests.source import fault_seam, fault_sweep
from tests.source.children import SOURCES, child, names, on_small_disk, output_of

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="needs torch")

FIXTURES = Path(__file__).parents[1] / "corpus" / "fixtures"
SMALL = {"weight": np.arange(12, dtype=np.float32).reshape(3, 4), "bias": np.ones(3, np.float32)}
LARGE = {"weight": np.arange(300_000, dtype=np.float32), "bias": np.ones(3, np.float32)}
LONG = {"text": "x" * PAGE}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pt"


def saved(path: Path, arrays: dict[str, Any], metadata: dict[str, Any] | None = None) -> bytes:
    dotpt.save(arrays, path, metadata=metadata)
    return path.read_bytes()


def places(data: bytes) -> dict[str, int]:
    """Where the content of each tensor's record begins."""
    container = ZipContainer(open_source(data))
    return {name: container.record(name).offset for name in container.names if name.startswith("data/")}


def check(path: Path, arrays: dict[str, Any], metadata: dict[str, Any], *, manifest: bool = True) -> None:
    """The file is whole for every reader, and holds this."""
    assert dotpt.read_metadata(path) == metadata
    outcome = dotpt.verify(path)
    assert outcome.ok, outcome
    assert (outcome.writer is not None) is manifest
    loaded = dotpt.load(path, backend="numpy")
    assert all(np.array_equal(loaded[name], array) for name, array in arrays.items())
    with zipfile.ZipFile(path) as archive:  # the one that everybody has
        assert archive.testzip() is None
        root = archive.namelist()[0].partition("/")[0]
        noted = f"{root}/{METADATA}"
        assert (json.loads(archive.read(noted)) if noted in archive.namelist() else {}) == metadata
    if torch is not None:
        for mmap in (False, True):
            by_torch = torch.load(path, weights_only=True, mmap=mmap)
            assert all(np.array_equal(by_torch[name].numpy(), array) for name, array in arrays.items())


# -- what changes, and how --------------------------------------------------------------------------------------------


def test_in_a_large_file_one_page_changes_and_nothing_else(path: Path) -> None:
    before = saved(path, LARGE, {"epoch": 3})
    identity = os.stat(path).st_ino
    for metadata in ({"epoch": 4, "tags": ["ü", None]}, {}, {"text": "y" * 4000}, {"epoch": 3}):
        dotpt.set_metadata(path, metadata)
        check(path, LARGE, metadata)
        assert os.stat(path).st_ino == identity
        after = path.read_bytes()
        assert len(after) == len(before)
        at = ZipContainer(open_source(after)).record(METADATA).offset
        assert at % PAGE == 0
        assert after[:at] + after[at + PAGE :] == before[:at] + before[at + PAGE :]
        assert names(path.parent) == [path.name]
    assert after == before


@pytest.mark.parametrize("arrays", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("metadata", [{}, {"epoch": 3}, LONG], ids=["none", "short", "long"])
@pytest.mark.parametrize("first", [None, {"a": 1}, LONG], ids=["none", "short", "long"])
def test_a_file_is_the_same_as_if_it_had_been_saved_so(
    path: Path, arrays: dict[str, Any], metadata: dict[str, Any], first: dict[str, Any] | None
) -> None:
    wanted = saved(path, arrays, metadata)
    saved(path, arrays, first)
    dotpt.set_metadata(path, metadata)
    assert path.read_bytes() == wanted
    check(path, arrays, metadata)
    assert names(path.parent) == [path.name]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(max_size=8), VALUES, max_size=5), st.booleans())
def test_anything_that_json_holds(path: Path, metadata: dict[str, Any], large: bool) -> None:
    arrays = LARGE if large else SMALL
    if not path.exists() or path.stat().st_size > PAGE != large:
        saved(path, arrays)
    dotpt.set_metadata(path, metadata, durable=False)
    assert dotpt.read_metadata(path) == metadata
    assert dotpt.verify(path).ok


def test_what_is_noted_already_is_not_written(path: Path) -> None:
    for arrays in (SMALL, LARGE):
        saved(path, arrays, {"a": [1]})
        os.utime(path, (1, 1))
        dotpt.set_metadata(path, {"a": [1]})
        assert path.stat().st_mtime == 1
    saved(path, SMALL)
    os.utime(path, (1, 1))
    dotpt.set_metadata(path, {})
    assert path.stat().st_mtime == 1


@pytest.mark.parametrize("arrays", [SMALL, LARGE], ids=["small", "large"])
def test_a_file_of_torch_keeps_every_byte_of_its_records(path: Path, arrays: dict[str, Any]) -> None:
    """Written as torch does, by the corpus' own writer: no manifest, another root, checksums or none."""
    for style in (
        Style("model"),
        Style("model", crc=False),
        Style("model", zip64=True),
        Style("model", descriptors=False),
    ):
        saved(path, arrays)
        _, records = read(path.read_bytes())
        before = write([(name, data) for name, data in records if not name.startswith(".dotpt/")], style)
        path.write_bytes(before)
        dotpt.set_metadata(path, {"epoch": 3})
        after = path.read_bytes()
        assert places(after) == places(before)
        assert dotpt.read_metadata(path) == {"epoch": 3}
        assert dotpt.verify(path).ok
        with zipfile.ZipFile(path) as archive:
            assert archive.namelist()[-1] == f"model/{METADATA}"
            assert f"model/{MANIFEST}" not in archive.namelist()
        directory = ZipContainer(open_source(before)).directory_offset
        assert after[:directory] == before[:directory]
        dotpt.set_metadata(path, {"epoch": 4})
        dotpt.set_metadata(path, {})
        if arrays is SMALL:
            assert path.read_bytes() == before


@needs_torch
@pytest.mark.parametrize("count", [10, 400_000])
def test_files_that_torch_wrote(path: Path, count: int) -> None:
    arrays = {"a": np.arange(count, dtype=np.float32), "b": np.ones(3, np.int64)}
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    before = path.read_bytes()
    for metadata in ({"epoch": 3}, {"epoch": 4}, LONG, {"epoch": 5}):
        dotpt.set_metadata(path, metadata)
        check(path, arrays, metadata, manifest=False)
        assert places(path.read_bytes()) == places(before)
        assert path.read_bytes().startswith(before[: ZipContainer(open_source(before)).directory_offset])
    assert dotpt.inspect(path).writer.value == "torch 2.7 or newer"


@needs_torch
def test_offsets_that_torch_computes_still_hold(path: Path) -> None:
    from torch.utils.serialization import config

    arrays = {str(n): np.full(n * 1000, n, np.float32) for n in range(1, 30)}
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    dotpt.set_metadata(path, {"epoch": 3})
    with config.patch("load.calculate_storage_offsets", True):
        loaded = torch.load(path, mmap=True)
    assert all(np.array_equal(loaded[name].numpy(), array) for name, array in arrays.items())


def test_torchscript_keeps_its_compressed_code(path: Path) -> None:
    shutil.copy(FIXTURES / "other/script.pt", path)
    before = path.read_bytes()
    extra = dotpt.inspect(path).metadata
    dotpt.set_metadata(path, {"epoch": 3})
    assert dotpt.verify(path).ok
    assert dotpt.read_metadata(path) == {"epoch": 3}
    assert dotpt.inspect(path).metadata == extra | {"epoch": 3}
    dotpt.set_metadata(path, {})
    assert path.read_bytes() == before


def test_a_damaged_page_can_be_set_again(path: Path) -> None:
    """What a power cut in the middle of the write may leave."""
    data = bytearray(saved(path, LARGE, {"epoch": 3}))
    at = ZipContainer(open_source(bytes(data))).record(METADATA).offset
    data[at : at + 512] = b"\0" * 512
    path.write_bytes(data)
    with pytest.raises(errors.ChecksumMismatch, match="writes it anew"):
        dotpt.read_metadata(path)
    outcome = dotpt.verify(path)
    assert [(record.name, record.tensors) for record in outcome.damaged] == [(METADATA, ())]
    assert np.array_equal(dotpt.load(path, backend="numpy")["weight"], LARGE["weight"])
    dotpt.set_metadata(path, {"epoch": 4})
    check(path, LARGE, {"epoch": 4})


def test_records_behind_the_metadata_are_not_lost(path: Path) -> None:
    saved(path, SMALL, {"epoch": 3})
    root, records = read(path.read_bytes())
    data = write([*records, ("extra/note.txt", b"hello")], Style(root))
    path.write_bytes(data)
    with pytest.raises(errors.UnsupportedError, match=r"save it again: dotpt\.save"):
        dotpt.set_metadata(path, {"epoch": 4})
    assert path.read_bytes() == data


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "hint"),
    [
        ("legacy/state_dict.pt", errors.UnsupportedError, "save it as zip"),
        ("other/tar.pt", errors.UnsupportedError, "save it as zip"),
        (
            "other/hf_safetensors/model-00001-of-00002.safetensors",
            errors.UnsupportedError,
            "safetensors.torch.save_file",
        ),
        ("other/packaged.pt", errors.UnsupportedError, "torch.package"),
        ("index.json", errors.NotATorchFile, ""),
    ],
)
def test_other_formats_have_no_place_for_it(name: str, error: type[dotpt.DotptError], hint: str, path: Path) -> None:
    source = FIXTURES / name
    if not source.exists():
        pytest.skip(f"not among the fixtures: {name}")
    shutil.copy(source, path)
    before = path.read_bytes()
    with pytest.raises(error) as raised:
        dotpt.set_metadata(path, {"a": 1})
    assert hint in (raised.value.hint or "")
    assert raised.value.path == str(path)
    assert path.read_bytes() == before


def test_a_compressed_file(path: Path) -> None:
    path.write_bytes(gzip.compress(saved(path, SMALL, {"a": 1})))
    assert dotpt.read_metadata(path) == {"a": 1}
    with pytest.raises(errors.NotATorchFile, match="gzip"):
        dotpt.set_metadata(path, {"a": 2})


@pytest.mark.parametrize("place", [io.BytesIO(), b"bytes", 3, None, "https://example.com/a.pt", "s3://bucket/a.pt"])
def test_only_local_files_are_changed(place: Any) -> None:
    with pytest.raises(errors.UsageError):
        dotpt.set_metadata(place, {"a": 1})


def test_what_json_does_not_hold_is_refused_before_the_file_is_opened(path: Path) -> None:
    with pytest.raises(errors.UsageError) as raised:
        dotpt.set_metadata(path, {"a": {"b": (1, 2)}})
    assert raised.value.key == "a.b"
    with pytest.raises(errors.UsageError):
        dotpt.save(SMALL, path, metadata={"a": {1}})
    assert names(path.parent) == []


def test_a_file_that_is_not_there_or_damaged(path: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.SourceNotFound):
        dotpt.set_metadata(path, {"a": 1})
    with pytest.raises(errors.SourceIsFolder):
        dotpt.set_metadata(tmp_path, {"a": 1})
    data = saved(path, SMALL)
    for broken in (data[:-30], data[:100], data.replace(b"data/0", b"data/9", 1)):
        path.write_bytes(broken)
        with pytest.raises(errors.ContainerError):
            dotpt.set_metadata(path, {"a": 1})
        assert path.read_bytes() == broken
        assert names(tmp_path) == [path.name]


# -- links, permissions, addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("arrays", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.skipif(os.name != "posix", reason="links and permissions of POSIX")
def test_links_and_permissions_stay(tmp_path: Path, arrays: dict[str, Any]) -> None:
    path, link = tmp_path / "real.pt", tmp_path / "link.pt"
    saved(path, arrays)
    path.chmod(0o640)
    link.symlink_to("real.pt")
    dotpt.set_metadata(link, {"a": 1})
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    check(path, arrays, {"a": 1})
    dotpt.set_metadata(f"file://{path}", {"a": 2})
    assert dotpt.read_metadata(path) == {"a": 2}
    path.chmod(0o440)
    if os.geteuid():
        with pytest.raises(errors.WriteDenied):
            dotpt.set_metadata(path, {"a": 3})


def test_every_kind_of_source_can_be_read(path: Path) -> None:
    data = saved(path, SMALL, {"a": 1})
    assert dotpt.read_metadata(str(path)) == {"a": 1}
    assert dotpt.read_metadata(data) == {"a": 1}
    assert dotpt.read_metadata(io.BytesIO(data)) == {"a": 1}
    with open_source(path) as source:
        assert dotpt.read_metadata(source) == {"a": 1}
        assert source.read(0, 2) == b"PK"  # it is not closed
    header = b'{"__metadata__":{"by":"me"}}'
    assert dotpt.read_metadata(len(header).to_bytes(8, "little") + header) == {"by": "me"}
    assert dotpt.read_metadata(FIXTURES / "legacy/state_dict.pt") == {}
    assert dotpt.read_metadata(FIXTURES / "other/hf_bin").keys() == {"total_size"}
    with pytest.raises(errors.NotATorchFile):
        dotpt.read_metadata(b"hello there")
    with pytest.raises(errors.TruncatedFile):
        dotpt.read_metadata(data[:-5])


def test_no_pickle_is_decoded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(path, LARGE, {"a": 1})
    at = ZipContainer(open_source(data)).record("data.pkl").offset
    path.write_bytes(data[:at] + b"\xff" * 10 + data[at + 10 :])
    assert dotpt.read_metadata(path) == {"a": 1}
    dotpt.set_metadata(path, {"a": 2})
    assert dotpt.read_metadata(path) == {"a": 2}


def test_an_open_archive_shows_it(path: Path) -> None:
    saved(path, SMALL, {"a": [1, {"b": None}], "license": "mit"})
    with dotpt.open(path) as archive:
        assert archive.metadata == {"a": [1, {"b": None}], "license": "mit"}
    report = dotpt.inspect(path)
    assert report.to_dict()["metadata"] == {"a": [1, {"b": None}], "license": "mit"}
    assert 'metadata   a: [1, {"b": null}]\n' in str(report)
    assert "license: mit" in report._repr_html_()
    saved(path, SMALL, {f"key{n}": n for n in range(8)})
    assert "and 3 more" in str(dotpt.inspect(path))


# -- faults -----------------------------------------------------------------------------------------------------------

OLD, NEW = {"epoch": 3}, {"epoch": 4, "by": "me"}
ARRAYS = {"rewritten": SMALL, "in place": LARGE}


def states(path: Path, arrays: dict[str, Any]) -> tuple[bytes, bytes]:
    """The file before and after."""
    after = saved(path, arrays, NEW)
    return saved(path, arrays, OLD), after


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "fast"])
def test_every_call_fails_in_turn(kind: str, durable: bool, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "model.pt"
    before, after = states(path, ARRAYS[kind])

    def prepare() -> None:
        for name in names(folder):
            (folder / name).unlink()
        path.write_bytes(before)

    def check_outcome(outcome: fault_seam.Outcome, fault: str) -> None:
        where = f"{fault} at {outcome.call}: {outcome.error!r}"
        content = path.read_bytes()
        assert content in (before, after), where
        if outcome.ended == "saved":
            assert content == after, where
        elif outcome.ended == "failed":
            assert isinstance(outcome.error, dotpt.DotptError), where
        if outcome.ended != "killed":
            assert names(folder) == ["model.pt"], where

    tried = fault_seam.sweep(prepare, lambda: dotpt.set_metadata(path, NEW, durable=durable), check_outcome)
    print(f"\n{kind}, {durable=}: {sum(tried.values())} points tried by the seam: {tried}")
    assert tried["kill"] >= 10


@pytest.mark.slow
@pytest.mark.parametrize("kind", ARRAYS)
def test_every_system_call_fails_in_turn(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "model.pt"
    before, after = states(path, ARRAYS[kind])
    script = f"""
import sys; sys.path.insert(0, {str(SOURCES)!r})
import dotpt, shutil
for name in ("model.pt", "warm.pt"):
    shutil.copy({str(path)!r}, {str(tmp_path / "warm.pt")!r})
dotpt.set_metadata({str(tmp_path / "warm.pt")!r}, {{"warm": 1}})
def run(folder):
    dotpt.set_metadata(folder + "/model.pt", {NEW!r})
"""

    def prepare() -> None:
        for name in names(folder):
            (folder / name).unlink()
        path.write_bytes(before)

    def check_outcome(point: fault_sweep.Point, outcome: fault_sweep.Outcome) -> None:
        content = path.read_bytes()
        assert content in (before, after), f"{point}: {outcome}"
        assert (outcome.ended != "saved") or content == after, f"{point}: {outcome}"
        if outcome.ended != "killed":
            assert names(folder) == ["model.pt"], f"{point}: {outcome}"

    tried = fault_sweep.sweep(script, folder, prepare, check_outcome)
    print(f"\n{kind}: {sum(tried.values())} points tried by the tracer: {dict(tried)}")
    assert tried[fault_sweep.KILL] >= 10


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("kind", ARRAYS)
def test_a_kill_at_any_time_leaves_the_old_or_the_new(kind: str, path: Path) -> None:
    arrays, seen = ARRAYS[kind], set()
    states(path, arrays)
    code = """
import dotpt
while True:
    for epoch in range(100):
        dotpt.set_metadata(sys.argv[1], {"epoch": epoch, "again": "x" * epoch}, durable=False)
"""
    chance = random.Random(1)
    for _ in range(15):
        process = subprocess.Popen(child(code, path))
        time.sleep(0.25 + chance.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        metadata = dotpt.read_metadata(path)
        assert metadata in (OLD, {"epoch": metadata["epoch"], "again": "x" * metadata["epoch"]})
        assert dotpt.verify(path).ok
        seen.add(metadata["epoch"])
    dotpt.set_metadata(path, {})
    assert names(path.parent) == [path.name]
    assert len(seen) > 3


@pytest.mark.skipif(sys.platform != "linux", reason="needs a tmpfs of its own")
def test_a_full_disk(tmp_path: Path) -> None:
    """Changing in place needs no room; writing anew says how much it needs."""
    source, disk = tmp_path / "source.pt", tmp_path / "disk"
    disk.mkdir()
    saved(source, LARGE, OLD)
    code = """
import dotpt
source, path = sys.argv[1], sys.argv[2] + "/model.pt"
shutil.copy(source, path)
with open(sys.argv[2] + "/filler", "wb", buffering=0) as filler:
    try:
        while filler.write(bytes(1 << 16)):
            pass
    except OSError:
        pass
dotpt.set_metadata(path, {"epoch": 4})
print(dotpt.read_metadata(path))
try:
    dotpt.set_metadata(path, {"text": "x" * 5000})
except errors.NoSpace as error:
    print(error.size > 1_200_000, sorted(os.listdir(sys.argv[2])), dotpt.read_metadata(path), dotpt.verify(path).ok)
"""
    said = output_of(on_small_disk(child(code, source, disk), disk, "2m"))
    assert said == "{'epoch': 4}\nTrue ['filler', 'model.pt'] {'epoch': 4} True"


def test_a_file_that_changes_meanwhile(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dotpt.saving import metadata as room

    before, after = states(path, LARGE)
    stands = room._stands

    def meanwhile(container: ZipContainer, text: bytes) -> bool:
        path.write_bytes(after)
        return stands(container, text)

    monkeypatch.setattr(room, "_stands", meanwhile)
    other = before.replace(b'{"epoch":3}', b'{"epoch":9}')
    path.write_bytes(other)
    with pytest.raises(errors.SourceChanged):
        dotpt.set_metadata(path, {"text": "x" * 5000})
    assert path.read_bytes() == after
    assert names(path.parent) == [path.name]


def test_errno_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(path, SMALL)

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EDQUOT, "Disk quota exceeded")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(errors.NoSpace) as raised:
        dotpt.set_metadata(path, {"a": 1})
    assert raised.value.errno == errno.EDQUOT


# -- remote -----------------------------------------------------------------------------------------------------------


def test_few_requests_to_a_server(server: Any, path: Path) -> None:
    arrays = {f"layer{n}": np.full(1 << 18, n, np.float32) for n in range(8)}
    server.body = saved(path, arrays, {"epoch": 3})
    assert dotpt.read_metadata(server.url) == {"epoch": 3}
    assert len(server.asked) <= 3
