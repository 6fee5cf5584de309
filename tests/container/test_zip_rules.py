"""Every way in which a zip can say two things breaks its own rule, with the byte, for every verb. Needs no torch."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt.container import ziprules as rules
from dotpt.container.zip import ZipContainer
from dotpt.errors import (
    ChecksumMismatch,
    ContainerError,
    DotptError,
    NotATorchFile,
    PickleError,
    RecordMissing,
    TensorError,
)
from dotpt.source.memory import BytesSource
from tests.corpus import pickles as p
from tests.corpus.torch_zip import Style, pt, write
from tests.corpus.zip_mutations import MUTATIONS, Archive, parse

WEIGHTS = np.arange(1, 5, dtype=np.float32)


def archive(count: int) -> bytes:
    """A state dict of ``count`` tensors, in the form that torch writes."""
    entries = [p.stream(p.text(f"k{i}"), p.tensor(source=p.storage(str(i)))) for i in range(count)]
    pickle = p.pickled(p.empty_dict(), p.mark(), *entries, p.setitems())
    return pt(pickle, {str(i): (WEIGHTS + i).tobytes() for i in range(count)})


SMALL, LARGE = archive(2), archive(300)  # the large one's directory is checked column by column
SAME = None  # the file is read, and the data is right

EXPECTED: dict[str, type[DotptError] | None] = {
    "lfh_name_changed": rules.LocalHeaderMismatch,
    "lfh_name_changed_weights": rules.LocalHeaderMismatch,
    "lfh_flag_encrypted": rules.LocalHeaderMismatch,
    "lfh_flag_patched": rules.LocalHeaderMismatch,
    "lfh_flag_strong": rules.LocalHeaderMismatch,
    "lfh_flag_masked": rules.LocalHeaderMismatch,
    "lfh_flag_no_utf8": rules.LocalHeaderMismatch,
    "lfh_method": rules.LocalHeaderMismatch,
    "lfh_size": rules.LocalHeaderMismatch,
    "lfh_signature": rules.LocalHeaderMismatch,
    "lfh_extra_len_0": rules.GapBetweenRecords,  # torch loads shifted numbers
    "cd_crc_wrong": rules.DescriptorMismatch,
    "cd_crc_zero": rules.DescriptorMismatch,
    "cd_crc_wrong_pickle": rules.DescriptorMismatch,
    "cd_flag_encrypted": rules.EncryptedRecord,
    "cd_lfh_flag_encrypted": rules.EncryptedRecord,
    "cd_flag_strong": rules.EncryptedRecord,
    "cd_lfh_flag_strong": rules.EncryptedRecord,
    "cd_flag_masked": rules.EncryptedRecord,
    "cd_lfh_flag_masked": rules.EncryptedRecord,
    "cd_flag_patched": rules.UnsupportedFlags,
    "cd_lfh_flag_patched": rules.UnsupportedFlags,
    "cd_method_bz2": rules.UnsupportedMethod,
    "cd_method_lzma": rules.UnsupportedMethod,
    "cd_method_unknown": rules.UnsupportedMethod,
    "cd_method_deflate_of_stored": rules.CompressedRecord,
    "cd_size_short": rules.DirectoryDamaged,
    "cd_size_long": rules.DirectoryDamaged,
    "cd_size_huge": rules.DirectoryDamaged,
    "cd_overlap_same_data": rules.OverlappingRecords,
    "cd_overlap_inside": rules.OverlappingRecords,
    "cd_offset_beyond": rules.OverlappingRecords,
    "cd_record_missing": rules.GapBetweenRecords,
    "cd_reversed": SAME,
    "data_bit_flip": ChecksumMismatch,
    "data_zeroed": ChecksumMismatch,
    "data_pickle_bit_flip": ChecksumMismatch,
    "data_descriptor_missing": rules.DescriptorMismatch,
    "data_descriptor_wrong": rules.DescriptorMismatch,
    "data_gap": rules.GapBetweenRecords,
    "data_padding_not_z": SAME,
    "data_extra_unknown": SAME,
    "data_record_short": TensorError,
    "data_record_long": TensorError,
    "data_record_empty": TensorError,
    "data_weights_missing": RecordMissing,
    "data_pickle_missing": NotATorchFile,
    "data_version_missing": ContainerError,
    "data_version_0": ContainerError,
    "data_version_11": ContainerError,
    "data_version_abc": ContainerError,
    "data_version_empty": ContainerError,
    "data_version_999999": ContainerError,
    "data_byteorder_big_3": SAME,
    "data_byteorder_middle_6": ContainerError,
    "data_byteorder_empty_0": ContainerError,
    "data_byteorder_little_7": SAME,
    "data_constants_added": PickleError,  # now a TorchScript file, whose constants are no tuple
    "dup_weights": rules.DuplicateRecord,
    "dup_pickle_upper": rules.DuplicateRecord,
    "name_pickle_only_upper": NotATorchFile,
    "name_second_root": rules.SecondRoot,
    "name_no_root": rules.SecondRoot,
    "name_backslash": rules.SecondRoot,
    "name_absolute": rules.SecondRoot,
    "name_empty": rules.SecondRoot,
    "name_backslash_one": rules.BadRecordName,
    "name_dotdot": rules.BadRecordName,
    "name_nul": rules.BadRecordName,
    "name_not_utf8": rules.BadRecordName,
    "name_escape": rules.BadRecordName,
    "name_long": SAME,
    "name_directory": rules.GapBetweenRecords,
    "prefix_64": NotATorchFile,
    "trailing_junk": rules.TrailingData,
    "trailing_60k": rules.TrailingData,
    "trailing_70k": rules.MissingEndRecord,
    "eocd_comment": rules.TrailingData,
    "eocd_counts_minus_1": rules.DirectoryDamaged,
    "eocd_counts_plus_1": rules.DirectoryDamaged,
    "eocd_no_zip64_counts_minus_1": rules.DirectoryDamaged,
    "eocd_no_zip64": SAME,
    "truncated_eocd": rules.MissingEndRecord,
    "truncated_half": rules.MissingEndRecord,
    "truncated_directory": rules.MissingEndRecord,
    "twice": rules.EndRecordMismatch,
    **{f"dup_pickle_{count}": rules.DuplicateRecord for count in range(2, 8)},
}
for _name in MUTATIONS:
    if _name.startswith("eocd_"):
        EXPECTED.setdefault(_name, rules.EndRecordMismatch)

#: Rules that only notice when a payload is read: opening the file does not read the payloads.
LAZY = {"data_bit_flip", "data_zeroed"}
#: In the large archive the name that the mutation adds is taken already.
TAKEN = {"cd_overlap_same_data", "cd_overlap_inside", "cd_offset_beyond"}


def verbs() -> dict[str, Callable[[bytes], Any]]:
    return {
        "open": lambda data: dotpt.open(data).close(),
        "load": lambda data: dotpt.load(data, backend="numpy"),
        "read each": lambda data: {name: ref.numpy() for name, ref in dotpt.open(data).tensors.items()},
    }


def test_every_mutation_of_the_corpus_has_its_rule() -> None:
    assert set(EXPECTED) == set(MUTATIONS)


@pytest.mark.parametrize("verb", ["open", "load", "read each"])
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_breaks_exactly_its_rule(name: str, verb: str) -> None:
    for original in (SMALL, LARGE):
        data, expected = MUTATIONS[name](original), EXPECTED[name]
        if original is LARGE and name in TAKEN:
            expected = rules.DuplicateRecord
        if expected is SAME or (verb == "open" and name in LAZY):
            verbs()[verb](data)
            continue
        with pytest.raises(DotptError) as caught:
            verbs()[verb](data)
        assert type(caught.value) is expected, caught.value
        if isinstance(caught.value, rules.ZipError):
            assert caught.value.offset is not None
            assert 0 <= caught.value.offset <= max(len(data), 1 << 30)
            assert caught.value.rule in {rule.rule for rule in all_rules()}


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected is SAME])
def test_what_is_accepted_is_read_right(name: str) -> None:
    loaded = dotpt.load(MUTATIONS[name](LARGE), backend="numpy")
    for number in range(300):
        wanted = WEIGHTS + number
        assert loaded[f"k{number}"].tobytes() == (wanted.byteswap() if "_big_" in name else wanted).tobytes()


@pytest.mark.parametrize("name", [name for name, rule in EXPECTED.items() if rule is ChecksumMismatch])
def test_damaged_data_is_loaded_only_when_checksums_are_waived(name: str) -> None:
    data = MUTATIONS[name](SMALL)
    with pytest.raises(ChecksumMismatch) as caught:
        dotpt.load(data, backend="numpy")
    assert caught.value.found != caught.value.expected
    if "pickle" not in name:
        assert dotpt.load(data, backend="numpy", verify=False)["k0"].tolist() != WEIGHTS.tolist()


@pytest.mark.parametrize("name", MUTATIONS)
def test_verify_finds_what_load_finds(name: str) -> None:
    for original in (SMALL, LARGE):
        data = MUTATIONS[name](original)
        try:
            whole = dotpt.verify(data).ok
        except NotATorchFile:
            whole = False
        assert whole is (EXPECTED[name] is SAME or data == original)


# -- rules that the corpus does not reach ---------------------------------------------------------------------------


def all_rules() -> list[type[rules.ZipError]]:
    return [rule for rule in vars(rules).values() if isinstance(rule, type) and issubclass(rule, rules.ZipError)]


def rewritten(change: Callable[[Archive], Any]) -> bytes:
    made = parse(SMALL)
    change(made)
    return made.write()


def _drop_first(made: Archive) -> None:
    made.directory = made.entries[1:]


def _cut_extra(made: Archive) -> None:
    made.weights().local_extra = b"FB\xff\x00" + bytes(7)


def _short_extra(made: Archive) -> None:
    made.weights().local_extra = b"FB"


def zip64(patch: Callable[[bytearray, int], None]) -> bytes:
    """An archive whose directory keeps its sizes in zip64 fields, the first of them patched."""
    data = bytearray(write([("data.pkl", p.pickled(p.none())), ("version", b"3\n")], Style(zip64=True)))
    patch(data, data.index(b"PK\1\2") + 46 + len("archive/data.pkl"))
    return bytes(data)


def _field_id(data: bytearray, at: int) -> None:
    data[at] = 9


def _field_length(data: bytearray, at: int) -> None:
    data[at + 2] = 8


def _field_too_long(data: bytearray, at: int) -> None:
    data[at + 2 : at + 4] = b"\xff\xff"


def _local_size(data: bytearray, at: int) -> None:
    data[30 + len("archive/data.pkl") + 4] ^= 1


CRAFTED: dict[str, tuple[type[rules.ZipError], bytes]] = {
    "first record not listed": (rules.LeadingData, rewritten(_drop_first)),
    "extra field longer than its room": (rules.BadExtraField, rewritten(_cut_extra)),
    "extra field of two bytes": (rules.BadExtraField, rewritten(_short_extra)),
    "zip64 field missing": (rules.BadExtraField, zip64(_field_id)),
    "zip64 field too short": (rules.BadExtraField, zip64(_field_length)),
    "directory's extra field past its end": (rules.BadExtraField, zip64(_field_too_long)),
    "all names absolute": (
        rules.BadRecordName,
        write([("data.pkl", p.pickled(p.none())), ("version", b"3")], Style(root="")),
    ),
    "local zip64 size": (rules.LocalHeaderMismatch, zip64(_local_size)),
}


@pytest.mark.parametrize("name", CRAFTED)
def test_a_crafted_archive_breaks_its_rule(name: str) -> None:
    rule, data = CRAFTED[name]
    with pytest.raises(DotptError) as caught:
        dotpt.load(data, backend="numpy")
    assert type(caught.value) is rule, caught.value
    assert caught.value.offset is not None


def test_every_rule_has_a_file_that_breaks_it() -> None:
    broken = {rule for rule in EXPECTED.values() if rule} | {rule for rule, _ in CRAFTED.values()}
    assert set(all_rules()) - {rules.ZipError} <= broken


def test_every_rule_has_an_id_of_its_own() -> None:
    ids = [rule.rule for rule in all_rules()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("length", [0, 1, 4, 5, 127, 32_771, 32_772, 65_535])
def test_padding_of_any_length_is_accepted(length: int) -> None:
    made = parse(SMALL)
    made.weights().local_extra = b"" if length < 4 else b"FB" + struct.pack("<H", length - 4) + b"Z" * (length - 4)
    assert dotpt.load(made.write(), backend="numpy")["k0"].tolist() == WEIGHTS.tolist()


@pytest.mark.parametrize("style", [Style(zip64=True), Style(descriptors=False), Style(zip64=True, descriptors=False)])
def test_empty_records_are_read_in_every_style(style: Style) -> None:
    pickle = p.pickled(p.empty_dict(), p.text("k"), p.tensor(size=(0,), source=p.storage(count=0)), p.setitem())
    assert dotpt.load(pt(pickle, {"0": b""}, style), backend="numpy")["k"].shape == (0,)


# -- every header byte ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("original", [SMALL, LARGE], ids=["small", "large"])
def test_no_changed_byte_outside_the_padding_goes_unnoticed(original: bytes) -> None:
    """Each byte of headers, descriptors, directory and end records, turned over: an error, or the same data."""
    wanted = {name: array.tobytes() for name, array in dotpt.load(original, backend="numpy").items()}
    places = set(range(len(original))) if len(original) < 1 << 14 else set(range(0, len(original), 97))
    silent = set()
    for at in places:
        data = bytearray(original)
        data[at] ^= 0xFF
        try:
            loaded = dotpt.load(bytes(data), backend="numpy")
        except DotptError:
            continue
        assert {name: array.tobytes() for name, array in loaded.items()} == wanted, at
        silent.add(at)
    # what may change unnoticed: padding, versions, times and attributes, which no reader acts on
    assert silent <= unimportant(original), sorted(silent - unimportant(original))[:20]


def unimportant(data: bytes) -> set[int]:
    container = ZipContainer(BytesSource(data))
    found: set[int] = set()
    for index, name in enumerate(container.names):
        record, header = container.record(name), container.spans[0][index]
        extra = header + 30 + len(f"archive/{name}")
        found |= {header + 4, header + 5, *range(header + 10, header + 14)}  # version, time, date
        found |= {extra, extra + 1, *range(extra + 4, record.offset)}  # the padding, and the name of that field
    at = 0
    while (at := data.find(b"PK\1\2", at)) >= 0:
        found |= {*range(at + 4, at + 8), *range(at + 12, at + 16), *range(at + 36, at + 42)}
        at += 46
    end = data.rindex(b"PK\6\6")
    return found | set(range(end + 12, end + 16))  # versions in the zip64 end record
