"""The kinds of names that a pickle can hold, in words for people: what they are, why it matters, what to do.

What crosses this boundary: nothing but texts; `name_kinds` reads them. Invariant: a kind that can be dangerous begins
with a verb, so that a sentence can say "..., which runs programs or changes the system".
"""

from __future__ import annotations

_NEVER = (
    "do not load this file with torch or pickle, and do not trust where it came from; `dotpt clean` gives its tensors "
    "and plain values without it"
)
_LOOK = "ask the file's author why it is there; `dotpt clean` gives the same tensors and plain values without it"
_LIBRARY = (
    "load it only if you trust the file's author, with that library installed; `dotpt clean` gives the same tensors "
    "and plain values without it"
)

HARMLESS_WHY = "Loading it builds a value in memory and does nothing else."
HARMLESS_HINT = "nothing to do"

#: kind: (what it is, why it matters, what to do)
KINDS: dict[str, tuple[str, str, str]] = {
    "runs-programs": (
        "runs programs or changes the system",
        "Whoever loads the file starts the commands that its author chose, with all rights of the person who loads it.",
        _NEVER,
    ),
    "runs-code": (
        "runs code",
        "Whoever loads the file runs Python code that its author chose.",
        _NEVER,
    ),
    "reaches-into-objects": (
        "reaches into other objects, which can be used to run code",
        "By way of an attribute's name everything that Python can do is within reach, under names that no list has.",
        _LOOK,
    ),
    "reads-or-writes-files": (
        "reads or writes files",
        "Loading the file can read what is private, or overwrite what is there.",
        _NEVER,
    ),
    "opens-connections": (
        "opens connections",
        "Loading the file can fetch more code, or send out what it finds on the machine.",
        _NEVER,
    ),
    "reads-secrets": (
        "reads passwords, accounts or keys",
        "What it reads is no part of any model, and can be sent out by the next call.",
        _NEVER,
    ),
    "reaches-into-memory": (
        "reaches into memory",
        "It calls machine code or changes memory directly, past everything that Python checks.",
        _NEVER,
    ),
    "loads-another-pickle": (
        "loads another pickle, which can run code",
        "What is in the other pickle was not looked at, and it can do anything.",
        _NEVER,
    ),
    "changes-the-interpreter": (
        "changes the running interpreter",
        "It changes how the program goes on after the file was loaded.",
        _NEVER,
    ),
    "hidden-module": (
        "reaches a module through another one",
        "No writer of pickles names things this way; it is how names are hidden from lists.",
        _NEVER,
    ),
    "odd-name": (
        "a name that no Python module or class has",
        "It cannot be imported as it stands, so it is there by damage or to mislead whoever looks at it.",
        _LOOK,
    ),
    "torchscript-class": (
        "a TorchScript class, whose code is in the file",
        "Its code is run by torch.jit.load, and not by dotpt.",
        'dotpt.load(..., unknown="inert") reads the tensors without it',
    ),
    "script-class": (
        "a class from the script that saved the file: its code is not in the file",
        "What is run when it is loaded is whatever stands under that name where it is loaded.",
        _LIBRARY,
    ),
    "unknown-class": (
        "a class or function of a package that is not known here",
        "Loading it imports that package, if it is installed, and calls it; what that does, nobody has checked.",
        _LIBRARY,
    ),
    "known-library": (
        "a class of a known library",
        "Loading it imports the library and calls its code.",
        _LIBRARY,
    ),
    "unknown-function": (
        "a part of Python's own library outside the known harmless ones",
        "It works on values and is not known to do harm, but nobody has checked it for all that it can be given.",
        _LOOK,
    ),
    "plain-value": ("a plain value", HARMLESS_WHY, HARMLESS_HINT),
}
