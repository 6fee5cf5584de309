"""What crosses this boundary: paths in, the files that a scan looks at out, each with its size or why it is not opened.

Invariants: nothing is opened but folders; no link leads out of what the user named, and none makes the walk endless;
what is passed over without a word is passed over because a link leads to something that is in the list anyhow.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import translate

_LEFT_OUT = ".git"  # git's own objects: compressed, and none that torch or pickle loads
_Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """One file to scan.

    Attributes:
        path: as the user would write it.
        size: its bytes, as far as known.
        problem: why it is not to be opened; empty if it is.
        given: whether the user named it, and not the folder that it is in.
    """

    path: str
    size: int = 0
    problem: str = ""
    given: bool = False


@dataclass(slots=True)
class Listing:
    """What there is to scan.

    Attributes:
        files: in a stable order: that of the arguments, then by name, a folder's own files before its folders.
        left_out: folders and files that an ``exclude`` or being ``.git`` keeps out.
    """

    files: list[Found] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def list_files(paths: Iterable[str | os.PathLike[str]], *, exclude: Sequence[str] = ()) -> Listing:
    """List the files that paths stand for, those of folders and all that is in them included.

    Args:
        paths: files, folders, addresses.
        exclude: globs of what to leave out of folders: on the name, the path within the folder, or the whole path.

    Example:
        >>> list_files(["tests/corpus/fixtures/zip/state_dict.pt"]).files[0].given
        True
    """
    walk = _Walk(exclude)
    for path in paths:
        text = os.fspath(path)
        if os.path.isdir(text):  # noqa: PTH112 - addresses and `-` are no paths
            walk.folder(text)
        else:
            walk.listing.files.append(Found(text, _size(text), given=True))
    walk.resolve_links()
    return walk.listing


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - see above
    except (OSError, ValueError):
        return 0


class _Walk:
    def __init__(self, exclude: Sequence[str]) -> None:
        self.listing = Listing()
        self._excluded = _pattern(exclude)
        self._folders: set[_Identity] = set()
        self._files: set[_Identity] = set()
        self._links: list[int] = []  # places in the listing

    def folder(self, root: str) -> None:
        """List a folder, without recursion: it may be as deep as it likes."""
        waiting = [root]
        while waiting:
            here = waiting.pop()
            try:
                identity = _identity(os.stat(here))  # noqa: PTH116
                if identity in self._folders:  # named twice, or mounted within itself
                    continue
                self._folders.add(identity)
                with os.scandir(here) as entries:
                    ordered = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                self._add(Found(here, problem=f"The folder cannot be read: {error.strerror or error}."))
                continue
            waiting += reversed([entry.path for entry in ordered if self._entry(entry, root)])

    def _entry(self, entry: os.DirEntry[str], root: str) -> bool:
        """List one entry; gives whether it is a folder to go into."""
        if entry.name == _LEFT_OUT or self._is_excluded(entry.path, entry.name, root):
            self.listing.left_out.append(entry.path)
            return False
        try:
            if entry.is_symlink():
                self._links.append(len(self.listing.files))
                self._add(Found(entry.path))
                return False
            if entry.is_dir(follow_symlinks=False):
                return True
            status = entry.stat(follow_symlinks=False)
            if not status.st_ino:  # Windows tells only when it is asked about the file itself
                status = os.stat(entry.path)  # noqa: PTH116
        except OSError as error:
            self._add(Found(entry.path, problem=f"It cannot be read: {error.strerror or error}."))
            return False
        self._add(_found(entry.path, status))
        self._files.add(_identity(status))
        return False

    def _is_excluded(self, path: str, name: str, root: str) -> bool:
        if self._excluded is None:
            return False
        within = path[len(root) :].lstrip("/\\")
        return any(self._excluded.match(text.replace(os.sep, "/")) for text in (name, within, path))

    def _add(self, found: Found) -> None:
        self.listing.files.append(found)

    def resolve_links(self) -> None:
        """Replace each link by the file that it leads to, or drop it if that is listed already."""
        files = self.listing.files
        kept = {place: self._resolved(files[place].path) for place in self._links}
        if kept:
            everything = [kept.get(place, found) for place, found in enumerate(files)]
            self.listing.files = [found for found in everything if found is not None]

    def _resolved(self, path: str) -> Found | None:
        try:
            status = os.stat(path)  # noqa: PTH116
        except OSError as error:
            return Found(path, problem=f"The link leads to nothing that can be read: {error.strerror or error}.")
        identity = _identity(status)
        if stat.S_ISDIR(status.st_mode):
            if identity in self._folders:
                return None
            target = os.path.realpath(path)
            return Found(path, problem=f"It is a link to a folder that was not scanned, {target}; it is not followed.")
        if identity in self._files:
            return None
        self._files.add(identity)
        return _found(path, status)


def _found(path: str, status: os.stat_result) -> Found:
    """A file; anything that is none is not opened: it may wait for ever, or do something."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return Found(path, status.st_size)
    kinds = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
             (stat.S_ISBLK, "a device"))  # fmt: skip
    kind = next((words for is_kind, words in kinds if is_kind(mode)), "no file")
    return Found(path, problem=f"It is {kind}, and was not opened.")


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino


def _pattern(globs: Sequence[str]) -> re.Pattern[str] | None:
    """One expression for all globs: ``build``, ``build/``, ``**/build``, ``a/build`` mean what they look like."""
    texts = []
    for glob in globs:
        plain = glob.removeprefix("./").rstrip("/")
        anywhere = plain.removeprefix("**/")
        texts += [translate(plain), translate(anywhere), translate(f"*/{anywhere}")] if plain != anywhere else [
            translate(plain)
        ]  # fmt: skip
    return re.compile("|".join(texts)) if texts else None
