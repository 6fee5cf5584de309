"""What an unknown name is, in words: for the person who must decide whether to trust a file."""

from __future__ import annotations

from collections.abc import Sequence

from dotpt.errors import UnsafeGlobal, readable
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
_PREFIXES = tuple((tuple(names.split()), words, harmful) for names, words, harmful in _KINDS)


def explain(name: GlobalName) -> tuple[str, bool]:
    """What a name is, and whether calling it can do harm by itself.

    Example:
        >>> explain(GlobalName("os", "system", False, 0))
        ('runs programs or changes the system', True)
    """
    if name.known:
        return "known to be harmless", False
    qualified = f"{name.module}.{name.name}"
    for prefixes, words, harmful in _PREFIXES:
        if qualified.startswith(prefixes):
            return words, harmful
    return f"a class or function of the package {readable(name.module.partition('.')[0])}", False


def unsafe_globals(unknown: Sequence[GlobalName], path: str, kind: str) -> UnsafeGlobal:
    """The error that lists every unknown name, what it is, and what to do."""
    shown = [f"{readable(str(name))[:100]} ({explain(name)[0]})" for name in unknown[:20]]
    more = f", and {len(unknown) - 20:,} more" if len(unknown) > 20 else ""
    harmful = any(explain(name)[1] for name in unknown)
    if harmful:
        hint = "do not load this file with torch; `dotpt inspect` shows what is in it without running it"
    elif kind == "torchscript":
        hint = (
            'dotpt.load(..., unknown="inert"), or dotpt.open(...).tensors, reads its tensors without its code; '
            "torch.jit.load runs its code, if you trust it"
        )
    else:
        hint = (
            'dotpt.load(..., unknown="inert") gives the same tensors with inert records in place of these classes; '
            "dotpt.open(...).tensors lists them"
        )
    count = f"{len(unknown):,} classes or functions" if len(unknown) > 1 else "a class or function"
    error = UnsafeGlobal(
        f"The file names {count} outside the known harmless ones, so it was not loaded: {', '.join(shown)}{more}.",
        path=path,
        offset=unknown[0].offset,
        hint=hint,
    )
    error.globals = tuple(unknown)
    return error
