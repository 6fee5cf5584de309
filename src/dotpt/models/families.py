"""`dotpt.models.list` and `dotpt.models.fingerprint`: the known architectures, and which of them a state dict has.

What crosses this boundary: a file, a state dict or names and shapes in; a `Fingerprint` out. Invariant: an answer is
what `dotpt.inspect` says of the same weights, labelled INFERRED, or plainly unknown.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from dotpt.archive.archive import Archive
from dotpt.archive.archive import open as open_archive
from dotpt.inspect.families.fingerprint import Fingerprint
from dotpt.inspect.families.match import Shape, fingerprint_of
from dotpt.inspect.families.table import Family, known_families
from dotpt.limits import DEFAULT_LIMITS, Limits


def list() -> builtins.list[Family]:
    """The families that dotpt knows, by name; one for each library that names the weights its own way.

    Example:
        >>> import dotpt
        >>> print(next(family for family in dotpt.models.list() if family.name == "resnet"))
        resnet: ResNet, as torchvision or timm names its weights
    """
    return [*known_families()]


def fingerprint(
    source: Any,
    *,
    weights: str = "auto",
    limits: Limits = DEFAULT_LIMITS,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Fingerprint:
    """Which known architecture weights belong to, as far as their names and shapes tell.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, a file object, an open `dotpt.Archive`, a model, a
            state dict, or a dictionary from names to `dotpt.models.facts.Facts` or to shapes.
        weights: where in the source the weights lie: ``"auto"``, ``"ema"``, or an address (``"state.model"``).
        limits: what the file may ask for.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Returns:
        The family, its published size if it is one, what was measured, and what that rests on. Where the names are
        of no family, `Fingerprint.known` is False, and its candidates say what comes nearest.

    Raises:
        NoWeights: the source holds none (there).
        AmbiguousWeights: it holds several networks; ``weights=`` says which.
        DotptError: it could not be read.

    Example:
        >>> import dotpt
        >>> shapes = {"lin0.model.1.weight": (1, 64, 1, 1), "lin1.model.1.weight": (1, 192, 1, 1)}
        >>> dotpt.models.fingerprint(shapes).known
        False
        >>> shapes |= {f"lin{n}.model.1.weight": (1, width, 1, 1) for n, width in ((2, 384), (3, 256), (4, 256))}
        >>> found = dotpt.models.fingerprint(shapes)
        >>> found.family, found.variant, found.evidence
        ('lpips', 'alex', '5 of 5 names are those of lpips, and the 5 that tell it apart fit')
    """
    shapes = _shapes(source) if isinstance(source, Mapping) else None
    if shapes is not None:
        return fingerprint_of(shapes)
    if isinstance(source, (Archive, Mapping)) or hasattr(source, "state_dict"):
        return _found(source, weights)
    with open_archive(source, limits=limits, allow_download=allow_download, storage_options=storage_options) as archive:
        return _found(archive, weights)


def _found(source: Any, weights: str) -> Fingerprint:
    """The fingerprint of the weights in an archive, in a checkpoint in memory, or of a model."""
    from dotpt.models.find import find_weights

    return fingerprint_of(_tensors(find_weights(source, weights).state))


def _tensors(state: Mapping[str, Any]) -> dict[str, Shape]:
    """The shapes of what has one; the extra state of a module has none."""
    return {name: tuple(value.shape) for name, value in state.items() if hasattr(value, "shape")}


def _shapes(given: Mapping[Any, Any]) -> dict[str, Shape] | None:
    """The shapes in a dictionary of names and facts or shapes; None if it is a checkpoint, to be searched."""
    found: dict[str, Shape] = {}
    for name, value in given.items():
        shape = getattr(value, "shape", value)
        if type(name) is not str or not isinstance(shape, tuple) or any(type(size) is not int for size in shape):
            return None
        found[name] = shape
    return found or None
