"""What an unknown name is, in words: for the person who must decide whether to trust a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from dotpt.errors import UnsafeGlobal, UnsafeScript, readable
from dotpt.pickling.nn_names import is_part_of_torch, words_for
from dotpt.pickling.values import GlobalName

# First match decides: (beginnings of module.name, what it is, whether calling it can do harm by itself).
_KINDS: tuple[tuple[str, str, bool], ...] = (
    (
        "os. posix. nt. subprocess. pty. commands. asyncio. multiprocessing.",
        "runs programs or changes the system",
        True,
    ),
    (
        "builtins.eval builtins.exec builtins.compile builtins.__import__ __builtin__.eval __builtin__.exec "
        "__builtin__.compile __builtin__.__import__ importlib. runpy. code. codeop. timeit. cProfile. "
        "profile. pdb. bdb. trace. doctest. types.CodeType types.FunctionType marshal. pkgutil. pydoc. pip. "
        "ensurepip. venv. torch.utils.cpp_extension",
        "runs code",
        True,
    ),
    (
        "builtins.getattr builtins.setattr __builtin__.getattr __builtin__.setattr operator. _operator. "
        "functools. builtins.map builtins.filter builtins.apply __builtin__.apply",
        "reaches into other objects, which can be used to run code",
        True,
    ),
    (
        "builtins.open io. _io. shutil. tempfile. pathlib.Path. linecache. logging. codecs.open distutils. "
        "zipfile. tarfile.",
        "reads or writes files",
        True,
    ),
    (
        "socket. ssl. http. urllib. requests. ftplib. smtplib. imaplib. poplib. telnetlib. webbrowser. "
        "xmlrpc. aiohttp. httpx.",
        "opens connections",
        True,
    ),
    (
        "ctypes. _ctypes. cffi.",
        "reaches into memory",
        True,
    ),
    (
        "pickle. _pickle. dill. cloudpickle. joblib. shelve. torch.load torch.serialization.load torch.jit. numpy.load",
        "loads another pickle, which can run code",
        True,
    ),
    (
        "sys. gc. inspect. atexit. signal. threading.",
        "changes the running interpreter",
        True,
    ),
    (
        "__torch__.",
        "a TorchScript class, whose code is in the file",
        False,
    ),
    (
        "torch.nn.",
        "a layer of torch: the file holds a whole model, not only its weights",
        False,
    ),
    (
        "torch.optim.",
        "an optimizer or scheduler object of torch",
        False,
    ),
    (
        "torch.distributed.",
        "a record of torch's distributed training",
        False,
    ),
    (
        "torch.fx. torch._dynamo. torch._inductor.",
        "a compiled or traced model of torch",
        True,
    ),
    (
        "torch.",
        "a name of torch outside the known harmless ones",
        False,
    ),
    (
        "ultralytics.",
        "a class of ultralytics (YOLO): the file holds a whole model",
        False,
    ),
    (
        "models. model. utils.",
        "a class of the project that trained the model (YOLOv5 and many others name theirs so)",
        False,
    ),
    (
        "omegaconf.",
        "a configuration record of OmegaConf",
        False,
    ),
    (
        "transformers. tokenizers. accelerate.",
        "a class of Hugging Face's libraries",
        False,
    ),
    (
        "pytorch_lightning. lightning. lightning_fabric.",
        "a record of Lightning",
        False,
    ),
    (
        "fairseq.",
        "a class of fairseq",
        False,
    ),
    (
        "timm. torchvision. torchaudio.",
        "a model class of a torch library",
        False,
    ),
    (
        "numpy.random.",
        "a random generator of numpy",
        False,
    ),
    (
        "numpy. scipy. pandas. sklearn.",
        "a class of a scientific library",
        False,
    ),
    (
        "collections. datetime. uuid. decimal. fractions. enum. copy_reg. copyreg.",
        "a type of Python's library",
        False,
    ),
    (
        "__main__.",
        "a class from the script that saved the file: its code is not in the file",
        False,
    ),
    (
        "builtins. __builtin__.",
        "a function of Python outside the known harmless ones",
        True,
    ),
)
_BLOCKED = ("sys", "os", "posix", "nt")
_FEW = 6  # names that a person will read in a list
_PREFIXES = tuple((tuple(names.split()), words, harmful) for names, words, harmful in _KINDS)


def explain(name: GlobalName) -> tuple[str, bool]:
    """What a name is, and whether calling it can do harm by itself.

    Example:
        >>> explain(GlobalName("os", "system", False, 0))
        ('runs programs or changes the system', True)
    """
    if name.known:
        return "known to be harmless", False
    if is_part_of_torch(name.module, name.name):
        return words_for(name.module, name.name), False
    qualified = f"{name.module}.{name.name}"
    for prefixes, words, harmful in _PREFIXES:
        if qualified.startswith(prefixes):
            return words, harmful
    return f"a class or function of the package {readable(name.module.partition('.')[0])}", False


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
