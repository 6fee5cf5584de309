"""Weights into a live `torch.nn.Module`: plan, look whether it fits, carry it out, report.

What crosses this boundary: a model and `Weights` in; the model with their values, and a `FitReport`, out. Invariants:
wherever ``model.load_state_dict`` succeeds the model is bit for bit what that makes of it; what does not fit is raised
before the model is touched, except what only a module's own loading code can tell.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dotpt.archive import collector
from dotpt.archive.archive import Archive
from dotpt.archive.memories import storages_of
from dotpt.errors import FitError, UsageError
from dotpt.models.facts import Facts
from dotpt.models.find import Weights
from dotpt.models.matching import (
    NO_TENSOR,
    match_names,
    module_metadata,
    note_what_matched,
    select,
    suggest_names,
)
from dotpt.models.report import FitReport
from dotpt.models.rules import Recipe, Rules
from dotpt.models.selection import Selection, check_globs, matches
from dotpt.models.torch_lazy import LazyState, Pending, Values, facts_of
from dotpt.models.torch_plan import After, Extra, Own, Plan, Step, names_of, own_tensors, walk
from dotpt.models.torch_stream import BATCH, Copy, Stream
from dotpt.tensors.refs import StorageRef

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a call of `dotpt.load_into` asks for besides the model and the file, as its docstring says."""

    rules: Rules = field(default_factory=Rules)
    strict: Any = True
    mismatched: Any = "error"
    selection: Selection = field(default_factory=Selection)
    freeze: Sequence[str] = ()
    assign: bool | None = None
    mapped: bool = False
    verify: Any = True
    progress: Progress | None = None
    dry: bool = False


def is_model(target: Any) -> bool:
    """Whether something is a `torch.nn.Module`."""
    return isinstance(target, torch.nn.Module)


def is_optimizer(target: Any) -> bool:
    """Whether something is a `torch.optim.Optimizer`."""
    return isinstance(target, torch.optim.Optimizer)


def fit(model: torch.nn.Module, weights: Weights, archive: Archive | None, source: str, wishes: Wishes) -> FitReport:
    """Fit weights into a model.

    Args:
        archive: where the references among the weights lead; None for a state dict in memory.
        source: the file, as the user named it.

    Raises:
        FitError: they do not fit.
    """
    return _Fit(model, weights, archive, source, wishes).done()


class _Fit:
    """One fit at work."""

    def __init__(
        self, model: torch.nn.Module, weights: Weights, archive: Archive | None, source: str, wishes: Wishes
    ) -> None:
        self.model = model
        self.wishes = wishes
        self.values = Values(weights.state, archive, mapped=wishes.mapped, verify=bool(wishes.verify))
        self.report = FitReport(_name_of(model), source, weights.address, weights.role, notes=list(weights.notes))
        self.names, self.places = names_of(model)
        self.recipes = self._recipes(weights)
        metadata = module_metadata(weights.metadata, self.recipes)
        self.plan = Plan(self.report, metadata, wishes.selection, wishes.mismatched, wishes.assign, wishes.dry)

    def _recipes(self, weights: Weights) -> dict[str, Recipe]:
        have = {name: facts_of(value) for name, value in weights.state.items()}
        recipes = match_names(have, self.names, self.wishes.rules, self.report)
        recipes = select(recipes, self.names, self.wishes.selection, self.report)
        self.report.in_file = {name: recipe.facts for name, recipe in recipes.items() if _is_tensor(recipe.facts)}
        return recipes

    def done(self) -> FitReport:
        """Plan, check, load, check again."""
        if type(self.model).load_state_dict is not torch.nn.Module.load_state_dict:
            return self._by_the_model()
        state = LazyState((name, Pending(recipe, self.values)) for name, recipe in self.recipes.items())
        with collector.paused():
            self.plan.whole(self.model, state)
        steps = self.plan.steps
        forgiving = any(type(step) is After for step in steps)
        self._understand(steps)
        if not forgiving or not self._names_are_wrong() or self.report.mismatched or self.report.errors:
            self._refuse()
        if self.wishes.dry:
            return self.report
        self._check_freeze()
        if self.wishes.verify == "first":
            self._verify(steps)
        self._carry_out(steps)
        self._freeze()
        self.report.loaded = True
        self._note_meta()
        self._refuse(touched=True)
        return self.report

    # -- what there is to say -------------------------------------------------------------------------------------

    def _understand(self, steps: list[Step]) -> None:
        """The report on a plan: names that are missing, tied, renamed."""
        report, plan = self.report, self.plan
        for place, step in enumerate(steps):
            if type(step) is Own and self.wishes.dry:
                self._guess(steps, place)
        self._take_ties(steps)
        report.missing, report.unexpected = plan.missing, plan.unexpected
        note_what_matched(report, self.recipes)
        if report.kept:
            report.notes.append(
                f"{_few(report.kept)} stayed as they are: files of before torch 0.4.1 do not have such counters"
            )
        if report.retyped:
            kinds = sorted({f"{cast.file} instead of {cast.model}" for cast in report.retyped})
            report.notes.append(
                f"assign=True: {len(report.retyped):,} tensors have the file's type, {', '.join(kinds)}"
            )
        suggest_names(report)
        report.command = _command(self.model, report)

    def _take_ties(self, steps: list[Step]) -> None:
        """Names that share a tensor: one that the file does not have gets its values through the other one."""
        report, groups = self.report, _tied(self.plan.tensors)
        coming = {id(step.target): step.name for step in steps if type(step) is Copy}
        report.tied = [tuple(names) for names in groups if any(name not in report.left for name in names)]
        for names in groups:
            through = coming.get(id(self.plan.tensors[names[0]]))
            for name in names if through is not None else ():
                if name in self.plan.missing:
                    self.plan.missing.remove(name)
                    report.matched.append(name)
                    report.notes.append(
                        f"{name} is not in the file; it is the same tensor as {through}, and has its values"
                    )
            self._note_two_in_one([name for name in names if name in self.recipes])

    def _note_two_in_one(self, names: list[str]) -> None:
        """Say which one counts if tensors that are one in the model are several in the file."""
        sources = {self._identity(name) for name in names}
        if len(sources) > 1:
            self.report.notes.append(
                f"{', '.join(names)} are one tensor in the model and {len(sources)} in the file: {names[-1]} counts"
            )

    def _identity(self, name: str) -> Any:
        value = self.values.state[self.recipes[name].inputs[0]] if self.recipes[name].plain else name
        storage, window = getattr(value, "storage", None), getattr(value, "window", None)
        if window is not None:
            return id(storage), window.offset, window.shape, window.strides
        return value.data_ptr() if isinstance(value, torch.Tensor) else name

    def _guess(self, steps: list[Step], place: int) -> None:
        """Without loading it, what a module's own code takes is what has its names."""
        own: Any = steps[place]
        names = [name for name in self.names if name.startswith(own.prefix)]
        self.report.matched += [name for name in names if name in own.state]
        self.report.own_code += [name for name in own.state if name not in names]
        self.plan.missing += [name for name in names if name not in own.state and name in self.wishes.selection]
        where = own.prefix.rstrip(".") or "the model"
        self.report.notes.append(f"{where} loads by code of its own: what that takes is only known when it is loaded")

    def _names_are_wrong(self) -> bool:
        return bool(self.report.missing or self.report.unexpected)

    def _refuse(self, touched: bool = False) -> None:
        """Raise `FitError` if there is anything that this call does not allow."""
        report, strict = self.report, self.wishes.strict
        wrong = report.mismatched or report.errors or (strict is True and self._names_are_wrong())
        if strict == "report" or self.wishes.dry or not wrong:
            return
        raise fit_error(report, touched)

    # -- loading --------------------------------------------------------------------------------------------------

    def _carry_out(self, steps: list[Step]) -> None:
        copies = [step for step in steps if type(step) is Copy]
        total = sum(copy.nbytes for copy in copies)
        stream = Stream(self.values, self.places, self.wishes.progress, total)
        self._run(steps, stream)
        report = self.report
        report.errors += stream.errors.values()
        report.matched = [name for name in report.matched if name not in stream.errors]
        report.assigned += stream.assigned

    def _run(self, steps: list[Step], stream: Stream) -> None:
        waiting: list[Copy] = []
        for step in steps:
            if type(step) is Copy:
                waiting.append(step)
                continue
            stream.run(waiting)
            waiting = []
            self._one(step, stream)
        stream.run(waiting)

    def _one(self, step: Step, stream: Stream) -> None:
        if type(step) is Extra:
            step.module.set_extra_state(step.state[step.key])
        elif type(step) is After:
            keys = torch.nn.modules.module._IncompatibleKeys(self.report.missing, self.report.unexpected)
            if step.hook(step.module, keys) is not None:
                raise UsageError(
                    "A hook that runs after loading returned a value.",
                    hint="change incompatible_keys in place, as torch's register_load_state_dict_post_hook says",
                )
        elif type(step) is Own:
            self._by_its_own_code(step, stream)

    def _by_its_own_code(self, own: Own, stream: Stream) -> None:
        report, plan = self.report, self.plan
        before = {name: id(tensor) for name, tensor in own_tensors(own.module)}
        had = [key for key in own.state if not _belongs_below(own, key)]
        unexpected = len(report.unexpected)
        missing: list[str] = []
        own.module._load_from_state_dict(
            own.state, own.prefix, own.metadata, True, missing, report.unexpected, report.errors
        )
        report.missing += [name for name in missing if name in self.wishes.selection]
        refused = {*report.unexpected[unexpected:], *report.missing}
        own_names = {own.prefix + name for name, _ in own_tensors(own.module)} | {*self.names}
        report.matched += [key for key in had if key in own_names and key not in refused]
        report.own_code += [key for key in had if key not in own_names and key not in refused]
        for name, tensor in own_tensors(own.module):
            report.in_model[own.prefix + name] = facts_of(tensor)
            if before.get(name, id(tensor)) != id(tensor):
                report.assigned.append(own.prefix + name)
            self.places.setdefault(id(tensor), []).append((own.module, name))
        self._run(plan.below(own), stream)

    def _by_the_model(self) -> FitReport:
        """A model whose class has a ``load_state_dict`` of its own is loaded by it, with all tensors at once."""
        report = self.report
        names = [name for name in self.names if name in self.wishes.selection]
        report.in_model = _facts_of(self.model)
        report.matched = [name for name in names if name in self.recipes]
        report.missing = [name for name in names if name not in self.recipes]
        report.own_code = [name for name in self.recipes if name not in names]
        report.notes.append(f"{report.model} has a load_state_dict of its own: it was given all tensors at once")
        note_what_matched(report, self.recipes)
        if self.wishes.dry:
            return report
        self._check_freeze()
        state = OrderedDict((name, self.values.made(recipe)) for name, recipe in self.recipes.items())
        try:
            keys: Any = self.model.load_state_dict(state, strict=self.wishes.strict is True)
        except RuntimeError as error:
            report.errors.append(str(error))
            raise fit_error(report, touched=True) from error
        report.missing = list(getattr(keys, "missing_keys", ()))
        report.unexpected = list(getattr(keys, "unexpected_keys", ()))
        self._freeze()
        report.loaded = True
        return report

    def _verify(self, steps: list[Step]) -> None:
        """Compare all checksums before the model is touched."""
        if self.values.archive is None:
            return
        held = [step.source for step in steps if type(step) is Copy]
        held += [value for step in steps if type(step) is Own for _, value in step.state.seen()]
        waiting = [value for value in held if type(value) is Pending]
        refs = [self.values.state[name] for pending in waiting for name in pending.recipe.inputs]
        batch: list[StorageRef] = []
        size = 0
        for storage in storages_of(refs):
            if batch and size + storage.nbytes > BATCH:
                self.values.memories().fetch(batch, verify=True)
                size, batch = 0, []
            batch.append(storage)
            size += storage.nbytes
        self.values.memories().fetch(batch, verify=True)

    # -- afterwards -----------------------------------------------------------------------------------------------

    def _check_freeze(self) -> None:
        check_globs("freeze", self.wishes.freeze, [name for name, _ in _parameters(self.model)])

    def _freeze(self) -> None:
        for name, parameter in _parameters(self.model):
            if matches(name, self.wishes.freeze):
                parameter.requires_grad_(False)
                self.report.frozen.append(name)

    def _note_meta(self) -> None:
        """Say what is still without memory: what was missing, and buffers that no file holds."""
        still = [
            prefix + name
            for prefix, module in walk(self.model)
            for name, tensor in [*module._parameters.items(), *module._buffers.items()]
            if tensor is not None and tensor.is_meta
        ]
        if still and (self.report.assigned or self.report.matched):
            self.report.notes.append(
                f"{_few(still)} are still on the meta device, without values: the file does not hold them; "
                "build the model without the meta device, or compute them again"
            )


def fit_error(report: FitReport, touched: bool = False) -> FitError:
    """The error for weights that do not fit, with the rows that matter and the next step."""
    from dotpt.models.report_table import hint_of, nearest, problem_of, refusals, table, wrong_rows

    problem = problem_of(report)
    if touched:
        problem += " That was found out only while loading: the model holds what did fit."
    error = FitError(problem, path=report.source or None, hint=hint_of(report))
    error.report = report
    error.table = "\n".join([*table(wrong_rows(report)), *nearest(report), *refusals(report)])
    return error


def _tied(tensors: dict[str, torch.Tensor]) -> list[list[str]]:
    """Names that share one tensor, group by group."""
    groups: dict[int, list[str]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(id(tensor), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _parameters(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return list(model.named_parameters(remove_duplicate=False))


def _facts_of(model: torch.nn.Module) -> dict[str, Facts]:
    return {prefix + name: facts_of(tensor) for prefix, module in walk(model) for name, tensor in own_tensors(module)}


def _belongs_below(own: Own, key: str) -> bool:
    first, dot, _ = key[len(own.prefix) :].partition(".")
    return bool(dot) and own.module._modules.get(first) is not None


def _is_tensor(facts: Facts) -> bool:
    return facts.dtype != NO_TENSOR


def _name_of(model: torch.nn.Module) -> str:
    return type(model).__qualname__.replace("<locals>.", "")


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _command(model: torch.nn.Module, report: FitReport) -> str:
    """The command line that tries the suggested rename, where the class can be named on one."""
    from shlex import quote

    cls = type(model)
    if not (report.rules and report.source) or cls.__module__ in ("__main__", "builtins") or "<" in cls.__qualname__:
        return ""
    renames = " ".join(f"--rules {quote(f'{old}={new}')}" for old, new in report.rules.items())
    return f"dotpt fit {quote(report.source)} --model {cls.__module__}:{cls.__qualname__} {renames}"
