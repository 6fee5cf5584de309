"""`dotpt.verify`: every record's checksum, every tensor's hash, and all that is not as torch writes it.

One pass over the file, which keeps going: a damaged record, a header that lies or a missing tail is a line of the
outcome. Of a zip that cannot be opened by its directory, the records are found by their own headers. A file that
dotpt wrote has a hash for each tensor in its manifest: then the damaged tensors are known by name even if the pickle
is damaged too, and if the checksums were left out or made to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from dotpt.archive import collector
from dotpt.archive.archive import Archive
from dotpt.archive.opening import is_sharded, open_contents
from dotpt.archive.promises import Promises
from dotpt.archive.verification import DamagedRecord, RecordCheck, Verification, deviation_of
from dotpt.container.record import Container, Record
from dotpt.container.sniff import sniff
from dotpt.container.zip import ZipContainer
from dotpt.errors import (
    ChecksumMismatch,
    DeltaError,
    DotptError,
    LimitExceeded,
    NotATorchFile,
    SourceError,
    UnsupportedError,
    UsageError,
)
from dotpt.formats.architecture import read_architecture
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.delta import Joined, read_base_record
from dotpt.formats.draft import Link
from dotpt.formats.manifest import Manifest, ranges_in, read_manifest
from dotpt.formats.metadata import read_record
from dotpt.formats.partial import read_partial
from dotpt.formats.record_names import BASE
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source import open_source
from dotpt.source.base import Source
from dotpt.tensors.checking import DAMAGED, NO_CHECKSUM, OK, UNREADABLE, check_records
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.signing.check import Checked

Progress = Callable[[int, int], None]
_RAISED = (NotATorchFile, SourceError, UnsupportedError, LimitExceeded)


def verify(
    source: Any,
    *,
    key: Any = None,
    signature: Any = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Verification:
    """Compare every record with its checksum and every tensor with its hash, and check every rule of the format.

    The file is read once, in pieces; nothing of it is kept. What is wrong is listed, all of it, and not raised.
    Files that `dotpt.save` wrote have the hashes, and damage is told by tensor; torch's have checksums by record.

    With a ``key``, the signature is compared first, with every byte of the file or folder (see `dotpt.sign`). What does
    not fit is a deviation, and then nothing else is read. Of what fits, every byte that is read afterwards is one that
    was compared, even if the file is replaced meanwhile.

    Args:
        source: a path, ``http(s)://`` or fsspec address, a folder of shards, bytes, or a binary file object.
        key: the PEM file of the public key (a path or its bytes) of whoever should have signed the file.
        signature: where the signature is; by default ``FILE.sig``, or ``model.sig`` in a folder.
        limits: what the file may ask for.
        progress: called with (bytes done, bytes in all) while records are read.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Raises:
        NotATorchFile: the bytes are something else; the message says what.
        SourceError: the bytes could not be reached.
        UnsupportedError, LimitExceeded: dotpt does not read the file, or not within these limits.
        UsageError, MissingDependency: the key is of another kind, or cryptography is not installed (extra ``[sign]``).

    Example:
        >>> import dotpt
        >>> result = dotpt.verify("tests/corpus/fixtures/zip/state_dict.pt")
        >>> result.ok, len(result.records), result.unverified
        (True, 15, [])
    """
    begun = perf_counter()
    # Latin-1 takes any byte: whether Python 2's texts are read well is no question of damage.
    options = ReadOptions(limits=limits, encoding="latin1")
    reading: dict[str, Any] = {"allow_download": allow_download, "storage_options": storage_options}
    if key is not None:
        from dotpt.signing.check import check_signature

        checked = check_signature(source, key, signature, limits, progress, **reading)
        result = _verify_signed(source, checked, options, progress)
    elif signature is not None:
        raise UsageError("A signature says nothing without the key of who signed.", hint="pass key=..., too")
    elif is_sharded(source):
        result = _verify_folder(Path(source), options, progress)
    else:
        opened = open_source(source, limits=limits, **reading)
        try:
            result = _Verifier(opened, options, progress).run()
        finally:
            if opened is not source:
                opened.close()
    result.seconds = perf_counter() - begun
    return result


def _verify_signed(source: Any, checked: Checked, options: ReadOptions, progress: Progress | None) -> Verification:
    """What the signature says and, if it is good, what the bytes say that it is for."""
    result = Verification(checked.name, "unknown")
    try:
        if not checked.errors:
            if is_sharded(source):
                result = _verify_folder(Path(source), replace(options, opener=checked.open), progress)
            else:
                with checked.source(options.limits) as opened:
                    result = _Verifier(opened, options, progress, signed=True).run()
    except (NotATorchFile, UnsupportedError) as error:
        result.notes.append(f"Only the signature was compared: {error.problem}")
    finally:
        checked.close()
    result.signature = checked.facts
    result.deviations = [*map(deviation_of, checked.errors), *result.deviations]
    result.notes = [*checked.notes, *result.notes]
    return result


def _verify_folder(folder: Path, options: ReadOptions, progress: Progress | None) -> Verification:
    """The shards together, against the index; then every shard by itself."""
    from dotpt.formats.sharded import shard_files

    result = Verification(str(folder), "sharded")
    try:
        with Archive(open_contents(folder, options), options) as archive:
            result.tensors = len(archive.tensors)
    except _RAISED:
        raise
    except DotptError as error:
        result.deviations.append(deviation_of(error))
    try:
        files = shard_files(folder, options)
    except DotptError:  # opening has reported it
        return result
    for file in files:
        if not file.exists():
            continue
        opener = options.opener
        opened = open_source(file, limits=options.limits) if opener is None else opener(file, options.limits)
        with opened as source:
            part = _Verifier(source, options, progress, signed=opener is not None).run()
        result.records += [RecordCheck(f"{file.name}/{r.name}", r.size, r.status) for r in part.records]
        result.damaged += [DamagedRecord(f"{file.name}/{r.name}", r.size, r.tensors) for r in part.damaged]
        result.deviations += [deviation for deviation in part.deviations if deviation not in result.deviations]
        result.notes += [f"{file.name}: {note}" for note in part.notes]
        result.writer = result.writer or part.writer
        result.hashed += part.hashed
        result.bytes += part.bytes
    return result


class _Verifier:
    """One file."""

    def __init__(
        self, source: Source, options: ReadOptions, progress: Progress | None, *, signed: bool = False
    ) -> None:
        self._source = source
        self._signed = signed
        self._options = options
        self._progress = progress
        self._result = Verification(source.name, "unknown")

    def run(self) -> Verification:
        """The outcome."""
        with collector.paused():
            archive = self._decode()
            if archive is not None:
                self._result.tensors = len(archive.tensors)
            container = self._container(archive)
            if container is not None:
                self._check(container, self._records(container), archive)
            if archive is not None:
                if not isinstance(archive.contents.container, ZipContainer):
                    self._add_missing(archive)
                _untie(archive)
                if archive.contents.joined is not None:
                    archive.contents.joined.container.close()
        return self._result

    # -- structure ----------------------------------------------------------------------------------------------------

    def _decode(self) -> Archive | None:
        """The file, decoded: every pickle, every bound; or what is left of it."""
        result = self._result
        for verify_pickles in (True, False):  # a damaged pickle is read as it is, to name its tensors
            try:
                contents = open_contents(self._source, replace(self._options, verify=verify_pickles))
            except _RAISED:
                raise
            except DotptError as error:
                if not isinstance(error, ChecksumMismatch):  # the damaged record is found again, with all others
                    self._deviates(error)
                elif verify_pickles:
                    continue
                result.format = sniff(self._source).kind
                partial = read_partial(self._source, result.format, error, self._options)
                return None if partial is None or partial.contents is None else self._view(partial.contents)
            result.format = contents.format
            return self._view(contents)
        result.format = sniff(self._source).kind
        return None

    def _view(self, contents: Contents) -> Archive:
        return Archive(contents, self._options)

    def _container(self, archive: Archive | None) -> Container | None:
        """Where the records are: as the directory says, or as far as they can be found in a broken file."""
        if self._result.format in ("zip", "torchscript"):
            try:
                # that a record is compressed is a deviation (opening has reported it); it can be checked all the same
                return ZipContainer(self._source, replace(self._options.limits, deflated=True))
            except _RAISED:
                raise
            except DotptError as error:
                self._deviates(error)
        return None if archive is None else archive.contents.container

    def _records(self, container: Container) -> list[Record]:
        """All records of the file. One whose header is wrong is noted here and has no place."""
        if not isinstance(container, ZipContainer):
            return [container.record(name) for name in container.names]
        with suppress(DotptError):
            container.check_layout()  # many at once; what is wrong is found again, one by one
        records = []
        for name, index in container.positions.items():
            try:
                records.append(container.checked_record(index))
            except SourceError:
                raise
            except DotptError as error:
                self._deviates(error)
                records.append(Record(name, -1, container.sizes[index], 0))
        return records

    def _deviates(self, error: DotptError) -> None:
        deviation = deviation_of(error)
        if deviation not in self._result.deviations:
            self._result.deviations.append(deviation)

    # -- the outcome --------------------------------------------------------------------------------------------------

    def _check(self, container: Container, records: list[Record], archive: Archive | None) -> None:
        placed = [r for r in records if r.offset >= 0 and r.offset + r.stored <= self._source.size]
        manifest = self._added(container)
        links = self._links(container)
        promises = Promises(manifest, placed, [*(r.name for r in records), *links]) if manifest is not None else None
        hashed = promises.hashed if promises is not None else None
        checked = check_records(container, placed, hashed=hashed, progress=self._progress)
        statuses = dict(zip(map(id, placed), checked.statuses, strict=True))
        if promises is not None:
            promises.compare(checked)
            statuses = {id(r): _status(checked.statuses[n], r, n, promises) for n, r in enumerate(placed)}
        result = self._result
        result.bytes = checked.bytes
        result.records = [RecordCheck(r.name, r.size, statuses.get(id(r), UNREADABLE)) for r in records]
        if promises is not None:
            self._take_promises(promises, archive)
        bad = [record for record in result.records if record.status in (DAMAGED, UNREADABLE)]
        if bad:
            living = self._living(archive)
            for r in bad:
                names = living.get(r.name, []) if promises is None else promises.damaged_in(r.name)
                result.damaged.append(DamagedRecord(r.name, r.size, tuple(names)))
        if archive is not None and archive.contents.joined is not None:
            self._check_base(archive.contents.joined, manifest)

    def _links(self, container: Container) -> Mapping[str, Link]:
        """What lies in another file, by the names that the records would have in this one."""
        with suppress(DotptError):  # opening has reported it
            needed = read_base_record(container)
            return needed.links if needed is not None else {}
        return {}

    def _check_base(self, joined: Joined, manifest: Manifest | None) -> None:
        """What a delta takes of its base: checksums, and the hashes that the delta has noted."""
        if self._signed:
            note = "It holds tensors of this one, and only the hashes noted here were compared."
            self._result.notes.append(f"The signature was not compared with {joined.file}. {note}")
        base, names = joined.container, list(joined.links)
        records = [base.record(joined.links[name].record) for name in names]
        hashed = {number: [(0, record.size)] for number, record in enumerate(records)}
        checked = check_records(base, records, hashed=hashed, progress=self._progress)
        tensors: dict[str, list[str]] = {}
        for address, listed in (manifest.tensors if manifest is not None else {}).items():
            tensors.setdefault(listed.record, []).append(address)
            if listed.record in joined.links and listed.hash != joined.links[listed.record].hash:
                problem = f"The two records of this file give {address[:100]} different hashes."
                self._deviates(DeltaError(problem, record=BASE))
        result = self._result
        result.bytes += checked.bytes
        for number, (name, record) in enumerate(zip(names, records, strict=True)):
            found = checked.hashes.get(number, {}).get((0, record.size))
            right = found == joined.links[name].hash
            status = UNREADABLE if found is None else OK if right else DAMAGED
            where = f"{joined.file}/{record.name}"
            result.records.append(RecordCheck(where, record.size, status))
            result.hashed += len(tensors.get(name, ())) * right
            if status != OK:
                result.damaged.append(DamagedRecord(where, record.size, tuple(tensors.get(name, ()))))

    def _added(self, container: Container) -> Manifest | None:
        """The manifest, if it can be read. What dotpt has added to the file is checked here."""
        for read in (read_record, read_architecture, read_manifest):
            try:
                found = read(container)
            except (SourceError, LimitExceeded):
                raise
            except UnsupportedError as error:
                what = "The tensors' hashes were not compared" if read is read_manifest else "Not all was read"
                self._result.notes.append(f"{what}: {error.problem}")
            except DotptError as error:
                if not isinstance(error, ChecksumMismatch):  # a damaged record is found with all others
                    self._deviates(error)
            else:
                if isinstance(found, Manifest):
                    return found
        return None

    def _take_promises(self, promises: Promises, archive: Archive | None) -> None:
        """Compare them with the pickle, as far as there is one."""
        result = self._result
        result.writer, result.hashed = promises.manifest.writer, promises.compared
        if archive is not None:
            joined = archive.contents.joined
            base = joined.container if joined is not None else None
            tensors = ranges_in(archive.tree, self._options.limits, archive.contents.container, base)
            promises.compare_pickle(tensors, all(r.status == OK for r in result.records if r.name == "data.pkl"))
        result.deviations += promises.deviations

    def _add_missing(self, archive: Archive) -> None:
        """Records that the pickle needs and that a broken file has no more."""
        known = {record.name for record in self._result.records}
        for name, addresses in self._living(archive).items():
            if name not in known:
                size = self._sizes.get(name, 0)
                self._result.records.append(RecordCheck(name, size, UNREADABLE))
                self._result.damaged.append(DamagedRecord(name, size, tuple(addresses)))

    def _living(self, archive: Archive | None) -> dict[str, list[str]]:
        """Addresses of the tensors that live in each record."""
        living: dict[str, list[str]] = {}
        self._sizes: dict[str, int] = {}
        if archive is None:
            return living
        container = archive.contents.container
        names: dict[int, str] = {}
        if isinstance(container, ZipContainer):
            names = {index: name for name, index in container.positions.items()}
        for address, ref in archive.tensors.items():
            for part in ref.strided_parts():
                storage = part.storage
                if storage is None or storage.container is not container:
                    continue
                base = storage.view_of[0] if storage.view_of else storage
                name = names.get(base.index) if base.index >= 0 else getattr(base.place, "name", None)
                if name is not None:
                    self._sizes[name] = base.nbytes
                    addresses = living.setdefault(name, [])
                    if address not in addresses[-1:]:
                        addresses.append(address)
        return living


def _untie(archive: Archive) -> None:
    """Part the tensors from the view that they belong to, so that both are freed at once, without the collector."""
    for ref in archive.tensors.values():
        ref.archive = None
        for part in (ref.parts or {}).values():
            if isinstance(part, TensorRef):
                part.archive = None


def _status(status: str, record: Record, number: int, promises: Promises) -> str:
    """What became of a record, by its checksum and by the hashes of its tensors."""
    if status != UNREADABLE and record.name in promises.wrong:
        return DAMAGED
    return OK if status == NO_CHECKSUM and promises.is_sound(number) else status
