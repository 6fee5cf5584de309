"""The words that an author put beside the tensors: metadata, which pages show and programs use."""

from __future__ import annotations

import re

from dotpt.errors import DotptError
from dotpt.formats.contents import Contents
from dotpt.formats.record_names import METADATA
from dotpt.scan.session import Session

_LONGEST = 1 << 20
# What a description has no reason to hold: code that is made to be run where the words are pasted or shown.
_CODE = re.compile(
    r"<script\b|javascript:|\b(?:os\.(?:system|popen)|subprocess\.\w+|eval|exec|__import__|b64decode)\s*\(|"
    r"\bimport\s+(?:os|sys|subprocess|socket|pty|base64)\b|\brm\s+-rf?\b|\bchmod\s+[0-7+]|"
    r"\b(?:curl|wget)\s+\S*https?:|\|\s*(?:ba|z|da)?sh\b",
    re.IGNORECASE,
)


def judge_words(session: Session, contents: Contents) -> None:
    """Report code in the metadata of a file."""
    words = dict(contents.metadata)
    if METADATA in contents.container:
        from dotpt.formats.metadata import read_record

        try:
            words |= read_record(contents.container) or {}
        except DotptError as error:
            session.report(error)
    for key, value in words.items():
        found = _CODE.search(str(value)[:_LONGEST])
        if found is not None:
            session.add("code-in-words", f"The metadata {key} holds what looks like code: {found[0]!r:.60}.", name=key)
