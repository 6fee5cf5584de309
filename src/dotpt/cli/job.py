"""One run of a verb over its files: what goes wrong with one, the JSON document, the exit code.

A file that cannot be read does not stop the others. Its error is one line on stderr, where possible with the next
step, and an entry in the JSON document.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dotpt.cli import FAILED
from dotpt.cli.inputs import Given, expand
from dotpt.cli.options import ArgumentError, reading_of
from dotpt.cli.progress import Watch
from dotpt.cli.screen import Screen
from dotpt.cli.words import one_line
from dotpt.errors import DotptError, LimitExceeded

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive


class Job:
    """One verb at work.

    Args:
        args: what the user asked for.
        schema: the name of the verb's JSON document.
        files: the FILE arguments, ``args.files`` by default.

    Attributes:
        code: the exit code so far, the worst of all files.
    """

    def __init__(self, args: argparse.Namespace, schema: str, files: list[str] | None = None) -> None:
        self.args = args
        self.schema = schema
        self.given = expand(args.files if files is None else files)
        self.reading = reading_of(args)
        self.code = 0
        self._entries: list[dict[str, Any]] = []

    @cached_property
    def screen(self) -> Screen:
        """Where results are drawn."""
        return Screen(color=not self.args.no_color)

    @property
    def many(self) -> bool:
        """Whether there is more than one file."""
        return len(self.given) > 1

    def limit(self, default: int | None) -> int | None:
        """How many rows to show; None for all."""
        limit = default if self.args.limit is None else self.args.limit
        return limit or None

    def worse(self, code: int) -> None:
        """Take note of a finding or a failure."""
        self.code = max(self.code, code)

    def add(self, entry: dict[str, Any]) -> None:
        """Add a file's entry to the JSON document."""
        self._entries.append(entry)

    @contextmanager
    def open(self, given: Given) -> Iterator[Archive]:
        """The opened file."""
        from dotpt.archive.archive import open as open_archive

        with self.watch(f"reading {given.name}"):
            archive = open_archive(given.source(), **self.reading)
        with archive:
            yield archive

    def watch(self, label: str) -> Watch:
        """A progress bar for a step that may take long."""
        return Watch(one_line(label), wanted=not self.args.quiet)

    @contextmanager
    def handling(self, given: Given) -> Iterator[None]:
        """Whatever goes wrong inside concerns this file only."""
        try:
            yield
        except (ArgumentError, BrokenPipeError):
            raise
        except DotptError as error:
            self.failed(given.name, error)
        except MemoryError:
            self.failed(given.name, DotptError("There is not enough memory.", hint="a machine with more memory"))
        except Exception as error:
            problem = f"This is a mistake in dotpt: {type(error).__name__}: {error}"
            self.failed(given.name, DotptError(problem, hint="again with --debug, and report what it prints"))

    def failed(self, name: str, error: DotptError, code: int = FAILED) -> None:
        """Report an error that concerns one file. Called while it is being handled."""
        self.worse(code)
        if self.args.debug:
            traceback.print_exc()
        if self.args.json:
            self.add({"file": name, "error": error.to_dict()})
        for line in error_lines(name, error):
            print(line, file=sys.stderr)

    def finish(self) -> int:
        """Print the JSON document, if one is wanted, and give the exit code."""
        if self.args.json:
            order = {given.name: place for place, given in enumerate(self.given)}
            entries = sorted(self._entries, key=lambda entry: order[entry["file"]])
            print_json({"schema": self.schema, "files": entries})
        return self.code


def error_lines(name: str, error: DotptError) -> list[str]:
    """An error as the command line shows it: file, problem and place; then the next step."""
    place = [f"record {error.record}" if error.record else "", f"key {error.key}" if error.key else ""]
    place += [f"byte {error.offset:,}" if error.offset is not None else ""]
    if error.path and error.path not in {name, "-"} and name != "-":
        place.insert(0, error.path)
    where = ", ".join(one_line(part) for part in place if part)
    lines = [f"dotpt: {one_line(name)}: {one_line(error.problem)}{f' ({where})' if where else ''}"]
    hint = error.hint
    if isinstance(error, LimitExceeded):
        hint = f"if you trust the file, --limits {error.limit}=N with an N above {error.actual:,}"
    if hint:
        lines.append(f"  Try: {one_line(hint)}")
    return lines


def print_json(document: dict[str, Any]) -> None:
    """Strict JSON in ASCII: nothing in it can be taken for an escape sequence of a terminal."""
    print(json.dumps(document, indent=1, allow_nan=False))
