"""What was restored from a checkpoint and what was not, as a record and as words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class Restored:
    """What `Checkpointer.restore` did.

    Attributes:
        path: the checkpoint.
        step, epoch: where training goes on.
        metrics: what was measured then.
        parts: what was restored: ``model``, ``optimizer``, ..., ``random``, ``data``.
        missing: what this run has and the checkpoint has not.
        unused: what the checkpoint has and this run has not.
        notes: what else to know, a sentence each: damaged checkpoints that were passed over come first.
        reports: the full report of each part that has one, by name.
        config: the config that was saved.
        seconds: how long it took.
    """

    path: Path
    step: int
    epoch: int
    metrics: Mapping[str, float] = field(default_factory=dict)
    parts: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reports: dict[str, Any] = field(default_factory=dict)
    config: Any = None
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"Resumed from {self.path.name}: step {self.step}, epoch {self.epoch}"]
        lines[0] += "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        lines.append(f"  restored     {', '.join(self.parts)}")
        if self.missing:
            lines.append(f"  not in it    {', '.join(self.missing)}: as they were made")
        if self.unused:
            lines.append(f"  not used     {', '.join(self.unused)}: this run has nothing of that name")
        lines += [f"  note         {note}" for note in self.notes]
        return "\n".join(lines)
