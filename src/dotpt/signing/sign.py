"""`dotpt.sign`: a detached signature of a file or a folder, by the OpenSSF Model Signing specification."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dotpt.errors import UsageError
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.signing.bundle import is_bundle, make_bundle
from dotpt.signing.folder import DEFAULT_IGNORED, list_folder
from dotpt.signing.hashing import hash_source
from dotpt.signing.keys import read_private_key
from dotpt.signing.places import default_signature, folder_of, local_path, name_in
from dotpt.signing.statement import SHA256, SINGLE, Resource, Statement
from dotpt.source import Source, open_sink, open_source
from dotpt.source.local import FileSource

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A file that a signature covers: its name (in a folder: from there on), its size in bytes, its SHA-256 in hex."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Signed:
    """The outcome of `dotpt.sign`.

    Attributes:
        path: the model as the user named it.
        signature: where its signature is.
        key: the fingerprint of the key, as the signature notes it.
        files: every file that the signature covers.
    """

    path: str
    signature: str
    key: str
    files: tuple[SignedFile, ...]

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain values."""
        files = [{"name": file.name, "size": file.size, "digest": file.digest} for file in self.files]
        return {"path": self.path, "signature": self.signature, "key": self.key, "hash": SHA256, "files": files}


def sign(
    source: Any,
    *,
    key: Any,
    signature: Any = None,
    password: str | bytes | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Signed:
    """Sign a file, or a folder with every file in it, with a private key.

    The signature is a file of its own, which `dotpt.verify` and the package model-signing compare with the public
    key. Of a folder, ``.git``, ``.github``, ``.gitignore``, ``.gitattributes`` and the signature are left out. A
    signature says who vouches for these bytes, not that they are harmless.

    Args:
        source: a path, a folder, ``http(s)://`` or fsspec address, bytes, or a binary file object.
        key: the PEM file of a private key (a path or its bytes): ECDSA on P-256, P-384 or P-521.
        signature: where it goes; by default ``FILE.sig``, or ``model.sig`` in the folder.
        password: of the key, if it is encrypted.
        limits: ``records`` bounds the files of a folder.
        progress: called with (bytes done, bytes in all) while files are read.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Raises:
        UsageError: the key does not fit, the folder holds what cannot be signed, or ``signature`` is the place of
            something else.
        SourceError: something cannot be read, or changes meanwhile.
        WriteError: the signature cannot be written.
        MissingDependency: cryptography is not installed (extra ``[sign]``).

    Example:
        >>> import dotpt
        >>> file = "tests/corpus/fixtures/zip/state_dict.pt"
        >>> signed = dotpt.sign(file, key="tests/signing/keys/p256.pem", signature="model.sig")
        >>> dotpt.verify(file, key="tests/signing/keys/p256.pub", signature="model.sig").signature.ok
        True
    """
    private = read_private_key(key, password)
    folder = folder_of(source)
    place = default_signature(source if folder is None else folder) if signature is None else signature
    _check_place(source, place, limits)
    ignored: list[str] = []
    if folder is None:
        opened = open_source(
            source, allow_download=allow_download, storage_options=storage_options, limits=limits, unwrap=False
        )
        try:
            path, subject = opened.name, _base_name(opened.name if isinstance(source, (str, os.PathLike)) else "")
            files = [_hashed(opened, SINGLE, progress)]
        finally:
            if opened is not source:
                opened.close()
    else:
        path, subject = folder, os.path.basename(os.path.realpath(folder)) or "model"  # noqa: PTH119
        own = name_in(folder, local_path(place))
        ignored = [*DEFAULT_IGNORED, *([own] if own is not None else [])]
        files = _hash_folder(folder, ignored, limits, progress)
    resources = [Resource(file.name, bytes.fromhex(file.digest)) for file in files]
    payload = Statement(subject, resources, ignored=ignored or DEFAULT_IGNORED).to_json()
    with open_sink(place) as sink:
        sink.write(make_bundle(payload, private))
        sink.commit()
        return Signed(path, sink.name, private.fingerprint, tuple(files))


def _check_place(source: Any, place: Any, limits: Limits) -> None:
    """A signature replaces a signature, and nothing else."""
    path = local_path(place)
    if path is None or not os.path.isfile(path):  # noqa: PTH113
        return
    with open_source(path, unwrap=False) as there:
        if there.size and not is_bundle(there, limits):
            hint = "give another place: signature=...; command line: --signature PATH"
            problem = "What lies where the signature is to be is no signature; nothing was written."
            raise UsageError(problem, path=path, hint=hint)


def _base_name(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2] or "model"


def _hash_folder(folder: str, ignored: list[str], limits: Limits, progress: Progress | None) -> list[SignedFile]:
    listing = list_folder(folder, ignored, limits)
    for name, why in listing.refused.items():
        problem = f"{len(listing.refused):,} of the folder's entries cannot be signed: {name} ({why})."
        hint = "put the file itself in its place (`cp -rL FOLDER COPY` copies what links lead to), or remove it"
        raise UsageError(problem, path=folder, hint=hint)
    if not listing.files:
        raise UsageError("There is no file in the folder that could be signed.", path=folder)
    files = []
    sizes = {name: os.stat(path).st_size for name, path in listing.files.items()}  # noqa: PTH116
    before, total = 0, sum(sizes.values())
    for name, path in listing.files.items():

        def report(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        with open_source(path, unwrap=False) as opened:
            files.append(_hashed(opened, name, report))
        before += sizes[name]
    return files


def _hashed(opened: Source, name: str, progress: Progress | None) -> SignedFile:
    digests, seal = hash_source(opened, SHA256, progress=progress)
    if isinstance(opened, FileSource):
        opened.unchanged()
    return SignedFile(name, seal.size, digests[0].hex())
