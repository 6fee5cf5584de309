"""How `dotpt show` draws one tensor: facts, statistics, values, a histogram."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dotpt.cli import FINDING, words
from dotpt.cli.addresses import Target
from dotpt.cli.examine import NONE, RIGHT, UNCHECKED, WRONG, Examined, examine, examine_array
from dotpt.cli.screen import Part, Screen
from dotpt.cli.select import elements
from dotpt.cli.statistics import Histogram, Statistics
from dotpt.cli.tensors import notes_on
from dotpt.cli.values import plain
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive
    from dotpt.cli.inputs import Given
    from dotpt.cli.job import Job

_EDGES = {0: 3, 1: 3, 2: 3, 3: 2}  # how many values of each end of an axis are shown, by the number of axes
_PRINTED = 100  # values up to which an array is printed whole
_IN_JSON = 1000
_WORTH_DRAWING = 20  # values; fewer are seen at a glance
_CHECKSUMS = {
    RIGHT: "right",
    WRONG: "WRONG: the values are not those that were saved",
    NONE: "none in the file, so damage cannot be seen",
    UNCHECKED: "not checked: only a part of the record was read (`dotpt verify` checks it)",
}


def show_tensor(job: Job, given: Given, target: Target, entry: dict[str, Any]) -> None:
    """Draw a tensor (or a numpy array that lies in the pickle), or add it to the JSON entry."""
    value, label = target.value, target.address + target.text
    edge = _EDGES.get(len(value.shape), 1)
    with job.watch(f"reading {label or given.name}") as watch:
        if isinstance(value, TensorRef):
            examined = examine(target, edge, watch)
        else:
            examined = examine_array(np.asarray(value[target.index] if target.index is not None else value))
    if examined.checksum == WRONG:
        job.worse(FINDING)
    if job.args.json:
        entry["tensors"].append(_as_dict(target, examined, given))
    elif job.args.quiet:
        _draw_values(job.screen, examined, whole=target.index is not None, indent="")
    else:
        _draw(job.screen, target, examined)


def _draw(screen: Screen, target: Target, examined: Examined) -> None:
    ref = target.value
    name = words.one_line(target.address or getattr(ref, "name", "") or "tensor") + target.text
    screen.line((name, "bold"))
    count = _elements(target, examined)
    amount = f", {words.plural(count, 'element')}, {words.size(_bytes_of(target, count))}"
    what = ((str(ref.dtype), "green"), " ", (words.shape(examined.shape), "cyan"))
    screen.fact("  Tensor", *what, amount, column=13)
    if isinstance(ref, TensorRef):
        _draw_place(screen, target, examined)
    for label, text in examined.details:
        screen.fact(f"  {label}", text, column=13)
    if examined.statistics is not None:
        _draw_statistics(screen, examined)
    if examined.array is not None and examined.array.size:
        screen.line()
        _draw_values(screen, examined, whole=target.index is not None)
    if examined.statistics is not None and examined.statistics.count >= _WORTH_DRAWING and not _is_bool(examined):
        _draw_histogram(screen, examined.statistics.histogram)


def _elements(target: Target, examined: Examined) -> int:
    if isinstance(target.value, TensorRef) and target.index is None:
        return elements(target.value)
    return math.prod(examined.shape)


def _bytes_of(target: Target, count: int) -> int:
    whole, itemsize = target.value.nbytes, target.value.dtype.itemsize
    return int(whole if target.index is None else count * itemsize)


def _draw_place(screen: Screen, target: Target, examined: Examined) -> None:
    ref = target.value
    if ref.storage is not None and target.index is None:
        screen.fact("  Stored", _place(ref), column=13)
    if ref.device not in ("cpu", "meta"):
        screen.fact("  Saved on", (words.one_line(ref.device), "yellow"), column=13)
    notes = _notes_of(ref.archive).get(id(ref)) if ref.archive is not None else None
    if notes:
        screen.fact("  Notes", ", ".join(notes), column=13)
    if ref.storage is not None or ref.parts:
        style = "bold red" if examined.checksum == WRONG else "green" if examined.checksum == RIGHT else ""
        screen.fact("  Checksum", (_CHECKSUMS[examined.checksum], style), column=13)


@lru_cache(maxsize=1)  # one file at a time
def _notes_of(archive: Archive) -> dict[int, list[str]]:
    return notes_on(archive.tensors)


def _file_of(ref: TensorRef) -> str:
    """The file, or the one that it refers to."""
    joined = ref.archive.contents.joined if ref.archive is not None else None
    if joined is None or ref.storage is None or ref.storage.container is not joined.container:
        return "the file"
    return words.one_line(joined.file)


def _place(ref: TensorRef) -> str:
    place = f"storage {words.one_line(ref.storage.key)}" if ref.storage is not None else ""
    if ref.byte_range:
        place += f", bytes {ref.byte_range[0]:,} to {ref.byte_range[1]:,} of {_file_of(ref)}"
    if not ref.is_contiguous:
        place += f", strides {words.shape(ref.strides)}"
    return place + (f", offset {words.plural(ref.offset, 'element')}" if ref.offset else "")


def _draw_statistics(screen: Screen, examined: Examined) -> None:
    figures: Statistics = examined.statistics  # type: ignore[assignment]
    of = f" ({examined.of})" if examined.of else ""
    if np.iscomplexobj(examined.array):
        of = " (of the magnitudes)"
    if _is_bool(examined):
        screen.fact("  Values", f"{figures.count - figures.zeros:,} true, {figures.zeros:,} false", column=13)
        return
    if figures.least is not None and figures.largest is not None:
        least, largest = words.number(figures.least), words.number(figures.largest)
        moments = f"mean {words.number(figures.mean or 0.0)}, std {words.number(figures.std or 0.0)}"
        screen.fact("  Range", f"{least} to {largest}, {moments}{of}", column=13)
    share = f" ({100 * figures.zeros / figures.count:.3g} %)" if figures.zeros and figures.count else ""
    parts: list[Part] = [f"{words.plural(figures.zeros, 'zero') if figures.zeros else 'no zeros'}{share}"]
    if getattr(examined.array, "dtype", np.dtype(int)).kind not in "iu":
        parts += [", ", _count(figures.nan, "NaN"), ", "]
        if figures.posinf or figures.neginf:
            parts += [_count(figures.posinf, "+Inf"), ", ", _count(figures.neginf, "-Inf")]
        else:
            parts.append("no Inf")
    screen.fact("  Counts", *parts, column=13)


def _is_bool(examined: Examined) -> bool:
    return str(getattr(examined.array, "dtype", "")) == "bool"


def _count(number: int, what: str) -> tuple[str, str]:
    return (f"{number:,} {what}", "bold red") if number else (f"no {what}", "")


def _draw_values(screen: Screen, examined: Examined, *, whole: bool, indent: str = "  ") -> None:
    """The array as numpy prints it, cut where it is large."""
    if examined.array is None:
        return
    array = examined.array
    if array.dtype.kind == "V" and array.dtype.type is not np.void:  # the small floats of ml_dtypes
        array = array.astype(np.float32)
    printed = _PRINTED * (10 if whole else 1)
    text = np.array2string(
        array,
        max_line_width=(screen.width or 120) - len(indent),
        threshold=printed if examined.whole else 0,
        edgeitems=_EDGES.get(array.ndim, 1),
        precision=None if whole else 4,
        separator=", ",
    )
    for line in text.split("\n"):
        screen.line(indent, words.one_line(line))


def _draw_histogram(screen: Screen, histogram: Histogram) -> None:
    bins = histogram.bins
    if len(bins) < 2:
        return
    screen.line()
    labels = [(f"{low:.4g}", f"{high:.4g}") for low, high, _ in bins]
    left, right = (max(len(label[side]) for label in labels) for side in (0, 1))
    counts = [f"{count:,}" for _, _, count in bins]
    digits, most = max(map(len, counts)), max(count for _, _, count in bins)
    room = max(10, min(screen.width or 100, 100) - left - right - digits - 12)
    for (low, high), text, (_, _, count) in zip(labels, counts, bins, strict=True):
        screen.line(
            "  ", (f"{low:>{left}} .. {high:>{right}}", "dim"), f"  {text:>{digits}}  ",
            (_bar(room * count / most, screen.unicode) if most else "", "blue"),
        )  # fmt: skip


def _bar(length: float, unicode: bool) -> str:
    if not unicode:
        return "#" * max(round(length), 1 if length else 0)
    eighths = max(round(length * 8), 1 if length else 0)
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def _as_dict(target: Target, examined: Examined, given: Given) -> dict[str, Any]:
    ref = target.value
    facts: dict[str, Any] = {"address": target.address, "index": target.text or None}
    if isinstance(ref, TensorRef):
        facts |= ref.describe()
    else:
        facts |= {"name": target.address, "dtype": str(ref.dtype), "layout": "numpy"}
    facts |= {"shape": list(examined.shape), "strides": list(examined.strides), "checksum": examined.checksum}
    statistics = examined.statistics
    facts["statistics"] = statistics.to_dict() if statistics is not None else None
    bins = statistics.histogram.bins if statistics is not None else []
    facts["histogram"] = [{"from": plain(low), "to": plain(high), "count": count} for low, high, count in bins]
    array = examined.array
    fits = array is not None and examined.whole and array.size <= _IN_JSON * (100 if target.index is not None else 1)
    facts["values"] = _nested(array.tolist()) if fits else None
    facts["values_of"] = examined.of or None
    return facts


def _nested(values: Any) -> Any:
    return [_nested(value) for value in values] if isinstance(values, list) else plain(values)
