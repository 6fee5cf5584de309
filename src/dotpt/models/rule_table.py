"""Rules as tables of plain values, each with one verb: ``{"rename": "old.*", "to": "new.*"}``.

What crosses this boundary: a table in (from TOML, YAML, JSON or Python), a `Rule` out. Invariant: a table that says too
little, too much or something impossible is refused when it is read, not when a file is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dotpt.errors import RulesError
from dotpt.models.rules_base import Rule
from dotpt.models.rules_names import Drop, Prefix, Regex, Rename
from dotpt.models.rules_pieces import Concat, Split
from dotpt.models.rules_values import Cast, Permute, Reshape, Transpose
from dotpt.tensors.dtypes import ALIASES

_CLASSES: tuple[type[Rule], ...] = (Prefix, Rename, Regex, Split, Concat, Transpose, Permute, Reshape, Cast, Drop)
BY_VERB: dict[str, type[Rule]] = {rule.verb: rule for rule in _CLASSES}


def is_table(value: Mapping[Any, Any]) -> bool:
    """Whether a mapping is one rule, with a verb and what belongs to it, and not names and their new names.

    Example:
        >>> is_table({"prefix": "module.", "to": ""}), is_table({"prefix": "suffix", "a": "b"})
        (True, False)
    """
    verbs = [key for key in value if type(key) is str and key in BY_VERB]
    return len(verbs) == 1 and set(value) <= BY_VERB[verbs[0]].keys | {verbs[0]}


def rule_of(table: Mapping[Any, Any]) -> Rule:
    """A rule, from its table.

    Raises:
        RulesError: the table says too little, too much, or something impossible.

    Example:
        >>> print(rule_of({"prefix": "module.", "to": ""}))
        prefix "module." -> ""
    """
    verbs = [verb for verb in BY_VERB if verb in table]
    if len(verbs) != 1:
        raise RulesError(
            "A rule has exactly one verb." if verbs else "A rule has no verb.",
            found=", ".join(verbs) or ", ".join(map(str, table)), hint=f"one of {', '.join(BY_VERB)}",
        )  # fmt: skip
    (verb,) = verbs
    unknown = [str(key) for key in table if key != verb and key not in BY_VERB[verb].keys]
    if unknown:
        known = ", ".join(sorted(BY_VERB[verb].keys)) or "nothing else"
        raise RulesError(f"A rule with `{verb}` has no `{unknown[0]}`.", hint=f"beside `{verb}`: {known}")
    return _READERS[verb](_Table(verb, table))


class _Table:
    """Takes values out of a table, each checked for its type."""

    def __init__(self, verb: str, table: Mapping[Any, Any]) -> None:
        self._verb = verb
        self._table = table

    def has(self, key: str, kind: type = object) -> bool:
        """Whether there is a value, and of this type."""
        value = self._table.get(key)
        return value is not None and isinstance(value, kind)

    def text(self, key: str) -> str:
        """A text that has to be there."""
        value = self._table.get(key)
        if type(value) is not str:
            raise self._refused(key, "a text")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts that has to be there."""
        return self._list(key, str, "a list of texts")

    def number(self, key: str, default: int) -> int:
        """A whole number."""
        value = self._table.get(key, default)
        if type(value) is not int:
            raise self._refused(key, "a whole number")
        return value

    def numbers(self, key: str) -> tuple[int, ...]:
        """A list of whole numbers that has to be there."""
        return self._list(key, int, "a list of whole numbers")

    def maybe_numbers(self, key: str) -> tuple[int, ...] | None:
        """A list of whole numbers, or None."""
        return self.numbers(key) if self.has(key) else None

    def dtype(self, key: str) -> str:
        """The name of a type, as torch spells it or shorter."""
        name = self.text(key).removeprefix("torch.")
        return ALIASES.get(name, name)

    def _list(self, key: str, kind: type, what: str) -> tuple[Any, ...]:
        value = self._table.get(key)
        if not isinstance(value, (list, tuple)) or any(type(item) is not kind for item in value):
            raise self._refused(key, what)
        return tuple(value)

    def _refused(self, key: str, what: str) -> RulesError:
        problem = "does not understand its" if self.has(key) else "lacks"
        return RulesError(
            f"A rule with `{self._verb}` {problem} `{key}`: it takes {what}.", found=self._table.get(key), expected=what
        )


def _concat(table: _Table) -> Rule:
    sizes: Any = table.text("sizes") if table.has("sizes", str) else table.maybe_numbers("sizes")
    if type(sizes) is str and sizes != "equal":
        raise RulesError("The sizes of a rule are a list of numbers, or equal.", found=sizes, expected='"equal"')
    return Concat(table.texts("concat"), table.text("to"), table.number("dim", 0), sizes)


_READERS: dict[str, Callable[[_Table], Rule]] = {
    "prefix": lambda table: Prefix(table.text("prefix"), table.text("to")),
    "rename": lambda table: Rename(table.text("rename"), table.text("to")),
    "regex": lambda table: Regex(table.text("regex"), table.text("to")),
    "split": lambda table: Split(
        table.text("split"), table.texts("into"), table.number("dim", 0), table.maybe_numbers("sizes")
    ),
    "concat": _concat,
    "transpose": lambda table: Transpose(table.text("transpose"), table.maybe_numbers("dims") or (0, 1)),
    "permute": lambda table: Permute(table.text("permute"), table.numbers("dims")),
    "reshape": lambda table: Reshape(table.text("reshape"), table.numbers("shape"), table.maybe_numbers("from")),
    "cast": lambda table: Cast(
        table.text("cast"), table.dtype("dtype"), table.dtype("from") if table.has("from") else None
    ),
    "drop": lambda table: Drop(table.text("drop")),
}
