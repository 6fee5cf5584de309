"""Recorded inputs and outputs of a model: computed when it is saved, computed again and compared when it is loaded.

Invariant: a model leaves here as it came. Its training flags, its buffers and the generators of random numbers are put
back, and no gradients are recorded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dotpt.errors import OutputsDiffer, UsageError
from dotpt.models.torch_building import kept_generators

# How far two computations of one output may be apart, as a share of its largest element: other machines add up in
# another order, and GPUs multiply float32 in 10 bits if they are told to.
TOLERANCE = {torch.float64: 1e-6, torch.complex128: 1e-6, torch.float32: 2e-3, torch.complex64: 2e-3}
_COARSE = 3e-2  # types of 16 bits and fewer
_DEPTH = 16


def as_call(example_inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a model is called with: a tuple or list holds positional arguments, a dictionary named ones."""
    if isinstance(example_inputs, Mapping):
        return (), dict(example_inputs)
    return tuple(example_inputs) if isinstance(example_inputs, (tuple, list)) else (example_inputs,), {}


def outputs_of(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], seed: int) -> Any:
    """What a model gives in eval mode, as plain dictionaries, lists, tuples and tensors on the CPU.

    Raises:
        UsageError: it gives something else.
        Exception: whatever the model raises.
    """
    with kept_generators(seed), _as_it_was(model), torch.no_grad():
        given = mapped((args, dict(kwargs)), torch.clone)  # a model may write to what it is given
        return _plain(model.eval()(*given[0], **given[1]), "outputs")


def mapped(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """``value`` with every tensor in its tuples, lists and dictionaries changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if type(value) in (list, tuple):
        return type(value)(mapped(item, change) for item in value)
    return {key: mapped(item, change) for key, item in value.items()} if type(value) is dict else value


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """Puts training flags back, and the buffers that running it changes."""
    training = [(module, module.training, dict(module._buffers)) for module in model.modules()]
    buffers = [(buffer, buffer._version, buffer.clone()) for buffer in model.buffers() if not buffer.is_meta]
    try:
        yield
    finally:
        for module, flag, held in training:
            module.training = flag
            module._buffers.update(held)
        for buffer, version, values in buffers:
            if buffer._version != version:
                buffer.copy_(values)


def _plain(value: Any, place: str, depth: int = 0) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if value is None or type(value) in (bool, int, float, str):
        return value
    if depth < _DEPTH:
        if isinstance(value, Mapping) and all(type(key) in (str, int) for key in value):
            return {key: _plain(item, f"{place}[{key!r}]", depth + 1) for key, item in value.items()}
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {name: _plain(item, f"{place}.{name}", depth + 1) for name, item in fields.items()}
        if isinstance(value, (list, tuple)):
            items = [_plain(item, f"{place}[{at}]", depth + 1) for at, item in enumerate(value)]
            return items if isinstance(value, list) else tuple(items)
    raise UsageError(
        f"The model's outputs hold a {type(value).__name__}, which cannot be recorded.",
        key=place,
        found=type(value),
        hint="leave example_inputs out, or let the model return tensors, lists, dictionaries or dataclasses of them",
    )


# -- comparing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two outputs are furthest apart.

    Attributes:
        place: which output: ``outputs['logits']``.
        words: what is different, a sentence's end.
        amount: the largest difference of two elements; None where there are none to compare.
        excess: how many times the tolerance that is.
    """

    place: str
    words: str
    amount: float | None
    excess: float


def compare(expected: Any, found: Any, tolerance: float | None = None) -> tuple[float, Difference | None]:
    """The largest difference of two outputs, and the one that is too large, if one is.

    Args:
        tolerance: how large it may be, as a share of an output's largest element; by the outputs' type if None.
    """
    largest, worst = 0.0, None
    for difference in _differences(expected, found, "outputs", tolerance):
        largest = max(largest, difference.amount or 0.0)
        if difference.excess > 1 and (worst is None or difference.excess > worst.excess):
            worst = difference
    return largest, worst


def _differences(expected: Any, found: Any, place: str, tolerance: float | None) -> Iterator[Difference]:
    if isinstance(expected, torch.Tensor) and isinstance(found, torch.Tensor):
        yield _between(expected, found, place, tolerance)
    elif isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        for key, item in expected.items():
            yield from _differences(item, found[key], f"{place}[{key!r}]", tolerance)
    elif isinstance(expected, (list, tuple)) and isinstance(found, (list, tuple)) and len(expected) == len(found):
        for at, (one, other) in enumerate(zip(expected, found, strict=True)):
            yield from _differences(one, other, f"{place}[{at}]", tolerance)
    elif type(expected) in (int, float) and type(found) in (int, float):
        yield _between(torch.tensor(float(expected)), torch.tensor(float(found)), place, tolerance)
    elif expected is not found and expected != found:
        yield Difference(place, f"is {_kind(found)}, and was {_kind(expected)}", None, float("inf"))


def _between(expected: torch.Tensor, found: torch.Tensor, place: str, tolerance: float | None) -> Difference:
    if expected.shape != found.shape:
        shapes = ["x".join(map(str, one.shape)) or "no dimensions" for one in (found, expected)]
        return Difference(place, f"is of shape {shapes[0]}, and was of {shapes[1]}", None, float("inf"))
    if not expected.numel():
        return Difference(place, "is empty", 0.0, 0.0)
    exact = not any(one.is_floating_point() or one.is_complex() for one in (expected, found))
    ours, theirs = (_wide(one) for one in (expected, found))
    if not torch.equal(torch.isfinite(ours), torch.isfinite(theirs)):
        return Difference(place, "is infinite or not a number where it was not before", None, float("inf"))
    finite = torch.isfinite(ours)
    ours, theirs = ours[finite], theirs[finite]
    if not ours.numel():
        return Difference(place, "is the same", 0.0, 0.0)
    amount, scale = float((ours - theirs).abs().max()), float(ours.abs().max())
    allowed = 0.0 if exact else _tolerance(expected, found, tolerance) * max(scale, 1e-6)
    excess = 0.0 if amount <= allowed else amount / allowed if allowed else float("inf")
    return Difference(place, f"is off by up to {amount:.3g}, of {scale:.3g}", amount, excess)


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    plain = tensor.dequantize() if tensor.is_quantized else tensor
    dense = plain.to_dense() if plain.layout != torch.strided else plain
    return dense.to(torch.complex128 if dense.is_complex() else torch.float64)


def _tolerance(expected: torch.Tensor, found: torch.Tensor, wanted: float | None) -> float:
    return wanted if wanted is not None else max(TOLERANCE.get(one.dtype, _COARSE) for one in (expected, found))


def _kind(value: Any) -> str:
    return repr(value)[:60] if type(value) in (bool, int, float, str, type(None)) else f"a {type(value).__name__}"


def check_outputs(
    compute: Callable[[], Any], expected: Any, tolerance: float | None, problem: str, path: str | None, hint: str
) -> float:
    """The largest difference between what a model gives now and what it gave.

    Args:
        compute: gives the outputs.
        problem: begins the sentence: "The loaded model does not give the recorded outputs".

    Raises:
        OutputsDiffer: it is too large, or the model raises.
    """
    try:
        found = compute()
    except Exception as error:  # of the model's own code
        raise OutputsDiffer(
            f"{problem}: it raises {type(error).__name__} ({error!s:.200}).", path=path, hint=hint
        ) from error
    largest, worst = compare(expected, found, tolerance)
    if worst is not None:
        raised = OutputsDiffer(f"{problem}: {worst.place} {worst.words}.", path=path, key=worst.place, hint=hint)
        raised.difference, raised.found = worst.amount, worst.amount
        raise raised
    return largest
