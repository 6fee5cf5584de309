"""The tree of a pickled module: its classes, hyper-parameters and children; as text, what ``print(model)`` shows.

Invariant: making a tree and printing a line of it takes time in proportion to the file, whatever the file says: a
module that lies in many places is one node, and one that lies within itself is not followed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dotpt.errors import LimitExceeded, readable
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.pickling.values import InertObject
from dotpt.rescue.layer_words import words_of
from dotpt.rescue.modules import ModuleView, is_torchs_own, view_of
from dotpt.rescue.plain_values import PlainValues
from dotpt.rescue.quantized_words import is_hidden, name_of, quantized_words
from dotpt.rescue.script import ROOT
from dotpt.rescue.state import Look, is_submodule

_MOST_LINES = 100_000
_LISTS = frozenset(("torch.nn.modules.container.ModuleList", "torch.nn.utils.parametrize.ParametrizationList"))
_CYCLE = "(the module lies within itself)"


@dataclass(slots=True, eq=False)
class ModuleTree:
    """A module of a file. ``print(tree)`` shows it as ``print(model)`` shows the model.

    Attributes:
        name: the class's name, as torch prints it (``Linear``, ``DynamicQuantizedLinear``).
        class_name: the class, with its module.
        known: whether it is a class of torch.
        words: what torch prints between the brackets (``in_features=3, out_features=2, bias=True``).
        values: its hyper-parameters: the plain attributes.
        children: its submodules by name; None where there is no module under a name.
        hidden: names of children that torch does not print.

    Example:
        >>> import dotpt
        >>> rescued = dotpt.rescue("tests/corpus/fixtures/zip/module.pt", backend="numpy")
        >>> rescued.tree.children["4"].values["in_features"]
        16
    """

    name: str
    class_name: str
    known: bool
    words: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    children: dict[str, ModuleTree | None] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    _shape: int = field(default=0, repr=False)

    def walk(self) -> Iterator[tuple[str, ModuleTree]]:
        """(dotted name, module) of every module, in torch's order; one that lies in many places comes once."""
        seen: set[int] = set()
        waiting: list[tuple[str, ModuleTree]] = [("", self)]
        while waiting:
            name, node = waiting.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield name, node
            prefix = f"{name}." if name else ""
            below = [(prefix + key, child) for key, child in node.children.items() if child is not None]
            waiting += reversed(below)

    def lines(self) -> Iterator[str]:
        """The lines of ``print(model)``, one by one."""
        waiting: list[tuple[int, str, ModuleTree | str]] = [(0, "", self)]
        while waiting:
            indent, start, node = waiting.pop()
            if isinstance(node, str):
                yield "  " * indent + start + node
                continue
            words = node.words.split("\n") if node.words else []
            rows = list(node._rows())
            if not rows and len(words) < 2:
                yield f"{'  ' * indent}{start}{node.name}({node.words})"
                continue
            yield f"{'  ' * indent}{start}{node.name}("
            waiting.append((indent, "", ")"))
            below = [(indent + 1, "", line) for line in words]
            waiting += reversed([*below, *((indent + 1, label, child) for label, child in rows)])

    def to_dict(self) -> dict[str, Any]:
        """The modules as plain values: a list of name, class, words and hyper-parameters."""
        modules = [
            {"name": name, "class": node.class_name, "words": node.words, "values": node.values}
            for name, node in self.walk()
        ]
        return {"modules": modules}

    def _rows(self) -> Iterator[tuple[str, ModuleTree | str]]:
        """What stands before each child, and the child. Neighbours in a list that look the same are one row."""
        shown = [(key, child) for key, child in self.children.items() if key not in self.hidden]
        if self.class_name not in _LISTS:
            for key, child in shown:
                yield f"({_line(key)}): ", "None" if child is None else child
            return
        at = 0
        while at < len(shown):
            child = shown[at][1]
            end = at + 1
            while end < len(shown) and _look_the_same(child, shown[end][1]):
                end += 1
            label = f"({at}): " if end - at == 1 else f"({at}-{end - 1}): {end - at} x "
            yield label, "None" if child is None else child
            at = end

    def __str__(self) -> str:
        shown: list[str] = []
        for line in self.lines():
            if len(shown) == _MOST_LINES:
                shown.append(f"... (more than {_MOST_LINES:,} lines)")
                break
            shown.append(line)
        return "\n".join(shown)

    def __repr__(self) -> str:
        return str(self)


def _look_the_same(one: ModuleTree | None, other: ModuleTree | None) -> bool:
    return one is other if one is None or other is None else one._shape == other._shape


def _line(text: str) -> str:
    return readable(text).replace("\n", "\\n")


def tree_of(module: InertObject, *, limits: Limits = DEFAULT_LIMITS, look: Look = view_of) -> ModuleTree:
    """The tree of a pickled module.

    Args:
        module: a pickled `torch.nn.Module`, as `dotpt.open` gives it in `Archive.tree`.
        limits: how deep modules may lie in each other.
        look: as `dotpt.rescue.state.state_of` takes it.

    Raises:
        LimitExceeded: they lie deeper.
    """
    return _Builder(limits, look).build(module)


class _Builder:
    """Makes one node of each module, the lowest first."""

    def __init__(self, limits: Limits, look: Look) -> None:
        self._limits = limits
        self._look = look
        self._done: dict[int, tuple[InertObject, ModuleTree]] = {}
        self._shapes: dict[Any, int] = {}

    def build(self, root: InertObject) -> ModuleTree:
        """The node of the root."""
        above = {id(root)}
        path = [(root, self._look(root), iter(self._below(self._look(root))))]
        while path:
            record, view, below = path[-1]
            child = next((each for each in below if id(each) not in self._done and id(each) not in above), None)
            if child is None:
                self._done[id(record)] = record, self._node(view)
                above.discard(id(record))
                path.pop()
                continue
            if len(path) >= self._limits.nesting:
                raise LimitExceeded("nesting", len(path) + 1, self._limits.nesting)
            above.add(id(child))
            seen = self._look(child)
            path.append((child, seen, iter(self._below(seen))))
        return self._done[id(root)][1]

    def _below(self, view: ModuleView) -> list[InertObject]:
        return [child for child in view.modules.values() if is_submodule(child, self._look)]

    def _node(self, view: ModuleView) -> ModuleTree:
        node = ModuleTree(_line(_name(view)), view.class_name, is_torchs_own(view.class_name), _words(view))
        node.values = PlainValues().of_module(view)
        hidden = set()
        for key, child in view.modules.items():
            if child is None:
                node.children[str(key)] = None
            elif is_submodule(child, self._look):
                known = self._done.get(id(child))
                node.children[str(key)] = known[1] if known else _cycle(child)
                if is_hidden(view, self._look(child)):
                    hidden.add(str(key))
        node.hidden = frozenset(hidden)
        node._shape = self._shape_of(node)
        return node

    def _shape_of(self, node: ModuleTree) -> int:
        """A number that two nodes share if they are printed alike."""
        rows = tuple((key, None if child is None else child._shape) for key, child in node.children.items())
        look = node.name, node.words, node.class_name in _LISTS, node.hidden, rows
        return self._shapes.setdefault(look, len(self._shapes) + 1)


def _cycle(record: InertObject) -> ModuleTree:
    return ModuleTree(_line(record.type_name.rpartition(".")[2]), record.type_name, False, _CYCLE)


def _name(view: ModuleView) -> str:
    return "RecursiveScriptModule" if view.class_name.startswith(ROOT) else name_of(view)


def _words(view: ModuleView) -> str:
    if view.class_name.startswith(ROOT):
        return f"original_name={_line(view.name)}"
    return quantized_words(view) if view.class_name.startswith("torch.ao.nn.") else words_of(view)
