"""Files of joblib: honest ones are clean, and both readings of a file are looked at. Written by `make_fixtures`."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from dotpt.scan.scan import scan
from tests.corpus import pickles as p
from tests.scan.archives import EVIL, rules, verdict

FIXTURES = Path(__file__).parent / "fixtures"
FILES = sorted(path.name for path in FIXTURES.glob("*.joblib"))
ARRAY = (FIXTURES / "array.joblib").read_bytes()
CALL = p.call("os", "system", p.text("true"))


@pytest.mark.parametrize("name", FILES)
def test_honest_files_are_clean(name: str) -> None:
    found = scan(FIXTURES / name)
    assert found.verdict == "clean", str(found)
    assert found.complete


def test_there_are_enough_of_them() -> None:
    assert len(FILES) >= 14


@pytest.mark.parametrize("name", FILES)
def test_what_is_appended_is_found(name: str) -> None:
    data = (FIXTURES / name).read_bytes()
    assert verdict(data + EVIL) == "dangerous"
    assert verdict(data + b"\x81\xff\x07") != "clean"
    assert verdict(data[: len(data) // 2]) != "clean"


def test_a_payload_behind_an_array() -> None:
    """The pickle goes on behind the array's bytes: there it calls something."""
    assert ARRAY.endswith(b".")
    assert verdict(ARRAY[:-1] + b"0" + CALL + b".") == "dangerous"


def array_with(content: bytes) -> bytes:
    """The array's bytes replaced by others of the same length: what pickle.load would take for opcodes."""
    start = len(ARRAY) - 1 - 48
    return ARRAY[:start] + content.ljust(48, b".") + b"."


def test_a_payload_in_an_array_is_for_those_who_unpickle() -> None:
    """joblib would skip it; its padding stops pickle.load, so that nothing is called: but the raw search sees it."""
    assert verdict(array_with(b"\0" * 48)) == "clean"


def wrapper(content: bytes, **changed: bytes) -> bytes:
    """An array as joblib before 1.2 describes it, without padding, and what stands behind the description."""
    dtype = p.stream(p.call("numpy", "dtype", p.text("u1"), p.false(), p.true()),
                     p.mark(), p.binint(3), p.text("|"), p.none(), p.none(), p.none(), p.binint(-1), p.binint(-1),
                     p.binint(0), p.tuple_(), p.build())  # fmt: skip
    fields = {
        "subclass": p.global_("numpy", "ndarray"), "shape": p.stream(p.binint(len(content)), p.tuple1()),
        "order": p.text("C"), "dtype": dtype, "allow_mmap": p.true(),
    } | changed  # fmt: skip
    pairs = [part for name, value in fields.items() for part in (p.text(name), value)]
    made = p.stream(p.global_("joblib.numpy_pickle", "NumpyArrayWrapper"), p.empty_tuple(), p.newobj())
    return p.stream(p.proto(2), made, p.empty_dict(), p.mark(), *pairs, p.setitems(), p.build(), content, p.stop())


def test_both_readings_are_decoded() -> None:
    assert verdict(wrapper(b"\0\1\2\3")) == "clean"
    assert verdict(wrapper(b"0" + CALL)) == "dangerous"  # joblib: bytes of an array; pickle.load: a call
    assert "disguised" in rules(wrapper(b"0N"))  # both come to an end, with different things


@pytest.mark.parametrize(
    "changed",
    [
        {"shape": p.stream(p.binint(-4), p.tuple1())}, {"shape": p.binint(4)}, {"order": p.text("X")},
        {"dtype": p.text("u1")}, {"shape": p.stream(p.binint(1 << 20), p.tuple1())},
    ],
)  # fmt: skip
def test_descriptions_that_joblib_does_not_write(changed: dict[str, bytes]) -> None:
    assert verdict(wrapper(b"\0\1\2\3", **changed)) == "unreadable"


def test_an_array_may_not_begin_within_a_frame() -> None:
    body = wrapper(b"\0\1\2\3")[2:]
    assert verdict(p.stream(p.proto(4), p.frame(body))) == "unreadable"


def test_a_class_of_arrays_is_judged() -> None:
    assert verdict(wrapper(b"\0\1", subclass=p.global_("os", "system"))) == "dangerous"


def test_a_payload_in_an_array_of_objects() -> None:
    objects = p.stream(p.call("numpy", "dtype", p.text("O8"), p.false(), p.true()), p.mark(), p.binint(3), p.text("|"),
                       p.none(), p.none(), p.none(), p.binint(-1), p.binint(-1), p.binint(63), p.tuple_(),
                       p.build())  # fmt: skip
    assert verdict(wrapper(EVIL, dtype=objects)) == "dangerous"


def test_streams_without_a_name() -> None:
    assert verdict(zlib.compress(EVIL)) == "dangerous"
    assert verdict(zlib.compress(ARRAY)) == "clean"
    assert verdict(zlib.compress(ARRAY) + zlib.compress(EVIL)) == "dangerous"
    assert verdict(zlib.compress(ARRAY)[:-3]) == "unreadable"
    assert verdict(gzip.compress(ARRAY) + gzip.compress(b"")) == "clean"
