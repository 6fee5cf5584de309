"""Where in a file the weights lie: pickled modules, and dictionaries of tensors, in whatever they are wrapped.

The layouts of the field: the module itself; Ultralytics' ``{"model": module, "ema": module or None, ...}``; Lightning's
``{"state_dict": ..., "hyper_parameters": ...}``; fairseq's ``{"model": ..., "args" or "cfg": ...}``; whisper's
``{"model_state_dict": ..., "dims": ...}``. A module is not looked into: what lies in it is its own.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dotpt.errors import AmbiguousWeights, NoWeights
from dotpt.pickling.tree import spelled
from dotpt.pickling.values import InertObject
from dotpt.rescue.modules import is_module
from dotpt.rescue.script import is_script_module
from dotpt.tensors.refs import TensorRef

_DEEPEST, _MOST, _MOST_PARTS = 4, 20_000, 1_000  # how deep is looked, and at how many values
_EMA = frozenset(("ema", "averaged", "average", "swa"))
_NO_WEIGHTS = frozenset((
    "optimizer", "optimizers", "optim", "optimizer_state_dict", "optimizer_states", "scheduler", "lr_scheduler",
    "lr_schedulers", "scaler", "rng", "rng_state", "callbacks", "loops", "criterion", "loss",
))  # fmt: skip
_FIRST = (
    "state_dict", "model_state_dict", "model", "net", "network", "module", "params", "generator", "student",
)  # fmt: skip
_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Found:
    """Something that holds weights.

    Attributes:
        address: the keys that lead to it, joined by dots; ``""`` for the whole object.
        keys: the keys themselves.
        role: ``weights``, or ``ema`` where a key says that they are averages.
        value: a pickled module (`InertObject`), or a dictionary of tensors.
    """

    address: str
    keys: tuple[Any, ...]
    role: str
    value: Any

    @property
    def is_module(self) -> bool:
        """Whether it is a pickled module."""
        return is_module(self.value) or is_script_module(self.value)


def in_file(value: Any) -> bool:
    """Whether a value is a tensor of a file, or the packed parameters of a quantized layer, whose parts are."""
    if type(value) is TensorRef:
        return value.dtype.name != "uint8" or len(value.shape) != 1  # bytes: the state of a generator
    return type(value) is tuple and bool(value) and all(type(item) is TensorRef or item is None for item in value)


def find_all(tree: Any, is_weight: Callable[[Any], bool] = in_file) -> list[Found]:
    """Everything in a file that holds weights, in its order.

    Args:
        tree: as `Archive.tree` gives it.
        is_weight: whether a value in a dictionary is a tensor; `dotpt.models.find` looks for those in memory, too.

    Example:
        >>> import dotpt
        >>> with dotpt.open("tests/corpus/fixtures/zip/module.pt") as archive:
        ...     [(found.address, found.role) for found in find_all(archive.tree)]
        [('', 'weights')]
    """
    found: list[Found] = []
    seen: set[int] = set()
    dictionaries = _Dictionaries(is_weight)
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), tree)]
    while waiting and len(seen) < _MOST:
        keys, value = waiting.pop()
        if id(value) in seen:
            continue
        if is_module(value) or is_script_module(value) or dictionaries.hold_weights(value):
            role = "ema" if any(_says_ema(key) for key in keys) else "weights"
            found.append(Found(".".join(map(spelled, keys)), keys, role, value))
            continue
        seen.add(id(value))
        if len(keys) < _DEEPEST:
            waiting += reversed([((*keys, key), child) for key, child in _parts(value)])
    return found


def find_module(tree: Any, where: str = "auto") -> Found | None:
    """The pickled module of a checkpoint: the root, or under ``model``, ``ema``, ``net``, ...

    Args:
        tree: as `Archive.tree` gives it.
        where: ``"auto"``: averages only if there is nothing else; ``"ema"``; or an address.

    Returns:
        What was found, or None if there is no module (there).
    """
    candidates = [found for found in find_all(tree) if found.is_module]
    if where not in ("auto", "ema"):
        return next((found for found in candidates if found.address == where), None)
    taken = [found for found in candidates if found.role == "ema"]
    if where == "auto":
        taken = [found for found in candidates if found.role == "weights"] or taken
    return _preferred(taken) if taken else None


def choose(
    tree: Any,
    where: str = "auto",
    *,
    name: str = "",
    argument: str = "where",
    is_weight: Callable[[Any], bool] = in_file,
) -> tuple[Found, list[Found]]:
    """The weights to take from a file, and what else could have been taken.

    Args:
        tree, is_weight: as for `find_all`.
        where: as for `find_module`.
        name: the file's, for errors.
        argument: what the user calls ``where``, for errors.

    Raises:
        NoWeights: there are none (there); the message says what there is.
        AmbiguousWeights: there are several networks, and no key tells which is meant.
    """
    candidates = find_all(tree, is_weight)
    if where not in ("auto", "ema"):
        taken = [found for found in candidates if found.address == where]
    else:
        taken = [found for found in candidates if found.role == "ema"]
        if where == "auto":
            taken = [found for found in candidates if found.role == "weights"] or taken
    if not taken:
        raise _no_weights(tree, candidates, where, name, argument)
    best = _preferred(taken)
    if best is None:
        addresses = [found.address for found in taken]
        raise AmbiguousWeights(
            f"The file holds several networks: {', '.join(addresses[:6])}{', ...' if len(addresses) > 6 else ''}.",
            path=name or None,
            found=addresses,
            hint=f'{argument}="{addresses[0]}" (--{argument} {addresses[0]} on the command line)',
        )
    return best, [found for found in candidates if found is not best]


def _preferred(taken: list[Found]) -> Found | None:
    """The one that the field's conventions name, where several are left; None if they name none."""
    if len(taken) == 1:
        return taken[0]
    modules = [found for found in taken if found.is_module]
    if len(modules) == 1:
        return modules[0]
    for name in _FIRST:
        for found in modules or taken:
            if found.keys and found.keys[-1] == name and len(found.keys) == min(len(other.keys) for other in taken):
                return found
    shallow = min(len(found.keys) for found in taken)
    top = [found for found in taken if len(found.keys) == shallow]
    return top[0] if len(top) == 1 or top[0].role == "ema" else None


def _no_weights(tree: Any, candidates: list[Found], where: str, name: str, argument: str) -> NoWeights:
    there = ", ".join(found.address or "the whole object" for found in candidates[:6])
    if candidates:
        problem = f"There are no weights at {where!r}; there are some at: {there}."
        hint = f"{argument}={candidates[0].address!r}, or leave it out"
    else:
        keys = [spelled(key) for key, _ in _parts(tree)][:8]
        problem = "The file holds neither a module nor a state dict."
        problem += f" Its keys are: {', '.join(keys)}." if keys else ""
        hint = f"`dotpt inspect {name or 'FILE'}` says what it is"
    return NoWeights(problem, path=name or None, hint=hint)


def _is_dictionary(value: Any) -> bool:
    return isinstance(value, Mapping) or (type(value) is InertObject and bool(value.pairs))


def entries_of(value: Any) -> list[tuple[Any, Any]]:
    """The entries of a dictionary, also of one of a class of its own."""
    if isinstance(value, Mapping):
        return list(value.items())
    return [pair for pair in value.pairs if type(pair) is tuple and len(pair) == 2] if _is_dictionary(value) else []


class _Dictionaries:
    """Which dictionaries are state dicts. Each is looked at once, though a stranger may have put it in many places."""

    def __init__(self, is_weight: Callable[[Any], bool]) -> None:
        self._is_weight = is_weight
        self._known: dict[int, tuple[Any, bool]] = {}  # id -> (value, kept alive so that ids stay unique; answer)

    def hold_weights(self, value: Any) -> bool:
        """Whether most values of a dictionary are tensors under names, and no such dictionary lies in it."""
        if isinstance(value, Mapping) and isinstance(getattr(value, "_metadata", None), Mapping):
            return True  # as module.state_dict() makes it, whatever is in it
        if not self._has_most(value):
            return False
        beside = (item for key, item in entries_of(value) if not _is_extra(key))
        return not any(is_module(item) or is_script_module(item) or self._has_most(item) for item in beside)

    def _has_most(self, value: Any) -> bool:
        if not _is_dictionary(value):
            return False
        if id(value) not in self._known:
            entries = [(key, item) for key, item in entries_of(value) if not _is_extra(key)]
            tensors = sum(1 for key, item in entries if type(key) is str and self._is_weight(item))
            self._known[id(value)] = value, tensors > 0 and 2 * tensors > len(entries)
        return self._known[id(value)][1]


def _is_extra(key: Any) -> bool:
    """Whether a key is one under which a module keeps what it likes (`Module.get_extra_state`)."""
    return type(key) is str and key.endswith("_extra_state")


def children_of(value: Any) -> list[tuple[Any, Any]]:
    """The parts of a checkpoint, whatever holds them: entries, items or attributes."""
    if _is_dictionary(value):
        return entries_of(value)
    if type(value) in (list, tuple):
        return list(enumerate(value))
    if type(value) is Namespace:
        return list(vars(value).items())
    return list(value.attributes.items()) if type(value) is InertObject else []


def _parts(value: Any) -> list[tuple[Any, Any]]:
    """The parts of a checkpoint that may hold weights."""
    parts = children_of(value)[:_MOST_PARTS]
    if any(key == "param_groups" for key, _ in parts if type(key) is str):
        return []  # an optimizer, whose state is made of tensors by name, too
    return [(key, item) for key, item in parts if not (type(key) is str and key.lower() in _NO_WEIGHTS)]


def _says_ema(key: Any) -> bool:
    return type(key) is str and not _EMA.isdisjoint(word.lower() for word in _SPLIT.split(key[:200]))
