"""Loading by somebody else's code, when the user asks for it by name: TorchScript's, and other pickle modules'.

Both run what is in the file; nothing comes here unless the call said so (``weights_only=False``, ``trust="all"``, a
``pickle_module``).
"""

from __future__ import annotations

import contextlib
import inspect
import io
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from dotpt.archive.torch_settings import AsSaved
from dotpt.errors import UnsupportedError, UsageError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.pickling.trust import Trust

_MOVED = {"torch.tensor": "torch._tensor"}


def script_module(source: Any, map_location: Any) -> Any:
    """A TorchScript archive as torch.jit.load gives it."""
    warnings.warn(
        "The file is a TorchScript archive: torch.jit.load loads it, with its code.", UserWarning, stacklevel=5
    )
    place = map_location.map_location if isinstance(map_location, AsSaved) else map_location
    if isinstance(source, (bytes, bytearray, memoryview)):
        source = io.BytesIO(source)
    return torch.jit.load(source, map_location=place)  # type: ignore[no-untyped-call]


def warn_of_changed_sources(sources: Mapping[str, str], trust: Trust) -> None:
    """Say which module classes are no longer what they were when the file was saved with their source (before 1.6)."""
    for name, source in sources.items():
        module, _, name_in_it = name.rpartition(".")
        if not trust.covers(module, name_in_it):
            continue
        cls = trust.resolve(module, name_in_it)
        with contextlib.suppress(OSError, TypeError):  # the source of a class cannot always be found
            if "".join(inspect.getsourcelines(cls)[0]) != source:
                warnings.warn(
                    f"The source code of the class {name} has changed since the file was saved: what it computes may "
                    "differ. dotpt.open(...).contents.extra['module_sources'] has the code as it was.",
                    torch.serialization.SourceChangeWarning,
                    stacklevel=5,
                )


def unpickled_by(module: Any, contents: Contents, made: Any, options: ReadOptions) -> Any:
    """The object as the unpickler of another module makes it, on the storages that we read."""
    if contents.format not in ("zip", "legacy"):
        raise UnsupportedError(
            f"A pickle_module reads torch's zip and legacy files, and this is {contents.format}.",
            hint='leave pickle_module out; trust="all" builds what the file names',
        )
    if not hasattr(made, "storage") or made.name != "torch":
        raise UsageError("A pickle_module makes torch's tensors.", hint='leave backend="numpy" out')

    class Unpickler(module.Unpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            return super().find_class(_MOVED.get(module, module), name)

        def persistent_load(self, pid: Any) -> Any:
            if pid[0] not in ("storage", b"storage"):
                return pid[1]
            key = pid[2].decode() if isinstance(pid[2], bytes) else str(pid[2])
            return made.typed_storage(contents.storages[key])

    stream = io.BytesIO(_pickle_of(contents))
    unpickler: Any = Unpickler(stream, encoding=options.encoding, errors=options.errors)
    return unpickler.load()


def _pickle_of(contents: Contents) -> bytes:
    """The stream of the object."""
    if contents.format == "zip":
        return contents.container.read("data.pkl")
    start, end = contents.facts["object"]
    return contents.container.source.read(start, end - start)
