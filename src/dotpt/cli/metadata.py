"""``dotpt metadata FILE [KEY=VALUE...]``: what is noted in a file, shown or changed."""

from __future__ import annotations

import argparse
import json
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.cli.job import Job
from dotpt.cli.options import KEYS, ArgumentError, add_files, add_shared, describe
from dotpt.cli.select import natural
from dotpt.errors import UsageError
from dotpt.inspect.plain import as_line

_ORDERS = ("name", "name:asc", "name:desc")
_COLUMNS = (Column("Key", "cyan", least=10), Column("Value", least=20, tail=True))
_DESCRIPTION = """\
Show what is noted in a file, or change it. The tensors are neither read nor
moved, no pickle is decoded, and torch opens the file as before. In files that
dotpt wrote it is changed in place, in others by a new file that takes the old
one's place.

KEY=TEXT notes a text, KEY:=JSON any other value: a number, true, a list."""
_EXAMPLES = """
dotpt metadata model.pt
dotpt metadata model.pt license=mit epoch:=3
dotpt metadata model.pt --unset epoch
dotpt metadata 'runs/*.pt' run=17            each file that matches
dotpt metadata https://example.com/model.pt --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt metadata`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser, nargs=None)
    parser.add_argument("changes", metavar="KEY=VALUE", nargs="*", help="what to note (KEY=TEXT, or KEY:=JSON)")
    parser.add_argument("--unset", action="append", default=[], metavar="KEY", help="forget this key")
    parser.add_argument("--clear", action="store_true", help="forget all that is noted, before anything is set")
    add_shared(parser, limit=None, rows=KEYS)


def run(args: argparse.Namespace) -> int:
    """Show or change metadata."""
    from dotpt.saving.metadata import read_metadata, set_metadata

    if args.sort not in (None, *_ORDERS):
        raise ArgumentError(f"there is no order {args.sort!r}", f"one of {', '.join(_ORDERS)}")
    changes = dict(_change(text) for text in args.changes)
    job = Job(args, "dotpt.metadata/1", files=[args.files])
    reading = {key: value for key, value in job.reading.items() if key != "encoding"}
    changing = bool(changes or args.unset or args.clear)
    for number, given in enumerate(job.given):
        with job.handling(given):
            source = given.source()
            metadata = {} if args.clear else read_metadata(source, **reading)
            if changing:
                metadata = _without(metadata, args.unset, given.name) | changes
                set_metadata(source, metadata)
            if args.json:
                job.add({"file": given.name, "metadata": metadata})
            elif not (changing and args.quiet):
                if job.many and not args.quiet:
                    _draw_name(job, given.name, number)
                _draw(job, metadata)
    return job.finish()


def _change(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or key in ("", ":"):
        raise ArgumentError(
            f"{text!r} is not KEY=VALUE", "dotpt metadata FILE KEY=VALUE; several files: dotpt metadata 'runs/*.pt'"
        )
    if not key.endswith(":"):
        return key, value
    try:
        return key[:-1], json.loads(value)
    except ValueError as error:
        raise ArgumentError(f"{value!r} is not JSON ({error})", f"{key[:-1]}={value} notes it as a text") from None


def _without(metadata: dict[str, Any], unwanted: list[str], name: str) -> dict[str, Any]:
    for key in unwanted:
        if key not in metadata:
            near = get_close_matches(key, metadata, 1, 0.5)
            hint = f"--unset {near[0]}" if near else f"`dotpt metadata {name}` lists what is noted"
            raise UsageError(f"The file's metadata has no {key!r}; nothing was changed.", path=name, hint=hint)
    return {key: value for key, value in metadata.items() if key not in unwanted}


def _draw_name(job: Job, name: str, number: int) -> None:
    if number:
        job.screen.line()
    job.screen.line((words.one_line(name), "bold"))


def _draw(job: Job, metadata: dict[str, Any]) -> None:
    keys = [key for key in metadata if all(fnmatchcase(key, glob) for glob in job.args.filter)]
    if job.args.sort is not None:
        keys.sort(key=natural, reverse=job.args.sort.endswith("desc"))
    shown = keys[: job.limit(None)]
    if job.args.quiet:
        for key in shown:
            job.screen.line(words.one_line(key))
        return
    if not keys:
        job.screen.line(("no metadata", "dim"))
        return
    draw(job.screen, _COLUMNS, [(words.one_line(key), words.one_line(as_line(metadata[key]))) for key in shown])
    if len(shown) < len(keys):
        job.screen.line((f"{job.screen.ellipsis} and {len(keys) - len(shown):,} more (--limit 0 shows all)", "dim"))
