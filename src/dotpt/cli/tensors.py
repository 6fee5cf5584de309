"""Tensors as rows: the table that `ls` and `inspect` draw, and what is remarkable about each tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dotpt.cli import words
from dotpt.cli.columns import Column, draw
from dotpt.cli.screen import Screen
from dotpt.cli.select import Row, elements
from dotpt.tensors.refs import StorageRef, TensorRef

_COLUMNS = (
    Column("File", "magenta", least=10, optional=True),
    Column("Tensor", "", least=16),
    Column("Shape", "cyan", least=12),
    Column("Type", "green", least=8),
    Column("Size", "", right=True),
    Column("Device", "yellow", optional=True),
    Column("Notes", "dim", least=9, optional=True, tail=True, early=True),
)


def draw_table(
    screen: Screen, rows: Sequence[Row], notes: Mapping[int, list[str]], *, files: bool, indent: str = ""
) -> None:
    """Write a table of tensors, as wide as the screen allows.

    Args:
        rows: the tensors.
        notes: what is remarkable, by the tensor's id (see `notes_on`).
        files: whether to say which file each is in.
    """
    shown = short_names([row.file for row in rows]) if files else {}
    devices = any(row.ref.device not in ("cpu", "meta") for row in rows)
    cells = [
        (
            shown.get(file, ""),
            words.one_line(ref.name),
            words.shape(ref.shape),
            ref.dtype.name,
            words.size(ref.nbytes),
            words.one_line(ref.device) if devices else "",
            ", ".join(notes.get(id(ref), ())),
        )
        for file, ref in rows
    ]
    draw(screen, _COLUMNS, cells, indent=indent)


def short_names(files: Iterable[str]) -> dict[str, str]:
    """Each file without the folders that all have in common.

    Example:
        >>> short_names(["/data/a/model.pt", "/data/b/model.pt"])
        {'/data/a/model.pt': 'a/model.pt', '/data/b/model.pt': 'b/model.pt'}
    """
    names = dict.fromkeys(files)
    folders = [name.replace("\\", "/").split("/")[:-1] for name in names]
    common = 0
    while folders and all(len(folder) > common and folder[common] == folders[0][common] for folder in folders):
        common += 1
    return {name: words.one_line("/".join(name.replace("\\", "/").split("/")[common:])) for name in names}


def totals(refs: Iterable[TensorRef]) -> str:
    """How many tensors, elements and bytes; shared storages are counted once.

    Example:
        >>> totals([])
        'no tensors'
    """
    count = values = logical = 0
    storages: dict[int, int] = {}
    for ref in refs:
        count += 1
        values += elements(ref)
        logical += ref.nbytes
        for storage in storages_of(ref):
            storages[id(storage)] = storage.nbytes
    if not count:
        return "no tensors"
    stored = sum(storages.values())
    text = f"{words.plural(count, 'tensor')}, {words.plural(values, 'element')}, {words.size(logical)}"
    return text if words.size(stored) == words.size(logical) else f"{text} ({words.size(stored)} in the file)"


def storages_of(ref: TensorRef) -> Iterator[StorageRef]:
    """The storages that a tensor's values lie in."""
    for part in ref.strided_parts():
        if part.storage is not None:
            yield part.storage.view_of[0] if part.storage.view_of else part.storage


def notes_on(tensors: Mapping[str, TensorRef]) -> dict[int, list[str]]:
    """What is remarkable about each tensor of a file: sharing, layout, quantization; by the tensor's id."""
    sharers: dict[int, list[TensorRef]] = {}
    for ref in tensors.values():
        for storage in storages_of(ref):
            sharers.setdefault(id(storage), []).append(ref)
    return {id(ref): found for ref in tensors.values() if (found := list(_notes(ref, sharers)))}


def _notes(ref: TensorRef, sharers: Mapping[int, list[TensorRef]]) -> Iterator[str]:
    if ref.flavor in ("parameter", "buffer"):
        yield "param" if ref.flavor == "parameter" else "buffer"
    if ref.flavor != "parameter" and ref.requires_grad:
        yield "requires grad"
    if ref.layout != "strided":
        yield ref.layout
    extra = ref.extra or {}
    if "scheme" in extra:
        yield f"scale {extra['scale']:.4g}" if "scale" in extra else "scale per channel"
    yield from (bit for bit in ("conj", "neg") if extra.get(bit))
    if ref.storage is None:
        if ref.is_meta:
            yield "meta, no values" if "array" not in extra else "values in the pickle"
        return
    base = next(storages_of(ref))
    others = [other for other in sharers[id(base)] if other is not ref]
    if others:
        yield _sharing(ref, others)
    elif ref.extent * ref.dtype.itemsize < base.nbytes and not ref.dtype.bits:
        yield f"view of {words.size(base.nbytes)}"
    if 0 in ref.strides and ref.numel > ref.extent:
        yield "expanded"
    elif not ref.is_contiguous:
        yield _order(ref)


def _order(ref: TensorRef) -> str:
    """How the elements of a tensor lie that is not in row-major order."""
    by_stride = sorted(range(len(ref.shape)), key=lambda d: (-ref.strides[d], d))
    if ref.extent != ref.numel:
        return "strided"
    if by_stride in ([0, 2, 3, 1], [0, 2, 3, 4, 1]):
        return "channels last"
    return "transposed" if by_stride == [*range(len(by_stride) - 2), *range(len(by_stride))[:-3:-1]] else "permuted"


def _sharing(ref: TensorRef, others: Sequence[TensorRef]) -> str:
    for other in others:
        if (other.offset, other.shape, other.strides) == (ref.offset, ref.shape, ref.strides):
            return f"tied to {words.one_line(other.name)}"
    return f"shares memory with {words.one_line(others[0].name)}" + (
        f" and {len(others) - 1:,} more" if others[1:] else ""
    )
