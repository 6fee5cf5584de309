"""Archives of torch.package: pickles that name tensors and code beside them.

    .data/N.storage          bytes of a storage, as the pickles say
    PACKAGE/NAME.pkl         a pickle; its persistent ids are ("storage", ...), and ("reduce_package", id, function,
                             arguments): the importer calls the function with itself and the arguments
    PACKAGE/....py           Python code, which importing runs
    .data/ts_code/...        TorchScript: the records of torch.jit.save, without their storages
    .data/extern_modules     names of modules that are imported from outside

Invariant: a storage is accounted for only if a pickle that was decoded to its end names it, with its size.
"""

from __future__ import annotations

from typing import Any

from dotpt.container.sniff import sniff
from dotpt.container.zip import ZipContainer
from dotpt.errors import DotptError, PickleError
from dotpt.formats.contents import ReadOptions
from dotpt.formats.embedded import nested_reader
from dotpt.pickling.context import Context
from dotpt.pickling.journal import Journal
from dotpt.pickling.machine import Machine
from dotpt.pickling.values import InertGlobal
from dotpt.scan.hidden import search_texts
from dotpt.scan.raw import search_names
from dotpt.scan.session import Session
from dotpt.scan.streams import judge
from dotpt.source.memory import BytesSource

# What the importer calls for torch's own objects: their program is in the package, and looked into there.
_OF_TORCH = {
    "torch.jit._script.unpackage_script_module": "a TorchScript module",
    "torch.fx.graph_module.reduce_package_graph_module": "a module of torch.fx, whose code is in the package",
}
_SCRIPT = ".data/ts_code/"


def account(session: Session, container: ZipContainer) -> set[str]:
    """Decode the pickles of a package; gives them, and the records of the storages that they name."""
    done: set[str] = set()
    storages: dict[str, int] = {}
    for name in container.names:
        if name.endswith((".storage", ".debug_pkl")) or (".data/" in name and _SCRIPT not in name):
            continue
        size = container.sizes[container.index(name)]
        if not name.endswith(".pkl") or size > session.limits.pickle_bytes:
            continue
        try:
            data = container.read(name)
        except DotptError as error:  # a wrong checksum: looked into as any other record
            session.report(error)
            continue
        if sniff(BytesSource(data)).kind == "pickle":
            done.add(name)
            storages |= _decode(session, name, data)
    prefix = next((name[: name.index(".data/")] for name in container.names if ".data/" in name), "")
    for key, nbytes in storages.items():
        name = f"{prefix}.data/{key.removesuffix('.storage')}.storage"
        if name not in container:
            continue
        if container.sizes[container.index(name)] == nbytes:
            done.add(name)
        else:
            session.add("bad-tensor", f"The pickles say {nbytes:,} bytes, the record has another size.", record=name)
    return done


def _decode(session: Session, name: str, data: bytes) -> dict[str, int]:
    """Report what one pickle asks for; gives the storages that it names."""
    journal = Journal()
    options = ReadOptions(limits=session.limits, encoding="latin1", journal=journal)
    context = Context(session.limits, nested_reader(options), journal)
    machine = Machine(data, context, encoding="latin1", record=name)
    packed: set[str] = set()

    def outside(kind: str, parts: tuple[Any, ...]) -> Any:
        if kind != "reduce_package" or len(parts) not in (2, 3) or type(parts[-2]) is not InertGlobal:
            raise PickleError("The pickle refers to something outside it in a form that torch does not write.")
        function, arguments = parts[-2:]
        if function.qualified in _OF_TORCH:
            packed.add(function.qualified)
        return machine.call(function, arguments)

    context.outside = outside
    session.findings.members += 1
    refusal = None
    try:
        machine.load()
    except DotptError as error:
        refusal = error
    _forgive(session, journal, packed, name)
    judge(session, journal, script=_SCRIPT in name)
    search_texts(session, journal)
    if refusal is not None:
        session.report(refusal)
    elif machine.position != len(data):
        text = f"{len(data) - machine.position:,} bytes follow the pickle's end."
        session.add("trailing-data", text, record=name, offset=machine.position)
    if refusal is not None or machine.position != len(data):
        search_names(session, BytesSource(data), machine.position)
        return {}
    return {key: storage.nbytes for key, storage in context.storages.items()}


def _forgive(session: Session, journal: Journal, packed: set[str], name: str) -> None:
    """What torch itself has its importer call is no stranger's function."""
    others = {
        entry.made.type_name
        for entry in journal.calls.values()
        if type(entry.made.callee) is InertGlobal and entry.opcode not in (0x50, 0x51)
    }
    mine = packed - others
    journal.names[:] = [noted for noted in journal.names if str(noted.name) not in mine]
    journal.calls = {key: entry for key, entry in journal.calls.items() if entry.made.type_name not in mine}
    for function in sorted(mine):
        session.add("known-library", f"It holds {_OF_TORCH[function]}.", record=name, name=function)
