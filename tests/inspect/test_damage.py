"""Files that were cut or broken: what `inspect` and `verify` say of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import dotpt
from dotpt.archive.archive import Archive
from dotpt.archive.opening import open_contents
from dotpt.formats.contents import ReadOptions
from dotpt.inspect.damage import diagnose_damage
from dotpt.inspect.report import Report
from dotpt.source import open_source

FIXTURES = Path(__file__).parents[1] / "corpus" / "fixtures"


def whole(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def cut(name: str, share: float) -> Report:
    data = whole(name)
    return dotpt.inspect(data[: int(share * len(data))])


def test_a_cut_zip_says_how_much_is_there_and_which_tensors() -> None:
    data = whole("zip/state_dict.pt")
    report = dotpt.inspect(data[:2000])
    assert report.damaged
    assert report.kind.value == "state dict"
    assert report.writer.value == "torch 2.7 or newer"
    assert report.tensors.count == 9
    assert report.damage is not None
    assert (report.damage.reason, report.damage.size) == ("cut", 2000)
    assert (report.damage.whole, len(report.damage.missing)) == (["0.weight", "0.bias"], 7)
    assert report.damage.expected == len(data)
    assert report.integrity.words == (
        "cut short: ends at 2.0 of about 4.5 kB: the download was cut; 2 of 9 tensors are whole"
    )
    assert report.error is not None
    assert report.error["error"] == "MissingEndRecord"
    assert report.to_dict()["damage"]["whole"] == report.damage.whole


@pytest.mark.parametrize(
    ("name", "share", "count", "total", "exact"),
    [
        ("zip/checkpoint_tutorial.pt", 0.6, None, 34, False),
        ("as_torch_1_4/state_dict.pt", 0.5, 3, 9, False),
        ("as_torch_2_6/shared_many.pt", 0.9, 13, 13, False),
        ("legacy/state_dict.pt", 0.9, 7, 9, True),
        ("legacy/state_dict.pt", 0.7, None, 9, True),
        ("other/hf_safetensors/model-00001-of-00002.safetensors", 0.7, 1, 5, True),
        ("other/script.pt", 0.9, 6, 6, False),
    ],
)
def test_what_is_left(name: str, share: float, count: int | None, total: int, exact: bool) -> None:
    damage = cut(name, share).damage
    assert damage is not None
    assert len(damage.whole) + len(damage.missing) == total
    assert count is None or len(damage.whole) == count
    assert damage.exact is exact
    if exact:
        assert damage.expected == len(whole(name))


@pytest.mark.parametrize("name", ["zip/state_dict.pt", "legacy/state_dict.pt", "other/tar.pt"])
def test_cut_before_anything_can_be_read(name: str) -> None:
    report = cut(name, 0.1)
    assert report.damaged
    assert report.kind.value == "unknown"
    assert "nothing in it can be read" in report.integrity.words
    assert report.safety.verdict == "undecided"
    assert str(report)
    assert report._repr_html_()


def test_whole_tensors_of_a_cut_file_are_the_saved_ones() -> None:
    numpy = pytest.importorskip("numpy")
    data = whole("zip/state_dict.pt")
    options = ReadOptions()
    with open_source(data[:2000]) as source, dotpt.open(data) as archive:
        with pytest.raises(dotpt.DotptError) as caught:
            open_contents(source, options)
        damage = diagnose_damage(source, caught.value, options)
        assert damage is not None
        assert damage.contents is not None
        left = Archive(damage.contents, options)
        for name in damage.whole:
            numpy.testing.assert_array_equal(left[name].numpy(), archive[name].numpy())
        with pytest.raises(dotpt.DotptError):
            left[damage.missing[0]].numpy()


def test_a_broken_rule_is_named_and_the_file_still_described() -> None:
    data = bytearray(whole("zip/state_dict.pt"))
    header = data.index(b"PK\x03\x04", 4)
    data[header + 8] ^= 0x08  # the method of the second record's local header
    report = dotpt.inspect(bytes(data))
    assert report.damaged
    assert report.error is not None
    assert report.error["error"] == "LocalHeaderMismatch"
    assert report.integrity.words.startswith("damaged: ")


def test_trailing_bytes_are_no_whole_file() -> None:
    report = dotpt.inspect(whole("zip/state_dict.pt") + b"more")
    assert report.damaged
    assert report.damage is not None
    assert report.damage.reason == "broken"
    assert report.kind.value == "state dict"


def test_what_is_no_torch_file_is_an_error() -> None:
    with pytest.raises(dotpt.DotptError, match="HTML"):
        dotpt.inspect(b"<!DOCTYPE html><html><title>404</title></html>")
    with pytest.raises(dotpt.DotptError, match="empty"):
        dotpt.inspect(b"")


@pytest.mark.parametrize(
    "name",
    [
        "zip/shared_many.pt",
        "legacy/shared_many.pt",
        "other/tar.pt",
        "other/lite.ptl",
        "other/hf_safetensors/model-00002-of-00002.safetensors",
    ],
)
def test_every_truncation_is_a_report_or_a_typed_error(name: str) -> None:
    data = whole(name)
    for length in range(0, len(data), max(1, len(data) // 300)):
        try:
            report = dotpt.inspect(data[:length])
        except dotpt.DotptError:
            continue
        assert report.damaged or name == "other/tar.pt"  # tar files are padded
        outcome = dotpt.verify(data[:length])
        assert not outcome.ok or name == "other/tar.pt"


def test_a_source_that_was_passed_stays_open() -> None:
    with open_source(whole("zip/state_dict.pt")[:2000]) as source:
        assert dotpt.inspect(source).damaged
        assert source.read(0, 2) == b"PK"
