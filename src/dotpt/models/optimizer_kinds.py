"""What the optimizers of torch keep for a parameter, as a table: how the state of another class is recognised.

What crosses this boundary: the classes and settings of a live optimizer and the keys of a saved one in; a sentence on
what does not belong together out. Invariant: an optimizer that the table does not know is only ever refused for what
it keeps itself.

Source: ``torch/optim`` of torch 2.13, the ``_init_group`` of each class.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Kind:
    """One class of torch.optim.

    Attributes:
        always: keys of an entry, from the first step on.
        sometimes: keys that depend on the settings.
        needs: the setting that needs a key: with any true value of it, the key must be there.
        strict: whether a step fails if the state is of another type than the gradient.
    """

    always: frozenset[str]
    sometimes: frozenset[str] = frozenset()
    needs: tuple[tuple[str, str], ...] = ()
    strict: bool = True


def _kind(always: str, sometimes: str = "", *needs: tuple[str, str], strict: bool = True) -> Kind:
    return Kind(frozenset(always.split()), frozenset(sometimes.split()), needs, strict)


_ADAM = _kind("step exp_avg exp_avg_sq", "max_exp_avg_sq", ("amsgrad", "max_exp_avg_sq"))
KINDS = {
    "Adadelta": _kind("step square_avg acc_delta", strict=False),
    "Adafactor": _kind("step", "row_var col_var variance"),
    "Adagrad": _kind("step sum", strict=False),
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "Adamax": _kind("step exp_avg exp_inf"),
    "ASGD": _kind("step eta mu ax", strict=False),
    "LBFGS": _kind("func_evals n_iter", "d t old_dirs old_stps ro H_diag prev_flat_grad prev_loss al"),
    "Muon": _kind("momentum_buffer"),
    "NAdam": _kind("step exp_avg exp_avg_sq mu_product"),
    "RAdam": _kind("step exp_avg exp_avg_sq"),
    "RMSprop": _kind("step square_avg", "momentum_buffer grad_avg", ("momentum", "momentum_buffer"),
                     ("centered", "grad_avg")),
    "Rprop": _kind("step prev step_size", strict=False),
    "SGD": _kind("", "momentum_buffer", strict=False),
    "SparseAdam": _kind("step exp_avg exp_avg_sq"),
}  # fmt: skip

#: Settings that later versions of torch have added: a file without them is only older.
_LATER = frozenset("amsgrad maximize foreach capturable differentiable fused nesterov decoupled_weight_decay".split())
#: Settings that say how a step is computed, and not what: they are those of the machine, not of the training.
HOW = frozenset(("foreach", "fused", "capturable", "differentiable"))


def kind_of(classes: Iterable[type]) -> tuple[str, Kind] | None:
    """The class of torch.optim that is among the bases of an optimizer's class, and what it keeps."""
    for cls in classes:
        if f"{cls.__module__}.".startswith("torch.optim.") and cls.__name__ in KINDS:
            return cls.__name__, KINDS[cls.__name__]
    return None


def misfit(
    name: str,
    known: Kind | None,
    defaults: Mapping[str, Any],
    settings: Sequence[Mapping[str, Any]],
    entries: Iterable[Mapping[str, Any]],
    kept: frozenset[str],
) -> str | None:
    """Why a saved state is not one of this optimizer, as a sentence; None where nothing speaks against it.

    Args:
        name: the class of the optimizer.
        known: its kind.
        defaults: its default settings.
        settings: those of the saved groups.
        entries: the saved entries.
        kept: keys of the optimizer's own entries, as far as it has some.

    Example:
        >>> misfit("Adam", KINDS["Adam"], {}, [{}], [{"momentum_buffer": 0}], frozenset())
        'Adam keeps exp_avg, exp_avg_sq, step; the file keeps momentum_buffer, as SGD and Muon do.'
    """
    must = known.always if known else kept
    may = must | known.sometimes if known else None
    for entry in entries:
        if entry and (must - entry.keys() or (may is not None and entry.keys() - may)):
            return f"{name} keeps {_listed(must or may or ())}; the file keeps {_listed(entry)}{_like(entry)}."
    missing = defaults.keys() - _LATER if known else frozenset[str]()
    for group in settings:
        if missing - group.keys():
            return f"{name} has the settings {_listed(missing - group.keys())}, which the file does not know."
    return None


def lacking(known: Kind | None, settings: Mapping[str, Any], entry: Mapping[str, Any]) -> str | None:
    """A key that these settings need, and that the entry does not have.

    Example:
        >>> lacking(KINDS["Adam"], {"amsgrad": True}, {"step": 1, "exp_avg": 0, "exp_avg_sq": 0})
        'max_exp_avg_sq'
    """
    for setting, key in known.needs if known and entry else ():
        if settings.get(setting) and key not in entry:
            return key
    return None


def _like(entry: Mapping[str, Any]) -> str:
    """Which classes keep such an entry, in words."""
    keys = entry.keys()
    found = [name for name, kind in KINDS.items() if kind.always <= keys <= kind.always | kind.sometimes]
    found.sort(key=lambda name: name != "SGD")
    return (
        f", as {', '.join(found[:-1])}{' and ' * (len(found) > 1)}{found[-1]} do{'es' * (len(found) == 1)}"
        if found
        else ""
    )


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(map(str, keys))[:8])
