"""``dotpt verify FILE...``: whether files are what was written."""

from __future__ import annotations

import argparse
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from dotpt.cli import FINDING, words
from dotpt.cli.job import Job
from dotpt.cli.options import FINDINGS, ArgumentError, add_files, add_shared, describe
from dotpt.cli.select import natural

if TYPE_CHECKING:
    from dotpt.archive.verification import Verification
    from dotpt.cli.screen import Part, Screen

LIMIT = 20
_ORDERS = tuple(key + direction for key in ("name", "size") for direction in ("", ":asc", ":desc"))
_DESCRIPTION = """\
Compare every record of files with its checksum, every tensor with its hash
(in files that dotpt wrote), and check every rule of the format and the bounds
of every tensor. One line a file; below it what is damaged, with the tensors
concerned, and what could not be verified.

With --key, first that a file or folder is, to the last byte, what the owner of
the key has signed. If not, nothing else of it is read.
Exit code 1: a file is damaged, breaks a rule, or is not what was signed."""
_EXAMPLES = """
dotpt verify model.pt
dotpt verify 'checkpoints/*.pt' -q           only damaged files
dotpt verify model.pt --json
dotpt verify - < model.pt
dotpt verify model.pt --key release.pub      the signature in model.pt.sig
dotpt verify model/ --key release.pub        the one in model/model.sig
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt verify`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser)
    parser.add_argument("--key", metavar="PEM", help="the public key of who signed the files (see dotpt sign)")
    parser.add_argument(
        "--signature", metavar="PATH", help="where the signature is (default: FILE.sig, or model.sig in a folder)"
    )
    add_shared(parser, limit=LIMIT, rows=FINDINGS)


def run(args: argparse.Namespace) -> int:
    """Verify files."""
    from dotpt.archive.verify import verify

    job = Job(args, "dotpt.verify/1")
    if args.sort not in (None, *_ORDERS):
        raise ArgumentError(f"there is no order {args.sort!r}", f"one of {', '.join(_ORDERS)}")
    if args.signature is not None and args.key is None:
        raise ArgumentError("--signature says nothing without --key", "dotpt verify FILE --key KEY --signature PATH")
    if args.signature is not None and job.many:
        raise ArgumentError("--signature is that of one FILE, and there are several", "one FILE, or FILE.sig for each")
    reading = {key: value for key, value in job.reading.items() if key != "encoding"}
    reading |= {"key": args.key, "signature": args.signature} if args.key is not None else {}
    for number, given in enumerate(job.given, 1):
        with job.handling(given):
            place = f" ({number} of {len(job.given)})" if job.many else ""
            with job.watch(f"verifying {given.name}{place}") as watch:
                outcome = verify(given.source(), progress=watch, **reading)
            if not outcome.ok:
                job.worse(FINDING)
            if args.json:
                job.add({"file": given.name} | outcome.to_dict())
            elif not (args.quiet and outcome.ok):
                _draw(job, given.name, outcome)
    return job.finish()


def _draw(job: Job, name: str, outcome: Verification) -> None:
    screen, limit = job.screen, job.limit(LIMIT)
    screen.line((words.one_line(name), "bold"), ": ", *_verdict(outcome))
    if job.args.quiet:
        return
    findings = [*_damaged(job, outcome), *_deviations(job, outcome)]
    for parts in findings[:limit]:
        screen.fact("", *parts, column=2)
    if limit is not None and len(findings) > limit:
        screen.line("  ", (f"{screen.ellipsis} and {len(findings) - limit:,} more (--limit 0 shows all)", "dim"))
    _draw_unverified(screen, outcome)


def _verdict(outcome: Verification) -> list[Part]:
    signature, signed = outcome.signature, ""
    if signature is not None:
        if not signature.ok:
            return [("NOT AS SIGNED", "bold red"), "; nothing else of it was read"]
        signed = f", signed by the key {signature.key[:12]}"
        if not outcome.records:
            return [("as signed", "green"), f" by the key {signature.key[:12]}"]
    checked = words.plural(len(outcome.records) - len(outcome.unverified), "record")
    rate = f", {words.size(outcome.bytes / outcome.seconds)}/s" if outcome.seconds > 1 else ""
    tensors = words.plural(outcome.tensors, "tensor")
    hashes = ""
    if outcome.writer is not None:
        count = words.plural(outcome.hashed, "hash", "hashes")
        hashes = f" against {count} of {words.one_line(outcome.writer)}"
    facts = f" ({checked} and {tensors} checked{hashes}, {words.size(outcome.bytes)}{rate})"
    if outcome.damaged:
        count = words.plural(len(outcome.damaged), "record")
        return [("DAMAGED", "bold red"), f": {count} of {len(outcome.records):,}{signed}"]
    if outcome.deviations:
        count = words.plural(len(outcome.deviations), "deviation")
        return [("BREAKS RULES", "bold red"), f": {count}{facts}{signed}"]
    if len(outcome.unverified) == len(outcome.records):
        old = ", as in all files of this format" if outcome.format in ("legacy", "tar") else ""
        facts = f" (it has no checksums{old}; {tensors} checked against their storages)"
        return [("whole as far as can be seen", "yellow"), facts, signed]
    return [("whole", "green"), facts, signed]


def _damaged(job: Job, outcome: Verification) -> list[list[Part]]:
    damaged = [record for record in outcome.damaged if _passes(job.args.filter, record.name, *record.tensors)]
    key, _, direction = (job.args.sort or "").partition(":")
    if key:
        damaged.sort(key=lambda r: (r.size, natural(r.name)) if key == "size" else (0, natural(r.name)),
                     reverse=direction == "desc")  # fmt: skip
    return [
        [
            (words.one_line(record.name), "bold red"),
            f", {words.size(record.size)}: ",
            words.listed([words.one_line(name) for name in record.tensors], 5) if record.tensors else "no tensor",
        ]
        for record in damaged
    ]


def _passes(globs: list[str], *names: str) -> bool:
    return all(any(fnmatchcase(name, glob) for name in names) for glob in globs)


def _deviations(job: Job, outcome: Verification) -> list[list[Part]]:
    found: list[list[Part]] = []
    for deviation in outcome.deviations:
        if not _passes(job.args.filter, deviation.rule, deviation.record or ""):
            continue
        places = [words.one_line(deviation.record)] if deviation.record else []
        places += [f"byte {deviation.offset:,}"] if deviation.offset is not None else []
        where = f" ({', '.join(places)})" if places else ""
        found.append([(deviation.rule, "bold red"), f": {words.one_line(deviation.text)}{where}"])
    return found


def _draw_unverified(screen: Screen, outcome: Verification) -> None:
    unverified = outcome.unverified
    if unverified and len(unverified) < len(outcome.records):
        names = words.listed([words.one_line(name) for name in unverified])
        screen.fact("", (f"Without a checksum, so not verified: {names}", "yellow"), column=2)
    for note in outcome.notes:
        screen.fact("", (words.one_line(note), "yellow"), column=2)
