"""What crosses this boundary: what became of every tensor when a file met a model, as an object.

Invariant: every name of the file and every name of the model is in exactly the lists that say what happened to it;
nothing here knows torch, and a report holds texts and numbers only, so that it can be kept, sent and compared.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from dotpt.models.facts import Facts


@dataclass(frozen=True, slots=True)
class Cast:
    """A tensor whose type was changed to the model's: ``file`` and ``model`` are torch's names of the types."""

    name: str
    file: str
    model: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """A tensor that was not loaded, or that keeps the rest from being loaded, and why.

    Attributes:
        name: in the model.
        file, model: the shapes; None where one of them has none.
        why: one sentence without its full stop.
    """

    name: str
    file: tuple[int, ...] | None
    model: tuple[int, ...] | None
    why: str


@dataclass(frozen=True, slots=True)
class Resized:
    """A tensor of another size that was made to fit: ``how`` is ``sliced`` or ``padded``, or ``function``."""

    name: str
    how: str
    file: tuple[int, ...]
    model: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Converted:
    """A tensor that rules made: from which names of the file, and how, in words."""

    name: str
    inputs: tuple[str, ...]
    words: str


@dataclass
class FitReport:
    """What became of every tensor when weights were fitted into a model.

    Attributes:
        model: the class of the model.
        source: the file, as the user named it; "" for a state dict in memory.
        address: where in the file the weights lie; "" for the whole of it.
        role: ``weights`` or ``ema``.
        matched: names of the model that got their values, renamed and cast ones included.
        renamed: name in the file -> name in the model.
        unwrapped: what was done to all names at once, a sentence; "" if nothing was.
        cast: where the type changed on the way.
        converted: what rules made of the file's tensors, other than giving them another name.
        resized: what was sliced or padded, or fitted by the caller's function.
        skipped: tensors of another size that were left out, because the caller said so.
        missing: names of the model that the file does not have.
        unexpected: names of the file (as renamed) that the model does not have.
        mismatched: what does not fit and keeps the model from being loaded.
        errors: what the model's own loading code had to say.
        own_code: names that the model's own loading code took and that are no names of its state dict.
        tied: names of the model that share one tensor, group by group, and still do.
        left: names of the model that were not selected, and are as they were.
        dropped: names of the file that were left out on purpose, and why.
        kept: counters that old files do not have, and that are as they were.
        retyped: with ``assign=True``: what now has the file's type, and not the model's.
        frozen: parameters that need no gradient any more.
        assigned: names whose tensor is a new one: ``assign=True``, and those that were on the meta device.
        notes: what else a reader should know, one sentence each.
        closest: for a missing name, the unexpected one that is likely meant.
        rules: a rename that would fix names, as ``rules=`` takes it.
        command: the command line that would try it.
        in_file, in_model: type and shape of the names above, as far as they are tensors.
        loaded: whether the model was given the values; False for a dry run, or where it failed.
    """

    model: str
    source: str = ""
    address: str = ""
    role: str = "weights"
    matched: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    unwrapped: str = ""
    cast: list[Cast] = field(default_factory=list)
    converted: list[Converted] = field(default_factory=list)
    resized: list[Resized] = field(default_factory=list)
    skipped: list[Unfit] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    mismatched: list[Unfit] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    own_code: list[str] = field(default_factory=list)
    tied: list[tuple[str, ...]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    retyped: list[Cast] = field(default_factory=list)
    frozen: list[str] = field(default_factory=list)
    assigned: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    closest: dict[str, str] = field(default_factory=dict)
    rules: dict[str, str] = field(default_factory=dict)
    command: str = ""
    in_file: dict[str, Facts] = field(default_factory=dict)
    in_model: dict[str, Facts] = field(default_factory=dict)
    loaded: bool = False

    @property
    def ok(self) -> bool:
        """Whether the file and the model fit: nothing missing, unexpected or of another shape, and no error.

        What was skipped, left or dropped because the caller asked for it does not count.
        """
        return not (self.missing or self.unexpected or self.mismatched or self.errors)

    @property
    def total(self) -> int:
        """How many tensors the model has, of those that were selected."""
        return len({*self.in_model, *self.matched, *self.missing} - {*self.left})

    @property
    def sliced(self) -> list[Resized]:
        """Tensors of which only the leading part was taken."""
        return [one for one in self.resized if one.how == "sliced"]

    @property
    def padded(self) -> list[Resized]:
        """Tensors that fill only the beginning of the model's."""
        return [one for one in self.resized if one.how == "padded"]

    @property
    def missing_keys(self) -> list[str]:
        """`missing`, under the name that `torch.nn.Module.load_state_dict` gives it."""
        return self.missing

    @property
    def unexpected_keys(self) -> list[str]:
        """`unexpected`, under the name that `torch.nn.Module.load_state_dict` gives it."""
        return self.unexpected

    @property
    def summary(self) -> str:
        """The report in one line."""
        from dotpt.models.report_table import summary_of

        return summary_of(self)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        facts = asdict(self)
        facts["in_file"] = {name: _described(known) for name, known in self.in_file.items()}
        facts["in_model"] = {name: _described(known) for name, known in self.in_model.items()}
        return {"ok": self.ok, "summary": self.summary} | facts

    def __repr__(self) -> str:
        return f"<dotpt.FitReport: {self.summary}>"

    def __str__(self) -> str:
        from dotpt.models.report_table import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from dotpt.models.report_table import as_html

        return as_html(self)


def _described(facts: Facts) -> dict[str, Any]:
    return {"dtype": facts.dtype, "shape": list(facts.shape)}
