"""`dotpt.patch_torch`: the one line that gives dotpt's saving and loading to code that calls torch's.

Whoever patches holds a `Patch`, which ends it. Nothing else of torch is touched, and this file does not import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from dotpt.errors import MissingDependency, UsageError

if TYPE_CHECKING:
    from types import TracebackType

    from dotpt.dropin.bindings import Function, Replacement


class Patch:
    """`torch.save` and `torch.load` are ours until `undo`, or until the ``with`` block ends."""

    def __init__(self, functions: Mapping[Replacement, Function]) -> None:
        self._replacements = tuple(functions)
        self._active = True
        for replacement, function in functions.items():
            replacement.add(self, function)

    @property
    def active(self) -> bool:
        """Whether it has not been undone yet."""
        return self._active

    def undo(self) -> None:
        """Put back exactly what was there. Other patches that are active stay. A second call does nothing."""
        self._active = False
        for replacement in self._replacements:
            replacement.remove(self)

    def __enter__(self) -> Patch:
        if not self._active:
            raise UsageError("This patch has been undone.", hint="call dotpt.patch_torch() again")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.undo()


def patch_torch(*, save: bool = True, load: bool = True, durable: bool = True) -> Patch:
    """Make `torch.save` and `torch.load` dotpt's in this process, for whichever library calls them.

    They keep torch's names, arguments, defaults and types of errors. Saving becomes atomic and durable and notes the
    hash of every tensor; loading verifies checksums and runs nothing of a file unless the call says
    ``weights_only=False``. All modules that have the functions by name are patched, whether they have been imported
    or will be; other processes are not (`dotpt run` reaches those too that multiprocessing starts).

    Args:
        save: whether `torch.save` is ours.
        load: whether `torch.load` is ours.
        durable: whether a save waits until the disk has the file, so that it survives a power cut.

    Returns:
        The patch: ``undo()`` puts back exactly what was there, and so does the end of a ``with`` block.

    Raises:
        MissingDependency: torch is not installed.

    Example:
        >>> import torch, dotpt  # doctest: +SKIP
        >>> with dotpt.patch_torch():  # doctest: +SKIP
        ...     torch.save(model.state_dict(), "model.pt")
    """
    return Patch(_functions(save, load, durable))


def _functions(save: bool, load: bool, durable: bool) -> dict[Any, Any]:
    try:
        import_module("torch")  # by itself: what is done as soon as it is there may need torch_patch, whole
        from dotpt.dropin import torch_patch
    except ImportError as error:
        if find_spec("torch") is not None:
            raise
        raise MissingDependency(
            "torch is not installed, so there is nothing to patch.", hint="pip install torch"
        ) from error
    functions: dict[Replacement, Function] = {}
    if save:
        functions[torch_patch.SAVE] = torch_patch.saver(durable=durable)
    if load:
        functions[torch_patch.LOAD] = torch_patch.load
    return functions
