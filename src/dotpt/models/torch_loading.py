"""What `dotpt.load_model` does with torch: build the model, let the weights stream into it, ask it for its outputs.

Invariants: what a record of torch's own layers asks for is first built without memory, on the meta device, and compared
with the file's weights; and a model is only given back if it is the one that was saved, or the caller said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from dotpt.errors import CannotBuild, ManifestError, ModelChanged, UsageError
from dotpt.formats.architecture import Architecture
from dotpt.formats.record_names import ARCHITECTURE
from dotpt.models.example_records import read_example
from dotpt.models.facts import Facts
from dotpt.models.resolving import Resolver, is_of_torch
from dotpt.models.torch_arguments import ArgumentReader, names_in
from dotpt.models.torch_building import at_most, build, check_arguments
from dotpt.models.torch_example import check_outputs, mapped, outputs_of
from dotpt.models.torch_structure import (
    changed_layers,
    changed_tensors,
    renamed_classes,
    structure_of,
    take_types,
)

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

_ROOM = 10, 1_000  # times, and more, what the file holds: models make layers that they throw away
_ELEMENTS = 100_000_000
# Layers that copy a layer as often as an argument says, before any of the copies is counted.
_REPEATING = frozenset(("Transformer", "TransformerEncoder", "TransformerDecoder"))
_COUNTS = frozenset(("num_layers", "num_encoder_layers", "num_decoder_layers"))


@dataclass(frozen=True, slots=True)
class Call:
    """The call that builds a model.

    Attributes:
        owner: the class, or the function that the caller passed.
        args, kwargs: as the record spells them.
        init: the caller's own arguments, which take the place of recorded ones.
        resolve: gives the classes that the arguments name.
        what: the call, for people.
    """

    owner: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    init: Mapping[str, Any]
    resolve: Callable[[str, str], Any]
    what: str

    def __call__(self) -> Any:
        """Build the model."""
        reader = ArgumentReader(self.resolve)
        args = reader.read(list(self.args))
        kwargs = {name: reader.read(value) for name, value in self.kwargs.items()}
        return self.owner(*args, **kwargs | dict(self.init))


def recorded_call(architecture: Architecture, resolver: Resolver, init: Mapping[str, Any], path: str) -> Call:
    """The call that a record asks for, after each name in it was looked at.

    Raises:
        UnsafeGlobal: it names what may not be used.
        CannotBuild: a name leads nowhere, or to something that is no `torch.nn.Module`.
        ArgumentsChanged: its class does not take these arguments.
    """
    name = architecture.module, architecture.name
    kwargs = {key: value for key, value in architecture.kwargs.items() if key not in init}
    try:
        resolver.check([name, *names_in([architecture.args, kwargs])])
    except ManifestError as error:
        error.path, error.record = path, ARCHITECTURE
        raise
    owner = resolver.resolve(*name)
    if not isinstance(owner, type) or not issubclass(owner, nn.Module):
        raise CannotBuild(
            f"{architecture.class_name} is no class of models: it is a {type(owner).__name__}.",
            path=path,
            record=ARCHITECTURE,
            found=architecture.class_name,
            hint="pass the class: dotpt.load_model(path, Class)",
        )
    check_arguments(owner, architecture.args, {**kwargs, **init}, path)
    return Call(owner, architecture.args, kwargs, init, resolver.resolve, str(architecture))


def is_model_class(value: Any) -> bool:
    """Whether a factory is a class of models, which takes the recorded arguments."""
    if isinstance(value, nn.Module):
        raise UsageError(
            "A model was passed where a class or a function belongs.", hint="dotpt.load_into(model, path) fills it"
        )
    return isinstance(value, type) and issubclass(value, nn.Module)


def facts_of(archive: Archive) -> dict[str, Facts]:
    """What is known of the file's tensors, by name."""
    return {name: Facts(tuple(ref.shape), ref.dtype.name) for name, ref in archive.tensors.items()}


def build_recorded(
    call: Call, architecture: Architecture, facts: Mapping[str, Facts], path: str, *, draw: bool
) -> nn.Module:
    """The model of a record, its tensors of the types that were saved.

    Args:
        draw: whether parameters are to have first values, because the file may not fill all.

    Raises:
        CannotBuild: its constructor raises, or it is far larger than the weights.
        ModelChanged: it is of torch's layers alone, and is not the model that the weights are of.
    """
    times, more = _ROOM
    elements = sum(_numel(each.shape) for each in facts.values())
    own = (architecture.module, architecture.name)
    plain = all(is_of_torch(name) for name in (own, *names_in([architecture.args, architecture.kwargs])))
    with at_most(times * len(facts) + more, times * elements + _ELEMENTS, buffers=plain):
        if plain:
            _check_counts(architecture, len(facts), path)
            check_structure(build(call, call.what, device="meta", trial=True), architecture, facts, path, [])
        model = build(call, call.what, draw=draw)
    take_saved_types(model, architecture, facts)
    return model


def take_saved_types(model: nn.Module, architecture: Architecture, facts: Mapping[str, Facts]) -> None:
    """Give a model's tensors the types that they were saved in: a model in half precision stays one."""
    take_types(model, {name: each.dtype for name, each in facts.items()} | architecture.buffers)


def _numel(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def _check_counts(architecture: Architecture, tensors: int, path: str) -> None:
    """A file of twenty tensors is of no model with a million layers."""
    args, kwargs = architecture.args, architecture.kwargs
    own = f"{architecture.module}:{architecture.name}", args, kwargs
    for name, positional, named in (own, *_modules([args, kwargs])):
        if name.rpartition(":")[2] not in _REPEATING:
            continue
        most = max([value for key, value in named.items() if key in _COUNTS and type(value) is int], default=0)
        if positional or most > tensors:
            raise CannotBuild(
                f"The recorded arguments ask for {most:,} layers, and the file has {tensors:,} tensors."
                if most > tensors
                else f"The recorded arguments of {name} have no names, which is not how dotpt writes them.",
                path=path,
                record=ARCHITECTURE,
                hint="dotpt.load(path) reads the weights without it",
            )


def _modules(spelled: Any) -> Iterator[tuple[str, Any, Any]]:
    """The modules among recorded arguments: name, positional and named arguments of each."""
    if isinstance(spelled, dict):
        if type(found := spelled.get("$module")) is list and [type(part) for part in found] == [str, list, dict]:
            yield found[0], found[1], found[2]
        spelled = list(spelled.values())
    for item in spelled if isinstance(spelled, list) else ():
        yield from _modules(item)


def check_structure(
    model: nn.Module, architecture: Architecture, facts: Mapping[str, Facts], path: str, changed: Sequence[str]
) -> None:
    """Raise if a model is not of the structure that was saved.

    Args:
        changed: modules whose text is another one now.

    Raises:
        ModelChanged: the message says in what it differs.
    """
    built = structure_of(model)
    found = changed_tensors(facts, built) + changed_layers(architecture.modules, built.modules)
    if not found:
        return
    why = f" The text of {', '.join(changed)} has changed since it was saved." if changed else ""
    stored = "; trust_source=True builds it from the source in the file, if you trust its author"
    raise ModelChanged(
        f"{architecture} builds another model than the one that was saved: {'; '.join(found[:6])}.{why}",
        path=path,
        found=found,
        hint="install the code as it was"
        + (stored if architecture.stored else "")
        + '; strict="report" loads what fits, and dotpt.models.load_report.report_of(model) says what that was',
    )


def is_as_saved(model: nn.Module, architecture: Architecture) -> bool:
    """Whether a model has the fingerprint of the one that was saved."""
    return structure_of(model).fingerprint == architecture.fingerprint


def renamed_in(model: nn.Module, architecture: Architecture) -> list[str]:
    """Classes that have another name than when the model was saved, a sentence each."""
    renamed = renamed_classes(architecture.modules, structure_of(model).modules)
    return [f"{old} is {new} now." for old, new in renamed.items()]


def changes_in(model: nn.Module, architecture: Architecture) -> list[str]:
    """Layers of torch that are other ones than in the model that was saved, a sentence each."""
    found = changed_layers(architecture.modules, structure_of(model).modules)
    return [f"{text[0].upper()}{text[1:]} in the model that was saved." for text in found]


def settle(model: nn.Module, device: Any, dtype: Any) -> nn.Module:
    """The model where, and in which type, the caller wants it."""
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise UsageError(f"dtype={dtype!r} is no type of torch.", hint="dtype=torch.float16")
    return model if device is None and dtype is None else model.to(device=device, dtype=dtype)


def check_example(
    model: nn.Module, archive: Archive, architecture: Architecture, dtype: Any, tolerance: float | None, hint: str
) -> float:
    """The largest difference between the model's outputs and the recorded ones.

    Raises:
        OutputsDiffer: it is too large; or the model raises.
    """
    example, recorded = read_example(archive), architecture.example
    seed = recorded.seed if recorded is not None else 0
    first = next(model.parameters(), next(model.buffers(), torch.empty(0)))

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        floats = dtype is not None and tensor.is_floating_point()
        return tensor.to(device=first.device, dtype=dtype if floats else None)

    args, kwargs = mapped(example["args"], moved), mapped(example["kwargs"], moved)
    return check_outputs(
        lambda: outputs_of(model, args, kwargs, seed),
        example["outputs"],
        tolerance,
        "The loaded model does not give the recorded outputs",
        archive.name,
        hint,
    )
