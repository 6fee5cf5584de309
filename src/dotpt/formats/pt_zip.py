"""The zip format of torch 1.4 to today: ``data.pkl`` and its storages ``data/0``, ``data/1``, ...

Records beside them: ``version``, ``byteorder`` (since 2.1; before, little-endian is assumed, as torch does),
``.format_version`` and ``.storage_alignment`` (since 2.7), ``.data/serialization_id`` (since 2.1). Torch 1.4 called
the storages ``tensors/KEY``; up to 1.6 the keys are addresses in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from dotpt.container.zip import ZipContainer
from dotpt.container.ziprules import BadRecordName
from dotpt.errors import ContainerError, NotATorchFile, TensorError, UnsupportedError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.decoding import decode
from dotpt.formats.embedded import nested_reader
from dotpt.formats.record_names import BASE
from dotpt.pickling.context import Context
from dotpt.tensors.refs import StorageRef

if TYPE_CHECKING:
    from dotpt.formats.delta import Joined

_TEXT_RECORDS = (
    "version",
    "byteorder",
    ".format_version",
    ".storage_alignment",
    ".data/version",
    ".data/serialization_id",
)
_MAX_VERSION = 10
_EXTRA_TEXT = 1 << 20  # larger extra files are data, not words about the file


def read(container: ZipContainer, options: ReadOptions) -> Contents:
    """The contents of a zip that torch wrote.

    Raises:
        NotATorchFile: a zip of another kind (the message says which).
        ContainerError, PickleError, TensorError, LimitExceeded: what each says.
    """
    refuse_other_kinds(container)
    container.check_methods()
    facts = _facts(container, options.byteorder)
    if "constants.pkl" in container:
        from dotpt.formats import torchscript

        return torchscript.read(container, options, facts)
    context = Context(options.limits, nested_reader(options), options.journal)
    tree, machine = decode(container, "data.pkl", context, options)
    joined = _join(container)
    try:
        attach_storages(container, context.storages, storage_folder(container.names), facts["byteorder"], joined)
    except BaseException:
        if joined is not None:
            joined.container.close()
        raise
    contents = Contents("zip", tree, container, context.storages, list(machine.globals.values()), facts, joined=joined)
    if joined is not None:
        contents.notes.append(joined.note())
    contents.decoded = options.limits.decoded_bytes - machine.room
    contents.metadata = extra_texts(container)
    return contents


def _join(container: ZipContainer) -> Joined | None:
    """The base of a delta; None if the file is none, which nearly all are."""
    if BASE not in container:
        return None
    from dotpt.formats.delta import join

    return join(container)


def storage_folder(names: Collection[str]) -> str:
    """``data/``; torch 1.4, where the format was young, wrote ``tensors/``, which no torch since 1.5 reads."""
    early = not any(name.startswith("data/") for name in names) and any(name.startswith("tensors/") for name in names)
    return "tensors/" if early else "data/"


def extra_texts(container: ZipContainer) -> dict[str, str]:
    """What the author put beside the tensors (``_extra_files`` of torch.jit.save, other tools' records) as text."""
    texts: dict[str, str] = {}
    for name in container.names:
        if name.startswith("extra/") and container.sizes[container.index(name)] <= _EXTRA_TEXT and len(texts) < 1000:
            texts[name.removeprefix("extra/")] = container.read(name).decode("utf-8", "replace")
    return texts


def attach_storages(
    container: ZipContainer,
    storages: dict[str, StorageRef],
    prefix: str,
    byteorder: str,
    joined: Joined | None = None,
) -> None:
    """Point each storage at its record, whose size must be exactly the storage's."""
    swap = byteorder != sys.byteorder
    positions, sizes = container.positions, container.sizes
    links = joined.links if joined is not None else {}
    for key, storage in storages.items():
        if storage.container is not None or storage.view_of is not None:
            continue
        if joined is not None and prefix + key in links:
            joined.attach(storage, prefix + key)
            storage.swap = swap
            continue
        index = positions.get(prefix + key)
        if index is None:
            index = container.index(prefix + key)  # which says that it is missing
        if sizes[index] != storage.nbytes:
            raise TensorError(
                f"The record holds {sizes[index]:,} bytes, the pickle says {storage.nbytes:,}.",
                path=container.source.name,
                record=prefix + key,
                key=key,
                found=sizes[index],
                expected=storage.nbytes,
                hint="the file is damaged or made to mislead: get it again from its author",
            )
        storage.container, storage.index = container, index
        if swap:
            storage.swap = True


def _check_case(container: ZipContainer) -> None:
    """Refuse ``BYTEORDER`` and its like: torch finds a record in any case, others do not."""
    asked = (*_TEXT_RECORDS, "data.pkl", "constants.pkl")
    missing = {name for name in asked if name not in container.positions}
    for name in container.names:
        if not name.startswith("data/") and name.lower() in missing:
            raise BadRecordName(
                "The record's name is one that torch asks for, in another case.",
                path=container.source.name,
                record=name,
                expected=name.lower(),
            )


def _facts(container: ZipContainer, byteorder: str) -> dict[str, Any]:
    _check_case(container)
    facts: dict[str, Any] = {"root": container.root}
    positions, sizes = container.positions, container.sizes
    for name in _TEXT_RECORDS:
        if name in positions:
            text = container.read(name) if sizes[positions[name]] <= 100 else b"\xff"
            if not text.isascii():
                raise ContainerError(
                    "The record is not the short text it should be.", path=container.source.name, record=name
                )
            facts[name.removeprefix(".")] = text.decode("ascii").strip()
    version = facts.get("data/version", facts.get("version"))
    if version is None:
        raise ContainerError("The file has no version record.", path=container.source.name, record="version")
    if not version.isdigit() or not 1 <= int(version) <= _MAX_VERSION:
        raise ContainerError(
            f"The file is of version {version!r}; 1 to {_MAX_VERSION} are known.",
            path=container.source.name,
            record="version",
            hint="a newer dotpt may read it: pip install -U dotpt",
        )
    facts["byteorder_recorded"] = "byteorder" in facts
    facts.setdefault("byteorder", byteorder)
    if facts["byteorder"] not in ("little", "big"):
        raise ContainerError(
            f"The byte order is {facts['byteorder']!r}.", path=container.source.name, record="byteorder"
        )
    return facts


def refuse_other_kinds(container: ZipContainer) -> None:
    """Raise unless the archive is one of torch.save or torch.jit.save, as far as its records' names tell."""
    facts: dict[str, Any] = {"path": container.source.name}
    if "archive_format" in container or any(n.startswith("models/") and n.endswith(".json") for n in container.names):
        raise UnsupportedError(
            "This is a torch.export archive (.pt2).",
            hint="read it with torch.export.load; dotpt will read it later",
            **facts,
        )
    if "serialized_exported_program.json" in container:
        raise UnsupportedError(
            "This is a torch.export archive of torch 2.7 or before.", hint="read it with torch.export.load", **facts
        )
    if ".data/extern_modules" in container:
        raise UnsupportedError(
            "This is a torch.package archive.",
            hint="read it with torch.package, if you trust it: it holds code",
            **facts,
        )
    if "data.pkl" not in container and ("model.json" in container or "attributes.pkl" in container):
        raise UnsupportedError(
            "This is a TorchScript archive in the format of torch 1.0 to 1.2 (model.json and tensors/).",
            hint="if you trust it, load it with torch.jit.load and save it again with torch.jit.save",
            **facts,
        )
    if "data.pkl" not in container and "tensors.pkl" in container:
        raise UnsupportedError(
            "This is a TorchScript archive of a development version of torch 1.3 (tensors.pkl).",
            hint="if you trust it, load it with torch.jit.load and save it again with torch.jit.save",
            **facts,
        )
    if "data.pkl" not in container:
        shown = ", ".join(container.names[:3])
        raise NotATorchFile(
            f"This zip archive is not a PyTorch file: it has no data.pkl (it holds {shown or 'nothing'}).",
            hint="unpack it and look for the .pt inside",
            **facts,
        )
