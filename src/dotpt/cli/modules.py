"""A pickled module on the screen, as ``print(model)`` shows the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.cli.screen import cut

if TYPE_CHECKING:
    from dotpt.cli.screen import Screen
    from dotpt.rescue.tree import ModuleTree


def draw_modules(screen: Screen, tree: ModuleTree, limit: int | None, indent: str = "") -> None:
    """Write the lines of ``print(model)``, at most ``limit`` of them."""
    for number, line in enumerate(tree.lines()):
        if number == limit:
            screen.line(indent, (f"{screen.ellipsis} and more (--limit 0 shows all)", "dim"))
            return
        text = words.one_line(line)
        screen.line(indent, text if screen.width is None else cut(text, screen.width - len(indent), screen.ellipsis))
