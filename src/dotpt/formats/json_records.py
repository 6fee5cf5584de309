"""What crosses this boundary: a JSON record that dotpt adds to a file in, an object that gives its version out.

Invariant: no more is read and parsed than the limits allow, whatever a stranger has put there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dotpt.container.jsontext import DEPTH, parse_json
from dotpt.container.record import Container
from dotpt.errors import DotptError, LimitExceeded
from dotpt.limits import Limits


def facts_of(container: Container, name: str) -> dict[str, Any]:
    """Where a record lies, for messages."""
    return {"path": container.source.name, "record": name}


def read_header(container: Container, name: str) -> bytes:
    """A record's content, unless it has more than `Limits.header_bytes`.

    Raises:
        ChecksumMismatch: it is damaged.
        LimitExceeded: it is too large.
    """
    size, most = container.record(name).size, container.limits.header_bytes
    if size > most:
        raise LimitExceeded("header_bytes", size, most, **facts_of(container, name))
    return container.read(name)


def versioned(
    text: bytes, what: str, error: type[DotptError], facts: Mapping[str, Any], limits: Limits, *, depth: int = DEPTH
) -> dict[str, Any]:
    """The object of a record; its ``dotpt`` is the version, a number, which the caller compares.

    Args:
        text: the record's content.
        what: what the record is, the beginning of a sentence.
        error: what is raised.
        facts: where it lies.
        limits: what the file may ask for.
        depth: how many levels it may have.

    Raises:
        DotptError: ``error``, where it is no JSON object that gives its version.
        LimitExceeded: it would take too much memory.
    """
    found = parse_json(text, limits, lambda problem, _: error(problem, **facts), depth=depth)
    if type(found) is not dict or type(found.get("dotpt")) is not int:
        raise error(f"{what} does not give its version.", **facts)
    return found
