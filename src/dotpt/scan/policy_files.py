"""Policies in files: TOML in, a `Policy` out.

Invariant: what a file says and dotpt does not know is an error, with the closest name: a rule that was misspelt must
not be a rule that is not applied.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dotpt.errors import SourceError, SourceNotFound, UsageError
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.scan.every_rule import every_rule
from dotpt.scan.findings import SEVERITIES, UNREADABLE
from dotpt.scan.policy import Policy

_KEYS = ("allow", "fail-on", "exclude", "verify", "limits", "severity")
_LARGEST_FILE = 1 << 20


def read_policy(path: str | os.PathLike[str]) -> Policy:
    """Read a policy from a TOML file.

    Args:
        path: the file: ``allow`` and ``exclude`` (lists of globs), ``fail-on``, ``verify``, and the tables ``limits``
            (the fields of `dotpt.Limits`) and ``severity`` (by rule: ``info``, ``suspicious``, ``dangerous``, ``off``).

    Raises:
        SourceError: it cannot be read.
        UsageError: it is no TOML, or says what dotpt does not know.

    Example:
        >>> _ = Path("policy.toml").write_text('allow = ["my_package.*"]')
        >>> read_policy("policy.toml").allow
        ('my_package.*',)
    """
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SourceNotFound("There is no such policy.", path=name) from None
    except OSError as error:
        raise SourceError(f"The policy cannot be read: {error.strerror}.", path=name) from None
    if len(content) > _LARGEST_FILE:
        raise UsageError("The file is too large for a policy.", path=name)
    try:
        return policy_from(_parsed(content))
    except UsageError as error:
        error.path = name
        raise


def _parsed(content: bytes) -> Mapping[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]
    try:
        table: Mapping[str, Any] = tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise UsageError("The policy is not text in UTF-8.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"The policy is no TOML: {error}.") from None
    return table


def policy_from(table: Mapping[str, Any]) -> Policy:
    """A policy from plain values, as a TOML file has them.

    Raises:
        UsageError: something in it is unknown, or of the wrong type.

    Example:
        >>> policy_from({"fail-on": "dangerous", "severity": {"torchscript": "off"}}).fail_on
        'dangerous'
    """
    for key in table:
        _known("key", key, _KEYS)
    fail_on = table.get("fail-on", Policy().fail_on)
    if fail_on not in SEVERITIES:
        raise UsageError(f"fail-on is {fail_on!r}.", hint=f"one of {', '.join(SEVERITIES)}")
    verify = table.get("verify")
    if verify is not None and type(verify) is not bool:
        raise UsageError(f"verify is {verify!r}.", hint="true or false")
    return Policy(
        allow=_texts(table, "allow"),
        severities=_severities(_table(table, "severity")),
        limits=_limits(_table(table, "limits")),
        exclude=_texts(table, "exclude"),
        fail_on=fail_on,
        verify=verify,
    )


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if type(value) is not list or not all(type(item) is str and item for item in value):
        raise UsageError(f"{key} is no list of texts.", hint=f'{key} = ["my_package.*"]')
    return tuple(value)


def _table(table: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, Mapping):
        raise UsageError(f"{key} is no table.", hint=f"a line [{key}], and below it NAME = VALUE")
    return value


def _limits(table: Mapping[str, Any]) -> Limits:
    known = {field.name: type(getattr(DEFAULT_LIMITS, field.name)) for field in fields(Limits)}
    for name, value in table.items():
        _known("limit", name, known)
        if type(value) is not known[name] or value < 0:
            wanted = "true or false" if known[name] is bool else "a number from 0 on"
            raise UsageError(f"The limit {name} is {value!r}.", hint=f"{name} = ..., {wanted}")
    return replace(DEFAULT_LIMITS, **table)


def _severities(table: Mapping[str, Any]) -> dict[str, str]:
    rules = every_rule()
    for rule, severity in table.items():
        _known("rule", rule, rules)
        if rules[rule].severity == UNREADABLE:
            raise UsageError(
                f"The severity of {rule} cannot be changed: what was not read is not clean.",
                hint="exclude the file, or raise the limit that it exceeds",
            )
        if severity not in (*SEVERITIES, "off"):
            raise UsageError(f"The severity of {rule} is {severity!r}.", hint=f"one of {', '.join(SEVERITIES)}, off")
    return dict(table)


def _known(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        near = get_close_matches(name, known, 1, 0.5)
        hint = near[0] if near else f"one of {', '.join(known)}"
        raise UsageError(f"There is no {what} {name!r} in a policy.", hint=hint)
