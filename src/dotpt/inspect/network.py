"""Which known network a file's weights belong to: the weights are found in the file, and held against the families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dotpt.inspect.content import children_of, value_at
from dotpt.inspect.families.fingerprint import UNKNOWN, Fingerprint
from dotpt.inspect.families.match import Shape, fingerprint_of
from dotpt.inspect.roles import RolePart
from dotpt.pickling.tree import spelled
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive


def network_of(archive: Archive, weights: RolePart | None) -> Fingerprint:
    """The known architecture that the weights of an open file have.

    Args:
        archive: the file.
        weights: the part of it that holds them (`dotpt.inspect.roles.weights_part`), if there is one.
    """
    return Fingerprint(UNKNOWN) if weights is None else fingerprint_of(_shapes(archive, weights))


def _shapes(archive: Archive, weights: RolePart) -> dict[str, Shape]:
    """The names and shapes of the weights; of a pickled module they are those of its state dict."""
    held = value_at(archive.tree, weights.keys)
    if isinstance(held, dict):
        direct = shapes_in(children_of(held))
        if direct:
            return direct
    start = "".join(f"{spelled(key)}." for key in weights.keys)
    return {name[len(start) :]: ref.shape for name, ref in archive.tensors.items() if name.startswith(start)}


def shapes_in(state: Mapping[Any, Any]) -> dict[str, Shape]:
    """The shapes of a state dict's tensors, by name; whatever else is in it is left out."""
    return {name: value.shape for name, value in state.items() if type(name) is str and type(value) is TensorRef}
