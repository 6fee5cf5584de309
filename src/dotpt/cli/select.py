"""``--filter``, ``--sort`` and ``--limit``: which tensors, and in which order."""

from __future__ import annotations

import argparse
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from dotpt.cli.options import ArgumentError, whole_number
from dotpt.tensors.refs import TensorRef

_COMPARISON = re.compile(r"(!=|>=|<=|==|=|>|<)")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def elements(ref: TensorRef) -> int:
    """How many values a tensor has; a nested one has no number of elements per axis, so its values are counted."""
    if ref.numel >= 0 and ref.layout != "nested":
        return ref.numel
    parts = ref.parts or {}
    values = parts.get("values", parts.get("buffer"))
    return values.numel if isinstance(values, TensorRef) else 0


_NUMBERS: dict[str, Callable[[TensorRef], int]] = {
    "size": lambda ref: ref.nbytes,
    "numel": elements,
    "ndim": lambda ref: len(ref.shape),
}
_WORDS: dict[str, Callable[[TensorRef], str]] = {
    "name": lambda ref: ref.name,
    "dtype": lambda ref: ref.dtype.name,
    "device": lambda ref: ref.device,
    "layout": lambda ref: ref.layout,
    "flavor": lambda ref: ref.flavor,
}
FILTERS = (*_NUMBERS, *_WORDS, "shape")
SORTS = ("name", "size", "numel", "ndim", "dtype", "shape", "file")


class Row(NamedTuple):
    """A tensor, and the file it is in."""

    file: str
    ref: TensorRef


def chooser(args: argparse.Namespace) -> Callable[[TensorRef], bool]:
    """Whether a tensor passes all filters.

    Raises:
        ArgumentError: a filter that makes no sense.
    """
    tests = [_test(text) for text in args.filter]
    return lambda ref: all(test(ref) for test in tests)


def in_order(rows: Iterable[Row], sort: str | None) -> list[Row]:
    """The rows, sorted; rows that compare equal stay in the order of the file."""
    listed = list(rows)
    if sort is None:
        return listed
    key, _, direction = sort.partition(":")
    if key not in SORTS or direction not in ("", "asc", "desc"):
        near = get_close_matches(key, SORTS, 1, 0.5)
        hint = f"--sort {near[0]}" if near and near[0] != key else f"one of {', '.join(SORTS)}, with :asc or :desc"
        raise ArgumentError(f"there is no order {sort!r}", hint)
    return sorted(listed, key=_SORT_KEYS[key], reverse=direction == "desc")


def natural(text: str) -> list[tuple[int, int, str]]:
    """A key that sorts ``layer2`` before ``layer10``."""
    parts = re.split(r"(\d{1,18})", text)
    return [(1, int(part), "") if at % 2 else (0, 0, part) for at, part in enumerate(parts)]


_SORT_KEYS: dict[str, Callable[[Row], Any]] = {
    "name": lambda row: natural(row.ref.name),
    "file": lambda row: natural(row.file),
    "shape": lambda row: row.ref.shape,
    "dtype": lambda row: row.ref.dtype.name,
    "size": lambda row: row.ref.nbytes,
    "numel": lambda row: elements(row.ref),
    "ndim": lambda row: len(row.ref.shape),
}


def _test(text: str) -> Callable[[TensorRef], bool]:
    parts = _COMPARISON.split(text, maxsplit=1)
    if len(parts) == 1:
        return lambda ref: fnmatchcase(ref.name, text)
    key, sign, wanted = (part.strip() for part in parts)
    if key in _NUMBERS:
        return _number_test(_NUMBERS[key], sign, wanted, text)
    if key not in _WORDS and key != "shape":
        near = get_close_matches(key, FILTERS, 1, 0.5)
        hint = f"--filter '{near[0]}{sign}{wanted}'" if near else f"one of {', '.join(FILTERS)}; a name: 'name={text}'"
        raise ArgumentError(f"tensors have no {key!r} to filter by", hint)
    if sign not in ("=", "==", "!="):
        raise ArgumentError(f"{key} has no order, so {sign} makes no sense for it", f"--filter '{key}={wanted}'")
    equal = sign != "!="
    if key == "shape":
        pattern = _shape_pattern(wanted)
        return lambda ref: _shape_matches(ref.shape, pattern) is equal
    word = _WORDS[key]
    wanted = wanted.removeprefix("torch.") if key == "dtype" else wanted
    return lambda ref: fnmatchcase(word(ref), wanted) is equal


def _number_test(fact: Callable[[TensorRef], int], sign: str, wanted: str, text: str) -> Callable[[TensorRef], bool]:
    try:
        bound = whole_number(wanted)
    except argparse.ArgumentTypeError:
        raise ArgumentError(f"the filter {text!r} needs a number behind {sign}", "--filter 'size>1MB'") from None
    compare = _ORDER[sign]
    return lambda ref: compare(fact(ref), bound)


def _shape_pattern(wanted: str) -> list[int | None]:
    sizes = [part.strip() for part in re.split(r"[x,]", wanted.strip("[]() ")) if part.strip()]
    if not all(size.isdigit() or size == "*" for size in sizes):
        raise ArgumentError(f"{wanted!r} is not a shape", "--filter 'shape=64x3x*x*'")
    return [None if size == "*" else int(size) for size in sizes]


def _shape_matches(shape: Sequence[int], pattern: Sequence[int | None]) -> bool:
    return len(shape) == len(pattern) and all(p is None or p == n for n, p in zip(shape, pattern, strict=True))
