"""A Python program run as ``python script.py`` or ``python -m module`` runs it, with torch patched.

A path or the name of a module comes in. From `Program.run` on the process is the program's: ``sys.argv``,
``sys.path[0]``, ``__main__``, its exit code, its signals, its tracebacks (ours are cut off).

Facts: https://docs.python.org/3/using/cmdline.html, and what CPython 3.11 does.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from pkgutil import get_importer
from types import CodeType, ModuleType, TracebackType
from typing import Any

from dotpt.dropin.children import patch_family
from dotpt.errors import MissingDependency, SourceNotFound, UsageError
from dotpt.source.failures import from_os_error


def prepare(
    script: str, arguments: list[str], *, module: bool = False, durable: bool = True, patched: bool = True
) -> Program:
    """A program, found and ready to be run with `torch.save` and `torch.load` being dotpt's.

    Args:
        script: a path: a file, or a folder or zip with a ``__main__.py``.
        arguments: the program's own.
        module: whether ``script`` is the name of a module instead.
        durable: as `patch_torch` takes it.
        patched: whether the two are dotpt's; else they are torch's.

    Raises:
        MissingDependency: torch is not installed.
        SourceError, UsageError: there is no such program.
    """
    if patched:
        if find_spec("torch") is None:
            raise MissingDependency("torch is not installed, so there is nothing to patch.", hint="pip install torch")
        patch_family(durable=durable)
    program = _module(script) if module else _script(script)
    sys.argv = [program.called, *arguments]
    return program


@dataclass(frozen=True, slots=True)
class Program:
    """A program that is ready to be run.

    Attributes:
        called: its ``sys.argv[0]``.
        main: its ``__main__``, still empty.
        compiled: gives its code.
    """

    called: str
    main: ModuleType
    compiled: Callable[[], CodeType | None]

    def run(self) -> None:
        """Run it. What it raises is raised, ``SystemExit`` included; if nobody catches it, its traceback is its own."""
        sys.modules["__main__"] = self.main
        code = None
        try:
            code = self.compiled()
            if code is None:
                raise ImportError(f"There is no code of {self.called}.")
            exec(code, self.main.__dict__)  # noqa: S102 - the program that the user wants to run
        except SystemExit:
            raise
        except BaseException:
            _cut_tracebacks(code)
            raise


# -- finding it -------------------------------------------------------------------------------------------------------


def _script(path: str) -> Program:
    if get_importer(path) is not None:  # a folder, or a zip
        return _container(path)
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise from_os_error(error, path) from None
    folder, file = Path(path).resolve().parent, Path(path).absolute()
    if not _isolated():
        sys.path[0] = str(folder)
    loader = SourceFileLoader("__main__", str(file))
    main = ModuleType("__main__")
    main.__dict__.update(
        __builtins__=builtins, __cached__=None, __file__=str(file), __loader__=loader, __package__=None, __spec__=None
    )
    return Program(path, main, lambda: loader.source_to_code(source, str(file)))


def _container(path: str) -> Program:
    full = str(Path(path).absolute())
    importer: Any = get_importer(full)
    spec = importer.find_spec("__main__")
    if spec is None:
        raise SourceNotFound("There is no __main__.py in it.", path=path, hint="name the script itself")
    sys.path[: 0 if _isolated() else 1] = [full]
    return _of_spec(spec, path)


def _module(name: str) -> Program:
    if not _isolated():
        sys.path[0] = str(Path.cwd())
    sys.argv[0] = "-m"
    try:
        spec = find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:  # a package
            name = f"{name}.__main__"
            spec = find_spec(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"There is no module {name}: {error}.", hint=_HINT) from error
    except (ImportError, ValueError) as error:
        raise UsageError(f"{name} cannot be run: {error}.", hint=_HINT) from error
    if spec is None:
        raise UsageError(f"There is no module {name}.", hint=_HINT)
    return _of_spec(spec, spec.origin or name)


def _of_spec(spec: ModuleSpec, called: str) -> Program:
    main = module_from_spec(spec)
    main.__name__ = "__main__"
    main.__dict__["__builtins__"] = builtins
    loader: Any = spec.loader
    return Program(called, main, lambda: loader.get_code(spec.name))


_HINT = "modules are looked for as python -m looks for them: in this folder, in PYTHONPATH, among what is installed"


def _isolated() -> bool:
    """Whether Python has been told (-P, -I) to put no folder of ours into ``sys.path``."""
    return bool(getattr(sys.flags, "safe_path", sys.flags.isolated))


# -- what nobody catches ----------------------------------------------------------------------------------------------


def _cut_tracebacks(code: CodeType | None) -> None:
    """Whatever shows an error that nobody catches gets the frames from ``code`` on; all are ours if there is none."""
    show = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
        error.__traceback__ = _from(code, frames)
        show(kind, error, error.__traceback__)

    sys.excepthook = excepthook


def _from(code: CodeType | None, frames: TracebackType | None) -> TracebackType | None:
    while frames is not None and frames.tb_frame.f_code is not code:
        frames = frames.tb_next
    return frames
