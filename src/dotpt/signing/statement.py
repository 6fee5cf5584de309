"""What crosses this boundary: names and hashes of a model's files in, the statement that is signed out; and back.

An in-toto statement v1 whose predicate is that of model signing:

    {"_type": "https://in-toto.io/Statement/v1",
     "subject": [{"name": MODEL, "digest": {"sha256": SHA-256 of all digests, raw, one after the other}}],
     "predicateType": "https://model_signing/signature/v1.0",
     "predicate": {"serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": false,
                                     "ignore_paths": [...]},
                   "resources": [{"name": "sub/file.pt", "digest": HEX, "algorithm": "sha256"}, ...]}}

With the method ``shards`` a file has a resource for each ``shard_size`` bytes, named ``file.pt:START:END``. Of a model
that is one file the resource is called ``.``: so the reference package (model-signing 1.1) writes and expects it,
whereas the text of the specification asks for the file's name; both are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dotpt.container.jsontext import is_text, parse_json
from dotpt.errors import DotptError, LimitExceeded, SignatureError, UnsupportedError
from dotpt.limits import Limits

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
SINGLE = "."  # the resource of a model that is one file
SHA256 = "sha256"
ALGORITHMS = {SHA256: 32, "blake2b": 64}  # bytes of a digest
_OLD_PREDICATE = "https://model_signing/Digests/v0.1"


@dataclass(frozen=True, slots=True)
class Resource:
    """A file, or a range of its bytes, and its hash.

    Attributes:
        path: the file, from the model's folder on, parts joined by ``/``.
        digest: the hash, raw.
        start, end: the range, with the method ``shards``; else None.
    """

    path: str
    digest: bytes
    start: int | None = None
    end: int | None = None

    @property
    def name(self) -> str:
        """As the statement calls it."""
        return self.path if self.start is None else f"{self.path}:{self.start}:{self.end}"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed.

    Attributes:
        subject: what the model was called; it proves nothing.
        resources: the files, or their ranges.
        algorithm: of the hashes: ``sha256`` or ``blake2b``.
        shard_size: bytes of a range with the method ``shards``, or None.
        follow_links: whether symbolic links were followed.
        ignored: paths in the model's folder that were left out.
    """

    subject: str
    resources: Sequence[Resource]
    algorithm: str = SHA256
    shard_size: int | None = None
    follow_links: bool = False
    ignored: Sequence[str] = ()

    @property
    def method(self) -> str:
        """How files become resources."""
        return "files" if self.shard_size is None else "shards"

    @property
    def root_digest(self) -> str:
        """One hash for the whole model."""
        return hashlib.sha256(b"".join(resource.digest for resource in self.resources)).hexdigest()

    def to_json(self) -> bytes:
        """The payload."""
        serialization: dict[str, Any] = {"method": self.method, "hash_type": self.algorithm}
        if self.shard_size is not None:
            serialization["shard_size"] = self.shard_size
        serialization |= {"allow_symlinks": self.follow_links, "ignore_paths": list(self.ignored)}
        resources = [{"name": r.name, "digest": r.digest.hex(), "algorithm": self.algorithm} for r in self.resources]
        statement = {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": self.subject, "digest": {"sha256": self.root_digest}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"serialization": serialization, "resources": resources},
        }
        return json.dumps(statement, separators=(",", ":")).encode()


def read_statement(payload: bytes, path: str, limits: Limits) -> Statement:
    """The statement in a payload whose signature fits.

    Raises:
        SignatureError: it is malformed or of another kind, or contradicts itself.
        UnsupportedError: it uses a hash that dotpt does not know.
    """

    def fail(problem: str, offset: int | None = None) -> DotptError:
        return _wrong(problem, path)

    return _Reader(path, limits).read(parse_json(payload, limits, fail))


class _Reader:
    """The rules of a statement."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits

    def read(self, statement: Any) -> Statement:
        statement = self._object(statement, "statement")
        if statement.get("_type") != STATEMENT_TYPE:
            raise self._wrong(f"What is signed is no in-toto statement v1, but {statement.get('_type')!r:.80}.")
        kind = statement.get("predicateType")
        if kind != PREDICATE_TYPE:
            old = ", of a version before 1.0: the model must be signed again" if kind == _OLD_PREDICATE else ""
            raise self._wrong(f"What is signed is no model signature v1.0, but {kind!r:.100}{old}.")
        predicate = self._object(statement.get("predicate"), "predicate")
        how = self._object(predicate.get("serialization"), "serialization")
        algorithm, shard_size = self._algorithm(how), self._shard_size(how)
        subject, root = self._subject(statement.get("subject"))
        read = Statement(
            subject,
            self._resources(predicate.get("resources"), algorithm, shard_size),
            algorithm,
            shard_size,
            self._flag(how, "allow_symlinks"),
            self._ignored(how.get("ignore_paths", [])),
        )
        if read.root_digest != root:
            raise self._wrong("The statement contradicts itself: its digest is not that of the files it lists.")
        return read

    def _algorithm(self, how: Mapping[str, Any]) -> str:
        algorithm = how.get("hash_type")
        if algorithm not in ALGORITHMS:
            raise UnsupportedError(
                f"The model was hashed with {algorithm!r:.40}, and dotpt knows {' and '.join(ALGORITHMS)}.",
                path=self._path,
                found=algorithm,
                hint="sign it with sha256, or verify it with the package model-signing",
            )
        return str(algorithm)

    def _shard_size(self, how: Mapping[str, Any]) -> int | None:
        method, size = how.get("method"), how.get("shard_size", 0)
        if method == "files":
            return None
        if method != "shards":
            raise self._wrong(f"The statement's method is {method!r:.40}, which is neither files nor shards.")
        # the reference package writes 1000.0: its numbers go through protobuf, which has no integers there
        if type(size) not in (int, float) or size <= 0 or size != size // 1:
            raise self._wrong("The statement does not say how large its shards are.")
        return int(size)

    def _subject(self, subjects: Any) -> tuple[str, str]:
        if type(subjects) is not list or len(subjects) != 1:
            raise self._wrong("The statement is not about one model.")
        subject = self._object(subjects[0], "subject")
        digest = self._object(subject.get("digest"), "digest").get("sha256")
        if not is_text(subject.get("name")) or type(digest) is not str:
            raise self._wrong("The statement does not say which model it is about.")
        return subject["name"], digest

    def _resources(self, listed: Any, algorithm: str, shard_size: int | None) -> list[Resource]:
        if type(listed) is not list or not listed:
            raise self._wrong("The statement lists no file.")
        if len(listed) > self._limits.records:
            raise LimitExceeded("records", len(listed), self._limits.records, path=self._path)
        resources = [self._resource(entry, algorithm, shard_size) for entry in listed]
        if len({resource.name for resource in resources}) != len(resources):
            raise self._wrong("The statement lists a file twice.")
        return resources

    def _resource(self, entry: Any, algorithm: str, shard_size: int | None) -> Resource:
        entry = self._object(entry, "resource")
        name = entry.get("name")
        # the reference package says both the hash and the size in the resources of shards
        allowed = (algorithm,) if shard_size is None else (algorithm, f"{algorithm}-sharded-{shard_size}")
        if not is_text(name) or entry.get("algorithm") not in allowed:
            raise self._wrong(f"A resource has no name, or another hash than {algorithm}.")
        digest = self._digest(entry.get("digest"), name, algorithm)
        if shard_size is None:
            return Resource(self._path_in(name), digest)
        path, start, end = [*name.rsplit(":", 2), "", ""][:3]
        if not all(part.isascii() and part.isdigit() and len(part) <= 20 for part in (start, end)):
            raise self._wrong(f"The resource {name!r:.100} does not say which bytes of its file it is.")
        return Resource(self._path_in(path), digest, int(start), int(end))

    def _digest(self, digest: Any, name: str, algorithm: str) -> bytes:
        if (
            type(digest) is str
            and len(digest) == 2 * ALGORITHMS[algorithm]
            and not set(digest) - set("0123456789abcdef")
        ):
            return bytes.fromhex(digest)
        raise self._wrong(f"The hash of {name!r:.100} is no {algorithm} in hexadecimal.")

    def _path_in(self, name: str) -> str:
        """A path that stays in the model's folder and can be written in one way only."""
        parts = name.split("/")
        if name != SINGLE and (any(part in ("", ".", "..") for part in parts) or "\0" in name):
            raise self._wrong(f"The statement names a file that is no path in a folder: {name!r:.100}.")
        return name

    def _ignored(self, paths: Any) -> list[str]:
        if type(paths) is not list or not all(is_text(path) for path in paths):
            raise self._wrong("The paths that the statement leaves out are no list of paths.")
        return paths

    def _flag(self, value: Mapping[str, Any], name: str) -> bool:
        if type(value.get(name)) is not bool:
            raise self._wrong(f"The statement does not say {name}.")
        return bool(value[name])

    def _object(self, value: Any, name: str) -> Mapping[str, Any]:
        if type(value) is not dict:
            raise self._wrong(f"The statement has no {name}.")
        return value

    def _wrong(self, problem: str) -> SignatureError:
        return _wrong(problem, self._path)


def _wrong(problem: str, path: str) -> SignatureError:
    hint = "ask who signed the model for a signature of OpenSSF Model Signing v1.0"
    return SignatureError(problem, rule="signature-statement", path=path, hint=hint)
