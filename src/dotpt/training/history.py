"""What each save and load took, as records in memory and as JSON lines beside the checkpoints."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

JOURNAL = "checkpoints.jsonl"


class History(list[dict[str, Any]]):
    """The events of this process, oldest first; each is also a line of the journal in the folder.

    Args:
        folder: where the journal lies; None keeps it in memory only (the other processes of a distributed run).
    """

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self._path = folder and folder / JOURNAL
        self.run = run_of(self._path) if self._path else ""
        if self._path and _is_torn(self._path):
            self._append("\n")
        if not self.run:
            self.run = uuid.uuid4().hex
            self._write({"event": "run", "run": self.run})

    def note(self, event: str, **facts: Any) -> None:
        """Add an event."""
        record = {"event": event, **facts}
        self.append(record)
        self._write(record)

    def _write(self, record: Mapping[str, Any]) -> None:
        self._append(json.dumps(record, default=str) + "\n")

    def _append(self, text: str) -> None:
        """In one write at the end of the file: a killed writer leaves at most its last line torn."""
        if self._path is None:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _is_torn(path: Path) -> bool:
    """Whether the last line has no end."""
    try:
        with path.open("rb") as journal:
            size = journal.seek(0, os.SEEK_END)
            journal.seek(max(0, size - 1))
            return journal.read() not in (b"", b"\n")
    except FileNotFoundError:
        return False


def run_of(path: Path) -> str:
    """The name that the run of a journal gave itself; "" if there is none to be read."""
    for record in records_of(path):
        if record.get("event") == "run" and isinstance(record.get("run"), str):
            return str(record["run"])
    return ""


def records_of(path: Path) -> Iterator[dict[str, Any]]:
    """What a journal tells, oldest first; nothing if there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                yield _record(line)
    except FileNotFoundError:
        return


def _record(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):  # the torn line of a killed writer, or somebody else's
        return {}
    return record if isinstance(record, dict) else {}


def speed(nbytes: int, seconds: float) -> float:
    """GB/s, to two digits that mean something."""
    return float(f"{nbytes / seconds / 1e9:.3g}") if seconds > 0 else math.inf


def save_line(facts: Mapping[str, Any]) -> str:
    """A save in one line, for who watches."""
    measured = "".join(f", {name} {value:.4g}" for name, value in facts["metrics"].items())
    line = f"Step {facts['step']} saved in {facts['seconds']:.2f} s ({facts['GB/s']:.2g} GB/s){measured}"
    if facts["waited"] > 0.1 * facts["seconds"]:
        line += f"; training waited {facts['waited']:.2f} s, for the disk was still busy with the one before"
    return line
