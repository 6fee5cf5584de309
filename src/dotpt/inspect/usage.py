"""The lines of Python that load a file, for the file as it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dotpt.inspect.claims import Claim
from dotpt.inspect.prefixes import COUNTER, Prefix
from dotpt.inspect.roles import RolePart
from dotpt.inspect.safety import Safety

_LONGEST = 80


def usage_of(
    path: str,
    format: str,  # noqa: A002 - as Report calls it
    kind: Claim,
    safety: Safety,
    parts: Sequence[RolePart],
    weights: RolePart | None,
    prefixes: Sequence[Prefix],
    devices: Sequence[str] = (),
) -> list[str]:
    """The lines that load the file.

    With torch and ``weights_only=True`` where torch accepts the file, else with dotpt. Names from the file are
    written as Python literals, so that they are only text to whoever runs the lines.
    """
    if kind.value.startswith("TorchScript"):
        return _script(path)
    if weights is not None and _is_module(weights):
        return _module(path, safety, weights.address)
    lines, name = _load(path, format, kind, safety, devices)
    if weights is None:
        return lines
    held = name + "".join(f"[{_literal(key)}]" for key in weights.keys)
    if weights.keys and weights.role == "ema":
        lines.append(f"weights = {held}  # the averaged weights")
        held = "weights"
    if not weights.keys and len(parts) > 1:
        lines.append(f"weights = {{key: value for key, value in {held}.items() if hasattr(value, 'shape')}}")
        held = "weights"
    for prefix in prefixes:
        if prefix.certain:
            which = f" if key != {COUNTER!r}" if "AveragedModel" in prefix.words else ""
            strip = f"{{key.removeprefix({prefix.prefix!r}): value for key, value in {held}.items(){which}}}"
            lines.append(f"weights = {strip}  # from {prefix.words}")
            held = "weights"
    lines.append(f"model.load_state_dict({held})")
    lines += _others(name, parts, weights)
    return lines


def _load(path: str, format: str, kind: Claim, safety: Safety, devices: Sequence[str]) -> tuple[list[str], str]:  # noqa: A002
    name = {"state dict": "weights", "checkpoint": "checkpoint", "tensor": "tensor"}.get(kind.value, "loaded")
    if format == "safetensors":
        return ["from safetensors.torch import load_file", f"{name} = load_file({_literal(path)})"], name
    if safety.weights_only:
        place = ', map_location="cpu"' if any(device not in ("cpu", "meta") for device in devices) else ""
        return ["import torch", f"{name} = torch.load({_literal(path)}{place}, weights_only=True)"], name
    lines = ["import dotpt"]
    if safety.unknown:
        lines.append(f'{name} = dotpt.load({_literal(path)}, unknown="inert")  # its unknown classes stay inert records')
    else:
        lines.append(f"{name} = dotpt.load({_literal(path)})")
    return lines, name


def _module(path: str, safety: Safety, address: str) -> list[str]:
    chosen = f" if name.startswith({_literal(address + '.')})" if address else ""
    lines = [
        "import dotpt",
        f"with dotpt.open({_literal(path)}) as archive:  # the module's weights by name, without its code",
        f"    weights = {{name: ref.torch() for name, ref in archive.tensors.items(){chosen}}}",
    ]
    if safety.verdict != "dangerous":
        lines.append(f"# or, if you trust it and have its classes: torch.load({_literal(path)}, weights_only=False)")
    return lines


def _script(path: str) -> list[str]:
    return [
        "import dotpt",
        f"with dotpt.open({_literal(path)}) as archive:  # its tensors, without its program",
        "    tensors = {name: ref.torch() for name, ref in archive.tensors.items()}",
        f"# or, if you trust it: torch.jit.load({_literal(path)})  runs its program",
    ]


def _others(name: str, parts: Sequence[RolePart], weights: RolePart) -> list[str]:
    """What resuming needs besides the weights."""
    lines = []
    for part in parts:
        if not part.keys or len(part.keys) > 2:
            continue
        held = name + "".join(f"[{_literal(key)}]" for key in part.keys)
        if part.role in ("optimizer", "scheduler", "scaler") and part.value != "empty" and _is_present(part):
            lists = type(part.value) is str and part.value.endswith(" items") or part.keys[-1] in (
                "optimizer_states",
                "lr_schedulers",
            )
            lines.append(f"{part.role}.load_state_dict({held}{'[0]' if lists else ''})")
        elif part.role == "progress" and type(part.value) in (int, float) and part.keys[-1] == "epoch":
            lines.append(f"epoch = {held}  # {part.value}")
        elif part.role in ("weights", "ema") and part.tensors and part.keys != weights.keys:
            lines.append(f"# also weights: {held}")
    return lines[:8]


def _is_present(part: RolePart) -> bool:
    return bool(part.tensors) or type(part.value) is str


def _is_module(part: RolePart) -> bool:
    return part.claim.because.startswith("it is a module")


def _literal(value: Any) -> str:
    """A name from the file as a Python literal; never code."""
    if type(value) in (str, int, bool) or value is None:
        text = ascii(value) if type(value) is str and not value.isprintable() else repr(value)
        return text if len(text) <= _LONGEST or type(value) is not str else "..."
    return "..."
