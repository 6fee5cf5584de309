"""`dotpt.verify` of files that have a manifest: damage is told by tensor, whatever else is damaged."""

from __future__ import annotations

import json
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt.archive.verification import Verification
from dotpt.formats.manifest import MANIFEST
from dotpt.formats.metadata import METADATA
from tests.corpus.torch_zip import Style, read, write

TORCH = Style()
BASE = np.arange(1000, dtype=np.float32)
ARRAYS: dict[str, Any] = {
    "a": np.arange(400_000, dtype=np.float32),
    "b": np.ones((3, 4), np.int64),
    "head": BASE[:10],
    "tail": BASE[10:],
    "empty": np.zeros((0, 3), np.float32),
    "deep": [{"c.d": np.arange(5.0)}],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("hashes") / "a.pt"
    dotpt.save(ARRAYS, path, metadata={"epoch": 3})
    return path.read_bytes()


def at(data: bytes, record: str) -> int:
    """Where the content of a record begins."""
    with zipfile.ZipFile(BytesIO(data)) as archive:
        header = archive.getinfo(f"archive/{record}").header_offset
    name, extra = (int.from_bytes(data[header + n : header + n + 2], "little") for n in (26, 28))
    return header + 30 + name + extra


def damaged_at(data: bytes, record: str, byte: int = 0) -> bytearray:
    """The file with one bit of a record turned."""
    changed = bytearray(data)
    changed[at(data, record) + byte] ^= 0x10
    return changed


def rewritten(data: bytes, changes: dict[str, Any], style: Style = TORCH) -> bytes:
    """The file packed anew, its checksums made to fit, with some of its records changed, each by a function."""
    _, records = read(data)
    return write([(name, changes.get(name, bytes)(content)) for name, content in records], style)


def with_manifest(data: bytes, change: Any) -> bytes:
    """The file with another manifest: ``change`` is given the parsed one."""

    def changed(text: bytes) -> bytes:
        value = json.loads(text)
        return json.dumps(change(value) or value).encode()

    return rewritten(data, {MANIFEST: changed})


def tensors(outcome: Verification) -> dict[str, tuple[str, ...]]:
    return {record.name: record.tensors for record in outcome.damaged}


def rules(outcome: Verification) -> list[str]:
    return [deviation.rule for deviation in outcome.deviations]


def test_a_whole_file(whole: bytes) -> None:
    outcome = dotpt.verify(whole)
    assert outcome.ok, outcome
    assert (outcome.writer, outcome.hashed, outcome.tensors) == (f"dotpt {dotpt.__version__}", 5, 6)
    facts = json.loads(json.dumps(outcome.to_dict()))
    assert (facts["writer"], facts["hashed"], facts["notes"]) == (outcome.writer, 5, [])
    with dotpt.open(whole) as archive:
        assert archive.manifest is not None
        assert list(archive.manifest.tensors) == ["a", "b", "deep.0.c.d", "head", "tail"]
        assert archive.manifest.tensors["head"].range == (0, 40)


def test_of_several_tensors_in_a_record_the_damaged_one_is_named(whole: bytes) -> None:
    with dotpt.open(whole) as archive:
        assert archive.manifest is not None
        record = archive.manifest.tensors["head"].record
        assert archive.manifest.tensors["tail"].record == record
    assert tensors(dotpt.verify(bytes(damaged_at(whole, record, 39)))) == {record: ("head",)}
    assert tensors(dotpt.verify(bytes(damaged_at(whole, record, 40)))) == {record: ("tail",)}


def test_tensors_are_named_though_the_pickle_is_damaged(whole: bytes) -> None:
    data = damaged_at(whole, "data/0", 1_000_000)
    pickle = at(whole, "data.pkl")
    data[pickle : pickle + 20] = b"\xff" * 20
    outcome = dotpt.verify(bytes(data))
    assert tensors(outcome)["data/0"] == ("a",)
    assert set(tensors(outcome)) == {"data.pkl", "data/0"}
    assert outcome.hashed == 5
    assert not any(rule.startswith("manifest") for rule in rules(outcome))


def test_a_pickle_whose_damage_changed_a_name_is_the_only_finding(whole: bytes) -> None:
    data = bytearray(whole)
    data[whole.index(b"head")] ^= 1
    outcome = dotpt.verify(bytes(data))
    assert tensors(outcome) == {"data.pkl": ()}
    assert rules(outcome) == []


def test_without_checksums_the_hashes_tell(whole: bytes) -> None:
    data = rewritten(whole, {}, Style(crc=False))
    outcome = dotpt.verify(data)
    assert outcome.ok
    assert outcome.hashed == 5
    status = {record.name: record.status for record in outcome.records}
    assert status["data/0"] == status["data/1"] == status["data/2"] == "ok"
    assert "data.pkl" in outcome.unverified
    assert outcome.bytes == sum(record.size for record in outcome.records if record.name.startswith("data/"))
    outcome = dotpt.verify(bytes(damaged_at(data, "data/0")))
    assert tensors(outcome) == {"data/0": ("a",)}


def test_checksums_that_were_made_to_fit_damaged_bytes(whole: bytes) -> None:
    data = rewritten(whole, {"data/0": lambda content: content[:-1] + bytes([content[-1] ^ 1])})
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
    assert tensors(dotpt.verify(data)) == {"data/0": ("a",)}


def test_a_checksum_that_is_damaged_itself_concerns_no_tensor(whole: bytes) -> None:
    data = bytearray(whole)
    crc = zlib.crc32(ARRAYS["a"].tobytes()).to_bytes(4, "little")
    assert data.count(crc) == 2
    data = data.replace(crc, b"\1\2\3\4")
    assert tensors(dotpt.verify(bytes(data))) == {"data/0": ()}


def test_every_bit_of_a_tensor_counts(whole: bytes) -> None:
    for byte in (0, 1, 799_999, 1_048_575, 1_048_576, 1_599_999):
        assert tensors(dotpt.verify(bytes(damaged_at(whole, "data/0", byte)))) == {"data/0": ("a",)}


def test_a_manifest_that_lists_other_tensors(whole: bytes) -> None:
    def rename(value: Any) -> None:
        value["tensors"]["gone"] = value["tensors"].pop("b")

    outcome = dotpt.verify(with_manifest(whole, rename))
    assert rules(outcome) == ["manifest-unknown-tensor", "manifest-unlisted-tensor"]
    assert "a tensor (gone), which the pickle does not have" in outcome.deviations[0].text
    assert "a tensor (b), which the manifest does not list" in outcome.deviations[1].text
    assert outcome.deviations[0].record == MANIFEST
    assert not outcome.damaged


def test_a_tensor_that_the_manifest_leaves_out_is_named_with_its_record(whole: bytes) -> None:
    data = with_manifest(whole, lambda value: value["tensors"].pop("a") and None)
    outcome = dotpt.verify(bytes(damaged_at(data, "data/0")))
    assert tensors(outcome) == {"data/0": ("a",)}
    assert rules(outcome) == ["manifest-unlisted-tensor"]


PLACES: dict[str, Any] = {
    "another record": {"record": "data/1"},
    "no such record": {"record": "data/77"},
    "another range": {"range": [0, 40]},
    "a range behind the record": {"range": [0, 10**15]},
    "the pickle": {"record": "data.pkl"},
}


@pytest.mark.parametrize("change", PLACES.values(), ids=PLACES)
def test_a_manifest_that_places_a_tensor_elsewhere(change: dict[str, Any], whole: bytes) -> None:
    outcome = dotpt.verify(with_manifest(whole, lambda value: value["tensors"]["a"].update(change)))
    assert not outcome.ok
    assert "manifest-wrong-place" in rules(outcome)


def test_a_manifest_that_would_have_bytes_hashed_over_and_over(whole: bytes) -> None:
    def many(value: Any) -> None:
        entry = value["tensors"]["a"]
        value["tensors"] |= {f"x{n}": entry | {"range": [n, 1_600_000]} for n in range(2000)}

    outcome = dotpt.verify(with_manifest(whole, many))
    assert "manifest-ranges" in rules(outcome)
    assert outcome.hashed == 4
    assert outcome.seconds < 5


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"hash":1}', b"\xff", b"[" * 10_000])
def test_a_broken_manifest_is_a_deviation_and_keeps_nothing_from_being_loaded(text: bytes, whole: bytes) -> None:
    data = rewritten(whole, {MANIFEST: lambda _: text})
    outcome = dotpt.verify(data)
    assert rules(outcome) == ["dotpt-record-broken"]
    assert (outcome.deviations[0].record, outcome.writer, outcome.hashed) == (MANIFEST, None, 0)
    assert np.array_equal(dotpt.load(data, backend="numpy")["a"], ARRAYS["a"])
    with dotpt.open(data) as archive:
        assert archive.manifest is None
        assert archive.metadata == {"epoch": 3}
    notes = dotpt.inspect(data).notes
    assert any("hashes cannot be read" in note for note in notes)


def test_a_damaged_manifest_is_a_damaged_record(whole: bytes) -> None:
    outcome = dotpt.verify(bytes(damaged_at(whole, MANIFEST, 60)))
    assert (tensors(outcome), rules(outcome), outcome.hashed) == ({MANIFEST: ()}, [], 0)
    assert dotpt.load(bytes(damaged_at(whole, MANIFEST, 60)), backend="numpy").keys() == ARRAYS.keys()


def test_a_manifest_of_a_later_version_is_noted(whole: bytes) -> None:
    outcome = dotpt.verify(with_manifest(whole, lambda value: value.update(dotpt=2)))
    assert outcome.ok
    assert "hashes were not compared" in outcome.notes[0]


@pytest.mark.parametrize("text", [b"{", b"[]", b"\xff"])
def test_broken_metadata_is_a_deviation_and_keeps_nothing_from_being_loaded(text: bytes, whole: bytes) -> None:
    data = rewritten(whole, {METADATA: lambda _: text})
    outcome = dotpt.verify(data)
    assert rules(outcome) == ["dotpt-record-broken"]
    assert (outcome.deviations[0].record, outcome.hashed) == (METADATA, 5)
    assert dotpt.load(data, backend="numpy").keys() == ARRAYS.keys()
    report = dotpt.inspect(data)
    assert report.metadata == {}
    assert any("metadata cannot be read" in note for note in report.notes)


def test_a_file_that_lost_its_directory(whole: bytes) -> None:
    outcome = dotpt.verify(whole[:-200])
    assert "end-record-missing" in rules(outcome)
    assert outcome.hashed == 5
    data = damaged_at(whole, "data/0")[:-200]
    assert tensors(dotpt.verify(bytes(data)))["data/0"] == ("a",)


def test_a_cut_file_has_no_manifest_left(whole: bytes) -> None:
    outcome = dotpt.verify(whole[:1_000_000])
    assert (outcome.writer, outcome.hashed) == (None, 0)
    assert tensors(outcome)["data/0"] == ("a",)


def test_a_tensor_of_a_safetensors_file_may_be_called_so() -> None:
    header = json.dumps({MANIFEST: {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}}).encode()
    data = len(header).to_bytes(8, "little") + header + b"[]"
    assert dotpt.verify(data).ok
    with dotpt.open(data) as archive:
        assert archive.manifest is None
    assert dotpt.read_metadata(data) == {}


def test_shards_have_manifests_of_their_own(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        dotpt.save({name: ARRAYS[name]}, tmp_path / f"{number}.pt")
    weights = {"weight_map": {"a": "0.pt", "b": "1.pt"}, "metadata": {"by": "me"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(weights))
    outcome = dotpt.verify(tmp_path)
    assert outcome.ok
    assert (outcome.hashed, outcome.writer) == (2, f"dotpt {dotpt.__version__}")
    assert dotpt.read_metadata(tmp_path) == {"by": "me"}
    assert dotpt.inspect(tmp_path).writer.value == outcome.writer
    shard = tmp_path / "1.pt"
    shard.write_bytes(damaged_at(shard.read_bytes(), "data/0"))
    assert tensors(dotpt.verify(tmp_path)) == {"1.pt/data/0": ("b",)}


def test_the_writer_is_what_the_manifest_says(whole: bytes) -> None:
    claim = dotpt.inspect(whole).writer
    assert (claim.value, claim.certainty) == (f"dotpt {dotpt.__version__}", "CONFIRMED")
    other = dotpt.inspect(with_manifest(whole, lambda value: value.update(writer="dotpt 99\x1b"))).writer
    assert "\x1b" not in str(other)
    buffer = BytesIO()
    _, records = read(whole)
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in records:
            archive.writestr(f"archive/{name}", content)
    assert dotpt.inspect(buffer.getvalue()).writer.value == "a zip tool other than torch's"
