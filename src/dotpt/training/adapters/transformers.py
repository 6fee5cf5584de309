"""transformers: a callback for its ``Trainer``.

The Trainer saves a folder, and has no hook for how. So what can be had is this: its calls of ``torch.save`` (optimizer,
scheduler, random states) are ours while it trains, and each folder is read back, brought to the disk and sealed with
the hashes of its files before training goes on. Invariant: nothing is removed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dotpt.errors import MissingDependency

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise MissingDependency("transformers is not installed.", hint="pip install 'dotpt[transformers]'") from error

from dotpt.dropin.patch import Patch, patch_torch
from dotpt.training.adapters.folders import check_and_seal


class DotptCallback(TrainerCallback):
    """Makes each ``checkpoint-500`` of a Trainer whole, durable and verifiable.

    Resume with `dotpt.training.latest_whole`, which passes over what is damaged. With ``save_total_limit`` the Trainer
    removes the oldest checkpoint before this is called for the newest: leave it at 2 or more.

    Args:
        durable: training goes on when the disk has the checkpoint.

    Example:
        >>> callbacks = [DotptCallback()]
        >>> # trainer = Trainer(..., callbacks=callbacks)
        >>> # trainer.train(resume_from_checkpoint=dotpt.training.latest_whole("output"))
    """

    def __init__(self, *, durable: bool = True) -> None:
        self._durable = durable
        self._patch: Patch | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """From here on `torch.save` and `torch.load` are ours."""
        self.close()
        self._patch = patch_torch(durable=False)  # the disk is waited for once, for the whole folder

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Check and seal what was saved.

        Raises:
            ContainerError: a file is not whole.
            WriteError: the disk does not take it.
        """
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        check_and_seal(folder, first=state.is_world_process_zero, durable=self._durable)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """torch's functions are torch's again."""
        self.close()

    def close(self) -> None:
        """Put torch's functions back; only needed where training ended with an exception."""
        if self._patch is not None:
            self._patch.undo()
            self._patch = None
