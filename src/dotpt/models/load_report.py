"""What `dotpt.load_model` did: where the model's code came from, what has changed since, what its outputs are."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from dotpt.errors import UsageError, readable
from dotpt.formats.architecture import Architecture
from dotpt.models.report import FitReport

_REPORTS: dict[int, tuple[Any, ModelReport]] = {}


@dataclass
class ModelReport:
    """How a model was loaded. ``print`` shows it.

    Attributes:
        path: the file.
        architecture: what the file says of the model; None if the caller's factory was all there was.
        built: the call that built it.
        origin: where its class came from: ``torch``, ``import``, ``the class that was passed``, ``the function that was
            passed``, ``the source in the file``.
        fit: what became of every tensor.
        same_structure: whether the names, shapes and types of all tensors and the class of every module are those that
            were saved (the fingerprint); None if nothing says what these were.
        changed: modules whose text is another one than when the model was saved.
        unknown: modules whose text is not to be had here, so that nobody can tell.
        versions: packages that have another version here: name -> (then, now); now is None if it is not installed.
        outputs: ``equal``, ``close``, ``not recorded``, ``not compared``.
        difference: the largest difference of two elements of the outputs; None if they were not compared.
        notes: what else a reader should know, one sentence each.
    """

    path: str
    architecture: Architecture | None
    built: str
    origin: str
    fit: FitReport | None = None
    same_structure: bool | None = None
    changed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    versions: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    outputs: str = "not recorded"
    difference: float | None = None
    notes: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        return {
            "path": self.path,
            "architecture": self.architecture and self.architecture.to_dict(),
            "built": self.built,
            "origin": self.origin,
            "fit": self.fit and self.fit.to_dict(),
            "same_structure": self.same_structure,
            "changed": list(self.changed),
            "unknown": list(self.unknown),
            "versions": {name: list(pair) for name, pair in self.versions.items()},
            "outputs": self.outputs,
            "difference": self.difference,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        facts = [("built", f"{self.built} ({self.origin})")]
        if self.fit is not None:
            facts.append(("weights", self.fit.summary))
        facts.append(("outputs", self._outputs()))
        if self.architecture is not None:
            facts.append(("code", self._code()))
        if self.versions:
            pairs = [f"{name} {then} -> {now or 'not installed'}" for name, (then, now) in self.versions.items()]
            facts.append(("versions", ", ".join(pairs)))
        lines = [self.path, *(f"  {name:<10} {text}" for name, text in facts)]
        return "\n".join(map(one_line, lines + [f"  note: {note}" for note in self.notes]))

    def _outputs(self) -> str:
        if self.difference:
            return f"{self.outputs} (off by up to {self.difference:.3g})"
        return {"equal": "equal to the recorded ones"}.get(self.outputs, self.outputs)

    def _code(self) -> str:
        if self.changed:
            return f"changed since: {', '.join(self.changed)}"
        if self.origin == "the source in the file":
            return "as it was saved"
        return f"not to be had here: {', '.join(self.unknown)}" if self.unknown else "unchanged"


def one_line(text: str) -> str:
    """A text with a stranger's names in it, as it can be shown."""
    return readable(text).replace("\n", "\\n")


def remember(model: Any, report: ModelReport) -> None:
    """Keep a report as long as its model lives. The model itself is not touched: it may be pickled, and compared."""
    key = id(model)
    _REPORTS[key] = (weakref.ref(model, lambda _: _REPORTS.pop(key, None)), report)


def report_of(model: Any) -> ModelReport:
    """How a model was loaded by `dotpt.load_model`.

    Raises:
        UsageError: it was not.

    Example:
        >>> import dotpt, tempfile, torch
        >>> from dotpt.models.load_report import report_of
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved = dotpt.save_model(torch.nn.Linear(2, 3), f"{folder}/model.pt")
        ...     model = dotpt.load_model(f"{folder}/model.pt")
        >>> report_of(model).origin
        'torch'
    """
    held = _REPORTS.get(id(model))
    if held is None or held[0]() is not model:
        raise UsageError("This model was not loaded by dotpt.load_model.", hint="pass what dotpt.load_model gave")
    return held[1]
