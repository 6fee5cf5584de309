"""What `dotpt scan` prints for people: one file with its findings, or a line for each that is not clean and a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.cli.scan import LIMIT
from dotpt.cli.screen import Part, Screen, cut, shorten, width_of
from dotpt.cli.words import one_line
from dotpt.scan.outcome import ALONE, WORDS

if TYPE_CHECKING:
    from dotpt.cli.scan import Scan
    from dotpt.scan.findings import Finding, Findings

_NAMES = 4  # of a group of findings, how many names are shown
STYLES = {
    "clean": "bold green", "info": "cyan", "suspicious": "bold yellow", "unreadable": "bold magenta",
    "dangerous": "bold red", ALONE: "dim",
}  # fmt: skip
_COLUMNS = (
    Column("Verdict"), Column("Files", right=True), Column("Size", right=True), Column("Seconds", right=True),
    Column("", "dim", least=10, optional=True, tail=True),
)  # fmt: skip


class Report:
    """Draws what a scan found.

    Args:
        scan: the run of the command.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan
        self._args = scan.args
        self._screen = Screen(color=not scan.args.no_color)
        limit = LIMIT if scan.args.limit is None else scan.args.limit
        self._limit: int | None = limit or None

    def draw(self, results: Iterator[tuple[str, Findings]]) -> None:
        """Draw each file as it comes, and the sum."""
        alone: list[str] = []
        for word, findings in self._held(results):
            if self._scan.single and not self._args.quiet:
                self._file(word, findings)
            elif word == ALONE:
                alone.append(findings.path)
            elif word != "clean":
                self._line(word, findings)
            if self._args.explain and word != ALONE and (self._scan.single or word != "clean"):
                self._code(findings)
        if not self._scan.outcome.scanned:
            self._nothing(alone)
        if not self._scan.single and not self._args.quiet:
            self._sum(alone)

    def _held(self, results: Iterator[tuple[str, Findings]]) -> Iterator[tuple[str, Findings]]:
        """Where a bar may be on the screen, lines wait until it is gone; else each is written at once."""
        bar = sys.stderr is not None and sys.stderr.isatty() and self._screen.width is not None
        if self._scan.single or self._args.quiet or not bar:
            return results
        return iter([(word, findings) for word, findings in results if word != "clean"])

    # -- one file -----------------------------------------------------------------------------------------------------

    def _file(self, word: str, findings: Findings) -> None:
        screen = self._screen
        verdict = findings.verdict
        but = " but for the findings below" if word == "info" else ""
        screen.line((one_line(findings.path), "bold"), ": ", (verdict.upper(), STYLES[verdict]), but)
        if findings.kind:
            screen.fact("", _facts(findings), column=2)
        shown = [finding for finding in findings.findings if self._scan.passes(finding)]
        groups = _grouped(shown) if self._limit else [[finding] for finding in shown]
        for group in groups[: self._limit]:
            screen.line()
            _draw_group(screen, group)
        rest = sum(len(group) for group in groups[self._limit :]) if self._limit else 0
        if rest:
            screen.line()
            more = f"{screen.ellipsis} and {words.plural(rest, 'finding')} more (--limit 0 shows all)"
            screen.line("  ", (more, "dim"))
        if findings.omitted:
            screen.line("  ", (f"{words.plural(findings.omitted, 'finding')} more were counted and not kept", "dim"))
        if findings.code and not self._args.explain:
            calls = sum(not line.startswith("#") for line in findings.code)
            screen.line()
            screen.fact("", (f"--explain shows what its pickles call, as code ({words.plural(calls, 'line')}).", "dim"),
                        column=2)  # fmt: skip

    def _code(self, findings: Findings) -> None:
        screen = self._screen
        if not findings.code:
            read = "Its pickles call" if findings.complete else "What could be read of it calls"
            screen.fact("", f"{read} nothing but what is known to be harmless.", column=2)
            return
        if self._scan.single:
            screen.line()
        screen.fact("", ("What its pickles call, written as code; nothing of it was run:", "bold"), column=2)
        for line in findings.code:
            screen.line("    ", (one_line(line), "cyan"))

    # -- many ---------------------------------------------------------------------------------------------------------

    def _line(self, word: str, findings: Findings) -> None:
        shown = [finding for finding in findings.findings if self._scan.passes(finding)]
        if not shown:
            text = "no finding passes the filter" if findings.findings else ""
        else:
            more = f" (and {len(shown) - 1:,} more)" if len(shown) > 1 else ""
            text = f"{one_line(shown[0].text)}{more}"
        screen = self._screen
        path = one_line(findings.path)
        head = f"{word.upper():10}  "
        if screen.width is not None:
            room = screen.width - len(head)
            path = shorten(path, max(room * 3 // 5, room - width_of(text) - 2), screen.ellipsis)
            text = cut(text, max(10, room - width_of(path) - 2), screen.ellipsis)
        screen.line((head, STYLES[word]), (path, "bold"), ": ", text)

    def _sum(self, alone: Sequence[str]) -> None:
        screen, outcome, listing = self._screen, self._scan.outcome, self._scan.listing
        rows = []
        for word in WORDS:
            tally = outcome.tallies.get(word)
            if tally is not None:
                names = words.listed([one_line(path) for path in alone]) if word == ALONE else ""
                rows.append((word, f"{tally.files:,}", words.size(tally.bytes), f"{tally.seconds:.2f}", names))
        if not rows:
            return
        if screen.lines:
            screen.line()
        draw(screen, _COLUMNS, rows)
        notes: list[Part] = []
        if ALONE in outcome.tallies:
            notes.append("Left alone: texts and pictures, which torch and pickle do not load.")
        if listing.left_out:
            notes.append(f"Left out: {words.listed([one_line(path) for path in listing.left_out])}.")
        if any(word in outcome.tallies for word in ("dangerous", "suspicious", "unreadable", "info")):
            notes.append("`dotpt scan` with one FILE shows all that was found in it, and what to do.")
        for note in notes:
            screen.fact("", note, column=0)

    def _nothing(self, alone: Sequence[str]) -> None:
        what = f"{words.plural(len(alone), 'file')} of other kinds" if alone else "no files"
        self._screen.line(("NOTHING SCANNED", "bold magenta"), f": there are {what} here, and none that torch loads.")


# -- findings ---------------------------------------------------------------------------------------------------------


def _facts(findings: Findings) -> str:
    facts = [findings.kind, f"{words.plural(findings.members, 'part')} examined"]
    if findings.compared is not None:
        compared = "the bytes of its tensors compared with their checksums"
        facts.append(compared if findings.compared else "the bytes of its tensors not compared (--verify does)")
    if findings.clean:
        count = len(findings.names)
        names = "it names nothing" if not count else f"all {words.plural(count, 'name')} in it known to be harmless"
        facts += ["every byte accounted for", "the one name in it known to be harmless" if count == 1 else names]
    text = "; ".join(one_line(fact) for fact in facts)
    return f"{text[:1].upper()}{text[1:]}."


def _grouped(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Findings that say the same of one package, or of one function, together; in the order of the first of each."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings:
        name = finding.name or ""
        about = name if finding.severity == "dangerous" else name.partition(".")[0]
        groups.setdefault((finding.severity, finding.rule, about), []).append(finding)
    return list(groups.values())


def _draw_group(screen: Screen, group: Sequence[Finding]) -> None:
    first = group[0]
    screen.fact(
        "", (first.severity, STYLES[first.severity]), ": ", one_line(_text(group)), " ", (f"[{first.rule}]", "dim"),
        column=2,
    )  # fmt: skip
    more = f" and {words.plural(len(group) - 1, 'more place')}" if len(group) > 1 else ""
    place = first.place or ("" if not more else "the file itself")
    for label, text in (("Where", f"{place}{more}" if place else ""), ("Call", first.call or ""),
                        ("Why", first.why), ("Try", first.hint)):  # fmt: skip
        if text:
            screen.fact(f"    {label}", one_line(text), column=11)


def _text(group: Sequence[Finding]) -> str:
    first = group[0]
    names = list(dict.fromkeys(finding.name for finding in group if finding.name))
    if len(names) > 1:
        package = names[0].partition(".")[0]
        return f"It names {len(names):,} classes and functions of {package}: {words.listed(names, _NAMES)}."
    return first.text if len(group) == 1 or names else f"{first.text} And {len(group) - 1:,} more of this kind."
