"""What pickles name, what need not be there, and reports on hostile names."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

import dotpt
from dotpt.inspect.claims import Claim
from dotpt.inspect.sizes import count_text, of_sizes, size_text
from tests.corpus.torch_zip import Style, write

FIXTURES = Path(__file__).parents[1] / "corpus" / "fixtures"


def text(value: str) -> bytes:
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def tensor(key: str, offset: int, shape: tuple[int, ...], numel: int) -> bytes:
    """The opcodes of a float32 tensor on storage ``key`` of ``numel`` elements."""
    sizes, strides, step = b"", b"", 1
    for size in reversed(shape):
        sizes, strides, step = number(size) + sizes, number(step) + strides, step * size
    storage = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + number(numel) + b"tQ"
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + number(offset) + b"(" + sizes + b"t(" + strides + b"t\x89"
        b"ccollections\nOrderedDict\n)RtR"
    )


def number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


NET = Style("net")


def saved(items: dict[str, bytes], storages: dict[str, bytes], style: Style = NET) -> bytes:
    body = b"".join(text(key) + value for key, value in items.items())
    records = [("data.pkl", b"\x80\x02}(" + body + b"u."), ("byteorder", b"little")]
    records += [(f"data/{key}", data) for key, data in storages.items()]
    return write([*records, ("version", b"3\n")], style)


def test_a_view_of_a_huge_storage_is_waste() -> None:
    data = saved({"row.weight": tensor("0", 5000, (10, 10), 100_000)}, {"0": bytes(400_000)})
    (item,) = dotpt.inspect(data).waste.items
    assert (item.what, item.bytes, item.addresses, item.certainty) == ("view", 399_600, ("row.weight",), "CONFIRMED")
    assert "400.0 kB" in item.words
    assert "400 bytes" in item.words


def test_views_that_cover_their_storage_are_no_waste() -> None:
    halves = {"a.weight": tensor("0", 0, (5000,), 10_000), "b.weight": tensor("0", 5000, (5000,), 10_000)}
    report = dotpt.inspect(saved(halves, {"0": bytes(40_000)}))
    assert report.waste.items == []
    assert report.waste.tied == []


def test_copies_of_one_storage_are_found_by_their_checksum() -> None:
    items = {f"{key}.weight": tensor(key, 0, (2000,), 2000) for key in "012"}
    content = bytes(range(250)) * 32
    (item,) = dotpt.inspect(saved(items, dict.fromkeys("012", content))).waste.items
    assert (item.what, item.bytes, item.certainty) == ("duplicate", 16_000, "INFERRED")
    silent = dotpt.inspect(saved(items, dict.fromkeys("012", content), Style("net", crc=False)))
    assert silent.waste.items == []


def test_records_that_nothing_names() -> None:
    data = saved({"a.weight": tensor("0", 0, (1,), 1)}, {"0": bytes(4), "hidden": bytes(5000)})
    (item,) = dotpt.inspect(data).waste.items
    assert (item.what, item.bytes) == ("unreferenced", 5000)
    assert "data/hidden" in item.words


def test_optimizer_share() -> None:
    state = b"}" + text("state") + b"}K\x00}" + text("momentum_buffer") + tensor("1", 0, (3000,), 3000) + b"ss"
    items = {
        "model": b"}" + text("a.weight") + tensor("0", 0, (1000,), 1000) + b"s",
        "optimizer": state + b"s" + text("param_groups") + b"]s",
    }
    report = dotpt.inspect(saved(items, {"0": bytes(4000), "1": bytes(12_000)}))
    assert report.optimizer is not None
    assert report.optimizer.value == "SGD with momentum"
    found = {item.what: item for item in report.waste.items}
    assert "75 %" in found["optimizer"].words
    assert report.waste.bytes == sum(item.bytes for item in report.waste.items if item.what != "optimizer")


@pytest.mark.parametrize(
    ("pickle", "verdict", "words"),
    [
        (b"cos\nsystem\n(" + text("true") + b"tR", "dangerous", "os.system"),
        (b"cmy_package.models\nNet\n)\x81", "unknown", "names 1 unknown: my_package.models.Net"),
        (b"ccollections\nOrderedDict\n)R", "harmless", "names only known harmless types (1)"),
        (b"K\x01", "harmless", "names no classes or functions at all"),
    ],
)
def test_verdicts(pickle: bytes, verdict: str, words: str) -> None:
    safety = dotpt.inspect(saved({"thing": pickle}, {})).safety
    assert safety.verdict == verdict
    assert words in safety.words
    assert safety.weights_only is (verdict == "harmless")


def test_other_containers() -> None:
    assert dotpt.inspect(FIXTURES / "other/script.pt").safety.verdict == "code"
    folder = dotpt.inspect(FIXTURES / "other/hf_safetensors").safety
    assert (folder.verdict, folder.names) == ("harmless", [])
    protocol_4 = dotpt.inspect(FIXTURES / "zip_protocol_4/state_dict.pt")
    assert not protocol_4.safety.weights_only
    assert any("dotpt.load" in line for line in protocol_4.usage)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_hostile_names_stay_text() -> None:
    key = "<script>alert(1)</script>'\"\n\x1b[31mred\u202e"
    data = saved({key: b"}" + text("a.weight") + tensor("0", 0, (1,), 1) + b"s", "epoch": b"K\x01"}, {"0": bytes(4)})
    report = dotpt.inspect(data)
    parser = _Tags()
    parser.feed(report._repr_html_())
    assert parser.seen <= {"div", "b", "i", "table", "tr", "td", "th", "pre", "details", "summary"}
    assert parser.attributes <= {"style"}
    shown = str(report)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    for line in report.usage:
        assert "\n" not in line
        compile(line, "usage", "exec")


def test_sizes_and_claims() -> None:
    assert (size_text(1), size_text(999_960)) == ("1 byte", "1.0 MB")
    assert of_sizes(999, 1_000) == "1.0 of 1.0 kB" or of_sizes(999, 1_000) == "999 of 1,000 bytes"
    assert of_sizes(3_999_999_999, 4_000_000_000) == "3,999,999,999 of 4,000,000,000 bytes"
    assert count_text(25_600_000) == "25.6 M"
    assert Claim("a", "UNKNOWN", "b").to_dict() == {"value": "a", "certainty": "UNKNOWN", "because": "b"}
    assert str(Claim("a", "INFERRED", "b\x1b")) == "a (inferred: b\\x1b)"


def test_a_file_of_another_zip_tool() -> None:
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\x02}.")
        archive.writestr("net/version", b"3\n")
    report = dotpt.inspect(out.getvalue())
    assert report.writer.value == "a zip tool other than torch's"


def test_a_renamed_file(tmp_path: Path) -> None:
    path = tmp_path / "other.pt"
    path.write_bytes(saved({}, {}))
    assert any("saved under the name net" in note for note in dotpt.inspect(path).notes)
