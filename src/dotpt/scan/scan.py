"""`dotpt.scan`: what a file may do to whoever loads it. Nothing of it is run, imported or built."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from dotpt.archive import collector
from dotpt.errors import DotptError, UsageError
from dotpt.limits import Limits
from dotpt.scan.examine import examine
from dotpt.scan.findings import Findings
from dotpt.scan.policy import Policy
from dotpt.scan.session import Session
from dotpt.source import open_source
from dotpt.source.base import Source


def scan(
    source: Any,
    *,
    policy: Policy | None = None,
    limits: Limits | None = None,
    verify: bool | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Findings:
    """Find out what a file may do to whoever loads it with torch or pickle, without doing it.

    The file is read by the readers that `dotpt.load` uses, and everything that is in it is examined: every record of
    every container, files within files, pickles hidden in texts. The verdict is clean only if every byte was accounted
    for and every name is on the list of those known to be harmless.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, or a binary file object; or a folder, of which all
            files are scanned, and each is a member of the findings (`dotpt.scan.folders.scan_folder` gives them
            one by one).
        policy: what is allowed besides (`dotpt.scan.policy.Policy`).
        limits: what the file may ask for.
        verify: whether the bytes of tensors are compared with their checksums: always, never, or (None) where they are
            64 MiB or less together.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Returns:
        The findings. Whatever is wrong with the file is among them, and not raised.

    Raises:
        UsageError: no file was passed.

    Example:
        >>> import dotpt
        >>> findings = dotpt.scan("tests/corpus/fixtures/zip/state_dict.pt")
        >>> findings.verdict, findings.complete
        ('clean', True)
    """
    begun = perf_counter()
    policy = policy or Policy()
    policy = replace(policy, limits=limits or policy.limits, verify=policy.verify if verify is None else verify)
    if isinstance(source, (str, os.PathLike)) and Path(source).is_dir():
        from dotpt.scan.folders import scan_as_one

        return scan_as_one(source, policy)
    findings = Findings(_name_of(source))
    try:
        _scan(findings, policy, source, storage_options)
        findings.sort()
    except MemoryError:
        findings = Findings(findings.path)  # what was found until then is what takes the room
    if not findings.members and not findings.findings:
        Session(findings, policy).add("cannot-read", "There is not enough memory to examine it.")
    findings.seconds = perf_counter() - begun
    return findings


def _scan(findings: Findings, policy: Policy, source: Any, storage_options: Mapping[str, Any] | None) -> None:
    session = Session(findings, policy)
    try:
        # gzip as the bytes that it is: a damaged stream is looked into as far as it goes
        opened = open_source(source, storage_options=storage_options, limits=policy.limits, unwrap=False)
    except UsageError:
        raise
    except DotptError as error:
        session.report(error)
        opened = None
    if opened is not None:
        findings.path = opened.name if findings.path == "" else findings.path
        try:
            _examine(session, opened)
        finally:
            if opened is not source:
                opened.close()


def _examine(session: Session, opened: Source) -> None:
    session.findings.members += 1
    session.size = opened.size
    try:
        with collector.paused():
            session.findings.kind = examine(session, opened, whole=True)
    except DotptError as error:  # a disk that fails, a server that goes away
        session.report(error)


def _name_of(source: Any) -> str:
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", None)
    return name if isinstance(name, str) else ""  # that of a file opened by its descriptor is a number
