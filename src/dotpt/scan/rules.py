"""The table of what a scan reports besides the names in pickles: one row a rule.

The rules of the strict zip (`container.ziprules`) have their own ids and words there. Severities are defaults; a policy
may change them.
"""

from __future__ import annotations

from dataclasses import dataclass

from dotpt.scan.findings import UNREADABLE

_AGAIN = "get the file again from its author"
_ASK = "do not load it with torch or pickle; ask its author what this is for"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule.

    Attributes:
        severity: of its findings.
        why: why it matters.
        hint: what to do.
    """

    severity: str
    why: str
    hint: str


RULES: dict[str, Rule] = {
    # what is named and called
    "dangerous-call": Rule("dangerous", "Loading the file with torch or pickle makes this call at once.", _ASK),
    "dangerous-name": Rule(
        "dangerous", "Whoever loads the file imports this and holds it, ready to be called.", _ASK
    ),
    "unknown-name": Rule(
        "suspicious", "Loading the file imports this, and with it the code of its package.",
        "if you know what it is: dotpt scan --allow NAME, or a policy; dotpt clean makes a file without it",
    ),
    "reaches-into-objects": Rule(
        "suspicious", "Python pickles nested classes and bound methods this way, and attackers reach functions by it.",
        "look at the call; dotpt clean makes a file without it",
    ),
    "odd-use-of-torch": Rule(
        "suspicious", "A saved model never holds this, and torch would act on it.", _ASK,
    ),
    "odd-use-of-library": Rule(
        "suspicious", "What is harmless where it is made empty and filled may not be where it is called.", _ASK
    ),
    "known-library": Rule("info", "Loading the file with torch needs this library, and runs its code.", ""),
    "changes-a-class": Rule(
        "dangerous", "Loading the file changes this class for the whole program, which can run code.", _ASK
    ),
    "text-in-disguise": Rule(
        "suspicious", "Names like this are made to be shown as something else than they are.", _ASK
    ),
    # what is hidden
    "hidden-pickle": Rule(
        "suspicious", "A program that unpickles this text runs what is in it; scanners that look only at the outside "
        "miss it.", _ASK,
    ),
    "names-in-broken-part": Rule(
        "dangerous", "The part that cannot be decoded names this: other readers may get further than dotpt.", _ASK
    ),
    "code-in-words": Rule(
        "suspicious", "Nothing that loads tensors runs it, but a program that shows or uses these words might.",
        "look at it: dotpt metadata",
    ),
    # structure
    "checksum-mismatch": Rule("suspicious", "The bytes are not those that were written; torch does not check.", _AGAIN),
    "expands": Rule(
        "suspicious", "A program that walks, prints or converts the object never ends, or runs out of memory.", _AGAIN
    ),
    "bad-tensor": Rule(
        "suspicious", "A tensor that reaches outside its storage makes torch read or write memory that is not its own.",
        _AGAIN,
    ),
    "malformed-container": Rule("suspicious", "Readers can take such a file for different things.", _AGAIN),
    "trailing-data": Rule("suspicious", "Something can hide behind what readers take for the end.", _AGAIN),
    "several-archives": Rule("suspicious", "Readers can take such a file for different things.", _AGAIN),
    "several-pickles": Rule("info", "A reader that is asked again gets the next one.", ""),
    "unexpected-record": Rule("suspicious", "No writer of such files puts this there.", "look at it: dotpt inspect"),
    "disguised": Rule("suspicious", "Tools that go by the beginning or the name take it for something else.", _ASK),
    # programs
    "torchscript": Rule("info", "torch.jit.load runs this program; it can compute, and only that.", ""),
    "torchscript-operation": Rule(
        "dangerous", "A TorchScript program that does this reaches files or the system.", _ASK
    ),
    "torchscript-unknown-operation": Rule(
        "suspicious", "A library that registers operations runs its own code for it.", "find out which library it is"
    ),
    "torchscript-odd-code": Rule(
        "suspicious", "torch's compiler takes it, and which operation it leads to is not to be seen.", _ASK
    ),
    "python-code": Rule("suspicious", "Loading the package runs this code.", "read it before you load the file"),
    "native-code": Rule(
        "suspicious", "Loading the model runs this program, with all the rights of whoever loads it.",
        "load it only if you trust its author; compile it yourself from the exported program",
    ),
    "no-checksum": Rule("info", "Damage cannot be told from data.", "dotpt save writes checksums and hashes"),
    # what was not read
    "not-a-model": Rule(UNREADABLE, "It was not scanned: scanning is about files that torch or pickle load.", ""),
    "truncated": Rule(UNREADABLE, "What is missing was not scanned.", "copy or download the file again"),
    "malformed-pickle": Rule(
        UNREADABLE, "What follows was not decoded; a reader that is less strict may run it.", _AGAIN
    ),
    "limit-exceeded": Rule(UNREADABLE, "The rest was not read.", "if you trust the file, raise the limit"),
    "not-supported": Rule(UNREADABLE, "What is in it was not scanned.", "a scanner for this kind of file"),
    "unknown-kind": Rule(UNREADABLE, "Nobody has said what these bytes may do.", "find out what wrote the file"),
    "cannot-read": Rule(UNREADABLE, "It was not scanned.", ""),
    "nested-too-deep": Rule(UNREADABLE, "What is inside was not scanned.", "unpack it and scan the parts"),
    "texts-not-searched": Rule(UNREADABLE, "A pickle could hide in what was not searched.", "raise the limits"),
}  # fmt: skip
