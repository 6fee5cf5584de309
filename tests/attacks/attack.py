"""What an attack of the catalogue is, and the few parts that most of them are built from. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

Files = dict[str, bytes]


@dataclass(frozen=True)
class Attack:
    """One way to get something past a reader, harmless in itself, and what dotpt must answer.

    Attributes:
        id: our name for it; CVE, GHSA or issue first where there is one.
        source: everything it is known by.
        what: the trick, in a sentence.
        build: makes the file, or the files of a folder.
        name: of the file, with its extension, or of the folder.
        scan: the verdict: "dangerous", "unreadable", or "not clean" where either that or "suspicious" will do.
        load: what load() does with it: the name of an error, "refused" for any of ours, or "value" where what is
            loaded is harmless and the attack lies elsewhere in the file.
    """

    id: str
    source: str
    what: str
    build: Callable[[], bytes | Files]
    name: str = "model.pkl"
    scan: str = "dangerous"
    load: str = "UnsafeGlobal"


def value(of: object) -> bytes:
    """The opcodes for a plain Python value."""
    if of is None:
        return p.none()
    if isinstance(of, bool):
        return p.true() if of else p.false()
    if isinstance(of, int):
        return p.number(of)
    if isinstance(of, float):
        return p.binfloat(of)
    if isinstance(of, str):
        return p.text(of)
    if isinstance(of, bytes):
        return p.binbytes(of)
    if isinstance(of, dict):
        return p.stream(p.mark(), *(value(key) + value(item) for key, item in of.items()), p.dict_())
    assert isinstance(of, (list, tuple))
    return p.stream(p.mark(), *map(value, of), p.list_() if isinstance(of, list) else p.tuple_())


def called(module: str, name: str, *arguments: object) -> bytes:
    """A name called with plain values."""
    return p.call(module, name, *map(value, arguments))


def called4(module: str, name: str, *arguments: object) -> bytes:
    """The same as later protocols write it."""
    return p.stream(p.global4(module, name), value(tuple(arguments)), p.reduce_())


def zipped(stream: bytes) -> bytes:
    """A torch archive around a stream, with a tensor's bytes only if it names them: what nobody names is odd."""
    return pt(stream, FOUR_FLOATS if b"storage" in stream and b"Storage" in stream else None)


#: Calls a program that does nothing, if anybody were to run it.
SYSTEM = p.global_("os", "system")
PAYLOAD = called("os", "system", "true")
#: The same as a whole stream, and beside the weights that a reader is to be content with.
EVIL = p.pickled(PAYLOAD)
EVIL_TREE = p.pickled(p.mark(), p.text("weight"), p.tensor(), p.text("note"), PAYLOAD, p.dict_())
HARMLESS = p.pickled(p.mark(), p.text("weight"), p.tensor(), p.dict_())
ECHO = p.pickled(p.text("nothing here"))
FOUR_FLOATS = {"0": bytes(range(16))}
