"""When to save, what to keep, and how the two are said."""

from __future__ import annotations

import math
import signal

import pytest

from dotpt.errors import UsageError
from dotpt.training import (
    All,
    Best,
    EveryEpochs,
    EveryMinutes,
    EverySteps,
    Latest,
    Moment,
    Never,
    OnSignal,
    Policy,
    Steps,
    Stored,
)
from dotpt.training.policy_text import policy_of


def run(*losses: float, every: int = 10, minutes: float = 1.0) -> list[Stored]:
    """Checkpoints of a run, oldest first."""
    return [
        Stored(step * every, step, elapsed=step * minutes * 60, metrics={"loss": loss})
        for step, loss in enumerate(losses, start=1)
    ]


@pytest.mark.parametrize(
    ("policy", "moment", "due"),
    [
        (EverySteps(5), Moment(10), True),
        (EverySteps(5), Moment(11), False),
        (EverySteps(5), Moment(10, epoch_ended=True), False),
        (EveryEpochs(2), Moment(7, epoch=1, epoch_ended=True), True),
        (EveryEpochs(2), Moment(7, epoch=2, epoch_ended=True), False),
        (EveryEpochs(2), Moment(7, epoch=1), False),
        (EveryMinutes(10), Moment(7, seconds=600), True),
        (EveryMinutes(10), Moment(7, seconds=599), False),
        (Steps([3, 7]), Moment(7), True),
        (Steps([3, 7]), Moment(8), False),
        (OnSignal("SIGTERM"), Moment(7, signals=frozenset([signal.SIGTERM])), True),
        (OnSignal("SIGTERM"), Moment(7), False),
        (Never(), Moment(10), False),
        (All(), Moment(7), True),
        (EverySteps(5) | EveryMinutes(10), Moment(11, seconds=600), True),
        (EverySteps(5) & EveryMinutes(10), Moment(11, seconds=600), False),
        (EverySteps(5) & EveryMinutes(10), Moment(10, seconds=600), True),
        (Never() | EverySteps(5) & EveryMinutes(10), Moment(10, seconds=600), True),
    ],
)
def test_when_to_save(policy: Policy, moment: Moment, due: bool) -> None:
    assert policy.due(moment) is due


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        (Latest(2), {4, 5}),
        (Latest(9), {1, 2, 3, 4, 5}),
        (Best(2, "loss"), {2, 3}),
        (Best(1, "loss", "max"), {1}),
        (Best(3, "accuracy"), set()),
        (EverySteps(20), {2, 4}),
        (Steps([10, 30]), {1, 3}),
        (EveryMinutes(2), {1, 3, 5}),
        (Never(), set()),
        (All(), {1, 2, 3, 4, 5}),
        (Latest(1) | Best(1, "loss"), {3, 5}),
        (Latest(3) & Best(2, "loss"), {3}),
    ],
)
def test_what_to_keep(policy: Policy, kept: set[int]) -> None:
    assert policy.kept(run(9.0, 2.0, 1.0, 3.0, 4.0)) == kept


def test_the_best_of_equal_ones_is_the_newer_and_nan_is_never_best() -> None:
    assert Best(1, "loss").kept(run(math.nan, 1.0, 1.0, math.nan)) == {3}
    assert Best(9, "loss").kept(run(math.nan, 1.0)) == {2}
    assert Best(1, "loss", "max").kept(run(math.inf, 1.0)) == {1}


def test_a_step_that_was_reached_twice_is_two_checkpoints_in_the_order_of_saving() -> None:
    """A run that went on from an older step: the newer save is the latest, though its step is smaller."""
    timeline = [Stored(100, 1), Stored(200, 2), Stored(110, 3)]
    assert Latest(1).kept(timeline) == {3}


def test_minutes_are_those_of_training_so_that_no_clock_matters() -> None:
    set_back = [Stored(1, 1, elapsed=0), Stored(2, 2, elapsed=300), Stored(3, 3, elapsed=10), Stored(4, 4, elapsed=20)]
    assert EveryMinutes(5).kept(set_back) == {1, 2, 3}


@pytest.mark.parametrize("policy", [Latest(3), Best(1), Latest(1) | EverySteps(2), EverySteps(2) & Best()])
def test_a_policy_that_says_what_to_keep_does_not_say_when_to_save(policy: Policy) -> None:
    with pytest.raises(UsageError, match="what to keep, not when to save"):
        policy.due(Moment(1))


@pytest.mark.parametrize("policy", [EveryEpochs(), OnSignal("SIGTERM"), Latest(3) | EveryEpochs()])
def test_a_policy_that_says_when_to_save_does_not_say_what_to_keep(policy: Policy) -> None:
    with pytest.raises(UsageError, match="when to save, not what to keep"):
        policy.kept([])


@pytest.mark.parametrize(
    "make",
    [
        lambda: EverySteps(0),
        lambda: EverySteps(2.5),  # type: ignore[arg-type]
        lambda: EveryMinutes(0),
        lambda: EveryMinutes(math.nan),
        lambda: Latest(0),
        lambda: Best(0),
        lambda: Best(1, "loss", "lowest"),
        lambda: OnSignal(),
        lambda: OnSignal("SIGNONE"),
        lambda: OnSignal(4711),
    ],
)
def test_policies_that_make_no_sense_are_refused_when_they_are_made(make: object) -> None:
    with pytest.raises(UsageError):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    "policy",
    [
        Latest(3) | Best(2, "val_loss", "max") | EverySteps(5000),
        (EverySteps(5) | EveryMinutes(10)) & Steps([1, 2]),
        Never(),
        OnSignal("SIGTERM", "SIGINT"),
    ],
)
def test_a_policy_reads_back_as_it_is_printed(policy: Policy) -> None:
    assert policy_of(repr(policy)) == policy
    assert hash(policy_of(repr(policy))) == hash(policy)


@pytest.mark.parametrize(
    "text",
    ["", "Latest(",  "Latest(x)", "open('x')", "__import__('os').system('x')", "Latest(3).kept", "Policy()",
     "Latest(1, 2)", "Latest(3) + Never()", "[Latest(3)]", "Latest(count=0)", "(" * 5000,
     "Either(Latest(3))", "lambda: 1"],
)  # fmt: skip
def test_what_is_no_policy_is_told_and_not_run(text: str) -> None:
    with pytest.raises(UsageError):
        policy_of(text)
