"""Archives of torch.export (``.pt2``): which records are nothing but the numbers of tensors.

    data/weights/weight_0, ...               bytes of a storage, or (use_pickle) a file of torch.save
    data/weights/NAME_weights_config.json    which weight lies where: {"config": {NAME: {path_name, use_pickle, ...}}}
    data/constants/tensor_0, ...             the same with NAME_constants_config.json
    data/sample_inputs/NAME.pt               a file of torch.save
    models/NAME.json                         the program, as a table of operations
    data/aotinductor/NAME/...                native code, if it was compiled

Up to torch 2.7 all of them are JSON texts and files of torch.save. Invariant: a record counts as numbers only if every
table that lists it says so, and if it is as long as they say.
"""

from __future__ import annotations

from typing import Any

from dotpt.container.jsontext import parse_json
from dotpt.container.zip import ZipContainer
from dotpt.errors import ContainerError, DotptError
from dotpt.formats.json_records import read_header
from dotpt.scan.session import Session

_TABLES = ("_weights_config.json", "_constants_config.json")
_FOLDERS = ("data/weights/", "data/constants/")
# bytes of an element, by torch.export's number of its type
_ITEM = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2, 28: 2,
         29: 1, 30: 1, 31: 1, 32: 1, 33: 1, 34: 4, 35: 8}  # fmt: skip


def account(session: Session, container: ZipContainer) -> set[str]:
    """The records that are tensors' bytes, by what the archive's tables say."""
    sizes = {name: container.sizes[index] for name, index in container.positions.items()}
    raw: set[str] = set()
    pickled: set[str] = set()
    for name in sizes:
        folder = next((folder for folder in _FOLDERS if folder in name), None)
        if folder is None or not name.endswith(_TABLES):
            continue
        before = name[: name.rindex("/") + 1]
        for path, entry in _entries(session, container, name):
            member = before + path
            if member not in sizes:
                continue
            (pickled if entry.get("use_pickle") is not False else raw).add(member)
            if entry.get("use_pickle") is False and _needed(entry.get("tensor_meta")) > sizes[member]:
                session.add("bad-tensor", "A tensor is larger than the record it lies in.", record=member)
                pickled.add(member)
    session.findings.members += len(raw - pickled)
    return raw - pickled


def _entries(session: Session, container: ZipContainer, name: str) -> list[tuple[str, dict[str, Any]]]:
    """The rows of one table."""
    facts = {"path": container.source.name, "record": name}
    try:
        text = read_header(container, name)
        table = parse_json(text, session.limits, lambda problem, at: ContainerError(problem, offset=at, **facts))
    except DotptError as error:
        session.report(error)
        return []
    config = table.get("config") if type(table) is dict else None
    rows = list(config.values()) if type(config) is dict else []
    return [(row["path_name"], row) for row in rows if type(row) is dict and type(row.get("path_name")) is str]


def _needed(meta: Any) -> int:
    """How many bytes a tensor reaches into its storage, as far as its row says so."""
    if type(meta) is not dict:
        return 0
    sizes, strides = _numbers(meta.get("sizes")), _numbers(meta.get("strides"))
    offset = _numbers([meta.get("storage_offset")])
    if len(sizes) != len(strides) or not offset or 0 in sizes:
        return 0
    last = offset[0] + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    kind = meta.get("dtype")
    return (last + 1) * _ITEM.get(kind if type(kind) is int else 0, 1)


def _numbers(values: Any) -> list[int]:
    """Sizes, which are written as {"as_int": 3}."""
    found = [value.get("as_int") for value in values if type(value) is dict] if type(values) is list else []
    return [number for number in found if type(number) is int]
