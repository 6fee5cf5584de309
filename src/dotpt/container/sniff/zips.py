"""What crosses this boundary: the first and last bytes of a zip file in, what kind of zip it is out.

    PK0304 name data | PK0304 name data | ... | PK0102 name | PK0102 name ... | PK0506
    '---- the head shows the first names      '---- the tail shows the last names and the end record

The names serve as a hint only. Which records there are, and whether the archive is sound, is for
`dotpt.container.zip` to say.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from dotpt.container.sniff.result import Sniffed, quote

TAIL = 65_536 + 22  # the longest comment, and the end record
_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_NONE, _SOME, _ALL = 0, 1, 2

# looks_like -> kind, label, hint, for what is not torch's
_OTHERS: dict[str, tuple[str, str, str | None]] = {
    "npz": ("npz", "a NumPy .npz archive", "open it with numpy.load"),
    "keras": ("keras", "a Keras model", "open it with keras.models.load_model"),
    "mar": ("mar", "a TorchServe model archive", "unzip it, and open the .pt file in it"),
    "stable-baselines3": ("stable-baselines3", "a Stable-Baselines3 model", "unzip it, and open policy.pth in it"),
    "docx": ("office", "a Word document", None),
    "xlsx": ("office", "an Excel table", None),
    "pptx": ("office", "a PowerPoint presentation", None),
    "odf": ("office", "an OpenDocument or EPUB file", None),
    "apk": ("apk", "an Android app", None),
    "jar": ("jar", "a Java archive", None),
    "wheel": ("wheel", "a Python package (wheel)", "install it with pip"),
}
_LABELS = {
    "torch": "a PyTorch file",
    "torchscript": "a TorchScript program",
    "pt2": "an exported PyTorch program (.pt2)",
    "torch.package": "a torch.package archive",
    "zip": "a zip archive",
}
# the first that fits wins: looks_like, and a pattern that one of the names must match whole
_SIGNS: tuple[tuple[str, str], ...] = (
    ("mar", r"mar-inf/manifest\.json"),
    ("docx", r"word/.*"),
    ("xlsx", r"xl/.*"),
    ("pptx", r"ppt/.*"),
    ("odf", r"mimetype"),
    ("apk", r"androidmanifest\.xml"),
    ("torch.package", r"(?:.*/)?\.data/(?:extern_modules|python_version)"),
    ("pt2", r"(?:[^/]*/)?(?:archive_format|serialized_exported_program\.json|serialized_state_dict\.(?:pt|json))"),
    ("torchscript", r"[^/]*/(?:constants\.pkl|code/.*|bytecode\.pkl|model\.json)"),
    ("torch", r"[^/]*/(?:data\.pkl|data/\d+|\.data/serialization_id|\.format_version|byteorder)"),
    ("keras", r"model\.weights\.h5"),
    ("stable-baselines3", r"policy\.pth|_stable_baselines3_version"),
    ("wheel", r"[^/]*\.dist-info/.*"),
    ("jar", r"meta-inf/manifest\.mf"),
)


def sniff_zip(head: bytes, tail: bytes, size: int) -> Sniffed:
    """What kind of zip file begins with ``head`` and ends with ``tail``."""
    details: dict[str, Any] = {"truncated": False}
    names, seen = _names_in_head(head), _SOME
    end = _end_record(tail)
    if end is None:
        details["truncated"] = True
    else:
        at, start, length, count = end
        tail_start = size - len(tail)
        gap = tail_start + at - (start + length)
        if gap > 0 and start + length > 0:
            details["directory_gap"] = gap  # a prefix, several archives one after another, or an end record that lies
        listed = _names_in_directory(tail, at - length)
        seen = _ALL if len(listed) == count and at >= length else _SOME
        names = listed if seen == _ALL else names + listed
    root = _root(names)
    looks_like = _looks_like(names) if names else "zip"
    details |= {"root": quote(root) if root else None, "looks_like": looks_like, "names_seen": len(names)}
    if looks_like in _OTHERS:
        kind, label, hint = _OTHERS[looks_like]
        return Sniffed(kind, label, details=details, hint=hint)
    if looks_like == "zip" and seen == _ALL:
        return _other_archive(names, details)
    hint = "the end of the file is missing: copy or download it again" if details["truncated"] else None
    return Sniffed("zip", _LABELS[looks_like], torch=True, details=details, hint=hint)


def _other_archive(names: list[str], details: dict[str, Any]) -> Sniffed:
    inside = [name for name in names if name.lower().endswith((".pt", ".pth", ".bin", ".ckpt", ".safetensors"))]
    details["models"] = [quote(name) for name in inside[:10]]
    if len(inside) == 1:
        hint = f"unzip it, and open {details['models'][0]}"
    elif inside:
        hint = f"unzip it, and open one of the {len(inside)} model files in it"
    else:
        hint = "unzip it, and look for the model file in it"
    return Sniffed("zip-archive", "a zip archive of other files", details=details, hint=hint)


def _looks_like(names: list[str]) -> str:
    # torch finds its records whatever their case; so must this
    folded = [name.casefold() for name in names]
    if all(name.endswith(".npy") for name in folded):
        return "npz"
    for looks_like, pattern in _SIGNS:
        match = re.compile(pattern).fullmatch
        if any(match(name) for name in folded):
            return looks_like
    return "zip"


def _root(names: list[str]) -> str | None:
    """The one folder that all names lie in."""
    roots = {name.partition("/")[0] if "/" in name else None for name in names}
    return roots.pop() if len(roots) == 1 else None


def _names_in_head(head: bytes) -> list[str]:
    names, at = [], 0
    while (at := head.find(b"PK\x03\x04", at)) >= 0 and at + 30 <= len(head):
        (length,) = struct.unpack_from("<H", head, at + 26)
        name = head[at + 30 : at + 30 + length]
        if len(name) == length > 0:
            names.append(name.decode("utf-8", "backslashreplace"))
        at += 4
    # a second header may belong to a zip inside of the first record: keep what shares the first one's folder
    return [name for name in names if name.partition("/")[0] == names[0].partition("/")[0]]


def _names_in_directory(tail: bytes, at: int) -> list[str]:
    """Names of the entries from ``at`` on; where the directory begins before the tail, from the first entry in it."""
    if at < 0 or tail[at : at + 4] != b"PK\x01\x02":
        at = tail.find(b"PK\x01\x02")
    names = []
    while at >= 0 and tail[at : at + 4] == b"PK\x01\x02" and at + 46 <= len(tail):
        name, extra, comment = struct.unpack_from("<3H", tail, at + 28)
        names.append(tail[at + 46 : at + 46 + name].decode("utf-8", "backslashreplace"))
        at += 46 + name + extra + comment
    return names


def _end_record(tail: bytes) -> tuple[int, int, int, int] | None:
    """Where the directory ends in the tail, and its start, length and count by the end record."""
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return None
    _, _, _, _, count, length, start, _ = _END.unpack_from(tail, at)
    wide = at - 20 - _END64.size  # the two zip64 records that torch always writes
    if wide >= 0 and tail[wide : wide + 4] == b"PK\x06\x06":
        *_, count, length, start = _END64.unpack_from(tail, wide)
        return wide, start, length, count
    return at, start, length, count
