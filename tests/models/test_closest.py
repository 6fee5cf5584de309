"""The nearest names, and the renames that would match more."""

from __future__ import annotations

import time

import pytest

from dotpt.models.closest import closest, suggest
from dotpt.models.facts import Facts
from dotpt.models.nearest import Nearest
from dotpt.models.rules import Rules

MATRIX, VECTOR = Facts((4, 4), "float32"), Facts((4,), "float32")


def network(
    before: str = "", parts: tuple[str, ...] = ("attn.q", "attn.k", "mlp.fc1"), last: str = "weight bias",
    layers: str = "layers", count: int = 8,
) -> dict[str, Facts]:  # fmt: skip
    """Names as networks of equal layers have them."""
    weight, bias = last.split()
    names = {}
    for at in range(count):
        for part in parts:
            names[f"{before}{layers}.{at}.{part}.{weight}"] = MATRIX
            names[f"{before}{layers}.{at}.{part}.{bias}"] = VECTOR
    return names


@pytest.mark.parametrize(
    ("name", "candidates", "nearest"),
    [
        ("fc.wieght", ["fc.weight", "fc.bias"], ["fc.weight"]),
        ("layers.3.attention.q.weight", list(network()), ["layers.3.attn.q.weight"]),
        ("blocks.3.attn.q.weight", list(network()), ["layers.3.attn.q.weight"]),
        ("model.encoder.layers.3.attn.q.weight", list(network()), ["layers.3.attn.q.weight"]),
        ("layers.3.attn.q.weight", ["layers.3.attn.q.weight", "layers.3.attn.k.weight"], ["layers.3.attn.k.weight"]),
        ("xyzzy", list(network()), []),
        ("fc.weight", [], []),
        ("", ["fc.weight"], []),
    ],
)
def test_the_nearest_name(name: str, candidates: list[str], nearest: list[str]) -> None:
    assert closest(name, dict.fromkeys(candidates, MATRIX)) == nearest


def test_the_same_shape_is_preferred() -> None:
    candidates = {"old.weight": Facts((3, 3), "float32"), "odd.weight": Facts((5, 5), "float32")}
    assert closest("ood.weight", candidates, Facts((3, 3), "float32")) == ["old.weight"]
    assert closest("ood.weight", candidates, Facts((5, 5), "float32")) == ["odd.weight"]


def test_the_only_tensor_of_a_shape_is_probably_meant() -> None:
    candidates = {**network(), "fc.weight": Facts((10, 64), "float32")}
    assert closest("classifier.weight", candidates, Facts((10, 64), "float32")) == ["fc.weight"]


def test_several_names_best_first() -> None:
    found = closest("layers.3.attn.query.weight", network(), MATRIX, limit=3)
    assert len(found) == 3
    assert set(found[:2]) == {"layers.3.attn.q.weight", "layers.3.attn.k.weight"}


def test_ten_thousand_names_among_ten_thousand() -> None:
    names = network(parts=tuple(f"experts.{at}.up" for at in range(50)), count=100)
    start = time.perf_counter()
    index = Nearest(names)
    found = [index.to(name.replace("layers", "blocks"), facts) for name, facts in names.items()]
    assert time.perf_counter() - start < 30
    assert found == [[name] for name in names]


def test_strange_names_take_no_longer() -> None:
    start = time.perf_counter()
    long = "a" * 100_000
    assert closest(long + "b", {long + "c": MATRIX, "." * 50_000: MATRIX}) in ([], [long + "c"])
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("have", "rules"),
    [
        (network("backbone."), {"backbone.": ""}),
        (network(layers="blocks"), {"blocks.": "layers."}),
        (network(parts=("attention.q", "attention.k", "mlp.fc1")), {"*.attention.*": "*.attn.*"}),
        (network(last="gamma beta"), {"*.gamma": "*.weight", "*.beta": "*.bias"}),
        (network(parts=("attn.self.q", "attn.self.k", "mlp.fc1")), {"*.self.q.*": "*.q.*", "*.self.k.*": "*.k.*"}),
        (
            network("enc.", ("attention.q", "attention.k", "mlp.fc1"), layers="blocks"),
            {"enc.blocks.": "layers.", "*.attention.*": "*.attn.*"},
        ),
    ],
)
def test_a_rename_is_suggested(have: dict[str, Facts], rules: dict[str, str]) -> None:
    want = network()
    best = suggest(have, want)[0]
    assert best.rules == rules or sorted(best.rules) == sorted(rules)
    assert best.matches == len(want)
    assert best.words.endswith(f"would match all {len(want)} names")
    assert set(Rules.of(best.rules).apply(have).recipes) == set(want)


def test_what_matches_already_is_counted_too() -> None:
    have = {"a.weight": MATRIX, "head.fc.weight": MATRIX, "head.fc.bias": VECTOR}
    want = {"a.weight": MATRIX, "fc.weight": MATRIX, "fc.bias": VECTOR}
    assert suggest(have, want)[0].words == '{"head.": ""} would match all 3 names'


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ({}, {}),
        (network(), network()),
        (network(), {}),
        ({"a": MATRIX}, {"zzz.yyy": VECTOR}),
        ({"old.weight": MATRIX}, {"new.weight": VECTOR}),  # another shape
    ],
)
def test_nothing_is_suggested_that_would_not_help(have: dict[str, Facts], want: dict[str, Facts]) -> None:
    assert suggest(have, want) == []


def test_suggestions_for_ten_thousand_names() -> None:
    parts = tuple(f"experts.{at}.up" for at in range(50))
    start = time.perf_counter()
    best = suggest(network("net.", parts, layers="blocks", count=100), network("", parts, count=100))[0]
    assert time.perf_counter() - start < 60
    assert best.rules == {"net.blocks.": "layers."}
    assert best.matches == 10_000
