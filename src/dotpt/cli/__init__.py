"""The command line: ``dotpt VERB FILE...``, one module a verb.

A verb's module has ``configure(parser)`` and ``run(args) -> int``; it, numpy and rich are imported when they are
needed and not before.

* `verbs`: the table of verbs      * `options`: what all verbs share    * `inputs`: globs, ``-``, addresses
* `job`: one run over its files, their errors, the exit code            * `screen`, `columns`, `words`: what is drawn
* `select`: --filter, --sort, --limit                                   * `progress`: the bar on stderr

Exit codes: 0 fine, 1 a finding or damage, 2 a usage error or a file that could not be read (the worst of several
files), 130 after Ctrl-C; `scan` has 3 for what could not be read whole. Results go to stdout, all else to stderr.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

FINE, FINDING, FAILED, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments without the program's name; those of the process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["run"]:  # what a program prints, raises and returns is its own
        return _dispatch(arguments)
    _never_fail_to_print()
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # `| head` has seen enough. What is still buffered must not raise again when the process ends.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE


def _dispatch(arguments: list[str]) -> int:
    from dotpt.cli import verbs

    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help", "help"):
        if first == "help" and len(arguments) > 1:
            return _dispatch([arguments[1], "--help"])
        print(verbs.overview())
        return FINE if arguments else FAILED
    if first in ("-V", "--version"):
        from dotpt import __version__

        print(f"dotpt {__version__}")
        return FINE
    verb = verbs.VERBS.get(first)
    if verb is None:
        print(verbs.no_such_verb(first, arguments), file=sys.stderr)
        return FAILED
    return verbs.run(first, verb, arguments[1:])


def _never_fail_to_print() -> None:
    """A name that the terminal's encoding lacks is shown escaped."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
