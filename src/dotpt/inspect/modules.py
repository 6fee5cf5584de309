"""The module that the weights of a file lie in, if it is a pickled one: its tree for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotpt.inspect.content import value_at
from dotpt.inspect.roles import RolePart
from dotpt.rescue.modules import is_module, view_of
from dotpt.rescue.notes import Notes
from dotpt.rescue.script import ScriptModules, is_script_module
from dotpt.rescue.tree import ModuleTree, tree_of

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive


def modules_of(archive: Archive, weights: RolePart | None) -> ModuleTree | None:
    """The tree of the module that is the file, or that its weights are; None where they are no module."""
    value, limits = archive.tree, archive.options.limits
    if is_script_module(value):
        return tree_of(value, limits=limits, look=ScriptModules(archive.contents.container, Notes()))
    if weights is not None and weights.keys:
        value = value_at(value, weights.keys)
    return tree_of(value, limits=limits, look=view_of) if is_module(value) else None
