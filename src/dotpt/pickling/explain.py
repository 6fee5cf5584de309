"""What an unknown name is, in words: for the person who must decide whether to trust a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dotpt.errors import UnsafeGlobal, UnsafeScript, readable
from dotpt.pickling.name_kinds import meaning_of
from dotpt.pickling.nn_names import is_part_of_torch
from dotpt.pickling.values import GlobalName

_BLOCKED = ("sys", "os", "posix", "nt")
_FEW = 6  # names that a person will read in a list
# Here nobody looks at what they are called with, so what can reach everything counts as harmful.
_REACHING = "reaches-into-objects"


def explain(name: GlobalName) -> tuple[str, bool]:
    """What a name is, and whether calling it can do harm by itself.

    Example:
        >>> explain(GlobalName("os", "system", False, 0))
        ('runs programs or changes the system', True)
    """
    if name.known:
        return "known to be harmless", False
    meaning = meaning_of(name.module, name.name)
    return meaning.what, meaning.severity == "dangerous" or meaning.kind == _REACHING


def suggested_trust(names: Sequence[GlobalName]) -> str:
    """What to pass as ``trust=`` for these names: the names, or of many the packages they are from.

    Never `getattr`, which reaches everything: where a file names a class within a class by it, that is no reason.

    Example:
        >>> suggested_trust([GlobalName("my_pkg.nets", "Net", False, 0)])
        '["my_pkg.nets.Net"]'
    """
    names = [name for name in names if name.name != "getattr"]
    if not names:
        return '"all"'
    chosen = [f"{readable(name.module)}.{readable(name.name)}" for name in names]
    if len(chosen) > _FEW:
        alone = [text for text, name in zip(chosen, names, strict=True) if explain(name)[1] or not _package(name)]
        chosen = list(dict.fromkeys([_package(name) for name in names if _package(name) and not explain(name)[1]]))
        chosen += alone
    shown = ", ".join(f'"{text[:100]}"' for text in chosen[:12])
    return f"[{shown}{', ...' if len(chosen) > 12 else ''}]"


def _remapping(names: Sequence[GlobalName]) -> str:
    """How to say where a class is that has moved since, or that was the saving script's own."""
    classes = [name for name in names if name.module.partition(".")[0] not in ("builtins", "__builtin__", "torch")]
    if not classes:
        return ""
    name = next((name for name in classes if name.module == "__main__"), classes[0])
    return f', and remap={{"{readable(str(name))[:100]}": {readable(name.name)[:60]}}} a class that has moved since'


def _package(name: GlobalName) -> str:
    """A glob over the package of a name: one level of it, of torch two. Of scripts and of Python itself none."""
    parts = name.module.split(".")
    if parts[0] in ("__main__", "builtins", "__builtin__") or len(parts) == 1:
        return ""
    return readable(".".join(parts[: 2 if parts[0] == "torch" else 1])) + ".*"


def unsafe_globals(unknown: Sequence[GlobalName], path: str, kind: str, instead: str = "") -> UnsafeGlobal:
    """The error that lists every unknown name, what it is, and what to do.

    Args:
        unknown: the names.
        path: the file.
        kind: its format.
        instead: what to do if they are all torch's own layers, which were not wanted or cannot be made here.
    """
    shown = [f"{readable(str(name))[:100]} ({explain(name)[0]})" for name in unknown[:20]]
    more = f", and {len(unknown) - 20:,} more" if len(unknown) > 20 else ""
    harmful = any(explain(name)[1] for name in unknown)
    if instead and all(is_part_of_torch(name.module, name.name) for name in unknown):
        hint = instead
    elif harmful:
        hint = (
            "do not load this file with torch; `dotpt inspect` shows what is in it without running it. Only if you "
            f"know why its author needs them: dotpt.load(..., trust={suggested_trust(unknown)})"
        )
    elif kind == "torchscript":
        hint = (
            'dotpt.load(..., unknown="inert"), or dotpt.open(...).tensors, reads its tensors without its code; '
            "torch.jit.load runs its code, if you trust it"
        )
    else:
        hint = (
            f"dotpt.load(..., trust={suggested_trust(unknown)}) imports and builds them, if you trust the file's "
            f'author{_remapping(unknown)}; unknown="inert" gives the same tensors with inert records in their place'
        )
    count = f"{len(unknown):,} classes or functions" if len(unknown) > 1 else "a class or function"
    error = (UnsafeScript if kind == "torchscript" else UnsafeGlobal)(
        f"The file names {count} outside the known harmless ones, so it was not loaded: {', '.join(shown)}{more}.",
        path=path,
        offset=unknown[0].offset,
        hint=hint + (_in_torchs_words(unknown, kind) if "torch" in sys.modules else ""),
    )
    error.globals = tuple(unknown)
    return error


def _in_torchs_words(unknown: Sequence[GlobalName], kind: str) -> str:
    """What torch.load would say: programs look for its phrases, people search for them, and its advice works here."""
    if kind == "torchscript":
        return ". (torch: Cannot use ``weights_only=True`` with TorchScript archives passed to ``torch.load``.)"
    module = unknown[0].module
    full = readable(str(unknown[0]))[:200]
    if module in _BLOCKED:
        said = f"Trying to load unsupported GLOBAL {full} whose module {module} is blocked"
        return f". (torch: Weights only load failed. {said}.)"
    name = full.partition(".")[2] if module in ("builtins", "__builtin__") else full
    return (
        f". (torch: Weights only load failed. Unsupported global: GLOBAL {name} was not an allowed global by default; "
        f"use `torch.serialization.add_safe_globals([{name}])` or `torch.serialization.safe_globals` to allowlist it.)"
    )
