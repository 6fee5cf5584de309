"""Attacks on ``trust=``: what is not named is neither imported nor called, whatever else is trusted. All inert."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.errors import DotptError, PickleError, UnsafeGlobal
from dotpt.pickling import trust as trusting
from dotpt.pickling.asked import untrusted
from dotpt.pickling.revive import Reviver
from dotpt.pickling.tree import settle
from dotpt.pickling.trust import Trust
from dotpt.pickling.values import GlobalName, InertGlobal, InertObject
from tests.attacks import innocent
from tests.corpus import pickles as p
from tests.corpus.streams import STREAMS
from tests.corpus.torch_zip import pt

ROOT = Path(__file__).parents[2]
HERE = "tests.attacks.innocent"
NET = p.global_(HERE, "Net")
MADE = p.stream(NET, p.empty_tuple(), p.newobj())
#: Importing one of these would be seen: nobody has.
TRAPS = ("this", "antigravity", "idlelib.idle", "turtledemo", "wsgiref.simple_server")
SYSTEM = p.global_("os", "system")


def getattr_(target: bytes, name: str) -> bytes:
    return p.call("__builtin__", "getattr", target, p.text(name))


def state(*parts: bytes) -> bytes:
    return p.stream(MADE, p.empty_dict(), p.mark(), *parts, p.setitems(), p.build())


def sets(setter: bytes) -> bytes:
    """A trusted object whose state something else is called to set."""
    return p.stream(MADE, p.binput(1), setter, p.binget(1), p.none(), p.tuple2(), p.reduce_(), p.pop())


#: Each must be refused when only `Net` is trusted, and its name or road be said.
SMUGGLED = {
    "as the file's object": SYSTEM,
    "called": p.stream(SYSTEM, p.text("true"), p.tuple1(), p.reduce_()),
    "in the state": state(p.text("a"), SYSTEM),
    "as a key of the state": state(SYSTEM, p.none()),
    "called in the state": state(p.text("a"), p.call("os", "system", p.text("true"))),
    "in the slots of the state": p.stream(
        MADE, p.none(), p.empty_dict(), p.text("a"), SYSTEM, p.setitem(), p.tuple2(), p.build()
    ),
    "in its arguments": p.stream(NET, SYSTEM, p.tuple1(), p.newobj()),
    "in its keyword arguments": p.stream(
        NET, p.empty_tuple(), p.empty_dict(), p.text("a"), SYSTEM, p.setitem(), p.newobj_ex()
    ),
    "in its items": p.stream(MADE, SYSTEM, p.append()),
    "in its pairs": p.stream(MADE, p.text("a"), SYSTEM, p.setitem()),
    "as the class of a reduction": p.call("copy_reg", "_reconstructor", NET, SYSTEM, p.none()),
    "as what sets its state": sets(SYSTEM),
    "dropped from the stack": p.stream(SYSTEM, p.pop(), MADE),
    "dropped when called": p.stream(SYSTEM, p.text("true"), p.tuple1(), p.reduce_(), p.pop(), MADE),
    "only remembered": p.stream(SYSTEM, p.binput(1), p.pop(), MADE),
    "in an attribute of a tensor": p.call(
        "torch._utils", "_rebuild_parameter_with_state",
        p.call("torch._utils", "_rebuild_meta_tensor_no_storage", p.global_("torch", "float32"), p.ints(1), p.ints(1),
               p.false()),
        p.false(), p.none(), p.stream(p.empty_dict(), p.text("a"), SYSTEM, p.setitem()),
    ),
    "as a tensor subclass": p.call("torch._utils", "_rebuild_wrapper_subclass", SYSTEM, p.none() * 7),
    "as a class of arrays": p.call("numpy.core.multiarray", "_reconstruct", SYSTEM, p.ints(0), p.text("b")),
    "as the type of an array": p.call("numpy", "dtype", SYSTEM, p.false(), p.true()),
    "as a factory": p.call("collections", "defaultdict", SYSTEM),
    "as a time zone": p.call("datetime", "datetime", p.ints(), SYSTEM),
    "in a slice": p.call("__builtin__", "slice", SYSTEM),
    "as what torch's loader reads first": p.stream(p.text("a"), SYSTEM, p.tuple2()),
    "beside the trusted class": p.stream(MADE, p.global_(HERE, "other"), p.tuple2()),
    "as a module of it": p.stream(p.global_(HERE, "os"), p.empty_tuple(), p.reduce_()),
    "as a function that it imports": p.call(HERE, "system", p.text("true")),
    "as a dotted name through its module": p.call(HERE, "os.system", p.text("true")),
    "as a dotted name through its package": p.global_("tests.attacks", "innocent.system"),
    "as an attribute of the class": p.global_(HERE, "Net.__init__.__globals__"),
    "as an attribute of the class, in a later protocol": p.global4(HERE, "Net.__init__.__globals__"),
    "as a method of the class": p.global_(HERE, "Net.__init__"),
    "as a static method of the class": p.global_(HERE, "Net.reach"),
    "with a longer module": p.global_(f"{HERE}.Net", "x"),
    "with a space": p.global_(HERE, "Net "),
    "with another case": p.global_(HERE, "net"),
    "by getattr": getattr_(NET, "reach"),
    "by getattr of getattr": getattr_(getattr_(NET, "__init__"), "__globals__"),
    "by getattr, called": p.stream(getattr_(NET, "reach"), p.empty_tuple(), p.reduce_()),
    "by getattr of an instance": getattr_(MADE, "__class__"),
    "by getattr of a known class": getattr_(p.global_("collections", "OrderedDict"), "fromkeys"),
    "by getattr with a dotted name": getattr_(NET, "__init__.__globals__"),
    "by getattr with a default": p.call("__builtin__", "getattr", NET, p.text("x"), SYSTEM),
    "by getattr, filled": p.stream(getattr_(NET, "Net"), SYSTEM, p.append()),
    "as an instance that is called": p.stream(MADE, p.empty_tuple(), p.reduce_()),
    "as an instance that makes instances": p.stream(MADE, p.empty_tuple(), p.newobj()),
    "as a result that is called": p.stream(NET, p.empty_tuple(), p.reduce_(), p.text("true"), p.tuple1(), p.reduce_()),
    "as an instance that sets a state": sets(MADE),
    "by getattr's other name": p.call("builtins", "getattr", NET, p.text("reach")),
    "by attrgetter": p.stream(p.call("operator", "attrgetter", p.text("reach")), NET, p.tuple1(), p.reduce_()),
}  # fmt: skip


@pytest.mark.parametrize("road", SMUGGLED)
def test_a_trusted_class_lets_nothing_else_in(road: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusting, "import_module", _must_not_import)
    data = p.pickled(SMUGGLED[road])
    for trust in ([f"{HERE}.Net"], [innocent.Net]):
        for source in (data, pt(data)):
            with pytest.raises(DotptError) as caught:
                dotpt.load(source, trust=trust, backend="numpy")
            assert isinstance(caught.value, (UnsafeGlobal, PickleError)), road
    assert innocent.CALLED == []


@pytest.mark.parametrize("road", SMUGGLED)
def test_nor_where_the_rest_stays_inert(road: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the trusted class is made; what was smuggled in lies in it as a record."""
    imported: list[str] = []
    real = trusting.import_module
    monkeypatch.setattr(trusting, "import_module", lambda name: imported.append(name) or real(name))
    with contextlib.suppress(DotptError):
        dotpt.load(p.pickled(SMUGGLED[road]), trust=[f"{HERE}.Net"], unknown="inert", backend="numpy")
    assert set(imported) <= {HERE}
    assert innocent.CALLED == []


def _must_not_import(name: str) -> Any:
    raise AssertionError(f"{name} was imported")


def test_a_class_that_is_trusted_is_still_made() -> None:
    found = dotpt.load(p.pickled(state(p.text("a"), p.number(1))), trust=[f"{HERE}.Net"])
    assert type(found) is innocent.Net
    assert found.a == 1


@pytest.mark.parametrize(
    "body", [p.ext1(1), p.ext2(300), p.ext4(70_000), p.persid("outside"), p.stream(p.text("x"), p.binpersid())]
)
def test_what_pickle_leaves_to_a_program_stays_refused(body: bytes) -> None:
    with pytest.raises(PickleError) as caught:
        dotpt.load(p.pickled(body), trust="all")
    assert not isinstance(caught.value, UnsafeGlobal)


def test_state_is_not_set_on_a_class_or_function() -> None:
    for target in (NET, p.global_("collections", "OrderedDict"), p.global_(HERE, "other")):
        body = p.stream(target, p.empty_dict(), p.text("x"), p.number(1), p.setitem(), p.build())
        with pytest.raises(PickleError):
            dotpt.load(p.pickled(body), trust="all")
    assert not hasattr(innocent.Net, "x")


# -- under an audit hook ---------------------------------------------------------------------------------------------


def _files(folder: Path) -> list[Path]:
    streams = {name: stream.data for name, stream in STREAMS.items() if stream.kind != "bomb"}
    for name in TRAPS:
        streams |= {
            f"trap {name} named": p.pickled(p.global_(name, "x")),
            f"trap {name} called": p.pickled(p.call(name, "x")),
            f"trap {name} in state": p.pickled(state(p.text("a"), p.global_(name, "x"))),
            f"trap {name} by getattr": p.pickled(getattr_(p.global_(name, "x"), "y")),
            f"trap {name} as module of a glob": p.pickled(p.global_("other", f"{name}.x")),
        }
    streams |= {f"road {number}": p.pickled(body) for number, body in enumerate(SMUGGLED.values())}
    paths = []
    for number, (name, data) in enumerate(streams.items()):
        for kind, content in (("bare", data), ("zip", pt(data))):
            paths.append(folder / f"{number} {kind} {name.replace('/', '_')[:60]}.pt")
            paths[-1].write_bytes(content)
    return paths


def test_nothing_is_imported_or_executed_for_a_name_that_is_not_trusted(tmp_path: Path) -> None:
    paths = _files(tmp_path)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.trust_child"],
        env=environment,
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 8 * len(paths) > 1_000
    for line in lines:
        others = [(event, what) for event, what in line["events"] if not _harmless(event, what)]
        assert not others, line
        assert line["modules"] == [], line
    refused = [line for line in lines if "trap" in line["file"] and line["unknown"] == "error"]
    for line in refused:  # `other` itself is trusted by a glob, and there is no such package
        trusted = "as module of a glob" in line["file"] and "other.*" in line["trust"]
        assert line["outcome"] == ("ModuleMissing" if trusted else "UnsafeGlobal"), line
    made = [line for line in lines if "trap" in line["file"] and line["unknown"] == "inert"]
    assert {line["outcome"] for line in made} <= {"InertGlobal", "InertObject", "Net", "ModuleMissing"}


def _harmless(event: str, what: str) -> bool:
    """`importlib.import_module` of what is imported already raises no event; of the rest none is expected."""
    return event in ("os.listdir", "os.scandir") or (event == "import" and what == HERE)


# -- graphs ----------------------------------------------------------------------------------------------------------


class _Maker:
    """A back end without tensors: what is asked of it is noted."""

    def leaf(self, value: Any) -> Any:
        return settle(value)

    finish = leaf

    def note(self, *asked: Any, **more: Any) -> Any:
        return asked

    set_attributes = subclass = wrapper = parameter = set_state = note


class _Graphs:
    """Random graphs of records: names, calls of names, of calls, and of getattr, in every part of each other."""

    NAMES = ("os.system", "this.x", "builtins.getattr", "__builtin__.getattr", "antigravity.y", "my_pkg.Net", "a.b.C")
    HOW = ("call", "new", "inst", "reconstruct", "array", "subclass", "wrapper", "parameter", "set", "call", "call")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.made: list[Any] = [None, 1, "x", (), []]

    def one(self) -> Any:
        for _ in range(self.random.randrange(1, 40)):
            self.made.append(self._next())
        for value in self.made:
            if type(value) is list and self.random.random() < 0.5:
                value.append(self.random.choice(self.made))
            elif type(value) is InertObject and self.random.random() < 0.5:
                value.states.append(self.random.choice(self.made))
        return self.made[-1]

    def _next(self) -> Any:
        pick, kind = self.random.choice, self.random.randrange(6)
        if kind == 0:
            return InertGlobal(*pick(self.NAMES).rsplit(".", 1), self.random.random() < 0.5)
        if kind == 1:
            return [pick(self.made) for _ in range(self.random.randrange(4))]
        if kind == 2:
            return tuple(pick(self.made) for _ in range(self.random.randrange(4)))
        if kind == 3:
            return {str(key): pick(self.made) for key in range(self.random.randrange(4))}
        callee = pick(
            [value for value in self.made if type(value) in (InertGlobal, InertObject)] or [InertGlobal("a", "b")]
        )
        record = InertObject(callee, pick(self.HOW), tuple(pick(self.made) for _ in range(self.random.randrange(3))))
        record.kwargs = {"requires_grad": True} if record.how == "parameter" else None
        record.base = pick(self.made)
        record.items = [pick(self.made) for _ in range(self.random.randrange(2))]
        record.pairs = [(pick(self.made), pick(self.made)) for _ in range(self.random.randrange(2))]
        return record


@pytest.mark.parametrize("strict", [True, False])
def test_random_graphs_with_nothing_of_them_trusted_import_nothing(
    strict: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trusting, "import_module", _must_not_import)
    before = set(sys.modules)
    trust = Trust.of(["nothing.Here", "nowhere.*"])
    outcomes = set()
    for seed in range(3_000):
        tree = _Graphs(seed).one()
        try:
            untrusted([GlobalName("a", "b", False, 0)], tree, trust)
            Reviver(trust, _Maker(), 200, strict=strict).revive(tree)
            outcomes.add("made")
        except DotptError as error:
            outcomes.add(type(error).__name__)
    assert {"made", "UnsafeGlobal"} <= outcomes
    assert set(sys.modules) == before


def test_random_graphs_with_one_class_trusted_call_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusting, "import_module", _must_not_import)
    called: list[str] = []

    class Net:
        def __new__(cls, *arguments: Any, **keywords: Any) -> Any:
            called.append("Net")
            return super().__new__(cls)

        def __call__(self, *arguments: Any) -> Any:
            raise AssertionError("an instance was called")

    trust = Trust.of([(Net, "my_pkg.Net")])
    for seed in range(3_000):
        with contextlib.suppress(DotptError):
            Reviver(trust, _Maker(), 200, strict=False).revive(_Graphs(seed).one())
    assert called
