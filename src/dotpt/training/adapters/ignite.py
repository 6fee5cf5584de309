"""Ignite: a save handler for `ignite.handlers.Checkpoint`, in the place of its ``DiskSaver``.

What crosses this boundary: a checkpoint and its name in, a file out. Ignite asks for the removal of the old file
before it asks for the save of the new one; invariant: the old file goes when the new one is on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dotpt.errors import MissingDependency, UsageError

try:
    import ignite.distributed as idist
    from ignite.handlers.checkpoint import BaseSaveHandler
except ImportError as error:
    raise MissingDependency("Ignite is not installed.", hint="pip install 'dotpt[ignite]'") from error

from dotpt.training.adapters.torch_saver import Saver
from dotpt.training.folder import make_folder
from dotpt.training.layout_ignite import NOTE
from dotpt.training.retention import delete


class DotptSaver(BaseSaveHandler):
    """Saves what an `ignite.handlers.Checkpoint` hands it: atomic, durable, verified, with hashes, in the background.

    Args:
        dirname: where the files lie; it is made if it is not there.
        require_empty: refuse a folder that has ``.pt`` files already, as DiskSaver does. False to resume into it.
        save_on_rank: which process writes, as of DiskSaver.
        background: write in a thread, while training goes on.
        durable: each save ends when the disk has it.
        verify: read each file back from the disk before it takes its place.

    Raises:
        UsageError: the folder has files, and may not.

    Example:
        >>> from ignite.handlers import Checkpoint
        >>> with DotptSaver("runs/exp1") as saver:
        ...     checkpoint = Checkpoint({}, saver, n_saved=2)
    """

    def __init__(
        self,
        dirname: str | os.PathLike[str],
        *,
        require_empty: bool = True,
        save_on_rank: int = 0,
        background: bool = True,
        durable: bool = True,
        verify: bool = True,
    ) -> None:
        self.dirname = Path(dirname).expanduser()
        self._writes = idist.get_rank() == save_on_rank
        self._saver = Saver(background=background, durable=durable, verify=verify)
        self._leaving: dict[str, Callable[[], Any]] = {}
        if self._writes:
            make_folder(self.dirname)
            found = sorted(path.name for path in self.dirname.glob("*.pt")) if require_empty else []
            if found:
                raise UsageError(
                    f"There are checkpoints already: {', '.join(found[:3])}.",
                    path=str(self.dirname),
                    hint="require_empty=False to go on with them, or another folder",
                )

    def __call__(self, checkpoint: Mapping[str, Any], filename: str, metadata: Mapping[str, Any] | None = None) -> None:
        """Save; called by Ignite."""
        if self._writes:
            self._leaving.pop(filename, None)  # it is replaced, not removed
            leaving, self._leaving = self._leaving, {}
            try:
                self._saver.save(dict(checkpoint), self.dirname / filename, metadata={NOTE: _plain(metadata or {})})
            finally:  # also where it raises what was wrong with the save before it
                for remove in leaving.values():
                    self._saver.remove(remove)

    def remove(self, filename: str) -> None:
        """Remove a file once the next one is saved; called by Ignite."""
        if self._writes:
            self._leaving[filename] = partial(delete, self.dirname / filename)

    def wait(self) -> None:
        """Return when the last save is on the disk.

        Raises:
            DotptError: it has failed.
        """
        self._saver.wait()

    def close(self) -> None:
        """Wait for the last save, and end the thread."""
        self._saver.close()

    def __enter__(self) -> DotptSaver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What Ignite tells of a checkpoint, as JSON has it."""
    priority = metadata.get("priority")
    return {
        "basename": str(metadata.get("basename", "")),
        "score_name": metadata.get("score_name"),
        "priority": None if priority is None else float(priority),
    }
