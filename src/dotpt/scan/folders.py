"""What crosses this boundary: folders and lists of paths in, `Findings` for each file out, in a stable order.

Invariants: one file never ends the scan of the others, whatever it does to the process that reads it; what was not
read is an entry as well.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from time import perf_counter
from typing import Any

from dotpt.errors import DotptError, readable
from dotpt.scan.findings import UNREADABLE, Finding, Findings
from dotpt.scan.policy import Policy
from dotpt.scan.rules import RULES
from dotpt.scan.scan import scan
from dotpt.scan.walk import Found, Listing, list_files

Progress = Callable[[int, int], object]
_OTHER = "not-a-model"
_MOST_JOBS = 128  # more processes only wait for each other


def scan_folder(
    folder: str | os.PathLike[str], *, policy: Policy | None = None, jobs: int = 1, progress: Progress | None = None
) -> Iterator[Findings]:
    """Scan every file in a folder and in the folders within it.

    Links are not followed out of the folder, but for links to files; ``.git`` is left out. Texts and pictures, which
    torch and pickle do not load, have `Findings.other` set; see `left_alone`.

    Args:
        folder: the folder.
        policy: what is allowed, and which paths are left out.
        jobs: processes that scan; 0 for one on each core.
        progress: called with bytes done and bytes in total.

    Returns:
        The findings of each file, in the order of names.

    Example:
        >>> next(scan_folder("tests/corpus/fixtures/zip")).verdict
        'clean'
    """
    return scan_many([folder], policy=policy, jobs=jobs, progress=progress)


def scan_many(
    paths: Iterable[str | os.PathLike[str]],
    *,
    policy: Policy | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Findings]:
    """Scan files and folders, as `scan_folder` does.

    Args:
        paths: files, folders, addresses.
        policy: what is allowed, and which paths are left out of folders.
        jobs: processes that scan; 0 for one on each core.
        progress: called with bytes done and bytes in total.

    Returns:
        The findings of each file, in the order of the arguments and of names.

    Example:
        >>> [findings.verdict for findings in scan_many(["tests/corpus/fixtures/zip/state_dict.pt", "gone.pt"])]
        ['clean', 'unreadable']
    """
    policy = policy or Policy()
    return scan_listing(list_files(paths, exclude=policy.exclude), policy, jobs=jobs, progress=progress)


def scan_listing(
    listing: Listing,
    policy: Policy,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
    source: Callable[[str], Any] = str,
    debug: bool = False,
) -> Generator[Findings, None, None]:
    """Scan what was listed: one `Findings` for each of its files, in their order.

    Args:
        listing: the files.
        policy: what is allowed.
        jobs: processes that scan; 0 for one on each core.
        progress: called with bytes done and bytes in total.
        source: what to open for a path that the user gave, if not the path.
        debug: print tracebacks of mistakes in dotpt.
    """
    files = listing.files
    results: Generator[Findings, None, None]
    workers = min(jobs or cores(), _MOST_JOBS, sum(not found.problem for found in files))
    if workers > 1:
        from dotpt.scan.workers import Workers

        results = Workers(files, policy, workers, debug=debug).results(source)
    else:
        results = (scan_found(found, policy, source, debug=debug) for found in files)
    return _followed(files, results, progress)


def _followed(
    files: Sequence[Found], results: Generator[Findings, None, None], progress: Progress | None
) -> Generator[Findings, None, None]:
    done, total = 0, sum(found.size for found in files)
    with closing(results):
        for found, findings in zip(files, results, strict=True):
            done += found.size
            if progress is not None:
                progress(done, total)
            yield findings


def scan_as_one(folder: str | os.PathLike[str], policy: Policy) -> Findings:
    """Scan every file in a folder: the findings of all, each file a member. What is left alone is not among them."""
    begun = perf_counter()
    whole, scanned = Findings(os.fspath(folder)), 0
    for findings in scan_folder(folder, policy=policy):
        if left_alone(findings):
            continue
        scanned += 1
        name = readable(os.path.relpath(findings.path, folder))
        for finding in findings.findings:
            member = f"{name}!{finding.member}" if finding.member else name
            whole.findings.append(replace(finding, member=member))
        whole.members += findings.members
        whole.omitted += findings.omitted
        whole.code += [f"{name}: {line}" for line in findings.code]
        for text, times in findings.names.items():
            whole.names[text] = whole.names.get(text, 0) + times
        if findings.compared is not None:
            whole.compared = findings.compared and whole.compared is not False
    whole.kind = f"a folder of {scanned:,} files that were scanned"
    if not scanned:
        problem = "Nothing in it is a file that torch or pickle loads."
        whole.findings.append(Finding(UNREADABLE, _OTHER, problem, RULES[_OTHER].why))
    whole.sort()
    whole.seconds = perf_counter() - begun
    return whole


def cores() -> int:
    """How many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def scan_found(found: Found, policy: Policy, source: Callable[[str], Any] = str, *, debug: bool = False) -> Findings:
    """Scan one file of a list. Whatever happens is a finding."""
    if found.problem:
        return unread(found.path, found.problem)
    try:
        findings = scan(source(found.path) if found.given else found.path, policy=policy)
        findings.path = found.path
        return findings
    except DotptError as error:
        return unread(found.path, error.problem, error.hint or "")
    except Exception as error:  # one file must not end the scan of a thousand others
        if debug:
            import traceback

            traceback.print_exc()
        problem = f"This is a mistake in dotpt: {type(error).__name__}: {error!s:.200}"
        return unread(found.path, problem, "again with --debug, and report what it prints")


def unread(path: str, problem: str, hint: str = "") -> Findings:
    """The result for a file that could not be opened or read."""
    finding = Finding(UNREADABLE, "cannot-read", readable(problem), RULES["cannot-read"].why, readable(hint))
    return Findings(path, findings=[finding])


def left_alone(findings: Findings) -> bool:
    """Whether a file that lay in a folder is none that concerns a scan: a text or a picture, and nothing in it.

    Example:
        >>> import dotpt
        >>> left_alone(dotpt.scan(b"Read me first."))
        True
    """
    return findings.other and all(finding.rule == _OTHER for finding in findings.findings)
