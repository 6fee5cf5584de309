"""What crosses this boundary: the globs of ``only=``, ``exclude=`` and ``freeze=`` in, a choice of names out.

Invariant: a glob that chooses nothing is an error, for it is a spelling mistake that would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from dotpt.errors import UsageError


class Selection:
    """Which names are wanted: those that match one of ``only`` (if it is given) and none of ``exclude``.

    Args:
        only, exclude: a glob, globs, or None.

    Example:
        >>> chosen = Selection("backbone.*", "*.bias")
        >>> [name for name in ("backbone.0.weight", "backbone.0.bias", "fc.weight") if name in chosen]
        ['backbone.0.weight']
    """

    def __init__(self, only: Any = None, exclude: Any = None) -> None:
        self.only = globs_of("only", only)
        self.exclude = globs_of("exclude", exclude)

    def __contains__(self, name: str) -> bool:
        wanted = self.only is None or matches(name, self.only)
        return wanted and not (self.exclude and matches(name, self.exclude))

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self.only is None and not self.exclude

    def check(self, *names: Collection[str]) -> None:
        """Raise `UsageError` for a glob that matches none of the names."""
        everyone = [name for some in names for name in some]
        check_globs("only", self.only or [], everyone)
        check_globs("exclude", self.exclude or [], everyone)


def globs_of(argument: str, given: Any) -> list[str] | None:
    """A glob or globs, as a list; None for None.

    Raises:
        UsageError: something else than text.
    """
    if given is None:
        return None
    found = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
    for glob in found:
        if not isinstance(glob, str):
            raise UsageError(
                f"{argument}= takes globs over names, not {type(glob).__name__}.", hint=f'{argument}="fc.*"'
            )
    return found


def matches(name: str, globs: Iterable[str]) -> bool:
    """Whether a name matches one of the globs."""
    return any(fnmatchcase(name, glob) for glob in globs)


def check_globs(argument: str, globs: Iterable[str], names: Collection[str]) -> None:
    """Raise `UsageError` for the first glob that matches no name, with the names that come near."""
    for glob in globs:
        if not any(fnmatchcase(name, glob) for name in names):
            near = get_close_matches(glob, list(names)[:10_000], 3, 0.4) or list(names)[:3]
            hint = f"for example {', '.join(near)}" if near else None
            raise UsageError(f"{argument}={glob!r} matches no name of the model.", found=glob, hint=hint)
