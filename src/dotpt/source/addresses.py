"""What crosses this boundary: a string in, whether it is an address or a path out.

Reading and writing ask the same question here, so what can be saved to can be loaded from.
"""

from __future__ import annotations

import re
from contextlib import suppress

from dotpt.errors import SourceError, UsageError

# A scheme has at least two characters: C:\a.pt and C:/a.pt are paths.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(://|::(?=.*://))", re.DOTALL)


def scheme_of(text: str) -> str:
    """How the address begins, in lower case and with what separates it, or "" for a path.

    Example:
        >>> scheme_of("S3://bucket/a.pt"), scheme_of("simplecache::s3://b/a.pt"), scheme_of("C:/a.pt")
        ('s3://', 'simplecache::', '')
    """
    found = _ADDRESS.match(text)
    return found[0].lower() if found else ""


def path_of_url(url: str) -> str:
    """The path in a ``file://`` address of this machine."""
    from urllib.request import url2pathname

    host, _, path = url[len("file://") :].partition("/")
    if host not in ("", "localhost"):
        raise SourceError(
            "A file:// address can only name a file of this machine.", path=url, hint=f"file:///{host}/{path}"
        )
    with suppress(OSError):
        return url2pathname("/" + path)
    raise UsageError("This file:// address is malformed.", path=url)
