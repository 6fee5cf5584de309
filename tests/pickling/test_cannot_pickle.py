"""What cannot be written: the typed error, its address in what was saved, and errors that are not ours."""

from __future__ import annotations

import copyreg
import os
import pickle
import pickletools
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from dotpt.errors import CannotPickle, DotptError, TensorError
from dotpt.pickling.encoder import Encoder
from tests.corpus import picklable as own


def dump(value: Any, protocol: int = 2, **options: Any) -> bytes:
    return Encoder(protocol, **options).dump(value)


def local_class() -> type:
    class Local:
        pass

    return Local


def generator() -> Iterator[int]:
    yield 1


class Gone:
    """Its name is taken away below."""


GONE = Gone
del Gone
TAKEN = FunctionType(own.function.__code__, {}, "function")
TAKEN.__module__, TAKEN.__qualname__ = own.__name__, "function"


REDUCED = "tests.corpus.picklable.Reduced"


def failures() -> dict[str, tuple[Any, str | None, str, str]]:
    """What is saved; the address of what cannot be; words of the problem; its type."""
    local, lock, here = local_class(), threading.Lock(), generator()
    return {
        "a lambda": ({"optimizer": {"hooks": [1, 2, 3, lambda: 1]}}, "optimizer.hooks.3", "A lambda", "function"),
        "at the top": (lambda: 1, None, "A lambda", "function"),
        "a local class": ([local], "0", "The class .*Local cannot be saved: it is defined inside a function", "type"),
        "an object of one": ({"a": local()}, "a", "The class .*Local cannot be saved: it is defined", "type"),
        "a missing name": ((1, GONE), "1", "there is nothing of that name", "type"),
        "a taken name": ({"f": TAKEN}, "f", "another object has that name", "function"),
        "a generator": ({"g": here}, "g", "A generator cannot be saved", "generator"),
        "a lock": (own.Node(lock=lock), "lock", "A lock cannot be saved", "_thread.lock"),
        "a module": ({"m": os}, "m", "The module os cannot be saved", "module"),
        "a type of C": ({"m": memoryview(b"a")}, "m", "A memoryview cannot be saved: cannot pickle", "memoryview"),
        "in slots": (own.Slotted(1, [lock]), "right.0", "A lock", "_thread.lock"),
        "in slots and attributes": (own.filled(own.SlottedNode(1, 2), more=lock), "more", "A lock", "_thread.lock"),
        "in an argument": (own.Registered([lock]), "args.0.0", "A lock", "_thread.lock"),
        "in a state": (own.WithState([lock]), "state.1.0", "A lock", "_thread.lock"),
        "in an ordered dictionary": (OrderedDict(a=1, b=lock), "b", "A lock", "_thread.lock"),
        "in its attribute": (own.filled(OrderedDict(a=1), more=lock), "more", "A lock", "_thread.lock"),
        "in a list of one's own": (own.ListWithState([1, lock]), "1", "A lock", "_thread.lock"),
        "in a deque": (deque([1, 2, lock]), "2", "A lock", "_thread.lock"),
        "in a set": ({"s": {1, (2, lock)}}, "s.1", "A lock", "_thread.lock"),
        "in a key": ({(1, here): 2}, "<key of type tuple>.1", "A generator", "generator"),
        "under keys": ({1: {None: {2.5: {own.Colour.RED: lock}}}}, "1.None.2.5.<Colour>", "A lock", "_thread.lock"),
        "in a module's weights": (
            own.Node(_modules={"conv": own.Node(_parameters={"weight": lock}, _modules={})}, _buffers={}),
            "conv.weight", "A lock", "_thread.lock",
        ),
        "no reduction": (own.Reduced([1]), None, "neither a text nor a tuple", REDUCED),
        "one part": ([own.Reduced((int,))], "0", "neither a text nor a tuple", REDUCED),
        "no arguments": ([own.Reduced((int, [1]))], "0", "arguments that are no tuple", REDUCED),
        "no callable": ([own.Reduced((1, ()))], "0", "cannot be called", REDUCED),
        "no pairs": (
            [own.Reduced((dict, (), None, None, [[1, 2]]))], "0", "no pairs", REDUCED
        ),
        "another class": (
            [own.Reduced((copyreg.__newobj__, (int,)))], "0", "of another class", REDUCED
        ),
        "a bad name": ([own.Reduced("no such name")], "0", "nothing of that name", REDUCED),
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", failures())
def test_what_cannot_be_written_has_an_address(name: str, protocol: int) -> None:
    value, address, words, kind = failures()[name]
    with pytest.raises(CannotPickle, match=words) as caught:
        dump(value, protocol)
    assert caught.value.key == address
    assert caught.value.found == kind
    assert caught.value.hint
    for base in (DotptError, pickle.PicklingError, AttributeError, TypeError):
        assert isinstance(caught.value, base)


def test_open_files_have_an_address(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file, pytest.raises(CannotPickle, match="An open file") as caught:
        dump({"log": file})
    assert caught.value.key == "log"


def test_a_name_that_protocol_2_cannot_spell(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, highest in (("größe", 2), ("two\nlines", 3)):
        kind = type(name, (), {"__module__": own.__name__})
        monkeypatch.setattr(own, name, kind, raising=False)
        with pytest.raises(CannotPickle, match=f"cannot be written in protocol {highest}") as caught:
            dump({"a": kind}, highest)
        assert caught.value.key == "a"
        assert pickle.loads(dump(kind, highest + 1)) is kind


def test_errors_of_the_users_methods_pass_unchanged() -> None:
    class Stubborn:
        def __reduce__(self) -> Any:
            raise TypeError("cannot pickle this, says its author")

    error = KeyError("state")

    class Failing:
        def __getstate__(self) -> Any:
            raise error

    with pytest.raises(TypeError, match="says its author") as caught:
        dump({"a": [1, Stubborn()]})
    assert type(caught.value) is TypeError
    if sys.version_info >= (3, 11):
        assert "dotpt was saving a.1" in caught.value.__notes__[0]
        assert "Stubborn" in caught.value.__notes__[0]
    with pytest.raises(KeyError) as other:
        dump(Failing())
    assert other.value is error


def test_errors_of_items_and_of_the_callers_types_have_an_address() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more items")

    with pytest.raises(LookupError) as caught:
        dump({"a": own.Reduced((list, (), None, items()))})
    if sys.version_info >= (3, 11):
        assert "saving a: A tests.corpus.picklable.Reduced" in caught.value.__notes__[0]

    def save(encoder: Encoder, node: own.Node) -> None:
        if hasattr(node, "inner"):
            encoder.save({"deeper": [node.inner]})
        raise TensorError("No such dtype.")

    with pytest.raises(TensorError) as typed:
        dump({"a": own.Node(inner=own.Node())}, types={own.Node: save})
    assert typed.value.key == "a.deeper.0"


def test_a_failure_that_a_caller_survives_leaves_no_trace() -> None:
    def save(encoder: Encoder, node: own.Node) -> None:
        try:
            encoder.save([lambda: 1])
        except CannotPickle:
            encoder.save(node.inner)

    with pytest.raises(CannotPickle, match="A lock") as caught:
        dump({"a": own.Node(inner=[1, threading.Lock()])}, types={own.Node: save})
    assert caught.value.key == "a.inner.1"


def test_cannot_pickle_crosses_processes() -> None:
    with pytest.raises(CannotPickle) as caught:
        dump({"a": generator()})
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), again.key, str(again)) == (CannotPickle, "a", str(caught.value))


def test_texts_beyond_4_gib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dotpt.pickling.encoder._MOST_TEXT", 1_000)
    for value in ("x" * 1_001, b"x" * 1_001):
        for protocol in (2, 3):
            with pytest.raises(CannotPickle, match=r"1,001 bytes cannot be saved in this protocol") as caught:
                dump({"a": value}, protocol)
            assert caught.value.key == "a"
        data = dump(value, 4)
        assert pickle.loads(data) == value
        assert {opcode.name for opcode, _, _ in pickletools.genops(data)} & {"BINUNICODE8", "BINBYTES8"}


def test_what_has_no_end_is_an_error() -> None:
    class Endless:
        def __reduce__(self) -> Any:
            return own.filled, (Endless(),)

    with pytest.raises(CannotPickle, match="nested more than 100,000 levels deep") as caught:
        dump({"a": [Endless()]})
    assert caught.value.key is not None
    assert caught.value.key.startswith("a.0.args.0.args.0.")
    assert len(caught.value.key) < 1_000


def test_saves_within_saves_end_in_an_error() -> None:
    def save(encoder: Encoder, node: own.Node) -> None:
        encoder.save(node.inner)

    with pytest.raises(CannotPickle, match="too deep for objects of this kind"):
        dump(own.nested(10_000), types={own.Node: save})
