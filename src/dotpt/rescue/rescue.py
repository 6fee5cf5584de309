"""`dotpt.rescue`: the weights, the module tree and the plain values of a file, without the code that made it.

What crosses this boundary: whatever the user calls a file; a `Rescued` out. Nothing that the file names is imported,
and torch is not needed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import TracebackType
from typing import Any

from dotpt.archive.archive import Archive, build, make_backend
from dotpt.archive.archive import open as open_archive
from dotpt.archive.memories import Memories, storages_of
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.rescue.classes import NeededClass, classes_of
from dotpt.rescue.find import Found, choose, entries_of
from dotpt.rescue.gather import lies_beside, values_beside
from dotpt.rescue.modules import view_of
from dotpt.rescue.notes import Notes
from dotpt.rescue.plain_state import Unsaid, as_state
from dotpt.rescue.script import ScriptModules, is_script_module
from dotpt.rescue.state import Look, ModuleState, state_of
from dotpt.rescue.tree import ModuleTree, tree_of
from dotpt.tensors.refs import TensorRef

Progress = Callable[[int, int], None]


def rescue(
    source: Any,
    *,
    where: str = "auto",
    backend: str = "auto",
    verify: bool = True,
    encoding: str = "utf-8",
    limits: Limits = DEFAULT_LIMITS,
    progress: Progress | None = None,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Rescued:
    """What can be had of a file whose classes are gone: the state dict, the module tree, the plain values.

    Takes a pickled model, a checkpoint that has one in it (``model``, ``ema``, ...), a TorchScript archive, or a
    checkpoint with a state dict among objects of unknown classes. Nothing of the file is run, and the tensors are
    read when they are asked for.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, or a binary file object.
        where: which weights: ``"auto"`` (averaged ones only if there are no others), ``"ema"``, or an address.
        backend: what `Rescued.state_dict` is made of: ``"torch"``, ``"numpy"``, or ``"auto"``: torch where it is
            installed.
        verify: compare checksums where the file has them.
        encoding: of strings that Python 2 wrote: a codec name, or ``"bytes"``.
        limits: what the file may ask for.
        progress: called with (bytes done, bytes in all) while tensors are read.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Raises:
        NoWeights: the file holds neither a module nor a state dict (there); the message says what it holds.
        AmbiguousWeights: it holds several networks, and no name tells which is meant.
        NotATorchFile: the bytes are something else; the message says what.
        DotptError: the base of these and all others.

    Example:
        >>> import dotpt
        >>> rescued = dotpt.rescue("tests/corpus/fixtures/zip/module.pt", backend="numpy")
        >>> list(rescued.state_dict)[:2]
        ['0.weight', '0.bias']
    """
    archive = open_archive(
        source, verify=verify, encoding=encoding, limits=limits, allow_download=allow_download,
        storage_options=storage_options,
    )  # fmt: skip
    try:
        return rescue_from(archive, where=where, backend=backend, progress=progress)
    except BaseException:
        archive.close()
        raise


def rescue_from(
    archive: Archive, *, where: str = "auto", backend: str = "auto", progress: Progress | None = None
) -> Rescued:
    """The same, from a file that is open already. The archive must stay open while tensors are read."""
    found, others = choose(archive.tree, where, name=archive.name)
    notes = Notes()
    look: Look = ScriptModules(archive.contents.container, notes) if is_script_module(found.value) else view_of
    if found.is_module:
        state = state_of(found.value, limits=archive.options.limits, look=look)
    else:
        state = state_of_dictionary(found.value)
    if found.role == "ema" and where == "auto":
        notes.add(f"The averaged weights at {found.address} were taken, for the file has no others")
    for other in others:
        notes.add(f"{other.address or 'the whole object'} also holds weights, which were not taken")
    if archive.format == "torchscript" and not found.is_module:
        notes.add("The module was frozen: its weights are constants of its program, without the names that they had")
    if look is not view_of and not state.state and archive.tensors:
        notes.add(
            f"The module has no parameters: the archive's {len(archive.tensors):,} tensors are constants of its "
            "program, or packed weights; dotpt.open(...).tensors has them"
        )
    values = values_beside(archive.tree, found, look, notes)
    state.notes = [*state.notes, *notes.lines]
    return Rescued(archive, found, state, values, look, backend, progress)


def state_of_dictionary(held: Any) -> ModuleState:
    """The state dict that a checkpoint holds as such: what in it is neither tensor nor plain is left out."""
    state, notes = ModuleState(), Notes()
    for key, value in entries_of(held):
        name = key if type(key) is str else str(key)
        if lies_beside(held, key, value):
            notes.add(f"{name} is no tensor: it is among the values")
            continue
        try:
            state.state[name] = as_state(value, notes, name)
        except Unsaid as unsaid:
            notes.add(f"{name}: {unsaid}; it was left out")
    metadata = getattr(held, "_metadata", None)
    if isinstance(metadata, dict):
        state.metadata = OrderedDict((k, v) for k, v in metadata.items() if type(k) is str and _is_versions(v))
    state.notes = notes.lines
    return state


def _is_versions(value: Any) -> bool:
    return type(value) is dict and all(type(item) in (int, bool, dict) for item in value.values())


class Rescued:
    """What was rescued from a file. Close it, or use it in a ``with``, when no more tensors are to be read.

    Attributes:
        archive: the file, open.
        address: where in it the weights lie: ``""`` for the whole object.
        role: ``weights``, or ``ema`` for averaged ones.
        classes: the classes that the file names, and which of them are code that it lacks.
        values: the plain values beside the weights: epoch, arguments, names, the module's own hyper-parameters.
        notes: what was left out, and what cannot be known, one sentence each.
    """

    def __init__(
        self,
        archive: Archive,
        found: Found,
        state: ModuleState,
        values: dict[Any, Any],
        look: Look,
        backend: str,
        progress: Progress | None,
    ) -> None:
        self.archive = archive
        self.address, self.role = found.address, found.role
        self.values = values
        self.notes = state.notes
        self.classes: list[NeededClass] = classes_of(archive.contents)
        self._found, self._state, self._look = found, state, look
        self._backend, self._progress = backend, progress
        for name, value in state.state.items():
            for ref in _tensors_in(value):
                ref.name, ref.archive = name, archive

    # -- the weights --------------------------------------------------------------------------------------------------

    @property
    def entries(self) -> Mapping[str, Any]:
        """The state dict with `TensorRef` values, where the file's tensors are; other values are plain."""
        return self._state.state

    @property
    def tensors(self) -> Mapping[str, TensorRef]:
        """The tensors of the state dict, not yet read, by name."""
        return {name: value for name, value in self._state.state.items() if type(value) is TensorRef}

    @property
    def metadata(self) -> Mapping[str, dict[str, Any]]:
        """The version of each module's class, by the module's name: ``state_dict._metadata``."""
        return self._state.metadata

    def keep_only(self, wanted: Callable[[TensorRef], bool]) -> None:
        """Let go of the tensors that are not wanted; call it before anything is read. What is no tensor stays.

        Args:
            wanted: called with each tensor; its ``name`` is that in the state dict.
        """
        state = self._state.state
        gone = [name for name, value in state.items() if type(value) is TensorRef and not wanted(value)]
        for name in gone:
            del state[name]
        if gone:
            self.notes.append(f"Of the tensors, {len(gone):,} were not wanted.")
            self.__dict__.pop("state_dict", None)

    @cached_property
    def state_dict(self) -> OrderedDict[str, Any]:
        """What ``model.state_dict()`` gave: names, order, values, tied weights, ``_metadata``. Read once."""
        memories = Memories(self.archive.contents)
        made = make_backend(self._backend, memories)

        def make() -> OrderedDict[str, Any]:
            if not made.unread:
                refs = [ref for value in self._state.state.values() for ref in _tensors_in(value)]
                memories.fetch(storages_of(refs), verify=self.archive.verify, progress=self._progress)
            state = OrderedDict((name, _made(value, made.leaf)) for name, value in self._state.state.items())
            return self._with_metadata(state)

        return build(make, self.archive.contents)  # type: ignore[no-any-return]

    def _with_metadata(self, state: OrderedDict[str, Any]) -> OrderedDict[str, Any]:
        if self._state.metadata:
            state._metadata = OrderedDict(  # type: ignore[attr-defined]
                (name, dict(versions)) for name, versions in self._state.metadata.items()
            )
        return state

    def save(self, dest: Any, **options: Any) -> None:
        """Save the state dict as a plain ``.pt``, copied from file to file: torch is not needed, nor memory.

        Args:
            dest: a path, a binary file object, or an fsspec address.
            options: what `dotpt.save` takes: ``metadata``, ``durable``, ``progress``, ...

        Raises:
            WriteError: the file cannot be written; the message says why.
        """
        from dotpt.saving.save import save

        save(self._with_metadata(OrderedDict(self._state.state)), dest, **options)

    # -- the rest -----------------------------------------------------------------------------------------------------

    @cached_property
    def tree(self) -> ModuleTree | None:
        """The module, as ``print(model)`` shows it, with each layer's hyper-parameters; None for a state dict."""
        if not self._found.is_module:
            return None
        return tree_of(self._found.value, limits=self.archive.options.limits, look=self._look)

    @property
    def unknown(self) -> list[NeededClass]:
        """The classes whose code is neither in the file nor in torch."""
        return [needed for needed in self.classes if needed.unknown]

    def to_dict(self) -> dict[str, Any]:
        """All but the tensors' values, as plain values (docs/cli.md has the schema)."""
        return {
            "address": self.address,
            "role": self.role,
            "tensors": [
                {"name": name, "shape": list(ref.shape), "dtype": ref.dtype.name, "bytes": ref.nbytes}
                for name, ref in self.tensors.items()
            ],
            "others": [name for name, value in self.entries.items() if type(value) is not TensorRef],
            "metadata": {name: dict(versions) for name, versions in self.metadata.items()},
            "tree": self.tree.to_dict()["modules"] if self.tree is not None else None,
            "values": self.values,
            "classes": [needed.to_dict() for needed in self.classes],
            "notes": list(self.notes),
        }

    def close(self) -> None:
        """Close the file. What was read stays valid."""
        self.archive.close()

    def __enter__(self) -> Rescued:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        place = f" at {self.address}" if self.address else ""
        lost = f", classes not in the file: {len(self.unknown):,}" if self.unknown else ""
        return f"<dotpt.Rescued {self.archive.name}{place}: tensors: {len(self.tensors):,}{lost}>"


def _tensors_in(value: Any) -> Iterator[TensorRef]:
    """The tensors of one value of a state dict: itself, or those of packed weights."""
    if type(value) is TensorRef:
        yield value
    elif type(value) in (list, tuple):
        for item in value:
            yield from _tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors_in(item)


def _made(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """A value of a state dict as the back end makes it."""
    if type(value) in (list, tuple):
        return type(value)(_made(item, leaf) for item in value)
    if isinstance(value, dict):
        return type(value)((key, _made(item, leaf)) for key, item in value.items())
    return leaf(value)
