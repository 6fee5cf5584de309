"""Which parameter of the model each saved id is: by the names in the file, by the order of its weights, or by position.

What crosses this boundary: a `SavedOptimizer`, the facts of a live model and its optimizer, and the weights that were
saved with it in; a `Naming` out. Invariant: an id gets a name only where the file says it, or where shapes and order
leave no choice, or where torch itself would take the same one and the model has not changed; the rest stays open.

In order of trust:

1. names in the file: ``param_names`` (torch 2.6 on), or ids that are names (torch.distributed);
2. weights in the file: if they are those of the model, name by name and shape by shape, and the groups are as long as
   they were, position decides; otherwise the only assignment that keeps their order (`optimizer_alignment`);
3. nothing of that: position, if the groups are as long as they were and no shape speaks against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dotpt.models.facts import Facts
from dotpt.models.optimizer_alignment import align
from dotpt.models.optimizer_state import Id, SavedOptimizer, Shape, shape_kept, shape_of
from dotpt.models.rules import Rules
from dotpt.models.wrappers import unwrap

NO_RULES = Rules()
# Buffers of torch.nn by the end of their names; those of the live model are known anyway.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "position_ids")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is known of a live model.

    Attributes:
        parameters: its parameters in order, by their first name, with their shapes.
        same: every name of a parameter -> its first name; tied parameters have several.
        buffers: names of its buffers.
    """

    parameters: dict[str, Shape]
    same: dict[str, str]
    buffers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Member:
    """A parameter of a live optimizer: its name in the model, its shape, its group."""

    name: str
    shape: Shape
    group: int


@dataclass(slots=True)
class Naming:
    """What the saved ids are.

    Attributes:
        how: ``names``, ``order`` or ``position``; "" where nothing tells.
        names: id -> name in the model; for a parameter that the model does not have, its name in the file.
        renamed: name in the file -> name in the model, where they differ.
        open: ids that state is kept for, and that could be several parameters.
        problem: why nothing could be named.
        notes: sentences for the report.
    """

    how: str = ""
    names: dict[Id, str] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    open: list[Id] = field(default_factory=list)
    problem: str | None = None
    notes: list[str] = field(default_factory=list)


Candidates = list[tuple[str, Shape]]


def name_ids(
    saved: SavedOptimizer,
    members: Sequence[Member],
    model: ModelFacts,
    find: Callable[[], Mapping[str, Any] | None],
    rules: Rules = NO_RULES,
) -> Naming:
    """Which parameter each saved id is.

    Args:
        members: the parameters of the live optimizer, group after group.
        find: gives the state dict that was saved with it (names -> anything with a shape), or None. It is only asked
            for where the file names no parameters.
        rules: how the file's names become the model's.
    """
    recorded = _recorded(saved)
    if recorded:
        facts = {name: _facts(shape_kept(saved.state.get(id_, {}))) for id_, name in recorded.items()}
        translated, notes = _translated(facts, model, rules)
        names = {id_: translated[name] for id_, name in recorded.items()}
        if len(set(names.values())) == len(names):
            return Naming("names", names, _changed(translated), notes=notes)
    weights = find() if saved.state else None
    if weights is None:
        return _by_position(saved, members, "there are no weights with it to tell the parameters by")
    return _by_weights(saved, members, model, weights, rules)


def _recorded(saved: SavedOptimizer) -> dict[Id, str]:
    """The names that the file gives; empty if it does not name every parameter."""
    if all(type(id_) is str and not id_.isdigit() for id_ in saved.ids):
        return {id_: str(id_) for id_ in saved.ids}
    if any(group.names is None for group in saved.groups if group.ids):
        return {}
    return {id_: name for group in saved.groups for id_, name in zip(group.ids, group.names or (), strict=True)}


def _translated(facts: Mapping[str, Facts], model: ModelFacts, rules: Rules) -> tuple[dict[str, str], list[str]]:
    """For each name in the file its first name in the model, or itself; and what was done to the names."""
    ruled, notes = _ruled(facts, rules) if rules else ({}, [])
    bare = {name: ruled.get(name, name) for name in facts}
    unknown = any(name not in model.same for name in bare.values())
    taken_off = unwrap(bare.values(), model.same) if unknown else None
    if taken_off:
        bare = {name: taken_off.names.get(now, now) for name, now in bare.items()}
        notes.append(f"{taken_off.words[:1].upper()}{taken_off.words[1:]}.")
    return {name: model.same.get(now, now) for name, now in bare.items()}, notes


def _ruled(facts: Mapping[str, Facts], rules: Rules) -> tuple[dict[str, str], list[str]]:
    """The names that rules give, for parameters that keep their values; others keep their names."""
    done = rules.apply(facts)
    notes = [f"The rule {rule} matches none of the names." for rule in done.idle]
    made = [name for name, recipe in done.recipes.items() if not recipe.plain]
    if made:
        notes.append(f"Rules rework {', '.join(made[:3])}; state is not reworked, and left out.")
    return {recipe.inputs[0]: name for name, recipe in done.recipes.items() if recipe.plain}, notes


def _facts(shape: Shape | None) -> Facts:
    return Facts(shape or (), "float32")


def _changed(translated: dict[str, str]) -> dict[str, str]:
    """Those that have another name now; of tied ones the first."""
    first: dict[str, str] = {}
    for old, new in translated.items():
        first.setdefault(new, old)
    return {old: new for new, old in first.items() if old != new}


# -- by position ----------------------------------------------------------------------------------------------------


def _by_position(saved: SavedOptimizer, members: Sequence[Member], why: str) -> Naming:
    if not _same_lengths(saved, members):
        ours, theirs = _lengths(saved, members)
        return Naming(
            problem=f"The file does not name its parameters, {why}, and its groups hold {theirs} parameters "
            f"where those of the optimizer hold {ours}"
        )
    if not _shapes_agree(saved, members):
        return Naming(problem=f"The file does not name its parameters, {why}, and by position their shapes differ")
    note = f"Parameters of one shape that have changed places would go unnoticed, for {why}."
    notes = [note] if saved.state else []
    return Naming("position", _positions(saved, members), notes=notes)


def _positions(saved: SavedOptimizer, members: Sequence[Member]) -> dict[Id, str]:
    return {id_: member.name for id_, member in zip(saved.ids, members, strict=True)}


def _same_lengths(saved: SavedOptimizer, members: Sequence[Member]) -> bool:
    ours, theirs = _lengths(saved, members)
    return ours == theirs


def _lengths(saved: SavedOptimizer, members: Sequence[Member]) -> tuple[list[int], list[int]]:
    """How many parameters each group has, here and in the file; groups without any do not count."""
    counts: dict[int, int] = {}
    for member in members:
        counts[member.group] = counts.get(member.group, 0) + 1
    return list(counts.values()), [len(group.ids) for group in saved.groups if group.ids]


def _shapes_agree(saved: SavedOptimizer, members: Sequence[Member]) -> bool:
    kept = (shape_kept(saved.state.get(id_, {})) for id_ in saved.ids)
    return all(shape in (None, member.shape) for shape, member in zip(kept, members, strict=True))


# -- by the weights -------------------------------------------------------------------------------------------------


def _by_weights(
    saved: SavedOptimizer, members: Sequence[Member], model: ModelFacts, weights: Mapping[str, Any], rules: Rules
) -> Naming:
    facts = {name: _facts(shape_of(value)) for name, value in weights.items() if isinstance(name, str)}
    translated, notes = _translated(facts, model, rules)
    candidates = _candidates(weights, translated, model)
    renamed = _changed(translated)
    unchanged = candidates == list(model.parameters.items()) or (
        _alphabetical(candidates) and dict(candidates) == model.parameters  # safetensors: the order is not the model's
    )
    candidates = _in_model_order(candidates, model) if _alphabetical(candidates) else candidates
    if unchanged and _same_lengths(saved, members) and _shapes_agree(saved, members):
        found = align(_shapes(saved), [shape for _, shape in candidates])
        if found is None or any(number is None for group in found for number in group):
            notes.append("That it is the same parameters that were in the saved optimizer is assumed.")
        return Naming("position", _positions(saved, members), renamed, notes=notes)
    if not candidates:
        return _by_position(saved, members, "its weights are in the order of the alphabet, which is not the model's")
    naming = _aligned(saved, members, model, candidates)
    naming.notes[:0] = notes
    naming.renamed = {old: new for old, new in renamed.items() if new in naming.names.values()}
    return naming


def _candidates(weights: Mapping[str, Any], translated: dict[str, str], model: ModelFacts) -> Candidates:
    """Names and shapes of the saved weights that can be parameters, in order, tied ones once."""
    found: dict[str, Shape] = {}
    seen: dict[Any, str] = {}
    for name, value in weights.items():
        shape = shape_of(value)
        if not isinstance(name, str) or shape is None or _is_buffer(translated[name], model):
            continue
        first = seen.setdefault(_identity(value), translated[name])
        apart = first in model.parameters and translated[name] in model.parameters
        if first == translated[name] or apart:
            found.setdefault(translated[name], shape)
    return list(found.items())


def _is_buffer(name: str, model: ModelFacts) -> bool:
    return name in model.buffers or (name not in model.parameters and name.rpartition(".")[2] in _BUFFERS)


def _identity(value: Any) -> Any:
    """Equal for tensors that are one: the same window on the same memory."""
    storage = getattr(value, "storage", None)
    if hasattr(value, "strides") and not callable(storage) and storage is not None:
        return id(storage), value.offset, value.shape, value.strides
    if hasattr(value, "data_ptr") and value.data_ptr():
        return value.data_ptr(), tuple(value.shape), tuple(value.stride())
    return id(value)


def _alphabetical(candidates: Candidates) -> bool:
    """Whether the order is that of the alphabet, as safetensors writes it, and so says nothing of the model's."""
    names = [name for name, _ in candidates]
    return len(names) > 2 and names == sorted(names)


def _in_model_order(candidates: Candidates, model: ModelFacts) -> Candidates:
    """The candidates as the model orders them; none if it does not have them all, for then nothing orders them."""
    held = dict(candidates)
    if list(model.parameters) == sorted(model.parameters):
        return candidates
    return [(name, held[name]) for name in model.parameters if name in held] if held.keys() <= model.same.keys() else []


def _aligned(saved: SavedOptimizer, members: Sequence[Member], model: ModelFacts, candidates: Candidates) -> Naming:
    groups, shapes = _shapes(saved), [shape for _, shape in candidates]
    found = align(groups, shapes)
    if found is None:
        return _by_position(saved, members, "the weights saved with it do not have the shapes of its state")
    naming = _named(saved, candidates, found)
    for allowed, note in _narrower(saved, members, model, candidates):
        if not naming.open:
            break
        narrowed = align(groups, shapes, allowed)
        if narrowed is not None:
            naming = _named(saved, candidates, narrowed)
            naming.notes = [note]
    return naming


def _shapes(saved: SavedOptimizer) -> list[list[Shape | None]]:
    return [[shape_kept(saved.state.get(id_, {})) for id_ in group.ids] for group in saved.groups]


def _narrower(
    saved: SavedOptimizer, members: Sequence[Member], model: ModelFacts, candidates: Candidates
) -> Iterator[tuple[list[frozenset[int]], str]]:
    """What the live optimizer says of where a saved id can be: which parameters it has, and in which groups."""
    where = {member.name: member.group for member in members}
    inside = frozenset(n for n, (name, _) in enumerate(candidates) if name in where or name not in model.parameters)
    yield [inside] * len(saved.groups), "That only parameters of this optimizer were in the saved one is assumed."
    if len(saved.groups) == len({*where.values()}):
        yield (
            [frozenset(n for n in inside if where.get(candidates[n][0], at) == at) for at in range(len(saved.groups))],
            "That parameters lie in the groups that they were saved in is assumed.",
        )


def _named(saved: SavedOptimizer, candidates: Candidates, found: list[list[int | None]]) -> Naming:
    naming = Naming("order")
    for group, numbers in zip(saved.groups, found, strict=True):
        for id_, number in zip(group.ids, numbers, strict=True):
            if number is not None:
                naming.names[id_] = candidates[number][0]
            elif saved.state.get(id_):
                naming.open.append(id_)
    return naming
