"""A model out of its class and its arguments, without random numbers drawn for weights that come from a file.

Invariant: the generators of torch, numpy and Python stand afterwards where they stood, and whatever a constructor
raises is a typed error. Nothing is imported here.
"""

from __future__ import annotations

import inspect
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from dotpt.errors import ArgumentsChanged, CannotBuild, DotptError
from dotpt.formats.record_names import ARCHITECTURE
from dotpt.models.torch_structure import class_name

_DRAWING = (
    "kaiming_normal_ kaiming_uniform_ normal_ orthogonal_ sparse_ trunc_normal_ uniform_ xavier_normal_ xavier_uniform_"
)
_SKIPPED = frozenset(
    (torch.Tensor.normal_, torch.Tensor.uniform_, *(getattr(torch.nn.init, name) for name in _DRAWING.split()))
)


class _WithoutDrawing(TorchFunctionMode):
    """Leaves parameters as they are where random numbers would be drawn for them: the file has their values.

    Buffers, which may not be in the file, and everything else are computed as ever.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in _SKIPPED:
            target = args[0] if args else (kwargs or {}).get("tensor")
            if isinstance(target, torch.nn.Parameter):
                return target
        return func(*args, **(kwargs or {}))


@contextmanager
def _unheard() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def kept_generators(seed: int | None = None) -> Iterator[None]:
    """Within, random numbers begin at ``seed``, if one is given; behind it, all generators are as they were."""
    numpy: Any = sys.modules.get("numpy.random")
    python, of_numpy, of_torch = random.getstate(), numpy and numpy.get_state(), torch.get_rng_state()
    initialized = bool(torch.cuda.is_initialized())  # type: ignore[no-untyped-call]
    gpu = torch.cuda.get_rng_state_all() if initialized else None
    try:
        if seed is not None:
            random.seed(seed)
            torch.manual_seed(seed)
            if numpy is not None:
                numpy.seed(seed % (1 << 32))
        yield
    finally:
        random.setstate(python)
        torch.set_rng_state(of_torch)
        if numpy is not None:
            numpy.set_state(of_numpy)
        if gpu is not None:
            torch.cuda.set_rng_state_all(gpu)


def build(
    make: Callable[[], Any], what: str, *, device: str | None = None, trial: bool = False, draw: bool = False
) -> torch.nn.Module:
    """What ``make`` gives, in eval mode.

    Args:
        make: builds the model.
        what: the call, for errors.
        device: where tensors are made that say nothing of it: ``"meta"`` for a model without values.
        trial: the user gets another model, which has said already what its constructor warns of.
        draw: whether parameters are to have first values: not where a file has all of them.

    Raises:
        CannotBuild: it raises, or gives no module; what it raised is the cause.
    """
    place: Any = nullcontext() if device is None else torch.device(device)
    try:
        with kept_generators(), _unheard() if trial else nullcontext(), place:
            model = make() if draw else _without_drawing(make)
    except DotptError:
        raise
    except Exception as error:
        raise CannotBuild(
            f"{what} cannot be built ({type(error).__name__}: {error!s:.300}).",
            found=what,
            hint="build it by hand to see why; init={...} gives it other arguments, and "
            "dotpt.load_model(path, function) calls a function of yours that builds it",
        ) from error
    if not isinstance(model, torch.nn.Module):
        raise CannotBuild(
            f"{what} gave an object of the type {class_name(type(model))}, which is no torch.nn.Module.",
            found=class_name(type(model)),
            hint="pass a class, or a function that returns the model",
        )
    return model.eval()


def _without_drawing(make: Callable[[], Any]) -> Any:
    try:
        with _WithoutDrawing():
            return make()
    except DotptError:
        raise
    except Exception:  # some constructors compute with their first weights, and fail on what is no number
        return make()


def check_arguments(owner: Any, args: Sequence[Any], kwargs: Mapping[str, Any], path: str | None = None) -> None:
    """Raise if a class does not take these arguments.

    Raises:
        ArgumentsChanged: which it does not know, and which it needs.
    """
    try:
        signature = inspect.signature(owner)
    except (ValueError, TypeError):  # of C, or made in a way that hides it: the call will tell
        return
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        unknown, missing = _misfits(signature, args, kwargs)
        parts = [f"does not take {', '.join(unknown)}"] if unknown else []
        parts += [f"needs {', '.join(missing)}"] if missing else []
        change = f"init={{{', '.join(f'{name!r}: ...' for name in missing)}}} adds them; " if missing else ""
        raise ArgumentsChanged(
            f"{class_name(owner) if isinstance(owner, type) else owner} {' and '.join(parts) or f'says: {error}'}.",
            path=path,
            record=ARCHITECTURE if path else None,
            found=unknown + missing,
            expected=str(signature),
            hint=f"{change}a function of yours that builds the model: dotpt.load_model(path, function)",
        ) from error


def _misfits(
    signature: inspect.Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """Names of the arguments that are too many, and of those that are too few."""
    known = list(signature.parameters.values())
    named = [each for each in known if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    positional = [each for each in known if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    kinds = {each.kind for each in known}
    unknown = [] if inspect.Parameter.VAR_KEYWORD in kinds else sorted(kwargs.keys() - {each.name for each in named})
    if inspect.Parameter.VAR_POSITIONAL not in kinds and len(args) > len(positional):
        unknown.append(f"{len(args)} arguments without a name (it takes {len(positional)})")
    given = {each.name for each in positional[: len(args)]} | kwargs.keys()
    needed = [each for each in (*positional, *named) if each.default is each.empty and each.name not in given]
    return unknown, list(dict.fromkeys(each.name for each in needed))


@contextmanager
def at_most(tensors: int, elements: int, *, buffers: bool) -> Iterator[None]:
    """Within, modules made by this thread may be given so many parameters, with so many elements together.

    A stranger's record may ask for a model without end; this one ends.

    Args:
        buffers: whether they count, too.

    Raises:
        CannotBuild: it asks for more.
    """
    from torch.nn.modules import module as registry

    mine, given, wanted = threading.get_ident(), 0, 0

    def count(module: torch.nn.Module, name: str, tensor: Any) -> None:
        nonlocal given, wanted
        if threading.get_ident() != mine or not isinstance(tensor, torch.Tensor):
            return
        given, wanted = given + 1, wanted + (0 if is_lazy(tensor) else tensor.numel())
        if given > tensors or wanted > elements:
            raise CannotBuild(
                "The recorded arguments ask for a model that is far larger than the weights in the file.",
                hint="init={...} gives it other arguments; dotpt.load_model(path, function) sets no bounds; "
                "dotpt.load(path) reads the weights alone",
            )

    handles = [registry.register_module_parameter_registration_hook(count)]
    if buffers:
        handles.append(registry.register_module_buffer_registration_hook(count))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
