"""What crosses this boundary: a model's folder in, the names of all files in it out.

Invariants: a name is the path from the folder on, its parts joined by ``/``, and real text; links are followed only if
asked for, never in circles; what is no regular file is told, not opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from dotpt.container.jsontext import is_text
from dotpt.errors import LimitExceeded
from dotpt.limits import Limits
from dotpt.source.failures import from_os_error

SIGNATURE = "model.sig"
# Left out of every signature; of the top of the folder alone.
DEFAULT_IGNORED = (".git", ".gitattributes", ".github", ".gitignore")


@dataclass(slots=True)
class Listing:
    """What lies in a folder.

    Attributes:
        files: regular files, by name, sorted by code points; each with its path.
        refused: symbolic links that are not to be followed, special files, names that are no text: with the reason.
        notes: links that lead out of the folder or in circles, a sentence each.
    """

    files: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def list_folder(root: str, ignored: Iterable[str], limits: Limits, *, follow_links: bool = False) -> Listing:
    """Every file below ``root`` that is not ``ignored`` (exact paths from the folder on, with all that is in them).

    Raises:
        SourceError: a folder cannot be read.
        LimitExceeded: there are more entries than `Limits.records`.
    """
    walk = _Walk(root, {path.rstrip("/") for path in ignored}, limits, follow_links)
    walk.run()
    listing = walk.listing
    listing.files = dict(sorted(listing.files.items()))
    return listing


class _Walk:
    """One look at a folder."""

    def __init__(self, root: str, ignored: set[str], limits: Limits, follow_links: bool) -> None:
        self.listing = Listing()
        self._root = os.path.realpath(root)
        self._ignored = ignored
        self._limits = limits
        self._follow = follow_links
        self._seen = 0
        self._open: list[tuple[str, str, tuple[str, ...]]] = [(root, "", (self._root,))]

    def run(self) -> None:
        while self._open:
            path, name, above = self._open.pop()
            try:
                with os.scandir(path) as entries:
                    for entry in entries:
                        self._take(entry, f"{name}/{entry.name}" if name else entry.name, above)
            except OSError as error:
                raise from_os_error(error, path, "listed") from error

    def _take(self, entry: os.DirEntry[str], name: str, above: tuple[str, ...]) -> None:
        self._seen += 1
        if self._seen > self._limits.records:
            raise LimitExceeded("records", self._seen, self._limits.records, path=self._root)
        if name in self._ignored:
            return
        link = entry.is_symlink() or (hasattr(entry, "is_junction") and entry.is_junction())
        kind = _kind(entry)
        if not is_text(name):
            self.listing.refused[name] = "its name is no Unicode text"
        elif link and not self._follow:
            self.listing.refused[name] = "it is a symbolic link"
        elif kind == "folder":
            self._enter(entry.path, name, above, link)
        elif kind == "file":
            self.listing.files[name] = entry.path
            if link:
                self._note_outside(entry.path, name)
        else:
            self.listing.refused[name] = "it is a link to nothing" if link else "it is no regular file"

    def _enter(self, path: str, name: str, above: tuple[str, ...], link: bool) -> None:
        place = os.path.realpath(path) if self._follow else path
        if link:
            if place in above:
                self.listing.notes.append(
                    f"The symbolic link {name} leads back to a folder above it; it was passed over."
                )
                return
            self._note_outside(path, name)
        self._open.append((path, name, (*above, place) if self._follow else above))

    def _note_outside(self, path: str, name: str) -> None:
        if not os.path.realpath(path).startswith(os.path.join(self._root, "")):  # noqa: PTH118
            self.listing.notes.append(f"The symbolic link {name} leads out of the folder.")


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry is, or what its link leads to: a folder, a file, or "" for anything else."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link that leads to itself
        return ""
