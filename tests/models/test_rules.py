"""Rules: what each verb does, what it refuses, and what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dotpt.errors import DotptError, MissingDependency, RulesError, SourceNotFound
from dotpt.models.facts import Facts
from dotpt.models.globs import Glob
from dotpt.models.rules import Rules

np = pytest.importorskip("numpy")


def facts(*names: str, shape: tuple[int, ...] = (4, 6), dtype: str = "float32") -> dict[str, Facts]:
    return {name: Facts(shape, dtype) for name in names}


def names_after(rules: Any, *names: str) -> list[str]:
    return list(Rules.of(rules).apply(facts(*names)).recipes)


def made(rules: Any, **arrays: Any) -> dict[str, Any]:
    """What becomes of arrays; the names have dots for their double underscores."""
    held = {name.replace("__", "."): array for name, array in arrays.items()}
    known = {name: Facts(array.shape, str(array.dtype)) for name, array in held.items()}
    renamed = Rules.of(rules).apply(known)
    result = dict(renamed.make(held.__getitem__))
    for name, recipe in renamed.recipes.items():
        assert recipe.facts == Facts(result[name].shape, str(result[name].dtype)), name
    return result


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "old", "new"),
    [
        ({"module.": ""}, "module.fc.weight", "fc.weight"),
        ({"": "model."}, "fc.weight", "model.fc.weight"),
        ({"backbone.": "features."}, "backbone.0.bias", "features.0.bias"),
        ({"fc.weight": "head.weight"}, "fc.weight", "head.weight"),
        ({"head.*": "classifier.*"}, "head.weight", "classifier.weight"),
        ({"*.attn.*": "*.attention.*"}, "layers.0.attn.q.weight", "layers.0.attention.q.weight"),
        ({"*.gamma": "*.weight"}, "a.gamma.gamma", "a.gamma.weight"),
        ({"regex": r"^blocks\.(\d+)\.", "to": r"layers.\1."}, "blocks.11.weight", "layers.11.weight"),
        ({"regex": r"(\w+)_(\w+)$", "to": r"\2_\1"}, "a.one_two", "a.two_one"),
        ({"prefix": "mod", "to": "x"}, "module.a", "xule.a"),
        ([{"module.": ""}, {"head.*": "fc.*"}], "module.head.bias", "fc.bias"),
    ],
)
def test_names_change(rules: Any, old: str, new: str) -> None:
    (recipe,) = Rules.of(rules).apply(facts(old)).recipes.items()
    assert recipe[0] == new
    assert recipe[1].plain
    assert recipe[1].words == ""
    assert recipe[1].inputs == (old,)


def test_names_keep_their_order_and_what_is_not_matched_stays() -> None:
    assert names_after({"a.": "z."}, "a.1", "b.1", "a.2") == ["z.1", "b.1", "z.2"]


def test_a_rule_sees_the_outcome_of_those_before() -> None:
    assert names_after([{"a": "b"}, {"b": "c"}], "a") == ["c"]
    assert names_after([{"b": "c"}, {"a": "b"}], "a", "b") == ["b", "c"]


@pytest.mark.parametrize("rules", [{"a.x": "b.x"}, {"a.": "b."}, {"a.*": "b.*"}, {"regex": "^a", "to": "b"}])
def test_two_tensors_never_get_one_name(rules: Any) -> None:
    with pytest.raises(RulesError, match="would be called the same") as caught:
        Rules.of(rules).apply(facts("a.x", "b.x"))
    assert caught.value.key == "b.x"
    assert "The rule:" in str(caught.value)


@pytest.mark.parametrize("rules", [{"prefix": "a", "to": ""}, {"rename": "a", "to": ""}])
def test_a_tensor_keeps_some_name(rules: Any) -> None:
    with pytest.raises(RulesError, match="no name left"):
        Rules.of(rules).apply(facts("a"))


def test_dropped_tensors_are_said() -> None:
    renamed = Rules.of([{"m.": ""}, {"drop": "*.num_batches_tracked"}]).apply(facts("m.bn.num_batches_tracked", "m.a"))
    assert list(renamed.recipes) == ["a"]
    assert renamed.dropped == {"m.bn.num_batches_tracked": 'drop "*.num_batches_tracked"'}


def test_rules_that_match_nothing_are_said_with_what_was_probably_meant() -> None:
    have = facts("head.weight", "head.bias", "layers.0.attn.weight", "module.conv.weight")
    idle = Rules.of([{"haed.": "fc."}, {"*.atn.*": "*.attention.*"}, {"conv.": "c."}, {"head": "fc"}]).apply(have).idle
    assert idle == (
        'prefix "haed." -> "fc." (no name has `haed`; the nearest is `head`, in head.weight)',
        'rename "*.atn.*" -> "*.attention.*" (no name has `atn`; the nearest is `attn`, in layers.0.attn.weight)',
        'prefix "conv." -> "c." (`conv` is a part of module.conv.weight)',
        'rename "head" -> "fc" (`head` is a part of head.weight)',
    )


def test_rules_that_matched_nothing_are_tried_on_other_names() -> None:
    rules = Rules.of([{"module.a.": "module.b."}, {"head.": "fc."}, {"drop": "*.old"}, {"never.": ""}])
    renamed = rules.apply(facts("module.a.x", "module.head.w", "module.head.old"))
    again = renamed.again({name: name.removeprefix("module.") for name in renamed.recipes})
    assert {name: recipe.inputs for name, recipe in again.recipes.items()} == {
        "b.x": ("module.a.x",), "fc.w": ("module.head.w",),
    }  # fmt: skip
    assert again.dropped == {"module.head.old": 'drop "*.old"'}
    assert again.idle == ('prefix "never." -> ""',)


def test_globs_match_in_linear_time() -> None:
    start = time.perf_counter()
    assert Glob("*a" * 40).match("a" * 39 + "." * 50_000) is None
    assert Glob("*.w").match("." * 100_000 + "w") is not None
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("glob", ["a**b", "**"])
def test_two_stars_beside_each_other_are_refused(glob: str) -> None:
    with pytest.raises(RulesError, match="Two stars"):
        Rules.of({glob: glob})


def test_a_name_too_long_for_an_expression_is_refused() -> None:
    with pytest.raises(RulesError, match="too long for a regular expression"):
        Rules.of({"regex": "(a+)+b", "to": "x"}).apply(facts("a" * 2_000))


def test_ten_thousand_single_names_take_no_longer_than_one() -> None:
    rules = Rules.of({f"old.{at}": f"new.{at}" for at in range(10_000)})
    have = facts(*(f"old.{at}" for at in range(10_000)))
    start = time.perf_counter()
    assert list(rules.apply(have).recipes) == [f"new.{at}" for at in range(10_000)]
    assert time.perf_counter() - start < 10


# -- values -----------------------------------------------------------------------------------------------------------


def test_split_and_concat() -> None:
    qkv = np.arange(24.0).reshape(12, 2)
    split = {"split": "*.qkv", "into": ["*.q", "*.k", "*.v"]}
    parts = made(split, a__qkv=qkv)
    assert list(parts) == ["a.q", "a.k", "a.v"]
    assert np.array_equal(parts["a.k"], qkv[4:8])
    assert np.array_equal(made(Rules.of(split).reversed(), a__q=qkv[:4], a__k=qkv[4:8], a__v=qkv[8:])["a.qkv"], qkv)
    recipe = Rules.of(split).apply(facts("a.qkv", shape=(12, 2))).recipes["a.k"]
    assert recipe.words == "rows 4 to 8 of a.qkv"
    assert not recipe.plain


def test_split_into_given_sizes_along_another_dimension() -> None:
    array = np.arange(24).reshape(2, 12)
    parts = made({"split": "w", "into": ["a", "b"], "dim": -1, "sizes": [2, 10]}, w=array)
    assert np.array_equal(parts["a"], array[:, :2])
    assert np.array_equal(parts["b"], array[:, 2:])


def test_split_and_concat_undo_each_other_without_a_copy() -> None:
    rules = [{"split": "w", "into": ["a", "b"]}, {"concat": ["a", "b"], "to": "w"}]
    assert Rules.of(rules).apply(facts("w")).recipes["w"].plain


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"transpose": "w"}, lambda a: a.T),
        ({"transpose": "w", "dims": [0, -1]}, lambda a: a.T),
        ({"permute": "w", "dims": [1, 0]}, lambda a: a.T),
        ({"reshape": "w", "shape": [3, -1]}, lambda a: a.reshape(3, 8)),
        ({"cast": "w", "dtype": "float64"}, lambda a: a.astype("float64")),
        ({"cast": "w", "dtype": "half"}, lambda a: a.astype("float16")),
        ([{"transpose": "w"}, {"split": "w", "into": ["w", "rest"], "sizes": [2, 4]}, {"drop": "rest"}],
         lambda a: a.T[:2]),
    ],
)  # fmt: skip
def test_values_are_moved(rule: Any, expected: Any) -> None:
    array = np.random.default_rng(0).random((4, 6), dtype="float32")
    result = made(rule, w=array)["w"]
    assert result.dtype == expected(array).dtype
    assert np.array_equal(result, expected(array))


def test_a_cast_is_for_tensors_of_the_kind() -> None:
    result = made({"cast": "*", "dtype": "float32"}, w=np.zeros(2), n=np.zeros((), "int64"))
    assert [str(array.dtype) for array in result.values()] == ["float32", "int64"]


def test_a_cast_says_so() -> None:
    recipe = Rules.of({"cast": "*", "dtype": "float32"}).apply(facts("w", dtype="float64")).recipes["w"]
    assert recipe.words == "cast float64 to float32"


def test_a_cast_of_integers_that_do_not_fit_is_refused() -> None:
    with pytest.raises(RulesError, match="do not fit into int8"):
        made({"cast": "w", "dtype": "int8"}, w=np.array([1, 300]))


@pytest.mark.parametrize(
    ("rule", "shape", "words"),
    [
        ({"split": "w", "into": ["a", "b"]}, (5, 2), "2 equal parts"),
        ({"split": "w", "into": ["a", "b"], "sizes": [1, 2]}, (4, 2), "sizes of 3"),
        ({"split": "w", "into": ["a", "b"], "dim": 2}, (4, 2), "does not have that dimension"),
        ({"split": "w", "into": ["a", "a"]}, (4, 2), "same name"),
        ({"permute": "w", "dims": [1, 0]}, (2, 2, 2), "another number of dimensions"),
        ({"transpose": "w"}, (4,), "does not have that dimension"),
        ({"reshape": "w", "shape": [5, -1]}, (4, 2), "does not have as many values"),
        ({"reshape": "w", "shape": [8], "from": [2, 4]}, (4, 2), "another shape"),
        ({"cast": "w", "dtype": "float64", "from": "float16"}, (4, 2), "another type"),
        ({"concat": ["w", "x"], "to": "y"}, (4, 2), "missing"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(rule: Any, shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(RulesError) as caught:
        Rules.of(rule).apply(facts("w", shape=shape))
    assert words in str(caught.value) or words in str(caught.value.expected)
    assert "The rule:" in str(caught.value)


def test_tensors_that_do_not_fit_together_are_not_joined() -> None:
    have = {"a": Facts((2, 3), "float32"), "b": Facts((2, 4), "float32"), "c": Facts((2, 3), "float64")}
    for other in ("b", "c"):
        with pytest.raises(RulesError, match="do not fit together"):
            Rules.of({"concat": ["a", other], "to": "x"}).apply(have)


def test_a_tensor_of_another_shape_than_was_told_is_refused_when_it_is_read() -> None:
    recipe = Rules.of({"transpose": "w"}).apply(facts("w", shape=(2, 3))).recipes["w"]
    with pytest.raises(RulesError, match="another shape than the rules were told"):
        recipe.make(lambda name: np.zeros((3, 3)))


def test_values_that_are_no_arrays_can_be_renamed_but_not_reworked() -> None:
    known = {"a._extra_state": Facts((), "object")}
    recipe = Rules.of({"a.": "b."}).apply(known).recipes["b._extra_state"]
    assert recipe.make({"a._extra_state": {"x": 1}}.__getitem__) == {"x": 1}
    reworked = Rules.of({"reshape": "*", "shape": [1]}).apply(known).recipes["a._extra_state"]
    with pytest.raises(RulesError, match="ordinary, dense tensor"):
        reworked.make({"a._extra_state": {"x": 1}}.__getitem__)


def test_each_input_is_read_once_and_let_go() -> None:
    asked: list[str] = []
    rules = Rules.of({"split": "*.w", "into": ["*.a", "*.b"]})
    for _ in rules.apply(facts("x.w", "y.w")).make(lambda name: asked.append(name) or np.zeros((4, 6))):
        pass
    assert asked == ["x.w", "y.w"]


# -- back -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "back"),
    [
        ({"module.": ""}, 'prefix "" -> "module."'),
        ({"*.gamma": "*.weight"}, 'rename "*.weight" -> "*.gamma"'),
        ({"regex": r"^blocks\.(\d+)\.", "to": r"layers.\1."}, r'regex "^layers\.(\d+)\." -> "blocks.\1."'),
        ({"permute": "w", "dims": [2, 0, 1]}, 'permute "w" (dims=[1, 2, 0])'),
        ({"reshape": "w", "shape": [8], "from": [2, 4]}, 'reshape "w" (shape=[2, 4], from=[8])'),
        ({"cast": "w", "dtype": "float32", "from": "float16"}, 'cast "w" (dtype=float16, from=float32)'),
        ({"split": "w", "into": ["a", "b"], "sizes": [1, 2]}, 'concat "a", "b" -> "w" (dim=0, sizes=[1, 2])'),
        ({"concat": ["a", "b"], "to": "w", "sizes": "equal"}, 'split "w" -> "a", "b" (dim=0)'),
    ],
)
def test_rules_are_turned_round(rule: Any, back: str) -> None:
    assert str(Rules.of(rule).reversed()) == back
    assert "cast" in back or str(Rules.of(rule).reversed().reversed()) == str(Rules.of(rule))


def test_rules_are_undone_from_the_last_to_the_first() -> None:
    rules = Rules.of([{"a.": "b."}, {"b.*": "c.*"}])
    assert [str(rule) for rule in rules.reversed()] == ['rename "c.*" -> "b.*"', 'prefix "b." -> "a."']


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"drop": "*.bias"}, "cannot be brought back"),
        ({"cast": "w", "dtype": "float16", "from": "float32"}, "loses bits"),
        ({"cast": "w", "dtype": "float32"}, "does not say which type"),
        ({"reshape": "w", "shape": [8]}, "does not say which shape"),
        ({"concat": ["a", "b"], "to": "w"}, "does not say which sizes"),
        ({"regex": "a+", "to": "b"}, "cannot be turned round"),
        ({"regex": r"(\w)(\w)", "to": r"\1"}, "cannot be turned round"),
    ],
)
def test_what_cannot_be_turned_round_says_which_rule_and_why(rule: Any, words: str) -> None:
    with pytest.raises(RulesError, match=words) as caught:
        Rules.of([{"x.": "y."}, rule]).reversed()
    assert str(Rules.of(rule)) in str(caught.value)


def test_with_the_tensors_known_rules_are_exact() -> None:
    have = facts("a.x", "x", shape=(8,))
    rules = Rules.of([{"rename": "a.x", "to": "y"}, {"reshape": "y", "shape": [2, 4]}, {"": "m."}])
    after = {name: recipe.facts for name, recipe in rules.apply(have).recipes.items()}
    back = rules.reversed(have).apply(after).recipes
    assert {name: recipe.facts for name, recipe in back.items()} == have
    assert all(recipe.inputs == (f"m.{'y' if name == 'a.x' else 'x'}",) for name, recipe in back.items())


# -- as data ----------------------------------------------------------------------------------------------------------

TABLES = [
    {"prefix": "module.", "to": ""},
    {"rename": "*.\"odd\\name'é*", "to": "*.x*"},
    {"regex": r"^a\.(\d+)", "to": r"b.\1"},
    {"split": "*.qkv", "into": ["*.q", "*.k"], "dim": 1, "sizes": [2, 4]},
    {"concat": ["*.a", "*.b"], "to": "*.c", "dim": 0, "sizes": "equal"},
    {"transpose": "*.kernel", "dims": [0, 1]},
    {"permute": "*.conv", "dims": [3, 2, 0, 1]},
    {"reshape": "*.bias", "shape": [-1], "from": [1, 4]},
    {"cast": "*", "dtype": "bfloat16", "from": "float32"},
    {"drop": "*.num_batches_tracked"},
]


def test_rules_read_back_from_toml_and_json(tmp_path: Path) -> None:
    rules = Rules.of(TABLES)
    (tmp_path / "rules.toml").write_text(rules.to_toml(), encoding="utf-8")
    (tmp_path / "rules.json").write_text(json.dumps({"rules": TABLES}))
    assert Rules.of(tmp_path / "rules.toml") == rules
    assert Rules.of(str(tmp_path / "rules.json")) == rules
    assert [rule.table() for rule in rules] == TABLES


def test_rules_are_read_from_yaml(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n  - {prefix: module., to: ''}\n  - drop: '*.bias'\n")
    assert str(Rules.of(path)) == 'prefix "module." -> ""\ndrop "*.bias"'
    path.write_text("!!python/object/apply:os.system ['true']")
    with pytest.raises(RulesError, match="no YAML"):
        Rules.of(path)


def test_yaml_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    (tmp_path / "rules.yml").write_text("[]")
    with pytest.raises(MissingDependency, match=r"dotpt\[yaml\]"):
        Rules.of(tmp_path / "rules.yml")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "= 1", "no TOML"),
        ("a.json", "{", "no JSON"),
        ("a.json", "[" * 200_000, "no JSON"),
        ("a.yaml", "{", "no YAML"),
        ("a.txt", "", "ends in"),
        ("a.json", "3", "no way to write rules"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path: Path, name: str, text: str, words: str) -> None:
    if name.endswith("yaml"):
        pytest.importorskip("yaml")
    (tmp_path / name).write_text(text)
    with pytest.raises(RulesError, match=words):
        Rules.of(tmp_path / name)


def test_a_file_that_is_missing_or_no_text_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        Rules.of(tmp_path / "none.toml")
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RulesError, match="UTF-8"):
        Rules.of(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"rename": "a"}, "lacks `to`"),
        ({"rename": "a", "to": 3}, "does not understand its `to`"),
        ({"rename": "*.a", "to": "b"}, "same number of stars"),
        ({"split": "*.a", "into": ["b"]}, "same number of stars"),
        ({"rename": "a", "to": "b", "dim": 0}, "has no `dim`"),
        ({"rename": "a", "prefix": "b", "to": "c"}, "exactly one verb"),
        ({"to": 1}, "no verb"),
        ({"prefx": "a.", "to": ""}, "no verb"),
        ({"reshape": "w"}, "lacks `shape`"),
        ({"reshape": "w", "shape": [-1, -1]}, "one may be -1"),
        ({"permute": "w", "dims": [0, 0]}, "every dimension once"),
        ({"permute": "w"}, "lacks `dims`"),
        ({"transpose": "w", "dims": [0, 1, 2]}, "two dimensions"),
        ({"split": "w", "into": ["a"], "sizes": [True]}, "whole numbers"),
        ({"split": "w", "into": ["a", "b"], "sizes": [1]}, "one size for each part"),
        ({"concat": [], "to": "a"}, "joins no tensors"),
        ({"concat": ["a"], "to": "b", "sizes": "same"}, "equal"),
        ({"cast": "w", "dtype": "float33"}, "no such type"),
        ({"cast": "w", "dtype": "quint8"}, "no such type"),
        ({"regex": "(", "to": ""}, "regular expression is wrong"),
        ({"regex": "a" * 2_000, "to": ""}, "too long"),
        ({"module.": "model"}, "no dot at its end"),
        (3, "no way to write rules"),
        ([[3]], "no way to write rules"),
    ],
)
def test_rules_that_make_no_sense_are_refused_when_they_are_read(rule: Any, words: str) -> None:
    with pytest.raises(RulesError, match=words):
        Rules.of(rule)


def test_a_wrong_replacement_is_said() -> None:
    with pytest.raises(RulesError, match="replacement is wrong"):
        Rules.of({"regex": "a", "to": r"\3"}).apply(facts("a"))


def test_rules_are_true_if_there_are_some() -> None:
    assert not Rules.of(None)
    assert not Rules.of({})
    rules = Rules.of({"a.": ""})
    assert rules
    assert Rules.of(rules) is rules
    assert len(Rules.of([rules, {"drop": "x"}])) == 2


# -- torch ------------------------------------------------------------------------------------------------------------


@pytest.mark.torch
def test_torchs_tensors_are_made_as_arrays_are() -> None:
    torch = pytest.importorskip("torch")
    rules = Rules.of(
        [
            {"split": "a", "into": ["b", "c"], "dim": 1},
            {"permute": "b", "dims": [1, 0]},
            {"reshape": "c", "shape": [-1]},
            {"concat": ["d", "e"], "to": "f"},
            {"cast": "f", "dtype": "float64"},
            {"cast": "c", "dtype": "float16"},
        ]
    )
    held: Mapping[str, Any] = {name: torch.randn(4, 6) for name in "ade"}
    renamed = rules.apply({name: Facts((4, 6), "float32") for name in held})
    arrays = dict(renamed.make(lambda name: held[name].numpy()))
    for name, tensor in renamed.make(lambda name: torch.nn.Parameter(held[name])):
        assert not tensor.requires_grad
        assert str(tensor.dtype) == f"torch.{renamed.recipes[name].facts.dtype}"
        assert np.array_equal(tensor.numpy(), arrays[name])


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
@pytest.mark.parametrize("origin", ["float32", "float64", "float16"])
def test_casts_of_arrays_are_those_of_torch(dtype: str, origin: str) -> None:
    torch = pytest.importorskip("torch")
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype="uint32")
    edges = np.array([0, -0.0, np.inf, -np.inf, 1e-40, 65504, 65520, 448, 464, 480, 57344, 61440, 3.4e38], "float32")
    with np.errstate(all="ignore"):
        values = np.concatenate([bits.view("float32"), edges]).astype(origin)
    values = values[~np.isnan(values)]  # of those any bits may do
    recipe = Rules.of({"cast": "w", "dtype": dtype}).apply({"w": Facts(values.shape, origin)}).recipes["w"]
    array, tensor = recipe.make(lambda name: values), recipe.make(lambda name: torch.from_numpy(values))
    if dtype == "float8_e4m3fn" and bool(tensor.float().isnan().any()):
        pytest.skip("an older torch makes NaN of what is too large")
    assert array.tobytes() == tensor.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.mark.torch
def test_a_sparse_tensor_is_renamed_but_not_cut() -> None:
    torch = pytest.importorskip("torch")
    sparse = torch.eye(4).to_sparse()
    plain = Rules.of({"a": "b"}).apply(facts("a", shape=(4, 4))).recipes["b"]
    assert plain.make(lambda name: sparse) is sparse
    cut = Rules.of({"transpose": "a"}).apply(facts("a", shape=(4, 4))).recipes["a"]
    with pytest.raises(DotptError, match="ordinary, dense tensor"):
        cut.make(lambda name: sparse)
