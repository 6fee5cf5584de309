"""The record of a model's architecture: written and read back, drawn for people, a stranger's only half believed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dotpt.container.zip import ZipContainer
from dotpt.container.zipwrite import ZipWriter
from dotpt.errors import LimitExceeded, ManifestError, RecordMissing, UnsupportedError, UsageError
from dotpt.formats.architecture import (
    ARCHITECTURE,
    MOST,
    NESTING,
    SOURCES,
    Architecture,
    Example,
    architecture_bytes,
    call_text,
    read_architecture,
    read_sources,
)
from dotpt.limits import Limits
from dotpt.source import open_source

TEXT = "class Net: pass\n"
WHOLE = Architecture(
    module="shop.nets",
    name="Net.Inner",
    args=[1, {"$tuple": [2.5, None]}],
    kwargs={"type": {"$dtype": "float16"}, "sizes": {"a": [True, "ö"]}},
    inferred=True,
    fingerprint="0" * 64,
    modules={"": "shop.nets.Net", "fc": "torch.nn.modules.linear.Linear"},
    buffers={"scale": "float32"},
    sources={"shop.nets": sha256(TEXT.encode()).hexdigest()},
    stored=True,
    versions={"python": "3.12.1", "torch": "2.13.0"},
    training=True,
    example=Example(0, "cpu", confirmed=True),
    notes=["A note."],
    writer="dotpt 0.1.0",
)


class Out(io.BytesIO):
    """A destination in memory."""

    def skip(self, size: int) -> None:
        """Leave bytes out."""
        self.write(bytes(size))


def file_of(records: Mapping[str, bytes], limits: Limits | None = None) -> ZipContainer:
    """A file with these records."""
    out = Out()
    writer = ZipWriter(out)
    writer.add("data.pkl", b"N.")
    for name, content in records.items():
        writer.add(name, content)
    writer.close()
    return ZipContainer(open_source(out.getvalue()), limits or Limits())


def read(text: bytes) -> Architecture | None:
    """What is made of a record."""
    return read_architecture(file_of({ARCHITECTURE: text}))


def test_a_record_is_read_back() -> None:
    assert read(architecture_bytes(WHOLE)) == WHOLE
    assert read_architecture(file_of({})) is None
    bare = replace(WHOLE, example=None, sources={}, stored=False, notes=[])
    assert read(architecture_bytes(bare)) == bare


def test_the_text_is_plain_json() -> None:
    text = architecture_bytes(WHOLE)
    record = json.loads(text)
    assert record["dotpt"] == 1
    assert record["class"] == {"module": "shop.nets", "name": "Net.Inner"}
    assert b": " not in text.replace(b"A note. ", b"")


def test_it_is_drawn_for_people() -> None:
    assert str(WHOLE) == "shop.nets.Net.Inner(1, (2.5, None), type=torch.float16, sizes={'a': [True, 'ö']})"
    assert WHOLE.words.endswith("arguments inferred, with source, with expected outputs (confirmed)")
    assert len(str(replace(WHOLE, kwargs={"a": "x" * 1000}))) == 200


@pytest.mark.parametrize(
    ("spelled", "text"),
    [
        ({"$tuple": [1]}, "(1,)"),
        ({"$name": "torch.nn.functional:relu"}, "torch.nn.functional.relu"),
        ({"$enum": ["shop:Color", "RED"]}, "shop.Color.RED"),
        ({"$module": ["torch.nn.modules.linear:Linear", [4], {"bias": False}]}, "Linear(4, bias=False)"),
        ({"$dataclass": ["shop:Config", {"width": 3}]}, "Config(width=3)"),
        ({"$set": [1, 2]}, "set([1, 2])"),
        ({"$unknown": 1}, "{'$unknown': 1}"),
        ({"$module": 3}, "module(3)"),
    ],
)
def test_values_are_drawn_about_as_python_writes_them(spelled: Any, text: str) -> None:
    assert call_text(spelled) == text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$tuple", "$name", "$module", "a", "dotpt"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from([*WHOLE.to_dict(), "class.module", "init.args", "example.seed", "sources.sha256"]), JSON)
def test_any_field_may_be_anything(field: str, value: Any) -> None:
    record = json.loads(architecture_bytes(WHOLE))
    outer, _, inner = field.partition(".")
    if inner:
        record[outer][inner] = value
    else:
        record[outer] = value
    with suppress(ManifestError, UnsupportedError, LimitExceeded):
        found = read(json.dumps(record).encode())
        assert found is not None
        assert isinstance(str(found), str)
        assert isinstance(found.words, str)


@given(JSON)
def test_anything_may_be_drawn(value: Any) -> None:
    assert isinstance(call_text(value), str)


def with_field(**fields: Any) -> bytes:
    """A record with other fields."""
    return json.dumps(json.loads(architecture_bytes(WHOLE)) | fields).encode()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"dotpt":true}',
        b"\xff",
        b'{"dotpt":1,"dotpt":1}',
        b"[" * 10_000 + b"]" * 10_000,
        with_field(**{"class": {"module": "os.path/../x", "name": "a"}}),
        with_field(**{"class": {"module": "os", "name": "a b"}}),
        with_field(**{"class": {"module": "os", "name": "a" * 2000}}),
        with_field(fingerprint="0" * 63),
        with_field(sources={"sha256": {"../../etc/passwd": "0" * 64}, "stored": True}),
        with_field(sources={"sha256": {"shop": "no hash"}, "stored": True}),
        with_field(versions=["torch"]),
        with_field(versions={"torch": 2}),
        with_field(notes=[1]),
        with_field(modules={"": None}),
        with_field(training=1),
        with_field(example={"seed": 1.5, "device": "cpu", "confirmed": True}),
        with_field(writer="a\nb"),
    ],
)
def test_what_is_not_written_by_dotpt_is_a_typed_error(text: bytes) -> None:
    with pytest.raises((ManifestError, LimitExceeded)):
        read(text)


def test_a_later_version_is_not_guessed_at() -> None:
    with pytest.raises(UnsupportedError, match="version 2"):
        read(with_field(dotpt=2))


def test_a_giant_is_not_read() -> None:
    with pytest.raises(ManifestError, match="at most"):
        read(b" " * (MOST + 1))
    many = b'{"dotpt":1,"x":[' + b"[]," * (4 << 20) + b"0]}"
    with pytest.raises(LimitExceeded):
        read_architecture(file_of({ARCHITECTURE: many}, Limits(decoded_bytes=1 << 20)))


def test_what_would_not_be_read_back_is_not_written() -> None:
    deep: Any = 1
    for _ in range(NESTING):
        deep = [deep]
    with pytest.raises(UsageError, match="nests deeper"):
        architecture_bytes(replace(WHOLE, kwargs={"deep": deep}))
    with pytest.raises(UsageError, match="too large for the record"):
        architecture_bytes(replace(WHOLE, kwargs={"long": "x" * MOST}))


def test_sources_are_compared_with_their_hashes() -> None:
    name = f"{SOURCES}shop.nets.py"
    assert read_sources(file_of({name: TEXT.encode()}), WHOLE) == {"shop.nets": TEXT}
    assert read_sources(file_of({}), replace(WHOLE, stored=False)) == {}
    with pytest.raises(RecordMissing, match=r"text of the module shop\.nets is not in the file"):
        read_sources(file_of({}), WHOLE)
    with pytest.raises(ManifestError, match="its hash is another"):
        read_sources(file_of({name: b"import os\n"}), WHOLE)
    latin = replace(WHOLE, sources={"shop.nets": sha256(b"\xff").hexdigest()})
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_sources(file_of({name: b"\xff"}), latin)


def test_without_torch_the_record_is_read_and_models_need_it() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import dotpt\n"
        "for call in (dotpt.save_model, dotpt.load_model):\n"
        "    try: call('tests/corpus/fixtures/zip/state_dict.pt', 'x')\n"
        "    except dotpt.DotptError as error: print(type(error).__name__)\n"
        "print(dotpt.open('tests/corpus/fixtures/zip/state_dict.pt').architecture)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["MissingDependency", "MissingDependency", "None"]
