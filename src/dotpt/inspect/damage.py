"""What is left of a file that was cut or broken, in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dotpt.container.sniff import sniff
from dotpt.errors import ContainerError, DotptError, readable
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.partial import Partial, read_partial
from dotpt.inspect.sizes import of_sizes, size_text
from dotpt.pickling.tree import named_tensors, settle, transform
from dotpt.source.base import Source
from dotpt.tensors.refs import TensorRef


@dataclass(slots=True)
class Damage:
    """What is left.

    Attributes:
        format: the container, as far as it can be told.
        reason: ``cut`` (the file ends too early) or ``broken`` (a rule of the container does not hold).
        words: one line for people: ``ends at 1.2 of about 4.0 GB: the download was cut; 17 of 60 tensors are whole``.
        size: bytes that are there.
        expected: bytes of the whole file, or None where that cannot be told.
        exact: whether ``expected`` is certain (else an estimate).
        whole: addresses of the tensors whose bytes are all there. They are unverified.
        missing: addresses of the others.
        records: names of the records that are whole.
        contents: the decoded file, its whole tensors readable while the source is open; None if its pickle or header
            is not whole.
    """

    format: str
    reason: str
    words: str
    size: int
    expected: int | None = None
    exact: bool = False
    whole: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    contents: Contents | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain values."""
        return {
            "format": self.format,
            "reason": self.reason,
            "words": self.words,
            "size": self.size,
            "expected": self.expected,
            "exact": self.exact,
            "whole": list(self.whole),
            "missing": list(self.missing),
            "records": list(self.records),
        }


def diagnose_damage(source: Source, error: DotptError, options: ReadOptions) -> Damage | None:
    """What is left of ``source``, which could not be read because of ``error``; None if there is nothing to add.

    Args:
        error: what reading it raised: the diagnosis is for files that are cut, or break a rule of their container.
            Of a file whose pickle is malformed, or goes beyond a limit, the error itself says all.
    """
    if not isinstance(error, (ContainerError, EOFError)):
        return None
    kind = sniff(source).kind
    partial = read_partial(source, kind, error, options)
    if partial is None:
        if not isinstance(error, EOFError):
            return None
        partial = Partial()
    damage = Damage(
        kind if kind in ("zip", "legacy", "tar", "safetensors", "pickle") else "unknown",
        "cut" if partial.cut else "broken",
        "",
        source.size,
        partial.expected,
        partial.exact,
        records=partial.records,
        contents=partial.contents,
    )
    if partial.contents is not None:
        damage.whole, damage.missing = _tensors(partial.contents, partial.whole, options)
    if damage.contents is None and damage.reason == "broken":
        return None
    damage.words = _words(damage, error)
    return damage


def _tensors(contents: Contents, whole: set[str], options: ReadOptions) -> tuple[list[str], list[str]]:
    """The addresses of tensors that are whole, and of those that are not."""
    contents.tree = transform(contents.tree, settle, options.limits.nesting)
    there: list[str] = []
    missing: list[str] = []
    for address, ref in named_tensors(contents.tree, options.limits.nesting):
        (there if _is_whole(ref, contents, whole) else missing).append(address or "tensor")
    return there, missing


def _is_whole(ref: TensorRef, contents: Contents, whole: set[str]) -> bool:
    for part in ref.strided_parts():
        storage = part.storage
        if storage is None:
            continue
        base = storage.view_of[0] if storage.view_of else storage
        if contents.storages.get(base.key) is base and base.key not in whole:
            return False
    return True


def _words(damage: Damage, error: DotptError) -> str:
    count, total = len(damage.whole), len(damage.whole) + len(damage.missing)
    if damage.reason == "broken":
        return readable(error.problem).rstrip(".")
    if damage.expected is not None and damage.expected > damage.size:
        about = "" if damage.exact else "about "
        part, whole = of_sizes(damage.size, damage.expected).split(" of ")
        ends = f"ends at {part} of {about}{whole}: the download was cut"
    else:
        ends = f"ends after {size_text(damage.size)}, before its content does: the download was cut"
    if damage.contents is None:
        within = {"safetensors": " within the header", "zip": " within the pickle", "legacy": " within the pickle"}
        return f"{ends}{within.get(damage.format, '')}, so nothing in it can be read"
    if not total:
        return f"{ends}; what it holds beside tensors is whole"
    if count == total:
        return f"{ends}; all {total:,} tensors are whole"
    return f"{ends}; {count:,} of {total:,} tensors {'is' if count == 1 else 'are'} whole"
