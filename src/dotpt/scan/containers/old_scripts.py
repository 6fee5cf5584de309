"""TorchScript archives of torch 1.0 to 1.2: ``model.json`` is the table of their records.

model.json       {"mainModule": {...}, "tensors": [{"dims", "dataType", "data": {"key": "tensors/0"}}, ...]}
tensors/0, ...   bytes of a storage
attributes.pkl   a pickle of the attributes that are no tensors
code/....py      the program
"""

from __future__ import annotations

from typing import Any

from dotpt.container.jsontext import parse_json
from dotpt.container.zip import ZipContainer
from dotpt.errors import ContainerError, DotptError
from dotpt.formats.json_records import read_header
from dotpt.scan.session import Session

_DEPTH = 200  # modules within modules


def account(session: Session, container: ZipContainer) -> set[str]:
    """The records that are tensors' bytes, by what the archive's table says."""
    session.add("torchscript", "It holds a TorchScript program.")
    name = next(name for name in container.names if name.rpartition("/")[2] == "model.json")
    facts = {"path": container.source.name, "record": name}
    try:
        text = read_header(container, name)
        table = parse_json(
            text, session.limits, lambda problem, at: ContainerError(problem, offset=at, **facts), depth=_DEPTH
        )
    except DotptError as error:
        session.report(error)
        return set()
    root = name.removesuffix("model.json")
    keys = [_key(row) for row in table.get("tensors", [])] if type(table) is dict else []
    listed = {root + key for key in keys if key.startswith("tensors/")} & set(container.names)
    session.findings.members += len(listed)
    return listed


def _key(row: Any) -> str:
    data = row.get("data") if type(row) is dict else None
    key = data.get("key") if type(data) is dict else None
    return key if type(key) is str else ""
