"""The answer: which known architecture a state dict belongs to, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dotpt.errors import readable
from dotpt.inspect.claims import Certainty, Claim, inferred, unknown

UNKNOWN = "unknown"
_USUAL = {"channels": 3}  # goes without saying


@dataclass(frozen=True, slots=True)
class Candidate:
    """A family that was held against the names.

    Attributes:
        family: its word (`dotpt.models.list` has the rest).
        library: whose layout of it.
        root: the prefix beneath which it would begin.
        names: how many of the names it explains.
        needs: how many of the names that it needs are there, with their shapes.
        needed: how many it needs.
        fits: whether it could be claimed by itself.
    """

    family: str
    library: str
    root: str
    names: int
    needs: int
    needed: int
    fits: bool

    def __str__(self) -> str:
        where = f" beneath {readable(self.root)}" if self.root else ""
        needs = f"{self.needs} of {self.needed} needed ones"
        return f"{self.family} ({self.library}){where}: {self.names:,} names and {needs} fit"

    def to_dict(self) -> dict[str, Any]:
        """The candidate as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Which known architecture a state dict belongs to.

    Attributes:
        family: its word (``resnet``, ``bert``), or ``unknown``.
        title: its name for people (``ResNet``).
        library: whose names for the weights these are (``torchvision or timm``).
        variant: the published size (``resnet50``), None if it is none of the known ones.
        measured: what shapes and names tell: ``{"layers": 12, "hidden": 768, "vocab": 30522}``.
        root: the prefix before the network's own names: ``module.``, ``backbone.``; ``""`` for none.
        names: how many names the family explains.
        total: how many names there are.
        needs: how many names it needs, all of which are there with fitting shapes.
        candidates: other families, nearest first: those that fit as well; where the family is unknown, those that come
            nearest.
        parts: families of parts of it: a detector's ``backbone.body.`` is a ResNet. A network around a known one is
            unknown, and has it here.

    Example:
        >>> import dotpt
        >>> print(dotpt.models.fingerprint({"fc.weight": (10, 4), "fc.bias": (10,)}))
        unknown (no family that dotpt knows has these 2 names)
    """

    family: str
    title: str = ""
    library: str = ""
    variant: str | None = None
    measured: Mapping[str, int | str | bool] = field(default_factory=dict)
    root: str = ""
    names: int = 0
    total: int = 0
    needs: int = 0
    candidates: tuple[Candidate, ...] = ()
    parts: tuple[Candidate, ...] = ()

    @property
    def known(self) -> bool:
        """Whether a family was recognised."""
        return self.family != UNKNOWN

    @property
    def tells(self) -> bool:
        """Whether anything was recognised: the whole, or a part of it."""
        return self.known or bool(self.parts)

    @property
    def certainty(self) -> Certainty:
        """``INFERRED``, always, where a family was recognised: names are a custom, not a proof. Else ``UNKNOWN``."""
        return "INFERRED" if self.known else "UNKNOWN"

    @property
    def words(self) -> str:
        """What it is, in a few words: ``ResNet (resnet50), classes=1000``."""
        if not self.known:
            return UNKNOWN
        named = f"{self.title} ({self.variant})" if self.variant else self.title
        told = [f"{word}={value}" for word, value in self.measured.items() if _USUAL.get(word) != value]
        return ", ".join([named, *told])

    @property
    def evidence(self) -> str:
        """What it rests on, counted."""
        if not self.known:
            near = f"; a part of them is a network: {self.parts[0]}" if self.parts else ""
            near = f"; the nearest is {self.candidates[0]}" if self.candidates and not near else near
            return f"no family that dotpt knows has these {self.total:,} names{near}"
        where = f" beneath {readable(self.root)}" if self.root else ""
        share = f"{self.names:,} of {self.total:,} names{where}"
        return f"{share} are those of {self.library}, and the {self.needs} that tell it apart fit"

    @property
    def claim(self) -> Claim:
        """The same as `dotpt.inspect` has it."""
        return inferred(self.words, self.evidence) if self.known else unknown(self.evidence)

    def __str__(self) -> str:
        return f"{self.words} ({'inferred: ' if self.known else ''}{self.evidence})"

    def to_dict(self) -> dict[str, Any]:
        """The answer as plain values."""
        return {
            "family": self.family,
            "title": self.title,
            "library": self.library,
            "variant": self.variant,
            "measured": dict(self.measured),
            "root": self.root,
            "names": self.names,
            "total": self.total,
            "needs": self.needs,
            "certainty": self.certainty,
            "because": self.evidence,
            "candidates": [each.to_dict() for each in self.candidates],
            "parts": [each.to_dict() for each in self.parts],
        }
