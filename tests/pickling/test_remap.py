"""What ``remap=`` means, and which class of the user's a name of the file is."""

from __future__ import annotations

from typing import Any

import pytest

from dotpt.errors import ModuleMissing, UnsafeGlobal, UsageError
from dotpt.pickling.remap import Package, class_of_moved, remapped
from dotpt.pickling.trust import Trust
from dotpt.pickling.values import GlobalName
from tests.pickling import trusted
from tests.pickling.trusted import Data, Outer, Plain


def name(text: str) -> GlobalName:
    module, _, last = text.rpartition(".")
    return GlobalName(module, last, known=False, offset=0)


def test_a_name_leads_to_another() -> None:
    trust = Trust.of(None, remap={"old.nets.Net": "tests.pickling.trusted.Plain", "old.nets.Part": Data})
    assert trust
    assert trust.covers("old.nets", "Net")
    assert not trust.covers("old.nets", "Other")
    assert not trust.covers("tests.pickling.trusted", "Plain")  # under its own name it is nothing that was asked for
    assert trust.resolve("old.nets", "Net") is Plain
    assert trust.resolve("old.nets", "Part") is Data
    with pytest.raises(UnsafeGlobal):
        trust.resolve("tests.pickling.trusted", "Plain")


def test_a_class_within_a_class() -> None:
    trust = Trust.of(None, remap={"old.Inner": "tests.pickling.trusted.Outer.Inner"})
    assert trust.resolve("old", "Inner") is Outer.Inner
    nowhere = Trust.of(None, remap={"old.Inner": "no.such.Outer.Inner"})
    with pytest.raises(ModuleMissing, match=r"no\.such"):
        nowhere.resolve("old", "Inner")


def test_a_package_leads_to_another() -> None:
    trust = Trust.of(["other.Class"], remap={"old.*": "tests.pickling.*"})
    assert trust.resolve("old.trusted", "Plain") is Plain
    assert trust.covers("old.trusted", "Plain")
    assert trust.covers("other", "Class")
    assert not trust.covers("older.trusted", "Plain")
    with pytest.raises(UnsafeGlobal, match="lies outside the globs"):
        trust.resolve("old.trusted", "dataclasses")
    with pytest.raises(UnsafeGlobal, match="lies outside the globs"):
        trust.resolve("old.trusted", "Plain.__init__.__globals__")


def test_what_is_mapped_stays_so_in_a_trust_of_a_trust() -> None:
    trust = Trust.of(Trust.of([Plain], remap={"a.*": "tests.pickling.*"}), remap={"b.C": Data})
    assert trust.resolve("a.trusted", "Data") is Data
    assert trust.resolve("b", "C") is Data
    assert trust.moved([name("x.Plain")], []) == {"x.Plain": Plain}


def test_everything_and_a_map() -> None:
    trust = Trust.of("all", remap={"old.Net": Plain, "gone.*": "tests.pickling.*"})
    assert trust.resolve("old", "Net") is Plain
    assert trust.resolve("gone.trusted", "Data") is Data
    assert trust.resolve("tests.pickling.trusted", "Items") is trusted.Items


@pytest.mark.parametrize("remap", [
    "old.Net", ["old.Net"], {1: "a.B"}, {"Net": "a.B"}, {"a.B": "Net"}, {"a.B": 3}, {"a.*": "b.C"}, {"a.B": "b.*"},
    {"a.*": Plain}, {"*.a": "b.c"}, {"a.*.c": "b.c"}, {"a..b": "c.d"}, {".*": "a.*"}, {"a b.C": "a.C"},
])  # fmt: skip
def test_what_is_no_map_is_said(remap: Any) -> None:
    with pytest.raises(UsageError, match="remap=") as caught:
        remapped(remap)
    assert "remap={" in caught.value.hint


def test_packages_are_told_by_whole_names() -> None:
    package = Package("old", "new.nets")
    assert [package.has(module) for module in ("old", "old.a", "older", "an.old")] == [True, True, False, False]
    assert [package.today(module) for module in ("old", "old.a.b")] == ["new.nets", "new.nets.a.b"]
    assert [package.is_home(module) for module in ("new.nets.a", "new.netsy", "new")] == [True, False, False]


def test_a_class_is_found_by_its_own_name() -> None:
    assert class_of_moved([Plain, Data], [name("old.Data"), name("old.Other")], set()) == {"old.Data": Data}
    inner = GlobalName("old", "Outer.Inner", known=False, offset=0)
    assert class_of_moved([Outer.Inner], [inner], set()) == {"old.Outer.Inner": Outer.Inner}
    assert class_of_moved([Outer.Inner], [name("old.Inner")], set()) == {}


def test_a_class_that_the_file_names_itself_has_not_moved() -> None:
    full = "tests.pickling.trusted.Data"
    assert class_of_moved([Data], [name("old.Data")], {full, "old.Data"}) == {}


def test_what_could_be_two_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"names `a\.Data` and `b\.Data`, and either may be") as caught:
        class_of_moved([Data], [name("a.Data"), name("b.Data")], set())
    assert 'remap={"b.Data": Data}' in caught.value.hint
    other = type("Data", (), {"__module__": "elsewhere", "__qualname__": "Data"})
    with pytest.raises(UsageError, match=r"may be tests\.pickling\.trusted\.Data or elsewhere\.Data"):
        class_of_moved([Data, other], [name("a.Data")], set())


def test_functions_and_names_do_not_move() -> None:
    """Only a class that was passed itself does: a name says exactly what it is the name of."""
    trust = Trust.of([trusted.double, "tests.pickling.trusted.Data", (Plain, "x.Plain")])
    assert trust.moved([name("old.double"), name("old.Data"), name("old.Plain")], []) == {}
