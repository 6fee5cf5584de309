"""What could have written a file. dotpt says so in it; torch does not, but its records and names narrow it down.

Sources: the format's history (records by version, section 1.3; rebuild functions and dtypes, section 2), checked
against the files that torch 2.13 and the writers before it leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from dotpt.container.zip import ZipContainer
from dotpt.formats.contents import Contents
from dotpt.formats.manifest import Manifest
from dotpt.inspect.claims import Claim, confirmed, inferred, unknown
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

Version = tuple[int, int]

# The first torch that writes a name (section 2 of the format reference).
_SINCE: tuple[tuple[str, Version], ...] = (
    ("torch.float4_e2m1fn_x2", (2, 8)),
    ("torch.float8_e8m0fnu", (2, 7)),
    ("torch._utils._rebuild_device_tensor_from_cpu_tensor", (2, 6)),
    ("torch.nested._internal.nested_tensor._rebuild_njt", (2, 5)),
    ("torch._utils._rebuild_nested_tensor", (2, 3)),
    ("torch._utils._rebuild_tensor_v3", (2, 3)),
    ("torch._utils._rebuild_parameter_with_state", (2, 0)),
    ("torch.storage.UntypedStorage", (2, 0)),
    ("torch._tensor._rebuild_from_type_v2", (1, 10)),
    ("torch._utils._rebuild_qtensor", (1, 3)),
    ("torch.BFloat16Storage", (1, 2)),
    ("torch.BoolStorage", (1, 1)),
    ("torch._utils._rebuild_tensor_v2", (0, 4)),
)
_OLD_NAMES = ("torch._utils._rebuild_tensor", "torch.FloatTensor", "torch.cuda.FloatTensor")
# torch leaves these at 0; Python's zipfile and other tools do not
_MADE_BY, _DATE_AND_TIME = slice(4, 6), slice(12, 16)
_PYTHON_2_TEXTS = (b"U\x10protocol_version", b"U\x07storage")  # SHORT_BINSTRING, which Python 3 never writes
_HEAD = 4096


def writer_of(archive: Archive) -> Claim:
    """Which versions of torch (or what else) could have written the file."""
    contents = archive.contents
    if contents.format == "sharded" and contents.shards:
        contents = contents.shards[0]
    refs = list(archive.tensors.values())
    if contents.format == "zip":
        return _zip(contents, _manifest(archive, contents))
    if contents.format == "torchscript":
        return _script(contents)
    if contents.format == "legacy":
        return _legacy(contents, refs)
    if contents.format == "tar":
        return inferred("torch 0.1.9 or older", "torch wrote tar files before 0.1.10")
    if contents.format == "safetensors":
        if contents.metadata.get("format") == "pt":
            return inferred("safetensors, for PyTorch", "its metadata says format: pt")
        return unknown("a safetensors file does not say who wrote it")
    if contents.format == "pickle":
        return inferred("Python's pickle, not torch.save", "it is a bare pickle")
    return unknown("the format does not tell")


def byteorder_of(archive: Archive) -> Claim:
    """The byte order of its tensors."""
    facts = archive.contents.facts
    order = str(facts.get("byteorder", "little"))
    if facts.get("byteorder_recorded"):
        return Claim(order, "CONFIRMED", "it has the record byteorder")
    if archive.format in ("zip", "torchscript"):
        return Claim(order, "INFERRED", "no record says it; torch before 2.1 wrote its machine's, almost always little")
    return Claim(order, "CONFIRMED", f"the {archive.format} format fixes it")


# -- zip ----------------------------------------------------------------------------------------------------------


def _manifest(archive: Archive, contents: Contents) -> Manifest | None:
    """The manifest of the file, or of one shard."""
    from dotpt.archive.archive import Archive

    if contents is archive.contents:
        return archive.manifest
    return Archive(contents, archive.options).manifest


def _zip(contents: Contents, manifest: Manifest | None) -> Claim:
    container, facts = contents.container, contents.facts
    since, why = _since(contents)
    other = _other_tool(container)
    if other is not None:
        return inferred("a zip tool other than torch's", other)
    if manifest is not None:
        when = f", and when: {manifest.written}" if manifest.written else ""
        return confirmed(manifest.writer, f"its manifest says so{when}")
    if "format_version" in facts or "storage_alignment" in facts:
        named = ".format_version" if "format_version" in facts else ".storage_alignment"
        if since > (2, 7):
            return inferred(f"torch {_text(since)} or newer", f"it names {why}")
        return inferred("torch 2.7 or newer", f"it has the record {named}")
    if facts.get("byteorder_recorded") or "data/serialization_id" in facts:
        named = "byteorder" if facts.get("byteorder_recorded") else ".data/serialization_id"
        start, because = "2.1", f"it has the record {named}, and not .format_version"
        if (2, 1) < since < (2, 7):
            start, because = _text(since), f"{because}; it names {why}"
        return inferred(f"torch {start} to 2.6", because)
    if str(facts.get("version")) in ("1", "2"):
        early = {"1": "torch 1.4", "2": "torch 1.5"}[str(facts["version"])]
        return inferred(early, f"it is of zip version {facts['version']}")
    if _version_is_first(contents):
        return inferred("torch 1.4 or 1.5", f"it has version {facts.get('version')}, written before the tensors")
    start = _text(since) if (1, 6) < since <= (2, 0) else "1.6"
    because = f"it has version {facts.get('version', '(missing)')} and no record byteorder"
    if start != "1.6":
        because += f"; it names {why}"
    return inferred(f"torch {start} to 2.0", because)


def _script(contents: Contents) -> Claim:
    facts = contents.facts
    version = facts.get("data/version", facts.get("version"))
    if facts.get("byteorder_recorded"):
        return inferred("torch 2.1 or newer (torch.jit.save)", "it has the record byteorder")
    first = "1.3" if version == "1" else "1.4"
    return inferred(f"torch {first} to 2.0 (torch.jit.save)", f"it has version {version} and no record byteorder")


def _other_tool(container: object) -> str | None:
    """What in the directory shows that torch did not write it, if anything does."""
    if not isinstance(container, ZipContainer):
        return None
    for index, name in enumerate(container.names[:64]):
        entry = container.entry(index)
        if any(entry[_DATE_AND_TIME]):
            return f"its record {name} has a date, and torch writes none"
        if any(entry[_MADE_BY]):
            return f"its record {name} names a zip version, and torch names none"
    return None


def _version_is_first(contents: Contents) -> bool:
    names = contents.container.names
    return bool(names) and names[0] == "version"


def _since(contents: Contents) -> tuple[Version, str]:
    """The first torch that writes all that the file names, and the name that tells."""
    named = {str(name) for name in contents.globals}
    for name, version in _SINCE:
        if name in named:
            return version, name
    return (0, 1), ""


# -- legacy ---------------------------------------------------------------------------------------------------------


def _legacy(contents: Contents, refs: Iterable[TensorRef]) -> Claim:
    named = {str(name) for name in contents.globals}
    python_2 = _python_2(contents)
    suffix, because_2 = (", on Python 2", "; its texts are Python 2's") if python_2 else ("", "")
    if any(storage.view_of for storage in contents.storages.values()):
        return inferred(f"torch 0.1.10 to 0.3{suffix}", f"it has storages that are windows of others{because_2}")
    if "torch._utils._rebuild_tensor" in named and "torch._utils._rebuild_tensor_v2" not in named:
        return inferred(f"torch 0.1.10 to 0.3{suffix}", f"it names torch._utils._rebuild_tensor{because_2}")
    since, why = _since(contents)
    if since == (0, 1) and not named.isdisjoint(_OLD_NAMES):
        return inferred(f"torch 0.1.10 to 0.3{suffix}", f"it builds tensors as torch did before 0.4{because_2}")
    if since >= (1, 6):
        return inferred(f"torch {_text(since)} or newer, asked for the old format", f"it names {why}")
    start = _text(since) if since > (0, 1) else "0.1.10"
    if python_2:  # torch 1.4 was the last for Python 2
        return inferred(f"torch {start} to 1.4{suffix}", f"it is of the legacy format{because_2}")
    because = f"the legacy format does not tell{f'; it names {why}' if why else ''}"
    return inferred(f"torch {start} to 1.5, or a newer one asked for the old format", because)


def _python_2(contents: Contents) -> bool:
    source, start = contents.container.source, int(contents.facts.get("start", 0))
    head = source.read(start, min(_HEAD, source.size - start))
    return any(text in head for text in _PYTHON_2_TEXTS)


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
