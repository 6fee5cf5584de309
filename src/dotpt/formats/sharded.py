"""Sharded checkpoints: a folder of files, and an index that says which of them holds which tensor.

Layout, as Hugging Face's libraries write it::

    pytorch_model.bin.index.json         {"metadata": {"total_size": BYTES}, "weight_map": {"NAME": "FILE", ...}}
    pytorch_model-00001-of-00002.bin     any file that dotpt reads, which holds a flat dictionary of tensors
    pytorch_model-00002-of-00002.bin     (or model.safetensors.index.json and model-0000i-of-0000n.safetensors)

The index is a stranger's: its file names stay inside the folder, and what it says is compared with the shards.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from dotpt.container.jsontext import is_text, parse_json
from dotpt.container.record import Container, Record
from dotpt.errors import DotptError, LimitExceeded, NotATorchFile, RecordMissing, ShardError, UnsupportedError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.limits import Limits
from dotpt.pickling.values import GlobalName
from dotpt.source import open_source
from dotpt.source.base import Source
from dotpt.tensors.refs import StorageRef, TensorRef

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_LISTED = 20_000
_HEAD = 1 << 16
_SHOWN = 5


class ShardIndex(Container):
    """The index of a sharded checkpoint, as the container of the whole: its only record is the index itself."""

    kind = "sharded"

    def __init__(self, source: Source, limits: Limits, name: str) -> None:
        super().__init__(source, limits)
        self._record = Record(name, 0, source.size, source.size)

    @property
    def names(self) -> list[str]:
        """The name of the index."""
        return [self._record.name]

    def __contains__(self, name: str) -> bool:
        return name == self._record.name

    def record(self, name: str) -> Record:
        """The index; `RecordMissing` for any other name."""
        if name != self._record.name:
            raise RecordMissing("The index holds no record but itself.", path=self.source.name, record=name)
        return self._record


def is_index(path: Path) -> bool:
    """Whether ``path`` is a file that maps weights to shards."""
    if path.suffix != ".json" or not _is_file(path):
        return False
    with open_source(path) as source:
        head = source.read(0, min(_HEAD, source.size))
    return head.lstrip().startswith(b"{") and b'"weight_map"' in head


def read(folder: Path, options: ReadOptions) -> Contents:
    """The contents of a sharded checkpoint: one dictionary of the tensors of all shards, in the order of the index.

    Args:
        folder: the folder of the shards, or the path of the index in it.

    Raises:
        NotATorchFile, UnsupportedError: the folder is of another kind; the message says which.
        ShardError: the index is malformed, or disagrees with the shards.
        DotptError: a shard is damaged; the error's path says which.
    """
    path = find_index(folder) if folder.is_dir() else folder
    source = _open(path, options)
    source.name = str(folder)
    container = ShardIndex(source, options.limits, path.name)
    shards: dict[str, Contents] = {}
    try:
        weights, metadata = _read_index(container, path.name)
        for file in dict.fromkeys(weights.values()):
            shards[file] = _open_shard(path.parent / file, options)
        contents = Contents("sharded", {}, container)
        contents.shards = list(shards.values())
        contents.facts = {"index": path.name, "shards": list(shards), **_common_facts(contents.shards)}
        contents.metadata = metadata
        _gather(contents, weights, shards)
        return contents
    except BaseException as error:
        for shard in shards.values():
            shard.close()
        container.close()
        if isinstance(error, DotptError):
            error.path = error.path or str(folder)
        raise


def find_index(folder: Path) -> Path:
    """The index in a folder; of several, the usual one all of whose shards are there.

    Raises:
        NotATorchFile, UnsupportedError: there is none; the message says what the folder is.
        ShardError: there are several, none of the usual name.
    """
    usual = [folder / name for name in INDEXES if _is_file(folder / name)]
    if len(usual) == 1:
        return usual[0]
    if usual:
        return next((path for path in usual if _complete(path)), usual[0])
    others = sorted(path for path in _listing(folder) if path.name.endswith(".index.json") and is_index(path))
    if len(others) == 1:
        return others[0]
    if not others:
        raise _no_index(folder)
    raise ShardError(
        f"The folder has {len(others)} indexes: {', '.join(path.name for path in others[:_SHOWN])}.",
        path=str(folder),
        hint="give the path of one of them",
    )


def shard_files(folder: Path, options: ReadOptions) -> list[Path]:
    """The files that the index of a folder names, whether they are there or not.

    Raises:
        NotATorchFile, UnsupportedError, ShardError: as `read`.
    """
    path = find_index(folder) if folder.is_dir() else folder
    with _open(path, options) as source:
        weights, _ = _read_index(ShardIndex(source, options.limits, path.name), path.name)
    return [path.parent / file for file in dict.fromkeys(weights.values())]


def index_metadata(folder: Path, limits: Limits) -> dict[str, Any]:
    """What the index of a folder says besides the places of the tensors. No shard is opened.

    Raises:
        NotATorchFile, UnsupportedError, ShardError: as `read`.
    """
    path = find_index(folder) if folder.is_dir() else folder
    with open_source(path, limits=limits) as source:
        return _read_index(ShardIndex(source, limits, path.name), path.name)[1]


def _open(path: Path, options: ReadOptions) -> Source:
    opener = options.opener
    return open_source(path, limits=options.limits) if opener is None else opener(path, options.limits)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _listing(folder: Path) -> list[Path]:
    """The folder's entries; none if it cannot be read, and then `diagnose_folder` says why."""
    try:
        return list(islice(folder.iterdir(), _LISTED))
    except OSError:
        return []


def _complete(path: Path) -> bool:
    """Whether the shards of an index lie beside it (both kinds of index are often there, with the files of one)."""
    try:
        with open_source(path) as source:
            weights, _ = _read_index(ShardIndex(source, Limits(), path.name), path.name)
    except DotptError:
        return False
    return all(_is_file(path.parent / file) for file in set(weights.values()))


def _no_index(folder: Path) -> DotptError:
    """What the folder is instead, and the next step."""
    from dotpt.container.sniff import diagnose_folder, sentence

    found = diagnose_folder(folder)
    if found.kind == "dcp":
        return UnsupportedError(
            "This is a distributed checkpoint folder, as torch.distributed.checkpoint writes it.",
            path=str(folder),
            found=found.kind,
            hint="if you trust it, make one file of it: "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt",
        )
    if found.kind in ("deepspeed", "megatron", "unzipped-torch"):
        return UnsupportedError(sentence(found), path=str(folder), found=found.kind, hint=found.hint)
    return NotATorchFile(
        f"This is {found.label}, not a PyTorch file.", path=str(folder), found=found.kind, hint=found.hint
    )


# -- the index ----------------------------------------------------------------------------------------------------


def _read_index(container: ShardIndex, name: str) -> tuple[dict[str, str], dict[str, Any]]:
    """weight_map and metadata, checked as far as they can be without the shards."""
    source, limits = container.source, container.limits

    def fail(problem: str, offset: int | None = None, key: str | None = None) -> ShardError:
        return ShardError(problem, path=source.name, record=name, offset=offset, key=key, hint="get the index again")

    if source.size > limits.header_bytes:
        raise LimitExceeded("header_bytes", source.size, limits.header_bytes, path=source.name, record=name)
    index = parse_json(source.read(0, source.size), limits, fail)
    weights = index.get("weight_map") if type(index) is dict else None
    if type(weights) is not dict or not weights:
        raise fail("The index has no weight_map.")
    if len(weights) > limits.records:
        raise LimitExceeded("records", len(weights), limits.records, path=source.name, record=name)
    for key, file in weights.items():
        if not _is_plain_name(file):
            raise fail(f"The index names a shard outside its folder, or none: {file!r:.100}.", key=key)
    metadata = index.get("metadata")
    return weights, metadata if type(metadata) is dict else {}


def _is_plain_name(file: Any) -> bool:
    """One part of a path, which means the same on every system."""
    return (
        is_text(file)
        and 0 < len(file) <= 255
        and file not in (".", "..")
        and not any(character in "/\\:\0" for character in file)
    )


# -- the shards ---------------------------------------------------------------------------------------------------


def _open_shard(path: Path, options: ReadOptions) -> Contents:
    from dotpt.formats import read_contents

    if not path.exists():
        raise ShardError("A shard that the index names is missing.", path=str(path), hint="download it too")
    source = _open(path, options)
    try:
        contents = read_contents(source, options)
        if contents.format == "legacy" and contents.facts["end"] != source.size:
            raise ShardError(
                f"{source.size - contents.facts['end']:,} bytes follow the end of the shard's content.",
                offset=contents.facts["end"],
                hint="something was appended to the file: do not trust it",
            )
        if not isinstance(contents.tree, dict):
            raise ShardError("The shard holds no dictionary of tensors.", found=type(contents.tree).__name__)
    except BaseException as error:
        source.close()
        if isinstance(error, DotptError):
            error.path = error.path or str(path)
        raise
    return contents


def _gather(contents: Contents, weights: dict[str, str], shards: dict[str, Contents]) -> None:
    """Fill the tree by the index, and note where the shards say something else."""
    for name, file in weights.items():
        value = shards[file].tree.get(name)
        if type(value) is not TensorRef:
            problem = "is something else than a tensor there" if name in shards[file].tree else "is not in it"
            others = [other for other, shard in shards.items() if type(shard.tree.get(name)) is TensorRef]
            raise ShardError(
                f"The index says that the tensor lies in {file}, and it {problem}.",
                record=file,
                key=name,
                hint=f"it lies in {others[0]}: correct the index" if others else "get the shard and the index again",
            )
        contents.tree[name] = value
    for file, shard in shards.items():
        _rename(file, shard, contents.storages)
        extra = [str(name) for name in shard.tree if weights.get(name) != file]
        if extra:
            shown = ", ".join(extra[:_SHOWN]) + (", ..." if len(extra) > _SHOWN else "")
            contents.notes.append(f"{file} holds {len(extra):,} entries that the index does not place there: {shown}.")
        contents.notes += [f"{file}: {note}" for note in shard.notes]
    contents.globals = list(_globals(contents.shards))
    total, stated = sum(ref.nbytes for ref in contents.tree.values()), contents.metadata.get("total_size")
    if type(stated) in (int, float) and stated != total:
        contents.notes.append(f"The index states a total size of {stated:,} bytes; the tensors have {total:,}.")


def _rename(file: str, shard: Contents, storages: dict[str, StorageRef]) -> None:
    """Every shard of a zip format has a storage "0": put the file's name before the key."""
    for key, storage in shard.storages.items():
        storage.key = f"{file}/{key}"
        storages[storage.key] = storage


def _globals(shards: list[Contents]) -> Iterator[GlobalName]:
    """The names that the shards' pickles ask for, each once."""
    seen: set[tuple[str, str]] = set()
    for shard in shards:
        for name in shard.globals:
            if (name.module, name.name) not in seen:
                seen.add((name.module, name.name))
                yield name


def _common_facts(shards: list[Contents]) -> dict[str, Any]:
    """What all shards agree on."""
    first = shards[0].facts if shards else {}
    return {
        fact: first[fact]
        for fact in ("byteorder", "version")
        if fact in first and all(shard.facts.get(fact) == first[fact] for shard in shards)
    }
