"""What crosses this boundary: findings in, a SARIF 2.1.0 log out, as plain values that JSON can hold.

SARIF (Static Analysis Results Interchange Format, an OASIS standard) is what code hosts and editors show. A file that
was scanned is an artifact, a member of it an artifact nested in that one; the place of a finding is the file, and the
byte of a member a related location, as hosts show only files that they know. Invariant: a name from a file cannot
become a link.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from dotpt.scan.every_rule import every_rule
from dotpt.scan.findings import UNREADABLE, Finding, Findings
from dotpt.scan.outcome import Outcome
from dotpt.scan.rules import Rule

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"dangerous": "error", UNREADABLE: "warning", "suspicious": "warning", "info": "note"}
_SCORES = {"dangerous": "9.3", UNREADABLE: "5.0", "suspicious": "5.5", "info": "1.0"}  # of ten, as code hosts rank
_CODES = {0: "clean", 1: "findings", 3: "not all could be read"}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_URL = ":/?#[]@!$&'()*+,;=%-._~"


def sarif(results: Sequence[Findings], outcome: Outcome) -> dict[str, Any]:
    """One log of one run.

    Args:
        results: the findings of each file.
        outcome: their sum.

    Example:
        >>> import dotpt
        >>> log = sarif([dotpt.scan("tests/corpus/fixtures/zip/state_dict.pt")], Outcome())
        >>> log["version"], log["runs"][0]["results"]
        ('2.1.0', [])
    """
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_Run(results, outcome).log]}


class _Run:
    def __init__(self, results: Sequence[Findings], outcome: Outcome) -> None:
        from dotpt import __version__

        table = _table(results)
        self._places = {rule: place for place, rule in enumerate(table)}
        self._artifacts: list[dict[str, Any]] = []
        self._indices: dict[tuple[int | None, str], int] = {}
        reported = [result for findings in results for result in self._file(findings)]
        rules = [_rule(name, rule) for name, rule in table.items()]
        driver = {"name": "dotpt", "version": __version__, "semanticVersion": __version__, "rules": rules}
        self.log = {
            "tool": {"driver": driver},
            "invocations": [_invocation(results, outcome)],
            "artifacts": self._artifacts,
            "results": reported,
            "columnKind": "unicodeCodePoints",
            "properties": {"summary": outcome.to_dict(), "failOn": outcome.fail_on},
        }

    def _file(self, findings: Findings) -> list[dict[str, Any]]:
        index = self._artifact(None, uri_of(findings.path))
        about = {"verdict": findings.verdict, "kind": findings.kind}
        self._artifacts[index] |= {"roles": ["analysisTarget"], "properties": about}
        return [self._result(findings.path, index, finding) for finding in findings.findings]

    def _result(self, path: str, index: int, finding: Finding) -> dict[str, Any]:
        physical: dict[str, Any] = {"artifactLocation": {"uri": uri_of(path), "index": index}}
        location: dict[str, Any] = {"physicalLocation": physical}
        result: dict[str, Any] = {
            "ruleId": finding.rule,
            "ruleIndex": self._places[finding.rule],
            "level": _LEVELS[finding.severity],
            "message": {"text": _message(finding)},
            "locations": [location],
            "partialFingerprints": {"dotptFinding/v1": _fingerprint(finding)},
            "properties": {
                key: value
                for key, value in finding.to_dict().items()
                if key in ("severity", "opcode", "name", "call", "why", "hint")
            },
        }
        if not finding.member:
            if finding.offset is not None:
                physical["region"] = {"byteOffset": finding.offset}
            return result
        location["logicalLocations"] = [
            {"name": finding.member.rpartition("!")[2], "fullyQualifiedName": finding.member, "kind": "member"}
        ]
        nested = self._member(index, finding.member)
        inside: dict[str, Any] = {"artifactLocation": {"index": nested}}
        if finding.offset is not None:
            inside["region"] = {"byteOffset": finding.offset}
        result["relatedLocations"] = [{"physicalLocation": inside, "message": {"text": _no_link(finding.place)}}]
        return result

    def _member(self, index: int, member: str) -> int:
        """The place of a nested artifact; those that it is in are added before it."""
        for name in member.split("!"):
            index = self._artifact(index, "/" + _quoted(name).lstrip("/"))
        return index

    def _artifact(self, parent: int | None, uri: str) -> int:
        """The place of an artifact in the list, where each stands once."""
        place = self._indices.setdefault((parent, uri), len(self._artifacts))
        if place == len(self._artifacts):
            within = {} if parent is None else {"parentIndex": parent}
            self._artifacts.append({"location": {"uri": uri}, **within})
        return place


def uri_of(path: str) -> str:
    """A path or address as a URI: relative ones stay relative, whatever is not plain is percent-encoded.

    Example:
        >>> uri_of("a b/50%.pt"), uri_of("https://example.com/a b.pt")
        ('a%20b/50%25.pt', 'https://example.com/a%20b.pt')
    """
    if _ADDRESS.match(path):
        return quote(_encoded(path), safe=_URL)
    path = path.replace(os.sep, "/")
    uri = _quoted(path)
    if path.startswith("/"):
        return f"file://{uri}"
    if path[1:3] == ":/":  # a drive of Windows
        return f"file:///{path[:2]}{_quoted(path[2:])}"
    return uri.removeprefix("./") or "."


def _quoted(path: str) -> str:
    return quote(_encoded(path), safe="/-._~")


def _encoded(path: str) -> bytes:
    """The bytes that the file system knows a path by; of a name within a file, which may be anything, UTF-8's."""
    try:
        return os.fsencode(path)
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogatepass")


def _message(finding: Finding) -> str:
    place = f" ({finding.place})" if finding.place else ""
    hint = f" Try: {finding.hint}" if finding.hint else ""
    why = f" {finding.why}" if finding.why else ""
    return _no_link(f"{finding.text}{place}{why}{hint}")


def _no_link(text: str) -> str:
    """SARIF's plain texts may hold links, ``[text](address)``; a stranger's must not."""
    return text.replace("](", "] (")


def _fingerprint(finding: Finding) -> str:
    """The same finding in the same member has the same one in the next run, wherever it has moved to."""
    facts = (finding.rule, finding.member, finding.name or finding.text)
    return sha256("\0".join(facts).encode("utf-8", "backslashreplace")).hexdigest()


def _table(results: Sequence[Findings]) -> dict[str, Rule]:
    """Every rule, and those of the findings, should they have another one."""
    found = [finding for findings in results for finding in findings.findings]
    table = every_rule()
    return table | {f.rule: Rule(f.severity, f.why, f.hint) for f in found if f.rule not in table}


def _rule(name: str, rule: Rule) -> dict[str, Any]:
    words = name.replace("-", " ")
    title = words[:1].upper() + words[1:]
    text = f"{title}. {rule.why}" + (f" Try: {rule.hint}." if rule.hint else "")
    return {
        "id": name,
        "name": "".join(word.capitalize() for word in name.split("-")),
        "shortDescription": {"text": f"{title}."},
        "fullDescription": {"text": rule.why or f"{title}."},
        "help": {"text": text},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"security-severity": _SCORES[rule.severity], "tags": ["security"], "severity": rule.severity},
    }


def _invocation(results: Sequence[Findings], outcome: Outcome) -> dict[str, Any]:
    problems = [findings.path for findings in results if not findings.complete]
    texts = [f"Not all of it could be read: {_no_link(ascii(path)[1:-1])}" for path in problems]
    if not outcome.scanned:
        texts.append("Nothing was scanned.")
    return {
        "executionSuccessful": not texts,
        "exitCode": outcome.code,
        "exitCodeDescription": _CODES[outcome.code],
        "toolExecutionNotifications": [{"level": "error", "message": {"text": text}} for text in texts],
    }
