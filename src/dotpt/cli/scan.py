"""``dotpt scan FILE|FOLDER|URL ...``: what files may do to whoever loads them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from dotpt.cli.inputs import Given, expand
from dotpt.cli.options import ArgumentError, add_reading, describe, limits_of, whole_number
from dotpt.cli.words import one_line

if TYPE_CHECKING:
    from dotpt.scan.findings import Finding, Findings
    from dotpt.scan.outcome import Outcome
    from dotpt.scan.policy import Policy
    from dotpt.scan.walk import Listing

SCHEMA = "dotpt.scan/1"
LIMIT = 20
_DESCRIPTION = """\
Find out what files may do to whoever loads them, without doing it. Every
container, every file within a file and every pickle is decoded by what loads
them; a file is CLEAN only if every byte was accounted for and every name is
known to be harmless.
Exit code 0: all are clean; 1: a finding at or above --fail-on; 3: something
could not be read whole; 2: a usage error."""
_EXAMPLES = """
dotpt scan model.pt
dotpt scan model.pt --explain                what its pickles call, as code
dotpt scan models/ --jobs 0                  a folder, on all cores
dotpt scan model.pt --allow 'my_package.*'
dotpt scan . --policy policy.toml --sarif > dotpt.sarif
dotpt scan https://example.com/model.pt --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt scan`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    words = "a file, a folder with all that is in it, a glob, an address, or - for standard input"
    parser.add_argument("files", metavar="FILE", nargs="+", help=words)
    judge = parser.add_argument_group("how it judges")
    judge.add_argument(
        "--fail-on", choices=("info", "suspicious", "dangerous"), help="what gives exit code 1 (default: suspicious)"
    )
    judge.add_argument(
        "--allow", action="append", default=[], metavar="NAME",
        help="a class or function that is fine, or a glob: my_package.*",
    )  # fmt: skip
    judge.add_argument(
        "--policy", metavar="FILE", help="a TOML file: allow, fail-on, exclude, verify, [limits], [severity]"
    )
    judge.add_argument(
        "--verify", action=argparse.BooleanOptionalAction, default=None,
        help="compare the bytes of tensors with their checksums (default: if they are 64 MiB or less)",
    )  # fmt: skip
    folders = parser.add_argument_group("folders")
    folders.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="leave out: a glob on a name or a path"
    )
    folders.add_argument(
        "-j", "--jobs", type=whole_number, default=1, metavar="N", help="processes; 0 for one a core (default: 1)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--explain", action="store_true", help="show the calls of the pickles as readable code")
    output.add_argument(
        "--filter", action="append", default=[], metavar="WHAT",
        help="show only findings whose rule, place or name passes this glob; all count",
    )  # fmt: skip
    output.add_argument(
        "--limit", type=whole_number, metavar="N", help=f"findings shown of a file; 0 for each (default: {LIMIT})"
    )
    output.add_argument("--json", action="store_true", help="print one JSON document (docs/cli.md has its schema)")
    output.add_argument("--sarif", action="store_true", help="print a SARIF 2.1.0 log, as code hosts show it")
    output.add_argument("-q", "--quiet", action="store_true", help="only files that are not clean, one line each")
    output.add_argument("--no-color", action="store_true", help="no colors (so does the environment's NO_COLOR)")
    output.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    add_reading(parser.add_argument_group("reading"))


def run(args: argparse.Namespace) -> int:
    """Scan files and folders."""
    if args.json and args.sarif:
        raise ArgumentError("--json and --sarif are two formats", "one of them")
    return Scan(args).run()


class Scan:
    """One run of the command.

    Attributes:
        policy: what is allowed.
        listing: the files.
        outcome: the sum so far.
        single: whether one file is scanned, and shown with all its findings.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        from dotpt.scan.outcome import Outcome
        from dotpt.scan.walk import list_files

        self.args = args
        self.policy = policy_of(args)
        everything = expand(args.files)
        self._given = {given.name: given for given in everything}
        self.listing: Listing = list_files((given.name for given in everything), exclude=self.policy.exclude)
        self.outcome: Outcome = Outcome(self.policy.fail_on)
        self.single = [found.given for found in self.listing.files] == [True]

    def run(self) -> int:
        """Scan, and say what was found."""
        results = self._results()
        if self.args.json or self.args.sarif:
            from dotpt.cli.job import print_json

            everything = list(results)
            print_json(self._sarif(everything) if self.args.sarif else self._document(everything))
        else:
            from dotpt.cli.scan_text import Report

            Report(self).draw(results)
        return self.outcome.code

    def _results(self) -> Iterator[tuple[str, Findings]]:
        """(verdict, findings) of each file."""
        from dotpt.cli.progress import Watch
        from dotpt.scan.folders import scan_listing

        files = self.listing.files
        watch = Watch("scanning " + (one_line(files[0].path) if self.single else f"{len(files):,} files"),
                      wanted=not self.args.quiet)  # fmt: skip
        # the processes are there before the thread of the bar: a fork copies one thread alone
        results = scan_listing(
            self.listing, self.policy, jobs=self.args.jobs, progress=watch, source=self._source, debug=self.args.debug
        )
        with closing(results), watch:
            for found, findings in zip(files, results, strict=True):
                yield self.outcome.add(found, findings), findings

    def _source(self, name: str) -> Any:
        """What to open for a FILE."""
        given = self._given.get(name) or Given(name)
        source = given.source()
        if self.args.download and isinstance(source, str) and "://" in source:
            from dotpt.source import open_source

            return open_source(source, allow_download=True, limits=self.policy.limits)
        return source

    def passes(self, finding: Finding) -> bool:
        """Whether a finding is to be shown."""
        texts = (finding.rule, finding.member, finding.name or "")
        return all(any(fnmatchcase(text, glob) for text in texts) for glob in self.args.filter)

    def _document(self, results: list[tuple[str, Findings]]) -> dict[str, Any]:
        from dotpt.scan.outcome import ALONE

        entries = []
        for word, findings in results:
            if word != ALONE:
                entry = findings.to_dict()
                entries.append({"file": entry.pop("path")} | entry)
        return {
            "schema": SCHEMA,
            "files": entries,
            "left_alone": [{"file": found.path, "kind": found.kind} for word, found in results if word == ALONE],
            "left_out": self.listing.left_out,
            "summary": self.outcome.to_dict(),
            "fail_on": self.policy.fail_on,
            "exit_code": self.outcome.code,
        }

    def _sarif(self, results: list[tuple[str, Findings]]) -> dict[str, Any]:
        from dotpt.scan.outcome import ALONE
        from dotpt.scan.sarif import sarif

        return sarif([found for word, found in results if word != ALONE], self.outcome)


def policy_of(args: argparse.Namespace) -> Policy:
    """The policy of the file that was named, and what the options add to it.

    Raises:
        ArgumentError: the file of the policy cannot be read, or is wrong.
    """
    from dotpt.errors import DotptError
    from dotpt.scan.policy import Policy

    policy = Policy()
    if args.policy is not None:
        from dotpt.scan.policy_files import read_policy

        try:
            policy = read_policy(args.policy)
        except DotptError as error:
            raise ArgumentError(f"{args.policy}: {error.problem}", error.hint) from None
    return replace(
        policy,
        allow=(*policy.allow, *args.allow),
        exclude=(*policy.exclude, *args.exclude),
        limits=limits_of(args, policy.limits),
        fail_on=args.fail_on or policy.fail_on,
        verify=policy.verify if args.verify is None else args.verify,
    )
