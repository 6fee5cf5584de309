"""What `dotpt.save_model` notes of a model: how it is built, what it is made of, and what it gives.

Invariants: nothing is noted that was not tried, unless the caller says so: the arguments build this structure, and the
second model gives the recorded outputs. The model leaves as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from dotpt.errors import CannotBuild, CannotDescribe, OutputsDiffer, UsageError
from dotpt.formats.architecture import SOURCES, Architecture, Example, architecture_bytes
from dotpt.formats.record_names import ARCHITECTURE
from dotpt.models.example_records import example_records
from dotpt.models.sources import hash_of_text, project_modules, text_of, versions_of
from dotpt.models.torch_arguments import ArgumentReader, Speller, found_here
from dotpt.models.torch_building import build, check_arguments
from dotpt.models.torch_describe import arguments_of, differences
from dotpt.models.torch_example import as_call, check_outputs, outputs_of
from dotpt.models.torch_structure import Structure, changed_layers, changed_tensors, structure_of, take_types
from dotpt.models.torch_wrappers import unwrapped

_INIT = "say how it was built: dotpt.save_model(model, path, init={...}); check=False saves it untried"
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Described:
    """A model on its way into a file.

    Attributes:
        architecture: what is noted of it.
        state: its state dict.
        records: the record of its architecture and what belongs to it, by name.
    """

    architecture: Architecture
    state: Mapping[str, Any]
    records: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller of `dotpt.save_model` asked for; see there."""

    init: Mapping[str, Any] | None
    source: bool
    example_inputs: Any
    check: bool
    seed: int


def described(model: Any, wishes: Wishes) -> Described:
    """Everything that is to be written of a model.

    Raises:
        CannotDescribe: how it is built is not known, or cannot be written down, or builds another model.
        OutputsDiffer: a second model that is built so gives other outputs.
        UsageError: it is no module, or its outputs cannot be recorded.
    """
    inner, notes = _inner(model)
    call = _Call(inner, wishes.init)
    structure = structure_of(inner)
    if wishes.check:
        call.check(inner, structure)
    example, records = _example(inner, call, structure, wishes)
    texts = _texts(type(inner), inner, notes, wishes.source)
    architecture = Architecture(
        module=type(inner).__module__,
        name=type(inner).__qualname__,
        args=call.args,
        kwargs=call.kwargs,
        inferred=call.inferred,
        fingerprint=structure.fingerprint,
        modules=structure.modules,
        buffers=structure.buffers,
        sources={name: hash_of_text(text) for name, text in texts.items()},
        stored=wishes.source and bool(texts),
        versions=versions_of(type(inner), texts),
        training=inner.training,
        example=example,
        notes=notes,
        writer=_writer(),
    )
    records = {ARCHITECTURE: architecture_bytes(architecture)} | records
    if wishes.source:
        records |= {f"{SOURCES}{name}.py": text.encode() for name, text in texts.items()}
    return Described(architecture, inner.state_dict(), records)


def _writer() -> str:
    from dotpt import __version__

    return f"dotpt {__version__}"


def _inner(model: Any) -> tuple[nn.Module, list[str]]:
    """The model without what torch wraps around one, and what is to be said of that."""
    if not isinstance(model, nn.Module):
        raise UsageError(
            f"Expected a torch.nn.Module, and got a {type(model).__name__}.",
            hint="dotpt.save writes state dicts and everything else",
        )
    model, wrappers = unwrapped(model, derived=True)
    if isinstance(model, (torch.jit.ScriptModule, torch.fx.GraphModule)):
        raise CannotDescribe(
            f"The code of a {type(model).__name__} is in the object, and no class builds it.",
            found=type(model),
            hint="save the model that it was made from; torch.jit.save and torch.export.save write programs",
        )
    return model, [f"The model inside of {name} was saved: wrap it again after it is loaded." for name in wrappers]


class _Call:
    """The call that builds a model.

    Attributes:
        args, kwargs: its arguments as the record spells them.
        inferred: whether they were found in the model.
    """

    def __init__(self, model: nn.Module, init: Mapping[str, Any] | None) -> None:
        self._owner, self._init = type(model), init
        self.inferred = init is None
        if init is None:
            args, kwargs = arguments_of(model)
        else:
            args, kwargs = [], dict(_names(init))
            check_arguments(type(model), args, kwargs)
        speller = Speller(arguments_of)
        self.args = [speller.spell(value, f"argument {at}") for at, value in enumerate(args)]
        self.kwargs = {name: speller.spell(value, name) for name, value in kwargs.items()}

    def build(self, device: str | None = None) -> nn.Module:
        """A new model; its parameters have no values."""
        return build(self._make, self._owner.__qualname__, device=device, trial=True)

    def _make(self) -> Any:
        reader = ArgumentReader(found_here)
        args, kwargs = reader.read(self.args), {name: reader.read(value) for name, value in self.kwargs.items()}
        return self._owner(*args, **kwargs)

    def check(self, model: nn.Module, structure: Structure) -> None:
        """Raise unless this call builds a model of the same structure, and, if it was inferred, the same model."""
        try:
            built = self.build("meta")
        except CannotBuild:  # some constructors compute with values
            built = self._built(model)
        found = differences(model, built) if self.inferred else _changes(structure, structure_of(built))
        found += [text for saved, made in self._given() for text in differences(saved, made)]
        if found:
            raise self._another(found)

    def _built(self, model: nn.Module) -> nn.Module:
        try:
            return self.build()
        except CannotBuild as error:
            raise CannotDescribe(error.problem, found=self._owner, hint=_INIT) from error

    def _given(self) -> Iterator[tuple[nn.Module, nn.Module]]:
        """The modules among the caller's arguments, each with the one that the record gives."""
        for name, value in (self._init or {}).items():
            if any(True for _ in _modules_in(value)):
                made = build(partial(self._held, name), self._owner.__qualname__, device="meta", trial=True)
                yield from zip(_modules_in(value), made.children(), strict=True)

    def _held(self, name: str) -> nn.ModuleList:
        """The modules in an argument, as the record gives them."""
        return nn.ModuleList(_modules_in(ArgumentReader(found_here).read(self.kwargs[name])))

    def _another(self, found: list[str]) -> CannotDescribe:
        shown = "; ".join(found[:_SHOWN]) + (f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else "")
        how = "what its attributes say" if self.inferred else "these arguments"
        return CannotDescribe(
            f"A {self._owner.__qualname__} that is built from {how} is another model than this one: {shown}.",
            found=found,
            hint=_INIT
            if self.inferred
            else "give all arguments that it was built with; if it was changed afterwards, save it with check=False "
            "and load it with a function that does the same: dotpt.load_model(path, function)",
        )


def _names(init: Any) -> Mapping[str, Any]:
    if not isinstance(init, Mapping) or not all(type(name) is str for name in init):
        raise UsageError("init= is a dictionary of the constructor's arguments by name.", hint='init={"width": 64}')
    return init


def _modules_in(value: Any) -> Iterator[nn.Module]:
    if isinstance(value, nn.Module):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _modules_in(item)
    elif isinstance(value, Mapping):
        yield from _modules_in(list(value.values()))


def _changes(saved: Structure, built: Structure) -> list[str]:
    return changed_tensors(saved.tensors, built) + changed_layers(saved.modules, built.modules)


# -- the recorded outputs ---------------------------------------------------------------------------------------------


def _example(
    model: nn.Module, call: _Call, structure: Structure, wishes: Wishes
) -> tuple[Example | None, dict[str, bytes]]:
    if wishes.example_inputs is None:
        return None, {}
    args, kwargs = as_call(wishes.example_inputs)
    outputs = outputs_of(model, args, kwargs, wishes.seed)
    if wishes.check:
        second = _second(model, call, structure)
        check_outputs(
            lambda: outputs_of(second, args, kwargs, wishes.seed),
            outputs,
            None,
            "A model that is built from the record, with these weights, does not give the same outputs",
            None,
            "what was set after the model was built is lost: make it an argument of the constructor, and say it in "
            "init={...}; check=False saves it untried",
        )
    first = next(model.parameters(), next(model.buffers(), torch.empty(0)))
    records = example_records({"args": args, "kwargs": kwargs, "outputs": outputs})
    return Example(wishes.seed, first.device.type, wishes.check), records


def _second(model: nn.Module, call: _Call, structure: Structure) -> nn.Module:
    """A model that is built anew and shares the weights of the first."""
    second = call.build()
    take_types(second, {name: facts.dtype for name, facts in structure.tensors.items()} | structure.buffers)
    try:
        second.load_state_dict(model.state_dict(), assign=True)
    except RuntimeError as error:
        raise OutputsDiffer(
            f"A model that is built from the record does not take these weights: {error!s:.300}."
        ) from error
    first = next(model.parameters(), None)
    return second if first is None else second.to(first.device)


# -- the code ---------------------------------------------------------------------------------------------------------


def _texts(owner: type, model: nn.Module, notes: list[str], wanted: bool) -> dict[str, str]:
    """The texts of the modules that define a model; what loading it elsewhere will need goes into the notes."""
    modules = project_modules(owner, {type(module) for module in model.modules()})
    found = {name: text_of(name) for name in modules}
    name, module = owner.__qualname__, owner.__module__
    lost = sorted(each for each, text in found.items() if text is None)
    if "<locals>" in name:
        notes.append(f"{name} is defined within a function, so only dotpt.load_model(path, function) builds it.")
    elif module == "__main__":
        notes.append(
            f"{name} is a class of the script that saved it: elsewhere, dotpt.load_model(path, {name}) takes the class."
        )
    if lost and wanted:
        notes.append(f"The source of {', '.join(lost)} is not to be had (typed in, or made by a program): not stored.")
    return {each: text for each, text in found.items() if text is not None}
