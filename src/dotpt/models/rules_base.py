"""What every rule has: it takes tensors as the rules before it have left them, and says which became which.

What crosses this boundary: the tensors by name in, `Step`s out. Invariant: a rule is plain values, frozen; whatever is
wrong with it is an error that ends in the rule itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dotpt.errors import RulesError
from dotpt.models.globs import Glob
from dotpt.models.operations import How

State = dict[str, How]


@dataclass(frozen=True, slots=True)
class Step:
    """What a rule does to one tensor, or to one group of them.

    Attributes:
        old: the names that it takes away.
        new: what it puts in their place.
    """

    old: tuple[str, ...]
    new: State


@dataclass(frozen=True)
class Rule:
    """One rule. `steps` says what it does; `table` is the rule as plain values."""

    verb: ClassVar[str]
    keys: ClassVar[frozenset[str]]  # what a table may have beside the verb

    def steps(self, state: State) -> list[Step]:
        """What is to be done to these tensors."""
        raise NotImplementedError

    def table(self) -> dict[str, Any]:
        """The rule as plain values, which `rule_of` takes."""
        raise NotImplementedError

    def reversed(self) -> Rule:
        """The rule that undoes it.

        Raises:
            RulesError: something is lost, or the rule does not say what was there before.
        """
        raise NotImplementedError

    def undo(self, step: Step, state: State) -> list[Rule]:
        """Rules that undo one step, whatever else is in the file; ``state`` is what was there before it."""
        raise NotImplementedError

    def globs(self) -> tuple[str, ...]:
        """The texts by which it finds its tensors."""
        text = getattr(self, self.verb)
        return (text,) if type(text) is str else tuple(text)

    def __str__(self) -> str:
        table = self.table()
        first = f"{self.verb} {_shown(table.pop(self.verb))}"
        to = table.pop("to", table.pop("into", None))
        arrow = "" if to is None else f" -> {_shown(to)}"
        rest = ", ".join(f"{key}={value}" for key, value in table.items())
        return f"{first}{arrow}{f' ({rest})' if rest else ''}"

    def refuse(self, problem: str, key: str | None = None, **facts: Any) -> RulesError:
        """The error of this rule; its words end in the rule itself."""
        return RulesError(f"{problem} The rule: {self}", key=key, **facts)


def _shown(value: Any) -> str:
    return ", ".join(map(_shown, value)) if isinstance(value, (list, tuple)) else f'"{value}"'


def dimension(rule: Rule, name: str, how: How, dim: int) -> int:
    """The dimension, counted from the front.

    Raises:
        RulesError: the tensor does not have it.
    """
    count = len(how.facts.shape)
    if not -count <= dim < count:
        raise rule.refuse("A tensor does not have that dimension.", name, found=list(how.facts.shape), expected=dim)
    return dim % count


def literal(name: str, rule: Rule) -> str:
    """A name as a glob that matches nothing else."""
    if "*" in name:
        raise rule.refuse("A name with a star in it cannot be written as a rule.", name)
    return name


def same_stars(one: str, others: Sequence[str]) -> None:
    """Raise `RulesError` if one glob has another number of stars than the others."""
    for other in others:
        if Glob(one).stars != Glob(other).stars:
            raise RulesError(
                f"Both sides of a rule need the same number of stars: `{one}` and `{other}`.",
                hint="each star is carried over, in order",
            )


def check_sizes(rule: Rule, sizes: tuple[int, ...] | None, count: int) -> None:
    """Raise `RulesError` if there is not one size for each part."""
    if sizes is not None and (len(sizes) != count or any(size < 0 for size in sizes)):
        raise rule.refuse("`sizes` needs one size for each part.", found=list(sizes), expected=count)
