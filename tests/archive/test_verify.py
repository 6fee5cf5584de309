"""`dotpt.verify`: all damage is found, named by record and tensor, and nothing is raised for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import dotpt
from dotpt.archive.verification import Verification
from dotpt.errors import NotATorchFile, SourceError, UnsupportedError
from dotpt.source import open_source
from dotpt.source.base import Source
from dotpt.tensors import checking, together
from tests.corpus.torch_zip import Style, read, write
from tests.corpus.zip_mutations import MUTATIONS

FIXTURES = Path(__file__).parents[1] / "corpus" / "fixtures"


def whole(name: str = "zip/state_dict.pt") -> bytearray:
    return bytearray((FIXTURES / name).read_bytes())


def at(data: bytes, record: str) -> int:
    """Where the content of a record begins."""
    header = data.index(record.encode()) - 30
    name, extra = (int.from_bytes(data[header + n : header + n + 2], "little") for n in (26, 28))
    return header + 30 + name + extra


def statuses(outcome: Verification) -> dict[str, str]:
    return {record.name: record.status for record in outcome.records}


def all_fixtures() -> list[str]:
    index = json.loads((FIXTURES / "index.json").read_text())
    unsupported = ("exported", "packaged", "distributed")
    return [name for name in index["files"] if not any(word in name for word in unsupported)]


@pytest.mark.parametrize("name", all_fixtures())
def test_every_fixture_is_whole(name: str) -> None:
    limits = dotpt.Limits(deflated=True) if "deflated" in name else dotpt.Limits()
    outcome = dotpt.verify(FIXTURES / name, limits=limits)
    assert outcome.ok, outcome
    assert outcome.records or outcome.format in ("pickle", "tar", "legacy")
    if outcome.format in ("zip", "torchscript") and "crc_off" not in name:
        assert outcome.unverified == []
        assert outcome.bytes == sum(record.size for record in outcome.records)
    if outcome.format in ("legacy", "tar", "safetensors"):
        assert set(statuses(outcome).values()) <= {"no checksum"}
    facts = json.loads(json.dumps(outcome.to_dict()))
    assert (facts["schema"], facts["ok"]) == ("dotpt.verify/1", True)


def test_all_damaged_records_are_listed_with_their_tensors() -> None:
    data = whole()
    for record in ("data/1", "data/7"):
        data[at(data, f"state_dict/{record}")] ^= 0x40
    data[at(data, "state_dict/byteorder")] ^= 0x20  # LITTLE: a record that holds no tensor
    outcome = dotpt.verify(bytes(data))
    assert not outcome.ok
    damaged = {record.name: record.tensors for record in outcome.damaged}
    assert damaged["data/1"] == ("0.bias",)
    assert damaged["data/7"] == ("4.weight",)
    assert "byteorder" in damaged
    assert set(damaged) == {"data/1", "data/7", "byteorder"}
    assert outcome.to_dict()["damaged"][0].keys() == {"name", "size", "tensors"}


def test_a_damaged_tensor_that_several_share() -> None:
    data = whole("zip/state_dict_tied.pt")
    data[at(data, "state_dict_tied/data/0")] ^= 1
    (record,) = dotpt.verify(bytes(data)).damaged
    assert len(record.tensors) == 2


def test_a_damaged_pickle_is_a_damaged_record() -> None:
    data = whole()
    position = data.index(b"0.weight")
    data[position] ^= 1  # a key of another name: the pickle still decodes
    outcome = dotpt.verify(bytes(data))
    assert [record.name for record in outcome.damaged] == ["data.pkl"]
    data[position - 20] ^= 0xFF  # now it does not
    outcome = dotpt.verify(bytes(data))
    assert [record.name for record in outcome.damaged] == ["data.pkl"]
    assert statuses(outcome)["data/0"] == "ok"


def test_records_without_a_checksum_are_not_wrong_but_unverified() -> None:
    outcome = dotpt.verify(FIXTURES / "zip_crc_off/shared_many.pt")
    assert outcome.ok
    assert "data/0" in outcome.unverified
    assert outcome.bytes == 0


def test_compressed_records_are_a_deviation_and_checked_all_the_same() -> None:
    data = whole("deflated/state_dict.pt")
    outcome = dotpt.verify(bytes(data))
    assert "compressed-record" in {deviation.rule for deviation in outcome.deviations}
    assert set(statuses(outcome).values()) == {"ok"}
    assert dotpt.verify(bytes(data), limits=dotpt.Limits(deflated=True)).ok
    root, _ = read(bytes(data))
    data[at(data, f"{root}/data/0") + 5] ^= 0x10
    outcome = dotpt.verify(bytes(data), limits=dotpt.Limits(deflated=True))
    assert [record.name for record in outcome.damaged] == ["data/0"]


def test_a_compressed_record_that_expands_beyond_the_limits_is_not_expanded() -> None:
    root, records = read(bytes(whole()))
    bomb = write([*records, ("extra/bomb", bytes(8 << 20))], Style(root, deflated=frozenset(["extra/bomb"])))
    assert statuses(dotpt.verify(bomb))["extra/bomb"] == "unreadable"


#: Another order, padding or writer: nothing that two readers would take differently.
HARMLESS = {
    "cd_reversed", "data_byteorder_big_3", "data_byteorder_little_7", "data_extra_unknown", "data_padding_not_z",
    "eocd_no_zip64", "name_long",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_every_mutation_of_a_zip_is_found(name: str) -> None:
    try:
        outcome = dotpt.verify(MUTATIONS[name](bytes(whole())))
    except (NotATorchFile, UnsupportedError):
        return
    assert outcome.ok is (name in HARMLESS)
    assert all(deviation.text for deviation in outcome.deviations)


def test_one_lying_header_does_not_hide_the_other_records() -> None:
    data = whole()
    data[data.index(b"state_dict/data/3")] ^= 0x20  # the name in the local header
    data[at(data, "state_dict/data/5")] ^= 1
    outcome = dotpt.verify(bytes(data))
    assert [(d.rule, d.record) for d in outcome.deviations] == [("local-header-mismatch", "state_dict/data/3")]
    assert statuses(outcome)["data/3"] == "unreadable"
    assert statuses(outcome)["data/5"] == "damaged"
    assert statuses(outcome)["data/4"] == "ok"
    assert {record.name: record.tensors for record in outcome.damaged}["data/5"]


def test_a_cut_zip() -> None:
    outcome = dotpt.verify(bytes(whole()[:2000]))
    assert [deviation.rule for deviation in outcome.deviations] == ["end-record-missing"]
    found = statuses(outcome)
    assert found["data/0"] == "ok"
    assert [name for name, status in found.items() if status == "unreadable"] == [f"data/{n}" for n in range(2, 9)]
    assert outcome.damaged[0].tensors == ("1.weight",)
    assert outcome.tensors == 9


@pytest.mark.parametrize("name", ["legacy/state_dict.pt", "other/hf_safetensors/model-00001-of-00002.safetensors"])
def test_a_cut_file_of_another_format(name: str) -> None:
    data = whole(name)
    outcome = dotpt.verify(bytes(data[:-10]))
    assert not outcome.ok
    assert outcome.deviations[0].rule == "TruncatedFile"
    assert set(statuses(outcome).values()) == {"no checksum", "unreadable"}


def test_a_legacy_file_with_something_behind() -> None:
    outcome = dotpt.verify(bytes(whole("legacy/state_dict.pt")) + b"tail")
    assert [deviation.rule for deviation in outcome.deviations] == ["LegacyError"]


def test_what_is_no_torch_file_is_raised() -> None:
    with pytest.raises(dotpt.DotptError, match="empty"):
        dotpt.verify(b"")
    with pytest.raises(FileNotFoundError):
        dotpt.verify("/no/such/file.pt")
    with pytest.raises(UnsupportedError):
        dotpt.verify(FIXTURES / "other/packaged.pt")


def test_a_folder_of_shards(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FIXTURES / "other/hf_bin", folder)
    outcome = dotpt.verify(folder)
    assert outcome.ok
    assert outcome.tensors == 9
    shard = sorted(folder.glob("*.bin"))[0]
    assert any(record.name == f"{shard.name}/data.pkl" for record in outcome.records)
    data = bytearray(shard.read_bytes())
    root, _ = read(bytes(data))
    data[at(data, f"{root}/data/0")] ^= 1
    shard.write_bytes(data)
    outcome = dotpt.verify(folder)
    assert [record.name for record in outcome.damaged] == [f"{shard.name}/data/0"]
    assert outcome.damaged[0].tensors
    shard.write_bytes(data[:-50])
    assert "end-record-missing" in {deviation.rule for deviation in dotpt.verify(folder).deviations}
    shard.unlink()
    outcome = dotpt.verify(folder)
    assert [deviation.rule for deviation in outcome.deviations] == ["ShardError"]
    assert outcome.records


def large() -> bytes:
    root, records = read(bytes(whole("zip/dtype_float32.pt")))
    blob = bytes(range(256)) * (5 << 12)  # 5 MiB: several pieces, several threads
    return write([*records, *((f"extra/{n}", blob[n:]) for n in range(3))], Style(root))


def test_large_records_are_put_together_from_pieces() -> None:
    data = bytearray(large())
    assert dotpt.verify(bytes(data)).ok
    seen: list[tuple[int, int]] = []
    start = data.index(b"extra/1") + 200
    data[start + 3_000_000] ^= 1
    outcome = dotpt.verify(bytes(data), progress=lambda done, total: seen.append((done, total)))
    assert [record.name for record in outcome.damaged] == ["extra/1"]
    assert seen[-1][0] == seen[-1][1] == outcome.bytes
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_memory_stays_small() -> None:
    import tracemalloc

    with open_source(large()) as source:
        tracemalloc.start()
        try:
            assert dotpt.verify(source).ok
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


class _Scratched(Source):
    """A disk that cannot read some bytes."""

    def __init__(self, data: bytes, bad: int, remote: bool = False) -> None:
        self.name, self.size, self.remote, self._data, self._bad = "disk", len(data), remote, data, bad

    def read_into(self, offset: int, target: memoryview) -> None:
        self.check_range(offset, len(target))
        if offset <= self._bad < offset + len(target) and len(target) >= 1 << 19:
            raise SourceError("The bytes cannot be read.", path=self.name)
        target[:] = self._data[offset : offset + len(target)]


def test_a_place_that_cannot_be_read() -> None:
    data = large()
    bad = data.index(b"extra/1") + 4_000_000
    outcome = dotpt.verify(_Scratched(data, bad))
    assert statuses(outcome)["extra/1"] == "unreadable"
    assert statuses(outcome)["extra/2"] == "ok"
    assert statuses(outcome)["extra/0"] == "ok"
    with pytest.raises(SourceError):
        dotpt.verify(_Scratched(data, bad, remote=True))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_agree(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from dotpt.container.zip import ZipContainer

    monkeypatch.setattr(together, "_LEAST_SHARED", 0)
    container = ZipContainer(open_source(bytes(whole())))
    records = [container.record(name) for name in container.names]
    found = checking.check_records(container, records, threads=threads)
    assert set(found.statuses) == {"ok"}
    container.close()
