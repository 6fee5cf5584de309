"""How `dotpt inspect` draws a report: facts in the order in which they are asked, then parts, then tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from shlex import quote
from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.cli.modules import draw_modules
from dotpt.cli.screen import Part, Screen
from dotpt.cli.select import Row, in_order
from dotpt.cli.tensors import draw_table, notes_on
from dotpt.inspect.text import metadata_lines
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.cli.job import Job
    from dotpt.inspect.claims import Claim
    from dotpt.inspect.report import Report

LIMIT = 20
_LABEL = 14
_WORTH_SAYING = 100  # waste of less than one part in so many is left to --json
_LEAST_ROWS = 5
_MODULES = 100  # lines of a module's tree
_NAMES = 6  # kinds of unknown names
_VERDICTS = {"harmless": "green", "unknown": "yellow", "code": "yellow", "dangerous": "bold red", "undecided": "yellow"}
_FORMATS = {
    "zip": "zip format (torch 1.6 and newer)",
    "legacy": "legacy format (before torch 1.6)",
    "tar": "tar format (torch 0.1)",
    "torchscript": "TorchScript archive",
    "safetensors": "safetensors format",
    "sharded": "folder of shards",
    "pickle": "plain Python pickle",
}
_PARTS = (
    Column("Part", "cyan", least=10),
    Column("Where", "", least=14),
    Column("Elements", right=True, optional=True),
    Column("Size", right=True, optional=True),
    Column("Value", "", least=16, optional=True, tail=True),
)


def draw_report(job: Job, name: str, report: Report, wanted: Callable[[TensorRef], bool]) -> None:
    """Write everything about one file."""
    screen = job.screen
    first_line = screen.lines
    screen.line((words.one_line(name), "bold"), "  ", (words.size(report.size), "dim"))
    _draw_facts(screen, report)
    _draw_usage(screen, name, report)
    _draw_parts(screen, report)
    _draw_modules(job, report)
    tensors = report.archive.tensors if report.archive is not None else {}
    if tensors:
        screen.line()
        _draw_tensors(job, name, report, [ref for ref in tensors.values() if wanted(ref)], first_line)


def one_line_on(name: str, report: Report) -> list[Part]:
    """The file in one line, for ``--quiet``."""
    state: Part = ("whole", "green") if not report.damaged else ("DAMAGED", "bold red")
    verdict: Part = (report.safety.verdict, _VERDICTS.get(report.safety.verdict, ""))
    what = f"{words.one_line(report.kind.value)}, {words.plural(report.params, 'parameter')}, {words.size(report.size)}"
    return [(words.one_line(name), "bold"), ": ", what, ", ", state, ", ", verdict]


def _draw_facts(screen: Screen, report: Report) -> None:
    wrapped = f", compressed with {report.wrapped}" if report.wrapped else ""
    kind = _claim(report.kind)
    framework = [f" of {_value(report.framework)}", *_certainty(report.framework)] if report.framework.known else []
    container = f", {_FORMATS.get(report.format, words.one_line(report.format))}"
    if report.kind.value.lower().startswith(report.format):
        container = ""  # TorchScript is both
    screen.fact("  What", *kind, *framework, f"{container}{wrapped}", column=_LABEL)
    if report.network.tells:
        screen.fact("  Network", *_claim(report.network.claim), column=_LABEL)
    screen.fact("  Written by", *_claim(report.writer), column=_LABEL)
    _draw_wholeness(screen, report)
    _draw_safety(screen, report)
    _draw_amount(screen, report)
    if report.optimizer is not None and report.optimizer.known:
        screen.fact("  Optimizer", *_claim(report.optimizer), column=_LABEL)
    for prefix in report.prefixes:
        text = f"{prefix.prefix!r} before {words.plural(prefix.tensors, 'name')}: {prefix.words}"
        screen.fact("  Prefix", words.one_line(text), column=_LABEL)
    for item in [item for item in report.waste.items if item.bytes * _WORTH_SAYING >= report.size][:3]:
        screen.fact("  Waste", (words.size(item.bytes), "yellow"), f": {words.one_line(item.words)}", column=_LABEL)
    if report.architecture is not None:
        screen.fact("  Model", words.one_line(report.architecture.words), column=_LABEL)
    for line in metadata_lines(report):
        screen.fact("  Metadata", words.one_line(line), column=_LABEL)
    for note in report.notes:
        screen.fact("  Note", words.one_line(note), column=_LABEL)


def _draw_wholeness(screen: Screen, report: Report) -> None:
    integrity = report.integrity
    if not report.damaged:
        count = words.plural(integrity.checksums, "checksum")
        more = f"`dotpt verify` compares its {count}" if integrity.checksums else "it has no checksums"
        screen.fact("  Whole", ("yes", "green"), (f" (by its structure; {more})", "dim"), column=_LABEL)
        return
    screen.fact("  Whole", (f"NO: {words.one_line(integrity.words)}", "bold red"), column=_LABEL)
    for reason in integrity.reasons[:5]:
        if not reason.startswith("The next step") and reason.rstrip(".") not in integrity.words:
            screen.fact("", words.one_line(reason), column=_LABEL)
    missing = report.damage.missing if report.damage is not None else []
    if missing:
        screen.fact("", f"not whole: {words.listed([words.one_line(name) for name in missing], 6)}", column=_LABEL)
    if report.error is not None and report.error.get("hint"):
        screen.fact("  Try", words.one_line(report.error["hint"]), column=_LABEL)


def _draw_safety(screen: Screen, report: Report) -> None:
    """The verdict, then the unknown names, those of one kind together."""
    safety = report.safety
    unknown = safety.unknown
    text = words.one_line(safety.words)
    if unknown and safety.verdict in ("unknown", "dangerous"):
        bad = [named for named in unknown if named.harmful]
        count = words.plural(len(bad or unknown), "name")
        text = f"DANGEROUS: {count} that can do harm" if bad else f"{count} that dotpt does not know"
        text += "; dotpt runs nothing of it"
    screen.fact("  Safe", (text, _VERDICTS.get(safety.verdict, "")), column=_LABEL)
    groups: dict[tuple[str, bool], list[str]] = {}
    for named in unknown:
        groups.setdefault((named.words, named.harmful), []).append(words.one_line(named.name))
    for (meaning, harmful), names in list(groups.items())[:_NAMES]:
        shown = words.listed(names, 8 if harmful else 3)
        screen.fact("", (shown, "bold red" if harmful else "yellow"), f": {meaning}", column=_LABEL)
    if len(groups) > _NAMES:
        screen.fact("", f"and {len(groups) - _NAMES:,} more kinds (--json lists all)", column=_LABEL)


def _draw_amount(screen: Screen, report: Report) -> None:
    tensors = report.tensors
    if not tensors.count:
        screen.fact("  Holds", "no tensors", column=_LABEL)
        return
    types = [f"{name} {words.size(share.bytes)}" for name, share in tensors.dtypes.items()]
    amount = [
        words.plural(report.params, "parameter"),
        words.plural(tensors.count, "tensor"),
        words.size(tensors.bytes),
    ]
    screen.fact("  Holds", (", ".join(amount), "bold"), f" ({words.listed(types)})" if types else "", column=_LABEL)
    devices = [
        f"{words.plural(count, 'tensor')} from {words.one_line(device)}" for device, count in tensors.devices.items()
    ]
    if any(device not in ("cpu", "meta") for device in tensors.devices):
        screen.fact("  Devices", words.listed(devices), column=_LABEL)


def _draw_usage(screen: Screen, name: str, report: Report) -> None:
    lines = _fitting_code(report.usage, name, (screen.width or 10_000) - _LABEL)
    for number, line in enumerate(lines):
        label = "  Load" if number == 0 else ""
        screen.line((f"{label:{_LABEL}}", "dim"), (words.one_line(line), "cyan"))


def _fitting_code(lines: list[str], name: str, room: int) -> list[str]:
    """The lines, with a long path and comments on lines of their own where they would not fit."""
    literal = repr(name)
    if len(literal) > 4 and any(len(line) > room and literal in line for line in lines):
        lines = [f"path = {literal}", *(line.replace(literal, "path") for line in lines)]
    fitting: list[str] = []
    for line in lines:
        code, mark, comment = line.partition("  # ")
        if len(line) > room and line.startswith("#") and ": " in line:
            remark, _, code = line.rpartition(": ")
            fitting += [f"{remark}:", f"# {code}"]
        elif mark and len(line) > room:
            indent = code[: len(code) - len(code.lstrip())]
            fitting += [f"{indent}# {comment}", code]
        else:
            fitting.append(line)
    return fitting


def _draw_parts(screen: Screen, report: Report) -> None:
    """The parts of a checkpoint; a file of weights alone has said everything above."""
    parts = report.roles
    if len(parts) < 2:
        return
    rows = [
        (
            part.role,
            words.one_line(part.address) or "(whole file)",
            f"{part.params:,}" if part.tensors else "",
            words.size(part.bytes) if part.tensors else "",
            "" if part.value is None else words.one_line(part.value),
        )
        for part in parts[:LIMIT]
    ]
    screen.line()
    draw(screen, _PARTS, rows, indent="  ")
    if len(parts) > LIMIT:
        screen.line("  ", (f"{screen.ellipsis} and {len(parts) - LIMIT:,} more parts", "dim"))


def _draw_modules(job: Job, report: Report) -> None:
    """A pickled module, as ``print(model)`` shows it."""
    if report.modules is None:
        return
    job.screen.line()
    draw_modules(job.screen, report.modules, job.limit(_MODULES), indent="  ")


def _draw_tensors(job: Job, name: str, report: Report, refs: list[TensorRef], first_line: int) -> None:
    screen = job.screen
    notes: Mapping[int, list[str]] = notes_on(report.archive.tensors) if report.archive is not None else {}
    rows = in_order((Row(name, ref) for ref in refs), job.args.sort)
    if not rows:
        screen.line(("no tensor passes the filter", "bold"))
        return
    limit = job.limit(_room(screen, first_line))
    if job.args.tree:
        from dotpt.cli.tree import draw_tree

        draw_tree(screen, [row.ref for row in rows], notes, limit)
        return
    keep = rows if limit is None else rows[:limit]
    draw_table(screen, keep, notes, files=False, indent="  ")
    if len(keep) < len(rows):
        more = "--limit 0 shows all" if report.damaged else f"dotpt ls {words.one_line(quote(name))}"
        screen.line("  ", (f"{screen.ellipsis} and {len(rows) - len(keep):,} more ({more})", "dim"))


def _room(screen: Screen, first_line: int) -> int:
    """Rows of tensors that fit below what was drawn, so that the first line is still to be seen."""
    if screen.height is None:
        return LIMIT
    return max(_LEAST_ROWS, min(LIMIT, screen.height - (screen.lines - first_line) - 4))


def _claim(claim: Claim) -> list[Part]:
    return [_value(claim), *_certainty(claim)]


def _value(claim: Claim) -> str:
    return words.one_line(claim.value)


def _certainty(claim: Claim) -> list[Part]:
    if claim.certainty == "CONFIRMED":
        return []
    return [(f" ({claim.certainty.lower()}: {words.one_line(claim.because)})", "dim")]
