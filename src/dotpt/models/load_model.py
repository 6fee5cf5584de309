"""`dotpt.load_model`: a file in, a model out that is ready to run.

Invariants: nothing that the file names is imported, and no code in it is run, unless the caller said so in this call;
and what is given back is the model that was saved, or the caller was told in what it differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dotpt.archive.archive import Archive
from dotpt.archive.archive import open as open_archive
from dotpt.errors import MissingDependency, NoArchitecture, OutputsDiffer, UsageError
from dotpt.formats.architecture import Architecture, read_architecture, read_sources
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.models.load_report import ModelReport, one_line, remember
from dotpt.models.resolving import Resolver
from dotpt.models.sources import hash_of_text, installed, text_of
from dotpt.models.stored_source import StoredModules
from dotpt.pickling.trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable

# Arguments of `dotpt.load_into` with which a file still has to give every weight.
_HARMLESS = frozenset(("weights", "rules", "assign", "mmap"))


class CodeChanged(UserWarning):
    """The code of a model is another one than when it was saved; its weights fit nevertheless."""


def load_model(
    source: Any,
    factory: Callable[..., Any] | None = None,
    *,
    init: Mapping[str, Any] | None = None,
    trust: Any = None,
    trust_source: bool = False,
    device: Any = None,
    dtype: Any = None,
    verify: bool = True,
    tolerance: float | None = None,
    strict: bool | Literal["report"] = True,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[int, int], None] | None = None,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **fit: Any,
) -> Any:
    """The model in a file, with its weights, in eval mode.

    A file of `dotpt.save_model` says which class builds the model, and with which arguments. Models of torch's own
    layers are built from that alone. Of any other class the caller says where it comes from: ``trust`` imports it from
    here, ``factory`` is it, ``trust_source`` runs the text that is stored in the file. A file that says nothing of its
    model (any other checkpoint) needs a ``factory``.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, a binary file object, or an open `dotpt.Archive`.
        factory: the class, which is called with the recorded arguments; or a function, which is called with ``init``
            alone and returns the model.
        init: arguments of the constructor by name, in place of recorded ones of these names.
        trust: classes that may be imported and built: names (``"my_pkg.Net"``), globs (``"my_pkg.*"``), classes, pairs
            ``(Class, "old_pkg.Net")`` for one that has moved.
        trust_source: run the source that is stored in the file. Trust a file that way as you would trust a program.
        device: where the model goes; the CPU if None.
        dtype: the type of its floating-point weights; as they were saved if None.
        verify: compare the recorded outputs with the model's, if there are any.
        tolerance: how far these may be apart, as a share of the largest element; 0.002 for float32 if None, and more or
            less for other types.
        strict: as `dotpt.load_into` takes it.
        limits: what the file may ask for.
        progress: called with (bytes done, bytes in all) while the weights are read.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.
        fit: more for `dotpt.load_into`: ``weights``, ``rules``, ``mismatched``, ...

    Returns:
        The model. `dotpt.models.load_report.report_of` says how it was built, and what has changed since.

    Raises:
        NoArchitecture: the file does not say how its model is built, and no factory was passed.
        UnsafeGlobal: it is built with classes that the caller has not named.
        CannotBuild: a class is not to be had (the message says where it may be now), or its constructor raises.
        ArgumentsChanged: a class no longer takes the recorded arguments.
        ModelChanged: the class builds another model now than the one that was saved.
        FitError: the weights do not fit the model that the factory gave.
        OutputsDiffer: the model does not give the recorded outputs.

    Warns:
        CodeChanged: the code is another one than when the model was saved.

    Example:
        >>> import dotpt, tempfile, torch
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     saved = dotpt.save_model(torch.nn.Linear(2, 3), f"{folder}/model.pt")
        ...     dotpt.load_model(f"{folder}/model.pt")
        Linear(in_features=2, out_features=3, bias=True)
    """
    if trust_source not in (True, False):
        raise UsageError("trust_source is True or False.", hint="trust= takes names of classes")
    wishes = _Wishes(factory, dict(init or {}), trust, trust_source, device, dtype, verify, tolerance, strict, fit)
    opened = (
        nullcontext(source)
        if isinstance(source, Archive)
        else open_archive(source, limits=limits, allow_download=allow_download, storage_options=storage_options)
    )
    with opened as archive:
        loader = _Loader(archive, wishes)
        model = loader.build()
        loader.fill(model, progress)
        model = loader.finish(model)
    loader.warn()
    remember(model, loader.report)
    return model


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the caller of `load_model` asked for; see there."""

    factory: Any
    init: dict[str, Any]
    trust: Any
    trust_source: bool
    device: Any
    dtype: Any
    verify: bool
    tolerance: float | None
    strict: bool | Literal["report"]
    fit: dict[str, Any]

    @property
    def whole(self) -> bool:
        """Whether every weight of the model has to come from the file."""
        return self.strict is True and not self.fit.keys() - _HARMLESS


class _Loader:
    """One call of `load_model`.

    Attributes:
        report: what was done.
    """

    def __init__(self, archive: Archive, wishes: _Wishes) -> None:
        try:
            from dotpt.models import torch_building, torch_loading
        except ImportError as error:
            if error.name != "torch":
                raise
            raise MissingDependency("torch is not installed.", hint="pip install torch") from None
        self._torch, self._building = torch_loading, torch_building
        self._archive = archive
        self._wishes = wishes
        self._architecture = read_architecture(archive.contents.container)
        self.report = ModelReport(archive.name, self._architecture, "", "")
        self._facts = torch_loading.facts_of(archive)
        self._alarms: list[str] = []  # what the user is warned of, besides changed texts

    def build(self) -> Any:
        """The model; its parameters have no values where the file is to give all of them."""
        factory, architecture = self._wishes.factory, self._architecture
        is_class = factory is not None and self._torch.is_model_class(factory)
        if factory is not None and (not is_class or architecture is None):
            return self._by_factory(factory)
        if architecture is None:
            raise NoArchitecture(
                f"The file ({self._archive.kind}) says nothing of the model that its weights belong to.",
                path=self._archive.name,
                hint="dotpt.load_model(path, Class, init={...}) builds the model with a class or function of yours; "
                "dotpt.save_model writes files that say how their model is built",
            )
        resolver = self._resolver(architecture, factory if is_class else None)
        call = self._torch.recorded_call(architecture, resolver, self._wishes.init, self._archive.name)
        self.report.built, self.report.origin = call.what, resolver.origin((architecture.module, architecture.name))
        model = self._torch.build_recorded(
            call, architecture, self._facts, self._archive.name, draw=not self._wishes.whole
        )
        self._note_code(architecture)
        return model

    def _by_factory(self, factory: Any) -> Any:
        """A model of the caller's own making; the record, if there is one, only says what to compare it with."""
        if not callable(factory):
            raise UsageError(
                f"A factory is a class or a function, not of type {type(factory).__name__}.",
                hint='dotpt.load_model(path, Class), or trust=["package.module.Class"] for a name',
            )
        init = self._wishes.init
        what = getattr(factory, "__qualname__", type(factory).__name__)
        given = ", ".join(f"{name}={value!r:.40}" for name, value in init.items())
        kind = "class" if isinstance(factory, type) else "function"
        self.report.built, self.report.origin = f"{what}({given})", f"the {kind} that was passed"
        self._building.check_arguments(factory, [], init)
        model = self._building.build(lambda: factory(**init), self.report.built, draw=not self._wishes.whole)
        if self._architecture is not None:
            self._torch.take_saved_types(model, self._architecture, self._facts)
            self._note_code(self._architecture)
        return model

    def _resolver(self, architecture: Architecture, given: Any) -> Resolver:
        stored = None
        if self._wishes.trust_source:
            texts = read_sources(self._archive.contents.container, architecture)
            if not texts:
                raise UsageError(
                    "trust_source=True, and the file holds no source.",
                    path=self._archive.name,
                    hint=f'trust=["{architecture.class_name}"] imports the class from here',
                )
            stored = StoredModules(texts)
        classes = {} if given is None else {(architecture.module, architecture.name): given}
        return Resolver(architecture, self._archive.name, Trust.of(self._wishes.trust), stored, classes)

    def _note_code(self, architecture: Architecture) -> None:
        """Note what is not as it was when the model was saved."""
        report = self.report
        if report.origin != "the source in the file":
            for module, expected in architecture.sources.items():
                # the script that runs now is another one, unless its class is meant
                text = text_of(module) if module != "__main__" or report.origin == "import" else None
                if text is None:
                    report.unknown.append(module)
                elif hash_of_text(text) != expected:
                    report.changed.append(module)
        here = {name: installed(name) for name in architecture.versions}
        report.versions = {
            name: (then, here[name]) for name, then in architecture.versions.items() if here[name] != then
        }

    def fill(self, model: Any, progress: Callable[[int, int], None] | None) -> None:
        """Give the model its weights."""
        from dotpt.models.load_into import load_into

        architecture, wishes = self._architecture, self._wishes
        if architecture is not None:
            recorded = wishes.factory is None or self.report.built == str(architecture)
            if recorded and wishes.strict is True and not wishes.fit:
                self._torch.check_structure(model, architecture, self._facts, self._archive.name, self.report.changed)
            else:
                self._alarms = self._torch.changes_in(model, architecture)
            self.report.notes += self._alarms + self._torch.renamed_in(model, architecture)
        fit = ({} if architecture is None else {"weights": ""}) | wishes.fit  # a state dict, whatever its names are
        self.report.fit = load_into(model, self._archive, strict=wishes.strict, progress=progress, **fit)
        if architecture is not None:
            self.report.same_structure = self._torch.is_as_saved(model, architecture)

    def finish(self, model: Any) -> Any:
        """The model where and as it is wanted, its outputs compared with the recorded ones."""
        wishes, architecture = self._wishes, self._architecture
        model = self._torch.settle(model, wishes.device, wishes.dtype).eval()
        if architecture is None or architecture.example is None:
            return model
        if not wishes.verify:
            self.report.outputs = "not compared"
            return model
        try:
            difference = self._torch.check_example(
                model, self._archive, architecture, wishes.dtype, wishes.tolerance, self._hint(architecture)
            )
        except OutputsDiffer as error:
            error.problem += self._why()
            raise
        self.report.outputs, self.report.difference = "close" if difference else "equal", difference
        return model

    def _hint(self, architecture: Architecture) -> str:
        steps = ["verify=False gives the model nevertheless", "tolerance=... allows more"]
        if architecture.stored and not self._wishes.trust_source:
            steps.append("trust_source=True builds it from the source in the file, if you trust its author")
        return "; ".join(steps)

    def _why(self) -> str:
        """What may be the reason for other outputs."""
        report = self.report
        if report.changed:
            return f" The text of {', '.join(report.changed)} has changed since it was saved."
        if report.versions:
            pairs = [
                f"{name} was {then} and is {now or 'not installed'}" for name, (then, now) in report.versions.items()
            ]
            return f" Versions differ: {', '.join(pairs)}."
        return f" {' '.join(report.notes)}" if report.notes else ""

    def warn(self) -> None:
        """Say what has changed, if something has."""
        report = self.report
        if not report.changed and not self._alarms:
            return
        parts = (
            [f"The text of {', '.join(report.changed)} has changed since the model was saved."]
            if report.changed
            else []
        )
        parts += self._alarms
        state = {
            "equal": "Its outputs are the recorded ones nevertheless.",
            "close": "Its outputs are close to the recorded ones nevertheless.",
            "not compared": "Its outputs were not compared with the recorded ones.",
        }
        parts.append(state.get(report.outputs, "No outputs were recorded, so nothing tells whether they are the same."))
        warnings.warn(one_line(f"{report.path}: {' '.join(parts)}"), CodeChanged, stacklevel=3)
