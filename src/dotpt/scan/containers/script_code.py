"""The program of a TorchScript archive: which operations its texts, and its list for phones, use.

TorchScript is a small language: its text can call torch's operations and its own functions, and nothing of Python.
Nearly all operations compute; a few reach files or other machines, and libraries register their own. torch writes an
operation as ``torch.add(...)`` or ``ops.quantized.linear(...)``, and nothing else: its compiler also takes
``t = torch``, ``getattr(torch, "save")`` and ``o = ops.aten``, which no writer writes. So every word ``torch`` and
``ops`` must begin a full name, and a text in which it does not is reported.

Invariant: words within quotes are left out only where no reader can disagree on what is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dotpt.formats.contents import Contents
from dotpt.scan.containers.script_words import CLASSES, HARMFUL, HARMFUL_CALLS, LIBRARIES, NAMESPACES
from dotpt.scan.session import Session
from dotpt.source.base import Source

_LARGEST = 64 << 20
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_FULL = re.compile(r"(?<![\w.])(?:torch\.(?!classes\b)([A-Za-z_]\w*)|ops\.([A-Za-z_]\w*)\.([A-Za-z_]\w*))")
_BARE = re.compile(r"(?<![\w.])(?:torch(?!\.[A-Za-z_]|\w)|ops(?!\.[A-Za-z_]\w*\.[A-Za-z_]|\w))")
_CLASS = re.compile(r"\.\s*classes\s*\.\s*([A-Za-z_]\w*)\s*\.\s*([A-Za-z_]\w*)")
_PARTLY = re.compile(r"(?<!\w)__torch__(?:\.torch(?:\.classes(?:\.\w+)?)?)?(?![\w.])")
_CALL = re.compile(r"(?<![\w.])(rpc_async|rpc_sync|rpc_remote)\s*\(")
_HARMFUL_WORD = re.compile(r"\b(?:save|from_file|load_tensor)\b")


def judge(session: Session, name: str, source: Source) -> None:
    """Report the operations of one source text that do more than compute."""
    session.findings.members += 1
    if source.size > _LARGEST:
        session.add("limit-exceeded", "The program's text is too large to be searched.", record=name)
        return
    content = source.read(0, source.size)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        session.add("torchscript-odd-code", "The program's text is not UTF-8.", record=name, offset=error.start)
        text = content.decode("latin-1")
    bare = _QUOTED.sub(lambda found: '"' + " " * (len(found[0]) - 2) + '"', text)
    odd = next((mark for mark in ("'", "#", "\\", '"""') if mark in bare), None)
    if odd is not None:
        text_of = f"The program's text has {odd!r} where torch writes none, so that words can hide."
        session.add("torchscript-odd-code", text_of, record=name, offset=len(bare[: bare.index(odd)].encode()))
        bare = text  # what is quoted and what is not, readers may disagree on
    for at, namespace, operation in _operations(bare):
        _judge(session, name, namespace, operation, at)
    for at, namespace, operation in _classes(bare):
        judge_class(session, name, namespace, operation, at)
    for pattern in (_BARE, _PARTLY):
        for found in pattern.finditer(bare):
            hides = _HARMFUL_WORD.search(text)
            what = f", and has the word {hides[0]}" if hides else ""
            session.add(
                "torchscript-odd-code", f"The program hands on {found[0]} itself, as no program of torch does{what}.",
                severity="dangerous" if hides else None, record=name, offset=found.start(), name=found[0],
            )  # fmt: skip


def judge_contents(session: Session, contents: Contents) -> None:
    """Report what the pickles of a TorchScript archive name besides its own classes: classes of libraries in C++.

    Its list of operations for phones (``bytecode.pkl``) is judged like a text.
    """
    for named in contents.globals:
        full = str(named)
        if full.startswith("__torch__.torch.classes."):
            namespace, _, rest = full.removeprefix("__torch__.torch.classes.").partition(".")
            judge_class(session, "data.pkl", namespace, rest, named.offset)
    if "bytecode.pkl" in contents.container and "bytecode" not in contents.extra:
        session.add("malformed-pickle", "The program for phones cannot be read.", record="bytecode.pkl")
    for operation in _of_bytecode(contents.extra.get("bytecode")):
        namespace, _, short = operation.rpartition("::")
        _judge(session, "bytecode.pkl", namespace or "aten", short, None)


def judge_class(session: Session, record: str, namespace: str, name: str, at: int | None) -> None:
    """Report a class of C++ that is not one of torch's plain ones."""
    if namespace not in CLASSES:
        session.add(
            "torchscript-unknown-operation", f"Its program uses torch.classes.{namespace}.{name}, a class in C++ of "
            f"the library {namespace}.", record=record, offset=at, name=f"torch.classes.{namespace}.{name}",
        )  # fmt: skip


def _judge(session: Session, record: str, namespace: str, operation: str, at: int | None) -> None:
    plain = operation.partition(".")[0]
    full = f"{namespace}::{plain}"
    does = HARMFUL.get((namespace, plain)) or HARMFUL_CALLS.get(plain)
    if does is not None:
        session.add("torchscript-operation", f"Its program uses {full}, which {does}.", record=record, offset=at,
                    name=full)  # fmt: skip
    elif namespace in LIBRARIES:
        library = LIBRARIES[namespace]
        session.add("known-library", f"Its program uses operations of {library}.", record=record, name=library)
    elif namespace not in NAMESPACES:
        session.add("torchscript-unknown-operation", f"Its program uses {full}, of the library {namespace}.",
                    record=record, offset=at, name=full)  # fmt: skip


def _operations(text: str) -> Iterator[tuple[int, str, str]]:
    for found in _FULL.finditer(text):
        yield found.start(), found[2] or "aten", found[1] or found[3]
    for found in _CALL.finditer(text):
        yield found.start(), "prim", found[1]


def _classes(text: str) -> Iterator[tuple[int, str, str]]:
    for found in _CLASS.finditer(text):
        if text[: found.start()].rstrip().endswith("torch") or found[1] not in ("append", "items", "keys"):
            yield found.start(), found[1], found[2]


def _of_bytecode(bytecode: Any) -> Iterator[str]:
    """The names of operations in the program for phones: ("operators", (("aten::add", "Tensor"), ...))."""
    waiting, steps = [bytecode], 0
    while waiting and steps < 1_000_000:
        steps += 1
        value = waiting.pop()
        if type(value) not in (tuple, list):
            continue
        if len(value) == 2 and value[0] == "operators" and type(value[1]) in (tuple, list):
            yield from (row[0] for row in value[1] if type(row) in (tuple, list) and row and type(row[0]) is str)
        else:
            waiting += value
