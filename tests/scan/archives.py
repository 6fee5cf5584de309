"""Archives for the tests of scan: what dangerous pickles and whole archives around them look like, as bytes."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from dotpt.scan.scan import scan
from tests.corpus import pickles as p
from tests.corpus.torch_zip import write

EVIL = p.pickled(p.call("os", "system", p.text("true")))
PLAIN = p.pickled(p.stream(p.empty_dict(), p.text("a"), p.binint(1), p.setitem()))
VERSION = [("byteorder", b"little"), ("version", b"3\n")]


def torch_file(pickle: bytes = PLAIN) -> bytes:
    """A file of torch.save with this pickle."""
    return write([("data.pkl", pickle), *VERSION])


def zipped(records: dict[str, bytes], method: int = zipfile.ZIP_STORED, comment: bytes = b"") -> bytes:
    """A zip archive, as Python writes it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, body in records.items():
            archive.writestr(name, body)
        archive.comment = comment
    return buffer.getvalue()


def rules(source: Any) -> set[str]:
    """The rules of all findings."""
    return {finding.rule for finding in scan(source).findings}


def verdict(source: Any) -> str:
    """The verdict."""
    return scan(source).verdict
