"""The verdict of a scan, on streams built from opcodes and on the files of the corpus. Nothing here needs torch."""

from __future__ import annotations

import base64
import gzip
import zlib
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.scan.findings import SEVERITIES
from dotpt.scan.policy import Policy
from dotpt.scan.rules import RULES
from tests.corpus import pickles as p
from tests.corpus import torch_zip
from tests.corpus.streams import STREAMS
from tests.corpus.zip_mutations import mutations

FIXTURES = Path("tests/corpus/fixtures")
STATE_DICT = (FIXTURES / "zip/state_dict.pt").read_bytes()
CALL = p.stream(p.mark(), p.text("echo"), p.tuple_(), p.reduce_())
EVIL = p.pickled(p.global_("os", "system"), CALL)
# What is wrong with it stops the machine before it comes to a name, or is itself all that is wrong.
NAMELESS = {"class_as_storage", "ext1", "ext2", "ext4"}
# Honest, and refused all the same: docs/differences.md says why.
REFUSED = {"protocol_5", "trailing_bytes"}


def rules(findings: Any) -> set[str]:
    return {finding.rule for finding in findings.findings}


def as_pt(pickle: bytes, base: bytes = STATE_DICT) -> bytes:
    """A torch file with another pickle in it."""
    _, records = torch_zip.read(base)
    return torch_zip.write([(name, pickle if name == "data.pkl" else data) for name, data in records])


def test_a_state_dict_is_clean_and_complete() -> None:
    found = dotpt.scan(FIXTURES / "zip/state_dict.pt")
    assert (found.verdict, found.complete, found.clean, found.findings) == ("clean", True, True, [])
    assert found.compared is True
    assert found.kind == "a PyTorch file"
    assert "torch._utils._rebuild_tensor_v2" in found.names


def test_a_call_is_told_with_its_arguments_its_place_and_what_to_do() -> None:
    found = dotpt.scan(as_pt(EVIL))
    assert found.verdict == "dangerous"
    worst = found.findings[0]
    assert (worst.severity, worst.rule, worst.member, worst.opcode) == (
        "dangerous", "dangerous-call", "data.pkl", "REDUCE",
    )  # fmt: skip
    assert worst.name == "os.system"
    assert worst.call == "os.system('echo')"
    assert worst.offset == EVIL.index(b"R.")
    assert worst.why
    assert worst.hint


@pytest.mark.parametrize("name", sorted(STREAMS))
@pytest.mark.parametrize("form", ["pickle", "zip"])
def test_every_stream_of_the_corpus_gets_the_verdict_of_its_kind(name: str, form: str) -> None:
    known = STREAMS[name]
    found = dotpt.scan(known.data if form == "pickle" else torch_zip.pt(known.data))
    if known.kind == "attack":
        assert found.verdict == ("unreadable" if name in NAMELESS else "dangerous"), str(found)
    elif known.kind == "malformed":
        assert found.verdict in ("unreadable", "suspicious", "dangerous"), str(found)
    elif known.kind == "honest":
        assert found.verdict == "clean" or name in REFUSED, str(found)


@pytest.mark.parametrize("name", sorted(mutations(STATE_DICT)))
def test_a_payload_is_found_whatever_was_done_to_the_zip_around_it(name: str) -> None:
    found = dotpt.scan(mutations(as_pt(EVIL))[name])
    assert found.verdict == "dangerous" or name in ("cd_method_bz2", "data_pickle_missing"), str(found)
    assert found.verdict != "clean"


@pytest.mark.parametrize("name", sorted(mutations(STATE_DICT)))
def test_what_load_refuses_is_never_clean(name: str) -> None:
    data = mutations(STATE_DICT)[name]
    verdict = dotpt.scan(data, verify=True).verdict
    try:
        dotpt.load(data, backend="numpy")
    except dotpt.DotptError:
        assert verdict != "clean"
    else:
        assert verdict == "clean"


HIDDEN = {
    "bytes": EVIL,
    "base64": base64.b64encode(EVIL).decode(),
    "urlsafe": base64.urlsafe_b64encode(EVIL).decode(),
    "twice": base64.b64encode(base64.b64encode(EVIL)).decode(),
    "hex": EVIL.hex(),
    "zlib": zlib.compress(EVIL),
    "gzip": gzip.compress(EVIL),
    "zlib in base64": base64.b64encode(zlib.compress(EVIL)).decode(),
    "escaped": "".join(f"\\x{byte:02x}" for byte in EVIL),
    "behind a head": b"HEAD" + EVIL,
    "a torch file": torch_zip.pt(EVIL),
    "stages": p.pickled(p.binbytes(base64.b64encode(EVIL))),
}


@pytest.mark.parametrize("how", sorted(HIDDEN))
def test_a_pickle_in_a_text_is_decoded_as_well(how: str) -> None:
    value = HIDDEN[how]
    outer = p.pickled(p.text(value) if isinstance(value, str) else p.binbytes(value))
    found = dotpt.scan(outer)
    assert found.verdict == "dangerous", str(found)
    assert any(finding.name == "os.system" for finding in found.findings)


def test_an_honest_text_that_looks_packed_is_no_finding() -> None:
    for text in ("deadbeef" * 20, base64.b64encode(bytes(range(256))).decode(), "cat\ndog\nfish\n.", "0123456789" * 9):
        assert dotpt.scan(p.pickled(p.text(text))).clean, text


def test_an_honest_pickle_within_a_pickle_is_clean() -> None:
    assert dotpt.scan(p.pickled(p.binbytes(p.pickled(p.text("some text that is long"))))).clean


@pytest.mark.parametrize("suffix", [".txt", ".json", ".safetensors", ".png", ".pt", ""])
def test_the_name_of_a_file_does_not_hide_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(EVIL)
    assert dotpt.scan(path).verdict == "dangerous"


@pytest.mark.parametrize("head", [b"\x89PNG\r\n\x1a\n" + b"\0" * 64, b"GGUF" + b"\0" * 60, b"MZ" + b"\0" * 500])
def test_a_file_that_is_two_things_is_both(head: bytes) -> None:
    found = dotpt.scan(head + as_pt(EVIL))
    assert found.verdict == "dangerous"
    assert "disguised" in rules(found)


def test_a_payload_behind_the_end_of_another_pickle_is_found() -> None:
    first = p.pickled(p.text("nothing to see"))
    assert dotpt.scan(first + EVIL).verdict == "dangerous"
    assert dotpt.scan(EVIL + b"garbage \xff").verdict == "dangerous"
    assert dotpt.scan(first + b"garbage \xff" + EVIL).verdict == "dangerous"


def test_texts_and_pictures_are_no_models() -> None:
    for content in (b"# A readme.\n", b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 64, b'{"a": 1}'):
        found = dotpt.scan(content)
        assert (found.verdict, found.other) == ("unreadable", True)


def test_what_is_not_understood_is_never_clean(tmp_path: Path) -> None:
    for content in (b"\x7fELF" + b"\1" * 99, bytes(range(256)), b"7z\xbc\xaf\x27\x1c" + EVIL):
        assert dotpt.scan(content).verdict in ("unreadable", "dangerous")
    missing = dotpt.scan(tmp_path / "missing.pt")
    assert (missing.verdict, rules(missing)) == ("unreadable", {"cannot-read"})
    nothing = dotpt.scan(tmp_path)
    assert (nothing.verdict, rules(nothing)) == ("unreadable", {"not-a-model"})


def test_a_folder_is_all_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "within").mkdir()
    (tmp_path / "good.pt").write_bytes(STATE_DICT)
    (tmp_path / "README.md").write_text("words")
    assert dotpt.scan(tmp_path).clean
    (tmp_path / "within/bad.bin").write_bytes(as_pt(EVIL))
    found = dotpt.scan(str(tmp_path))
    assert found.verdict == "dangerous"
    assert found.findings[0].member == "within/bad.bin!data.pkl"
    assert found.kind == "a folder of 2 files that were scanned"


def test_every_cut_of_a_file_is_told() -> None:
    for end in range(0, len(STATE_DICT) - 1, 97):
        assert dotpt.scan(STATE_DICT[:end]).verdict in ("unreadable", "suspicious")


def test_flipped_weights_are_told_unless_the_user_does_not_want_to_know() -> None:
    data = bytearray(STATE_DICT)
    data[data.index(b"/data/0") + 200] ^= 1
    found = dotpt.scan(bytes(data))
    assert "checksum-mismatch" in rules(found)
    assert dotpt.scan(bytes(data), verify=False).compared is False


def test_a_policy_allows_names_and_changes_severities() -> None:
    stranger = p.pickled(p.global_("my_package.nets", "Net"), p.empty_tuple(), p.newobj())
    assert dotpt.scan(stranger).verdict == "suspicious"
    assert dotpt.scan(stranger, policy=Policy(allow=("my_package.*",))).clean
    assert dotpt.scan(stranger, policy=Policy(severities={"unknown-name": "info"})).clean
    assert dotpt.scan(stranger, policy=Policy(severities={"unknown-name": "dangerous"})).verdict == "dangerous"
    cut = Policy(severities={"truncated": "info", "malformed-pickle": "off"})
    assert dotpt.scan(stranger[:-1], policy=cut).verdict == "unreadable"


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (("collections", "OrderedDict", "fromkeys"), "suspicious"),
        (("my_package", "Outer", "Inner"), "suspicious"),
        (("my_package", "Outer", "__globals__"), "dangerous"),
        (("my_package", "module", "system"), "dangerous"),
    ],
)
def test_getattr_is_judged_by_what_it_reaches(target: tuple[str, str, str], verdict: str) -> None:
    module, name, attribute = target
    stream = p.pickled(
        p.global_("builtins", "getattr"), p.mark(), p.global_(module, name), p.text(attribute), p.tuple_(), p.reduce_()
    )
    assert dotpt.scan(stream).verdict == verdict


def test_the_calls_of_a_pickle_can_be_read_as_code() -> None:
    found = dotpt.scan(p.pickled(p.mark(), p.global_("os", "system"), p.text("echo"), p.obj(), p.pop(), p.none()))
    assert found.code == ["v1 = os.system('echo')  # byte 23, OBJ"]


def test_names_that_deceive_a_terminal_are_shown_escaped() -> None:
    name = "Net\x1b[2K\u202eevil"
    found = dotpt.scan(p.pickled(p.text("my_package"), p.text(name), p.stack_global()))
    assert "text-in-disguise" in rules(found)
    shown = str(found) + repr(found.to_dict())
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def test_findings_are_bounded_and_say_so() -> None:
    names = b"".join(p.global_("strange", f"name_{number}") + p.pop() for number in range(12_000))
    found = dotpt.scan(p.pickled(names, p.global_("os", "system"), CALL))
    assert len(found.findings) <= 10_001
    assert found.omitted > 1_000
    assert found.verdict == "dangerous"


def test_every_rule_has_words_and_a_severity() -> None:
    for name, rule in RULES.items():
        assert rule.severity in (*SEVERITIES, "unreadable"), name
        assert rule.why.endswith("."), name


def test_file_objects_and_paths_and_bytes_are_one(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(STATE_DICT)
    with path.open("rb") as file:
        assert dotpt.scan(file).verdict == dotpt.scan(path).verdict == dotpt.scan(STATE_DICT).verdict == "clean"


def test_a_tree_that_is_endless_when_walked_is_told() -> None:
    assert "expands" in rules(dotpt.scan(STREAMS["laughs"].data))
    assert "expands" in rules(dotpt.scan(_laughs(20)))
    assert dotpt.scan(_laughs(4)).clean  # ten thousand places: an honest table of settings may have them


def _laughs(levels: int) -> bytes:
    """A list of ten times the same list of ten times ..."""
    ops = [p.empty_list(), p.binput(0)]
    for level in range(levels):
        ops += [p.pop(), p.empty_list(), p.binput(level + 1), p.mark(), *[p.binget(level)] * 10, p.appends()]
    return p.pickled(*ops)


def test_a_frame_that_is_shorter_than_what_it_holds_hides_nothing() -> None:
    buried = p.stream(p.global_("os", "system"), p.unicode("echo"), p.tuple1(), p.reduce_(), p.mark())
    stream = (
        b"\x80\x05N" + p.unicode("a" * (8192 * 16 - 17)) + b"0(" + b"\x95" + (2).to_bytes(8, "little")
        + b"B\x07\x01\x00\x00\x00\x00" + buried.ljust(261, b"N") + b"1."
    )  # fmt: skip
    assert dotpt.scan(stream).verdict == "dangerous"
