"""What crosses this boundary: the FILE arguments in, things to open out.

Globs are expanded here where the shell did not (quoted ones, and Windows); ``-`` is standard input.
"""

from __future__ import annotations

import glob
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dotpt.errors import DotptError, SourceNotFound, UsageError

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")


@dataclass(frozen=True, slots=True)
class Given:
    """One file to work on.

    Attributes:
        name: as the user wrote it.
        error: why it cannot be opened, if that is known already.
    """

    name: str
    error: DotptError | None = None

    def source(self) -> Any:
        """What `dotpt.open` takes.

        Raises:
            DotptError: there is nothing to open.
        """
        if self.error is not None:
            raise self.error
        if self.name != "-":
            return self.name
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError("Nothing is piped into standard input.", path="-", hint="cat model.pt | dotpt inspect -")
        return getattr(sys.stdin, "buffer", sys.stdin)


def expand(names: Iterable[str]) -> list[Given]:
    """The files that the arguments name, in their order; files of one glob sorted by name."""
    found = []
    for name in names:
        if name == "-" or not glob.has_magic(name) or _ADDRESS.match(name) or Path(name).exists():
            found.append(Given(name))
            continue
        matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - the user's spelling of paths is kept
        found += [Given(match) for match in matches]
        if not matches:
            problem = SourceNotFound("No file matches this pattern.", path=name, hint="check it with `ls`")
            found.append(Given(name, problem))
    return found
