"""``dotpt checkpoints diff``: how two checkpoints of a run differ."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dotpt.archive.archive import open as open_archive
from dotpt.cli import FINDING, words
from dotpt.cli.columns import Column, draw
from dotpt.training.differences import Differences, TensorDifference, compare
from dotpt.training.layouts import entry_at
from dotpt.training.listing import torch_files

if TYPE_CHECKING:
    from pathlib import Path

    from dotpt.cli.checkpoints import Work
    from dotpt.training.folder import Entry

LIMIT = 20
_TENSORS = (
    Column("Tensor", "cyan", least=16),
    Column("Changed", right=True),
    Column("Largest", right=True),
    Column("Relative", right=True),
    Column("Type and shape", "dim", least=12, tail=True, early=True),
)
_VALUES = (
    Column("Value", "cyan", least=16),
    Column("Before", least=12, tail=True),
    Column("After", least=12, tail=True),
)


def diff(work: Work) -> None:
    """The two tables."""
    listing = work.listing()
    before, after = (entry_at(listing, which) for which in work.rest)
    with work.watch(f"comparing {listing.name_of(before)} and {listing.name_of(after)}") as watch:
        parts = [_compare(files, prefix, watch) for prefix, files in _pairs(before, after) if None not in files]
    found = _together(parts)
    for prefix, files in _pairs(before, after):
        if None in files:
            found.values[prefix.rstrip(": ")] = ("a file" if files[0] else "", "a file" if files[1] else "")
    if not found.none:
        work.worse(FINDING)
    work.document |= {"before": str(before.path), "after": str(after.path), **_facts(found)}
    if not (work.args.json or work.args.quiet):
        _draw(work, found)


def _pairs(before: Entry, after: Entry) -> list[tuple[str, tuple[Path | None, Path | None]]]:
    """The files to compare with each other. Where a checkpoint is a folder, those of one name."""
    if not before.path.is_dir() or not after.path.is_dir():
        return [("", (before.path, after.path))]
    mine, theirs = (
        {path.relative_to(entry.path).as_posix(): path for path in torch_files(entry.path)} for entry in (before, after)
    )
    return [(f"{name}: ", (mine.get(name), theirs.get(name))) for name in sorted({*mine, *theirs})]


def _compare(files: tuple[Path | None, Path | None], prefix: str, watch: Any) -> Differences:
    with open_archive(files[0], verify=False) as one, open_archive(files[1], verify=False) as two:
        return compare(one, two, prefix, watch)


def _together(parts: list[Differences]) -> Differences:
    found = Differences()
    for part in parts:
        found.tensors += part.tensors
        found.values |= part.values
        found.same += part.same
        found.by_hash += part.by_hash
        found.read += part.read
    return found


def _facts(found: Differences) -> dict[str, Any]:
    tensors = [{key: _plain(value) for key, value in asdict(difference).items()} for difference in found.tensors]
    values = [{"address": name, "before": one, "after": two} for name, (one, two) in found.values.items()]
    return {"tensors": tensors, "values": values, "same": found.same, "by_hash": found.by_hash, "read": found.read}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _draw(work: Work, found: Differences) -> None:
    screen, limit = work.screen, work.limit(LIMIT)
    tensors = found.tensors
    if limit is not None and len(tensors) > limit:
        tensors = sorted(tensors, key=_most_first)
    for columns, rows in (
        (_TENSORS, [_tensor_row(difference) for difference in tensors]),
        (_VALUES, [_value_row(name, pair) for name, pair in found.values.items()]),
    ):
        if rows:
            draw(screen, columns, rows[:limit])
            if limit is not None and len(rows) > limit:
                screen.line((f"{screen.ellipsis} and {len(rows) - limit:,} more (--limit 0 shows all)", "dim"))
            screen.line()
    by_hash = f" ({found.by_hash:,} by their hashes)" if found.by_hash else ""
    counts = [
        f"{words.plural(len(found.tensors), 'tensor')} differ{'s' if len(found.tensors) == 1 else ''}",
        f"{found.same:,} {'is' if found.same == 1 else 'are'} the same{by_hash}",
        f"{words.plural(len(found.values), 'other value')} differ{'s' if len(found.values) == 1 else ''}",
    ]
    screen.line((", ".join(counts), "bold"))


def _most_first(difference: TensorDifference) -> tuple[bool, float]:
    """What can only be seen in part begins with what came, went or changed most."""
    relative = math.inf if difference.relative is None else difference.relative
    return difference.what == "changed", -relative


def _tensor_row(difference: TensorDifference) -> list[str]:
    name, what = words.one_line(difference.name), difference.what
    if what != "changed":
        kinds = " -> ".join(kind for kind in (difference.before, difference.after) if kind)
        return [name, what, "", "", kinds]
    share = f"{100 * difference.changed / difference.numel:.3g} %" if difference.numel else ""
    relative = "" if difference.relative is None else f"{difference.relative:.2e}"
    same = difference.before == difference.after
    kind = difference.before if same else f"{difference.before} -> {difference.after}"
    return [name, share, f"{difference.largest:.3g}", relative, kind]


def _value_row(name: str, pair: tuple[str, str]) -> list[str]:
    return [words.one_line(name), *(words.one_line(text)[:200] for text in pair)]
