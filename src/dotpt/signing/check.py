"""What crosses this boundary: a model, its signature and a key in; whether they fit, and the bytes that do, out.

The order is the point: the key, then the signature over the statement, then the statement, then the hashes of all
bytes; only what passed is read by anything else. Invariant: `Checked.source` and `Checked.open` give the bytes that
were hashed or raise `SourceChanged` (see `hashing`), whatever happens to the files meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dotpt.errors import SignatureError, SourceChanged
from dotpt.limits import Limits
from dotpt.signing.bundle import open_bundle
from dotpt.signing.folder import DEFAULT_IGNORED, Listing, list_folder
from dotpt.signing.hashing import Progress, Seal, SealedSource, hash_source
from dotpt.signing.keys import PublicKey, read_public_key
from dotpt.signing.places import default_signature, folder_of, local_path, name_in, open_signature
from dotpt.signing.statement import SINGLE, Resource, Statement, read_statement
from dotpt.source import Source, open_source
from dotpt.source.gzip_ import is_gzip, unwrap_gzip
from dotpt.source.spool import Spool

_GET = "get the model again from who signed it; until then, do not trust it"
_PIECE = 1 << 20


@dataclass(slots=True)
class SignatureCheck:
    """What became of a model's signature.

    Attributes:
        file: where the signature is.
        key: the fingerprint of the key that it was compared with.
        ok: whether it is the key's, and the model is what was signed.
        files: how many files it covers.
        hash: the algorithm of their hashes; "" if it did not come as far as that.
        subject: what the signer called the model, which proves nothing.
    """

    file: str
    key: str
    ok: bool = False
    files: int = 0
    hash: str = ""
    subject: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The facts as plain values."""
        return {
            "file": self.file,
            "key": self.key,
            "ok": self.ok,
            "files": self.files,
            "hash": self.hash,
            "subject": self.subject,
        }


@dataclass(slots=True)
class Checked:
    """The outcome, and the way to the bytes.

    Attributes:
        name: the model as the user named it.
        facts: for people and programs.
        errors: everything that does not fit; none if the signature is good.
        notes: what the signature does not cover.
    """

    name: str
    facts: SignatureCheck
    errors: list[SignatureError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _seals: dict[str, Seal] = field(default_factory=dict)
    _source: Source | None = None

    def source(self, limits: Limits) -> Source:
        """The content of the model that is one file, a gzip stream as what is in it. Only of a good signature."""
        if self._source is None:
            raise SourceChanged("There is no source whose signature was compared.", path=self.name)
        return unwrap_gzip(self._source, limits) if is_gzip(self._source) else self._source

    def open(self, path: Path, limits: Limits) -> Source:
        """A file of the model's folder, if it is still what was hashed.

        Raises:
            SourceChanged: it is not, or was not there.
        """
        seal = self._seals.get(os.path.abspath(path))  # noqa: PTH100 - resolving would follow a link put there since
        if seal is None:
            hint = "wait until whoever writes it is done, and verify it again"
            raise SourceChanged("The file appeared after the signature was compared.", path=str(path), hint=hint)
        opened = open_source(path, limits=limits, unwrap=False)
        keep = False
        try:
            sealed = SealedSource(opened, seal)
            if is_gzip(sealed):
                return unwrap_gzip(sealed, limits)
            keep = True
            return sealed
        finally:
            if not keep:
                opened.close()

    def close(self) -> None:
        """Let go of the source."""
        if self._source is not None:
            self._source.close()


def check_signature(
    source: Any,
    key: Any,
    signature: Any,
    limits: Limits,
    progress: Progress | None = None,
    *,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Checked:
    """Compare a model with its signature, and the signature with a key.

    Raises:
        UsageError, MissingDependency: the key does not fit, or there is no telling where the signature lies.
        SourceError: something cannot be read, or is not there.
        UnsupportedError: the signature is of a kind that dotpt does not verify.
    """
    public = read_public_key(key)
    folder = folder_of(source)
    place = default_signature(source if folder is None else folder) if signature is None else signature
    reading: dict[str, Any] = {"allow_download": allow_download, "storage_options": storage_options}
    opened = None if folder is not None else _hold(open_source(source, limits=limits, unwrap=False, **reading), source)
    name = opened.name if opened is not None else str(folder)
    try:
        # headers for one server are not for another place
        with open_signature(place, limits, **(reading if signature is None else {})) as signed:
            checked = Checked(name, SignatureCheck(signed.name, public.fingerprint), _source=opened)
            statement = _statement(signed, public, checked, limits)
        if statement is not None:
            if opened is None:
                _check_folder(checked, statement, str(folder), local_path(place), limits, progress)
            else:
                _check_file(checked, statement, opened, local_path(source), progress)
    except BaseException:
        if opened is not None and opened is not source:
            opened.close()
        raise
    checked.facts.ok = not checked.errors
    return checked


def _hold(opened: Source, given: Any) -> Source:
    """What comes over the network is fetched once; the copy has no name, so nobody can change it."""
    if not opened.remote:
        return opened
    with Spool(opened.name) as spool:
        for start in range(0, opened.size, _PIECE):
            spool.write(opened.read(start, min(_PIECE, opened.size - start)))
        copy = spool.finish()
    if opened is not given:
        opened.close()
    return copy


def _statement(signed: Source, key: PublicKey, checked: Checked, limits: Limits) -> Statement | None:
    """The statement, if the key's owner signed it."""
    try:
        bundle = open_bundle(signed, key, limits)
        statement = read_statement(bundle.payload, signed.name, limits)
    except SignatureError as error:
        checked.errors.append(error)
        return None
    if bundle.hint not in ("", key.fingerprint):
        note = (
            "The signature names its key in another way than by the fingerprint that dotpt knows; it fits all the same."
        )
        checked.notes.append(note)
    facts = checked.facts
    facts.hash, facts.subject = statement.algorithm, statement.subject
    facts.files = len({resource.path for resource in statement.resources})
    return statement


def _check_file(
    checked: Checked, statement: Statement, opened: Source, path: str | None, progress: Progress | None
) -> None:
    named = {resource.path for resource in statement.resources}
    allowed = {SINGLE} if path is None else {SINGLE, os.path.basename(path)}  # noqa: PTH119
    if len(named) != 1 or (path is not None and not named <= allowed):
        what = f"a file called {next(iter(named))}" if len(named) == 1 else f"a folder of {len(named):,} files"
        problem = f"The signature is for {what}, not for this file."
        hint = "give the folder, or the signature of this file"
        checked.errors.append(SignatureError(problem, rule="signature-other-model", path=checked.name, hint=hint))
        return
    if not _expects(statement.resources, opened.size, statement.shard_size):
        checked.errors.append(_mismatch(checked.name, None))
        return
    digests, seal = hash_source(opened, statement.algorithm, statement.shard_size, progress)
    if digests != _in_order(statement.resources):
        checked.errors.append(_mismatch(checked.name, None))
        return
    checked._source = SealedSource(opened, seal)


def _check_folder(
    checked: Checked,
    statement: Statement,
    folder: str,
    signature: str | None,
    limits: Limits,
    progress: Progress | None,
) -> None:
    own = name_in(folder, signature)
    ignored = {*DEFAULT_IGNORED, *statement.ignored, *([own] if own is not None else [])}
    listing = list_folder(folder, ignored, limits, follow_links=statement.follow_links)
    checked.notes += listing.notes
    _note_ignored(checked, statement, folder, own)
    files: dict[str, list[Resource]] = {}
    for resource in statement.resources:
        files.setdefault(resource.path, []).append(resource)
    _compare_names(checked, files, listing, statement)
    present = [name for name in files if name in listing.files]
    done, total = 0, sum(os.stat(listing.files[name]).st_size for name in present)  # noqa: PTH116

    for name in sorted(present):
        path = listing.files[name]
        with open_source(path, unwrap=False) as opened:
            report = _part(progress, done, total)
            done += opened.size
            if _expects(files[name], opened.size, statement.shard_size):
                digests, seal = hash_source(opened, statement.algorithm, statement.shard_size, report)
                if digests == _in_order(files[name]):
                    checked._seals[os.path.abspath(path)] = seal  # noqa: PTH100
                    continue
        checked.errors.append(_mismatch(checked.name, name))


def _part(progress: Progress | None, before: int, total: int) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, _: progress(before + done, max(total, before + done))


def _note_ignored(checked: Checked, statement: Statement, folder: str, own: str | None) -> None:
    for path in statement.ignored:
        usual = path in DEFAULT_IGNORED or path == own
        if not usual and os.path.lexists(os.path.join(folder, path)):  # noqa: PTH118
            checked.notes.append(f"The signature leaves out {path}.")


def _compare_names(
    checked: Checked, files: Mapping[str, list[Resource]], listing: Listing, statement: Statement
) -> None:
    """What was signed is there, and nothing else is."""

    def wrong(rule: str, problem: str, name: str, hint: str = _GET) -> None:
        checked.errors.append(SignatureError(problem, rule=rule, path=checked.name, record=name, hint=hint))

    for name in sorted(files):
        if name == SINGLE:
            wrong("signature-other-model", "The signature is for one file, not for a folder.", name, "give the file")
        elif name not in listing.files and name not in listing.refused:
            wrong("signature-missing-file", "A file that was signed is not there.", name)
    for name in listing.files:
        # with shards, an empty file has no bytes that could be signed, and so it is not listed
        if name not in files and not (statement.shard_size and not os.stat(listing.files[name]).st_size):  # noqa: PTH116
            hint = "remove it, or have the folder signed again"
            wrong("signature-unsigned-file", "A file is there that was not signed.", name, hint)
    for name, why in listing.refused.items():
        wrong("signature-unsigned-file", f"Something is there that no signature covers: {why}.", name)


def _expects(resources: Sequence[Resource], size: int, shard_size: int | None) -> bool:
    """Whether these are the resources of a file of this size. Asked before hashing: shards may be tiny."""
    if shard_size is None:
        return len(resources) == 1
    if len(resources) != -(-size // shard_size):
        return False
    ordered = sorted(resources, key=lambda resource: resource.start or 0)
    return all(
        (resource.start, resource.end) == (number * shard_size, min((number + 1) * shard_size, size))
        for number, resource in enumerate(ordered)
    )


def _in_order(resources: Sequence[Resource]) -> list[bytes]:
    return [resource.digest for resource in sorted(resources, key=lambda resource: resource.start or 0)]


def _mismatch(path: str, name: str | None) -> SignatureError:
    problem = "The file's bytes are not those that were signed."
    return SignatureError(problem, rule="signature-mismatch", path=path, record=name, hint=_GET)
