"""`dotpt.clean`: the same tensors and plain values in a file in which nothing can run.

What crosses this boundary: whatever the user calls a file in; a plain ``.pt`` and a `CleanReport` out. Invariant: a
destination holds what it held before, until the new file has been read back, compared with the original bit for bit,
and scanned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from dotpt.archive import collector
from dotpt.archive.archive import Archive
from dotpt.archive.opening import open_contents
from dotpt.clean.check import compare
from dotpt.clean.objects import Cleaner, NothingLeft, is_harmful
from dotpt.clean.output import destination, open_checked
from dotpt.clean.report import ChangeLog, CleanReport
from dotpt.clean.walk import DROPPED
from dotpt.container.zip import ZipContainer
from dotpt.errors import DotptError, UsageError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.metadata import metadata_text
from dotpt.inspect.plain import plain
from dotpt.limits import DEFAULT_LIMITS, TRUSTED_LIMITS, Limits
from dotpt.pickling.journal import SHORTEST_HIDDEN, Journal
from dotpt.pickling.name_kinds import meaning_of
from dotpt.pickling.tree import children, is_container
from dotpt.pickling.values import InertObject
from dotpt.saving.save import save
from dotpt.scan.findings import Findings
from dotpt.scan.hidden import search_texts
from dotpt.scan.policy import Policy
from dotpt.scan.pseudo import Code
from dotpt.scan.session import Session
from dotpt.source.base import Source
from dotpt.source.failures import from_os_error
from dotpt.source.local import FileSource
from dotpt.source.sink import Sink
from dotpt.tensors.refs import TensorRef

Progress = Callable[[int, int], None]
NOTED = "cleaned"  # the key of the metadata under which it is said what modules were
_OWN = ("version", "byteorder", ".format_version", ".storage_alignment", ".data/version", ".data/serialization_id")
_FOLDERS = ("data/", "tensors/", "code/", "constants/", "extra/")
_PICKLES = ("data.pkl", "constants.pkl", "bytecode.pkl")
_REWRITTEN = frozenset((*_OWN, *_PICKLES, ".dotpt/manifest.json", ".dotpt/metadata.json", ".dotpt/base.json"))


def clean(
    source: Any,
    out: Any = None,
    *,
    in_place: bool = False,
    overwrite: bool = False,
    encoding: str = "utf-8",
    limits: Limits = DEFAULT_LIMITS,
    durable: bool = True,
    progress: Progress | None = None,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> CleanReport:
    """Write the same tensors and plain values to a file in which nothing can run.

    The result is a plain ``.pt`` that ``torch.load(out, weights_only=True)`` opens without any class of anybody else's.
    Modules become their state dicts, other objects dictionaries of what they hold, numpy's arrays tensors, paths and
    dates texts; calls that could do harm are left out. Each of these is in the report. Before the new file takes its
    place, it is read back: every tensor is compared with the original's, bit for bit, and the file is scanned.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, or a binary file object.
        out: a path, or a binary file object that can be read, too.
        in_place: replace the source by the cleaned file, in one step.
        overwrite: replace ``out`` if it is there.
        encoding: of strings that Python 2 wrote: a codec name, or ``"bytes"``.
        limits: what the file may ask for.
        durable: wait until the disk has it, so that it survives a power cut.
        progress: called with (bytes written, bytes in all).
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Raises:
        UsageError: ``out`` is the source itself, or is there already, or cannot be read back.
        NothingLeft: nothing of the file is left when what can run is taken out.
        NotTheSame: what was written is not what it should be; the destination is as it was.
        NotClean: what is left would not scan clean (it is a bomb, for example); the destination is as it was.
        WriteError: the file cannot be written; the message says why.
        DotptError: the source is damaged or no file of torch's; each subclass says how.

    Example:
        >>> import dotpt, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report = dotpt.clean("tests/corpus/fixtures/zip/module.pt", f"{folder}/clean.pt")
        ...     dotpt.scan(f"{folder}/clean.pt").verdict
        'clean'
        >>> print(report.changes[0])
        a module, torch.nn.modules.container.Sequential became its state dict
    """
    dest = destination(source, out, in_place=in_place, overwrite=overwrite)
    options = ReadOptions(limits=limits, encoding=encoding, journal=Journal())
    with suppress(MemoryError):  # the error is made below, when what took the memory has been let go
        return _clean(source, dest, options, durable, progress, allow_download, storage_options)
    raise DotptError("There is not enough memory to clean the file.", hint="a machine with more memory")


def _clean(
    source: Any,
    dest: Any,
    options: ReadOptions,
    durable: bool,
    progress: Progress | None,
    allow_download: bool,
    storage_options: Mapping[str, Any] | None,
) -> CleanReport:
    with collector.paused():
        contents = open_contents(source, options, allow_download=allow_download, storage_options=storage_options)
    archive, owned = Archive(contents, options), contents.container.source is not source
    try:
        job = _Cleaning(archive, owned=owned)
        with open_checked(dest, job.check, durable=durable) as sink:
            save(job.tree, sink, metadata=job.metadata, durable=durable, progress=progress)
        return job.report
    finally:
        if owned:
            archive.close()


class _Cleaning:
    """One file being cleaned.

    Attributes:
        tree: what is to be written.
        metadata: what is noted beside it.
        report: what was done.
    """

    def __init__(self, archive: Archive, *, owned: bool) -> None:
        self._archive, self._owned = archive, owned
        self._log = ChangeLog()
        contents = archive.contents
        limits = archive.options.limits
        self._policy = Policy(limits=limits)
        cleaner = Cleaner(contents.container, limits, self._log, self._hides)
        tree = archive.tree
        with collector.paused():
            self.tree = cleaner.of(tree)
        self._drop_calls(tree, cleaner.met)
        self._drop_rest(contents)
        if self.tree is DROPPED:
            raise NothingLeft(
                f"Nothing of the file is left without what can run: {self._log.entries[0]}."
                if self._log.entries
                else "Nothing of the file is left without what can run.",
                path=archive.name,
                hint="dotpt scan says what it would do; do not load it",
            )
        self._drop_tensors()
        self.metadata = self._metadata(cleaner.modules)
        self.report = CleanReport(archive.name, "", contents.format, values=cleaner.values, notes=cleaner.notes)

    def check(self, sink: Sink) -> None:
        """Prove that what was written is what it should be.

        Raises:
            NotTheSame, NotClean: it is not.
        """
        report, log = self.report, self._log
        with sink.reopen() as source:
            options = ReadOptions(limits=TRUSTED_LIMITS)
            written = Archive(open_contents(source, options), options)
            report.bytes, report.tensors = compare(self.tree, written), len(written.tensors)
        with sink.reopen() as source:
            _scan(source)
        original = self._archive.contents.container.source
        if isinstance(original, FileSource):
            try:
                original.unchanged()
            except OSError as error:
                raise from_os_error(error, original.name) from error
        if self._owned:
            self._archive.close()  # Windows replaces no open file
        report.output = sink.name
        report.changed, report.dropped, report.changes = log.changed, log.dropped, log.entries

    def _hides(self, text: str | bytes) -> bool:
        """Whether a text is a pickle that a scan would report."""
        if len(text) < SHORTEST_HIDDEN:
            return False
        journal, session = Journal(), Session(Findings(""), self._policy)
        journal.text("", 0, text)
        search_texts(session, journal)
        return not session.findings.clean

    # -- what is no part of the tree that was cleaned -----------------------------------------------------------------

    def _drop_calls(self, tree: Any, met: set[int]) -> None:
        """Calls whose results the file throws away, and those that could do harm where nothing was taken from."""
        journal = self._archive.options.journal
        if journal is None or not journal.calls:
            return
        held, setters = _records_in(tree)
        for entry in journal.calls.values():
            made = entry.made
            if id(made) in met or (len(made.args) == 2 and id(made.args[1]) in setters):
                continue
            if id(made) not in held:
                why = "its result is thrown away"
            elif is_harmful(made):
                why = meaning_of(*made.type_name.rpartition(".")[::2]).what
            else:
                continue
            self._log.drop(f"the call {Code().call(made)}", f"{entry.record} byte {entry.offset:,}: {why}", address="")

    def _drop_rest(self, contents: Contents) -> None:
        """Everything beside the object: programs, other records, objects behind the first."""
        for number, other in enumerate(contents.shards, 2):
            if contents.format in ("legacy", "pickle"):
                self._log.drop(
                    f"object {number} of the file",
                    f"a file has one; it names {len(other.globals):,} things",
                    address="",
                )
        code = contents.extra.get("code") or []
        if code:
            self._log.drop(f"the program (code of {len(code):,} records)", "a .pt file has none", address="")
        if not isinstance(contents.container, ZipContainer):
            return
        texts = contents.metadata
        for name in contents.container.names:
            kept = name.startswith("extra/") and "\ufffd" not in texts.get(name.removeprefix("extra/"), "\ufffd")
            known = name in _REWRITTEN or (name.startswith(_FOLDERS) and not name.startswith("extra/"))
            if not known and not kept:
                self._log.drop(f"the record {name}", "it is no part of the object", address="")

    def _drop_tensors(self) -> None:
        """Say which tensors of the original are not in the new file."""
        kept = {_look(ref) for ref in _tensors_in(self.tree)}
        for address, ref in self._archive.tensors.items():
            if any(part.storage is not None and _look(part) not in kept for part in ref.strided_parts()):
                what = f"a tensor, {ref.dtype} {list(ref.shape)}"
                self._log.drop(what, "it is no part of a state dict, nor of what else was kept", address=address)

    def _metadata(self, modules: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The notes of the original that are plain texts, and what the modules were."""
        metadata: dict[str, Any] = {}
        notes = self._archive.metadata
        told = {place: known for place, known in modules.items() if "attributes" in known}
        for name, value in (notes | ({NOTED: {"modules": plain(told, 12)}} if told else {})).items():
            if type(value) is str and "\ufffd" in value:
                continue  # no text: it was reported with the records
            try:
                metadata_text(metadata | {name: value})
            except UsageError as error:
                self._log.drop(f"the note {name}", error.problem, address="")
            else:
                metadata[name] = value
        return metadata


class NotClean(DotptError):
    """What is left of a file does not scan clean: it was not put in its place."""


def _scan(source: Source) -> None:
    from dotpt.scan.scan import scan

    found = scan(source)
    if not found.clean:
        raise NotClean(
            f"What is left of the file does not scan clean: {found.findings[0].text}",
            hint="`dotpt rescue FILE -o OUT` takes a state dict out alone; if the file is honest, please report it",
        )


def _records_in(tree: Any) -> tuple[set[int], set[int]]:
    """Ids of the inert records that a tree holds, and of the states that a function was to set."""
    held: set[int] = set()
    setters: set[int] = set()
    waiting = [tree]
    seen: set[int] = set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen or not is_container(value):
            continue
        seen.add(id(value))
        if type(value) is InertObject:
            held.add(id(value))
            if value.how == "set":
                setters.add(id(value.args[0]))
        waiting.extend(children(value))
    return held, setters


def _tensors_in(tree: Any) -> list[TensorRef]:
    """Every tensor of a cleaned tree, and those that they are made of."""
    found: list[TensorRef] = []
    seen: set[int] = set()
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is TensorRef:
            if id(value) not in seen:
                seen.add(id(value))
                found.append(value)
                waiting += [*(value.extra or {}).values(), *(value.parts or {}).values()]
        elif (kind in (list, tuple) or isinstance(value, dict)) and id(value) not in seen:
            seen.add(id(value))
            waiting.extend([*value, *value.values()] if isinstance(value, dict) else value)
    return found


def _look(ref: TensorRef) -> tuple[Any, ...]:
    return id(ref.storage), ref.dtype.name, ref.offset, ref.shape, ref.strides
