"""What a model is made of, as plain values: its modules, its tensors, and in what two models differ.

Nothing is changed here but by `take_types`, which gives a model that was just built the types that its tensors were
saved in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from dotpt.models.facts import Facts
from dotpt.models.stored_source import STORED_PREFIX

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Structure:
    """Attributes:
    modules: full name of the class of each module, by the module's path (``""`` is the model).
    tensors: facts of each tensor of the state dict, by name.
    buffers: types of the buffers that the state dict leaves out, by name.
    lazy: names of tensors that have no shape before the first input, or the weights, give them one.
    """

    modules: dict[str, str]
    tensors: dict[str, Facts]
    buffers: dict[str, str]
    lazy: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that name this structure."""
        tensors = {name: [list(facts.shape), facts.dtype] for name, facts in self.tensors.items()}
        text = json.dumps([self.modules, tensors, self.buffers], sort_keys=True, separators=(",", ":"))
        return sha256(text.encode()).hexdigest()


def structure_of(model: torch.nn.Module) -> Structure:
    """The structure of a model."""
    modules = {path: class_name(type(module)) for path, module in model.named_modules(remove_duplicate=False)}
    state = model.state_dict()
    tensors = {name: _facts(value) for name, value in state.items() if isinstance(value, torch.Tensor)}
    buffers = {name: _type(value) for name, value in model.named_buffers(remove_duplicate=False) if name not in state}
    lazy = frozenset(name for name, value in state.items() if isinstance(value, torch.Tensor) and is_lazy(value))
    return Structure(modules, tensors, buffers, lazy)


def class_name(owner: type) -> str:
    """The full name of a class; of one out of a file's source, the name that it has at home."""
    return f"{STORED_PREFIX.sub('', owner.__module__)}.{owner.__qualname__}"


def _facts(tensor: torch.Tensor) -> Facts:
    return Facts(() if is_lazy(tensor) else tuple(tensor.shape), _type(tensor))


def _type(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def changed_tensors(saved: Mapping[str, Facts], structure: Structure) -> list[str]:
    """In what the tensors of a new model differ from those that were saved, one sentence without its full stop each.

    Types are left out, for they are those of the weights.
    """
    found, built = [], structure.tensors
    missing, added = [name for name in saved if name not in built], [name for name in built if name not in saved]
    if missing:
        found.append(f"it lacks {_listed(missing)}")
    if added:
        found.append(f"it has {_listed(added)}, which the saved one has not")
    shaped = [name for name in saved if name in built and name not in structure.lazy]
    both = [name for name in shaped if saved[name].shape != built[name].shape]
    found += [f"{name} is {_shape(built[name])}, and was {_shape(saved[name])}" for name in both[:_SHOWN]]
    if len(both) > _SHOWN:
        found.append(f"{len(both) - _SHOWN:,} more tensors are of another shape")
    return found


def changed_layers(saved: Mapping[str, str], built: Mapping[str, str]) -> list[str]:
    """Where a layer of torch became another one, or came or went: what changes the outputs whatever the weights are.

    A class of somebody's own may have been moved or renamed, so another name of it says nothing.
    """
    found = []
    for path in saved.keys() | built.keys():
        old, new = saved.get(path), built.get(path)
        if old == new or not any(name and name.startswith("torch.nn.") for name in (old, new)):
            continue
        if old and new and old.rpartition(".")[2] == new.rpartition(".")[2].removeprefix("Lazy"):
            continue
        where = path or "the model"
        found.append(f"{where} is {_named(new)}, and was {_named(old)}")
    return sorted(found)


def renamed_classes(saved: Mapping[str, str], built: Mapping[str, str]) -> dict[str, str]:
    """Full name of a class when it was saved -> its name now, where these differ."""
    pairs = [(old, built[path]) for path, old in saved.items() if path in built and not old.startswith("torch.")]
    return {old: new for old, new in pairs if old != new}


def _named(name: str | None) -> str:
    return "not there" if name is None else f"a {name.rpartition('.')[2]}"


def _shape(facts: Facts) -> str:
    return "x".join(map(str, facts.shape)) or "a scalar"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN:,} more"


def take_types(model: torch.nn.Module, types: Mapping[str, str]) -> None:
    """Give tensors of a new model the types that they were saved in, by name; the objects, and so ties, stay."""
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    tensors |= dict(model.named_buffers(remove_duplicate=False))
    for name, tensor in tensors.items():
        wanted: Any = vars(torch).get(types.get(name, ""))
        if not isinstance(wanted, torch.dtype) or tensor.dtype == wanted or is_lazy(tensor):
            continue
        if type(tensor) not in _PLAIN or tensor.layout != torch.strided or tensor.is_quantized or "q" in str(wanted):
            continue
        if not (wanted.is_floating_point or wanted.is_complex):
            tensor.requires_grad_(False)
        tensor.data = tensor.data.to(wanted)
