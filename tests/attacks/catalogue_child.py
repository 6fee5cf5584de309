"""A process that does with each file all that a user who trusts nothing would do, under an audit hook.

``python -m tests.attacks.catalogue_child FOLDER`` reads paths from its input and prints a line of JSON for each: what
every verb answered, the events that Python raised meanwhile, what was imported, and whether anything live came out.
"""

from __future__ import annotations

import codecs
import contextlib
import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import dotpt
from tests.attacks.honest import WARM_UP
from tests.proofs.audited import FIXTURES, WARM, listen

SCANS = importlib.util.find_spec("dotpt.scan.scan") is not None
LIVE = (FunctionType, BuiltinFunctionType, MethodType, ModuleType)
#: What is in each folder, looked up before anybody watches.
FILES: dict[Path, list[Path]] = {}
#: From the worst to the best.
VERDICTS = ("dangerous", "unreadable", "suspicious", "clean")


def load(path: Path) -> str:
    """As a program does."""
    dotpt.load(path, backend="numpy")
    return "value"


def inert(path: Path) -> str:
    """With records for what is unknown."""
    found = dotpt.load(path, backend="numpy", unknown="inert", limits=dotpt.Limits(deflated=True))
    return "live" if _is_live(found) else "value"


def tree(path: Path) -> str:
    """Without reading any tensor."""
    with dotpt.open(path) as archive:
        repr(archive), archive.globals
        return "live" if _is_live(archive.tree) else "value"


def inspect(path: Path) -> str:
    """And its whole report."""
    report = dotpt.inspect(path)
    return _told(str(report) + json.dumps(report.to_dict(), default=str))


def verify(path: Path) -> str:
    """And what it says."""
    return _told(str(dotpt.verify(path)))


def scan(path: Path) -> str:
    """The worst verdict on a file, or on those of a folder."""
    verdicts = []
    for file in FILES.get(path, [path]):
        findings = dotpt.scan(file)
        _told(str(findings) + json.dumps(findings.to_dict()))
        verdicts.append(findings.verdict)
    return min(verdicts, key=VERDICTS.index)


VERBS: dict[str, Callable[[Path], str]] = {
    verb.__name__: verb for verb in (load, inert, tree, inspect, verify, *([scan] if SCANS else []))
}


def _told(text: str) -> str:
    """What a person is shown must not steer a terminal."""
    return "value" if all(char == "\n" or char.isprintable() for char in text) else "escapes"


def _is_live(value: Any) -> bool:
    """Whether something that can be called by itself is in a tree. The tree may be deep, shared and cyclic."""
    rest, met = [value], set()
    while rest:
        each = rest.pop()
        if isinstance(each, LIVE):
            return True
        if id(each) in met or type(each) not in (list, tuple, dict, set, frozenset):
            continue
        met.add(id(each))
        rest += [*each, *each.values()] if type(each) is dict else each
    return False


def answers(path: Path) -> dict[str, str]:
    """What each verb says; anything but an answer or an error of ours ends this process."""
    said = {}
    for name, verb in VERBS.items():
        try:
            said[name] = verb(path)
        except dotpt.DotptError as error:
            said[name] = type(error).__name__ if _told(f"{error}{error.to_dict()}") == "value" else "escapes"
        except Exception as error:
            said[name] = f"raised {error!r:.200}"
    return said


def warm_up(folder: Path) -> None:
    """Import what honest files make dotpt import."""
    for codec in ("raw_unicode_escape", "latin1", "ascii", "utf-8", "utf-8-sig", "utf-16-le", "unicode_escape"):
        codecs.lookup(codec)
    paths = [FIXTURES / name for name in WARM]
    for name, data in WARM_UP.items():
        paths.append(folder / name)
        paths[-1].write_bytes(data)
    for path in paths:
        with contextlib.suppress(dotpt.DotptError):
            answers(path)


def main(folder: Path, paths: list[Path]) -> None:
    """Watch each file."""
    warnings.simplefilter("ignore")
    warm_up(folder)
    events, watching = listen()
    before = set(sys.modules)
    for path in paths:
        if path.is_dir():
            FILES[path] = [file for file in path.rglob("*") if file.is_file()]
        events.clear()
        begin, watching[0] = time.process_time(), True
        said = answers(path)
        watching[0], seconds = False, time.process_time() - begin
        line = {"file": str(path), "said": said, "events": sorted(set(events)), "seconds": seconds}
        print(json.dumps({**line, "modules": sorted(set(sys.modules) - before)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(line) for line in sys.stdin.read().splitlines()])
