"""What every format gives: a tree of values, and the storages its tensors look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dotpt.container.record import Container
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.pickling.journal import Journal
from dotpt.pickling.values import GlobalName
from dotpt.source.base import Source
from dotpt.tensors.refs import StorageRef

if TYPE_CHECKING:
    from dotpt.formats.delta import Joined


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a file is to be read.

    Attributes:
        limits: what it may ask for.
        encoding: of Python 2's strings (a codec name, or ``bytes``).
        errors: how undecodable ones are treated.
        verify: whether the checksums of the pickles are compared too.
        nested: how deep this file is embedded in others.
        byteorder: of zip files that do not say theirs: ``little`` or ``big``.
        journal: where what the pickles ask for is noted.
        opener: opens the files of a folder, if not `open_source` does: whoever has compared their bytes before.
    """

    limits: Limits = DEFAULT_LIMITS
    encoding: str = "utf-8"
    errors: str = "strict"
    verify: bool = True
    nested: int = 0
    byteorder: str = "little"
    journal: Journal | None = None
    opener: Callable[[Path, Limits], Source] | None = None


@dataclass(slots=True)
class Contents:
    """A file, decoded, its tensors' bytes not yet read.

    Attributes:
        format: ``zip``, ``legacy``, ``tar``, ``torchscript``, ``safetensors``, ``sharded`` or ``pickle``.
        tree: the object that was saved, with `TensorRef` and `StorageRef` leaves.
        container: where the records are; of a sharded checkpoint, its index (the records are in `shards`).
        storages: every storage that the tree names, by key.
        globals: every name that the pickles ask for.
        facts: what the file says of itself (``version``, ``byteorder``, ``protocol``, ...).
        metadata: what its author wrote beside the tensors (safetensors' ``__metadata__``, extra files).
        extra: parts beside the tree, by role (TorchScript: ``constants``, ``code``).
        notes: what a reader should know, one sentence each.
        decoded: bytes of objects that its pickles gave, as `Limits.decoded_bytes` counts them.
        shards: of a sharded checkpoint, its files.
        joined: the file that unchanged tensors lie in, if this one holds only what has changed since.
    """

    format: str
    tree: Any
    container: Container
    storages: dict[str, StorageRef] = field(default_factory=dict)
    globals: list[GlobalName] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    decoded: int = 0
    shards: list[Contents] = field(default_factory=list)
    joined: Joined | None = None

    @property
    def containers(self) -> list[Container]:
        """Every container of the file itself."""
        return [self.container, *(shard.container for shard in self.shards if shard.container is not self.container)]

    def close(self) -> None:
        """Close every file."""
        for container in self.containers:
            container.close()
        if self.joined is not None:
            self.joined.container.close()
