"""A process that loads hostile files with ``trust=`` of something else, while an audit hook watches.

One JSON line a file: the outcome, every event of importing, executing, starting or connecting, and new modules.
"""

from __future__ import annotations

import codecs
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import dotpt
from tests.proofs.audited import FIXTURES, WARM

TRUST: tuple[Any, ...] = (["other.Class"], ["other.*", "pkg.*"], ["tests.attacks.innocent.Net"], [dict, (list, "a.B")])
WATCHED = ("import", "exec", "compile", "os.", "subprocess.", "socket.", "ctypes.", "marshal.", "pickle.", "code.")


def outcome(path: Path | bytes, trust: Any, unknown: str) -> str:
    """What a user sees who trusts something, but not this."""
    try:
        return type(dotpt.load(path, trust=trust, backend="numpy", unknown=unknown)).__name__
    except dotpt.DotptError as error:
        str(error), error.to_dict()
        return type(error).__name__


def warm_up() -> None:
    """Import what reading and refusing import anyway, and the one module that is trusted."""
    importlib.import_module("tests.attacks.innocent")
    for codec in ("raw_unicode_escape", "latin1", "ascii", "utf-8", "utf-8-sig"):  # those that old opcodes need
        codecs.lookup(codec)
    nested = b"\x80\x02c__builtin__\ngetattr\ncno\nthing\nX\x01\0\0\0a\x86R."
    sources = [FIXTURES / name for name in WARM]
    for source in (
        *sources,
        b"\x80\x02cno\nthing\n)R.",
        nested,
        b"\x80\x02N.",
        b"no file at all",
        b"PK\3\4" + bytes(99),
    ):
        for unknown in ("error", "inert"):
            for trust in TRUST:
                outcome(source, trust, unknown)


def main(paths: list[Path]) -> None:
    """Watch each file under each trust."""
    warm_up()
    events: list[tuple[str, str]] = []
    watching = [False]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching[0] and event.startswith(WATCHED):
            watching[0] = False
            events.append((event, str(arguments[0] if arguments else "")[:200]))
            watching[0] = True

    sys.addaudithook(hook)
    before = set(sys.modules)
    for path in paths:
        for trust in TRUST:
            for unknown in ("error", "inert"):
                events.clear()
                watching[0] = True
                found = outcome(path, trust, unknown)
                watching[0] = False
                facts = {"file": path.name, "trust": str(trust), "unknown": unknown, "outcome": found}
                print(json.dumps({**facts, "events": events, "modules": sorted(set(sys.modules) - before)}))


if __name__ == "__main__":
    main([Path(line) for line in sys.stdin.read().splitlines()])
