"""Find the weights in any checkpoint: a file's tree, or dictionaries in memory.

What crosses this boundary: the object that was saved in; names and tensors out (unread, if they are a file's), and
where they lay. Invariants: averaged weights are taken only if they are asked for or nothing else is there, and then it
is said; of several networks none is guessed.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dotpt.archive.archive import Archive
from dotpt.errors import AmbiguousWeights, NoWeights
from dotpt.models.wrappers import unwrap
from dotpt.pickling.values import InertObject
from dotpt.rescue.find import Found, children_of, choose, entries_of, find_all, in_file
from dotpt.rescue.modules import view_of
from dotpt.rescue.notes import Notes
from dotpt.rescue.plain_state import Unsaid, as_state
from dotpt.rescue.script import ScriptModules, is_script_module
from dotpt.rescue.state import ModuleState, state_of

_NAMED = 8  # keys that an error shows


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a file or of a dictionary in memory.

    Attributes:
        address: where they lay: ``model``, ``state.model``; ``""`` for the whole object.
        role: ``weights``, or ``ema`` for averaged ones.
        state: names and values: `TensorRef` for a tensor of a file, else the tensor or array as it is in memory, or a
            value that is no tensor (the extra state of a module).
        metadata: the versions of the modules' classes (``_metadata`` of a state dict), if there are any.
        others: addresses of other weights, which were not taken.
        notes: what a person should know of the choice, one sentence each.
    """

    address: str
    role: str
    state: dict[str, Any]
    metadata: dict[str, Any] | None = None
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_weights(tree: Any, where: str = "auto", *, name: str = "", want: Collection[str] = ()) -> Weights:
    """The weights in a checkpoint.

    Args:
        tree: an open archive, its ``tree``, or what is in memory: a state dict, a checkpoint, a model. (A TorchScript
            file has to come as an archive: which of its tensors are constants stands in its program.)
        where: ``"auto"`` takes averaged weights only if there are no others; ``"ema"``; or an address: ``"model"``.
        name: the file's, for errors.
        want: the names of the model. Of several networks the one is taken that has most of them.

    Raises:
        NoWeights: there are none (there); the message says what there is.
        AmbiguousWeights: there are several networks, and neither a key nor the model's names tell which is meant.

    Example:
        >>> import numpy as np
        >>> found = find_weights({"epoch": 3, "state_dict": {"fc.weight": np.zeros((2, 2))}})
        >>> found.address, list(found.state)
        ('state_dict', ['fc.weight'])
    """
    archive = tree if isinstance(tree, Archive) else None
    if archive is not None:
        tree, name = archive.tree, name or archive.name
    tree = _with_states(tree)
    found, others, why = _choose(tree, where, name, want)
    state = _state_of(found, archive)
    notes = _notes(found, others, why) if where == "auto" else []
    return Weights(
        found.address,
        found.role,
        dict(state.state),
        dict(state.metadata) or None,
        tuple(other.address for other in others),
        (*notes, *state.notes),
    )


def _notes(found: Found, others: list[Found], why: str) -> list[str]:
    """What is to be said of a choice that the user has left to us."""
    notes = []
    if found.role == "ema":
        notes.append(f"The averaged weights at {_place(found)} were taken, for there are no others.")
    if others:
        places = ", ".join(_place(other) for other in others[:_NAMED])
        rest = f" and {len(others) - _NAMED:,} more places" if len(others) > _NAMED else ""
        notes.append(f"Taken from {_place(found)}{why}; there are other weights at {places}{rest}.")
    return notes


def is_weight(value: Any) -> bool:
    """Whether a value is a tensor: one of a file, or one in memory, torch's or numpy's (of numbers, with a shape)."""
    if in_file(value):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return value.dtype is not torch.uint8 or value.dim() != 1  # bytes: the state of a generator
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray) and value.ndim > 0 and value.dtype.kind in "fciubV"


def _with_states(tree: Any) -> Any:
    """The object, with the state dict of every live module in the place of the module."""
    torch = sys.modules.get("torch")
    if torch is None:
        return tree
    if isinstance(tree, torch.nn.Module):
        return tree.state_dict()
    if not isinstance(tree, Mapping) or not any(isinstance(value, torch.nn.Module) for value in tree.values()):
        return tree
    return {key: value.state_dict() if isinstance(value, torch.nn.Module) else value for key, value in tree.items()}


def _choose(tree: Any, where: str, name: str, want: Collection[str]) -> tuple[Found, list[Found], str]:
    """What to take, what else there is, and why, if no key told."""
    try:
        found, others = choose(tree, where, name=name, argument="weights", is_weight=is_weight)
    except AmbiguousWeights:
        best = _best(find_all(tree, is_weight), want)
        if best is None:
            raise
        return best, _others(tree, best), ", whose names are those of the model"
    except NoWeights:
        there = _beside(tree) if where in ("auto", "ema") else _addressed(tree, where)
        if there is None:
            raise
        return there, _others(tree, there), ""
    if where == "auto" and others and want and not _hits(found, want):
        best = _best([other for other in others if other.role == found.role], want)
        if best is not None:
            return best, _others(tree, best), ", whose names are those of the model"
    return found, others, ""


def _others(tree: Any, taken: Found) -> list[Found]:
    return [found for found in find_all(tree, is_weight) if found.address != taken.address]


def _place(found: Found) -> str:
    return found.address or "the whole object"


def _best(candidates: list[Found], want: Collection[str]) -> Found | None:
    """The candidate that has most of a model's names, if it is one alone."""
    ranked = sorted(((_hits(found, want), -at) for at, found in enumerate(candidates)), reverse=True)
    if not ranked or not ranked[0][0] or (len(ranked) > 1 and ranked[1][0] == ranked[0][0]):
        return None
    return candidates[-ranked[0][1]]


def _hits(found: Found, want: Collection[str]) -> int:
    """How many of the model's names a candidate has, wrappers' prefixes aside."""
    names = list(_state_of(found, None).state)
    unwrapped = unwrap(names, want)
    return len(set(want) & set(unwrapped.names.values() if unwrapped else names))


def _addressed(tree: Any, where: str) -> Found | None:
    """A dictionary at an address that the user names, though only some of its values are tensors."""
    if not where:  # the whole object, whatever its keys look like
        return Found("", (), "weights", tree) if isinstance(tree, Mapping) else None
    value, keys = tree, where.split(".")
    for at, key in enumerate(keys):
        parts = {str(name): part for name, part in children_of(value)}
        rest = ".".join(keys[at:])
        if rest in parts:  # a key with dots in it
            value = parts[rest]
            break
        if key not in parts:
            return None
        value = parts[key]
    has_some = isinstance(value, Mapping) and any(is_weight(item) for item in value.values())
    return Found(where, tuple(keys), "weights", value) if has_some else None


def _beside(tree: Any) -> Found | None:
    """Tensors that lie beside an epoch, say, in one dictionary: those under the names of parameters."""
    if not isinstance(tree, Mapping):
        return None
    weights = {key: value for key, value in tree.items() if type(key) is str and "." in key and is_weight(value)}
    return Found("", (), "weights", weights) if weights else None


def _state_of(found: Found, archive: Archive | None) -> ModuleState:
    if not found.is_module or not isinstance(found.value, InertObject):
        return _state_of_dictionary(found.value)
    if archive is None:
        if is_script_module(found.value):
            raise NoWeights(
                "Which tensors of a TorchScript file are weights stands in its program, not in its tree.",
                hint="pass the path, or the open archive",
            )
        return state_of(found.value)
    notes = Notes()
    look = ScriptModules(archive.contents.container, notes) if is_script_module(found.value) else view_of
    state = state_of(found.value, limits=archive.options.limits, look=look)
    return replace(state, notes=[*state.notes, *notes.lines])


def _state_of_dictionary(held: Any) -> ModuleState:
    """The entries as they are; a tensor subclass of a file gives the plain tensor within, if it has one."""
    state, notes = ModuleState(), Notes()
    for key, value in entries_of(held):
        name = key if type(key) is str else str(key)
        if name in state.state:
            notes.add(f"{name}: two values have this name; the later one was left out")
            continue
        try:
            state.state[name] = as_state(value, notes, name) if type(value) is InertObject else value
        except Unsaid as unsaid:
            notes.add(f"{name}: {unsaid}; it was left out")
    metadata = getattr(held, "_metadata", None)
    if isinstance(metadata, Mapping):
        state.metadata.update({key: value for key, value in metadata.items() if type(key) is str})
    state.notes = notes.lines
    return state
