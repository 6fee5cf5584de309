"""What is to be done to a model, module by module in torch's order, before anything is done.

What crosses this boundary: a model and a state dict of pending tensors in; steps out. Invariants: planning reads no
tensor (unless the model's own hooks look at one) and changes nothing; where a module has loading code of its own, the
step is to call that code, in its turn, on what torch would have passed to it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.modules.batchnorm import _NormBase

from dotpt.errors import UsageError
from dotpt.models.facts import Facts
from dotpt.models.matching import NO_TENSOR, Verdict, judge
from dotpt.models.report import Cast, Converted, FitReport, Resized, Unfit
from dotpt.models.selection import Selection
from dotpt.models.torch_lazy import LazyState, Pending, facts_of
from dotpt.models.torch_stream import Copy, Place

_Module = torch.nn.Module
_EXTRA = "_extra_state"
_PLAIN = (torch.nn.Parameter, torch.Tensor)
_COUNTER = "num_batches_tracked"


@dataclass(slots=True)
class Own:
    """A module that loads by its own code, and what is below it."""

    module: _Module
    prefix: str
    state: LazyState
    metadata: dict[str, Any]


@dataclass(slots=True)
class Extra:
    """A module's extra state: no tensor, or not only."""

    module: _Module
    key: str
    state: LazyState


@dataclass(slots=True)
class After:
    """A module's hook that wants to be called when it and what is below it are loaded."""

    module: _Module
    hook: Callable[..., Any]


Step = Copy | Own | Extra | After


def walk(module: _Module, prefix: str = "") -> Iterator[tuple[str, _Module]]:
    """Every module with its prefix, in the order in which torch loads them; a shared one as often as it is there."""
    yield prefix, module
    for name, child in module._modules.items():
        if child is not None:
            yield from walk(child, f"{prefix}{name}.")


def own_tensors(module: _Module) -> Iterator[tuple[str, torch.Tensor]]:
    """A module's own parameters and persistent buffers, by name."""
    skipped = module._non_persistent_buffers_set
    buffers = ((name, buffer) for name, buffer in module._buffers.items() if name not in skipped)
    for name, tensor in itertools.chain(module._parameters.items(), buffers):
        if tensor is not None:
            yield name, tensor


def has_extra_state(module: _Module) -> bool:
    """Whether a class keeps more than tensors."""
    return getattr(type(module), "set_extra_state", _Module.set_extra_state) is not _Module.set_extra_state


def has_own_code(module: _Module, metadata: Mapping[str, Any]) -> bool:
    """Whether what torch does to this module cannot be foreseen from its names and shapes."""
    if "_load_from_state_dict" in module.__dict__ or torch.__future__.get_swap_module_params_on_conversion():
        return True
    load = type(module)._load_from_state_dict
    if load is _NormBase._load_from_state_dict:
        return _is_old(module, metadata) and module._buffers.get(_COUNTER) is None
    if load is not _Module._load_from_state_dict:
        return True
    return not all(
        type(tensor) in _PLAIN and tensor.layout is torch.strided and not tensor.is_quantized
        for _, tensor in own_tensors(module)
    )


def _is_old(module: _Module, metadata: Mapping[str, Any]) -> bool:
    """Whether a batch norm is loaded from a file of before torch 0.4.1, which did not count batches."""
    version = metadata.get("version")
    return (version is None or version < 2) and bool(getattr(module, "track_running_stats", False))


def names_of(model: _Module) -> tuple[list[str], dict[int, list[Place]]]:
    """The names of a model's state dict, and everywhere that a tensor stands, by its id."""
    names: list[str] = []
    places: dict[int, list[Place]] = {}
    foreseen = True
    for prefix, module in walk(model):
        for name, tensor in own_tensors(module):
            names.append(prefix + name)
            places.setdefault(id(tensor), []).append((module, name))
        if has_extra_state(module):
            names.append(prefix + _EXTRA)
        foreseen &= not (module._load_state_dict_pre_hooks or has_own_code(module, {"version": 2}))
    return (names if foreseen else [*model.state_dict(keep_vars=True)]), places


class Plan:
    """The steps that fit a state dict into a model.

    Args:
        metadata: versions of the modules, by their place.
        selection: what the caller wants.
        mismatched, assign: as `dotpt.load_into` takes them.
        dry: the plan is not carried out: then a model without memory stands for one with memory.

    Attributes:
        steps: in the order in which they are to be done.
        missing, unexpected: keys, as the modules' own code may add to them.
        tensors: the model's tensors by name.
    """

    def __init__(
        self,
        report: FitReport,
        metadata: Mapping[str, Any] | None,
        selection: Selection,
        mismatched: Any,
        assign: bool | None,
        dry: bool = False,
    ) -> None:
        self.report = report
        self.steps: list[Step] = []
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.tensors: dict[str, torch.Tensor] = {}
        self._metadata = metadata
        self._selection = selection
        self._mismatched = mismatched
        self._assign = assign
        self._dry = dry

    def whole(self, model: _Module, state: LazyState) -> None:
        """Plan a whole model."""
        taken: set[str] = set()
        self._visit(model, "", state, taken)
        self._rest(model, "", state, taken)

    def below(self, own: Own) -> list[Step]:
        """The steps for the modules below one that has loaded by its own code, which may have changed the names."""
        self.steps = []
        taken: set[str] = set()
        for name, child in own.module._modules.items():
            prefix = f"{own.prefix}{name}."
            if child is not None:
                self._visit(child, prefix, own.state, taken)
                self._rest(child, prefix, own.state, taken)
        self._after(own.module)
        return self.steps

    # -- modules --------------------------------------------------------------------------------------------------

    def _visit(self, module: _Module, prefix: str, state: LazyState, taken: set[str]) -> None:
        metadata = self._metadata_of(module, prefix)
        if has_own_code(module, metadata):
            self.steps.append(Own(module, prefix, self._all_below(prefix, state, taken), metadata))
            return
        if module._load_state_dict_pre_hooks:
            part = self._all_below(prefix, state, taken)
            for hook in list(module._load_state_dict_pre_hooks.values()):
                hook(part, prefix, metadata, True, self.missing, self.unexpected, self.report.errors)
            within: set[str] = set()
            self._inside(module, prefix, part, within, metadata)
            self._rest(module, prefix, part, within)
        else:
            self._inside(module, prefix, state, taken, metadata)

    def _all_below(self, prefix: str, state: LazyState, taken: set[str]) -> LazyState:
        part = state.below(prefix)
        taken.update(part)
        return part

    def _inside(
        self, module: _Module, prefix: str, state: LazyState, taken: set[str], metadata: dict[str, Any]
    ) -> None:
        for name, tensor in own_tensors(module):
            key = prefix + name
            self.tensors[key] = tensor
            self.report.in_model[key] = facts_of(tensor)
            if key in state:
                taken.add(key)
                self._tensor(key, tensor, state.waiting(key))
            elif key not in self._selection:
                continue
            elif name == _COUNTER and isinstance(module, _NormBase) and _is_old(module, metadata):
                self._count_kept(key, tensor)
            else:
                self.missing.append(key)
        if has_extra_state(module):
            self._extra(module, prefix + _EXTRA, state, taken)
        for name, child in module._modules.items():
            if child is not None:
                self._visit(child, f"{prefix}{name}.", state, taken)
        self._after(module)

    def _after(self, module: _Module) -> None:
        self.steps += [After(module, hook) for hook in module._load_state_dict_post_hooks.values()]

    def _extra(self, module: _Module, key: str, state: LazyState, taken: set[str]) -> None:
        if key in state:
            taken.add(key)
            self.report.matched.append(key)
            self.steps.append(Extra(module, key, state))
        elif key in self._selection:
            self.missing.append(key)

    def _count_kept(self, key: str, tensor: torch.Tensor) -> None:
        """A counter that files from before torch 0.4.1 do not have: the model's own is kept, as torch keeps it."""
        if tensor.is_meta:
            self.steps.append(Copy(key, tensor, torch.zeros((), dtype=torch.long, device="cpu")))
        self.report.kept.append(key)

    def _metadata_of(self, module: _Module, prefix: str) -> dict[str, Any]:
        found = dict((self._metadata or {}).get(prefix[:-1], {}))
        meta = any(tensor.is_meta for _, tensor in own_tensors(module))
        if self._assign or (self._assign is None and meta):
            found["assign_to_params_buffers"] = True
        return found

    def _rest(self, module: _Module, prefix: str, state: LazyState, taken: set[str]) -> None:
        """What no module has taken."""
        for key in state:
            if key in taken or not key.startswith(prefix):
                continue
            if _is_nowhere(module, key[len(prefix) :]):
                self.report.dropped[key] = "the model has None in its place, and torch takes no notice"
            else:
                self.unexpected.append(key)

    # -- tensors --------------------------------------------------------------------------------------------------

    def _tensor(self, key: str, tensor: torch.Tensor, value: Any) -> None:
        report = self.report
        had = value.facts if type(value) is Pending else facts_of(value)
        wanted = report.in_model[key]
        if had.dtype == NO_TENSOR:
            report.mismatched.append(Unfit(key, None, wanted.shape, "it is no tensor in the file"))
            return
        if _has_no_values(value) and not self._assign:
            report.mismatched.append(
                Unfit(key, had.shape, wanted.shape, "it was saved on the meta device, without values")
            )
            return
        verdict = judge(had, wanted, self._mismatched)
        if verdict.how == "function":
            value, verdict = self._by_function(key, tensor, value, wanted)
        problem = self._problem(tensor, verdict)
        if problem is not None or verdict.how == "error":
            report.mismatched.append(Unfit(key, had.shape, wanted.shape, problem or verdict.why))
        elif verdict.how == "skip":
            report.skipped.append(Unfit(key, had.shape, wanted.shape, verdict.why))
        else:
            self._copy(Copy(key, tensor, value, verdict.how, bool(self._assign)), had, wanted)

    def _problem(self, tensor: torch.Tensor, verdict: Verdict) -> str | None:
        """Why a tensor on the meta device cannot get what it is to get."""
        if not tensor.is_meta or self._dry:
            return None
        if self._assign is False:
            return "the model's is on the meta device, without memory (leave assign=False out)"
        return "the model's is on the meta device: there is nothing to pad with" if verdict.how == "padded" else None

    def _copy(self, copy: Copy, had: Facts, wanted: Facts) -> None:
        report, key = self.report, copy.name
        report.matched.append(key)
        if copy.how in ("sliced", "padded"):
            report.resized.append(Resized(key, copy.how, had.shape, wanted.shape))
        elif copy.how == "single":
            report.converted.append(Converted(key, (key,), "its one element"))
        if had.dtype != wanted.dtype:
            (report.retyped if copy.replace else report.cast).append(Cast(key, had.dtype, wanted.dtype))
        self.steps.append(copy)

    def _by_function(self, key: str, tensor: torch.Tensor, value: Any, wanted: Facts) -> tuple[Any, Verdict]:
        """What the caller's function makes of a tensor of another size."""
        read = value.read() if type(value) is Pending else value
        made = self._mismatched(key, read, tensor.detach())
        if made is None:
            return value, Verdict("skip", "the function gave None")
        if not isinstance(made, torch.Tensor):
            raise UsageError(
                f"The function that was given as mismatched= returned {type(made).__name__}.", key=key,
                hint="return a tensor of the parameter's shape, or None to skip it",
            )  # fmt: skip
        if tuple(made.shape) != wanted.shape:
            return value, Verdict("error", f"the function gave {list(made.shape)}")
        self.report.resized.append(Resized(key, "function", tuple(read.shape), wanted.shape))
        return made.detach(), Verdict("same")


def _has_no_values(value: Any) -> bool:
    """Whether a tensor of the file has a shape and nothing else."""
    source = value.plain if type(value) is Pending else value
    return bool(getattr(source, "is_meta", False))


def _is_nowhere(module: _Module, path: str) -> bool:
    """Whether a path leads to a module that is None."""
    *parts, _ = path.split(".")
    place: Any = module
    for part in parts:
        if part not in place._modules:
            return False
        place = place._modules[part]
        if place is None:
            return True
    return False
