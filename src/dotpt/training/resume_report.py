"""What `check_resume` found, as a record and as words."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a resumed run first differed from the one that was never stopped.

    Attributes:
        stopped: the step after which it was stopped.
        step: the first step that differed; None if only the result of the whole training did.
        parts: what differed there: ``model``, ``optimizer``, ``random.numpy``, ``metrics.loss``, ...
    """

    stopped: int
    step: int | None
    parts: tuple[str, ...]


@dataclass(slots=True)
class ResumeReport:
    """Whether a training function resumes to the bit.

    Attributes:
        steps: how many steps the undisturbed run had.
        stops: after which steps the other runs were stopped and resumed.
        differences: one for each stop that did not end as the undisturbed run.
        unsaved: what the function uses and no `Checkpointer` was given, a sentence each.
        varies: what differed already between two undisturbed runs, so that nothing can be said of resuming.
    """

    steps: int
    stops: tuple[int, ...] = ()
    differences: list[Difference] = field(default_factory=list)
    unsaved: list[str] = field(default_factory=list)
    varies: Difference | None = None

    @property
    def ok(self) -> bool:
        """Whether every resumed run was the undisturbed one, bit for bit."""
        return self.varies is None and not self.differences

    def __str__(self) -> str:
        if self.varies is not None:
            return self._about_varying(self.varies)
        stops = ", ".join(map(str, self.stops))
        if self.ok:
            return f"Exact: stopped after step {stops} and resumed, each of {self.steps} steps was the same to the bit."
        lines = [_sentence(difference) for difference in self.differences]
        if self.unsaved:
            lines += [f"  {sentence}" for sentence in self.unsaved]
        else:
            lines.append("  Every object of torch's that it uses is saved: look for a state of its own in the loop, in")
            lines.append("  the dataset or in a callback, and pass it: Checkpointer(..., name=object_with_state_dict).")
        return "\n".join(lines)

    def _about_varying(self, varies: Difference) -> str:
        parts = ", ".join(varies.parts)
        where = "its result" if varies.step is None else f"step {varies.step} ({parts})"
        return (
            f"Two undisturbed runs already differ, in {where}, so nothing can be said of resuming.\n"
            "  Seed everything inside of the function: torch.manual_seed, numpy.random.seed, random.seed;\n"
            "  on a GPU also torch.use_deterministic_algorithms(True)."
        )


def _sentence(difference: Difference) -> str:
    parts = ", ".join(difference.parts)
    if difference.step is None:
        return f"Stopped after step {difference.stopped}: every step is the same, and the result is not."
    return (
        f"Stopped after step {difference.stopped}: the resumed run differs from step {difference.step} on, in {parts}."
    )
