"""`dotpt.open`: a file as a lazy view. Opening costs the directory and the pickle; tensors are read when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from dotpt.archive import collector
from dotpt.archive.memories import Memories, storages_of
from dotpt.archive.opening import open_contents
from dotpt.container.record import Container
from dotpt.errors import DotptError, MissingDependency, SourceError, TensorError, UsageError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.pickling.tree import named_tensors, settle, transform
from dotpt.pickling.values import GlobalName
from dotpt.tensors.refs import TensorRef

if TYPE_CHECKING:
    from dotpt.formats.architecture import Architecture
    from dotpt.formats.manifest import Manifest
    from dotpt.inspect.claims import Claim
    from dotpt.inspect.report import Report


def open(
    source: Any,
    *,
    mmap: bool = False,
    verify: bool = True,
    encoding: str = "utf-8",
    limits: Limits = DEFAULT_LIMITS,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Archive:
    """Open a file without reading its tensors or running anything in it.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, or a binary file object.
        mmap: map tensors from a local file (instant, copy-on-write) instead of reading them.
        verify: check a record's checksum whenever it is read.
        encoding: of strings that Python 2 wrote: a codec name, or ``"bytes"``.
        limits: what the file may ask for.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Raises:
        NotATorchFile: the bytes are something else; the message says what.
        DotptError: the file is damaged, hostile or unsupported; each subclass says how.

    Example:
        >>> import dotpt
        >>> with dotpt.open("tests/corpus/fixtures/zip/state_dict.pt") as archive:
        ...     print(archive.kind, len(archive.tensors))
        state dict 9
    """
    options = ReadOptions(limits=limits, encoding=encoding, verify=verify)
    with collector.paused():
        contents = open_contents(source, options, allow_download=allow_download, storage_options=storage_options)
    return Archive(contents, options, mmap=mmap)


class Archive:
    """A file, opened: what it is, its tree, and its tensors by address. Close it, or use it in a ``with``.

    Attributes:
        contents: the decoded file as the format reader gave it.
        mmap, verify: how tensors are read unless a call says otherwise.
    """

    def __init__(self, contents: Contents, options: ReadOptions, *, mmap: bool = False, settled: bool = False) -> None:
        self.contents = contents
        self.options = options
        self.mmap = mmap
        self.verify = options.verify
        self._settled = settled  # whether the leaves of the tree are values already, or are to stay records
        self._tensors: dict[str, TensorRef] | None = None
        self._aliases: dict[str, list[str]] = {}
        self._closed = False
        self._noted = False
        self._manifest: Manifest | Literal[False] | None = False
        self._architecture: Architecture | Literal[False] | None = False

    # -- facts ------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The file as the user named it."""
        return self.contents.container.source.name

    @property
    def format(self) -> str:
        """The container: ``zip``, ``legacy``, ``tar``, ``torchscript``, ``safetensors``, ``sharded``, ``pickle``."""
        return self.contents.format

    @property
    def kind(self) -> str:
        """What was saved: ``state dict``, ``checkpoint``, ``whole module``, ``tensor``, ``TorchScript``, ..."""
        from dotpt.inspect.kinds import kind_of

        return str(kind_of(self).value)

    @property
    def tree(self) -> Any:
        """The object that was saved, with `TensorRef` leaves where its tensors are."""
        if not self._settled:
            self.contents.tree = transform(self.contents.tree, settle, self.options.limits.nesting)
            self._settled = True
        return self.contents.tree

    @property
    def tensors(self) -> Mapping[str, TensorRef]:
        """Every tensor by its address: the keys that lead to it, joined by dots."""
        if self._tensors is None:
            self._tensors = self._name_tensors()
        return self._tensors

    @property
    def aliases(self) -> Mapping[str, list[str]]:
        """Addresses of tensors that share a storage, by storage key; tied weights and views."""
        self.tensors  # noqa: B018 - names them
        return {key: names for key, names in self._aliases.items() if len(names) > 1}

    @property
    def globals(self) -> list[GlobalName]:
        """Every class and function that the pickles name."""
        return self.contents.globals

    @property
    def unknown_globals(self) -> list[GlobalName]:
        """Those that are not known to be harmless."""
        return [name for name in self.contents.globals if not name.known]

    @property
    def metadata(self) -> dict[str, Any]:
        """What the author wrote beside the tensors, by name (`dotpt.set_metadata`, safetensors, TorchScript)."""
        if not self._noted:
            from dotpt.formats.metadata import read_record

            self._noted = True
            self.contents.metadata |= self._added(read_record, "The metadata cannot be read") or {}
        return self.contents.metadata

    @property
    def manifest(self) -> Manifest | None:
        """What `dotpt.save` noted of each tensor: its place and its hash. None if another program wrote the file."""
        if self._manifest is False:
            from dotpt.formats.manifest import read_manifest

            self._manifest = self._added(read_manifest, "The tensors' hashes cannot be read")
        return self._manifest or None

    @property
    def architecture(self) -> Architecture | None:
        """What `dotpt.save_model` noted of the model: its class and what it was built with. None if nothing was."""
        if self._architecture is False:
            from dotpt.formats.architecture import read_architecture

            self._architecture = self._added(read_architecture, "The model's architecture cannot be read")
        return self._architecture or None

    def _added(self, read: Callable[[Container], Any], problem: str) -> Any:
        """One of the records that dotpt adds. If it is broken, that is only noted, for no tensor depends on it."""
        try:
            return read(self.contents.container)
        except SourceError:
            raise
        except DotptError as error:
            self.contents.notes.append(f"{problem}: {error.problem}")
            return None

    @property
    def writer(self) -> Claim:
        """What could have written the file, and how certain that is."""
        from dotpt.inspect.writer import writer_of

        return writer_of(self)

    def inspect(self) -> Report:
        """The whole report on the file, as `dotpt.inspect` gives it."""
        from dotpt.inspect.report import report_on

        return report_on(self)

    def _name_tensors(self) -> dict[str, TensorRef]:
        found: dict[str, TensorRef] = {}
        first: dict[int, TensorRef] = {}
        for address, known in named_tensors(self.tree, self.options.limits.nesting):
            name, number = address or "tensor", 2
            while name in found:  # {"a": {"b": t}, "a.b": t}: two places, one spelling
                name, number = f"{address}#{number}", number + 1
            # a tensor that lies in several places has a reference for each, with its name
            ref = copy(known) if id(known) in first else first.setdefault(id(known), known)
            ref.name, ref.archive = name, self
            found[name] = ref
            for role, part in (ref.parts or {}).items():
                if type(part) is TensorRef:
                    part.name, part.archive = f"{name}.{role}", self
            for part in ref.strided_parts():
                if part.storage is not None:
                    self._aliases.setdefault(part.storage.key, []).append(name)
        return found

    # -- values -----------------------------------------------------------------------------------------------

    def read_tensor(self, ref: TensorRef, backend: str, *, mmap: bool | None = None, verify: bool | None = None) -> Any:
        """The values of one tensor (what `TensorRef.numpy` and `TensorRef.torch` call)."""
        self._check_open()
        memories = Memories(self.contents)
        mapped = self.mmap if mmap is None else mmap
        made = make_backend(backend, memories)

        def make() -> Any:
            memories.fetch(storages_of([ref]), mapped=mapped, verify=self.verify if verify is None else verify)
            return made.leaf(ref)

        return build(make, self.contents)

    def read_slice(self, ref: TensorRef, index: Any) -> Any:
        """Part of a tensor, reading only the bytes that it spans (what ``ref[10:20]`` calls)."""
        from dotpt.archive.slices import read_slice

        self._check_open()
        return read_slice(self, ref, index)

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("The archive is closed.", path=self.name, hint="read tensors inside the `with` block")

    def __getitem__(self, address: str) -> TensorRef:
        if self._tensors is None and isinstance(self.contents.tree, dict):
            # A state dict's own key: no need to name the other tensors first.
            found = self.contents.tree.get(address)
            if type(found) is TensorRef and not found.parts:
                found.name, found.archive = address, self
                return found
        try:
            return self.tensors[address]
        except KeyError:
            raise no_such_tensor(self, address) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    # -- life -------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file. Arrays and tensors that were taken from it stay valid."""
        self._closed = True
        self.contents.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<dotpt.Archive {self.name}: {self.kind}, {len(self.tensors):,} tensors>"

    def _repr_html_(self) -> str:
        from dotpt.inspect.html import as_html

        return as_html(self.inspect())


def build(make: Callable[[], Any], contents: Contents) -> Any:
    """What ``make`` gives. The one seam of the back ends: what torch or numpy refuse to build is a typed error."""
    try:
        return make()
    except DotptError as error:
        error.path = error.path or contents.container.source.name
        raise
    except MemoryError:
        raise TensorError("There is not enough memory for the tensors.", path=contents.container.source.name) from None
    except Exception as error:
        hashed = isinstance(error, TypeError) and "unhashable" in str(error)
        raise TensorError(
            f"The file's objects cannot be built ({type(error).__name__}: {error!s:.200}).",
            path=contents.container.source.name,
            hint='backend="torch": numpy arrays cannot be dictionary keys or set members'
            if hashed
            else "dotpt.open(...) shows what is in the file; it may be damaged or made to mislead",
        ) from error


def backend_of(backend: str) -> str:
    """The back end that a name stands for: for ``auto`` torch where it is installed, else numpy."""
    if backend != "auto":
        return backend
    from importlib.util import find_spec

    return "torch" if find_spec("torch") is not None else "numpy"


def make_backend(backend: str, memories: Memories, map_location: Any = None) -> Any:
    """The maker of leaves for ``numpy``, ``torch`` or ``auto`` (torch where it is installed)."""
    backend = backend_of(backend)
    if backend == "numpy":
        if map_location not in (None, "cpu"):
            raise UsageError("map_location needs the torch back end.", hint="pip install 'dotpt[torch]'")
        from dotpt.archive.numpy_backend import NumpyBackend

        return NumpyBackend(memories)
    if backend == "torch":
        try:
            from dotpt.archive.torch_backend import TorchBackend
        except ImportError as error:
            if error.name != "torch":
                raise
            raise MissingDependency(
                "torch is not installed.", hint='pip install torch, or use backend="numpy" (TensorRef.numpy())'
            ) from None
        return TorchBackend(memories, map_location)
    raise UsageError(f"There is no back end {backend!r}.", hint='use "auto", "torch" or "numpy"')


def no_such_tensor(archive: Archive, address: str) -> TensorError:
    """The error for an address that is not in the file, with the nearest ones."""
    from difflib import get_close_matches

    near = get_close_matches(address, list(archive.tensors)[:10_000], 3, 0.5)
    hint = "did you mean " + ", ".join(near) + "?" if near else "`dotpt ls FILE` lists them"
    return NoSuchTensor("The file has no tensor of this name.", path=archive.name, key=address, hint=hint)


class NoSuchTensor(TensorError, KeyError):
    """An address that is not in the file."""

    __str__ = TensorError.__str__
