"""What must hold for any bytes whatever. Each oracle raises `Violation`; the letters are those of docs/fuzzing.md.

* `survive` (a): only our typed errors, in bounded time and memory, from every verb that reads.
* `machines_agree` (b): what our machine accepts, CPython's own reads as the same tree; with and without the shortcut.
* `never_cleaner` (d): a file that is not clean does not become so by what is added to it.
* `comes_back` (e): what was read, saved and read again is the same.

(c), the comparison with torch, is in `torch_peer`.
"""

from __future__ import annotations

import importlib
import io
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import dotpt
from dotpt.errors import ClassesChanged, DotptError
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine
from dotpt.pickling.tree import settle, transform
from tests.proofs.images import image

from .reference import REAL, Reference, Refused, picture

MIB = 1 << 20
LIMITS = dotpt.Limits(deflated=True, decoded_bytes=8 * MIB, expanded_bytes=8 * MIB, inflated_bytes=16 * MIB)
#: What a verb may take. The estimates that stand behind `Limits` are good to a factor; the rest is the machinery.
SECONDS, SECONDS_A_MIB = 2.0, 2.0
BYTES, BYTES_A_BYTE = 64 * MIB, 50
#: Of how many cases the memory is measured: it makes a case several times as slow.
MEASURED = 16


class Violation(AssertionError):
    """An oracle's rule is broken."""


def _scanner() -> Callable[..., Any] | None:
    """`dotpt.scan`, where this version has it."""
    try:
        found = importlib.import_module("dotpt.scan.scan")
    except ModuleNotFoundError:
        return None
    return getattr(found, "scan", None)


SCAN = _scanner()


def _load(data: bytes) -> Any:
    return dotpt.load(data, backend="numpy", unknown="inert", limits=LIMITS, encoding="latin1")


def _open(data: bytes) -> None:
    with dotpt.open(data, limits=LIMITS) as archive:
        str(archive)
        for ref in archive.tensors.values():
            repr(ref)
        archive.inspect().to_dict()


def _verify(data: bytes) -> None:
    str(dotpt.verify(data, limits=LIMITS))


def _rescue(data: bytes) -> None:
    dotpt.rescue(data, limits=LIMITS)


def _scan(data: bytes) -> None:
    found = SCAN(data, limits=LIMITS)  # type: ignore[misc]
    str(found), found.to_dict()
    if found.verdict not in ("clean", "suspicious", "dangerous", "unreadable"):
        raise Violation(f"the verdict is {found.verdict!r}")


VERBS: dict[str, Callable[[bytes], Any]] = {"load": _load, "open": _open, "verify": _verify, "rescue": _rescue}
if SCAN is not None:
    VERBS["scan"] = _scan


def survive(data: bytes) -> None:
    """Every verb: a typed error or success, soon and in little memory."""
    measured = zlib.crc32(data) % MEASURED == 0
    for name, verb in VERBS.items():
        if measured:
            tracemalloc.start()
        begin = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ClassesChanged)
                verb(data)
        except DotptError as error:
            str(error), error.to_dict()
        except Violation:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise Violation(f"{name} raises {type(error).__name__}: {error!s:.200}") from error
        finally:
            spent = time.process_time() - begin
            peak = tracemalloc.get_traced_memory()[1] if measured else 0
            if measured:
                tracemalloc.stop()
        allowed = SECONDS + SECONDS_A_MIB * len(data) / MIB
        if spent > allowed * (4 if measured else 1):
            raise Violation(f"{name} takes {spent:.2f} s of {len(data):,} bytes, {allowed:.2f} s are allowed")
        if peak > BYTES + BYTES_A_BYTE * len(data):
            raise Violation(f"{name} takes {peak:,} bytes of memory for a file of {len(data):,} bytes")


def machines_agree(stream: bytes, *, must_accept: bool = False) -> None:
    """Our machine, the same without its shortcut, and CPython's with inert names: one tree, or an error."""
    machine = Machine(stream, Context(LIMITS), encoding="latin1")
    try:
        ours = machine.load()
    except DotptError as error:
        if must_accept:
            raise Violation(f"an honest stream is refused: {error}") from error
        return
    slow = Machine(stream, Context(LIMITS), encoding="latin1")
    slow.fast = False
    if picture(ours) != picture(slow.load()):
        raise Violation("the shortcut reads another tree than the machine")
    if any(name.known and (name.module, name.name) not in REAL for name in machine.globals.values()):
        return  # CPython would build what dotpt only describes
    try:
        theirs = Reference(stream, encoding="latin1").load()
    except Refused:
        return
    except Exception as error:
        raise Violation(f"a stream is accepted that pickle refuses: {type(error).__name__}: {error}") from error
    mine, other = picture(transform(ours, settle, 1_000)), picture(theirs)
    if mine != other:
        at = next((n for n, pair in enumerate(zip(mine, other, strict=False)) if pair[0] != pair[1]), -1)
        raise Violation(f"two trees of one stream: {mine[at : at + 3]} here, {other[at : at + 3]} in pickle")


def comes_back(data: bytes) -> None:
    """Load, save, load: the same, to the bit. What cannot be saved is a typed error."""
    try:
        with dotpt.open(data, limits=LIMITS, encoding="latin1") as archive:
            scalars = any(name.name == "scalar" for name in archive.contents.globals)
        first = _load(data)
    except DotptError:
        return
    buffer = io.BytesIO()
    try:
        # numpy's scalars become tensors, which come back as arrays, unless they are to stay
        dotpt.save(first, buffer, arrays="numpy" if scalars else "auto")
    except DotptError:
        return
    try:
        again = dotpt.load(buffer.getvalue(), backend="numpy", unknown="inert", encoding="latin1")
    except DotptError as error:
        raise Violation(f"what dotpt saved cannot be read: {error}") from error
    if image(first) != image(again):
        raise Violation("what comes back is not what was saved")


def never_cleaner(bad: bytes, more: bytes) -> None:
    """`more` holds all of `bad`, which is not clean: neither is it."""
    if SCAN is None:
        return
    before, after = SCAN(bad), SCAN(more)
    if before.verdict == "clean":
        raise Violation("a malicious file is called clean")
    if after.verdict == "clean":
        raise Violation(f"{before.verdict} before, clean with {len(more) - len(bad):,} bytes added")
