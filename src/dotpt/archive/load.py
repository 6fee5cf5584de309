"""`dotpt.load`: the object in a file, as torch.load gives it, without running anything in the file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from dotpt.archive import collector, torch_settings
from dotpt.archive.archive import Archive, backend_of, build, make_backend
from dotpt.archive.memories import Memories, storages_of
from dotpt.archive.opening import open_contents
from dotpt.errors import TensorError, UsageError
from dotpt.formats.contents import Contents, ReadOptions
from dotpt.limits import DEFAULT_LIMITS, Limits
from dotpt.pickling.asked import untrusted
from dotpt.pickling.changes import Changes
from dotpt.pickling.explain import unsafe_globals
from dotpt.pickling.nn_names import HOLDERS, is_part_of_torch
from dotpt.pickling.nn_records import first_oddity
from dotpt.pickling.revive import Reviver
from dotpt.pickling.tree import keep, named_tensors, transform
from dotpt.pickling.trust import NOTHING, Trust
from dotpt.pickling.values import GlobalName, InertObject
from dotpt.tensors.refs import StorageRef, TensorRef

Progress = Callable[[int, int], None]


def load(
    source: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    backend: str = "auto",
    mmap: bool | None = None,
    verify: bool = True,
    only: str | Iterable[str] | None = None,
    encoding: str = "utf-8",
    errors: str = "strict",
    limits: Limits = DEFAULT_LIMITS,
    unknown: str = "error",
    trust: Any = None,
    remap: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    allow_download: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """The object that was saved, with its tensors.

    By default the tensors are copied into memory of their own, and the file's checksums are verified in the
    same pass. Devices in the file are ignored: everything comes to the CPU unless ``map_location`` says where.

    A whole model made of torch's own layers is loaded as it is, ready to be called. Classes of anybody else's are only
    built if ``trust`` or ``remap`` names them. What is not as it was saved (a class that has moved, an attribute that
    it has got since) is reported by a `dotpt.errors.ClassesChanged` warning.

    Args:
        source: a path, ``http(s)://`` or fsspec address, bytes, or a binary file object.
        map_location: where tensors go: a device, its name, a dictionary from saved to wanted names, or a
            function of (storage, saved name), all as torch.load takes them.
        pickle_module: as torch.load's: a module whose unpickler is to make the object (dill). It runs whatever
            the file says. ``pickle`` itself is the same as ``weights_only=False``.
        weights_only: False trusts whatever the file names, as torch.load does then: ``trust="all"``. Otherwise
            only what is known to be harmless, what ``trust`` names, and what torch was told with
            ``add_safe_globals``. True refuses whole models, also those of torch's own layers.
        backend: ``"torch"``, ``"numpy"``, or ``"auto"``: torch where it is installed.
        mmap: map a local file instead of reading it: instant, copy-on-write. With ``verify`` every byte is
            still read once; pass ``verify=False`` to touch nothing.
        verify: compare checksums where the file has them.
        only: glob or globs over tensor addresses (``"model.*"``); other tensors are neither read nor returned:
            they are left out of dictionaries, and None takes their place in lists. A tensor object at several
            addresses is kept at all of them if one matches.
        encoding: of strings that Python 2 wrote: a codec name, or ``"bytes"``.
        errors: how those that cannot be decoded are treated, as `bytes.decode` takes it.
        limits: what the file may ask for.
        unknown: ``"error"`` refuses a file that names unknown classes; ``"inert"`` gives inert records.
        trust: classes and functions that may be imported and built, and that run their own code then: a list of
            names (``"my_pkg.Net"``), globs (``"my_pkg.*"``) and classes themselves, or ``"all"`` for whatever the
            file names. Trust a file that way as you would trust a program. A class itself is also taken for one of
            the same name in another module, which is reported.
        remap: where classes of the file are now: ``{"old.module.Net": "new.module.Net"}``, or the class itself in
            place of the new name, or ``{"old_pkg.*": "new_pkg.*"}``. They are trusted thereby.
        progress: called with (bytes done, bytes in all) while tensors are read.
        allow_download: fetch a whole remote file where the server cannot send parts.
        storage_options: for an address: ``headers``, or what its fsspec file system takes.

    Raises:
        UnsafeGlobal: it names classes or functions outside the known harmless ones and `trust`; lists every one.
        UsageError: a class in ``trust`` could stand for several names of the file, or an argument makes no sense.
        CannotBuild: a trusted class cannot be imported, or fails on what the file gives it.
        NotATorchFile: the bytes are something else; the message says what.
        ChecksumMismatch: a tensor is damaged.
        DotptError: the base of these and all others.

    Example:
        >>> import dotpt
        >>> weights = dotpt.load("tests/corpus/fixtures/zip/state_dict.pt", backend="numpy")
        >>> weights["0.weight"].shape
        (4, 3, 3, 3)
    """
    if unknown not in ("error", "inert"):
        raise UsageError(f"unknown={unknown!r} is not understood.", hint='use "error" or "inert"')
    settings = torch_settings.for_loading()
    wanted = _Wanted(
        map_location=map_location,
        backend=backend,
        mapped=settings.mmap if mmap is None else mmap,
        shared=settings.shared,
        only=[only] if isinstance(only, str) else None if only is None else list(only),
        unknown=unknown,
        trust=_trusted(trust, remap, weights_only, pickle_module),
        weights_only=bool(weights_only) or torch_settings.forced_weights_only(),
        changes=Changes(),
        unpickler=None if pickle_module is None or _is_pickle(pickle_module) else pickle_module,
        progress=progress,
    )
    # what is written to tensors of a shared mapping reaches the file, and its checksums are those of before
    verify = verify and not (wanted.mapped and wanted.shared)
    options = ReadOptions(limits, encoding, errors, verify, byteorder=settings.byteorder)
    with collector.paused():  # until the references that tensors were made from are gone, too
        contents = open_contents(source, options, allow_download=allow_download, storage_options=storage_options)
        try:
            loaded = _finish(source, contents, options, wanted)
        except MemoryError:
            raise TensorError(
                "There is not enough memory for the tensors.",
                path=contents.container.source.name,
                hint="mmap=True maps a local file instead of reading it; only= reads a part",
            ) from None
        finally:
            if not hasattr(source, "read"):
                contents.close()
    if wanted.changes and not isinstance(map_location, torch_settings.AsSaved):  # in torch.load's place: as torch
        warnings.warn(wanted.changes.warning(contents.container.source.name), stacklevel=2)
    return loaded


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a call of `load` asks for, besides how the file is read."""

    map_location: Any
    backend: str
    mapped: bool
    shared: bool
    only: list[str] | None
    unknown: str
    trust: Trust
    weights_only: bool
    changes: Changes
    unpickler: Any
    progress: Progress | None


def _trusted(trust: Any, remap: Any, weights_only: bool | None, pickle_module: Any) -> Trust:
    """What the arguments of a call trust together, torch's and ours."""
    if weights_only and pickle_module is not None:
        raise UnsafeModule(
            "Can not safely load weights when explicit pickle_module is specified.",
            hint="leave weights_only=True out, if you trust the file",
        )
    everything = weights_only is False or pickle_module is not None
    if everything and torch_settings.forced_weights_only():
        everything = False
    if trust is None and everything:
        trust = "all"
    return Trust.of(trust, remap=remap)


def _is_pickle(module: Any) -> bool:
    return getattr(module, "__name__", "") in ("pickle", "_pickle")


class UnsafeModule(UsageError, RuntimeError):
    """``weights_only=True`` together with a pickle module, which runs what the file says."""


def _finish(source: Any, contents: Contents, options: ReadOptions, wanted: _Wanted) -> Any:
    """The object of decoded contents: what is wanted selected, read, and made of the back end's values."""
    limits, trust = options.limits, wanted.trust
    if any(not name.known for name in contents.globals):
        trust = Trust.of(trust, allowed=torch_settings.safe_globals())
    if contents.format == "torchscript" and trust.everything:
        from dotpt.archive.torch_foreign import script_module

        return script_module(source, wanted.map_location)
    trust = _with_moved(contents, trust, wanted.changes)
    why_not = _why_no_layers(contents, trust, wanted)
    if wanted.unknown == "error":
        refuse_unknown(contents, trust, why_not)
    if wanted.only is not None:
        _select(contents, options, wanted.only)
    memories = Memories(contents, shared=wanted.shared)
    made = make_backend(wanted.backend, memories, wanted.map_location)
    if not made.unread:
        storages = _needed(contents, wanted.only is not None, wanted.map_location, limits)
        memories.fetch(storages, mapped=wanted.mapped, verify=options.verify, progress=wanted.progress)
    if wanted.unpickler is not None and trust.everything:
        from dotpt.archive.torch_foreign import unpickled_by

        loaded = unpickled_by(wanted.unpickler, contents, made, options)
    else:
        loaded = build(lambda: _values(contents, made, trust, why_not is None, wanted, limits), contents)
    if trust and made.name == "torch" and "module_sources" in contents.extra:
        from dotpt.archive.torch_foreign import warn_of_changed_sources

        warn_of_changed_sources(contents.extra["module_sources"], trust)
    _advance(source, contents)
    return loaded


def _values(contents: Contents, made: Any, trust: Trust, with_layers: bool, wanted: _Wanted, limits: Limits) -> Any:
    """The tree with its leaves made by the back end, and what is trusted or known of torch's built for real."""
    if not trust and not with_layers:
        return transform(contents.tree, made.leaf, limits.nesting, made.finish)
    strict, layers = wanted.unknown == "error", None
    if with_layers:
        from dotpt.archive.torch_modules import TorchLayers

        layers = TorchLayers(wanted.changes)
    changes = None if isinstance(wanted.map_location, torch_settings.AsSaved) else wanted.changes
    reviver = Reviver(trust, made, limits.nesting, strict=strict, layers=layers, changes=changes)
    return reviver.revive(contents.tree)


def _with_moved(contents: Contents, trust: Trust, changes: Changes) -> Trust:
    """``trust``, with the classes that the user passed under the names that the file has for them."""
    if trust.everything or not trust:
        return trust
    missing = untrusted(contents.globals, contents.tree, trust, parts=True)
    found = trust.moved(missing, contents.globals)
    for name, cls in found.items():
        changes.note_moved(name, cls)
    allowed = [(name.module, name.name, found[str(name)]) for name in missing if str(name) in found]
    return Trust.of(trust, allowed=allowed) if allowed else trust


_WITHOUT_CODE = "dotpt.rescue(path) gives its state dict and what else it holds"


def _why_no_layers(contents: Contents, trust: Trust, wanted: _Wanted) -> str | None:
    """None if torch's own layers are to be built; else what to do for someone who expected that, if there are any."""
    if (
        not any(_may_be_a_layer(name) for name in contents.globals)
        or trust.everything
        or contents.format == "torchscript"
    ):
        return ""
    if wanted.weights_only:
        return f"leave weights_only=True out: it is a whole model of torch's own layers; {_WITHOUT_CODE}"
    if backend_of(wanted.backend) != "torch":
        return f'pip install torch, or backend="torch": it is a whole model; without torch {_WITHOUT_CODE}'
    if wanted.only is not None:
        return f"leave only= out: a model is built as a whole; {_WITHOUT_CODE}"
    if wanted.unknown == "inert" and untrusted(contents.globals, contents.tree, trust, parts=True):
        return ""  # records for what is unknown, and records for what lies around it
    odd = first_oddity(contents.tree, trust)
    if odd is None:
        return None
    if wanted.unknown == "inert" or untrusted(contents.globals, contents.tree, trust, parts=True):
        return ""
    error = odd.error()
    error.path = contents.container.source.name
    raise error


def _may_be_a_layer(name: GlobalName) -> bool:
    listed = is_part_of_torch(name.module, name.name) or (name.module, name.name) in HOLDERS
    return listed and not name.known


def refuse_unknown(contents: Contents, trust: Trust = NOTHING, why_no_layers: str | None = "") -> None:
    """Raise `UnsafeGlobal` if the pickles name anything that is neither known to be harmless nor trusted.

    Args:
        contents: the file.
        trust: what the user trusts.
        why_no_layers: None if torch's own layers are known, too; else what to do where they are all that is unknown.
    """
    unknown = untrusted(contents.globals, contents.tree, trust, parts=why_no_layers is None)
    if unknown:
        raise unsafe_globals(unknown, contents.container.source.name, contents.format, why_no_layers or "")


def _needed(contents: Contents, selected: bool, map_location: Any, limits: Limits) -> list[StorageRef]:
    """The storages to read: all that the pickle names, unless a selection or the meta device needs fewer."""
    if isinstance(map_location, torch_settings.AsSaved):
        map_location = map_location.map_location
    if str(map_location) == "meta" and not isinstance(map_location, dict):
        return []
    if not selected and contents.format in ("zip", "legacy") and not contents.shards:
        return list(contents.storages.values())
    found: list[Any] = []

    def note(value: Any) -> Any:
        if type(value) in (TensorRef, StorageRef):
            found.append(value)
        return value

    transform(contents.tree, note, limits.nesting, keep)
    return storages_of(found)


def _select(contents: Contents, options: ReadOptions, globs: list[str]) -> None:
    """Keep the tensors whose address matches a glob."""
    archive = Archive(contents, options, settled=True)  # what is no tensor waits for its back end
    chosen = {name for name in archive.tensors if any(fnmatchcase(name, glob) for glob in globs)}
    if not chosen:
        from difflib import get_close_matches

        near = get_close_matches(globs[0], list(archive.tensors)[:10_000], 3, 0.4)
        raise UsageError(
            f"No tensor's address matches {', '.join(globs)}.",
            path=archive.name,
            hint=f"for example {', '.join(near or list(archive.tensors)[:3])}",
        )
    # A tensor that lies at several addresses has one reference: it stays at all of them if one is chosen.
    places = list(zip(archive.tensors, named_tensors(archive.tree, options.limits.nesting), strict=True))
    keep = {id(ref) for name, (_, ref) in places if name in chosen}
    dropped: set[int] = {id(ref) for _, (_, ref) in places if id(ref) not in keep}
    contents.tree = _without(archive.tree, dropped, options.limits.nesting)


class _Gone:
    """Stands for a tensor that was not selected until its dictionary drops it."""


def _without(tree: Any, dropped: set[int], nesting: int) -> Any:
    gone = _Gone()
    dictionaries: list[dict[Any, Any]] = []

    def leaf(value: Any) -> Any:
        return gone if type(value) is TensorRef and id(value) in dropped else value

    tree = transform(tree, leaf, nesting, keep)
    seen: set[int] = set()
    level: list[Any] = [tree]
    while level:
        value = level.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            dictionaries.append(value)
            level.extend(value.values())
        elif isinstance(value, (list, tuple)):
            level.extend(value)
        elif type(value) is InertObject:
            level += (value.args, value.states, value.items, value.pairs)
    for dictionary in dictionaries:
        for key in [key for key, value in dictionary.items() if value is gone]:
            del dictionary[key]
    return transform(tree, lambda value: None if value is gone else value, nesting, keep)


def _advance(source: Any, contents: Contents) -> None:
    """Leave an open file where torch.load leaves it: behind the object, where the next one may begin.

    Reading has not moved it: it still stands where the object begins.
    """
    if contents.format not in ("legacy", "pickle") or contents.container.source.wrapped:
        return
    if hasattr(source, "read") and hasattr(source, "seek") and getattr(source, "seekable", lambda: True)():
        source.seek(int(contents.facts["end"]), os.SEEK_CUR)
