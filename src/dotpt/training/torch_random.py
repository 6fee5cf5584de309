"""The states of every random generator that training draws from, as plain values, and back.

torch's own (CPU, CUDA, MPS, XPU), numpy's global one, Python's, and generators of the user's: `torch.Generator`,
`numpy.random.Generator`, `random.Random`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from dotpt.errors import UsageError

_DEVICES = ("cuda", "xpu")  # which have one generator a device
_ALONE = ("mps",)


def random_states(generators: Mapping[str, Any]) -> dict[str, Any]:
    """The state of all of them: tensors, numbers and texts only."""
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": _python_state(random.getstate()),
        "numpy": _plain(np.random.get_state(legacy=False)),
    }
    for device in _DEVICES:
        module = getattr(torch, device)
        if module.is_available() and module.is_initialized():
            states[device] = list(module.get_rng_state_all())
    if torch.backends.mps.is_available():
        states["mps"] = torch.mps.get_rng_state()
    if generators:
        states["generators"] = {name: state_of(generator) for name, generator in generators.items()}
    return states


def restore_random(states: Mapping[str, Any], generators: Mapping[str, Any]) -> list[str]:
    """Set all of them.

    Returns:
        What could not be restored, a sentence each.
    """
    notes = []
    torch.set_rng_state(_bytes(states["torch"]))
    random.setstate(_python_tuple(states["python"]))
    np.random.set_state(_arrays(states["numpy"]))
    for device in _DEVICES:
        if device in states:
            notes += _restore_devices(device, states[device])
    if "mps" in states:
        if torch.backends.mps.is_available():
            torch.mps.set_rng_state(_bytes(states["mps"]))
        else:
            notes.append("The random state of MPS was not restored: there is none here.")
    saved = states.get("generators", {})
    for name, generator in generators.items():
        if name in saved:
            set_state(generator, saved[name])
        else:
            notes.append(f"The checkpoint has no state of the generator {name}.")
    return notes


def _restore_devices(device: str, saved: list[Any]) -> list[str]:
    module = getattr(torch, device)
    here = module.device_count() if module.is_available() else 0
    for number, state in enumerate(saved[:here]):
        module.set_rng_state(_bytes(state), number)
    if here == len(saved):
        return []
    return [f"The random states of {len(saved)} {device} devices were saved, and there are {here} here."]


def state_of(generator: Any) -> Any:
    """The state of one generator of the user's."""
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return _plain(generator.bit_generator.state)
    if isinstance(generator, random.Random):
        return _python_state(generator.getstate())
    raise UsageError(
        "This is no random generator that dotpt knows.",
        found=type(generator).__name__,
        hint="torch.Generator, numpy.random.Generator or random.Random; others: pass what has a state_dict by name",
    )


def set_state(generator: Any, state: Any) -> None:
    """Put back what `state_of` gave."""
    if isinstance(generator, torch.Generator):
        generator.set_state(_bytes(state))
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = _arrays(state)
    else:
        generator.setstate(_python_tuple(state))


def _bytes(state: Any) -> Any:
    return torch.as_tensor(state, dtype=torch.uint8, device="cpu")


def _python_state(state: tuple[Any, ...]) -> dict[str, Any]:
    version, words, gauss = state
    return {"version": version, "words": torch.tensor(words, dtype=torch.int64), "gauss": gauss}


def _python_tuple(state: Mapping[str, Any]) -> tuple[Any, ...]:
    return state["version"], tuple(state["words"].tolist()), state["gauss"]


def _plain(state: Any) -> Any:
    """numpy's description of a generator, with tensors for its arrays: an array is no plain value for torch.load."""
    if isinstance(state, Mapping):
        return {name: _plain(value) for name, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": str(state.dtype), "values": torch.from_numpy(state.astype(np.uint64).view(np.int64).copy())}
    return state.item() if isinstance(state, np.generic) else state


def _arrays(state: Any) -> Any:
    if not isinstance(state, Mapping):
        return state
    if state.keys() == {"dtype", "values"}:
        return state["values"].numpy().view(np.uint64).astype(state["dtype"])
    return {name: _arrays(value) for name, value in state.items()}
