"""The values of a saved optimizer, read one at a time, in their own precision, on the device of their parameter.

What crosses this boundary: entries and settings as they lie in a file or in memory in; torch's tensors and plain values
of their own memory out. Invariant: a type is changed only where torch's own step would fail on it, or where nothing is
lost; each change is noted.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch

from dotpt.archive.archive import Archive
from dotpt.archive.memories import Memories, storages_of
from dotpt.archive.torch_backend import TorchBackend
from dotpt.errors import OptimizerMismatch
from dotpt.models.optimizer_kinds import Kind
from dotpt.models.report import Cast
from dotpt.pickling.values import InertGlobal, InertObject
from dotpt.tensors.refs import TensorRef

_DEPTH = 32  # of containers in an entry; LBFGS's lists are one deep
_DICTS = (dict, OrderedDict, defaultdict)


class Reader:
    """Reads values of a checkpoint: each tensor when it is asked for, into memory of its own.

    Tensors that share a storage in the file are read once, and share it here, as they do for ``torch.load``.

    Args:
        archive: the file; None for a checkpoint in memory, whose tensors are copied.
    """

    def __init__(self, archive: Archive | None) -> None:
        self._archive = archive
        if archive is not None:
            self._shared = archive.aliases.keys()
            self._memories = Memories(archive.contents)
            self._backend = TorchBackend(self._memories)

    def read(self, value: Any, depth: int = 0) -> Any:
        """A value of the checkpoint: tensors read, containers copied, plain values as they are.

        Raises:
            OptimizerMismatch: an object of a class that is not known.
        """
        if depth > _DEPTH:
            raise OptimizerMismatch(f"The state of the optimizer is nested more than {_DEPTH} deep.")
        kind = type(value)
        if kind in _DICTS:
            return {key: self.read(part, depth + 1) for key, part in value.items()}
        if kind in (list, tuple):
            return kind(self.read(part, depth + 1) for part in value)
        if isinstance(value, torch.Tensor):
            return value.detach().clone()
        return deepcopy(value) if self._archive is None else self._leaf(value, self._archive)

    def _leaf(self, value: Any, archive: Archive) -> Any:
        if type(value) is TensorRef:
            return self._tensor(value, archive)
        made = self._backend.leaf(value)
        if isinstance(made, (InertObject, InertGlobal)):
            raise OptimizerMismatch(
                f"The state of the optimizer holds {made!r:.80}, whose class is not known.",
                path=archive.name,
                hint="if you trust the file: pass dotpt.load(path, trust=[...]) in its place",
            )
        return made

    def _tensor(self, ref: TensorRef, archive: Archive) -> Any:
        if ref.storage_key not in self._shared and not ref.parts:
            return ref.torch().detach()
        self._memories.fetch(storages_of([ref]), verify=archive.verify)
        return self._backend.leaf(ref).detach()


class Placer:
    """Brings values to the parameters that they are kept for.

    Attributes:
        cast: what got another type.

    Args:
        kind: what is known of the optimizer's class; None for one that is not torch's.
    """

    def __init__(self, kind: Kind | None) -> None:
        self._kind = kind
        self._narrowed = False
        self.cast: list[Cast] = []

    def notes(self, optimizer: str) -> list[str]:
        """Why precision was lost, if it was."""
        if not self._narrowed:
            return []
        return [
            f"{optimizer} cannot step with state of another type than its gradients, so the state was rounded; "
            "keep the parameters in float32 and use torch.autocast to keep its precision."
        ]

    def place(
        self, entry: Mapping[str, Any], reader: Reader, name: str, parameter: Any, settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The entry of a parameter, read and moved piece by piece.

        Args:
            name: of the parameter, for the report.
            settings: of its group.
        """
        return {
            key: self._placed(reader.read(value), key, f"{name}: {key}", parameter, settings)
            for key, value in entry.items()
        }

    def _placed(self, value: Any, key: Any, label: str, parameter: Any, settings: Mapping[str, Any]) -> Any:
        if isinstance(value, torch.Tensor):
            return self._tensor(value, key, label, parameter, settings)
        if type(value) is dict:
            return {name: self._placed(part, name, label, parameter, settings) for name, part in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self._placed(part, None, label, parameter, settings) for part in value)
        return value

    def _tensor(
        self, value: torch.Tensor, key: Any, label: str, parameter: Any, settings: Mapping[str, Any]
    ) -> torch.Tensor:
        if key == "step":  # torch counts on the CPU, unless the whole step runs on the device
            beside = settings.get("capturable") or settings.get("fused")
            return value.to(dtype=torch.float32, device=parameter.device) if beside else value.cpu()
        wanted = self._type(value, parameter, settings)
        if wanted != value.dtype:
            self.cast.append(Cast(label, _spelled(value.dtype), _spelled(wanted)))
        return value.to(dtype=wanted, device=parameter.device)

    def _type(self, value: torch.Tensor, parameter: Any, settings: Mapping[str, Any]) -> torch.dtype:
        floats = value.is_floating_point() and parameter.is_floating_point()
        if self._kind is None or not floats or value.dim() < min(parameter.dim(), 1):
            return value.dtype
        lossless = torch.promote_types(value.dtype, parameter.dtype) == parameter.dtype
        fails = self._kind.strict or bool(settings.get("fused"))
        self._narrowed |= fails and not lossless
        wanted: torch.dtype = parameter.dtype if lossless or fails else value.dtype
        return wanted


def plain(value: Any) -> Any:
    """A setting as a report holds it: numbers and texts.

    Example:
        >>> plain((0.9, torch.tensor(0.5)))
        [0.9, 0.5]
    """
    if isinstance(value, torch.Tensor):
        return value.item() if value.numel() == 1 else f"{_spelled(value.dtype)} {list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _spelled(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
