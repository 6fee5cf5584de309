"""`dotpt.clean` without torch: stored files, hostile streams, where the result goes, and what happens when it fails."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt import errors
from dotpt.clean import check as clean_check
from dotpt.clean import clean as cleaning
from dotpt.clean.check import NotTheSame
from dotpt.clean.objects import NothingLeft
from dotpt.clean.report import Change, CleanReport
from dotpt.formats import pt_zip_writer
from dotpt.scan import scan as _scanning  # noqa: F401 - so that it can be replaced
from dotpt.scan.findings import Finding, Findings
from tests.corpus import pickles as s
from tests.corpus import torch_zip as tz
from tests.corpus.stored import FIXTURES, STORED
from tests.source import fault_seam

OLD = sorted(path for path in (FIXTURES.parent / "old_fixtures").glob("*/*") if path.suffix != ".json")
REFUSED = {"deflated", "other"}  # not opened without being asked to; other kinds of files


def cleaned(source: Any, **options: Any) -> tuple[CleanReport, dotpt.Archive]:
    """The report, and the result, open. It names nothing unknown, and scans clean."""
    out = io.BytesIO()
    report = dotpt.clean(source, out, **options)
    out.seek(0)
    archive = dotpt.open(out)
    assert archive.unknown_globals == []
    assert dotpt.scan(io.BytesIO(out.getvalue())).verdict == "clean"
    return report, archive


def zipped(*ops: bytes, protocol: int = 2) -> bytes:
    """A file of torch's whose pickle is made of these opcodes, with one storage of four floats."""
    data = np.arange(4, dtype="<f4").tobytes()
    pickle = s.stream(s.proto(protocol), *ops, s.stop())
    return tz.write([("data.pkl", pickle), ("byteorder", b"little"), ("data/0", data), ("version", b"3\n")])


def told(report: CleanReport) -> str:
    return "\n".join(map(str, report.changes))


# -- stored files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, f in STORED.items() if f.path.is_file() and n.split("/")[0] not in REFUSED])
def test_every_stored_file(name: str) -> None:
    file = STORED[name]
    report, archive = cleaned(file.path)
    assert len(report.changes) == report.changed + report.dropped
    with dotpt.open(file.path) as original:
        if report.same:
            assert list(archive.tensors) == list(original.tensors)
        for address, ref in archive.tensors.items():
            origin = original.tensors.get(address)
            if origin is None or origin.layout != ref.layout:
                continue  # a numpy array that became a tensor; a part of a jagged one
            assert (ref.shape, ref.dtype) == (origin.shape, origin.dtype)
            if ref.layout == "strided" and not ref.is_meta and ref.storage and not ref.extra:
                assert logical(ref) == logical(origin), address


def logical(ref: dotpt.TensorRef) -> bytes:
    array = ref.numpy()
    return array.tobytes() if isinstance(array, np.ndarray) else repr(array).encode()


@pytest.mark.parametrize("path", OLD, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_file_of_an_old_torch(path: Path) -> None:
    try:
        report, archive = cleaned(path, encoding="latin1")
    except errors.UnsupportedError:  # TorchScript before its zip
        assert path.stem.startswith(("script", "trac", "frozen"))
        return
    with dotpt.open(path, encoding="latin1") as original:
        lost = len([change for change in report.changes if change.kind == "dropped" and "a tensor," in change.was])
        assert len(archive.tensors) + lost >= len(original.tensors)


def test_a_checkpoint_keeps_its_shape() -> None:
    report, archive = cleaned(FIXTURES / "zip/checkpoint_ultralytics.pt")
    tree = archive.tree
    assert tree["train_args"] == {"task": "detect", "imgsz": 640, "lr0": 0.01}
    assert tree["epoch"] == -1
    assert list(tree["ema"])[:2] == ["anchors", "model.0.conv.weight"]
    assert tree["ema"]._metadata[""] == {"version": 1}
    assert "ema: a module, tests.corpus.classes.Detector became its state dict" in told(report)
    assert archive.metadata["cleaned"]["modules"]["ema"]["attributes"]["names"] == {"0": "person", "1": "bicycle"}
    assert "ema.stride: a tensor, float32 [3] was dropped" in told(report)
    assert any("The code of tests.corpus.classes.Block" in note for note in report.notes)


def test_a_module_by_itself() -> None:
    report, archive = cleaned(FIXTURES / "zip/module_tied.pt")
    with dotpt.rescue(FIXTURES / "zip/module_tied.pt") as rescued:
        assert list(archive.tree) == list(rescued.entries)
        assert archive.tree._metadata == rescued.metadata
        for name, ref in rescued.tensors.items():
            assert archive[name].numpy().tobytes() == ref.numpy().tobytes()
    assert len(archive.aliases) >= 1  # the tied weights are one storage
    assert report.format == "zip"


def test_torchscript_becomes_a_state_dict() -> None:
    report, archive = cleaned(FIXTURES / "other/script.pt")
    with dotpt.rescue(FIXTURES / "other/script.pt") as rescued:
        assert list(archive.tree) == list(rescued.entries)
    assert "the program (code of" in told(report)


def test_packed_weights_of_torchscript_are_kept() -> None:
    report, archive = cleaned(FIXTURES.parent / "old_fixtures/1.8.1-py38/scripted_quantized.pt")
    assert [ref.dtype.name for ref in archive.tensors.values()] == ["qint8", "float32"]
    assert "a packed weight, 0._packed_params" in told(report)


def test_a_file_that_is_clean_stays_as_it_is() -> None:
    first, archive = cleaned(FIXTURES / "zip/checkpoint_tutorial.pt")
    assert first.same
    assert first.tensors == 34
    out = io.BytesIO()
    second = dotpt.clean(FIXTURES / "zip/checkpoint_tutorial.pt", out)
    again = io.BytesIO()
    dotpt.clean(io.BytesIO(out.getvalue()), again)
    assert again.getvalue() == out.getvalue()
    assert (second.tensors, second.values, archive.kind) == (first.tensors, first.values, "checkpoint")


@pytest.mark.parametrize("name", ["tar.pt", "tar_early.pt", "legacy_0_3_views.pt", "hf_bin", "hf_safetensors"])
def test_other_containers(name: str) -> None:
    report, archive = cleaned(FIXTURES / "other" / name)
    with dotpt.open(FIXTURES / "other" / name) as original:
        assert len(archive.tensors) == len(original.tensors) == report.tensors
        for address, ref in original.tensors.items():
            assert archive[address].numpy().tobytes() == ref.numpy().tobytes()


def test_of_several_objects_the_first_is_kept() -> None:
    two = (FIXTURES / "legacy/state_dict.pt").read_bytes() * 2
    report, archive = cleaned(two)
    assert len(archive.tensors) == 9
    assert "object 2 of the file was dropped" in told(report)


def test_notes_are_kept_and_other_records_listed(tmp_path: Path) -> None:
    root, records = tz.read((FIXTURES / "zip/state_dict.pt").read_bytes())
    added = [*records, ("extra/words.txt", b"hello"), ("extra/raw", b"\xff\xfe"), ("payload.py", b"print(1)")]
    path = tmp_path / "more.pt"
    path.write_bytes(tz.write(added, tz.Style(root=root)))
    report, archive = cleaned(path)
    assert archive.metadata == {"words.txt": "hello"}
    assert "the record payload.py was dropped" in told(report)
    assert "the record extra/raw was dropped" in told(report)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    data = bytearray((FIXTURES / "zip/state_dict.pt").read_bytes())
    out = tmp_path / "out.pt"
    with pytest.raises(errors.DotptError):
        dotpt.clean(bytes(data[:-200]), out)
    with dotpt.open(bytes(data)) as archive:
        begin, _ = archive["0.weight"].byte_range
    data[begin] ^= 1
    with pytest.raises(errors.ChecksumMismatch):
        dotpt.clean(bytes(data), out)
    assert os.listdir(tmp_path) == []


# -- hostile files ----------------------------------------------------------------------------------------------------

SYSTEM = s.call("os", "system", s.text("echo pwned"))


def test_a_call_in_a_dictionary_is_dropped() -> None:
    data = zipped(
        s.empty_dict(), s.mark(), s.text("weight"), s.tensor(), s.text("x"), SYSTEM, s.text("epoch"), s.number(3),
        s.setitems(),
    )  # fmt: skip
    report, archive = cleaned(data)
    assert list(archive.tree) == ["weight", "epoch"]
    assert archive["weight"].numpy().tolist() == [0, 1, 2, 3]
    assert "x: the call os.system('echo pwned') was dropped" in told(report)
    assert report.dropped == 1


def test_in_a_list_none_takes_its_place() -> None:
    report, archive = cleaned(zipped(s.empty_list(), s.mark(), s.number(1), SYSTEM, s.number(2), s.appends()))
    assert archive.tree == [1, None, 2]
    assert report.dropped == 1


def test_a_call_whose_result_is_thrown_away_is_listed() -> None:
    report, archive = cleaned(zipped(SYSTEM, s.pop(), s.empty_dict(), s.text("w"), s.tensor(), s.setitem()))
    assert list(archive.tensors) == ["w"]
    assert "the call os.system('echo pwned') was dropped (data.pkl byte" in told(report)
    assert "its result is thrown away" in told(report)


def test_nothing_is_left_of_a_bare_call(tmp_path: Path) -> None:
    with pytest.raises(NothingLeft, match=r"os\.system\('echo pwned'\)"):
        dotpt.clean(zipped(SYSTEM), tmp_path / "out.pt")
    assert os.listdir(tmp_path) == []


def test_what_lies_in_the_result_of_a_call_is_kept() -> None:
    report, archive = cleaned(zipped(SYSTEM, s.mark(), s.text("w"), s.tensor(), s.setitems()))
    assert list(archive.tensors) == ["w"]
    assert report.dropped == 1


@pytest.mark.parametrize(
    ("ops", "kept"),
    [
        ([s.global_("os", "system")], None),
        ([s.call("builtins", "getattr", s.global_("os", "x"), s.text("system"))], None),
        ([s.call("nothing_there.of", "Mine", s.text("a"), s.number(2))],
         {"__class__": "nothing_there.of.Mine", "args": ("a", 2)}),
        ([s.call("nothing_there.of", "Colour", s.number(2))], 2),
        ([s.global_("nothing_there.of", "Mine")], "nothing_there.of.Mine"),
        ([s.call("pathlib", "PosixPath", s.text("/etc"), s.text("passwd"))], "/etc/passwd"),
        ([s.call("collections", "deque", s.empty_list()), s.mark(), s.number(1), s.number(2), s.appends()], [1, 2]),
    ],
)  # fmt: skip
def test_what_values_become(ops: list[bytes], kept: Any) -> None:
    _, archive = cleaned(zipped(s.empty_dict(), s.mark(), s.text("w"), s.tensor(), s.text("x"), *ops, s.setitems()))
    assert archive.tree.get("x") == kept
    assert type(archive.tree.get("x")) is type(kept)


def test_a_pickle_in_a_text_is_dropped() -> None:
    inner = s.stream(s.proto(2), SYSTEM, s.stop())
    hidden = s.call("_codecs", "encode", s.text(inner.decode("latin1")), s.text("latin1"))
    data = zipped(
        s.empty_dict(), s.mark(), s.text("w"), s.tensor(), s.text("x"), hidden, s.text("y"), hidden, s.setitems()
    )  # fmt: skip
    report, archive = cleaned(data)
    assert list(archive.tree) == ["w"]
    assert "x: a text that is a pickle" in told(report)
    assert "y: a text that is a pickle" in told(report)


def test_a_call_as_a_key_becomes_text() -> None:
    data = zipped(s.empty_dict(), s.mark(), s.call("nothing_there", "Key", s.number(1)), s.tensor(), s.setitems())
    report, archive = cleaned(data)
    assert list(archive.tree) == [1]
    assert report.changed


def test_keys_that_become_the_same_are_told_apart() -> None:
    data = zipped(
        s.empty_dict(), s.mark(), s.text("/a"), s.number(1), s.call("pathlib", "PosixPath", s.text("/a")), s.number(2),
        s.setitems(),
    )  # fmt: skip
    report, archive = cleaned(data)
    assert archive.tree == {"/a": 1, "/a#2": 2}
    assert "which another one became too" in told(report)


def test_an_object_within_itself_is_dropped() -> None:
    mine = s.stream(s.global_("nothing_there", "Mine"), s.empty_tuple(), s.newobj(), s.binput(9))
    state = s.stream(s.empty_dict(), s.mark(), s.text("me"), s.binget(9), s.text("w"), s.tensor(), s.setitems())
    report, archive = cleaned(zipped(mine, state, s.build()))
    assert list(archive.tree) == ["__class__", "w"]
    assert "me: a nothing_there.Mine that lies within itself was dropped" in told(report)


def test_lists_and_dictionaries_that_hold_themselves_stay() -> None:
    looped = s.stream(s.empty_list(), s.binput(5), s.mark(), s.binget(5), s.number(1), s.appends())
    _, archive = cleaned(zipped(looped))
    assert archive.tree[0] is archive.tree
    report, archive = cleaned(zipped(s.empty_list(), s.binput(5), s.binget(5), s.tuple1(), s.append()))
    assert archive.tree[0][0] is archive.tree or "within itself" in told(report)


def test_a_tuple_in_itself_is_dropped_for_the_reader_of_torch() -> None:
    ring = s.stream(s.empty_list(), s.binput(5), s.tuple1(), s.binput(6), s.binget(5), s.binget(6), s.append(), s.pop())
    report, archive = cleaned(zipped(ring))
    assert archive.tree == ([None],)
    assert "0.0: a tuple that lies within itself was dropped" in told(report)


def test_depth_and_breadth_are_no_matter() -> None:
    limit = sys.getrecursionlimit()
    depth = dotpt.Limits().nesting - 5
    deep = s.stream(*[s.empty_list()] * depth, *[s.append()] * (depth - 1))
    _, archive = cleaned(zipped(deep))
    assert archive.tree
    nested = s.stream(s.global_("nothing_there", "Mine"), s.empty_tuple(), s.newobj())
    chain = s.stream(*[nested] * 300, *[s.build()] * 299)
    _, archive = cleaned(zipped(chain))
    assert archive.tree["__class__"] == "nothing_there.Mine"
    twice = s.stream(s.binput(7), s.pop(), s.mark(), s.binget(7), s.binget(7), s.tuple_())
    _, archive = cleaned(zipped(s.mark(), s.number(1), s.tuple_(), *[twice] * 9))
    assert len(archive.tree) == 2
    with pytest.raises(cleaning.NotClean, match="places"):
        cleaned(zipped(s.mark(), s.number(1), s.tuple_(), *[twice] * 100))  # 2^100 paths
    assert sys.getrecursionlimit() == limit


def test_large_integers_are_text() -> None:
    _, archive = cleaned(zipped(s.empty_list(), s.mark(), s.long4(1 << 4000), s.long1(1 << 400), s.appends()))
    assert archive.tree == [hex(1 << 4000), 1 << 400]


def test_what_a_stranger_wrote_is_readable_in_the_report() -> None:
    evil = "a\x1b[31m\u202eb"
    report, _ = cleaned(zipped(s.empty_dict(), s.text(evil), s.call("nothing_there", "Mine", s.none()), s.setitem()))
    assert "\x1b" not in str(report)
    assert "\u202e" not in str(report)


def test_a_million_changes_are_counted_and_not_listed() -> None:
    log = cleaning.ChangeLog()
    for number in range(20_000):
        log.drop("x", address=str(number))
    assert (log.dropped, len(log.entries)) == (20_000, 10_000)


# -- where it goes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes((FIXTURES / "zip/module.pt").read_bytes())
    return path


def test_the_source_is_never_replaced_unasked(model: Path, tmp_path: Path) -> None:
    old = model.read_bytes()
    (tmp_path / "folder").mkdir()
    link, hard = tmp_path / "link.pt", tmp_path / "hard.pt"
    link.symlink_to(model)
    os.link(model, hard)
    for same in (model, link, hard, f"{tmp_path}/folder/../model.pt", f"file://{model}", model.relative_to("/")):
        with pytest.raises(errors.UsageError) as caught:
            dotpt.clean(model, Path("/") / same if isinstance(same, Path) else same, overwrite=True)
        assert "the source itself" in str(caught.value)
        assert "in_place=True" in str(caught.value)
    assert model.read_bytes() == old


def test_in_place(model: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.pt"
    link.symlink_to(model)
    report = dotpt.clean(link, in_place=True)
    assert link.is_symlink()
    assert report.output == str(link)
    assert dotpt.open(model).kind == "state dict"
    assert sorted(os.listdir(tmp_path)) == ["link.pt", "model.pt"]


def test_a_file_that_is_there_is_replaced_only_on_demand(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.pt"
    out.write_bytes(b"mine")
    with pytest.raises(errors.UsageError, match="is there already"):
        dotpt.clean(model, out)
    assert out.read_bytes() == b"mine"
    dotpt.clean(model, out, overwrite=True)
    assert dotpt.open(out).kind == "state dict"


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        ((b"",), {}, "not said where"),
        ((b"", "out.pt"), {"in_place": True}, "do not go together"),
        ((b"",), {"in_place": True}, "Only a local file"),
        ((b"", "memory://out.pt"), {}, "cannot be read back"),
    ],
)
def test_wrong_destinations(arguments: tuple[Any, ...], options: dict[str, Any], said: str) -> None:
    with pytest.raises(errors.UsageError, match=said):
        dotpt.clean(*arguments, **options)


def test_a_stream_that_cannot_be_read_is_refused_before_anything_is_written(model: Path) -> None:
    class WriteOnly(io.RawIOBase):
        written = 0

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.written += len(data)
            return len(data)

    stream = WriteOnly()
    with pytest.raises(errors.UsageError, match="cannot be read back"):
        dotpt.clean(model, stream)
    assert stream.written == 0


# -- when it fails ----------------------------------------------------------------------------------------------------


def test_what_was_written_wrong_is_not_put_in_place(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dotpt.saving import file_values

    fetch = file_values._Copied.fetch

    def wrong(self: Any, begin: int, end: int) -> memoryview:
        view = bytearray(fetch(self, begin, end))
        if view:
            view[-1] ^= 1
        return memoryview(view)

    monkeypatch.setattr(file_values._Copied, "fetch", wrong)
    with pytest.raises(NotTheSame, match="has other bytes"):
        dotpt.clean(model, tmp_path / "out.pt")
    assert os.listdir(tmp_path) == ["model.pt"]


def test_what_does_not_scan_clean_is_not_put_in_place(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Findings("x", findings=[Finding("suspicious", "unknown-name", "It names a thing.")])
    monkeypatch.setattr(sys.modules["dotpt.scan.scan"], "scan", lambda *_, **__: found)
    with pytest.raises(cleaning.NotClean, match="It names a thing"):
        dotpt.clean(model, tmp_path / "out.pt")
    assert os.listdir(tmp_path) == ["model.pt"]


def test_a_name_that_torch_does_not_open_is_not_written(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clean_check, "_OPENED", frozenset())
    with pytest.raises(NotTheSame, match="The cleaned file names"):
        dotpt.clean(model, io.BytesIO())


def test_every_call_fails_in_turn(tmp_path: Path, record_property: Any) -> None:
    target = tmp_path / "a.pt"
    old = (FIXTURES / "zip/parameter_with_attributes.pt").read_bytes()
    target.write_bytes(old)
    dotpt.clean(target, in_place=True)
    new = target.read_bytes()

    def prepare() -> None:
        target.write_bytes(old)

    def check(outcome: fault_seam.Outcome, fault: str) -> None:
        where = f"{fault} at {outcome.call}"
        if outcome.ended == "failed":
            assert isinstance(outcome.error, (errors.DotptError, OSError)), f"{where}: {outcome.error!r}"
            assert os.listdir(tmp_path) == ["a.pt"], where
        assert target.read_bytes() in (old, new), where

    faults = ("ENOSPC", "late EIO", "kill", "kill after")
    tried = fault_seam.sweep(prepare, lambda: dotpt.clean(target, in_place=True), check, faults)
    record_property("points", sum(tried.values()))
    assert sum(tried.values()) > 50, tried


@pytest.mark.parametrize("place", ["draft", "check", "scan"])
def test_an_interrupt_leaves_nothing(place: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    module, name = {
        "draft": (pt_zip_writer, "write"),
        "check": (cleaning, "compare"),
        "scan": (sys.modules["dotpt.scan.scan"], "scan"),
    }[place]
    monkeypatch.setattr(module, name, interrupt)
    old = model.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        dotpt.clean(model, in_place=True)
    assert model.read_bytes() == old
    assert os.listdir(tmp_path) == ["model.pt"]


# -- the report -------------------------------------------------------------------------------------------------------


def test_the_report_is_plain() -> None:
    report, _ = cleaned(FIXTURES / "zip/numpy_kinds.pt")
    facts = report.to_dict()
    assert facts["changed"] == len(facts["changes"]) == 25
    assert {"kind", "address", "was", "now", "why"} == set(facts["changes"][0])
    assert str(report).splitlines()[0].endswith("19 tensors the same, 0 values kept, 25 changed, 0 dropped")
    assert not report.same
    assert list(report.of_kind("dropped")) == []
    assert str(Change("dropped", "", "a thing", why="it can run")) == "a thing was dropped (it can run)"


def test_what_numpy_holds() -> None:
    _, archive = cleaned(FIXTURES / "zip/numpy_kinds.pt")
    tree = archive.tree
    assert archive["big_endian"].numpy().tolist() == [1.5, -2.0]
    assert tree["unicode"] == ["ab", "日本語"]
    assert tree["datetime"] == ["2024-02-29", "NaT"]
    assert tree["structured"] == [("a", [1.0, 2.0], 3)]
    _, archive = cleaned(FIXTURES / "zip/numpy_objects.pt")
    assert archive.tree["objects"] == [1, "two", None, [3]]
    assert archive.tree["zero_d"] == {"a": 1}
    _, archive = cleaned(FIXTURES / "zip/numpy_shared.pt")
    assert archive.tree["a"] is archive.tree["b"]
