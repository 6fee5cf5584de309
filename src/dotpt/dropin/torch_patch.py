"""What `torch.save` and `torch.load` become: torch's arguments in, dotpt's verbs called.

Facts from torch/serialization.py (2.13). Invariant: nothing of a file is run unless ``weights_only`` is False, be it
that the call says so, that it names a ``pickle_module``, or that the environment does.
"""

from __future__ import annotations

import os
import sys
import warnings
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from dotpt.archive.load import load as load_by_dotpt
from dotpt.archive.torch_settings import AsSaved, for_loading
from dotpt.dropin.bindings import Function, Replacement
from dotpt.errors import UsageError
from dotpt.limits import DEFAULT_LIMITS, TRUSTED_LIMITS
from dotpt.saving.save import save as save_by_dotpt

_HOMES = (torch, torch.serialization)
SAVE = Replacement(torch.save, "save", _HOMES)
LOAD = Replacement(torch.load, "load", _HOMES)

_disable: Any = torch.compiler.disable
_FORCE, _FORCE_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
_BETWEEN = (f"{Path(__file__).parent}{os.sep}", f"{Path(torch.__file__).parent}{os.sep}_dynamo{os.sep}")
_UNDERSTOOD = frozenset(("encoding", "errors"))
_USUAL = {"fix_imports": True, "buffers": None}  # what an unpickler does unless it is told otherwise, and so do we


class Conflict(UsageError, RuntimeError):
    """The environment says two things of ``weights_only``."""


def uncompiled(function: Function) -> Function:
    """``function``, which torch.compile does not follow: like torch's own, it ends a graph."""
    disabled: list[Function] = []

    @wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if not disabled and "torch._dynamo" in sys.modules:  # else nothing is compiled, and importing it takes long
            disabled.append(_disable(function))
        return (disabled or [function])[0](*arguments, **keywords)

    return call


def saver(*, durable: bool) -> Function:
    """`torch.save`, as dotpt does it; ``durable`` as `dotpt.save` takes it."""

    def save(
        obj: Any,
        f: Any,
        pickle_module: Any = None,
        pickle_protocol: int = 2,
        _use_new_zipfile_serialization: bool = True,
        _disable_byteorder_record: bool = False,
    ) -> None:
        save_by_dotpt(
            obj,
            f,
            pickle_module,
            pickle_protocol,
            _use_new_zipfile_serialization,
            _disable_byteorder_record,
            arrays="numpy",
            durable=durable,
        )

    return uncompiled(save)


@uncompiled
def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """`torch.load`, as dotpt does it."""
    safely = _only_weights(weights_only, pickle_module)
    if safely and pickle_load_args:
        _warn(f"{', '.join(pickle_load_args)}: pickle_load_args only works if `weights_only=False`.")
    mapped = for_loading().mmap if mmap is None else mmap
    return load_by_dotpt(
        f,
        AsSaved(map_location),
        pickle_module,
        weights_only=safely,
        backend="torch",
        mmap=mapped,
        verify=not mapped,  # what is mapped is wanted at once, and not in memory
        limits=DEFAULT_LIMITS if safely else TRUSTED_LIMITS,
        **_understood(pickle_load_args),
    )


def _only_weights(said: bool | None, pickle_module: Any) -> bool:
    """Whether nothing but weights is to be loaded, from what the call and the environment say."""
    forced, forced_not = _is_set(_FORCE), _is_set(_FORCE_NOT)
    if forced and forced_not:
        raise Conflict(
            f"Only one of `{_FORCE}` or `{_FORCE_NOT}` should be set, but both were set.",
            hint=f"unset {_FORCE_NOT}",
        )
    if forced:
        return True
    if said is not None:
        return bool(said)
    if forced_not:
        _warn(
            f"The environment has {_FORCE_NOT}, and the call to torch.load does not say `weights_only`: "
            "forcing weights_only=False, so that the file may run code."
        )
        return False
    return pickle_module is None


def _warn(text: str) -> None:
    """Warn whoever has called torch, however many frames are between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level)


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "0").lower() in ("1", "y", "yes", "true")


def _understood(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments for an unpickler that dotpt has, too."""
    kept = {name: value for name, value in arguments.items() if name in _UNDERSTOOD}
    for name, value in arguments.items():
        if name not in kept and not (name in _USUAL and value == _USUAL[name]):
            raise TypeError(f"load() got an unexpected keyword argument {name!r}")
    return kept
