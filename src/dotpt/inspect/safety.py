"""What the pickles of a file name, and what that means for someone who wants to load it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotpt.errors import readable
from dotpt.pickling.explain import explain
from dotpt.pickling.nn_names import is_part_of_torch
from dotpt.pickling.nn_records import first_oddity
from dotpt.pickling.values import GlobalName

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

# What torch.load(weights_only=True) accepts besides the plain names of torch itself (torch 2.13).
_ACCEPTED_MODULES = frozenset(("torch", "torch.cuda", "torch.sparse", "torch.cuda.sparse", "torch._utils"))
_ACCEPTED = frozenset((
    "collections.OrderedDict", "collections.Counter", "_codecs.encode", "builtins.set", "builtins.complex",
    "builtins.bytearray", "__builtin__.set", "__builtin__.complex", "__builtin__.bytearray",
    "torch._tensor._rebuild_from_type_v2", "torch.nn.parameter.Parameter", "torch.serialization._get_layout",
    "torch.storage.TypedStorage", "torch.storage.UntypedStorage",
))  # fmt: skip
_NEWEST_PROTOCOL = 3  # weights_only knows the opcodes of no later one
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class Named:
    """A class or function that the file names.

    Attributes:
        name: module and name, joined by a dot.
        known: whether it is known to be harmless: a type of dotpt's own table, or one of torch's own layers.
        harmful: whether calling it can do harm by itself.
        words: what it is.
        offset: byte of the pickle at which it is first named.
    """

    name: str
    known: bool
    harmful: bool
    words: str
    offset: int

    def to_dict(self) -> dict[str, Any]:
        """The name as plain values."""
        return {
            "name": self.name, "known": self.known, "harmful": self.harmful, "words": self.words, "offset": self.offset,
        }  # fmt: skip


@dataclass(slots=True)
class Safety:
    """The verdict on what a file names. dotpt runs none of it, whatever the verdict.

    Attributes:
        verdict: ``harmless`` (only known types), ``unknown`` (names others), ``dangerous`` (names something that runs
            code, programs or the like), ``code`` (TorchScript: holds a program, which dotpt does not run),
            ``undecided`` (a damaged file whose pickle could not be read).
        words: one line for people.
        names: everything named, the worst first.
        weights_only: whether ``torch.load(weights_only=True)`` accepts what is named (False for containers it refuses).
    """

    verdict: str
    words: str
    names: list[Named] = field(default_factory=list)
    weights_only: bool = False

    @property
    def unknown(self) -> list[Named]:
        """The names that are not known to be harmless."""
        return [name for name in self.names if not name.known]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as plain values."""
        return {
            "verdict": self.verdict,
            "words": self.words,
            "weights_only": self.weights_only,
            "known": [name.to_dict() for name in self.names if name.known],
            "unknown": [name.to_dict() for name in self.unknown],
        }


def safety_of(archive: Archive) -> Safety:
    """The verdict on an open file."""
    contents = archive.contents
    names = named(contents.globals)
    if contents.format in ("safetensors", "sharded") and not names:
        return Safety("harmless", "holds no pickle: it can name nothing", names, contents.format == "safetensors")
    accepted = contents.format in ("zip", "legacy") and all(_accepted(name) for name in contents.globals)
    accepted = accepted and _protocol(archive) <= _NEWEST_PROTOCOL and contents.joined is None
    verdict, words = _verdict(names)
    if verdict == "harmless" and any(_is_layer(name) for name in contents.globals):
        verdict, words = _verdict_on_model(archive, words)
    if contents.format == "torchscript" and verdict != "dangerous":
        verdict, words = "code", "holds a TorchScript program, which torch.jit.load would run; dotpt does not run it"
    return Safety(verdict, words, names, accepted)


def named(names: Iterable[GlobalName]) -> list[Named]:
    """Every name with its explanation, the worst first."""
    found = []
    for name in dict.fromkeys(names):
        words, harmful = explain(name)
        found.append(Named(str(name), name.known or _is_layer(name), harmful, words, name.offset))
    return sorted(found, key=lambda entry: (entry.known, not entry.harmful))


def _verdict(names: list[Named]) -> tuple[str, str]:
    unknown = [name for name in names if not name.known]
    if not unknown:
        if not names:
            return "harmless", "names no classes or functions at all"
        return "harmless", f"names only known harmless types ({len(names):,})"
    shown = ", ".join(readable(name.name)[:80] for name in unknown[:_MOST_NAMED])
    more = f" and {len(unknown) - _MOST_NAMED:,} more" if len(unknown) > _MOST_NAMED else ""
    harmful = [name for name in unknown if name.harmful]
    if harmful:
        worst = harmful[0]
        what = readable(worst.name)[:80] + (f", which {worst.words}" if _is_verb(worst.words) else "")
        return "dangerous", f"DANGEROUS: names {what}; dotpt does not run it (unknown: {shown}{more})"
    return "unknown", f"names {len(unknown):,} unknown: {shown}{more}; dotpt does not run them"


def _is_layer(name: GlobalName) -> bool:
    return not name.known and is_part_of_torch(name.module, name.name)


def _verdict_on_model(archive: Archive, words: str) -> tuple[str, str]:
    """On a file that names torch's own layers: whether it uses them as a saved model does."""
    odd = first_oddity(archive.tree)
    if odd is None:
        return "harmless", f"{words}, layers of torch among them: dotpt.load gives the whole model"
    return "unknown", f"uses {odd.name}, a part of torch, as no saved model does: {odd.words}; dotpt does not run it"


def _is_verb(words: str) -> bool:
    return words.split(" ", 1)[0].endswith("s") and not words.startswith(("a ", "the "))


def _accepted(name: GlobalName) -> bool:
    return name.known and (name.module in _ACCEPTED_MODULES or str(name) in _ACCEPTED)


def _protocol(archive: Archive) -> int:
    """The pickle protocol of the object, as its first bytes state it."""
    contents = archive.contents
    source = contents.container.source
    if contents.format == "legacy":
        start = int(contents.facts.get("start", 0))
    else:
        start = contents.container.record("data.pkl").offset
    head = source.read(start, min(2, source.size - start))
    return head[1] if len(head) == 2 and head[:1] == b"\x80" else 0
