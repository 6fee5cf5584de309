"""What the user has told torch about saving and loading (``torch.serialization``), seen without importing torch.

A torch that nobody has imported has been told nothing, so its defaults hold.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any

BLOCKED = ("sys", "os", "posix", "nt")
_CONFIG, _STATE = "torch.utils.serialization.config", "torch.serialization"


@dataclass(frozen=True, slots=True)
class Saving:
    """Attributes:
    alignment: ``config.save.storage_alignment``, in bytes.
    checksums: ``set_crc32_options``.
    skip_data: within `torch.serialization.skip_data`: storages are left as holes.
    """

    alignment: int = 64
    checksums: bool = True
    skip_data: bool = False


@dataclass(frozen=True, slots=True)
class Loading:
    """Attributes:
    mmap: ``config.load.mmap``: whether files are mapped where the call does not say.
    shared: ``set_default_mmap_options(MAP_SHARED)``: what is written to mapped tensors reaches the file.
    byteorder: ``set_default_load_endianness``: of files that do not say theirs: ``little`` or ``big``.
    skip_data: within `torch.serialization.skip_data`: tensors are made, their bytes not read.
    """

    mmap: bool = False
    shared: bool = False
    byteorder: str = "little"
    skip_data: bool = False


class AsSaved:
    """A ``map_location`` as torch.load understands it: without one, tensors go back to where they were saved from.

    dotpt's own default is the CPU, for a file from a machine with eight GPUs should open on one with none.

    Args:
        map_location: what the caller gave: None, a device, a dictionary or a function.
    """

    def __init__(self, map_location: Any = None) -> None:
        self.map_location = map_location


def for_saving() -> Saving:
    """The settings of torch that concern saving."""
    config, state = _config(), _state()
    if config is None:
        return Saving(skip_data=state)
    return Saving(int(config.save.storage_alignment), bool(config.save.compute_crc32), state)


def for_loading() -> Loading:
    """The settings of torch that concern loading."""
    config, state = _config(), _state()
    if config is None:
        return Loading(skip_data=state)
    from mmap import MAP_SHARED

    order = getattr(config.load.endianness, "name", "LITTLE").lower()
    byteorder = sys.byteorder if order == "native" else order
    return Loading(bool(config.load.mmap), config.load.mmap_flags == MAP_SHARED, byteorder, state)


def safe_globals() -> list[tuple[str, str, Any]]:
    """(module, name, object) of what the user has marked as safe with ``torch.serialization.add_safe_globals``.

    Like torch, it never takes anything of `sys` and `os` on that word.
    """
    unpickler = sys.modules.get("torch._weights_only_unpickler")
    if unpickler is None:
        return []
    named = [(*_path_of(path, value), value) for path, value in unpickler._get_user_allowed_globals().items()]
    return [(module, name, value) for module, name, value in named if module.partition(".")[0] not in BLOCKED]


def _path_of(path: str, value: Any) -> tuple[str, str]:
    """Module and name. A class method that is written in C says of neither where it is from; its class does."""
    owner = getattr(value, "__self__", None)
    if getattr(value, "__module__", None) is None and isinstance(owner, type):
        return owner.__module__, f"{owner.__qualname__}.{value.__name__}"
    module, _, name = path.rpartition(".")
    return module, name


def forced_weights_only() -> bool:
    """Whether the environment forbids to load anything but weights, whatever a call says."""
    return os.environ.get("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "0").lower() in ("1", "y", "yes", "true")


def _config() -> Any:
    return sys.modules.get(_CONFIG)


def _state() -> bool:
    state = getattr(sys.modules.get(_STATE), "_serialization_tls", None)
    return bool(getattr(state, "skip_data", False))
