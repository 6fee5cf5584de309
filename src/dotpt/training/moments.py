"""What policies are asked with: the moment a save is thought of, and the checkpoints that there are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, as a save policy sees it.

    Attributes:
        step, epoch: where training is.
        seconds: since the last save, or since the run began, by a clock that is never set.
        signals: the numbers of the signals that came since the last save.
        epoch_ended: whether this is the end of an epoch.
    """

    step: int
    epoch: int = 0
    seconds: float = 0.0
    signals: frozenset[int] = frozenset()
    epoch_ended: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A checkpoint, as a keep policy sees it.

    Attributes:
        step, epoch: where training was.
        sequence: its number in the order of saving, which no clock and no restart from an older step can confuse.
        elapsed: seconds that the run had been training, over all its restarts.
        metrics: what was measured then, by name.
    """

    step: int
    sequence: int
    epoch: int = 0
    elapsed: float = 0.0
    metrics: Mapping[str, float] = field(default_factory=dict)
