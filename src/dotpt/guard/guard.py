"""`dotpt.guard`: whatever this process is about to load is scanned first, and refused if it is not clean.

* `guarding`: the active guards, and their words      * `files`: what was scanned is what is loaded
* `pickles`, `torch_guard`, `joblib_files`: what is guarded, one library each
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from dotpt.dropin.arrival import when_imported
from dotpt.dropin.children import in_family
from dotpt.errors import UsageError
from dotpt.guard.guarding import ACTIONS, Guard
from dotpt.limits import DEFAULT_LIMITS, GIB
from dotpt.scan.policy import Policy

# What is scanned is loaded right afterwards, which takes the memory anyway.
_LIMITS = replace(DEFAULT_LIMITS, pickle_bytes=16 * GIB, decoded_bytes=16 * GIB)


def guard(policy: Policy | None = None, *, allow: Iterable[str] = (), action: str = "refuse") -> Guard:
    """From now on, files that do not scan clean are not loaded in this process, by whichever library.

    Guarded are `torch.load`, `torch.jit.load` and `torch.package`, `joblib.load`, and every way of `pickle` to load
    from a file, with what is built on them (numpy, pandas, dill, torch.hub), under every name that a module has for
    them. The bytes that were scanned are the bytes that are then loaded. Not guarded is what is in memory already,
    `pickle.loads`, and what processes send to each other. See docs/guard.md.

    Args:
        policy: how files are judged, as `dotpt.scan` takes it. Without one, pickles may be larger than for a scan.
        allow: names of classes and functions that are fine besides, globs allowed: ``my_package.nets.*``.
        action: ``refuse``, or ``warn``: a warning instead, and the file is loaded.

    Returns:
        The guard: ``undo()`` puts back exactly what was there, and so does the end of a ``with`` block.

    Raises:
        UsageError: an argument that makes no sense.

    Example:
        >>> import pickle, dotpt
        >>> with dotpt.guard(), open("tests/corpus/fixtures/zip/state_dict.pt", "rb") as file:
        ...     pickle.load(file)
        Traceback (most recent call last):
            ...
        dotpt.errors.RefusedByGuard: The file was not loaded: not all of it can be scanned. ...
    """
    if action not in ACTIONS:
        raise UsageError(f"There is no action {action!r}.", hint=f"one of {', '.join(ACTIONS)}")
    if isinstance(allow, str):
        allow = (allow,)
    policy = policy or Policy(limits=_LIMITS)
    made = Guard(replace(policy, allow=(*policy.allow, *allow)), action)
    try:
        _guard_pickle(made)
        when_imported("torch", partial(_guard_torch, made))
        when_imported("joblib", partial(_guard_joblib, made))
    except BaseException:
        made.undo()
        raise
    return made


def guard_family(policy: Policy | None = None, *, allow: Iterable[str] = ()) -> None:
    """Guard this process, for good, and all that multiprocessing starts from it; arguments as `guard` takes them."""
    in_family("dotpt guard", partial(guard, policy, allow=tuple(allow)))


def _guard_pickle(made: Guard) -> None:
    from dotpt.guard import pickles

    made.put(pickles.UNPICKLER, pickles.load)
    made.put(pickles.PYTHONS_LOAD, pickles.load)
    made.put(pickles.LOAD, pickles.load)


def _guard_torch(made: Guard) -> None:
    if not made.active:
        return
    from dotpt.guard import torch_guard

    for replaced, function in torch_guard.GUARDED:
        made.put(replaced, function)


def _guard_joblib(made: Guard) -> None:
    if not made.active:
        return
    from dotpt.guard.joblib_files import guarded

    for replaced, function in guarded():
        made.put(replaced, function)
