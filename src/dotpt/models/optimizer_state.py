"""The state of an optimizer as a file holds it: found in a checkpoint, and read into groups, ids and entries.

What crosses this boundary: a decoded tree or a live checkpoint in, a `SavedOptimizer` out. Invariant: no tensor is
read and nothing is changed; what is looked at are names, shapes and plain values.

```text
{"state": {0: {"step": ..., "exp_avg": ...}, ...},           torch.optim: an entry for each id
 "param_groups": [{"lr": 0.1, ..., "params": [0, 1]}, ...]}  which ids are in which group, and "param_names"
{"state": {"layer.weight": {...}}, "param_groups": [{..., "params": ["layer.weight"]}]}   torch.distributed: by name
{"state.layer.weight.exp_avg": ..., "param_groups.layer.weight.lr": ...}                  the same, flattened
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dotpt.errors import AmbiguousOptimizer, NoOptimizer, OptimizerMismatch

Id = int | str
Shape = tuple[int, ...]

_DEPTH = 6  # optimizers lie no deeper than this in any checkpoint that dotpt knows of
_STATE, _GROUPS = "state", "param_groups"

# What optimizers keep in the parameter's own shape. Source: torch.optim 2.13; Lion, bitsandbytes, timm, transformers.
_ALIKE = frozenset(
    "exp_avg exp_avg_sq max_exp_avg_sq exp_inf momentum_buffer square_avg grad_avg acc_delta sum prev step_size ax "
    "variance exp_avg_diff previous_grad master_param exp_avg_slow z state1 state2".split()
)
# What Adafactor keeps of a matrix: (its name of the rows, its name of the columns, whether a 1 marks the other side).
_FACTORS = (("row_var", "col_var", True), ("exp_avg_sq_row", "exp_avg_sq_col", False))


@dataclass(frozen=True, slots=True)
class SavedGroup:
    """One of the saved ``param_groups``.

    Attributes:
        ids: the saved ids of its parameters, in order.
        settings: its hyper-parameters (``lr``, ``betas``, ...), as they lie in the file.
        names: the ``param_names`` beside them, if they were saved.
    """

    ids: tuple[Id, ...]
    settings: dict[str, Any]
    names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SavedOptimizer:
    """The ``state_dict()`` of an optimizer, as it lies in a file.

    Attributes:
        address: where it lies: ``""`` for the whole object.
        groups: its groups of parameters.
        state: what it keeps for each parameter that it keeps anything for, by saved id.
        extra: what it keeps for no parameter in particular, by key.
        orphans: ids that it keeps something for, though they are in none of its groups.
    """

    address: str
    groups: tuple[SavedGroup, ...]
    state: dict[Id, dict[str, Any]]
    extra: dict[str, Any] = field(default_factory=dict)
    orphans: tuple[Id, ...] = ()

    @property
    def ids(self) -> list[Id]:
        """Every saved id, group after group."""
        return [id_ for group in self.groups for id_ in group.ids]


# -- finding it ---------------------------------------------------------------------------------------------------


def find_optimizer(tree: Any, address: str = "auto") -> SavedOptimizer:
    """The state of the optimizer in a checkpoint.

    Args:
        tree: `Archive.tree`, or what ``torch.load`` gives: a checkpoint, or the state alone.
        address: where it lies (``optimizer``, ``optimizer_states.0``); ``auto`` where there is only one.

    Raises:
        NoOptimizer: there is none.
        AmbiguousOptimizer: there are several, and ``address`` does not say which.

    Example:
        >>> find_optimizer({"epoch": 3, "optimizer": {"state": {}, "param_groups": []}}).address
        'optimizer'
    """
    found = dict(_optimizers(tree))
    if address != "auto":
        found = {at: state for at, state in found.items() if at == address} or {
            at: state for at, state in found.items() if at.startswith(f"{address}.")
        }
    if not found:
        raise _none_there(tree, address)
    if len(found) > 1:
        raise AmbiguousOptimizer(
            f"There are {len(found):,} optimizers in the checkpoint: {', '.join(list(found)[:8])}.",
            found=list(found),
            hint=f"say which one this is: address={next(iter(found))!r}",
        )
    return read_optimizer(*found.popitem())


def _optimizers(tree: Any) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    level: list[tuple[str, Any, int]] = [("", tree, 0)]
    seen: set[int] = set()
    while level:
        address, value, depth = level.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if _is_optimizer(value):
            yield address, value
        elif depth < _DEPTH:
            level += reversed([(f"{address}.{key}" if address else str(key), child, depth + 1)
                               for key, child in _parts(value)])  # fmt: skip


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if type(value) in (list, tuple) else ()
    for key, child in items:
        if type(key) in (str, int) and isinstance(child, (Mapping, list, tuple)):
            yield key, child


def _is_optimizer(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    groups = value.get(_GROUPS)
    if isinstance(value.get(_STATE), Mapping) and isinstance(groups, (list, tuple)):
        return all(isinstance(group, Mapping) and "params" in group for group in groups)
    return _is_flat(value)


def _is_flat(value: Mapping[Any, Any]) -> bool:
    keys = [key for key in value if isinstance(key, str) and key.startswith((f"{_STATE}.", f"{_GROUPS}."))]
    return bool(keys) and len(keys) == len(value) and any(key.startswith(f"{_GROUPS}.") for key in keys)


def _none_there(tree: Any, address: str) -> NoOptimizer:
    held = ", ".join(str(key) for key in list(tree)[:8]) if isinstance(tree, Mapping) else type(tree).__name__
    where = "in it" if address == "auto" else f"at the address {address}"
    there = ", ".join(at or '""' for at, _ in _optimizers(tree))
    return NoOptimizer(
        f"There is no state of an optimizer {where}; it holds {held or 'nothing'}.",
        key=None if address == "auto" else address,
        hint=f"address={there!r}"
        if there
        else "save it too: dotpt.save({'model': model.state_dict(), 'optimizer': optimizer.state_dict()}, path)",
    )


# -- reading it ---------------------------------------------------------------------------------------------------


def read_optimizer(address: str, value: Mapping[Any, Any]) -> SavedOptimizer:
    """Groups, ids and entries of a ``state_dict()``, in any of its three spellings.

    Raises:
        OptimizerMismatch: it has the outline of one, and is none.
    """
    if _GROUPS not in value:
        value = _unflattened(value)
    groups = tuple(_group(group, address) for group in value[_GROUPS])
    ids = [id_ for group in groups for id_ in group.ids]
    if len(set(ids)) != len(ids):
        raise _malformed(address, "a parameter is in two of its groups")
    known, state, extra, orphans = set(ids), {}, {}, []
    for key, entry in value[_STATE].items():
        if _is_id(key) and key in known:
            if not isinstance(entry, Mapping):
                raise _malformed(address, f"what it keeps for the parameter {key} is no dictionary")
            state[key] = dict(entry)
        elif isinstance(key, str):
            extra[key] = entry
        else:
            orphans.append(key)
    return SavedOptimizer(address, groups, state, extra, tuple(orphans))


def _group(group: Mapping[Any, Any], address: str) -> SavedGroup:
    ids = group["params"]
    if not isinstance(ids, (list, tuple)) or not all(_is_id(id_) for id_ in ids):
        raise _malformed(address, "the parameters of a group are neither numbers nor names")
    names = group.get("param_names")
    sound = isinstance(names, (list, tuple)) and len(names) == len(ids) and all(isinstance(n, str) for n in names)
    settings = {key: value for key, value in group.items() if key not in ("params", "param_names")}
    return SavedGroup(tuple(ids), settings, tuple(names) if sound and names is not None else None)


def _is_id(value: Any) -> bool:
    return type(value) in (int, str)


def _malformed(address: str, why: str) -> OptimizerMismatch:
    return OptimizerMismatch(
        f"The state of the optimizer is not what torch's optimizers write: {why}.",
        key=address or None,
        hint="`dotpt show FILE` shows what it holds",
    )


def _unflattened(value: Mapping[Any, Any]) -> dict[str, Any]:
    """``flatten_optimizer_state_dict`` of torch.distributed.checkpoint taken back: groups are those of one setting."""
    state: dict[str, dict[str, Any]] = {}
    settings: dict[str, dict[str, Any]] = {}
    for key, part in value.items():
        into = state if key.startswith(f"{_STATE}.") else settings
        name, _, setting = key.partition(".")[2].rpartition(".")
        into.setdefault(name, {})[setting] = part
    groups: dict[str, dict[str, Any]] = {}
    for name, own in settings.items():
        group = groups.setdefault(repr(sorted(own.items(), key=lambda item: item[0])), {**own, "params": []})
        group["params"].append(name)
    return {_STATE: state, _GROUPS: list(groups.values())}


# -- what an entry says of its parameter ----------------------------------------------------------------------------


def shape_of(value: Any) -> Shape | None:
    """The shape of a tensor, a reference to one, or an array; None for anything else."""
    shape = getattr(value, "shape", None)
    return None if shape is None else tuple(int(size) for size in shape)


def shape_kept(entry: Mapping[str, Any]) -> Shape | None:
    """The shape of the parameter that an optimizer keeps ``entry`` for, as far as the entry tells.

    Example:
        >>> from dotpt.models.facts import Facts
        >>> shape_kept({"step": Facts((), "float32"), "exp_avg": Facts((3, 4), "float32")})
        (3, 4)
        >>> shape_kept({"row_var": Facts((3, 1), "float32"), "col_var": Facts((1, 4), "float32")})
        (3, 4)
    """
    shapes = {key: shape for key, value in entry.items() if (shape := shape_of(value)) is not None}
    alike = [shape for key, shape in shapes.items() if key in _ALIKE]
    if alike:
        return next((shape for shape in alike if shape), ())
    for rows, columns, marked in _FACTORS:
        if shapes.get(rows) and shapes.get(columns):
            return (*shapes[rows][:-1], shapes[columns][-1]) if marked else (*shapes[rows], shapes[columns][-1])
    if keeps_for_all(entry):
        return None
    own = {shape for shape in shapes.values() if shape}
    return own.pop() if len(own) == 1 else None


def keeps_for_all(entry: Mapping[str, Any]) -> bool:
    """Whether the entry is LBFGS's, which keeps one for all parameters in a row, under the first one's id."""
    return "func_evals" in entry and "n_iter" in entry


def length_kept(entry: Mapping[str, Any]) -> int | None:
    """How many elements all parameters have together, as far as LBFGS's entry tells."""
    shape = shape_of(entry.get("d")) or shape_of(entry.get("prev_flat_grad"))
    return shape[0] if shape else None
