"""`dotpt.save`: an object into a file that torch opens, without ever harming the file that was there."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from time import gmtime, strftime
from typing import Any

from dotpt.archive import collector, torch_settings
from dotpt.errors import NotWritable, UsageError
from dotpt.formats import pt_legacy_writer, pt_zip_writer
from dotpt.saving.draft import draft_of
from dotpt.saving.read_back import ReadBack
from dotpt.source.sink import open_sink

Progress = Callable[[int, int], None]
FORMATS = ("zip", "legacy")
_QUICKLY = 1 << 30  # bytes that are written in about a second


def save(
    obj: Any,
    dest: Any,
    pickle_module: Any = None,
    pickle_protocol: int | None = None,
    _use_new_zipfile_serialization: bool = True,
    _disable_byteorder_record: bool = False,
    *,
    _records: Mapping[str, bytes] | None = None,
    metadata: Mapping[str, Any] | None = None,
    timestamp: bool = False,
    format: str = "zip",
    durable: bool = True,
    verify: bool = False,
    compact: bool = True,
    recycle: bool = False,
    arrays: str = "auto",
    alignment: int | None = None,
    protocol: int = 2,
    progress: Progress | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> None:
    """Save an object: a state dict, a checkpoint, tensors, a module, anything that can be pickled.

    The file is a plain ``.pt``: ``torch.load(dest, weights_only=True)`` opens it if its types allow that. It is
    written beside the old one and takes its place only when it is complete, so that a full disk, an error or a kill
    leaves the old one as it was. The same object gives the same bytes, whatever the name of the file.

    Args:
        obj: what to save; tensors of torch, or numpy's arrays where there is no torch.
        dest: a path, a binary file object (also one that cannot seek), or an fsspec address.
        pickle_module: another module's pickler is to write the object (dill, cloudpickle); as torch.save's.
        pickle_protocol: as torch.save's; the same as ``protocol``.
        _use_new_zipfile_serialization: False is ``format="legacy"``, as torch.save says it.
        _disable_byteorder_record: has no effect, as in torch 2.13: the record is always there.
        _records: what other verbs of dotpt lay beside the object (`dotpt.save_model`), by name of the record.
        metadata: what to note in the file: JSON values by name, read by `dotpt.read_metadata`.
        timestamp: note the time, too. Then the same object no longer gives the same bytes.
        format: ``"zip"``, or ``"legacy"`` for torch before 1.6.
        durable: wait until the disk has it, so that it survives a power cut.
        verify: read it back from the disk before it takes the old one's place.
        compact: of a large storage, write only what the views that are saved use together.
        recycle: keep the file that is replaced as a spare, and write the next one over its blocks: several times as
            fast, for twice the room. Linux only; elsewhere nothing is kept.
        arrays: what numpy's arrays become: ``"tensors"``; ``"numpy"``, as they are; ``"auto"``: tensors, unless the
            object also holds something of torch's or a class of one's own.
        alignment: each record begins at a multiple of this many bytes (default 64, or as torch is set).
        protocol: of pickle, 2 to 5. torch's weights-only loading reads 2.
        progress: called with (bytes written, bytes in all).
        storage_options: what the fsspec file system of an address takes.

    Raises:
        CannotPickle: something in the object cannot be saved; ``key`` is its address.
        WriteError: the file cannot be written; the message says why and how much room it needs.
        ChecksumMismatch: with ``verify``, the disk does not hold what was written.

    Example:
        >>> import dotpt, numpy as np
        >>> dotpt.save({"weight": np.ones((2, 3), np.float32)}, "weights.pt", metadata={"epoch": 3})
        >>> dotpt.read_metadata("weights.pt")
        {'epoch': 3}
    """
    if format not in FORMATS:
        raise UsageError(f"There is no format {format!r}.", hint='use "zip" or "legacy"')
    legacy = format == "legacy" or not _use_new_zipfile_serialization
    settings = torch_settings.for_saving()
    _check(dest, legacy, metadata or timestamp, settings)
    if pickle_module is not None and getattr(pickle_module, "__name__", "") in ("pickle", "_pickle"):
        pickle_module = None
    protocol = protocol if pickle_protocol is None else pickle_protocol
    with collector.paused():
        draft = draft_of(
            obj, protocol=protocol, compacting=compact, legacy=legacy, arrays=arrays, pickle_module=pickle_module
        )
    # While a large file is written, other threads go on and leave garbage.
    with (
        collector.paused() if draft.nbytes < _QUICKLY else nullcontext(),
        open_sink(dest, durable=durable, recycle=recycle, storage_options=storage_options) as sink,
    ):
        out = ReadBack(sink) if verify else sink
        if legacy:
            pt_legacy_writer.write(draft, out, protocol, progress)
        else:
            pt_zip_writer.write(
                draft,
                out,
                metadata=metadata,
                alignment=alignment or settings.alignment,
                checksums=settings.checksums,
                holes=settings.skip_data,
                written=strftime("%Y-%m-%dT%H:%M:%SZ", gmtime()) if timestamp else None,
                records=_records,
                progress=progress,
            )
        if isinstance(out, ReadBack):
            out.compare()
        sink.commit()


def _check(dest: Any, legacy: bool, notes: Any, settings: torch_settings.Saving) -> None:
    """Refuse what cannot be done before anything is encoded."""
    if not isinstance(dest, (str, os.PathLike)) and not hasattr(dest, "write"):
        raise NotWritable(
            "Expected a path, an address, or a file object with a 'write' method.",
            found=type(dest).__name__,
            hint="the object comes first, then the destination: dotpt.save(model.state_dict(), 'weights.pt')",
        )
    if legacy and notes:
        raise UsageError("The legacy format has no place for metadata.", hint='leave format="legacy" out')
    if legacy and settings.skip_data:
        raise SkipDataNeedsZip("Cannot use skip_data with the legacy format.", hint="leave it out, or save as zip")


class SkipDataNeedsZip(UsageError, RuntimeError):
    """`torch.serialization.skip_data` with a format that has no holes."""
