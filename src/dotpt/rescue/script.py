"""Modules of a TorchScript archive, as `torch.jit.load` would see them: records and the program's declarations in.

The pickle of an archive has a module's attributes in one dictionary; which of them are parameters and which buffers
stands at the head of its class in the program (``code/__torch__/....py``)::

    class Linear(Module):
      __parameters__ = ["weight", "bias", ]
      __buffers__ = []

Invariant: the program is only searched for these lines. None of it is run, nor parsed as Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dotpt.container.record import Container
from dotpt.pickling.values import InertObject
from dotpt.rescue.modules import ModuleView
from dotpt.rescue.notes import Notes
from dotpt.tensors.refs import TensorRef

ROOT = "__torch__"
_LARGEST = 16 << 20  # bytes of one file of the program
_HEAD = r"(?:  __(?:parameters|buffers)__ = \[[^\]\n]*\]\n)*"
_CLASS = re.compile(rf"^class ([^\s(]{{1,1000}})\(Module\):\n({_HEAD})", re.MULTILINE)
_LIST = re.compile(r"__(parameters|buffers)__ = \[([^\]\n]*)\]")
_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Declared:
    """What the head of a class in the program says: names of parameters and buffers; None where it says nothing."""

    parameters: frozenset[str] | None
    buffers: frozenset[str] | None


class ScriptModules:
    """What records of a TorchScript archive say of their modules: a ``look`` for `dotpt.rescue.state.state_of`.

    Args:
        container: the archive, whose program is searched.
        notes: where what is missing in it is said.
    """

    def __init__(self, container: Container, notes: Notes) -> None:
        self._container = container
        self._notes = notes
        self._files: dict[str, dict[str, Declared]] = {}

    def __call__(self, record: InertObject) -> ModuleView:
        """One module."""
        attributes = record.state if type(record.state) is dict else {}
        view = ModuleView(record, str(record.type_name), attributes)
        declared = self._declared(record)
        for name, value in attributes.items():
            if is_script_module(value):
                view.modules[name] = value
            elif type(value) is TensorRef:
                self._sort(view, declared, name, value)
        return view

    def _sort(self, view: ModuleView, declared: Declared | None, name: str, value: TensorRef) -> None:
        if declared is None or declared.parameters is None or name in declared.parameters:
            view.parameters[name] = value
        elif declared.buffers is None:
            view.buffers[name] = value
            self._notes.add(
                f"{view.name}.{name} is no parameter, and the program (of torch before 1.6) does not say whether it is "
                "part of the state: it was kept, while torch.jit.load would leave it out"
            )
        elif name in declared.buffers:
            view.buffers[name] = value

    def _declared(self, record: InertObject) -> Declared | None:
        """The declarations of a record's class."""
        module = str(getattr(record.callee, "module", ""))
        file = self._files.get(module)
        if file is None:
            file = self._files[module] = self._read(module)
        declared = file.get(str(getattr(record.callee, "name", "")))
        if declared is None:
            self._notes.add(
                f"the program does not declare {record.type_name}: all tensors that it has are taken for weights"
            )
        return declared

    def _read(self, module: str) -> dict[str, Declared]:
        name = f"code/{module.replace('.', '/')}.py"
        if name not in self._container or self._container.record(name).size > _LARGEST:
            return {}
        text = self._container.read(name).decode("utf-8", "replace")
        return {found.group(1): _declaration(found.group(2)) for found in _CLASS.finditer(text)}


def _declaration(lines: str) -> Declared:
    lists = {kind: frozenset(_NAME.findall(names)) for kind, names in _LIST.findall(lines)}
    return Declared(lists.get("parameters"), lists.get("buffers"))


def is_script_module(value: Any) -> bool:
    """Whether a value is a module of a TorchScript archive (every one has a flag ``training``)."""
    return (
        type(value) is InertObject
        and value.type_name.startswith(ROOT)
        and type(value.state) is dict
        and "training" in value.state
    )
