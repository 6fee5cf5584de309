"""What is fuzzed: for each target, how a case is made and what must hold for it.

A case is one file's bytes, or two files'. It is all that is needed to see a find again, whoever made it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from tests.corpus.torch_zip import Style, pt, write

from . import mutants, objects, opcodes, oracles, tensor_args, zips
from .choices import Choices
from .pickle_peer import names_are_told
from .torch_peer import HAS_TORCH, PEER

Case = tuple[bytes, ...]
_STORAGES = {"0": bytes(range(16)), "1": bytes(range(16, 32))}


@dataclass(frozen=True)
class Target:
    """One kind of case.

    Attributes:
        make: the generator.
        check: raises if an oracle's rule is broken.
        oracles: the letters of the oracles, as docs/fuzzing.md has them.
        torch: whether torch is needed.
    """

    make: Callable[[Choices], Case]
    check: Callable[..., None]
    oracles: str
    torch: bool = False


def _with_torch(data: bytes) -> None:
    PEER.agrees(data)


def _stream(data: bytes) -> None:
    """A pickle by itself, as a file, and in a torch zip."""
    oracles.machines_agree(data)
    oracles.survive(data)
    oracles.survive(pt(data, _STORAGES))


def _file(data: bytes) -> None:
    oracles.survive(data)
    oracles.comes_back(data)


def _honest(data: bytes) -> None:
    oracles.machines_agree(data, must_accept=True)
    oracles.comes_back(pt(data))


def _any_file(choices: Choices) -> Case:
    """A file for torch to read, of any generator."""
    how = choices.below(5)
    if how == 0:
        return (tensor_args.tensors(choices),)
    if how == 1:
        return (zips.archive(choices),)
    if how == 2:
        return (pt(opcodes.hostile(choices), _STORAGES),)
    if how == 3:
        return (pt(objects.pickled(choices)),)
    return (mutants.mutant(choices),)


def _bad_and_more(choices: Choices) -> Case:
    """A malicious file, and the same with something added to it."""
    stream = opcodes.malicious(choices)
    bad = stream if choices.below(2) else pt(stream)
    how = choices.below(7)
    if how == 0:
        return bad, bad + choices.blob(64)
    if how == 1:
        return bad, bad + objects.pickled(choices)
    if how == 2:
        return bad, mutants.packed(choices, bad)
    if how == 3:
        return bad, mutants.packed(choices, mutants.packed(choices, bad))
    if how == 4:
        return bad, objects.pickled(choices) + bad
    if how == 5:
        return pt(stream), zips.archive(choices, stream)
    records = [("data.pkl", objects.pickled(choices)), ("version", b"3\n"), ("byteorder", b"little")]
    name = choices.pick(("extra/x", "data/0", "code/x.py", "archive.pkl", ".data/x", "constants.pkl"))
    return bad, write([*records, (name, bad)], Style())


TARGETS: dict[str, Target] = {
    "honest": Target(lambda c: (opcodes.honest(c) if c.below(2) else objects.pickled(c),), _honest, "be"),
    "stream": Target(lambda c: (opcodes.hostile(c),), _stream, "ab"),
    "names": Target(lambda c: (opcodes.hiding(c),), names_are_told, "b"),
    "zip": Target(lambda c: (zips.archive(c),), _file, "ae"),
    "tensor": Target(lambda c: (tensor_args.tensors(c),), _file, "ae"),
    "mutant": Target(lambda c: (mutants.mutant(c),), _file, "ae"),
    "torch": Target(_any_file, _with_torch, "c", torch=True),
    "scan": Target(_bad_and_more, oracles.never_cleaner, "d"),
}


def _has_limits(name: str) -> bool:
    """The child of `names` is kept from eating all memory by what only Unix has."""
    return name != "names" or os.name == "posix"


def available() -> dict[str, Target]:
    """The targets that can run here."""
    return {
        name: target
        for name, target in TARGETS.items()
        if (HAS_TORCH or not target.torch) and (oracles.SCAN is not None or name != "scan") and _has_limits(name)
    }
