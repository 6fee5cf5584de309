"""The plain values beside the weights of a file, part by part, and what is said of those that are not plain."""

from __future__ import annotations

from typing import Any

from dotpt.pickling.tree import ATOMS, spelled
from dotpt.rescue.find import Found, children_of, entries_of
from dotpt.rescue.notes import Notes
from dotpt.rescue.plain_values import CLASS, NOTHING, PlainValues
from dotpt.rescue.state import Look

_BESIDE = (int, float, bool, str, type(None))


def values_beside(tree: Any, found: Found, look: Look, notes: Notes) -> dict[Any, Any]:
    """The values of a file by key; those of a module that was taken are its hyper-parameters.

    Args:
        tree: the whole object.
        found: the weights that were taken from it.
        look: what a record says of its module.
        notes: where it is said what is not among the values.
    """
    own = PlainValues().of_module(look(found.value)) if found.is_module else _beside(found.value)
    if not found.keys:
        return own
    values: dict[Any, Any] = {}
    owner = getattr(tree, "type_name", None)
    if owner is not None:
        values[CLASS] = owner
    for key, value in children_of(tree):
        name = key if type(key) in ATOMS else spelled(key)[:200]
        if value is found.value:
            if found.is_module or own:
                values[name] = own
            continue
        plain = PlainValues(frozenset((id(found.value),)))
        made = plain.of(value)
        if made is not NOTHING:
            values[name] = made
        _say_what_is_missing(str(name), plain, notes)
    if own and len(found.keys) > 1:
        values[found.address] = own
    return values


def lies_beside(held: Any, key: Any, value: Any) -> bool:
    """Whether an entry of a dictionary of tensors is an epoch or the like that somebody laid beside them.

    What ``module.state_dict()`` gave has ``_metadata``, and all of it is state.
    """
    if isinstance(getattr(held, "_metadata", None), dict) or (type(key) is str and "." in key):
        return False
    return type(value) in _BESIDE


def _beside(held: Any) -> dict[Any, Any]:
    return {key: value for key, value in entries_of(held) if type(key) in ATOMS and lies_beside(held, key, value)}


def _say_what_is_missing(name: str, plain: PlainValues, notes: Notes) -> None:
    if plain.tensors:
        many = f"{plain.tensors:,} tensors that are" if plain.tensors > 1 else "a tensor that is"
        notes.add(
            f"{name} also holds {many} not in the state dict; dotpt.open(...).tensors has every tensor of the file"
        )
    if plain.cut:
        notes.add(f"{name} is too deep, too large, or holds itself: not all of its values are shown")
