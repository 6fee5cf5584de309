"""The tar format of torch 0.1.0 to 0.1.9, in its two forms.

Layout of the members (each pickle is followed by raw numbers; ``i8`` is a 64-bit integer)::

    sys_info    pickle of {protocol_version: 1000, little_endian: bool, type_sizes: {...}}
    storages    pickle(n), n times [ pickle((key, location, storage class)), i8 count, elements ],
                pickle([(view key, storage key, offset, count), ...])
    tensors     pickle(n), n times [ pickle((key, storage key or None, tensor class)),
                                     i8 dimensions, i8 size each, i8 stride each, i8 offset ]
    pickle      the object; a tensor or storage in it is the persistent id ``"KEY"``

The first releases wrote storages as ``(key, storage class)`` without a location, no list of views, and tensors as
``(key, tensor class, storage key)``. torch itself no longer reads those, and the others only where a file may run
code. Numbers and elements are in the byte order that sys_info states.
"""

from __future__ import annotations

import sys
from typing import Any

from dotpt.container.tar import TarContainer
from dotpt.errors import LimitExceeded, PickleError, TarError, TensorError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.formats.decoding import decode
from dotpt.formats.embedded import nested_reader
from dotpt.formats.tar_stream import TarStream
from dotpt.pickling.context import Context
from dotpt.pickling.values import GlobalName, StorageClass
from dotpt.pickling.vocabulary import Known
from dotpt.source.base import Source
from dotpt.tensors.bounds import MAX_INT64
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import StorageRef, TensorRef

PROTOCOL = 1000


def read(source: Source, options: ReadOptions) -> Contents:
    """The contents of a tar that torch 0.1 wrote.

    Raises:
        TarError, TruncatedFile, RecordMissing: the tar or its tables are damaged.
        PickleError, TensorError, LimitExceeded: what each says.
    """
    container = TarContainer(source, options.limits)
    context = _TarContext(options, container)
    system, names = _whole(container, "sys_info", context, options)
    if type(system) is not dict or system.get("protocol_version") != PROTOCOL:
        raise TarError(f"The tar is not of protocol {PROTOCOL}.", path=source.name, record="sys_info")
    little = system.get("little_endian")
    if type(little) is not bool:
        raise TarError("The tar does not say its byte order.", path=source.name, record="sys_info")
    tables = _Tables(container, context, options, little)
    tables.read_storages()
    tables.read_tensors()
    context.storages = tables.storages  # only now: the machine keeps track of what each pickle adds to them
    tree, more = _whole(container, "pickle", context, options)
    globals_ = {(name.module, name.name): name for name in [*more, *tables.globals, *names]}
    facts: dict[str, Any] = {
        "byteorder": "little" if little else "big",
        "protocol": PROTOCOL,
        "early": bool(tables.early),
        "system": {str(key): value for key, value in system.items() if type(value) in (int, bool, str)},
    }
    contents = Contents("tar", tree, container, context.storages, list(globals_.values()), facts)
    if context.module_sources:
        contents.extra["module_sources"] = context.module_sources
    return contents


def _whole(container: TarContainer, name: str, context: Context, options: ReadOptions) -> tuple[Any, list[GlobalName]]:
    """The object of a member that is one pickle, and the names it asks for."""
    value, machine = decode(container, name, context, options)
    return value, list(machine.globals.values())


class _TarContext(Context):
    """Resolves the persistent ids of this format: numbers as text, of tensors and storages alike."""

    def __init__(self, options: ReadOptions, container: TarContainer) -> None:
        super().__init__(options.limits, nested_reader(options), options.journal)
        self.objects: dict[int, TensorRef | StorageRef] = {}
        self._name = container.source.name

    def persistent(self, pid: Any) -> Any:
        """The tensor or storage of a number; the class of a (class, source file, source) tuple."""
        if type(pid) is bytes:
            pid = pid.decode("ascii", "replace")
        if type(pid) is str and pid.isascii() and pid.isdigit() and len(pid) <= 20:
            found = self.objects.get(int(pid))
            if found is None:
                raise TarError("The pickle refers to a tensor that the tar does not hold.", key=pid)
            return found
        if type(pid) is tuple and len(pid) == 4 and type(pid[0]) is str and pid[0] == "module":
            pid = pid[1:]
        if type(pid) is tuple and len(pid) == 3:
            return self._persistent_module(*pid)
        raise PickleError("The pickle refers to something outside it in a form that torch does not write.")


class _Tables:
    """The two members in which small pickles and raw numbers alternate."""

    def __init__(self, container: TarContainer, context: _TarContext, options: ReadOptions, little: bool) -> None:
        self.early: bool | None = None
        self.globals: list[GlobalName] = []
        self.storages: dict[str, StorageRef] = {}
        self._container = container
        self._context = context
        self._options = options
        self._little = little

    def read_storages(self) -> None:
        """Locate every storage; their bytes stay in the file."""
        stream = self._stream("storages")
        for _ in range(stream.count()):
            record = stream.load()
            if type(record) is not tuple or len(record) not in (2, 3):
                raise stream.broken("A storage of the tar is not described by two or three values.")
            early = len(record) == 2
            if self.early not in (None, early):
                raise stream.broken("The tar mixes the two forms of the format.")
            self.early = early
            key, kind, location = record[0], record[-1], "cpu" if early else record[1]
            if early and stream.last_mentions(b"torch.cuda"):
                location = "cuda"  # which one was not written
            if type(key) is not int or type(kind) is not StorageClass or kind.untyped or type(location) is not str:
                raise stream.broken("The description of a storage has the wrong types.")
            self._add_storage(stream, key, location, kind.dtype)
        if self.early is None:
            self.early = None if stream.at_end else False
        if self.early is False:
            self._read_views(stream)
        stream.finish()
        self.globals += stream.globals

    def _add_storage(self, stream: TarStream, key: int, location: str, dtype: DType) -> None:
        (count,) = stream.integers(1)
        nbytes = count * dtype.itemsize
        if count < 0 or nbytes > stream.left:
            raise stream.broken(f"Storage {key} has {count:,} elements, and {max(stream.left, 0):,} bytes are left.")
        storage = StorageRef(str(key), dtype, location, nbytes)
        storage.container = self._container
        storage.place = self._container.add(f"storages/{key}", stream.position, nbytes)
        storage.swap = self._little is not (sys.byteorder == "little")
        stream.position += nbytes
        self._register(stream, key, storage)

    def _read_views(self, stream: TarStream) -> None:
        """Storages that are windows of others."""
        views = stream.load()
        if type(views) is not list:
            raise stream.broken("The list of storage views is not one.")
        for view in views:
            if type(view) is not tuple or len(view) != 4 or any(type(number) is not int for number in view):
                raise stream.broken("A storage view is not four numbers.")
            key, root_key, offset, count = view
            root = self._context.objects.get(root_key)
            if type(root) is not StorageRef:
                raise stream.broken(f"A storage view looks at storage {root_key}, which the tar does not hold.")
            itemsize = root.dtype.itemsize
            if offset < 0 or count < 0 or (offset + count) * itemsize > root.nbytes:
                raise TensorError(
                    "A storage view reaches outside its storage.",
                    path=self._container.source.name,
                    record="storages",
                    key=str(key),
                    found=offset + count,
                    expected=root.nbytes // itemsize,
                )
            base, start = root.view_of or (root, 0)
            storage = StorageRef(str(key), root.dtype, root.location, count * itemsize)
            storage.view_of = base, start + offset * itemsize
            self._register(stream, key, storage)

    def read_tensors(self) -> None:
        """Point every tensor into its storage."""
        stream = self._stream("tensors")
        for _ in range(stream.count()):
            record = stream.load()
            if type(record) is not tuple or len(record) != 3 or type(record[0]) is not int:
                raise stream.broken("A tensor of the tar is not described by three values.")
            key, storage_key, kind = record if type(record[2]) is Known else (record[0], record[2], record[1])
            early = type(record[2]) is not Known
            if self.early not in (None, early):
                raise stream.broken("The tar mixes the two forms of the format.")
            self.early = early
            dtype = kind.leaf if type(kind) is Known else None
            if type(dtype) is not DType or type(storage_key) not in (int, type(None)):
                raise stream.broken("The description of a tensor has the wrong types.")
            self._register(stream, key, self._tensor(stream, key, storage_key, dtype))
        stream.finish()
        self.globals += stream.globals

    def _tensor(self, stream: TarStream, key: int, storage_key: int | None, dtype: DType) -> TensorRef:
        dims = stream.integers(1)[0]
        if dims > self._options.limits.tensor_dims:
            raise LimitExceeded("tensor_dims", dims, self._options.limits.tensor_dims, key=str(key))
        if dims < 0:
            raise stream.broken("A tensor has a negative number of dimensions.")
        shape, strides, offset = stream.integers(dims), stream.integers(dims), stream.integers(1)[0]
        storage: Any = StorageRef(str(key), dtype, "cpu", 0)
        if storage_key is not None:
            storage = self._context.objects.get(storage_key)
        if type(storage) is not StorageRef:
            raise stream.broken(f"Tensor {key} looks at storage {storage_key}, which the tar does not hold.")
        if storage.dtype is not dtype:
            raise TensorError(
                f"The tensor is of {dtype}, its storage of {storage.dtype}.",
                path=self._container.source.name,
                record="tensors",
                key=str(key),
            )
        if not dims and not storage.nbytes:  # before torch 0.4 a tensor without dimensions was an empty one
            shape, strides, offset = (0,), (1,), 0
        return self._context.bounds.tensor(storage, dtype, offset, shape, strides)

    def _register(self, stream: TarStream, key: int, value: TensorRef | StorageRef) -> None:
        if key in self._context.objects or not 0 <= key <= 2 * MAX_INT64 + 1:
            raise stream.broken(f"Two objects of the tar have the key {key}, or it is no address.")
        self._context.objects[key] = value
        if type(value) is StorageRef:
            self.storages[str(key)] = value

    def _stream(self, member: str) -> TarStream:
        return TarStream(self._container, member, self._context, self._options, "<" if self._little else ">")
