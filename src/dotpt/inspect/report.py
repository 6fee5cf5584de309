"""`dotpt.inspect`: everything that can be said of a file without reading its tensors, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotpt.errors import readable
from dotpt.inspect.claims import Claim
from dotpt.inspect.damage import Damage
from dotpt.inspect.prefixes import Prefix
from dotpt.inspect.roles import RolePart
from dotpt.inspect.safety import Safety
from dotpt.inspect.summary import Integrity, TensorSummary
from dotpt.inspect.waste import Waste
from dotpt.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

SCHEMA = "dotpt.inspect/1"


@dataclass(slots=True)
class Report:
    """What a file is. ``str(report)`` is for people, `to_dict` for programs (documented in docs/inspect-schema.md).

    Attributes:
        path: the file as the user named it.
        size: its bytes (of a folder of shards: of all of them).
        format: the container: ``zip``, ``legacy``, ``tar``, ``torchscript``, ``safetensors``, ``sharded``, ``pickle``.
        wrapped: the compression around it (``gzip``), or None.
        kind: what was saved: one of `dotpt.inspect.kinds.KINDS`.
        framework: the library whose layout it has (``Lightning 2.6.6``, ``Ultralytics``, ...).
        writer: which torch could have written it.
        byteorder: ``little`` or ``big``, and whether the file says so.
        integrity: whether it is whole, and what that rests on.
        safety: what its pickles name, and what that means.
        tensors: how many, of which types, how large.
        roles: its parts (weights, optimizer, epoch, ...) in the order of the file.
        weights: address of the dictionary (or module) that holds the weights: ``""`` for the whole object, None if
            there is none.
        optimizer: which optimizer its state is of; None if the file holds none.
        waste: bytes that need not be there, and weights that are shared.
        prefixes: prefixes that all weights' names share and a plain model does not have (``module.``).
        metadata: what its author wrote beside the tensors, by name.
        facts: what the container says of itself (``version``, ``root``, ``protocol``, ...).
        usage: lines of Python that load it.
        notes: what else a reader should know, one sentence each.
        damage: what is left of it, if it was cut or broken; else None.
        error: the facts of the error that reading it gave (`DotptError.to_dict`), if it is damaged; else None.
        archive: the open view that this was made from (closed by `dotpt.inspect`); None if nothing could be decoded.
    """

    path: str
    size: int
    format: str
    kind: Claim
    framework: Claim
    writer: Claim
    byteorder: Claim
    integrity: Integrity
    safety: Safety
    tensors: TensorSummary
    roles: list[RolePart] = field(default_factory=list)
    weights: str | None = None
    optimizer: Claim | None = None
    waste: Waste = field(default_factory=Waste)
    prefixes: list[Prefix] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    usage: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    wrapped: str | None = None
    damage: Damage | None = None
    error: dict[str, Any] | None = None
    archive: Archive | None = field(default=None, repr=False, compare=False)

    @property
    def damaged(self) -> bool:
        """Whether the file is cut or broken; `error` says how."""
        return not self.integrity.whole

    @property
    def params(self) -> int:
        """Elements of the weights (tied ones once); of all tensors where no weights were recognised."""
        for part in self.roles:
            if part.address == self.weights and part.role in ("weights", "ema"):
                return part.params
        return self.tensors.params

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, with a stable layout (``"schema": "dotpt.inspect/1"``)."""
        return {
            "schema": SCHEMA,
            "path": self.path,
            "size": self.size,
            "format": self.format,
            "wrapped": self.wrapped,
            "kind": self.kind.to_dict(),
            "framework": self.framework.to_dict(),
            "writer": self.writer.to_dict(),
            "byteorder": self.byteorder.to_dict(),
            "damaged": self.damaged,
            "error": self.error,
            "integrity": self.integrity.to_dict(),
            "damage": self.damage.to_dict() if self.damage else None,
            "safety": self.safety.to_dict(),
            "params": self.params,
            "tensors": self.tensors.to_dict(),
            "weights": self.weights,
            "roles": [part.to_dict() for part in self.roles],
            "optimizer": self.optimizer.to_dict() if self.optimizer else None,
            "waste": self.waste.to_dict(),
            "prefixes": [prefix.to_dict() for prefix in self.prefixes],
            "metadata": {str(name): plain(value) for name, value in self.metadata.items()},
            "facts": {str(name): plain(value) for name, value in self.facts.items()},
            "usage": list(self.usage),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        from dotpt.inspect.text import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from dotpt.inspect.html import as_html

        return as_html(self)


def plain(value: Any, depth: int = 4) -> Any:
    """``value`` as JSON can hold it; what it cannot hold becomes readable text."""
    if value is None or type(value) in (str, bool, int):
        return value
    if type(value) is float:
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping) and depth:
        return {str(key): plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and depth:
        return [plain(item, depth - 1) for item in value]
    return readable(str(value))[:200]


def inspect(
    source: Any,
    *,
    limits: Limits = DEFAULT_LIMITS,
    encoding: str = "utf-8",
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Report:
    """What a file is, whether it is whole, what it names and what is in it, without reading its tensors.

    Args:
        source: a path, ``http(s)://`` or fsspec address, a folder of shards, bytes, or a binary file object.
        limits: what the file may ask for.
        encoding: of strings that Python 2 wrote: a codec name, or ``"bytes"``.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Returns:
        The report. For a file that was cut or broken it says what is left (`Report.damaged`, `Report.damage`).

    Raises:
        NotATorchFile: the bytes are something else; the message says what.
        SourceError: the bytes could not be reached.
        DotptError: nothing could be said beyond the error itself.

    Example:
        >>> import dotpt
        >>> report = dotpt.inspect("tests/corpus/fixtures/zip/state_dict.pt")
        >>> str(report.kind), report.tensors.count, report.damaged
        ('state dict', 8, False)
    """
    raise NotImplementedError


def report_on(archive: Archive) -> Report:
    """The report on an open archive."""
    raise NotImplementedError
