"""Lightning: a `CheckpointIO` plugin that saves and loads by dotpt, and a callback for what Lightning leaves out.

What crosses this boundary: Lightning's checkpoint, a dict, and its path. Invariant: a checkpoint is removed when the
one that was saved after it is on the disk. Both names of the library serve: ``lightning`` and ``pytorch_lightning``,
whichever the program has imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dotpt
from dotpt.errors import MissingDependency, UsageError

try:
    known = sys.modules.keys() & {"lightning.pytorch", "pytorch_lightning"}
    if known == {"pytorch_lightning"} or (not known and find_spec("lightning") is None):
        from pytorch_lightning import Callback
        from pytorch_lightning.plugins.io import TorchCheckpointIO
    else:
        from lightning.pytorch import Callback
        from lightning.pytorch.plugins.io import TorchCheckpointIO
except ImportError as error:
    raise MissingDependency("Lightning is not installed.", hint="pip install 'dotpt[lightning]'") from error

from dotpt.source.addresses import scheme_of
from dotpt.training.adapters.torch_saver import Saver
from dotpt.training.folder import make_folder
from dotpt.training.torch_random import random_states, restore_random
from dotpt.training.torch_ranks import gathered, rank, world_size


class DotptCheckpointIO(TorchCheckpointIO):
    """Saves Lightning's checkpoints: atomic, durable, verified, with hashes, in the background; plain ``.ckpt`` files.

    Args:
        background: write in a thread, while training goes on.
        durable: each save ends when the disk has it.
        verify: read each file back from the disk before it takes its place.
        trust: classes that a checkpoint may name (hyper-parameters of one's own), as `dotpt.load` takes them.

    Attributes:
        history: what each save took, as `DotptCallback` logs it.

    Example:
        >>> from pytorch_lightning import Trainer
        >>> trainer = Trainer(plugins=[DotptCheckpointIO()], callbacks=[DotptCallback()], accelerator="cpu")
    """

    def __init__(
        self, *, background: bool = True, durable: bool = True, verify: bool = True, trust: Any = None
    ) -> None:
        super().__init__()
        self._saver = Saver(background=background, durable=durable, verify=verify)
        self._trust = trust
        self.history = self._saver.history

    def save_checkpoint(
        self, checkpoint: Mapping[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Save; called by Lightning.

        Raises:
            DotptError: the save before this one has failed.
        """
        if storage_options is not None:
            raise UsageError("storage_options is not taken.", hint="give it to fsspec's own configuration")
        if scheme_of(os.fspath(path)) == "":
            make_folder(Path(path).parent)
        self._saver.save(checkpoint, path)
        self.history[-1]["step"] = checkpoint.get("global_step", 0)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load; called by Lightning. Nothing of the file is run, unless ``weights_only=False`` or ``trust`` says so."""
        self.wait()
        trust = None if weights_only is False else self._trust
        loaded: dict[str, Any] = dotpt.load(path, map_location, weights_only=weights_only, trust=trust)
        return loaded

    def remove_checkpoint(self, path: str | os.PathLike[str]) -> None:
        """Remove, once every save before is on the disk; called by Lightning."""
        self._saver.remove(partial(super().remove_checkpoint, path))

    def wait(self) -> None:
        """Return when the last save is on the disk.

        Raises:
            DotptError: it has failed.
        """
        self._saver.wait()

    def teardown(self) -> None:
        """Wait for the last save, and end the thread; called by Lightning."""
        self._saver.close()


class DotptCallback(Callback):
    """Logs what saves take, and adds the random states to each checkpoint, which Lightning leaves out.

    With them a run with shuffling or dropout that is resumed from the end of an epoch goes on bit for bit. Each
    process has its own states; where there are more or fewer than were saved, they are left as they are.

    Args:
        random: whether to save and restore the random states.
    """

    def __init__(self, *, random: bool = True) -> None:
        self._random = random
        self._logged = 0

    def state_dict(self) -> dict[str, Any]:
        """The random states; called by Lightning."""
        return {"random": gathered(random_states({}))} if self._random else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set them; called by Lightning before it begins its first pass through the data."""
        states = state_dict.get("random", [])
        if self._random and len(states) == world_size():
            restore_random(states[rank()], {})

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        """Log the saves that are done."""
        self._log(trainer)

    def on_fit_end(self, trainer: Any, *_: Any) -> None:
        """Wait for the last save, and log it.

        Raises:
            DotptError: it has failed.
        """
        io = trainer.strategy.checkpoint_io
        if isinstance(io, DotptCheckpointIO):
            io.wait()
        self._log(trainer)

    def _log(self, trainer: Any) -> None:
        history = getattr(trainer.strategy.checkpoint_io, "history", [])
        while self._logged < len(history) and "seconds" in history[self._logged]:
            facts = history[self._logged]
            self._logged += 1
            measured = {f"checkpoint/{name}": facts[name] for name in ("waited", "stalled", "seconds")}
            for logger in trainer.loggers:
                logger.log_metrics(measured, step=facts["step"])
