"""Rules in files and in shorthand: TOML, YAML, JSON and Python's own dictionaries.

What crosses this boundary: a path or plain values in, `Rule` objects out, and the text of a TOML file back. Invariant:
what is written reads back as the same rules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dotpt.errors import MissingDependency, RulesError, SourceError, SourceNotFound
from dotpt.models.rule_table import is_table, rule_of
from dotpt.models.rules_base import Rule
from dotpt.models.rules_names import Prefix, Rename

_LARGEST_FILE = 16 * 2**20
_MOST_RULES = 100_000


def rules_from(value: Any) -> list[Any]:
    """Rules, from any Python value that stands for some; rules that are ready are given on as they are."""
    if value is None:
        return []
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, Rule) or hasattr(value, "to_toml"):
        return [value]
    if isinstance(value, (list, tuple)):
        found = [rule for item in value for rule in rules_from(item)]
        if len(found) > _MOST_RULES:
            raise RulesError("There are too many rules.", found=len(found), expected=f"at most {_MOST_RULES}")
        return found
    raise RulesError(
        "That is no way to write rules.", found=type(value).__name__,
        hint='{"module.": ""}, a list of such rules, or the path of a TOML, YAML or JSON file',
    )  # fmt: skip


def _from_mapping(value: Mapping[Any, Any]) -> list[Any]:
    if is_table(value):
        return [rule_of(value)]
    if set(value) in ({"rule"}, {"rules"}) and isinstance(next(iter(value.values())), (list, tuple)):
        return rules_from(next(iter(value.values())))
    if "to" not in value and all(type(old) is str and type(new) is str for old, new in value.items()):
        return [short(old, new) for old, new in value.items()]
    return [rule_of(value)]  # which says what is wrong with it


def short(old: str, new: str) -> Rule:
    """The rule that an old and a new name stand for.

    Raises:
        RulesError: a prefix loses its dot, or the stars do not fit.

    Example:
        >>> print(short("backbone.", "")); print(short("head.*", "classifier.*"))
        prefix "backbone." -> ""
        rename "head.*" -> "classifier.*"
    """
    if "*" in old or (old and not old.endswith(".")):
        return Rename(old, new)
    if new and not new.endswith("."):
        raise RulesError(
            f"The prefix `{old}` would become `{new}`, which has no dot at its end.",
            hint=f'{{"{old}": "{new}."}}, or, if it is meant, {{"prefix": "{old}", "to": "{new}"}}',
        )
    return Prefix(old, new)


def read_rules(path: Path) -> Any:
    """The plain values in a file of rules.

    Raises:
        SourceError: it cannot be read.
        RulesError: it is no TOML, YAML or JSON.
        MissingDependency: it is YAML, and PyYAML is not installed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise RulesError(
            "The name of a file of rules ends in .toml, .yaml, .yml or .json.", path=str(path),
            hint="pass rules as a dictionary, {old: new}, or name the file so",
        )  # fmt: skip
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise RulesError("A file of rules is too large.", path=str(path), expected=f"at most {_LARGEST_FILE} bytes")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SourceNotFound("There is no such file of rules.", path=str(path)) from None
    except OSError as error:
        raise SourceError(f"The file of rules cannot be read: {error.strerror}.", path=str(path)) from None
    except UnicodeDecodeError:
        raise RulesError("The file of rules is not text in UTF-8.", path=str(path)) from None
    return reader(text, str(path))


def _read_toml(text: str, path: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RulesError(f"The file of rules is no TOML: {error}.", path=path) from None


def _read_yaml(text: str, path: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        raise MissingDependency("Rules in YAML need PyYAML.", path=path, hint="pip install 'dotpt[yaml]'") from None
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        raise RulesError(f"The file of rules is no YAML: {error}.", path=path) from None


def _read_json(text: str, path: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RulesError(f"The file of rules is no JSON: {error}.", path=path) from None


_READERS = {".toml": _read_toml, ".yaml": _read_yaml, ".yml": _read_yaml, ".json": _read_json}


def as_toml(tables: Iterable[Mapping[str, Any]]) -> str:
    """Rules as the text of a TOML file.

    Example:
        >>> print(as_toml([{"prefix": "module.", "to": ""}]), end="")
        [[rule]]
        prefix = "module."
        to = ""
    """
    texts = ["[[rule]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in table.items()) for table in tables]
    return "\n".join(texts)


def _toml(value: Any) -> str:
    # JSON's texts are TOML's, but for one control character; its lists of texts and numbers are, too
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
