"""What a name in a pickle can do: one table, for all who explain or judge one.

What crosses this boundary: the module and the name as a pickle writes them, in; a `Meaning`, out. Invariants:

* nothing is imported or called to find out: the tables (`names_python`, `names_torch`, `names_packages`,
  `names_harmless`) are texts;
* whole parts of a path are compared, never its beginning: ``osmnx`` is not ``os``;
* harmless is only what stands on a list under its exact module and name. What is on no list is suspicious.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from dotpt.errors import readable
from dotpt.pickling import names_harmless, names_packages, names_python, names_torch
from dotpt.pickling.name_words import HARMLESS_HINT, HARMLESS_WHY, KINDS
from dotpt.pickling.names_attributes import ALWAYS, BUILT_IN, FINE, MODULES, REACHED
from dotpt.pickling.nn_names import HELPERS, LAYERS, is_part_of_torch, words_for
from dotpt.pickling.vocabulary import table_entry

_DEEPEST = 6  # parts of the longest path in the tables
_ODD = frozenset("/\\'\"`;:=()[]{}|&$#!?*,%")
_ALIASES = frozenset(("six", "future"))  # whose package "moves" has every module of Python under its name
_SCRIPTS = frozenset(("__main__", "__mp_main__"))


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name is, for a program and for a person.

    Attributes:
        severity: ``harmless``, ``suspicious`` or ``dangerous``.
        kind: what it can do, or what it is, as one word: ``runs-programs``, ``unknown-class``, ``plain-value`` ...
        what: the same in words.
        why: why that matters, one sentence.
        hint: what to do.
    """

    severity: str
    kind: str
    what: str
    why: str
    hint: str


@dataclass(slots=True)
class _Tree:
    """What holds for a module and all below it. The family says how strict to be with paths: python, torch, other."""

    kind: str
    dangerous: bool
    family: str
    words: str = ""


@dataclass(slots=True)
class _Tables:
    trees: dict[str, _Tree] = field(default_factory=dict)
    names: dict[tuple[str, str], tuple[str, bool]] = field(default_factory=dict)  # kind, dangerous
    harmless: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)  # kind, words
    filled: frozenset[tuple[str, str]] = frozenset()  # harmless if made empty
    python: frozenset[str] = frozenset()  # Python's own dangerous modules


def meaning_of(module: str, name: str) -> Meaning:
    """What a name can do. It never fails, whatever the texts.

    Args:
        module, name: as the pickle writes them.

    Example:
        >>> meaning_of("posix", "system").severity, meaning_of("osmnx", "system").severity
        ('dangerous', 'suspicious')
        >>> meaning_of("collections", "deque").severity
        'harmless'
    """
    harmless = _harmless(module, name)
    if harmless is not None:
        return harmless
    if not _is_odd(module) and not _is_odd(name):
        return _outside(module, name)
    meaning = _outside(_straight(module), _straight(name))
    return meaning if meaning.severity == "dangerous" else _of_kind("odd-name", dangerous=False)


def attribute_is_harmful(name: str) -> bool:
    """Whether it is dangerous to reach an attribute of this name by `getattr`, `attrgetter` or `methodcaller`.

    Example:
        >>> [attribute_is_harmful(name) for name in ("system", "__globals__", "a.b.popen", "Inner", "__len__")]
        [True, True, True, False, False]
    """
    return any(_is_harmful(part) or part.strip("_") in REACHED for part in _straight(name).split("."))


def is_harmless_only_if_empty(module: str, name: str) -> bool:
    """Whether a harmless name is that only if it is made without arguments and filled afterwards, as unpickling does.

    To call it with values of the file runs the constructor of a library, which nobody vouches for.

    Example:
        >>> is_harmless_only_if_empty("ultralytics.nn.tasks", "DetectionModel")
        True
        >>> is_harmless_only_if_empty("collections", "deque")
        False
    """
    return (module, name) in _tables().filled or (module, name) in LAYERS or (module, name) in HELPERS


def _harmless(module: str, name: str) -> Meaning | None:
    found = _tables().harmless.get((module, name))
    if found is None and is_part_of_torch(module, name):
        found = "known-library", words_for(module, name)
    if found is None and module in names_harmless.CAPITALS and _is_constant(name):
        found = "plain-value", f"a constant of Python's {module}"
    if found is None and table_entry(module, name) is not None:
        words = "numpy" if module.startswith("numpy") else "torch" if module.startswith("torch") else "Python"
        found = "plain-value", f"a type or value of {words} that only holds data"
    return None if found is None else Meaning("harmless", *found, HARMLESS_WHY, HARMLESS_HINT)


def _outside(module: str, name: str) -> Meaning:
    """Of a name that is on no list of harmless ones."""
    parts = module.split(".")
    if parts[0].startswith("__torch__"):
        return _of_kind("torchscript-class", dangerous=False)
    for at in range(len(parts) - 2, 0, -1):
        if parts[at] == "moves" and parts[at - 1] in _ALIASES:  # six.moves.builtins, and six within other packages
            parts = parts[at + 1 :]
            break
    named = _tables().names.get((".".join(parts), name))
    if named is not None:
        return _of_kind(*named)
    tree = _tree(parts)
    if tree is not None and tree.dangerous and not _is_of_a_script(parts, name):
        return _of_kind(tree.kind, dangerous=True)
    if _hides(parts, name, tree.family if tree else "other"):
        return _of_kind("hidden-module", dangerous=True)
    if parts[0] in _SCRIPTS:
        return _of_kind("script-class", dangerous=False)
    if tree is None or tree.dangerous:
        return _of_kind(
            "unknown-class", dangerous=False, words=f"a class or function of the package {readable(parts[0])[:80]}"
        )
    return _of_kind(tree.kind, dangerous=False, words=tree.words)


def _of_kind(kind: str, dangerous: bool, words: str = "") -> Meaning:
    what, why, hint = KINDS[kind]
    return Meaning("dangerous" if dangerous else "suspicious", kind, words or what, why, hint)


def _tree(parts: list[str]) -> _Tree | None:
    """What the tables say of the longest path that leads to a module."""
    trees = _tables().trees
    for depth in range(min(len(parts), _DEEPEST), 0, -1):
        found = trees.get(".".join(parts[:depth]))
        if found is not None:
            return found
    return None


def _is_of_a_script(parts: list[str], name: str) -> bool:
    """Whether a class stands in a module whose name Python has as well, and which has no such class there."""
    return len(parts) == 1 and parts[0] in names_python.ALSO_SCRIPTS and _is_class(name) and "." not in name


def _hides(parts: list[str], name: str, family: str) -> bool:
    """Whether a path leads to something through what holds it: another module, its globals, its class."""
    pieces = name.split(".")
    if any(part in BUILT_IN or (_is_dunder(part) and part != "__init__") for part in parts[1:]):
        return True
    hidden = BUILT_IN if family == "other" and len(pieces) == 1 else MODULES
    if any(_is_dunder(piece) or piece in hidden for piece in pieces):
        return True
    if family != "other" and any(piece.strip("_") in _tables().python for piece in pieces):
        return True
    if len(pieces) == 1:
        return False
    if family == "python":  # a method of a type of Python is reached by getattr, and its types hold no others
        return True
    of_class = all(_is_class(piece) or nearest == "<locals>" for piece, nearest in pairwise(pieces))
    if family == "torch" or not of_class:
        return not (of_class or family == "other") or any(attribute_is_harmful(piece) for piece in pieces)
    return any(_is_harmful(piece) for piece in pieces)


def _is_class(piece: str) -> bool:
    """Whether a part of a path is written as classes are, or is the place within a function."""
    return piece.lstrip("_")[:1].isupper() or piece == "<locals>"


def _is_constant(name: str) -> bool:
    if not (name.isascii() and name.isidentifier() and name.isupper()) or name.startswith("_"):
        return False
    return name not in names_harmless.NOT_CONSTANTS


def _is_harmful(piece: str) -> bool:
    return piece in MODULES or piece.strip("_") in ALWAYS or (_is_dunder(piece) and piece not in FINE)


def _is_dunder(part: str) -> bool:
    return len(part) > 4 and part.startswith("__") and part.endswith("__")


def _is_odd(text: str) -> bool:
    """Whether a text is no path of names: empty parts, blanks, signs, what cannot be printed."""
    return (
        not text.isprintable() or "" in text.split(".") or not _ODD.isdisjoint(text) or any(map(str.isspace, text))
    )  # fmt: skip


def _straight(text: str) -> str:
    """A text without its blanks, its unprintable characters and its empty parts."""
    seen = "".join(c for c in text if c.isprintable() and not c.isspace())
    return ".".join(part for part in seen.split(".") if part)


@cache
def _tables() -> _Tables:
    tables = _Tables()
    for room, family in ((names_packages, "other"), (names_torch, "torch"), (names_python, "python")):
        for words, trees in getattr(room, "PACKAGES", ()):
            tables.trees |= dict.fromkeys(trees.split(), _Tree("known-library", False, family, words))
        for kind, trees in room.TREES:
            tables.trees |= dict.fromkeys(trees.split(), _Tree(kind, True, family))
        for modules, kind, names in room.NAMES:
            entry = kind.lstrip("?"), not kind.startswith("?")
            for module in modules.split():
                tables.names |= {(module, name): entry for name in names.split()}
    values = _Tree("unknown-function", False, "python")
    tables.trees |= dict.fromkeys(names_python.VALUES.split(), values)
    for rows, kind in (
        (names_harmless.VALUES, "plain-value"),
        (names_harmless.RECORDS, "known-library"),
        (names_harmless.CONSTANTS, "known-library"),
    ):
        for modules, words, names in rows:
            for module in modules.split():
                tables.harmless |= {(module, name): (kind, words) for name in names.split()}
    tables.filled = frozenset(
        (module, name)
        for modules, _, names in names_harmless.RECORDS
        for module in modules.split()
        for name in names.split()
    )
    tables.python = frozenset(tree for _, trees in names_python.TREES for tree in trees.split() if "." not in tree)
    return tables
