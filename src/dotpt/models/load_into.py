"""`dotpt.load_into`: the weights of any file into a live model, or the state of an optimizer into an optimizer.

What crosses this boundary: whatever the user calls a file, and a live model or optimizer, in; a report out. Invariant:
torch is imported by whoever passes a model, never by this module itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from dotpt.archive.archive import Archive
from dotpt.archive.archive import open as open_archive
from dotpt.errors import MissingDependency, UsageError
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.models.matching import check_mismatched
from dotpt.models.rules import Rules
from dotpt.models.selection import Selection, globs_of

if TYPE_CHECKING:
    from dotpt.models.report import FitReport

Progress = Callable[[int, int], None]
_STRICT = (True, False, "report")
_VERIFY = (True, False, "first")


def load_into(
    target: Any,
    source: Any,
    *,
    weights: str = "auto",
    rules: Any = None,
    strict: bool | Literal["report"] = True,
    mismatched: Any = "error",
    only: Any = (),
    exclude: Any = (),
    freeze: Any = (),
    assign: bool | None = None,
    mmap: bool = False,
    verify: bool | Literal["first"] = True,
    model: Any = None,
    address: str = "auto",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Load weights into a model, and say what became of every tensor.

    The weights are found in whatever was saved: a state dict, a checkpoint, a whole module. Prefixes that wrappers
    leave (``module.``, ``_orig_mod.``, ``model.``, ...) are taken off where that makes all names fit. The bytes go from
    the file straight into the model's own memory; wherever ``model.load_state_dict`` succeeds, the outcome is the same
    to the bit. If the two do not fit, the model is left as it was.

    Args:
        target: a `torch.nn.Module`, or a `torch.optim.Optimizer`.
        source: a path, ``http(s)://`` or fsspec address, bytes, a file object, an open `dotpt.Archive`, a state dict,
            or another model.
        weights: where in the source the weights lie: ``"auto"``, ``"ema"``, or an address (``"state.model"``).
        rules: how the file's names become the model's: ``{"old.": "new."}``, a list of rules, or a TOML or YAML file.
        strict: True refuses what is missing, unexpected or of another shape. False allows missing and unexpected
            names, as torch does. ``"report"`` loads whatever fits, and says the rest.
        mismatched: of a tensor of another size: ``"error"``; ``"skip"`` keeps the model's; ``"slice"`` takes the
            leading part; ``"pad"`` fills the leading part of the model's; or a function of (name, values, parameter)
            that gives a tensor of the parameter's shape, or None to skip it.
        only: glob or globs over the model's names; all others stay as they are.
        exclude: glob or globs over the model's names that stay as they are.
        freeze: glob or globs over parameters that need no gradient from now on.
        assign: True puts the file's tensors, with their types, in the place of the model's. None does so only where
            the model's are on the meta device, and keeps the model's types.
        mmap: map a local file instead of reading it. With ``assign`` its tensors stay mapped.
        verify: compare checksums while reading; ``"first"`` compares all of them before the model is touched.
        model: for an optimizer, the model whose parameters it has: its state then goes by their names. (``weights``
            is then what tells them apart where the file does not name them: those that were saved with it, as an
            address, or another file's as a `pathlib.Path`.)
        address: for an optimizer, where its state lies (``"optimizer_states.1"``), if there are several.
        limits: what the file may ask for.
        progress: called with (bytes done, bytes in all).
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Returns:
        A `FitReport` (for an optimizer an `OptimizerReport`): an object of lists, and printed, a table.

    Raises:
        FitError: weights and model do not fit; the error shows what, the nearest names, and the next step.
        NoWeights: there are none where they were looked for.
        ChecksumMismatch: a tensor is damaged. What was read before it is in the model already, unless
            ``verify="first"``.
        UsageError: an argument makes no sense, or a glob matches nothing.

    Example:
        >>> import torch, dotpt
        >>> old, new = (torch.nn.DataParallel(torch.nn.Linear(4, 2)) for _ in range(2))
        >>> report = dotpt.load_into(new.module, old.state_dict())
        >>> report.renamed
        {'module.weight': 'weight', 'module.bias': 'bias'}
        >>> bool((new.module.weight == old.module.weight).all())
        True
    """
    _check(strict, verify, mismatched)
    torch_fit = _torch_fit()
    if torch_fit.is_optimizer(target):
        _for_models_only(
            mismatched=mismatched != "error", only=only, exclude=exclude, freeze=freeze, assign=assign, mmap=mmap
        )
        opened = _opened(source, limits, allow_download, storage_options, bool(verify))
        with opened as found:
            from dotpt.models.torch_optimizer import load_optimizer

            return load_optimizer(
                target, found, model=model, weights=weights, rules=rules, strict=strict, address=address
            )
    if not torch_fit.is_model(target):
        raise UsageError(
            f"The target is {_described(target)}, neither a model nor an optimizer.",
            hint="dotpt.load_into(Model(...), path)",
        )
    if model is not None:
        raise UsageError("model= is for optimizers; the target is a model.", hint="leave model= out")
    wishes = torch_fit.Wishes(
        rules=Rules.of(rules),
        strict=strict,
        mismatched=mismatched,
        selection=Selection(only or None, exclude or None),
        freeze=tuple(globs_of("freeze", freeze) or ()),
        assign=assign,
        mapped=mmap,
        verify=verify,
        progress=progress,
    )
    with _opened(source, limits, allow_download, storage_options, bool(verify)) as found:
        report: FitReport = fit_found(torch_fit, target, found, weights, wishes)
    return report


def fit_found(torch_fit: Any, target: Any, found: Any, where: str, wishes: Any) -> FitReport:
    """Fit the weights of an open archive or of a state dict in memory.

    Args:
        torch_fit: the module of this name, which only those import who have torch.
        found: the archive, or a mapping.
        where: as ``weights=`` of `load_into`.
        wishes: the rest of the call.
    """
    from dotpt.models.find import find_weights

    archive = found if isinstance(found, Archive) else None
    names = torch_fit.names_of(target)[0]
    if where == "auto" and _is_state_dict(archive.tree if archive is not None else found, names):
        where = ""  # nothing is to be looked for, whatever lies beside the tensors
    weights = find_weights(found, where, want=names)
    report: FitReport = torch_fit.fit(target, weights, archive, archive.name if archive is not None else "", wishes)
    return report


def _is_state_dict(tree: Any, names: list[str]) -> bool:
    """Whether a dictionary has all names of a model, or nothing else."""
    return isinstance(tree, Mapping) and (tree.keys() <= set(names) or set(names) <= tree.keys())


@contextmanager
def _opened(
    source: Any, limits: Limits, allow_download: bool, storage_options: Mapping[str, Any] | None, verify: bool
) -> Iterator[Any]:
    """The source as an archive or a mapping. An archive of the caller's stays open."""
    if isinstance(source, (Archive, Mapping)):
        yield source
        return
    if _torch_fit().is_model(source):
        yield source.state_dict()
        return
    archive = open_archive(
        source, verify=verify, limits=limits, allow_download=allow_download, storage_options=storage_options
    )
    with archive:
        yield archive


def _check(strict: Any, verify: Any, mismatched: Any) -> None:
    if not any(strict is known or strict == known != 1 for known in _STRICT):
        raise UsageError(f"strict={strict!r:.60} is not understood.", hint='True, False or "report"')
    if not any(verify is known or verify == known != 1 for known in _VERIFY):
        raise UsageError(f"verify={verify!r:.60} is not understood.", hint='True, False or "first"')
    check_mismatched(mismatched)


def _for_models_only(**given: Any) -> None:
    """Refuse what would have no effect on an optimizer."""
    names = [name for name, value in given.items() if value]
    if names:
        raise UsageError(f"{names[0]}= is for models; the target is an optimizer.", hint=f"leave {names[0]}= out")


def _torch_fit() -> Any:
    try:
        from dotpt.models import torch_fit
    except ImportError as error:
        if error.name != "torch":
            raise
        raise MissingDependency(
            "torch is not installed, and a model is made with it.", hint="pip install torch"
        ) from None
    return torch_fit


def _described(target: Any) -> str:
    kind = type(target)
    return f"the class {target.__name__}" if isinstance(target, type) else f"of the class {kind.__name__}"
