"""The lines of Python that load a file, for the file as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dotpt.inspect.prefixes import COUNTER
from dotpt.inspect.roles import RolePart, weights_part
from dotpt.pickling.nn_names import is_part_of_torch

if TYPE_CHECKING:
    from dotpt.formats.architecture import Architecture
    from dotpt.inspect.report import Report

_LONGEST_KEY = 80
_MOST_LINES = 8
_NAMES = {"state dict": "weights", "checkpoint": "checkpoint", "tensor": "tensor"}
_ALL_TENSORS = "    tensors = {name: ref.torch() for name, ref in archive.tensors.items()}"


def usage_of(report: Report) -> list[str]:
    """The lines that load the file of a report.

    With torch and ``weights_only=True`` where torch accepts the file, else with dotpt. Names from the file are
    written as Python literals, so that they are only text to whoever runs the lines.
    """
    path, weights = _text(report.path), weights_part(report.roles)
    if report.kind.value.startswith("TorchScript"):
        return [
            "import dotpt",
            f"with dotpt.open({path}) as archive:  # its tensors, without its program",
            _ALL_TENSORS,
            f"# or, if you trust it: torch.jit.load({path})  runs its program",
        ]
    if report.architecture is not None:
        return _model(report.architecture, path)
    if weights is not None and weights.claim.because.startswith("it is a module"):
        return _module(report, weights, path)
    name = _NAMES.get(report.kind.value, "loaded")
    lines = _load(report, name, path)
    if weights is not None:
        lines += _load_weights(report, weights, name)
        lines += _others(report, weights, name)
    return lines


def _model(architecture: Architecture, path: str) -> list[str]:
    """A file of `dotpt.save_model` gives the model itself."""
    named = (
        ""
        if is_part_of_torch(architecture.module, architecture.name)
        else f", trust=[{_text(architecture.class_name)}]"
    )
    return [
        "import dotpt",
        f"model = dotpt.load_model({path}{named})  # ready to be called",
        f"# or its weights alone: torch.load({path}, weights_only=True)",
    ]


def _load(report: Report, name: str, path: str) -> list[str]:
    if report.format == "safetensors":
        return ["from safetensors.torch import load_file", f"{name} = load_file({path})"]
    if report.safety.weights_only:
        elsewhere = any(device not in ("cpu", "meta") for device in report.tensors.devices)
        place = ', map_location="cpu"' if elsewhere else ""
        return ["import torch", f"{name} = torch.load({path}{place}, weights_only=True)"]
    if report.safety.unknown:
        return ["import dotpt", f'{name} = dotpt.load({path}, unknown="inert")  # unknown classes stay inert records']
    return ["import dotpt", f"{name} = dotpt.load({path})"]


def _load_weights(report: Report, weights: RolePart, name: str) -> list[str]:
    lines = []
    held = _held(name, weights)
    if weights.keys and weights.role == "ema":
        lines.append(f"weights = {held}  # the averaged weights")
        held = "weights"
    if not weights.keys and len(report.roles) > 1:  # weights that lie beside an epoch, say
        lines.append(f"weights = {{key: value for key, value in {held}.items() if hasattr(value, 'shape')}}")
        held = "weights"
    for prefix in report.prefixes:
        if prefix.certain:
            which = f" if key != {COUNTER!r}" if "AveragedModel" in prefix.words else ""
            lines.append(f"# the names begin with {prefix.prefix} (from {prefix.words}), which a plain model's do not")
            strip = f"{{key.removeprefix({prefix.prefix!r}): value for key, value in {held}.items(){which}}}"
            lines.append(f"weights = {strip}")
            held = "weights"
        else:
            off = f"# take {prefix.prefix!r} off the names (key.removeprefix)"
            lines.append(f"{off} if your model's do not begin with it")
    return [*lines, f"model.load_state_dict({held})"]


def _module(report: Report, weights: RolePart, path: str) -> list[str]:
    if report.safety.verdict == "harmless":
        return [
            "import dotpt",
            f"model = {_held(f'dotpt.load({path})', weights)}  # torch's own layers, ready to be called",
        ]
    chosen = f", where={_text(weights.address)}" if weights.address else ""
    lines = [
        "import dotpt",
        f"weights = dotpt.rescue({path}{chosen}).state_dict  # the module's, without its code",
    ]
    if report.safety.verdict != "dangerous":
        lines.append(f"# or, if you trust it and have its classes: torch.load({path}, weights_only=False)")
    return lines


def _others(report: Report, weights: RolePart, name: str) -> list[str]:
    """What resuming needs besides the weights."""
    lines = []
    for part in report.roles:
        if not part.keys:
            continue
        if part.role in ("optimizer", "scheduler", "scaler") and part.claim.because.startswith("it has"):
            first = "[0]" if part.keys[-1] in ("optimizer_states", "lr_schedulers") else ""
            lines.append(f"{part.role}.load_state_dict({_held(name, part)}{first})")
        elif part.role == "progress" and type(part.value) in (int, float) and part.keys[-1] == "epoch":
            lines.append(f"epoch = {_held(name, part)}  # {part.value}")
        elif part.role in ("weights", "ema") and part.tensors and part.keys != weights.keys:
            lines.append(f"# also weights: {_held(name, part)}")
    return lines[:_MOST_LINES]


def _held(name: str, part: RolePart) -> str:
    """The expression for a part of what was loaded as ``name``."""
    return name + "".join(f"[{_key(key)}]" for key in part.keys)


def _key(key: Any) -> str:
    """A key from the file as a Python literal; never code."""
    if type(key) is str and len(key) <= _LONGEST_KEY:
        return _text(key)
    return repr(key) if type(key) in (int, bool) or key is None else "..."


def _text(value: str) -> str:
    return repr(value) if value.isprintable() else ascii(value)
