"""TorchScript archives (`torch.jit.save`, torch 1.3 to today), and their form for phones (``.ptl``).

Records, in a zip like that of torch.save::

    data.pkl, data/0, ...            the root module: inert objects of classes __torch__.*, with attributes and tensors
    constants.pkl, constants/0, ...  a tuple of the tensors that the code names CONSTANTS.c0, CONSTANTS.c1, ...
    code/__torch__/....py            the program, packed; never run, and not unpacked to be listed
    code/....py.debug_pkl            where its lines came from
    bytecode.pkl                     (.ptl) the program again, for the lite interpreter: version, functions
    extra/NAME                       what the author put beside it
    traced_inputs.pkl                (traced modules) shapes of the example inputs, whose bytes are not saved

A frozen module has its weights among the constants, so these are shown as an attribute ``CONSTANTS`` of the root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dotpt.container.zip import ZipContainer
from dotpt.errors import ContainerError, PickleError, TensorError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.decoding import decode
from dotpt.formats.embedded import nested_reader
from dotpt.formats.pt_zip import attach_storages, extra_texts
from dotpt.pickling.context import Context
from dotpt.pickling.values import GlobalName, InertGlobal, InertObject
from dotpt.tensors.refs import StorageRef, TensorRef

CONSTANTS = "CONSTANTS"
_MANGLED = re.compile(r"___torch_mangle_\d+\.?")
_COPIES = 10_000  # modules that may be shown at a second address


def read(container: ZipContainer, options: ReadOptions, facts: dict[str, Any]) -> Contents:
    """The contents of a TorchScript archive: its module as an inert object, its tensors as any others.

    Raises:
        ContainerError, PickleError, TensorError, LimitExceeded: what each says.
    """
    context = Context(options.limits, nested_reader(options), options.journal)
    tree, machine = decode(container, "data.pkl", context, options)
    attach_storages(container, context.storages, "data/", facts["byteorder"])
    names = dict(machine.globals)
    contents = Contents("torchscript", tree, container, dict(context.storages), [], facts)

    aside = Context(options.limits, nested_reader(options), options.journal)
    constants, machine = decode(container, "constants.pkl", aside, options)
    if type(constants) is not tuple:
        raise PickleError("The constants are not a tuple.", path=container.source.name, record="constants.pkl")
    attach_storages(container, aside.storages, "constants/", facts["byteorder"])
    names |= machine.globals
    if "bytecode.pkl" in container:
        names |= _read_bytecode(contents, aside, options)
    for key, storage in aside.storages.items():
        storage.key = f"constants/{key}"
        contents.storages[storage.key] = storage

    contents.globals = list(names.values())
    contents.extra |= {"constants": constants, "code": _code(container)}
    contents.metadata = extra_texts(container)
    if _separate(tree):
        contents.notes.append("The modules share parts so often that not all of their addresses are listed.")
    _show_constants(tree, constants)
    return contents


def _read_bytecode(contents: Contents, aside: Context, options: ReadOptions) -> dict[tuple[str, str], GlobalName]:
    """The program for the lite interpreter; if it is malformed, that is only noted, for it holds no weights."""
    container: Any = contents.container
    known: dict[str, StorageRef] = dict(aside.storages)
    try:
        bytecode, machine = decode(container, "bytecode.pkl", aside, options)
        new = {key: storage for key, storage in aside.storages.items() if key not in known}
        attach_storages(container, new, "constants/", contents.facts["byteorder"])
    except (ContainerError, PickleError, TensorError) as error:
        aside.storages = known
        contents.notes.append(f"bytecode.pkl cannot be read, so the lite interpreter would refuse the file: {error}")
        return {}
    contents.extra["bytecode"] = bytecode
    version = bytecode[0] if type(bytecode) is tuple and bytecode else None
    if type(version) is int:
        contents.facts["bytecode_version"] = version
    else:
        contents.notes.append("bytecode.pkl does not begin with its version.")
    return machine.globals


def _code(container: ZipContainer) -> list[tuple[str, int]]:
    """(name, bytes when unpacked) of the program's records, from the directory alone."""
    sizes = container.sizes
    return [(name, sizes[index]) for name, index in container.positions.items() if name.startswith("code/")]


def _show_constants(tree: Any, constants: tuple[Any, ...]) -> None:
    attributes = tree.state if type(tree) is InertObject else None
    tensors = {f"c{number}": value for number, value in enumerate(constants) if type(value) is TensorRef}
    if tensors and type(attributes) is dict:
        attributes.setdefault(CONSTANTS, tensors)


def _separate(tree: Any) -> bool:
    """Give a module that is an attribute of several modules an object at each, as `state_dict` names it at each.

    The tensors stay shared. Returns True where the limit was reached (a hundred objects can have 2^100 paths).
    """
    if not _is_object(tree):
        return False
    met, above = {id(tree)}, {id(tree)}
    copies = 0
    path = [(tree, _parts(tree))]
    while path:
        parent, parts = path[-1]
        name, part = next(parts, (None, None))
        if part is None:
            above.discard(id(parent))
            path.pop()
            continue
        if id(part) in above:  # a module within itself
            continue
        if id(part) in met:
            if copies >= _COPIES:
                return True
            copies += 1
            part = _copy(part)
            parent.state[name] = part
        met.add(id(part))
        above.add(id(part))
        path.append((part, _parts(part)))
    return False


def _copy(part: InertObject) -> InertObject:
    twin = InertObject(part.callee, part.how, part.args, part.kwargs)
    twin.states = [*part.states[:-1], dict(part.state)]
    twin.items, twin.pairs = part.items, part.pairs
    return twin


def _parts(module: InertObject) -> Iterator[tuple[str, InertObject]]:
    """The objects among an object's attributes."""
    return iter([(name, part) for name, part in module.state.items() if _is_object(part)])


def _is_object(value: Any) -> bool:
    return type(value) is InertObject and type(value.callee) is InertGlobal and type(value.state) is dict


def module_tree(tree: Any) -> list[tuple[str, str]]:
    """(dotted name, class) of every module of a TorchScript archive; the root's name is empty.

    Classes are named as in the program that was compiled: without ``__torch__.`` and the numbers put in where two
    classes had one name.

    Example:
        >>> root = InertObject(InertGlobal("__torch__.net.___torch_mangle_3", "Net"), "new")
        >>> root.states.append({"training": True})
        >>> module_tree(root)
        [('', 'net.Net')]
    """
    if not _is_object(tree):
        return []
    found: list[tuple[str, str]] = []
    seen: set[int] = set()
    waiting = [("", tree)]
    while waiting:
        name, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found.append((name, _class_name(module.callee)))
        parts = [(f"{name}.{key}" if name else str(key), part) for key, part in _parts(module) if _is_module(part)]
        waiting += reversed(parts)
    return found


def _is_module(part: InertObject) -> bool:
    """Whether an object is a module (every one has a flag ``training``) and no other class of the program."""
    return str(part.callee.module).startswith("__torch__") and "training" in part.state


def _class_name(callee: Any) -> str:
    return _MANGLED.sub("", str(callee.qualified)).removeprefix("__torch__.")
