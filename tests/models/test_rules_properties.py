"""Properties of rules: what they do is undone to the bit, and what is written reads back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from dotpt.errors import RulesError
from dotpt.models.facts import Facts
from dotpt.models.globs import Glob
from dotpt.models.operations import is_wider
from dotpt.models.rules import Rules
from dotpt.models.turned_regex import turned

np = pytest.importorskip("numpy")
hypothesis = pytest.importorskip("hypothesis")
given, settings, st = hypothesis.given, hypothesis.settings, hypothesis.strategies

FIRST = st.sampled_from(["a", "b", "module"])
LAST = st.sampled_from(["w", "q", "k", "qkv"])
NAMES = st.tuples(FIRST, LAST).map(".".join) | LAST
SHAPES = st.sampled_from([(6, 4), (6, 4), (4, 4), (4,), (4, 2, 3), (), (0, 4)])
DTYPES = st.sampled_from(["float32", "float32", "float16", "float64", "int8", "int64", "bool"])
DIMS = st.sampled_from([0, 0, 1, -1, 2])
NEW = st.sampled_from(["x", "y", "z", "w", "q", "a.w"])


@st.composite
def rules(draw: Any) -> dict[str, Any]:
    """One rule as a table; some of them fit no tensor, or not the one that they match."""
    glob = draw(st.sampled_from(["*", "*.w", "*.qkv", "a.*", "b.*", "*.*"]) | NAMES)
    stars = glob.count("*")
    other = NEW.map(lambda new: ".".join(["*"] * stars + [new]))
    sizes = st.none() | st.sampled_from([[2, 2], [3, 3], [2, 4], [0, 4], [1, 1]])
    options: list[Any] = [
        st.fixed_dictionaries({"prefix": st.sampled_from(["", "a.", "module."]), "to": st.sampled_from(["", "b."])}),
        st.fixed_dictionaries({"rename": st.just(glob), "to": other}),
        st.fixed_dictionaries({"regex": st.sampled_from([r"^a\.(\w+)", r"(\w)\.(\w)", "(q)"]), "to": st.just(r"z\1")}),
        st.fixed_dictionaries({"split": st.just(glob), "into": st.tuples(other, other), "dim": DIMS, "sizes": sizes}),
        st.fixed_dictionaries({"concat": st.sampled_from([["*.q", "*.k"], ["*.x", "*.y"], ["*.w", "*.q"]]),
                               "to": st.just("*.j"), "dim": DIMS, "sizes": sizes | st.just("equal")}),
        st.fixed_dictionaries({"transpose": st.just(glob), "dims": st.sampled_from([[0, 1], [0, -1], [1, 1]])}),
        st.fixed_dictionaries({"permute": st.just(glob), "dims": st.permutations([0, 1]) | st.permutations([0, 1, 2])}),
        st.fixed_dictionaries({"reshape": st.just(glob), "shape": st.sampled_from([[-1], [4, -1], [2, 2, -1]])}),
        st.fixed_dictionaries({"cast": st.just(glob), "dtype": DTYPES}),
        st.fixed_dictionaries({"drop": NAMES}),
    ]  # fmt: skip
    return draw(st.one_of(options))  # type: ignore[no-any-return]


@st.composite
def states(draw: Any) -> dict[str, Any]:
    """Arrays by name, of random bits (no NaN that a cast may spell otherwise)."""
    found = {}
    for name in draw(st.lists(NAMES, unique=True, min_size=1, max_size=6)):
        shape, dtype = draw(SHAPES), draw(DTYPES)
        values = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 2, int(np.prod(shape)))
        found[name] = values.reshape(shape).astype(dtype)
    return found


def facts_of(state: dict[str, Any]) -> dict[str, Facts]:
    return {name: Facts(array.shape, str(array.dtype)) for name, array in state.items()}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return facts_of(one) == facts_of(other) and all(one[name].tobytes() == other[name].tobytes() for name in one)


def fitting_rules(tables: list[dict[str, Any]], state: dict[str, Any]) -> Rules:
    """Those of the rules that do something to the tensors, one after the other."""
    fitting = Rules()
    for table in tables:
        try:
            more = fitting + Rules.of(table)
            renamed = more.apply(facts_of(state))
            dict(renamed.make(state.__getitem__))
        except RulesError:
            continue
        fitting = fitting if renamed.idle else more
    return fitting


@settings(max_examples=400, deadline=None)
@given(states(), st.lists(rules(), min_size=1, max_size=8))
def test_rules_then_reversed_rules_give_the_same_bits_back(state: dict[str, Any], tables: list[dict[str, Any]]) -> None:
    fitting = fitting_rules(tables, state)
    renamed = fitting.apply(facts_of(state))
    after = dict(renamed.make(state.__getitem__))
    assert facts_of(after) == {name: recipe.facts for name, recipe in renamed.recipes.items()}
    assert {name for recipe in renamed.recipes.values() for name in recipe.inputs} | set(renamed.dropped) == set(state)
    try:
        back = fitting.reversed(facts_of(state))
    except RulesError:
        hypothesis.event("something is lost")  # which, the examples check
        return
    hypothesis.event(f"{len(fitting)} rules undone")
    again = back.apply(facts_of(after))
    assert not again.dropped
    assert same(dict(again.make(after.__getitem__)), state)


@settings(max_examples=200, deadline=None)
@given(states(), st.lists(rules(), min_size=1, max_size=8))
def test_renames_alone_can_always_be_undone(state: dict[str, Any], tables: list[dict[str, Any]]) -> None:
    named = [table for table in tables if {"prefix", "rename"} & set(table)]
    fitting = fitting_rules(named, state)
    try:
        back = fitting.reversed(facts_of(state))
    except RulesError as error:
        hypothesis.note(str(error))
        hypothesis.assume("exchanged" not in str(error))
        raise
    after = dict(fitting.apply(facts_of(state)).make(state.__getitem__))
    assert same(dict(back.apply(facts_of(after)).make(after.__getitem__)), state)


@settings(max_examples=200, deadline=None)
@given(st.lists(rules(), min_size=1, max_size=8))
def test_what_is_written_reads_back(tmp_path_factory: Any, tables: list[dict[str, Any]]) -> None:
    made = Rules()
    for table in tables:
        try:
            made += Rules.of(table)
        except RulesError:
            continue
    path = tmp_path_factory.mktemp("rules") / "rules.toml"
    path.write_text(made.to_toml(), encoding="utf-8")
    assert Rules.of(path) == made


@settings(max_examples=300, deadline=None)
@given(st.text("ab.*", max_size=8).filter(lambda text: "**" not in text), st.text("ab.", max_size=8))
def test_the_texts_behind_stars_give_the_name_again(glob: str, name: str) -> None:
    stars = Glob(glob).match(name)
    if stars is not None:
        assert Glob(glob).fill(stars) == name


@pytest.mark.filterwarnings("ignore:Possible (nested set|set ):FutureWarning")  # of re, about the user's own pattern
@settings(max_examples=300, deadline=None)
@given(st.text(), st.text())
def test_any_text_is_a_replacement_or_a_typed_error(pattern: str, replacement: str) -> None:
    with suppress(RulesError):
        Rules.of({"regex": pattern, "to": replacement}).apply({"a.b": Facts((), "float32")})
        turned(pattern, replacement)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=64))
def test_any_toml_is_rules_or_a_typed_error(tmp_path_factory: Any, text: bytes) -> None:
    path = tmp_path_factory.mktemp("rules") / "rules.toml"
    path.write_bytes(text)
    with suppress(RulesError):
        Rules.of(path)


@settings(max_examples=200, deadline=None)
@given(st.integers(), DTYPES, DTYPES)
def test_a_wider_type_holds_every_value(seed: int, wide: str, narrow: str) -> None:
    bits = np.random.default_rng(abs(seed)).integers(0, 256, 64, dtype="uint8")
    values = (bits % 2).astype(bool) if narrow == "bool" else bits.view(narrow)
    if is_wider(wide, narrow):
        with np.errstate(invalid="ignore"):
            back = values.astype(wide).astype(narrow)
        assert np.array_equal(back, values, equal_nan=narrow.startswith("float"))
