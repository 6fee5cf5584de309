"""``trust=``: what is covered, what is imported for it; what is built is what pickle builds. Needs no torch."""

from __future__ import annotations

import collections
import functools
import os
import pathlib
import pickle
import sys
import textwrap
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.errors import (
    CannotBuild,
    CannotImport,
    MissingDependency,
    ModuleMissing,
    NameMissing,
    UnsafeGlobal,
    UsageError,
)
from dotpt.pickling.explain import suggested_trust
from dotpt.pickling.trust import Trust
from dotpt.pickling.values import GlobalName, InertGlobal, InertObject
from tests.corpus import pickles as p
from tests.pickling import trusted
from tests.pickling.trusted import OBJECTS, Data, Outer, Plain

HERE = "tests.pickling.trusted"


def load(data: bytes, trust: Any, **options: Any) -> Any:
    return dotpt.load(data, trust=trust, backend="numpy", **options)


# -- what is built is what pickle builds --------------------------------------------------------------------------


#: What the first protocols cannot write: slots, and a list's subclass that holds itself.
LATER = ("slots", "only slots", "in its own items")
WRITTEN = [(name, protocol) for name in OBJECTS for protocol in range(2 if name in LATER else 0, 6)]


@pytest.mark.parametrize(("name", "protocol"), WRITTEN)
def test_everything_trusted_is_what_pickle_gives(name: str, protocol: int) -> None:
    """Written again, it is the same to the byte: every type, attribute, order and shared part."""
    data = pickle.dumps(OBJECTS[name](), protocol)
    found, wanted = load(data, "all"), pickle.loads(data)
    assert pickle.dumps(found, protocol) == pickle.dumps(wanted, protocol)


@pytest.mark.parametrize("name", OBJECTS)
def test_nothing_is_built_without_trust(name: str) -> None:
    data = pickle.dumps(OBJECTS[name](), 4)
    if name == "paths":  # known to be harmless, as pure paths
        assert type(load(data, None)[0]) is pathlib.PurePosixPath
        return
    with pytest.raises(UnsafeGlobal, match="outside the known harmless ones"):
        load(data, None)
    with pytest.raises(UnsafeGlobal):
        load(data, ["some.Other"])


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_list_that_names_all_of_it_suffices(protocol: int) -> None:
    for name in ("plain", "own state", "parent and child", "keys", "shared", "dataclasses", "set by a function"):
        data = pickle.dumps(OBJECTS[name](), protocol)
        found = load(data, [f"{HERE}.*", "decimal.Decimal"])
        assert pickle.dumps(found, protocol) == pickle.dumps(pickle.loads(data), protocol), name


def test_an_object_is_built_once_and_called_once() -> None:
    part = trusted.OwnState([1])
    found = load(pickle.dumps([part, {"a": part}, (part,)], 2), [trusted.OwnState])
    assert found[0] is found[1]["a"] is found[2][0]
    assert found[0].calls == 1


def test_a_class_sees_whole_values_and_never_a_record_of_ours() -> None:
    seen: list[Any] = []

    class Watcher:
        def __setstate__(self, state: Any) -> None:
            seen.append((dict(state["around"]), state["inside"].content))
            self.__dict__.update(state)

    around: dict[str, Any] = {}
    watcher = Plain(around=around, inside=Data(1, [2]))
    around["watcher"] = watcher
    load(pickle.dumps(around, 4), [Data, (Watcher, f"{HERE}.Plain")])
    assert seen == [({}, [2])]  # what is not filled yet is empty, as pickle has it


def test_it_is_not_held_up_by_depth_or_by_many_ways_to_one_object() -> None:
    chain: Any = None
    for _ in range(300):
        chain = Plain(next=chain, twice=chain)
    body = pickle.dumps(chain, 4)
    found = load(body, [Plain])
    for _ in range(299):
        assert found.next is found.twice
        found = found.next
    deep: Any = p.stream(p.proto(2), b"]" * 1_200, b"a" * 1_199, p.stop())
    with pytest.raises(dotpt.LimitExceeded, match="nesting"):
        load(deep, "all")


def test_a_path_of_another_system_stays_pure() -> None:
    data = p.pickled(p.call("pathlib", "WindowsPath", p.text("c:/a"), p.text("b")))
    found = load(data, "all")
    assert found == pathlib.PureWindowsPath("c:/a/b")
    assert type(found) is (pathlib.WindowsPath if os.name == "nt" else pathlib.PureWindowsPath)


@pytest.mark.skipif(os.name == "nt", reason="paths of this system")
@pytest.mark.parametrize("trust", ["all", "pathlib.PosixPath", ["pathlib.*"], [pathlib.PosixPath]])
def test_a_path_of_this_system_is_one_again(trust: Any) -> None:
    for module in ("pathlib", "pathlib._local"):
        data = p.pickled(p.call(module, "PosixPath", p.text("/a"), p.text("b")))
        assert type(load(data, trust)) is pathlib.PosixPath
        assert type(load(data, ["pathlib.PurePath"])) is pathlib.PurePosixPath


def test_python_2_names_are_translated_as_pickle_does() -> None:
    old = {
        "reduce": p.global_("__builtin__", "reduce"),
        "unicode": p.global_("__builtin__", "unicode"),
        "queue": p.global_("Queue", "Full"),
        "izip": p.global_("itertools", "izip"),
        "error": p.global_("exceptions", "KeyError"),
    }
    wanted = {"reduce": functools.reduce, "unicode": str, "queue": __import__("queue").Full, "izip": zip}
    found = load(p.pickled(p.empty_dict(), p.mark(), *(p.text(k) + v for k, v in old.items()), p.setitems()), "all")
    assert found == {**wanted, "error": KeyError}


def test_from_protocol_3_on_a_name_is_what_it_says(package: Path) -> None:
    """`commands` was Python 2's for `subprocess`; today it may be anybody's."""
    (package.parent / "commands.py").write_text("class run: pass")
    try:
        found = load(p.stream(p.proto(4), p.global4("commands", "run"), p.stop()), "all")
        assert found.__module__ == "commands"
        with pytest.raises(UnsafeGlobal):
            load(p.stream(p.proto(4), p.global4("commands", "run"), p.stop()), ["subprocess.run"])
        found = load(p.pickled(p.global_("commands", "run")), ["commands.run"])
        assert found.__module__ == "commands"
    finally:
        sys.modules.pop("commands", None)


def test_old_style_instances_are_made_as_python_2_made_them() -> None:
    made = load(p.pickled(p.mark(), p.number(1), p.inst(HERE, "Reduced")), [trusted.Reduced])
    assert made.content == 1
    state = p.stream(p.empty_dict(), p.text("content"), p.number(2), p.setitem(), p.build())
    made = load(p.pickled(p.mark(), p.inst(HERE, "Reduced"), state), [trusted.Reduced])
    assert vars(made) == {"content": 2}
    made = load(p.pickled(p.mark(), p.global_(HERE, "Reduced"), p.number(3), p.obj()), [trusted.Reduced])
    assert made.content == 3


# -- with records left ----------------------------------------------------------------------------------------------


def test_what_is_not_trusted_stays_inert_if_the_user_wants_it() -> None:
    data = pickle.dumps([Plain(a=Data(1)), Data(2, Plain()), {Data: Plain}, {Data(3).x: (Data(4),)}], 2)
    plain, data_2, classes, last = load(data, [Plain], unknown="inert")
    assert type(plain) is Plain
    assert type(plain.a) is InertObject
    assert plain.a.attributes == {"x": 1, "content": None}
    assert type(data_2) is InertObject
    assert type(data_2.attributes["content"]) is Plain
    (name,) = classes
    assert type(name) is InertGlobal
    assert classes[name] is Plain
    assert type(last[3][0]) is InertObject


def test_harmless_types_wait_for_what_they_hold() -> None:
    data = pickle.dumps([collections.defaultdict(Data, a=1), collections.defaultdict(trusted.double, b=2)], 2)
    first, second = load(data, [Data], unknown="inert")
    assert type(first) is collections.defaultdict
    assert first.default_factory is Data
    assert type(second) is InertObject
    assert second.pairs == [("b", 2)]


def test_a_state_that_an_untrusted_function_sets_is_said() -> None:
    data = pickle.dumps(trusted.SetByFunction(), 4)
    with pytest.raises(CannotBuild, match="set_state, which is not trusted"):
        load(data, [trusted.SetByFunction], unknown="inert")
    inert = load(data, None, unknown="inert")
    assert inert.attributes == {"a": [1]}


# -- what is covered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trust", "name", "covered"),
    [
        ("all", "os.system", True),
        (None, "a.B", False),
        ([], "a.B", False),
        ("a.B", "a.B", True),
        (["a.B", "c.D"], "c.D", True),
        ({"a.B"}, "a.B", True),
        (("a.B", "c.D"), "c.D", True),
        ("a.B", "a.B.c", False),
        ("a.B", "a.Bc", False),
        ("a.B", "xa.B", False),
        ("a.B.C", "a.B", False),
        ("a.*", "a.b.C", True),
        ("a.*", "ab.C", False),
        ("a.*", "b.a.C", False),
        ("a.*.Net", "a.b.c.Net", True),
        ("a.b?.Net", "a.b1.Net", True),
        ([Plain], f"{HERE}.Plain", True),
        (Plain, f"{HERE}.Plain", True),
        (Plain, f"{HERE}.Data", False),
        ([(Plain, "old.place.Net")], "old.place.Net", True),
        ([(Plain, "old.place.Net")], f"{HERE}.Plain", False),
        ([functools.partial], "functools.partial", True),
        ([len], "builtins.len", True),
        (Trust.of(["a.B"]), "a.B", True),
    ],
)
def test_what_a_trust_covers(trust: Any, name: str, covered: bool) -> None:
    module, _, attribute = name.rpartition(".")
    assert Trust.of(trust).covers(module, attribute) is covered
    assert bool(Trust.of(trust)) is (trust not in (None, []))


@pytest.mark.parametrize(
    ("trust", "hint"),
    [
        (True, "pass"),
        (3, "pass"),
        (["my_pkg"], r'\["my_pkg\.\*"\]'),
        ("", "pass"),
        (".Net", "pass"),
        ("pkg..Net", "pass"),
        ("*", 'trust="all"'),
        ("*.Net", 'trust="all"'),
        (["a.B", "all"], "nothing beside it"),
        ([os], r'\["os\.\*"\]'),
        ([Plain()], "pass"),
        ([None], "pass"),
        ([("a.B", Plain)], "pass"),
        ([(Plain,)], "pass"),
        ((Plain, "a.B"), "pass a list"),
        ([functools.partial(int)], "pass"),
    ],
)
def test_what_means_nothing_is_a_usage_error(trust: Any, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        Trust.of(trust)
    with pytest.raises(UsageError):
        load(b"\x80\x02N.", trust)


def test_more_can_be_allowed_as_objects() -> None:
    """The seam for torch.serialization's safe globals."""
    trust = Trust.of(None, allowed=[("no.such.module", "Net", Plain), (HERE, "Outer.Inner", Outer.Inner)])
    assert trust
    assert trust.resolve("no.such.module", "Net") is Plain
    assert trust.resolve(HERE, "Outer.Inner") is Outer.Inner
    assert not trust.covers(HERE, "Outer")
    both = Trust.of(trust, allowed=[("a", "B", Data)])
    assert both.resolve("a", "B") is Data
    assert both.resolve("no.such.module", "Net") is Plain
    assert not trust.covers("a", "B")
    assert load(pickle.dumps(Outer.Inner(), 2), trust).a == 1
    everything = Trust.of("all", allowed=[("no.such.module", "Net", Plain)])
    assert everything.resolve("no.such.module", "Net") is Plain


def test_a_class_passed_as_an_object_is_not_imported() -> None:
    data = p.pickled(p.global_("no.such.module", "Net"), p.empty_tuple(), p.newobj())
    assert type(load(data, [(Plain, "no.such.module.Net")])) is Plain


@pytest.mark.parametrize("protocol", range(6))
def test_a_class_in_a_class_is_trusted_by_its_own_name(protocol: int) -> None:
    """Below protocol 4 pickles write getattr(Outer, "Inner"), and nobody needs to trust getattr for it."""
    data = pickle.dumps([Outer.Inner(), Outer.Inner.Deepest()], protocol)
    names = ["copyreg.__newobj__"] if protocol < 2 else []
    for trust in ([Outer.Inner, Outer.Inner.Deepest], [f"{HERE}.Outer.Inner", f"{HERE}.Outer.Inner.Deepest"]):
        first, second = load(data, [*trust, *names])
        assert (type(first), type(second)) == (Outer.Inner, Outer.Inner.Deepest)
        assert first.a == 1
    with pytest.raises(UnsafeGlobal, match=r"trusted\.Outer\.Inner\.Deepest") as caught:
        load(data, [Outer.Inner])
    assert [str(name) for name in caught.value.globals] == [f"{HERE}.Outer.Inner.Deepest"]
    with pytest.raises(UnsafeGlobal):
        load(data, [Outer])


# -- globs ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package whose modules import what no glob over it may give away."""
    folder = tmp_path / "trusted_package"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "nets.py").write_text(
        textwrap.dedent("""
            import functools, os, subprocess
            from os import system, getcwd
            from subprocess import run as start
            from functools import partial
            from builtins import eval as evaluate

            class Net:
                function = os.getcwd
                def __init__(self): pass
                def method(self): return 1
                class Inner: pass

            def build(): return Net()
            constant = {"a": 1}
            single = Net()
        """)
    )
    (folder / "broken.py").write_text("raise KeyError('deep inside')")
    (folder / "needy.py").write_text("import no_such_library.part")
    (folder / "wrong.py").write_text("from os import no_such_name")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "trusted_package"]:
        del sys.modules[name]


@pytest.mark.parametrize("name", ["Net", "Net.Inner", "build", "Net.method", "single"])
def test_a_glob_gives_what_is_defined_within_it(package: Path, name: str) -> None:
    assert Trust.of("trusted_package.*").resolve("trusted_package.nets", name) is not None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("trusted_package.nets", "os.system"),
        ("trusted_package.nets", "os"),
        ("trusted_package", "nets"),
        ("trusted_package", "nets.os.system"),
        ("trusted_package.nets", "system"),
        ("trusted_package.nets", "getcwd"),
        ("trusted_package.nets", "start"),
        ("trusted_package.nets", "subprocess.run"),
        ("trusted_package.nets", "partial"),
        ("trusted_package.nets", "evaluate"),
        ("trusted_package.nets", "constant"),
        ("trusted_package.nets", "constant.get"),
        ("trusted_package.nets", "Net.function"),
        ("trusted_package.nets", "Net.__init__.__globals__"),
        ("trusted_package.nets", "Net.__init__"),
        ("trusted_package.nets", "Net.method.__globals__"),
        ("trusted_package.nets", "Net.method.__globals__.get"),
        ("trusted_package.nets", "Net.method.__code__"),
        ("trusted_package.nets", "Net.__class__"),
        ("trusted_package.nets", "Net.__subclasses__"),
        ("trusted_package.nets", "Net.__reduce_ex__"),
        ("trusted_package.nets", "build.__builtins__"),
        ("trusted_package.nets", "__builtins__"),
        ("trusted_package.nets", "__loader__"),
    ],
)
def test_a_glob_gives_nothing_that_lies_outside_it(package: Path, module: str, name: str) -> None:
    import_module("trusted_package.nets")
    with pytest.raises(UnsafeGlobal, match="lies outside the globs"):
        Trust.of("trusted_package.*").resolve(module, name)
    with pytest.raises(UnsafeGlobal):
        load(p.stream(p.proto(4), p.global4(module, name), p.stop()), ["trusted_package.*"])


def test_an_exact_name_gives_exactly_that(package: Path) -> None:
    trust = Trust.of(["trusted_package.nets.Net"])
    for name in ("Net.Inner", "Net.__init__.__globals__", "build", "Net.", ".Net", "Net\0", "Net "):
        with pytest.raises(UnsafeGlobal, match="not trusted"):
            trust.resolve("trusted_package.nets", name)
    assert "trusted_package.nets" not in sys.modules
    assert Trust.of("trusted_package.nets.start").resolve("trusted_package.nets", "start").__module__ == "subprocess"


# -- what cannot be built ---------------------------------------------------------------------------------------------


def broken(data: bytes, trust: Any = "all") -> Any:
    with pytest.raises(CannotBuild) as caught:
        load(data, trust)
    assert caught.value.path
    assert "Try: " in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).to_dict() == caught.value.to_dict()
    return caught.value


def test_a_module_that_is_not_there() -> None:
    error = broken(p.pickled(p.global_("no_such_library.nets", "Net")))
    assert isinstance(error, (ModuleMissing, ModuleNotFoundError))
    assert error.name == "no_such_library"
    assert "install no_such_library" in error.hint
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_a_module_that_needs_another(package: Path) -> None:
    error = broken(p.pickled(p.global_("trusted_package.needy", "Net")))
    assert isinstance(error, ModuleNotFoundError)
    assert "its module needs no_such_library" in str(error)


def test_a_module_that_fails(package: Path) -> None:
    error = broken(p.pickled(p.global_("trusted_package.broken", "Net")))
    assert type(error) is CannotBuild
    assert isinstance(error.__cause__, KeyError)
    assert "KeyError: 'deep inside'" in str(error)
    error = broken(p.pickled(p.global_("trusted_package.wrong", "Net")))
    assert type(error) is CannotImport
    assert isinstance(error, ImportError)


def test_a_class_that_has_moved(package: Path) -> None:
    error = broken(p.pickled(p.global_("trusted_package.nets", "OldNet")))
    assert isinstance(error, (NameMissing, AttributeError))
    assert error.name == "OldNet"
    assert 'remap={"trusted_package.nets.OldNet": Class}' in error.hint


def test_a_class_of_the_script_that_saved_it() -> None:
    error = broken(p.pickled(p.global_("__main__", "MyNet")))
    assert "a class of the script that saved it" in str(error)
    assert 'remap={"__main__.MyNet": MyNet}' in error.hint
    found = load(p.pickled(p.global_("__main__", "MyNet"), p.empty_tuple(), p.newobj()), [(Plain, "__main__.MyNet")])
    assert type(found) is Plain


def test_a_class_of_torchscript() -> None:
    assert "torch.jit.load" in broken(p.pickled(p.global_("__torch__.nets", "Net"))).hint


@pytest.mark.parametrize("module", ["", ".relative", "a..b"])
def test_a_name_of_no_module(module: str) -> None:
    broken(p.stream(p.proto(4), p.global4(module, "Net"), p.stop()))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (p.call(HERE, "Reduced"), "making it raised TypeError"),
        (p.call(HERE, "double", p.none()), "making it raised TypeError"),
        (
            p.stream(p.global_(HERE, "double"), p.empty_tuple(), p.newobj()),
            "a function is asked for, which is no class",
        ),
        (
            p.stream(p.global_(HERE, "OwnState"), p.empty_tuple(), p.newobj(), p.number(1), p.build()),
            "setting its state",
        ),
        (p.stream(p.global_(HERE, "Plain"), p.empty_tuple(), p.newobj(), p.number(1), p.build()), "not a dictionary"),
        (
            p.stream(p.global_(HERE, "Plain"), p.empty_tuple(), p.newobj(), p.number(1), p.append()),
            "appending its items",
        ),
        (p.stream(p.global_(HERE, "Plain"), p.empty_tuple(), p.newobj(), p.none(), p.none(), p.setitem()), "its keys"),
        (p.call("copy_reg", "_reconstructor", p.global_(HERE, "Integer"), p.number(1), p.number(2)), "is no class"),
    ],
)
def test_a_class_that_fails_on_what_the_file_gives_it(body: bytes, said: str) -> None:
    error = broken(p.pickled(body))
    assert said in str(error)
    assert error.found.startswith(HERE) or "double" in error.found
    assert error.__cause__ is not None


def test_a_tensor_subclass_needs_torch() -> None:
    cls = p.global_(HERE, "Plain")
    body = p.call("torch._utils", "_rebuild_wrapper_subclass", cls, p.none() * 7)
    with pytest.raises(MissingDependency, match="tensor subclass"):
        load(p.pickled(body), "all")


def test_warnings_and_exits_of_trusted_code_are_its_own() -> None:
    class Leaving:
        def __setstate__(self, state: Any) -> None:
            raise SystemExit(state["code"])

    with pytest.raises(SystemExit):
        load(pickle.dumps(Plain(code=3), 4), [(Leaving, f"{HERE}.Plain")])

    class Complaining:
        def __setstate__(self, state: Any) -> None:
            warnings.warn("of its own", UserWarning, stacklevel=2)

    with pytest.warns(UserWarning, match="of its own"):
        load(pickle.dumps(Plain(code=3), 4), [(Complaining, f"{HERE}.Plain")])


# -- what a refusal says --------------------------------------------------------------------------------------------


def test_a_refusal_names_every_class_and_how_to_trust_it() -> None:
    data = pickle.dumps([Plain(), Data(1)], 4)
    with pytest.raises(UnsafeGlobal) as caught:
        load(data, None)
    assert f'trust=["{HERE}.Plain", "{HERE}.Data"]' in str(caught.value)
    with pytest.raises(UnsafeGlobal) as caught:
        load(data, [Plain])
    assert [str(name) for name in caught.value.globals] == [f"{HERE}.Data"]
    assert f'trust=["{HERE}.Data"]' in str(caught.value)


def test_many_names_are_suggested_as_packages() -> None:
    names = [GlobalName(f"torch.nn.modules.m{n}", "Net", False, n) for n in range(9)]
    names += [GlobalName("my_pkg.nets", f"Net{n}", False, n) for n in range(3)]
    names += [GlobalName("__main__", "Own", False, 0), GlobalName("os", "system", False, 0)]
    assert suggested_trust(names) == '["torch.nn.*", "my_pkg.*", "__main__.Own", "os.system"]'
    assert suggested_trust([GlobalName("builtins", "getattr", False, 0)]) == '"all"'
    odd = suggested_trust([GlobalName("a\x1b[31m", "b", False, 0)])
    assert "\x1b" not in odd
