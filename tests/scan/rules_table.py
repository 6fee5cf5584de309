"""The table of rules in docs/scan.md: `python -m tests.scan.rules_table` writes it anew."""

from __future__ import annotations

from pathlib import Path

from dotpt.scan.every_rule import every_rule

PAGE = Path(__file__).parents[2] / "docs/scan.md"
_BEGIN, _END = "<!-- rules: python -m tests.scan.rules_table -->\n", "<!-- end of rules -->"


def table() -> str:
    """The table as Markdown."""
    rows = [f"| `{name}` | {rule.severity} | {rule.why} |\n" for name, rule in every_rule().items()]
    return "| rule | severity | why |\n|---|---|---|\n" + "".join(rows)


def parts(text: str) -> tuple[str, str, str]:
    """The page before its table, the table, and the page behind it."""
    before, _, rest = text.partition(_BEGIN)
    old, _, after = rest.partition(_END)
    return before + _BEGIN, old, _END + after


if __name__ == "__main__":
    head, _, tail = parts(PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(head + table() + tail, encoding="utf-8")
