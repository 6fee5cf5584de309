"""``dotpt show FILE [TENSOR...]``: what is in a tensor, or in any other value of the file."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from dotpt.cli import values, words
from dotpt.cli.addresses import Target, resolve
from dotpt.cli.job import Job
from dotpt.cli.options import add_files, add_shared, describe
from dotpt.cli.screen import Part, cut, shorten, width_of
from dotpt.cli.select import Row, chooser, in_order
from dotpt.errors import DotptError
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive
    from dotpt.cli.inputs import Given

LIMIT = 20
_LINES = 40
_DESCRIPTION = """\
Show values, statistics and a histogram of tensors, or any other value in it.

TENSOR is an address as `dotpt ls` lists it, or the end of one, if no other
ends so; with an index: 'weight[0,:3]'; a glob: 'layer1.*'; or the address of
another value: epoch, optimizer.param_groups.0. Without it, a file of one
tensor shows that, and any other file what is in it. torch is not needed, and
a tensor larger than memory is read in pieces."""
_EXAMPLES = """
dotpt show model.pt conv1.weight
dotpt show model.pt 'conv1.weight[0,:3]'     only this part is read
dotpt show model.pt 'layer1.*.bias' --limit 5
dotpt show checkpoint.pt epoch optimizer.param_groups.0
dotpt show model.pt fc.weight --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt show`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser, nargs=None)
    parser.add_argument("tensors", metavar="TENSOR", nargs="*", help="what to show (default: the whole file)")
    add_shared(parser, limit=LIMIT)


def run(args: argparse.Namespace) -> int:
    """Show tensors and values."""
    job = Job(args, "dotpt.show/1", files=[args.files])
    in_order([], args.sort)
    for given in job.given:
        with job.handling(given), job.open(given) as archive:
            _show_file(job, given, archive)
    return job.finish()


def _show_file(job: Job, given: Given, archive: Archive) -> None:
    targets = _targets(job, given, archive)
    limit = job.limit(None if job.args.json else LIMIT)
    keep = targets if limit is None else targets[:limit]
    entry: dict[str, Any] = {"file": given.name, "tensors": [], "values": []}
    for number, target in enumerate(keep):
        if number and not job.args.json and not job.args.quiet:
            job.screen.line()
        with job.handling(given):
            _show(job, given, target, entry)
    if job.args.json:
        if keep or not job.code:
            job.add(entry)
    elif len(keep) < len(targets):
        job.screen.line()
        job.screen.line((f"{job.screen.ellipsis} and {len(targets) - len(keep):,} more (--limit 0 shows all)", "dim"))


def _targets(job: Job, given: Given, archive: Archive) -> list[Target]:
    """Everything to be shown. A name that is not there is reported; the others are shown all the same."""
    args, wanted = job.args, chooser(job.args)
    targets: list[Target] = []
    for name in args.tensors:
        with job.handling(given):
            targets += resolve(archive, name)
    if not args.tensors:
        every = [Target(name, ref) for name, ref in archive.tensors.items()]
        alone = len(every) == 1 and _holds_nothing_else(archive)
        targets = every if alone or args.filter else [Target("", archive.tree)]
    tensors = {id(t.value): t for t in targets if isinstance(t.value, TensorRef)}
    if not args.filter and args.sort is None:
        return targets
    rows = in_order((Row(given.name, t.value) for t in tensors.values() if wanted(t.value)), args.sort)
    if not rows and args.filter and not args.tensors:
        raise DotptError("No tensor passes the filter.", path=archive.name, hint=f"dotpt ls {given.name}")
    others = [] if args.filter else [t for t in targets if not isinstance(t.value, TensorRef)]
    return [tensors[id(row.ref)] for row in rows] + others


def _holds_nothing_else(archive: Archive) -> bool:
    tree = archive.tree
    return isinstance(tree, TensorRef) or (isinstance(tree, (dict, list, tuple)) and len(tree) == 1)


def _show(job: Job, given: Given, target: Target, entry: dict[str, Any]) -> None:
    value = target.value
    if isinstance(value, TensorRef) or (values.is_numpy(value) and value.dtype != object):
        from dotpt.cli.show_tensor import show_tensor

        show_tensor(job, given, target, entry)
    elif target.index is not None:
        problem = f"Only tensors and arrays have an index; this is {values.short(value)}."
        raise DotptError(problem, key=target.address, hint=f"dotpt show {given.name} {target.address}")
    elif job.args.json:
        entry["values"].append({"address": target.address, "type": values.kind_of(value), "value": values.plain(value)})
    else:
        _draw_value(job, target)


def _draw_value(job: Job, target: Target) -> None:
    screen, value = job.screen, target.value
    limit = _LINES if job.args.limit is None else job.args.limit or None
    lines = _fitting(value, limit)
    head = words.one_line(target.address) or "whole file"
    if not lines:
        texts = value.split("\n") if isinstance(value, str) else [values.short(value, 200)]
        if len(texts) > 1 or job.args.quiet:
            parts: list[Part] = [] if job.args.quiet else [(head, "bold"), "  ", (values.kind_of(value), "dim")]
            for line in ([parts] if parts else []) + [[text] for text in map(words.one_line, texts[:limit])]:
                screen.line(*line)
        else:
            text = repr(value) if isinstance(value, str) else texts[0]
            screen.line((head, "bold"), "  ", words.one_line(text))
        return
    if not job.args.quiet:
        screen.line((head, "bold"), "  ", (values.kind_of(value), "dim"))
    column = max((2 * level + width_of(key) for level, key, _ in lines), default=0)
    column = min(column, (screen.width or 120) * 2 // 5)
    for level, key, text in lines:
        if not key:
            screen.line("  ", "  " * level, (f"{screen.ellipsis} {text} (--limit 0 shows all)", "dim"))
            continue
        label = shorten("  " * level + key, column, screen.ellipsis)
        label += " " * (column - width_of(label))
        room = (screen.width or 10_000) - column - 4
        screen.line("  ", (label, "cyan"), "  ", cut(text, room, screen.ellipsis))


def _fitting(value: Any, limit: int | None) -> list[tuple[int, str, str]]:
    """The outline of a value, as deep as its lines stay within the limit."""
    for depth in (4, 3, 2):
        lines = list(values.outline(value, most=limit, depth=depth))
        if not lines or lines[-1][1]:  # the last line has a key: nothing was left out
            return lines
    return list(values.outline(value, most=limit, depth=1))
