"""Tensors as the tree of modules that they belong to, opened as far as there is room.

Modules that are alike (the layers of a transformer) are drawn once, with their number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.cli.screen import Screen
from dotpt.cli.tensors import storages_of
from dotpt.tensors.refs import TensorRef

_DEEPEST = 64  # a key of a million dots is one name, not a million levels
_COLUMNS = (
    Column("Tensor", "", least=24, tail=True),
    Column("Shape", "cyan", least=12),
    Column("Type", "green", least=8),
    Column("Size", "", right=True),
    Column("Notes", "dim", least=9, optional=True, tail=True, early=True),
)


@dataclass(slots=True)
class Node:
    """A module or a tensor.

    Attributes:
        name: the last part of its address (several parts, where nothing branches off between them).
        ref: the tensor, for a leaf.
        children: what lies in it, in the order of the file.
        tensors, bytes: how much lies in it; what is tied to a tensor before it takes no bytes of its own.
        look: equal for nodes that differ only by name.
        alike: names of the nodes that this one stands for, itself included.
        opened: whether its children are drawn.
    """

    name: str
    ref: TensorRef | None = None
    children: list[Node] = field(default_factory=list)
    tensors: int = 0
    bytes: int = 0
    look: object = None
    alike: list[str] = field(default_factory=list)
    opened: bool = False


def draw_tree(screen: Screen, refs: Iterable[TensorRef], notes: Mapping[int, list[str]], limit: int | None) -> None:
    """Write the tree of ``refs`` in at most ``limit`` lines, if it has no more modules than that at its root."""
    root = grow(refs)
    _open(root, limit)
    branches = ("├─ ", "└─ ", "│  ") if screen.unicode else ("|- ", "`- ", "|  ")
    rows = [_row(node, head, notes) for head, node in _drawn(root, branches)]
    if limit is not None and len(rows) > limit:
        left = len(rows) - limit
        rows = [*rows[:limit], (f"{screen.ellipsis} and {words.plural(left, 'entry', 'entries')} more", "", "", "", "")]
    draw(screen, _COLUMNS, rows, indent="  ")


def grow(refs: Iterable[TensorRef]) -> Node:
    """The tree of tensors by the parts of their addresses."""
    root = Node("")
    index: dict[int, dict[str, Node]] = {id(root): {}}
    seen: set[int] = set()
    for ref in refs:
        node = root
        *modules, last = ref.name.split(".", _DEEPEST)
        for part in modules:
            known = index[id(node)]
            child = known.get(part)
            if child is None:
                child = known[part] = Node(part)
                node.children.append(child)
                index[id(child)] = {}
            node = child
        storages = {id(storage) for storage in storages_of(ref)}
        tied = bool(storages) and storages <= seen
        seen |= storages
        node.children.append(Node(last, ref, tensors=1, bytes=0 if tied else ref.nbytes))
    _settle(root)
    return root


def _settle(node: Node) -> None:
    """Sum up, join chains of only children, and fold neighbours that are alike."""
    for child in node.children:
        _settle(child)
    if node.ref is not None:
        node.look = (node.ref.shape, node.ref.dtype.name, node.ref.layout)
        return
    # the root keeps its only child: that is the first name that is drawn
    while node.name and len(node.children) == 1 and node.children[0].ref is None and len(node.children[0].alike) < 2:
        only = node.children[0]
        node.name, node.children = f"{node.name}.{only.name}", only.children
    if len(node.children) == 1 and node.children[0].ref is not None and node.name:
        only = node.children[0]
        node.name, node.ref, node.children = f"{node.name}.{only.name}", only.ref, []
        node.tensors, node.bytes = only.tensors, only.bytes
        return _settle(node)
    node.tensors = sum(child.tensors * max(len(child.alike), 1) for child in node.children)
    node.bytes = sum(child.bytes * max(len(child.alike), 1) for child in node.children)
    node.look = hash(tuple((child.name, child.look, len(child.alike)) for child in node.children))
    folded: list[Node] = []
    for child in node.children:
        if folded and child.ref is None and folded[-1].ref is None and folded[-1].look == child.look:
            folded[-1].alike += child.alike or [child.name]
        else:
            child.alike = child.alike or [child.name]
            folded.append(child)
    node.children = folded


def _open(root: Node, limit: int | None) -> None:
    """Open modules level by level, as long as what is drawn fits."""
    root.opened = True
    lines = len(root.children)
    waiting = deque(root.children)
    while waiting:
        node = waiting.popleft()
        if not node.children or (limit is not None and lines + len(node.children) > limit):
            continue
        node.opened = True
        lines += len(node.children)
        waiting.extend(node.children)


def _drawn(node: Node, branches: Sequence[str], indent: str | None = None) -> Iterator[tuple[str, Node]]:
    """(what stands before its name, node) of every node that is drawn."""
    for number, child in enumerate(node.children):
        last = number == len(node.children) - 1
        yield "" if indent is None else indent + branches[1 if last else 0], child
        if child.opened:
            yield from _drawn(child, branches, "" if indent is None else indent + ("   " if last else branches[2]))


def _row(node: Node, head: str, notes: Mapping[int, list[str]]) -> tuple[str, ...]:
    if node.ref is not None:
        ref = node.ref
        remarks = ", ".join(notes.get(id(ref), ()))
        return head + words.one_line(node.name), words.shape(ref.shape), ref.dtype.name, words.size(ref.nbytes), remarks
    name, copies = words.one_line(node.name), len(node.alike)
    if copies > 1:
        name += f" .. {words.one_line(node.alike[-1])}"
    count = words.plural(node.tensors * copies, "tensor")
    return head + name, count, "", words.size(node.bytes * copies), f"{copies} alike" if copies > 1 else ""
