"""`load_optimizer`: the state of an optimizer, parameter by parameter, into one that may have others.

What crosses this boundary: a live optimizer, its model, and a checkpoint in; an `OptimizerReport` out. Invariant: until
everything is read and checked, the optimizer is not touched; then it gets all of it in one assignment, as torch does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch

from dotpt.archive.archive import Archive
from dotpt.archive.archive import open as open_archive
from dotpt.errors import AmbiguousWeights, NoWeights, OptimizerMismatch, UsageError
from dotpt.models.optimizer_kinds import HOW, Kind, kind_of, lacking, misfit
from dotpt.models.optimizer_names import Member, ModelFacts, name_ids
from dotpt.models.optimizer_plan import Plan, plan_of
from dotpt.models.optimizer_report import OptimizerReport, Setting
from dotpt.models.optimizer_state import SavedOptimizer, find_optimizer
from dotpt.models.rules import Rules
from dotpt.models.torch_optimizer_values import Placer, Reader, plain

_NO_SETTINGS = ("params", "param_names")


def load_optimizer(
    optimizer: Any,
    source: Any,
    *,
    model: Any,
    weights: Any = "auto",
    rules: Any = None,
    strict: Any = True,
    address: str = "auto",
) -> OptimizerReport:
    """Load the state of an optimizer by the names of its parameters.

    Parameters may have been added, removed, put into another order or into other groups since; each gets what was kept
    for it, and the report says what happened. The settings of the groups (``lr``, ``betas``, ...) become those of the
    file, except for ``foreach``, ``fused``, ``capturable`` and ``differentiable``. State keeps its precision, wherever
    the optimizer can step with it.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        source: a path, an address, an `Archive`, or a checkpoint in memory: the ``state_dict()`` of an optimizer, or
            anything that has one in it.
        model: the model whose parameters it has, or a dictionary of names and parameters.
        weights: what tells the parameters apart where the file does not name them: the weights saved with it, by their
            address in the file (``auto`` finds them), or another file's (``pathlib.Path``, `Archive`, state dict).
            None: nothing but their position.
        rules: how the names in the file become the model's, as `dotpt.load_into` takes them.
        strict: True refuses what cannot be placed with certainty; ``"report"`` and False load the rest, and say so.
        address: where the state lies (``optimizer_states.0``), if there are several.

    Raises:
        OptimizerMismatch: the state is another optimizer's, or cannot be placed; ``report`` says why. The optimizer is
            as it was.
        NoOptimizer: there is no state of an optimizer.
        AmbiguousOptimizer: there are several.

    Example:
        >>> model = torch.nn.Linear(2, 1)
        >>> saved = torch.optim.SGD(model.parameters(), lr=0.5).state_dict()
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> load_optimizer(optimizer, {"optimizer": saved}, model=model).settings
        [Setting(group=0, key='lr', file=0.5, before=0.1, now=0.5)]
    """
    if not (isinstance(strict, bool) or strict == "report"):
        raise UsageError(f"strict={strict!r} is not understood.", hint='use True or "report"')
    wishes = _Wishes(weights, Rules.of(rules), strict is True, address)
    if isinstance(source, (Archive, Mapping)):
        return _load(_Job(optimizer, source, model), wishes)
    with open_archive(source) as archive:
        return _load(_Job(optimizer, archive, model), wishes)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """The arguments of a call that say how: as those of `load_optimizer`."""

    weights: Any
    rules: Rules
    strict: bool
    address: str


class _Job:
    """One call: the live optimizer and the checkpoint, as facts and as objects.

    Attributes:
        members: the optimizer's parameters, as facts.
        parameters: the same ones by name, themselves.
        before: its groups as they were.
        model: what is known of the model.
        strangers: names made up for parameters that the model does not have.
    """

    def __init__(self, optimizer: Any, source: Archive | Mapping[Any, Any], model: Any) -> None:
        self.optimizer = optimizer
        self.archive = source if isinstance(source, Archive) else None
        self.tree = source.tree if isinstance(source, Archive) else source
        self.path = source.name if isinstance(source, Archive) else ""
        self.groups: list[dict[str, Any]] = optimizer.param_groups
        self.before = [dict(group) for group in self.groups]
        self.kind: Kind | None = None
        if str(getattr(type(optimizer).step, "__module__", "")).startswith("torch.optim."):
            _, self.kind = kind_of(type(optimizer).__mro__) or ("", None)
        self.members: list[Member] = []
        self.parameters: dict[str, Any] = {}
        self.strangers: set[str] = set()
        self.model = _facts(model)
        self._name_members(model)

    def _name_members(self, model: Any) -> None:
        names = {id(parameter): self.model.same[name] for name, parameter in _named(model)}
        for number, group in enumerate(self.groups):
            for place, parameter in enumerate(group["params"]):
                own = group["param_names"][place] if group.get("param_names") else None
                name = names.get(id(parameter)) or own or f"param_groups[{number}].params[{place}]"
                if id(parameter) not in names and own is None:
                    self.strangers.add(name)
                elif own is not None:
                    self.model.same.setdefault(own, name)
                self.members.append(Member(name, tuple(parameter.shape), number))
                self.parameters[name] = parameter

    def weights(self, where: Any, saved: SavedOptimizer, notes: list[str]) -> Mapping[str, Any] | None:
        """The state dict that was saved with the optimizer, None if there is none."""
        from dotpt.models.find import find_weights

        if where is None or (isinstance(where, Mapping) and not isinstance(where, Archive)):
            return where
        if isinstance(where, PathLike):
            with open_archive(where) as archive:
                return find_weights(archive, want=self.model.same).state
        if isinstance(where, Archive):
            return find_weights(where, want=self.model.same).state
        here = self.tree if self.archive is None else self.archive
        if where != "auto":
            return find_weights(here, where, want=self.model.same).state
        try:
            return find_weights(here, want=self.model.same).state if saved.address else None
        except AmbiguousWeights as error:
            notes.append(error.problem)
        except NoWeights:
            pass
        return None


def _named(model: Any) -> list[tuple[str, Any]]:
    if isinstance(model, torch.nn.Module):
        return list(model.named_parameters(remove_duplicate=False))
    if isinstance(model, Mapping):
        return list(model.items())
    raise UsageError(
        f"model= takes a module, or a dictionary of parameters, not {type(model).__name__}.",
        hint="pass the model whose parameters the optimizer has",
    )


def _facts(model: Any) -> ModelFacts:
    first: dict[int, str] = {}
    same = {name: first.setdefault(id(parameter), name) for name, parameter in _named(model)}
    parameters = {name: tuple(parameter.shape) for name, parameter in _named(model) if same[name] == name}
    buffers = frozenset(dict(model.named_buffers())) if isinstance(model, torch.nn.Module) else frozenset[str]()
    return ModelFacts(parameters, same, buffers)


# -- the plan -------------------------------------------------------------------------------------------------------


def _load(job: _Job, wishes: _Wishes) -> OptimizerReport:
    saved = _found(job, wishes.address)
    report = OptimizerReport(type(job.optimizer).__name__, job.path, saved.address)
    naming = name_ids(
        saved, job.members, job.model, lambda: job.weights(wishes.weights, saved, report.notes), wishes.rules
    )
    plan = plan_of(saved, naming, job.members, len(job.groups), report)
    reader = Reader(job.archive)
    settings = [{} if at is None else reader.read(saved.groups[at].settings) for at in plan.groups]
    groups = _with_names(job, saved, [_group(*both) for both in zip(job.groups, settings, strict=True)])
    other = _misfit(job, saved)
    report.problems[:0] = [other] if other else _problems(job, saved, plan, groups, report)
    if report.problems and (wishes.strict or other or not plan.placed):
        report.settings = _differences(job.groups, settings, job.groups)
        if wishes.strict:
            raise _refused(job, report, other)
        report.unplaced, report.matched = [*report.matched, *report.unplaced], []
        return report
    placer = Placer(job.kind)
    _assign(job, _state(job, saved, plan, groups, reader, placer), groups, report)
    report.settings, report.cast = _differences(job.before, settings, job.optimizer.param_groups), placer.cast
    report.notes += placer.notes(report.optimizer)
    report.loaded = True
    return report


def _found(job: _Job, address: str) -> SavedOptimizer:
    try:
        return find_optimizer(job.tree, address)
    except OptimizerMismatch as error:
        error.path = error.path or job.path or None
        raise


def _misfit(job: _Job, saved: SavedOptimizer) -> str | None:
    live = [frozenset(entry) for entry in job.optimizer.state.values() if isinstance(entry, Mapping) and entry]
    kept = frozenset.intersection(*live) if live else frozenset[str]()
    settings = [group.settings for group in saved.groups]
    return misfit(type(job.optimizer).__name__, job.kind, job.optimizer.defaults, settings, saved.state.values(), kept)


def _problems(
    job: _Job, saved: SavedOptimizer, plan: Plan, groups: list[dict[str, Any]], report: OptimizerReport
) -> list[str]:
    """What else speaks against it: parameters of no model, keys that are not there, parameters without memory."""
    problems = []
    strange = [name for name in (*report.added, *report.unplaced) if name in job.strangers]
    if strange:
        problems.append(f"{len(strange):,} parameters of the optimizer are not the model's: {', '.join(strange[:3])}.")
    home = {member.name: member.group for member in job.members}
    for name, id_ in plan.placed.items():
        key = lacking(job.kind, groups[home[name]], saved.state[id_])
        if key is not None:
            problems.append(f"By the settings of its group, {name} needs {key}, which the file does not keep for it.")
            break
    if any(job.parameters[name].is_meta for name in plan.placed):
        problems.append("Parameters are on the meta device, where state has no values; load the model first.")
    if any(hasattr(job.parameters[name], "device_mesh") for name in plan.placed):
        problems.append(
            "Parameters are spread over devices (DTensor), and the state in the file is whole; "
            "torch.distributed.checkpoint.state_dict.set_optimizer_state_dict spreads it."
        )
    return problems


def _refused(job: _Job, report: OptimizerReport, other: str | None) -> OptimizerMismatch:
    if other:
        hint = "make an optimizer of the class that was saved, or start with a fresh one"
    elif any(name in job.strangers for name in (*report.added, *report.unplaced)):
        hint = "model= takes everything with parameters in the optimizer, as in torch.nn.ModuleList([model, criterion])"
    elif report.naming != "names":
        hint = (
            "weights= with the weights that were saved with it (their address in the file, or a pathlib.Path), "
            'or strict="report" to load what is certain'
        )
    else:
        hint = 'strict="report" loads what can be placed'
    error = OptimizerMismatch(
        report.problems[0], path=job.path or None, key=report.address or None, hint=hint
    )  # fmt: skip
    error.report = report
    return error


# -- settings -------------------------------------------------------------------------------------------------------


def _group(group: dict[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A live group with the settings of a saved one. How a step is computed stays its own affair."""
    own = {key: value for key, value in group.items() if key in HOW or key not in new}
    moved = {key: _beside(value, group.get(key)) for key, value in new.items()}
    return {**moved, **own, "params": group["params"]}


def _beside(value: Any, live: Any) -> Any:
    """A setting that is a tensor goes to the device of the one that it replaces."""
    return value.to(live.device) if isinstance(value, torch.Tensor) and isinstance(live, torch.Tensor) else value


def _with_names(job: _Job, saved: SavedOptimizer, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Groups with the names of their parameters, if the file or the optimizer has them."""
    if all(group.names is None for group in saved.groups):
        return groups
    names: list[list[str]] = [[] for _ in groups]
    for member in job.members:
        names[member.group].append(member.name)
    return [{"param_names": own, **group} for own, group in zip(names, groups, strict=True)]


def _differences(
    before: list[dict[str, Any]], settings: list[dict[str, Any]], now: list[dict[str, Any]]
) -> list[Setting]:
    """Where the file and the optimizer do not say the same, and what it is in the end."""
    found = []
    for number, (group, new) in enumerate(zip(before, settings, strict=True)):
        for key in [key for key in dict.fromkeys((*new, *group)) if new and key not in _NO_SETTINGS]:
            file, live = plain(new.get(key)), plain(group.get(key))
            silent = (key in HOW or key not in new) and not file and not live  # an older file, or None for False
            if file != live and not silent:
                found.append(Setting(number, key, file, live, plain(now[number].get(key))))
    return found


# -- the change -----------------------------------------------------------------------------------------------------


def _state(
    job: _Job, saved: SavedOptimizer, plan: Plan, groups: list[dict[str, Any]], reader: Reader, placer: Placer
) -> dict[Any, Any]:
    """The whole new state: what is placed from the file, the rest as it was."""
    state: defaultdict[Any, Any] = defaultdict(dict)
    state.update((key, reader.read(value)) for key, value in saved.extra.items())
    for member in job.members:
        parameter = job.parameters[member.name]
        if member.name in plan.placed:
            entry = saved.state[plan.placed[member.name]]
            state[parameter] = placer.place(entry, reader, member.name, parameter, groups[member.group])
        elif parameter in job.optimizer.state and member.name not in plan.cleared:
            state[parameter] = job.optimizer.state[parameter]
    return state


def _assign(job: _Job, state: dict[Any, Any], groups: list[dict[str, Any]], report: OptimizerReport) -> None:
    """All at once, as torch does; by the class's own code, if it has some."""
    optimizer = job.optimizer
    own = type(optimizer).load_state_dict is not torch.optim.Optimizer.load_state_dict
    if own or getattr(optimizer, "_optimizer_load_state_dict_pre_hooks", None):
        whose = f"{type(optimizer).__name__} has code of its own" if own else "The optimizer has hooks"
        report.notes.append(f"{whose} for loading: it was given the state dict, and may have changed types.")
        optimizer.load_state_dict(_packed(job, state, groups))
        return
    optimizer.__setstate__({"state": state, "param_groups": groups})
    for hook in getattr(optimizer, "_optimizer_load_state_dict_post_hooks", {}).values():
        hook(optimizer)


def _packed(job: _Job, state: dict[Any, Any], groups: list[dict[str, Any]]) -> dict[str, Any]:
    """What ``state_dict()`` of the optimizer would be, had it this state."""
    number = {id(job.parameters[member.name]): at for at, member in enumerate(job.members)}
    return {
        "state": {number.get(id(key), key): entry for key, entry in state.items()},
        "param_groups": [{**group, "params": [number[id(one)] for one in group["params"]]} for group in groups],
    }
