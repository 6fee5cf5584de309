"""Live modules of every kind that loading has to do with, and what of them loading may and may not change."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn


class Odd(nn.Module):
    """Tensors that are no ordinary weights."""

    def __init__(self) -> None:
        super().__init__()
        self.scalar = nn.Parameter(torch.randn(()))
        self.last = nn.Parameter(torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last))
        flat = torch.randn(12)
        self.flat = nn.Parameter(flat)
        self.register_buffer("view", flat[2:8].view(2, 3))
        self.register_buffer("count", torch.tensor(7))
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.register_buffer("gone", torch.randn(3), persistent=False)
        self.register_buffer("nothing", None)
        self.register_buffer("empty", torch.empty(0, 3))
        self.register_buffer("complex", torch.randn(2, dtype=torch.complex64))
        self.register_parameter("absent", None)
        self.register_module("child", None)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.head = nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight
        self.again = self.head


class Hooked(nn.Module):
    """Renames an old key before it is loaded, as models do that have changed."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.register_load_state_dict_pre_hook(self._rename)

    def _rename(self, module: Any, state: Any, prefix: str, *_: Any) -> None:
        for key in [key for key in state if key.startswith(f"{prefix}old.")]:
            state[key.replace(f"{prefix}old.", f"{prefix}inner.")] = state.pop(key)


class Owner(nn.Module):
    """Loads by code of its own: it keeps twice what the file has."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3))
        self.below = nn.Linear(2, 2)

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        if f"{prefix}weight" in state:
            state[f"{prefix}weight"] = state[f"{prefix}weight"] * 2
        super()._load_from_state_dict(state, prefix, *rest)


class Noted(nn.Module):
    """Has extra state, with a tensor in it."""

    def __init__(self) -> None:
        super().__init__()
        self.note: Any = {"epoch": 1, "tensor": torch.randn(2)}
        self.weight = nn.Parameter(torch.randn(2))

    def get_extra_state(self) -> Any:
        return self.note

    def set_extra_state(self, state: Any) -> None:
        self.note = state


def weight_norm() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))


def spectral_norm() -> nn.Module:
    return nn.utils.spectral_norm(nn.Linear(3, 4))


def pruned() -> nn.Module:
    from torch.nn.utils import prune

    return prune.random_unstructured(nn.Linear(4, 4), "weight", 0.5)


LEAVES = {
    "linear": lambda: nn.Linear(3, 4),
    "no bias": lambda: nn.Linear(3, 4, bias=False),
    "conv": lambda: nn.Conv2d(2, 3, 3),
    "norm": lambda: nn.BatchNorm1d(4),
    "norm without statistics": lambda: nn.BatchNorm1d(4, track_running_stats=False),
    "layer norm": lambda: nn.LayerNorm(4),
    "instance norm": lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True),
    "lstm": lambda: nn.LSTM(3, 2, bidirectional=True),
    "attention": lambda: nn.MultiheadAttention(4, 2),
    "half": lambda: nn.Linear(3, 4).half(),
    "double": lambda: nn.Linear(3, 4).double(),
    "bfloat16": lambda: nn.Linear(3, 4).bfloat16(),
    "large": lambda: nn.Linear(200, 300),
    "odd": Odd, "tied": Tied, "hooked": Hooked, "owner": Owner, "noted": Noted,
    "weight norm": weight_norm, "spectral norm": spectral_norm, "pruned": pruned,
}  # fmt: skip


def build(shape: Any) -> nn.Module:
    """A module from nested lists of names of `LEAVES`; a number is a module from before, once more."""
    made: list[nn.Module] = []

    def one(part: Any) -> nn.Module:
        if isinstance(part, int):
            return made[part % len(made)] if made else nn.Identity()
        if isinstance(part, str):
            made.append(LEAVES[part]())
            return made[-1]
        return nn.Sequential(*(one(inner) for inner in part))

    return nn.Sequential(one(shape))


SHAPES = st.recursive(
    st.sampled_from(sorted(LEAVES)) | st.integers(0, 5),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=6,
)
TO = st.sampled_from([None, torch.float64, torch.bfloat16])


def fill(model: nn.Module, seed: int) -> nn.Module:
    """Other values for everything, batch counters included."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict(keep_vars=True).values():
            if not isinstance(tensor, torch.Tensor):
                continue
            if tensor.is_floating_point() or tensor.is_complex():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            else:
                tensor.copy_(torch.randint(0, 2, tensor.shape, generator=generator))
    return model


def bits(tensor: Any) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return tensor
    raw = tensor.detach().contiguous().reshape(-1)
    return (
        tensor.dtype,
        tuple(tensor.shape),
        tensor.stride(),
        bytes(raw.view(torch.uint8).tolist()) if len(raw) else b"",
    )


def extras(model: nn.Module) -> list[Any]:
    return [
        {key: bits(value) for key, value in module.note.items()}
        for module in model.modules()
        if isinstance(module, Noted)
    ]


def everything(model: nn.Module) -> Any:
    """All that loading may and may not change, but for identities."""
    state = {name: bits(t) for name, t in model.state_dict(keep_vars=True).items() if isinstance(t, torch.Tensor)}
    grads = {name: t.requires_grad for name, t in model.named_parameters(remove_duplicate=False)}
    places = [
        (name, str(t.device), t.untyped_storage().nbytes()) for name, t in model.named_buffers(remove_duplicate=False)
    ]
    return state, grads, places, extras(model)


def same(one: nn.Module, other: nn.Module) -> None:
    assert everything(one) == everything(other)


def objects(model: nn.Module) -> list[Any]:
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return [(name, id(tensor), tensor.data_ptr()) for name, tensor in tensors]


class Net(nn.Module):
    def __init__(self, classes: int = 10, trunk: str = "backbone") -> None:
        super().__init__()
        setattr(self, trunk, nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)))
        self.head = nn.Linear(8, classes)
