"""Rules about names: another prefix, a rename with stars, a regular expression; and the rule that leaves tensors out.

What crosses this boundary: the tensors by name in, the same tensors under other names out. Invariant: no value changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from dotpt.errors import RulesError
from dotpt.models.globs import Glob
from dotpt.models.rules_base import Rule, State, Step, literal, same_stars

LONGEST_PATTERN = 1_000
LONGEST_NAME = 1_000  # that a regular expression is tried on: what strangers call tensors must not cost hours


@dataclass(frozen=True)
class Naming(Rule):
    """A rule that changes names and nothing else."""

    def new_name(self, name: str) -> str | None:
        """The name that a tensor gets, None if the rule does not match."""
        raise NotImplementedError

    def steps(self, state: State) -> list[Step]:
        """One step for each name that it matches."""
        found = []
        for name, how in state.items():
            new = self.new_name(name)
            if new is not None:
                found.append(Step((name,), {new: how}))
        return found

    def undo(self, step: Step, state: State) -> list[Rule]:
        """The old name, for the new one."""
        (new,) = step.new
        return [Rename(literal(new, self), literal(step.old[0], self))]


@dataclass(frozen=True)
class Prefix(Naming):
    """``prefix = "module.", to = ""``: another beginning of every name that has this one."""

    prefix: str
    to: str
    verb: ClassVar[str] = "prefix"
    keys: ClassVar[frozenset[str]] = frozenset(("to",))

    def new_name(self, name: str) -> str | None:
        """The name with the other beginning."""
        return self.to + name[len(self.prefix) :] if name.startswith(self.prefix) else None

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        return {"prefix": self.prefix, "to": self.to}

    def reversed(self) -> Rule:
        """The same with both beginnings exchanged."""
        return Prefix(self.to, self.prefix)


@dataclass(frozen=True)
class Rename(Naming):
    """``rename = "head.*", to = "classifier.*"``: a name, or a glob whose stars are carried over in order."""

    rename: str
    to: str
    verb: ClassVar[str] = "rename"
    keys: ClassVar[frozenset[str]] = frozenset(("to",))

    def __post_init__(self) -> None:
        same_stars(self.rename, [self.to])
        object.__setattr__(self, "_globs", (Glob(self.rename), Glob(self.to)))

    @property
    def single(self) -> bool:
        """Whether it is about one name."""
        return "*" not in self.rename

    def new_name(self, name: str) -> str | None:
        """The name with the stars carried over."""
        old, new = self._globs  # type: ignore[attr-defined]
        stars = old.match(name)
        return None if stars is None else new.fill(stars)

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        return {"rename": self.rename, "to": self.to}

    def reversed(self) -> Rule:
        """The same with both globs exchanged."""
        return Rename(self.to, self.rename)


@dataclass(frozen=True)
class Regex(Naming):
    r"""``regex = '^blocks\.(\d+)\.', to = 'layers.\1.'``: Python's regular expressions, everywhere in a name."""

    regex: str
    to: str
    verb: ClassVar[str] = "regex"
    keys: ClassVar[frozenset[str]] = frozenset(("to",))

    def __post_init__(self) -> None:
        if len(self.regex) > LONGEST_PATTERN:
            raise RulesError("A regular expression is too long.", found=len(self.regex), expected=LONGEST_PATTERN)
        try:
            compiled = re.compile(self.regex)
        except (re.error, RecursionError, OverflowError) as error:
            raise RulesError(f"A regular expression is wrong: {error}.", found=self.regex) from None
        object.__setattr__(self, "_compiled", compiled)

    def globs(self) -> tuple[str, ...]:
        """An expression is no text of which something near could be found."""
        return ()

    def new_name(self, name: str) -> str | None:
        """The name with every match replaced."""
        if len(name) > LONGEST_NAME:
            raise self.refuse("A name is too long for a regular expression.", name[:80])
        compiled: re.Pattern[str] = self._compiled  # type: ignore[attr-defined]
        if compiled.search(name) is None:
            return None
        try:
            return compiled.sub(self.to, name)
        except (re.error, IndexError) as error:
            raise self.refuse(f"The replacement is wrong: {error}.") from None

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        return {"regex": self.regex, "to": self.to}

    def reversed(self) -> Rule:
        """The expression that leads back, where both sides are plain text and the same groups."""
        from dotpt.models.turned_regex import turned

        back = turned(self.regex, self.to)
        if back is None:
            raise self.refuse(
                "A regular expression cannot be turned round.",
                hint="plain text and groups (each used once) on both sides, or a glob: rename = ...",
            )
        return Regex(*back)


@dataclass(frozen=True)
class Drop(Rule):
    """``drop = "*.num_batches_tracked"``: leave these tensors out."""

    drop: str
    verb: ClassVar[str] = "drop"
    keys: ClassVar[frozenset[str]] = frozenset()

    def steps(self, state: State) -> list[Step]:
        """One step for each tensor that goes."""
        glob = Glob(self.drop)
        return [Step((name,), {}) for name in state if glob.match(name) is not None]

    def table(self) -> dict[str, Any]:
        """The rule as plain values."""
        return {"drop": self.drop}

    def reversed(self) -> Rule:
        """Nothing brings them back."""
        raise self.refuse("What a rule drops cannot be brought back.")

    def undo(self, step: Step, state: State) -> list[Rule]:
        """Nothing brings it back."""
        raise self.refuse("What a rule drops cannot be brought back.", step.old[0])
