"""When to save and what to keep, as values that compose: ``EverySteps(500) | EveryMinutes(10)``.

A policy holds no state: it is asked with the facts of the moment, or with the checkpoints that there are. So the same
policy gives the same answer in a run that was never stopped and in one that was resumed.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dotpt.errors import UsageError
from dotpt.training.moments import Moment, Stored

MODES = ("min", "max")


class Policy:
    """Base of all policies. One that only says when to save, or only what to keep, refuses the other question."""

    @property
    def signals(self) -> frozenset[int]:
        """The numbers of the signals that it waits for."""
        waiting = (part.numbers for part in parts_of(self) if isinstance(part, OnSignal))
        return frozenset().union(*waiting)

    def due(self, moment: Moment) -> bool:
        """Whether to save now."""
        return self._due(moment)

    def kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        """The sequence numbers of those to keep, of checkpoints in the order of saving."""
        return self._kept(checkpoints)

    def _due(self, moment: Moment) -> bool:
        raise UsageError(f"{self} says what to keep, not when to save.", hint="save=dotpt.training.EverySteps(500)")

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        raise UsageError(f"{self} says when to save, not what to keep.", hint="keep=dotpt.training.Latest(3)")

    def __or__(self, other: Policy) -> Policy:
        return Either(self, other) if isinstance(other, Policy) else NotImplemented

    def __and__(self, other: Policy) -> Policy:
        return Both(self, other) if isinstance(other, Policy) else NotImplemented


class _Joined(Policy):
    """Several policies as one."""

    sign = ""

    def __init__(self, *policies: Policy) -> None:
        self.policies: tuple[Policy, ...]
        # a | b | c is one policy of three, which reads as it was written
        self.policies = tuple(part for one in policies for part in (one.policies if type(one) is type(self) else [one]))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.policies == other.policies

    def __hash__(self) -> int:
        return hash((type(self), self.policies))

    def __repr__(self) -> str:
        return f" {self.sign} ".join(f"({p})" if isinstance(p, _Joined) else repr(p) for p in self.policies)


class Either(_Joined):
    """Save when one of them says so; keep what one of them keeps."""

    sign = "|"

    def _due(self, moment: Moment) -> bool:
        return any([policy.due(moment) for policy in self.policies])  # noqa: C419 - each is asked, so each can refuse

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return set().union(*(policy.kept(checkpoints) for policy in self.policies))


class Both(_Joined):
    """Save when all of them say so; keep what all of them keep."""

    sign = "&"

    def _due(self, moment: Moment) -> bool:
        return all([policy.due(moment) for policy in self.policies])  # noqa: C419

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return set.intersection(*(policy.kept(checkpoints) for policy in self.policies))


@dataclass(frozen=True)
class EverySteps(Policy):
    """Save every ``steps`` steps; keep the checkpoints of those steps.

    Example:
        >>> from dotpt.training import EverySteps, Moment
        >>> [step for step in range(1, 10) if EverySteps(4).due(Moment(step))]
        [4, 8]
    """

    steps: int

    def __post_init__(self) -> None:
        _at_least(self, self.steps, 1)

    def _due(self, moment: Moment) -> bool:
        return moment.step % self.steps == 0 and not moment.epoch_ended  # its last step was asked about already

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return {one.sequence for one in checkpoints if one.step % self.steps == 0}


@dataclass(frozen=True)
class EveryEpochs(Policy):
    """Save at the end of every ``epochs``-th epoch, counted from 0: of two, at the end of epoch 1, 3, 5, ..."""

    epochs: int = 1

    def __post_init__(self) -> None:
        _at_least(self, self.epochs, 1)

    def _due(self, moment: Moment) -> bool:
        return moment.epoch_ended and (moment.epoch + 1) % self.epochs == 0


@dataclass(frozen=True)
class EveryMinutes(Policy):
    """Save when ``minutes`` have passed since the last save; keep checkpoints that lie so far apart."""

    minutes: float

    def __post_init__(self) -> None:
        if not self.minutes > 0:
            raise UsageError(f"{self} is never or always.", hint="give a number of minutes above 0")

    def _due(self, moment: Moment) -> bool:
        return moment.seconds >= self.minutes * 60

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        keep, last = set(), None
        for one in checkpoints:
            if last is None or one.elapsed < last or one.elapsed - last >= self.minutes * 60:
                keep.add(one.sequence)
                last = one.elapsed
        return keep


class Steps(Policy):
    """Save at these steps; keep the checkpoints of these steps."""

    def __init__(self, steps: Iterable[int]) -> None:
        self.steps = frozenset(steps)

    def _due(self, moment: Moment) -> bool:
        return moment.step in self.steps and not moment.epoch_ended

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return {one.sequence for one in checkpoints if one.step in self.steps}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(self.steps)

    def __repr__(self) -> str:
        return f"Steps({sorted(self.steps)})"


class OnSignal(Policy):
    """Save, and go on, when one of these signals has come: ``OnSignal("SIGUSR2")``."""

    def __init__(self, *signals: int | str) -> None:
        if not signals:
            raise UsageError("OnSignal needs the signals that it is to wait for.", hint='OnSignal("SIGUSR2")')
        self.numbers = frozenset(_signal(one) for one in signals)

    def _due(self, moment: Moment) -> bool:
        return bool(self.numbers & moment.signals)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OnSignal) and self.numbers == other.numbers

    def __hash__(self) -> int:
        return hash(self.numbers)

    def __repr__(self) -> str:
        return f"OnSignal({', '.join(repr(signal.Signals(number).name) for number in sorted(self.numbers))})"


@dataclass(frozen=True)
class Never(Policy):
    """Save only when told to; keep nothing but what must be kept: the newest whole checkpoint."""

    def _due(self, moment: Moment) -> bool:
        return False

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return set()


@dataclass(frozen=True)
class All(Policy):
    """Save after every step; keep everything."""

    def _due(self, moment: Moment) -> bool:
        return True

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return {one.sequence for one in checkpoints}


@dataclass(frozen=True)
class Latest(Policy):
    """Keep the ``count`` newest, in the order of saving."""

    count: int = 1

    def __post_init__(self) -> None:
        _at_least(self, self.count, 1)

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return {one.sequence for one in checkpoints[-self.count :]}


@dataclass(frozen=True)
class Best(Policy):
    """Keep the ``count`` best by a metric; of equal ones the newer; none without the metric, or with NaN.

    Example:
        >>> from dotpt.training import Best, Stored
        >>> runs = [Stored(step, sequence=step, metrics={"loss": loss}) for step, loss in enumerate([3.0, 1.0, 2.0])]
        >>> sorted(Best(2, "loss").kept(runs))
        [1, 2]
    """

    count: int = 1
    metric: str = "loss"
    mode: str = "min"

    def __post_init__(self) -> None:
        _at_least(self, self.count, 1)
        if self.mode not in MODES:
            raise UsageError(f"The mode of {self} is neither min nor max.", found=self.mode)

    def _kept(self, checkpoints: Sequence[Stored]) -> set[int]:
        return {one.sequence for one in self.ranked(checkpoints)[: self.count]}

    def ranked(self, checkpoints: Sequence[Stored]) -> list[Stored]:
        """Those that have the metric, best first."""
        measured = [one for one in checkpoints if not math.isnan(one.metrics.get(self.metric, math.nan))]
        return sorted(measured, key=self._rank)

    def _rank(self, one: Stored) -> tuple[float, int]:
        value = one.metrics[self.metric]
        return (value if self.mode == "min" else -value), -one.sequence


def parts_of(policy: Policy) -> Iterator[Policy]:
    """The policies that a policy is made of."""
    if isinstance(policy, _Joined):
        for part in policy.policies:
            yield from parts_of(part)
    else:
        yield policy


def _at_least(policy: Policy, value: int, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise UsageError(f"{policy} makes no sense: it needs a whole number from {least} on.", found=value)


def _signal(which: int | str) -> int:
    try:
        return int(signal.Signals[which] if isinstance(which, str) else signal.Signals(which))
    except (KeyError, ValueError):
        raise UsageError(f"There is no signal {which!r} on this system.", hint='"SIGUSR2", for example') from None
