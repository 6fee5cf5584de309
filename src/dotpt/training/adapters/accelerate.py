"""Accelerate: `save_state` and `load_state`, in the place of the accelerator's methods of those names.

Accelerate saves a folder, and has hooks before that and none after. So these are functions around its own: what it
saves by ``torch.save`` is saved by us, and the folder is read back, brought to the disk and sealed with the hashes of
its files. Invariant: all processes load the same checkpoint, and it is whole.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from dotpt.errors import MissingDependency, UsageError

try:
    from accelerate import Accelerator
except ImportError as error:
    raise MissingDependency("Accelerate is not installed.", hint="pip install 'dotpt[accelerate]'") from error

from dotpt.dropin.patch import patch_torch
from dotpt.training.adapters.folders import check_and_seal
from dotpt.training.latest import latest_whole
from dotpt.training.torch_ranks import from_first

_NUMBER = re.compile(r"checkpoint_(\d+)")


def save_state(
    accelerator: Accelerator,
    output_dir: str | os.PathLike[str] | None = None,
    *,
    durable: bool = True,
    **keywords: Any,
) -> Path:
    """``accelerator.save_state``, of which the folder is whole, on the disk, and verifiable when it returns.

    Args:
        accelerator: with its prepared objects. Every process calls it.
        output_dir: as Accelerate's; not needed with automatic naming.
        durable: return when the disk has it.
        keywords: Accelerate's further ones: ``safe_serialization``, ...

    Returns:
        The folder.

    Raises:
        ContainerError: a file is not whole.
        WriteError: the disk does not take it.

    Example:
        >>> from accelerate import Accelerator
        >>> accelerator = Accelerator(cpu=True)
        >>> save_state(accelerator, "run/step_500").name
        'step_500'
        >>> load_state(accelerator, "run").name
        'step_500'
    """
    with patch_torch(load=False, durable=False):  # the disk is waited for once, for the whole folder
        folder = Path(accelerator.save_state(None if output_dir is None else os.fspath(output_dir), **keywords))
    check_and_seal(folder, first=accelerator.is_main_process, durable=durable)
    return folder


def load_state(accelerator: Accelerator, folder: str | os.PathLike[str] | None = None, **keywords: Any) -> Path | None:
    """``accelerator.load_state`` of the newest checkpoint that is whole.

    With automatic naming the numbers go on behind it, which Accelerate leaves to its user.

    Args:
        accelerator: with its prepared objects. Every process calls it.
        folder: where the checkpoints lie, or one of them; default: the accelerator's project.
        keywords: Accelerate's further ones.

    Returns:
        The checkpoint; None if there is none yet.

    Raises:
        NoCheckpoint: there are some, and none is whole.
        DamagedCheckpoint: (a warning) one was passed over.
    """
    place = accelerator.project_dir if folder is None else folder
    if place is None:
        raise UsageError("The accelerator has no project folder.", hint="load_state(accelerator, folder)")
    found = from_first(latest_whole(place) if accelerator.is_main_process else None)
    if found is None:
        return None
    with patch_torch(save=False):
        accelerator.load_state(os.fspath(found), **keywords)
    configuration = accelerator.project_configuration
    if configuration.automatic_checkpoint_naming:
        numbers = [int(name[1]) for path in found.parent.iterdir() if (name := _NUMBER.fullmatch(path.name))]
        configuration.iteration = max(numbers, default=-1) + 1
    return Path(found)
