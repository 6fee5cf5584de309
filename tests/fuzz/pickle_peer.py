"""Oracle (b), for the names: what CPython's machine in C asks for is what we say, or less, however broken the stream.

A stream that shows one list of names to the analyser and another to the program that loads it is how scanners are
passed by.
"""

from __future__ import annotations

import json

import dotpt
from dotpt.errors import DotptError
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine
from dotpt.pickling.vocabulary import known_names

from .child import Child, Died
from .oracles import LIMITS, SCAN, Violation

_CHILD = Child("tests.fuzz.pickle_child")


def asked_names(data: bytes) -> set[tuple[str, str]]:
    """Every name that the machine in C asks for, in all pickles one behind the other, until one breaks."""
    try:
        return {(module, name) for module, name in json.loads(_CHILD.ask(data))}
    except Died:  # of a stream that nests too deep for it, or asks for too much
        return set()


def names_are_told(data: bytes) -> None:
    """Nothing is loaded or called clean that makes CPython ask for a name that we do not know to be harmless."""
    asked = asked_names(data)
    machine = Machine(data, Context(LIMITS), encoding="latin1")
    try:
        machine.load()
        read_to_its_end = machine.position == len(data)
    except DotptError:
        read_to_its_end = False
    if read_to_its_end and not asked <= machine.globals.keys():
        raise Violation(f"CPython asks for {sorted(asked - machine.globals.keys())[:3]}, dotpt does not")
    unknown = asked - known_names()
    if not unknown:
        return
    try:
        dotpt.load(data, backend="numpy", encoding="latin1", limits=LIMITS)
    except DotptError:
        pass
    else:
        raise Violation(f"the file is loaded, and CPython asks for {sorted(unknown)[:3]}")
    if SCAN is not None and _harmful(unknown) and SCAN(data, limits=LIMITS).verdict == "clean":
        raise Violation(f"the file is called clean, and CPython asks for {sorted(unknown)[:3]}")


def _harmful(names: set[tuple[str, str]]) -> bool:
    from dotpt.pickling.name_kinds import meaning_of

    return any(meaning_of(*name).severity != "harmless" for name in names)
