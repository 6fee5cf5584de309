"""`dotpt.read_metadata` and `dotpt.set_metadata`: what the user noted in a file, without its tensors or its pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotpt.archive.opening import is_sharded
from dotpt.container.record import STORED
from dotpt.container.slot import padded
from dotpt.container.sniff import not_a_torch_file, sniff
from dotpt.container.zip import ZipContainer
from dotpt.container.zipwrite import ZipWriter
from dotpt.errors import ContainerError, DotptError, UnsupportedError, UsageError
from dotpt.formats.metadata import add_metadata, fits_slot, metadata_text, read_record
from dotpt.formats.pt_zip import refuse_other_kinds
from dotpt.formats.record_names import METADATA
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source import open_source
from dotpt.source.addresses import path_of_url, scheme_of
from dotpt.source.base import Source
from dotpt.source.failures import from_os_error
from dotpt.source.local import FileSource
from dotpt.source.overwrite import PAGE, overwrite
from dotpt.source.paths import open_path
from dotpt.source.sink import open_sink

_ZIP = b"PK\x03\x04"
_EMPTY = b"{}"
_ADDED = 3 * PAGE  # bytes that a rewritten file may have more than its old records, its directory and the text


def read_metadata(
    source: Any,
    *,
    limits: Limits = DEFAULT_LIMITS,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What was noted in a file by `dotpt.save` or `dotpt.set_metadata`, or a safetensors file's ``__metadata__``.

    No pickle is decoded and no tensor is read: of a remote file a few kilobytes are fetched.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, or a binary file object.
        limits: what the file may ask for.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Returns:
        The metadata by name; empty if there is none, as in every file of torch's own.

    Raises:
        NotATorchFile: the bytes are something else; the message says what.
        ContainerError: the file, or the record in it, is damaged.

    Example:
        >>> import dotpt
        >>> dotpt.read_metadata("tests/corpus/fixtures/zip/state_dict.pt")
        {}
    """
    if is_sharded(source):
        from dotpt.formats.sharded import index_metadata

        return index_metadata(Path(source), limits)
    opened = open_source(source, allow_download=allow_download, storage_options=storage_options, limits=limits)
    try:
        return _read(opened, limits)
    except DotptError as error:
        error.path = error.path or opened.name
        raise
    finally:
        if opened is not source:
            opened.close()


def _read(source: Source, limits: Limits) -> dict[str, Any]:
    if source.size >= len(_ZIP) and source.read(0, len(_ZIP)) == _ZIP:
        container = ZipContainer(source, limits)
        refuse_other_kinds(container)
        return read_record(container)
    sniffed = sniff(source)
    if sniffed.kind == "safetensors":
        from dotpt.container.safetensors import SafetensorsContainer

        return dict(SafetensorsContainer(source, limits).metadata)
    if not sniffed.torch:
        raise not_a_torch_file(sniffed, source)
    return {}


def set_metadata(path: str | os.PathLike[str], metadata: Mapping[str, Any], *, durable: bool = True) -> None:
    """Replace what is noted in a file. Its tensors are neither read nor moved.

    A file of 1 MiB and more that `dotpt.save` wrote has a page kept free for this: up to 4,064 bytes of metadata are
    changed in place, by one write of that page, whatever the size of the file. A kill at any instruction leaves the
    old metadata or the new. A power cut in the middle of that write may, on a disk that does not write a page in one
    step, leave neither: then the record's checksum does not match, reading it says so, and it can be set again; the
    tensors are not concerned. Other files, and larger metadata, are written anew beside the old file, which is then
    replaced in one step as by `dotpt.save`; file systems that can share blocks copy nothing. torch opens the file as
    before either way, and tensors keep their places.

    Args:
        path: a local file in the zip format, of torch or dotpt.
        metadata: JSON values by name; all of it is replaced, ``{}`` removes it. To change one value, read it first:
            ``set_metadata(path, read_metadata(path) | {"epoch": 4})``.
        durable: wait until the disk has it, so that it survives a power cut.

    Raises:
        UsageError: it is not made of JSON values (``key`` says where), or ``path`` is no path.
        UnsupportedError: the file is of a format that has no place for it.
        SourceError, WriteError: the file cannot be read or written; it is as it was.
        ContainerError: the file is damaged.

    Example:
        >>> import dotpt, shutil, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = shutil.copy("tests/corpus/fixtures/zip/state_dict.pt", folder)
        ...     dotpt.set_metadata(path, {"license": "mit", "epoch": 3})
        ...     dotpt.read_metadata(path)
        {'epoch': 3, 'license': 'mit'}
    """
    text = metadata_text(metadata)
    name, place = _local(path)
    try:
        with open_path(place, name) as source:
            _set(place, source, text, durable)
    except DotptError as error:
        error.path = error.path or name
        raise
    except OSError as error:
        raise from_os_error(error, name) from error


def _set(place: str, source: FileSource, text: bytes, durable: bool) -> None:
    if source.size < len(_ZIP) or source.read(0, len(_ZIP)) != _ZIP:
        raise _unsuitable(source)
    container = ZipContainer(source)
    refuse_other_kinds(container)
    if _stands(container, text):
        return
    index = container.positions.get(METADATA)
    slot = None if index is None or not fits_slot(text) else _slot(container, index)
    if slot is None:
        _rewrite(source, container, index, text, durable)
    else:
        offset, crc = slot
        page = padded(text, PAGE, crc)
        overwrite(place, source.name, offset, source.read(offset, PAGE), page, durable=durable)


def _local(path: Any) -> tuple[str, str]:
    """What the user calls the file, and where it is."""
    if not isinstance(path, (str, os.PathLike)):
        raise UsageError(
            f"Metadata is set in a local file, given by its path, not by an object of type {type(path).__name__}.",
            hint="dotpt.save(..., metadata=...) writes it to any destination",
        )
    name = os.fsdecode(path)
    scheme = scheme_of(name)
    if scheme not in ("", "file://"):
        raise UsageError(
            "Metadata is set in a local file, and this is an address.",
            path=name,
            hint="download it, set the metadata, and upload it",
        )
    return name, path_of_url(name) if scheme else name


def _unsuitable(source: FileSource) -> DotptError:
    sniffed = sniff(source)
    if not sniffed.torch:
        return not_a_torch_file(sniffed, source)
    hint = "save it as zip: dotpt.save(dotpt.load(path), path, metadata={...})"
    if sniffed.kind == "safetensors":
        hint = "safetensors.torch.save_file(..., metadata=...) writes texts; or save it as .pt with dotpt.save"
    return UnsupportedError(
        f"Only files of the zip format have a place for metadata, and this is {sniffed.label}.",
        path=source.name,
        found=sniffed.kind,
        hint=hint,
    )


def _stands(container: ZipContainer, text: bytes) -> bool:
    """Whether the file has this metadata already. A broken record has not."""
    if METADATA not in container:
        return text == _EMPTY
    try:
        return metadata_text(read_record(container)) == text
    except (ContainerError, UsageError):
        return False


def _slot(container: ZipContainer, index: int) -> tuple[int, int] | None:
    """Where the page for metadata is, and the checksum that the directory gives it; None if there is no such page."""
    record = container.checked_record(index)
    if record.method != STORED or record.size != PAGE or record.offset % PAGE:
        return None
    return record.offset, record.crc or 0


def _rewrite(source: FileSource, container: ZipContainer, index: int | None, text: bytes, durable: bool) -> None:
    """Write the file anew: everything before the metadata as it is, the metadata, the directory."""
    container.check_layout()
    headers, ends = container.spans
    end = container.directory_offset
    if index is not None:
        if ends[index] != end:
            raise UnsupportedError(
                "Another program has added records behind the metadata.",
                path=source.name,
                record=METADATA,
                hint="save it again: dotpt.save(dotpt.load(path), path, metadata={...})",
            )
        end = headers[index]
    with open_sink(source.name, durable=durable) as sink:
        if not source.shares_blocks:
            sink.reserve(source.size + len(text) + _ADDED)
        sink.copy_from(source, 0, end)
        writer = ZipWriter(sink, root=container.root, before=container.entries_without(index), position=end)
        add_metadata(writer, text)
        writer.close()
        source.unchanged()
        source.close()
        sink.commit()
