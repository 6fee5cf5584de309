"""A report as plain text, for ``print(report)``. The command line has its own, richer one."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from dotpt.errors import readable
from dotpt.inspect.plain import as_line
from dotpt.inspect.sizes import count_text, size_text

if TYPE_CHECKING:
    from dotpt.inspect.report import Report
    from dotpt.inspect.roles import RolePart

_MOST_PARTS = 20
_MOST_MODULES = 100  # lines
_MOST_METADATA, _METADATA_WIDTH = 5, 200


def as_text(report: Report) -> str:
    """The report, one fact a line."""
    lines = [readable(report.path), *(f"  {name:<10} {text}" for name, text in facts_of(report))]
    parts = [part for part in report.roles if part.role != "other" or part.tensors]
    lines += [f"    {line_of(part)}" for part in parts[:_MOST_PARTS]]
    if len(parts) > _MOST_PARTS:
        lines.append(f"    and {len(parts) - _MOST_PARTS:,} more parts")
    lines += _module_lines(report)
    if report.usage:
        lines += ["  load it with", *(f"    {readable(line)}" for line in report.usage)]
    lines += [f"  note: {readable(note)}" for note in report.notes]
    return "\n".join(line.rstrip() for line in lines)


def _module_lines(report: Report) -> list[str]:
    if report.modules is None:
        return []
    shown = list(islice(report.modules.lines(), _MOST_MODULES + 1))
    more = ["    ... (print(report.modules) shows all)"] if len(shown) > _MOST_MODULES else []
    return ["  modules", *(f"    {line}" for line in shown[:_MOST_MODULES]), *more]


def facts_of(report: Report) -> list[tuple[str, str]]:
    """The first lines of a report: a name and a text each."""
    facts = [("kind", f"{report.kind}"), ("format", _format(report))]
    if report.framework.known:
        facts.append(("library", str(report.framework)))
    if report.network.tells:
        facts.append(("network", str(report.network.claim)))
    facts += [("writer", str(report.writer)), ("whole?", _whole(report)), ("safety", report.safety.words)]
    if report.tensors.count:
        facts.append(("tensors", _tensors(report)))
    if report.optimizer is not None:
        facts.append(("optimizer", str(report.optimizer)))
    if report.architecture is not None:
        facts.append(("model", readable(report.architecture.words)))
    facts += [("metadata", line) for line in metadata_lines(report)]
    facts += [("prefix", f"{prefix.prefix} before every name: {prefix.words}") for prefix in report.prefixes]
    facts += [("waste", readable(item.words)) for item in report.waste.items[:3]]
    if report.waste.tied:
        count = len(report.waste.tied)
        group = " = ".join(readable(name) for name in report.waste.tied[0][:3])
        facts.append(("shared", f"{group}{f', and {count - 1:,} more groups' if count > 1 else ''}"))
    return facts


def metadata_lines(report: Report) -> list[str]:
    """What the author wrote beside the tensors, a line each for the first few."""
    items = [(name, value) for name, value in report.metadata.items() if value != ""]
    lines = [f"{name}: {as_line(value)}"[:_METADATA_WIDTH] for name, value in items[:_MOST_METADATA]]
    if len(items) > _MOST_METADATA:
        lines.append(f"and {len(items) - _MOST_METADATA:,} more (`dotpt inspect --json` shows all)")
    return [readable(line).replace("\n", "\\n") for line in lines]


def line_of(part: RolePart) -> str:
    """One part of a file on a line."""
    address = readable(part.address).replace("\n", "\\n")[:60] or "(the whole object)"
    what = ""
    if part.tensors:
        tensors = f"{part.tensors:,} tensor{'s' if part.tensors != 1 else ''}"
        what = f"{tensors}, {count_text(part.params)} elements, {size_text(part.bytes)}"
    elif part.value is not None:
        what = readable(str(part.value)).replace("\n", "\\n")[:100]
    return f"{part.role:<10} {address:<24} {what}"


def _whole(report: Report) -> str:
    integrity = report.integrity
    if integrity.whole and integrity.checksums:
        counts = f"{integrity.checksums:,} of {integrity.records:,}"
        return f"{integrity.words}; {counts} records have checksums, not compared here"
    return readable(integrity.words)


def _format(report: Report) -> str:
    wrapped = f", {report.wrapped}-compressed" if report.wrapped else ""
    return f"{report.format}{wrapped}, {size_text(report.size)}, {report.byteorder.value}-endian"


def _tensors(report: Report) -> str:
    summary = report.tensors
    types = ", ".join(f"{name} {size_text(share.bytes)}" for name, share in list(summary.dtypes.items())[:4])
    more = ", ..." if len(summary.dtypes) > 4 else ""
    return f"{summary.count:,} with {count_text(summary.params)} elements, {size_text(summary.bytes)} ({types}{more})"
