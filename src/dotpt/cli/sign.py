"""``dotpt sign FILE... --key KEY``: a signature beside each file or in each folder."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.cli.job import Job
from dotpt.cli.options import FILES, ArgumentError, add_files, add_shared, describe
from dotpt.cli.select import natural
from dotpt.errors import DotptError, NotATorchFile

if TYPE_CHECKING:
    from dotpt.archive.verification import Verification
    from dotpt.cli.inputs import Given
    from dotpt.signing.sign import Signed

LIMIT = 20
_ORDERS = tuple(key + direction for key in ("name", "size") for direction in ("", ":asc", ":desc"))
_COLUMNS = (Column("File", "cyan", least=20), Column("Size", right=True), Column("SHA-256", least=16, tail=True))
_DESCRIPTION = """\
Sign files and folders with a private key: who has the public one can tell with
`dotpt verify --key`, or the package model-signing, that no byte was changed.
The signature (OpenSSF Model Signing v1.0) is a file of its own, the signed
ones are not touched. It says who vouches for the bytes, not that they are
harmless. Keys are ECDSA on P-256, P-384 or P-521:

  openssl ecparam -name prime256v1 -genkey -noout -out key.pem
  openssl ec -in key.pem -pubout -out key.pub"""
_EXAMPLES = """
dotpt sign model.pt --key key.pem            writes model.pt.sig
dotpt sign model/ --key key.pem              every file in it: model/model.sig
dotpt sign model.pt --key key.pem --signature release.sig
dotpt sign model.pt --key key.pem --password-env KEY_PASSWORD
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `dotpt sign`."""
    describe(parser, _DESCRIPTION, _EXAMPLES)
    add_files(parser)
    parser.add_argument("--key", metavar="PEM", required=True, help="the private key")
    parser.add_argument(
        "--signature", metavar="PATH", help="where the signature goes (default: FILE.sig, or model.sig in a folder)"
    )
    parser.add_argument(
        "--password-env", metavar="NAME", help="the environment variable that holds the password of the key"
    )
    add_shared(parser, limit=LIMIT, rows=FILES)


def run(args: argparse.Namespace) -> int:
    """Sign files."""
    from dotpt.signing.keys import read_pem
    from dotpt.signing.sign import sign

    job = Job(args, "dotpt.sign/1")
    if args.sort not in (None, *_ORDERS):
        raise ArgumentError(f"there is no order {args.sort!r}", f"one of {', '.join(_ORDERS)}")
    if args.signature is not None and job.many:
        raise ArgumentError("--signature is that of one FILE, and there are several", "leave it out, or one FILE")
    reading = {key: value for key, value in job.reading.items() if key != "encoding"}
    password, asked = None, False
    for number, given in enumerate(job.given):
        with job.handling(given):
            if not asked:
                password, asked = _password(args, read_pem(args.key)[1]), True
            source = given.source()
            with job.watch(f"signing {given.name}") as watch:
                signed = sign(
                    source,
                    key=args.key,
                    signature=args.signature,
                    password=password,
                    progress=watch,
                    **reading,
                )
            warnings = _warnings(job, given, reading)
            if args.json:
                job.add({"file": given.name} | signed.to_dict() | {"warnings": warnings})
            else:
                _draw(job, given, signed, number)
            for warning in warnings:
                print(f"dotpt: {words.one_line(given.name)}: {words.one_line(warning)}", file=sys.stderr)
    return job.finish()


def _password(args: argparse.Namespace, pem: bytes) -> str | None:
    """The password of the key, if it has one: from the environment, or typed where nobody sees it."""
    from dotpt.signing.keys import is_encrypted

    if args.password_env is not None:
        if args.password_env not in os.environ:
            raise ArgumentError(f"there is no environment variable {args.password_env!r}", "export it, or leave it out")
        return os.environ[args.password_env]
    if not is_encrypted(pem) or not sys.stdin or not sys.stdin.isatty():
        return None
    return getpass.getpass(f"Password of {args.key}: ")


def _warnings(job: Job, given: Given, reading: dict[str, object]) -> list[str]:
    """What `dotpt verify` says of a file that was signed as it is."""
    from dotpt.archive.verify import verify

    if given.name == "-":
        return []
    try:
        with job.watch(f"verifying {given.name}") as watch:
            outcome: Verification = verify(given.source(), progress=watch, **reading)  # type: ignore[arg-type]
    except NotATorchFile:
        return []  # whatever it is, it is signed as it is
    except DotptError as error:
        return [f"Signed without being verified: {error.problem}"]
    if outcome.ok:
        return []
    findings = words.plural(len(outcome.damaged) + len(outcome.deviations), "finding")
    return [f"Signed as it is, and it is not sound ({findings}): see `dotpt verify {given.name}`."]


def _draw(job: Job, given: Given, signed: Signed, number: int) -> None:
    screen, limit = job.screen, job.limit(LIMIT)
    if job.args.quiet:
        screen.line(words.one_line(signed.signature))
        return
    total = words.size(sum(file.size for file in signed.files))
    facts = f" ({words.plural(len(signed.files), 'file')}, {total}) with the key {signed.key[:12]}: "
    screen.line(
        (words.one_line(given.name), "bold"), ": ", ("signed", "green"), facts, words.one_line(signed.signature)
    )
    if len(signed.files) == 1 and signed.files[0].name == ".":
        return
    files = [file for file in signed.files if all(fnmatchcase(file.name, glob) for glob in job.args.filter)]
    key, _, direction = (job.args.sort or "").partition(":")
    if key:
        files.sort(key=lambda f: (f.size, natural(f.name)) if key == "size" else (0, natural(f.name)),
                   reverse=direction == "desc")  # fmt: skip
    rows = [(words.one_line(file.name), words.size(file.size), file.digest) for file in files[:limit]]
    if rows:
        draw(screen, _COLUMNS, rows)
    if limit is not None and len(files) > limit:
        screen.line((f"{screen.ellipsis} and {len(files) - limit:,} more (--limit 0 shows all)", "dim"))
