"""What crosses this boundary: a sniff in; one plain sentence, or the error that carries it, out."""

from __future__ import annotations

from typing import Any

from dotpt.container.sniff.result import Sniffed, quote
from dotpt.errors import NotATorchFile
from dotpt.source.base import Source

_MEANT = "give the file that torch.save wrote"


def sentence(sniffed: Sniffed) -> str:
    """What the thing is, in one sentence with its facts.

    Example:
        >>> sentence(Sniffed("npz", "a NumPy .npz archive"))
        'This is a NumPy .npz archive, not a PyTorch file.'
    """
    words = _special(sniffed.kind, sniffed.details)
    if words is not None:
        return words
    if sniffed.torch:
        return f"This is {sniffed.label}."
    return f"This is {sniffed.label}, not a PyTorch file."


def not_a_torch_file(sniffed: Sniffed, source: Source) -> NotATorchFile:
    """The error for a source that is something else: what it is, and the next step."""
    damaged = f"This looks like {sniffed.label}, and cannot be read as one."
    return NotATorchFile(
        damaged if sniffed.torch else sentence(sniffed),
        path=source.name,
        found=sniffed.kind,
        expected="a PyTorch file",
        hint=sniffed.hint or (_MEANT if not sniffed.torch else "copy or download the file again"),
    )


def _special(kind: str, details: dict[str, Any]) -> str | None:
    """The kinds that have something of their own to say."""
    if kind == "empty":
        return "The file is empty."
    if kind == "zeros":
        return (
            f"The file begins with {details['zeros']:,} zero bytes:"
            " its place was reserved, and the content never arrived."
        )
    if kind == "git-lfs":
        return _git_lfs(details)
    if kind == "html":
        title = f" (title: '{details['title']}')" if details.get("title") else ""
        return f"This is an HTML page{title}, most likely an error or login page saved instead of the model."
    if kind == "xml" and (details.get("code") or details.get("message")):
        words = ": ".join(details[name] for name in ("code", "message") if details.get(name))
        return f"This is the error message of a server, saved instead of the model: '{quote(words)}'."
    if kind == "json" and details.get("message"):
        return f"This is the error message of a server, saved instead of the model: '{details['message']}'."
    if kind == "text" and details.get("reads_as") == "error":
        return f"This is a text file, most likely an error message saved instead of the model: '{details['begins']}'."
    if kind == "text" and details.get("reads_as") == "text":
        return f"This is a plain text file, not a PyTorch file; it begins with '{details['begins']}'."
    if kind == "unknown":
        return (
            f"This is not a PyTorch file, nor another kind that dotpt knows; its first bytes are {details['begins']}."
        )
    return None


def _git_lfs(details: dict[str, Any]) -> str:
    facts = f": the real file has {details['size']:,} bytes" if details.get("size") is not None else ""
    if facts and details.get("oid"):
        facts += f" (oid {details['oid'][:19]}...)"  # "sha256:" and twelve digits tell two files apart
    return f"This is a git-lfs pointer, not the file itself{facts}."
