"""The record ``.dotpt/model.json``: which class a file's weights belong to, and how it was built. torch ignores it.

::

    .dotpt/model.json                      the record, JSON
    .dotpt/source/package.module.py        the text of a module, if the author wanted it to travel
    .dotpt/examples/data.pkl, data/0 ...   inputs, and what the model gave for them: an object as in any file

Values that JSON does not have are spelled in objects of one key that begins with ``$``: ``{"$tuple":[1,2]}``,
``{"$dtype":"float32"}``, ``{"$name":"package.module:Class"}`` (`TAGS` lists them).

Reading trusts nothing: it is a stranger's text, bounded in size, depth and types, and the names in it are only text
here. What is wrong with it is a `ManifestError`; no tensor depends on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dotpt.container import jsontext
from dotpt.container.record import Container
from dotpt.errors import LimitExceeded, ManifestError, RecordMissing, UnsupportedError, UsageError
from dotpt.formats.json_records import facts_of, versioned
from dotpt.formats.record_names import ARCHITECTURE
from dotpt.limits import DEFAULT_LIMITS, MIB

SOURCES = ".dotpt/source/"
EXAMPLES = ".dotpt/examples/"
VERSION = 1
NESTING = 64  # levels of the record: a layer in a layer in a layer takes nine
MOST = 16 * MIB  # bytes of the record, and of each module's text
TAGS = frozenset(
    "$tuple $set $frozenset $dict $ordereddict $float $int $complex $bytes $range $slice $path $dtype $device $size "
    "$name $enum $dataclass $namedtuple $namespace $partial $module".split()
)
_SHOWN = 200  # characters of a call
_LONGEST_NAME = 1000
_is_module = re.compile(r"[\w-]+(\.[\w-]+)*").fullmatch
_is_name = re.compile(r"(\w+|<locals>|<lambda>)(\.(\w+|<locals>|<lambda>))*").fullmatch
_is_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_is_writer = re.compile(r"[ -~]{1,200}").fullmatch


@dataclass(frozen=True, slots=True)
class Example:
    """Inputs in the file, with the outputs that the model gave for them.

    Attributes:
        seed: that torch's generators had when they were computed.
        device: where they were computed: ``cpu``, ``cuda``, ...
        confirmed: whether a model that was built anew from the record, when it was saved, gave the same outputs.
    """

    seed: int
    device: str
    confirmed: bool


@dataclass(frozen=True, slots=True)
class Architecture:
    """What `dotpt.save_model` noted of a model besides its weights.

    Attributes:
        module, name: where its class is defined: the module, and the class's qualified name in it.
        args, kwargs: what its constructor was given, as the record spells it.
        inferred: whether dotpt found these arguments in the model's attributes; else the author gave them.
        fingerprint: 64 hexadecimal digits that name its structure: names, shapes and types of its tensors, and the
            class of each module.
        modules: the name of the class of each module, by the module's path (``""`` is the model itself).
        buffers: types of the buffers that are not in the state dict, by name.
        sources: SHA-256 of the text of each module of the author's that it is defined by.
        stored: whether these texts are in the file.
        versions: of Python and of the packages that it uses, by name.
        training: whether it was in training mode when it was saved.
        example: what is known of the recorded outputs; None if there are none.
        notes: what the author was told, one sentence each.
        writer: what wrote the record.

    Example:
        >>> str(Architecture("shop.nets", "Net", kwargs={"width": 64, "type": {"$dtype": "float16"}}))
        'shop.nets.Net(width=64, type=torch.float16)'
    """

    module: str
    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    inferred: bool = False
    fingerprint: str = ""
    modules: dict[str, str] = field(default_factory=dict)
    buffers: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    stored: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    training: bool = False
    example: Example | None = None
    notes: list[str] = field(default_factory=list)
    writer: str = ""

    @property
    def class_name(self) -> str:
        """The full name of the class."""
        return f"{self.module}.{self.name}"

    def __str__(self) -> str:
        given = [call_text(value) for value in self.args]
        given += [f"{name}={call_text(value)}" for name, value in self.kwargs.items()]
        text = f"{self.class_name}({', '.join(given)})"
        return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]}...)"

    @property
    def words(self) -> str:
        """The model in a line: the call that builds it, and what travels with it."""
        parts = [str(self)]
        if self.inferred:
            parts.append("arguments inferred")
        if self.stored:
            parts.append("with source")
        if self.example is not None:
            state = "confirmed" if self.example.confirmed else "not confirmed by a second model"
            parts.append(f"with expected outputs ({state})")
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """The record as plain values, as it lies in the file."""
        example = self.example
        return {
            "dotpt": VERSION,
            "class": {"module": self.module, "name": self.name},
            "init": {"args": self.args, "kwargs": self.kwargs, "inferred": self.inferred},
            "fingerprint": self.fingerprint,
            "training": self.training,
            "versions": self.versions,
            "sources": {"sha256": self.sources, "stored": self.stored},
            "example": example and {"seed": example.seed, "device": example.device, "confirmed": example.confirmed},
            "modules": self.modules,
            "buffers": self.buffers,
            "notes": self.notes,
            "writer": self.writer,
        }


# -- for people -------------------------------------------------------------------------------------------------------


def call_text(value: Any) -> str:
    """A spelled value about as Python writes it. Names in it are a stranger's, and only shown.

    Example:
        >>> call_text({"$tuple": [3, {"$name": "torch.nn.functional:relu"}]})
        '(3, torch.nn.functional.relu)'
    """
    if isinstance(value, list):
        return f"[{', '.join(map(call_text, value))}]"
    if not isinstance(value, dict):
        return repr(value)
    tag = next(iter(value), "")
    if len(value) != 1 or tag not in TAGS:
        return "{" + ", ".join(f"{key!r}: {call_text(item)}" for key, item in value.items()) + "}"
    return _tagged_text(tag, value[tag])


def _tagged_text(tag: str, content: Any) -> str:
    if tag == "$tuple" and isinstance(content, list):
        return f"({', '.join(map(call_text, content))}{',' if len(content) == 1 else ''})"
    if tag == "$dtype":
        return f"torch.{content}"
    if tag == "$name":
        return str(content).replace(":", ".")
    if isinstance(content, list) and content and isinstance(content[0], str) and ":" in content[0]:
        name, *rest = content
        if tag == "$enum":
            return ".".join([name.replace(":", "."), *map(str, rest)])
        given = [call_text(item) for part in rest if isinstance(part, list) for item in part]
        named = [part.items() for part in rest if isinstance(part, dict)]
        given += [f"{key}={call_text(item)}" for items in named for key, item in items]
        return f"{name.rpartition(':')[2]}({', '.join(given)})"
    return f"{tag[1:]}({call_text(content)})"


# -- writing ----------------------------------------------------------------------------------------------------------


def architecture_bytes(architecture: Architecture) -> bytes:
    """The record, as it is written.

    Raises:
        UsageError: it would not be read back: it is too large or nests too deep.
    """
    text = json.dumps(architecture.to_dict(), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    hint = "init= with fewer or simpler arguments, or init={}, check=False and a function that builds it later"
    try:
        if len(text) > MOST:
            raise LimitExceeded("header_bytes", len(text), MOST)
        jsontext.parse_json(text, DEFAULT_LIMITS, lambda problem, _: UsageError(problem, hint=hint), depth=NESTING)
    except LimitExceeded as error:
        raise UsageError(
            f"The constructor's arguments are too large for the record: {error.actual:,} bytes where "
            f"{error.allowed:,} are read.",
            hint=hint,
        ) from None
    return text


# -- reading ----------------------------------------------------------------------------------------------------------


def read_architecture(container: Container) -> Architecture | None:
    """The record of a file; None if it has none.

    Raises:
        ChecksumMismatch: the record is damaged.
        ManifestError: it is not what dotpt writes.
        UnsupportedError: a later dotpt wrote it.
        LimitExceeded: it is too large.
    """
    if container.kind != "zip" or ARCHITECTURE not in container:
        return None
    facts, what = facts_of(container, ARCHITECTURE), "The architecture record"
    text = _bounded(container, ARCHITECTURE)
    found = versioned(text, what, ManifestError, facts, container.limits, depth=NESTING)
    if found["dotpt"] != VERSION:
        raise UnsupportedError(
            f"{what} is of version {found['dotpt']}; version {VERSION} is known.",
            hint="a newer dotpt may read it: pip install -U dotpt",
            **facts,
        )
    return _Fields(found, facts).architecture()


def read_sources(container: Container, architecture: Architecture) -> dict[str, str]:
    """The texts of the modules that travel with a model, by module. They are read, and compared with their hashes.

    Raises:
        RecordMissing, ManifestError: a text is not there, or not the one that the record speaks of.
    """
    from hashlib import sha256

    texts = {}
    for module, expected in architecture.sources.items() if architecture.stored else ():
        name = f"{SOURCES}{module}.py"
        facts = facts_of(container, name)
        if name not in container:
            raise RecordMissing(f"The text of the module {module} is not in the file.", **facts)
        content = _bounded(container, name)
        found = sha256(content).hexdigest()
        if found != expected:
            raise ManifestError(
                f"The text of the module {module} is not the one that was saved: its hash is another.",
                found=found,
                expected=expected,
                hint="somebody has changed it; get the file again from its author",
                **facts,
            )
        try:
            texts[module] = content.decode()
        except UnicodeDecodeError:
            raise ManifestError(f"The text of the module {module} is not UTF-8.", **facts) from None
    return texts


def _bounded(container: Container, name: str) -> bytes:
    size = container.record(name).size
    if size > MOST:
        raise ManifestError(
            f"The record has {size:,} bytes; at most {MOST:,} are read.", path=container.source.name, record=name
        )
    return container.read(name)


class _Fields:
    """A stranger's JSON object, field by field, each of the type that it has to be of."""

    def __init__(self, found: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        self._found = found
        self._facts = facts

    def architecture(self) -> Architecture:
        """The record that the fields give."""
        owner, init, sources = self._inner("class"), self._inner("init"), self._inner("sources")
        architecture = Architecture(
            module=owner._text("module"),
            name=owner._text("name"),
            args=init._of(list, "args"),
            kwargs=init._of(dict, "kwargs"),
            inferred=init._of(bool, "inferred"),
            fingerprint=self._text("fingerprint"),
            modules=self._texts("modules"),
            buffers=self._texts("buffers"),
            sources=sources._texts("sha256"),
            stored=sources._of(bool, "stored"),
            versions=self._texts("versions"),
            training=self._of(bool, "training"),
            example=self._example(),
            notes=self._notes(),
            writer=self._text("writer"),
        )
        self._check(architecture)
        return architecture

    def _check(self, architecture: Architecture) -> None:
        """What is a name or a hash must look like one: they become names of records and of modules."""
        hashes = [architecture.fingerprint, *architecture.sources.values()]
        checks = (
            ("class.module", [architecture.module, *architecture.sources], _is_module),
            ("class.name", [architecture.name], _is_name),
            ("fingerprint", hashes, _is_hash),
            ("writer", [architecture.writer], _is_writer),
        )
        for where, texts, fits in checks:
            for text in texts:
                if len(text) > _LONGEST_NAME or not fits(text):
                    raise self._broken(where, f"holds {text!r:.60}")

    def _example(self) -> Example | None:
        if self._found.get("example") is None:
            return None
        inner = self._inner("example")
        return Example(inner._of(int, "seed"), inner._text("device"), inner._of(bool, "confirmed"))

    def _notes(self) -> list[str]:
        notes: list[str] = self._of(list, "notes")
        if not all(type(note) is str for note in notes):
            raise self._broken("notes", "holds something that is no text")
        return notes

    def _inner(self, key: str) -> _Fields:
        return _Fields(self._of(dict, key), self._facts)

    def _text(self, key: str) -> str:
        text: str = self._of(str, key)
        if len(text) > _LONGEST_NAME:
            raise self._broken(key, f"is a text of {len(text):,} characters")
        return text

    def _texts(self, key: str) -> dict[str, str]:
        found: dict[str, str] = self._of(dict, key)
        if not all(type(text) is str for text in found.values()):
            raise self._broken(key, "holds something that is no text")
        return found

    def _of(self, kind: type, key: str) -> Any:
        value = self._found.get(key)
        if type(value) is not kind:
            raise self._broken(key, f"is of type {type(value).__name__}, not {kind.__name__}")
        return value

    def _broken(self, key: str, what: str) -> ManifestError:
        return ManifestError(
            f"The architecture record is not one that dotpt writes: `{key}` {what}.",
            hint="dotpt.load(path) reads the weights without it",
            **self._facts,
        )
