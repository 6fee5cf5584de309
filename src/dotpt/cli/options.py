"""The options that every verb has, and what they mean to the library."""

from __future__ import annotations

import argparse
import codecs
from dataclasses import dataclass, fields, replace
from typing import Any

from dotpt.errors import readable
from dotpt.limits import DEFAULT_LIMITS, Limits

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}


class ArgumentError(Exception):
    """An argument that makes no sense; its text says why.

    Attributes:
        hint: the next step to take.
    """

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(readable(problem))
        self.hint = readable(hint) if hint else None


def describe(parser: argparse.ArgumentParser, description: str, examples: str) -> None:
    """Give a verb's help its first lines and its examples."""
    parser.description = description
    indented = "\n".join(f"  {line}" if line else "" for line in examples.strip().splitlines())
    parser.epilog = f"Examples:\n{indented}"


def add_files(parser: argparse.ArgumentParser, nargs: str | None = "+") -> None:
    """The files that a verb works on."""
    words = "a path, a folder of shards, a glob, an address (https://, s3://, ...) or - for standard input"
    parser.add_argument("files", metavar="FILE", nargs=nargs, help=words)


@dataclass(frozen=True, slots=True)
class Rows:
    """What ``--filter``, ``--sort`` and ``--limit`` choose from.

    Attributes:
        name: what the rows are.
        filter, sort: what the help says of the options.
    """

    name: str
    filter: str
    sort: str


TENSORS = Rows(
    "tensors",
    "a glob on the name ('layer1.*'), or a comparison: size>1MB, dtype=float16, ndim>1, numel>=1000, "
    "shape=3x3, device!=cpu; given several times, all must hold",
    "name, size, numel, ndim, dtype, shape or file; KEY:desc for the largest first",
)
FINDINGS = Rows(
    "findings",
    "a glob on a tensor, a record or a rule ('encoder.*'); given several times, all must hold",
    "name or size; KEY:desc for the largest first",
)
FILES = Rows(
    "files",
    "a glob on a signed file ('*.safetensors'); given several times, all must hold",
    "name or size; KEY:desc for the largest first",
)
KEYS = Rows("keys", "a glob on the key ('modelspec.*'); given several times, all must hold", "name, or name:desc")


def add_shared(parser: argparse.ArgumentParser, *, limit: int | None, rows: Rows = TENSORS) -> None:
    """The options that all verbs share.

    Args:
        limit: how many rows are shown by default; None for all.
        rows: what they are.
    """
    choose = parser.add_argument_group(f"which {rows.name}")
    choose.add_argument("--filter", action="append", default=[], metavar="WHAT", help=rows.filter)
    choose.add_argument("--sort", metavar="KEY", help=rows.sort)
    shown = "all" if limit is None else str(limit)
    choose.add_argument(
        "--limit", type=whole_number, default=None, metavar="N", help=f"show at most N; 0 for all (default: {shown})"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON document (docs/cli.md has its schema)")
    output.add_argument("-q", "--quiet", action="store_true", help="print only what matters most")
    output.add_argument("--no-color", action="store_true", help="no colors (so does the environment's NO_COLOR)")
    output.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    reading = parser.add_argument_group("reading")
    reading.add_argument(
        "--encoding", default="utf-8", metavar="NAME", help="of strings that Python 2 wrote, such as latin-1, or bytes"
    )
    add_reading(reading)


def add_reading(reading: argparse._ArgumentGroup) -> None:
    """How any file is read, whatever is done with it; and --help, which comes last."""
    reading.add_argument(
        "--download", action="store_true", help="fetch a whole file from a server that cannot send parts of it"
    )
    reading.add_argument("--deflated", action="store_true", help="allow compressed records, which torch never writes")
    reading.add_argument(
        "--limits", action="append", default=[], metavar="NAME=N",
        help="raise a limit that keeps hostile files harmless: nesting=5000,memo=8M (docs/cli.md lists them)",
    )  # fmt: skip
    reading.add_argument("-h", "--help", action="help", help="show this help")


def whole_number(text: str) -> int:
    """A number from 0 on, with an optional unit: ``5000``, ``8M``, ``2GiB``."""
    digits = text.replace("_", "").replace(",", "")
    number = digits.rstrip("kKmMgGtTiIbB")
    unit = _UNITS.get(digits[len(number) :].lower().removesuffix("b"))
    if unit is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    try:
        value = float(number) * unit
        exact = int(number) * unit if number.isdigit() else int(value)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is less than 0")
    return exact


def limits_of(args: argparse.Namespace, base: Limits = DEFAULT_LIMITS) -> Limits:
    """The limits that ``--limits`` and ``--deflated`` ask for, and else those of ``base``."""
    known = [field.name for field in fields(Limits) if field.name != "deflated"]
    changed: dict[str, Any] = {"deflated": True} if args.deflated else {}
    for pair in (pair for text in args.limits for pair in text.split(",") if pair.strip()):
        name, equals, value = (part.strip() for part in pair.partition("="))
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(name, known, 1, 0.5)
            hint = f"--limits {near[0]}=..." if near else f"one of {', '.join(known)}"
            raise ArgumentError(f"there is no limit {name!r}", hint)
        if not equals:
            raise ArgumentError(
                f"the limit {name} needs a value", f"--limits {name}={getattr(DEFAULT_LIMITS, name) * 2}"
            )
        try:
            changed[name] = whole_number(value)
        except argparse.ArgumentTypeError as error:
            raise ArgumentError(f"--limits {name}: {error}") from None
    return replace(base, **changed)


def reading_of(args: argparse.Namespace) -> dict[str, Any]:
    """The shared options as the keywords of `dotpt.open`, `dotpt.inspect` and `dotpt.verify`."""
    if args.encoding != "bytes":
        try:
            codecs.lookup(args.encoding)
        except (LookupError, ValueError):
            raise ArgumentError(
                f"there is no encoding {args.encoding!r}", "--encoding latin-1, or --encoding bytes"
            ) from None
    return {"encoding": args.encoding, "limits": limits_of(args), "allow_download": args.download}
