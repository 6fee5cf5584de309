"""Functions replaced in modules: what is changed, what is not, and that all is put back."""

from __future__ import annotations

import inspect
import itertools
import sys
import threading
from types import ModuleType

import pytest

from dotpt.dropin.bindings import Replacement


def original(a: int, b: int = 2) -> str:
    """What the library says of it."""
    return f"original {a} {b}"


def named(text: str):
    """A function that says who it is."""
    return lambda a, b=2: f"{text} {a} {b}"


class Library:
    """A library with a function, and modules that use it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.home = self.module("library_home", function=original)
        self.inner = self.module("library_home_inner", function=original)
        self.user = self.module("library_user", f=original, again=original, other=named("other"))
        self.replacement = Replacement(original, "function", (self.home, self.inner))

    def module(self, name: str, kind: type[ModuleType] = ModuleType, **names: object) -> ModuleType:
        module = kind(name)
        vars(module).update(names)
        self._monkeypatch.setitem(sys.modules, name, module)
        return module

    def state(self) -> list[list[tuple[str, int]]]:
        """What every name holds, and in which order."""
        return [[(name, id(value)) for name, value in vars(m).items()] for m in (self.home, self.inner, self.user)]


@pytest.fixture
def library(monkeypatch):
    # this module has the function by name, too, and is to keep it
    monkeypatch.delitem(sys.modules, __name__, raising=False)
    return Library(monkeypatch)


def test_every_name_of_the_function_is_replaced_and_put_back(library):
    before = library.state()
    library.replacement.add("a", named("ours"))
    for function in (library.home.function, library.inner.function, library.user.f, library.user.again):
        assert function(1) == "ours 1 2"
        assert function is not original
    assert library.user.other(1) == "other 1 2"
    library.replacement.remove("a")
    assert library.state() == before


def test_it_looks_like_the_function(library):
    library.replacement.add("a", named("ours"))
    ours = library.home.function
    assert inspect.signature(ours) == inspect.signature(original)
    assert (ours.__name__, ours.__qualname__, ours.__module__, ours.__doc__) == (
        original.__name__, original.__qualname__, original.__module__, original.__doc__,
    )  # fmt: skip
    library.replacement.remove("a")


@pytest.mark.parametrize("order", list(itertools.permutations("abc")))
def test_any_order_of_undoing_leaves_nothing(library, order):
    before = library.state()
    for user in "abc":
        library.replacement.add(user, named(user))
        assert library.home.function(1) == f"{user} 1 2"
    left = list("abc")
    for user in order:
        library.replacement.remove(user)
        left.remove(user)
        assert library.user.f(1) == f"{left[-1] if left else 'original'} 1 2"
    assert library.state() == before


def test_undoing_twice_or_without_having_asked_does_nothing(library):
    before = library.state()
    library.replacement.remove("nobody")
    library.replacement.add("a", named("ours"))
    library.replacement.remove("a")
    library.replacement.remove("a")
    assert library.state() == before


def test_modules_imported_meanwhile_do_not_keep_it(library):
    library.replacement.add("a", named("ours"))
    late = library.module("library_late", f=library.home.function)
    library.replacement.add("b", named("second"))
    later = library.module("library_later", f=library.home.function)
    library.replacement.remove("a")
    assert late.f(1) == later.f(1) == "second 1 2"
    library.replacement.remove("b")
    assert late.f is later.f is original


def test_what_holds_it_elsewhere_calls_the_function_again(library):
    library.replacement.add("a", named("ours"))
    kept = library.home.function
    assert kept(1) == "ours 1 2"
    library.replacement.remove("a")
    assert kept(1) == "original 1 2"
    library.replacement.add("b", named("again"))
    assert kept(1) == "again 1 2"
    assert kept is library.home.function
    library.replacement.remove("b")


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_what_somebody_else_puts_over_it_stays(library, order):
    library.replacement.add("a", named("a"))
    covered = library.home.function
    over = library.home.function = lambda a, b=2: f"over {covered(a, b)}"
    assert library.home.function(1) == "over a 1 2"
    library.replacement.add("b", named("b"))
    assert library.home.function(1) == "b 1 2"
    for user in order:
        library.replacement.remove(user)
    assert library.home.function is over
    assert over(1) == "over original 1 2"
    assert library.inner.function is library.user.f is original


def test_what_somebody_else_had_put_there_comes_back(library):
    before = library.home.function = library.user.mine = lambda a, b=2: f"theirs {original(a, b)}"
    state = library.state()
    library.replacement.add("a", named("ours"))
    assert library.home.function(1) == library.inner.function(1) == library.user.mine(1) == "ours 1 2"
    library.replacement.remove("a")
    assert library.state() == state
    assert library.home.function is before


def test_a_cover_that_is_left_never_calls_itself(library):
    """Ours, covered by somebody who calls it, undone, and patched anew: the cover must not become its own original."""
    library.replacement.add("a", named("a"))
    covered = library.home.function
    library.home.function = lambda a, b=2: f"over {covered(a, b)}"
    library.replacement.remove("a")
    library.replacement.add("b", named("b"))
    library.replacement.remove("b")
    assert library.home.function(1) == "over original 1 2"


def test_a_name_that_was_deleted_stays_away(library):
    library.replacement.add("a", named("ours"))
    del library.user.f
    del library.home.function
    library.replacement.add("b", named("second"))
    library.replacement.remove("a")
    library.replacement.remove("b")
    assert not hasattr(library.user, "f")
    assert not hasattr(library.home, "function")
    assert library.user.again is original


class Lazy(ModuleType):
    """A module that does something whenever it is asked for anything."""

    def __getattribute__(self, name):
        raise AssertionError("the module was woken")

    __getattr__ = __setattr__ = __getattribute__


class Strange:
    """What some libraries put in the place of a module."""

    def __getattribute__(self, name):
        raise AssertionError("asked for something")

    def __eq__(self, other):
        raise AssertionError("compared")

    __hash__ = None


def test_nobody_is_woken(library, monkeypatch):
    lazy = Lazy("library_lazy")
    names = ModuleType.__dict__["__dict__"].__get__(lazy)
    names.update(f=original, strange=Strange())
    monkeypatch.setitem(sys.modules, "library_lazy", lazy)
    monkeypatch.setitem(sys.modules, "library_strange", Strange())
    monkeypatch.setitem(sys.modules, "library_none", None)
    library.replacement.add("a", named("ours"))
    assert names["f"](1) == "ours 1 2"
    library.replacement.remove("a")
    assert names["f"] is original


def test_many_threads_leave_nothing(library):
    before = library.state()
    failed = []

    def work(number: int) -> None:
        for step in range(20):
            user = (number, step)
            library.replacement.add(user, named("ours"))
            if not library.user.f(1).startswith("ours"):
                failed.append(user)
            library.replacement.remove(user)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert library.state() == before
