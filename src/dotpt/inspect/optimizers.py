"""Which optimizer a state is of: it does not say so itself, but what it keeps for each parameter tells."""

from __future__ import annotations

from typing import Any

from dotpt.inspect.claims import Claim, inferred, unknown

# (what it keeps for each parameter, its name). The first whose names are all there wins. Source: torch.optim 2.13,
# and the optimizers of apex, timm, lion-pytorch, transformers and bitsandbytes.
_STATES: tuple[tuple[frozenset[str], str], ...] = tuple(
    (frozenset(names.split()), optimizer)
    for names, optimizer in (
        ("exp_avg exp_avg_sq mu_product", "NAdam"),
        ("exp_avg_sq_row exp_avg_sq_col", "Adafactor"),
        ("exp_avg exp_inf", "Adamax"),
        ("exp_avg exp_avg_sq", "Adam or AdamW"),
        ("exp_avg_sq RMS", "Adafactor"),
        ("square_avg acc_delta", "Adadelta"),
        ("square_avg", "RMSprop"),
        ("row_var col_var", "Adafactor"),
        ("sum", "Adagrad"),
        ("prev step_size", "Rprop"),
        ("eta mu ax", "ASGD"),
        ("old_dirs old_stps", "LBFGS"),
        ("state1 state2", "8-bit Adam (bitsandbytes)"),
        ("state1", "8-bit optimizer (bitsandbytes)"),
        ("exp_avg", "Lion"),
        ("momentum_buffer", "SGD with momentum"),
    )
)
_GROUPS: tuple[tuple[str, str], ...] = (
    ("amsgrad", "Adam or AdamW"),
    ("nesterov", "SGD"),
    ("centered", "RMSprop"),
    ("lr_decay", "Adagrad"),
    ("rho", "Adadelta"),
    ("etas", "Rprop"),
    ("t0", "ASGD"),
)
_ADAM_DECAY = 0.01  # AdamW's default; Adam's is 0


def optimizer_of(state: Any) -> Claim:
    """Which optimizer the ``state_dict()`` (or the first of a list of them) is of.

    Example:
        >>> str(optimizer_of({"state": {0: {"square_avg": 1}}, "param_groups": []}))
        'RMSprop (inferred: it keeps square_avg)'
    """
    if isinstance(state, (list, tuple)):
        state = state[0] if state else None
    if not isinstance(state, dict):
        return unknown("it is no state_dict of an optimizer")
    groups = [group for group in _list(state.get("param_groups")) if isinstance(group, dict)]
    kept = _kept(state.get("state"))
    for names, optimizer in _STATES:
        if names <= kept:
            return _refined(optimizer, groups, f"it keeps {' and '.join(sorted(names))}")
    for group in groups[:1]:
        for name, optimizer in _GROUPS:
            if name in group:
                return _refined(optimizer, groups, f"its groups have {name}")
    return unknown("neither its state nor its groups are those of an optimizer that dotpt knows")


def _kept(state: Any) -> frozenset[str]:
    """The names of what is kept for the first parameter that has anything."""
    entries = state.values() if isinstance(state, dict) else _list(state)
    for entry in entries:
        if isinstance(entry, dict) and entry:
            return frozenset(key for key in entry if type(key) is str)
    return frozenset()


def _refined(optimizer: str, groups: list[dict[Any, Any]], because: str) -> Claim:
    if optimizer == "Adam or AdamW":
        for group in groups:
            if group.get("decoupled_weight_decay") is True:  # written since torch 2.7
                return inferred("AdamW", f"{because}, and its weight decay is decoupled")
            if group.get("decoupled_weight_decay") is False:
                return inferred("Adam", f"{because}, and its weight decay is not decoupled")
        decays = [group.get("weight_decay") for group in groups]
        if any(type(decay) is float and decay == _ADAM_DECAY for decay in decays):
            return inferred("AdamW", f"{because}, and its weight decay is AdamW's default")
    momenta = [group.get("momentum") for group in groups]
    if optimizer == "SGD" and any(type(momentum) is float and momentum for momentum in momenta):
        return inferred("SGD with momentum", because)
    return inferred(optimizer, because)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
