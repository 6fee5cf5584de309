"""`dotpt.inspect`: everything that can be said of a file without reading its tensors, as one record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dotpt.errors import DotptError
from dotpt.formats.contents import ReadOptions
from dotpt.inspect.claims import Claim, unknown
from dotpt.inspect.content import children_of, value_at
from dotpt.inspect.families.fingerprint import UNKNOWN, Fingerprint
from dotpt.inspect.frameworks import framework_of
from dotpt.inspect.kinds import is_weight, kind_of
from dotpt.inspect.modules import modules_of
from dotpt.inspect.network import network_of
from dotpt.inspect.notes import notes_on
from dotpt.inspect.optimizers import optimizer_of
from dotpt.inspect.plain import plain
from dotpt.inspect.prefixes import Prefix, prefixes_of
from dotpt.inspect.roles import RolePart, roles_of, weights_part
from dotpt.inspect.safety import Safety, safety_of
from dotpt.inspect.summary import Integrity, TensorSummary, integrity_of, summary_of
from dotpt.inspect.usage import usage_of
from dotpt.inspect.waste import Waste, waste_of
from dotpt.inspect.writer import byteorder_of, writer_of
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.source.base import Source

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive
    from dotpt.formats.architecture import Architecture
    from dotpt.inspect.damage import Damage
    from dotpt.rescue.tree import ModuleTree

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
        writer: what could have written it: which torch, or dotpt.
        byteorder: ``little`` or ``big``, and whether the file says so.
        integrity: whether it is whole, and what that rests on.
        safety: what its pickles name, and what that means.
        tensors: how many, of which types, how large.
        roles: its parts (weights, optimizer, epoch, ...) in the order of the file.
        weights: address of the dictionary (or module) that holds the weights: ``""`` for the whole object, None if
            there is none.
        modules: the pickled module (of TorchScript too) that its weights lie in: ``print(report.modules)`` shows it as
            ``print(model)`` does; None if they lie in none.
        network: the known architecture that the weights' names and shapes are of (`dotpt.models.fingerprint`).
        optimizer: which optimizer its state is of; None if the file holds none.
        waste: bytes that need not be there, and weights that are shared.
        prefixes: prefixes that all weights' names share and a plain model does not have (``module.``).
        metadata: what its author wrote beside the tensors, by name.
        architecture: what `dotpt.save_model` noted of the model: its class and what it was built with; else None.
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
    modules: ModuleTree | None = None
    network: Fingerprint = field(default_factory=lambda: Fingerprint(UNKNOWN))
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
    architecture: Architecture | None = None
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
            "modules": plain(self.modules.to_dict()["modules"], 8) if self.modules is not None else None,
            "network": self.network.to_dict() if self.weights is not None else None,
            "optimizer": self.optimizer.to_dict() if self.optimizer else None,
            "waste": self.waste.to_dict(),
            "prefixes": [prefix.to_dict() for prefix in self.prefixes],
            "architecture": self.architecture.to_dict() if self.architecture else None,
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
        ('state dict', 9, False)
    """
    from dotpt.archive.archive import Archive
    from dotpt.archive.opening import is_sharded, open_contents
    from dotpt.source import open_source

    options = ReadOptions(limits=limits, encoding=encoding)
    if is_sharded(source):
        with Archive(open_contents(source, options), options) as archive:
            return report_on(archive)
    opened = open_source(source, allow_download=allow_download, storage_options=storage_options, limits=limits)
    try:
        try:
            contents = open_contents(opened, options)
            return report_on(Archive(contents, options))
        except DotptError as error:
            from dotpt.inspect.damage import diagnose_damage

            damage = diagnose_damage(opened, error, options)
            if damage is None:
                raise
            error.path = error.path or opened.name
            return _damaged_report(opened, error, damage, options)
    finally:
        if opened is not source:
            opened.close()


def report_on(archive: Archive) -> Report:
    """The report on an open archive. It stays open."""
    contents, tree = archive.contents, archive.tree
    containers = contents.containers
    parts = roles_of(archive)
    weights = weights_part(parts)
    network = network_of(archive, weights)
    summary = summary_of(archive.tensors.values())
    report = Report(
        path=archive.name,
        size=sum({id(container.source): container.source.size for container in containers}.values()),
        format=contents.format,
        kind=kind_of(archive),
        framework=framework_of(archive, network),
        writer=writer_of(archive),
        byteorder=byteorder_of(archive),
        integrity=integrity_of(archive),
        safety=safety_of(archive),
        tensors=summary,
        roles=parts,
        weights=None if weights is None else weights.address,
        modules=modules_of(archive, weights),
        network=network,
        optimizer=_optimizer(tree, parts),
        waste=waste_of(archive, parts),
        prefixes=[] if weights is None else prefixes_of(_weight_names(tree, weights)),
        architecture=archive.architecture,
        metadata=dict(archive.metadata),
        facts=dict(contents.facts),
        notes=notes_on(archive, summary),
        wrapped=contents.container.source.wrapped,
        archive=archive,
    )
    report.usage = usage_of(report)
    return report


def _damaged_report(source: Source, error: DotptError, damage: Damage, options: ReadOptions) -> Report:
    from dotpt.archive.archive import Archive

    if damage.contents is not None:
        report = report_on(Archive(damage.contents, options))
        what = "cut short" if damage.reason == "cut" else "damaged"
        report.usage = [f"# the file is {what}: get it again"]
    else:
        nothing = unknown("the file is damaged before its content begins")
        safety = Safety("undecided", "what it names could not be read")
        report = Report(
            source.name, source.size, damage.format, nothing, nothing, nothing, nothing, Integrity(False, ""), safety,
            TensorSummary(), wrapped=source.wrapped,
        )  # fmt: skip
    start = "cut short" if damage.reason == "cut" else "damaged"
    reasons = [error.problem, *([f"The next step: {error.hint}."] if error.hint else [])]
    report.integrity = Integrity(False, f"{start}: {damage.words}", reasons, 0, len(damage.records))
    report.size, report.damage, report.error = source.size, damage, error.to_dict()
    return report


def _weight_names(tree: Any, weights: RolePart) -> list[str]:
    held = children_of(value_at(tree, weights.keys))
    return [name for name, value in held.items() if type(name) is str and is_weight(value)]


def _optimizer(tree: Any, parts: list[RolePart]) -> Claim | None:
    for part in parts:
        if part.role == "optimizer" and (part.tensors or part.value is not None):
            return optimizer_of(value_at(tree, part.keys))
    return None
