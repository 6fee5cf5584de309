"""Which known architecture weights are of: every real one is itself, behind any wrapper, and nothing else is any."""

from __future__ import annotations

import copy
import json
import re
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dotpt
from dotpt.errors import NoWeights
from dotpt.inspect.families.fingerprint import Fingerprint
from dotpt.inspect.families.match import fingerprint_of
from dotpt.inspect.families.names import roots_of, unwrapped
from dotpt.inspect.families.patterns import Count, Shaped, expand, templates
from dotpt.inspect.families.table import family_of, known_families, parse
from dotpt.models.facts import Facts
from tests.models.family_tables import Shapes, all_models, expected, shapes_of

DOCS = Path(dotpt.__file__).parents[2] / "docs" / "families.md"
WRAPPERS = (
    "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.", "_forward_module.",
    "module.model.", "0.", "lit.model.backbone.",
)  # fmt: skip


def answer(found: Fingerprint) -> tuple[str, str, str]:
    """What a fingerprint says, without where it lies."""
    return found.family, found.library, found.words


# -- every real architecture is recognised as itself ----------------------------------------------------------------


def test_every_model_of_the_tables_has_a_line_of_what_is_expected() -> None:
    assert tuple(expected()) == all_models()


@pytest.mark.parametrize("model", all_models())
def test_each_is_itself(model: str) -> None:
    shapes = shapes_of(model)
    found = fingerprint_of(shapes)
    assert answer(found) == expected()[model]
    assert (found.names, found.total) == (len(shapes), len(shapes))
    assert found.certainty == found.claim.certainty == "INFERRED"


@pytest.mark.parametrize("model", all_models())
def test_and_nothing_else(model: str) -> None:
    """What fits as well is another name for the same: so far one timm model that is of two families."""
    others = [candidate.family for candidate in fingerprint_of(shapes_of(model)).candidates]
    assert others == (["vit"] if model == "timm/vit_small_patch14_dinov2" else [])


def test_every_family_has_a_model_in_the_tables() -> None:
    titles = {(family, words.split(", ")[0].split(" (")[0]) for family, _, words in expected().values()}
    for family in known_families():
        start = family.title.split(", ")[0].split(" (")[0]
        assert (family.name, start) in titles, f"{family.name} ({family.library}) has no model to be tested with"


def test_the_table_names_each_layout_once() -> None:
    keys = [(family.name, family.library, family.title) for family in known_families()]
    assert len(keys) == len(set(keys)) >= 150
    assert keys == [(family.name, family.library, family.title) for family in dotpt.models.list()]


# -- behind wrappers, with other heads -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(all_models())), ids=all_models())
def test_wrappers_are_seen_through(number: int) -> None:
    model, wrapper = all_models()[number], WRAPPERS[number % len(WRAPPERS)]
    found = fingerprint_of({wrapper + name: shape for name, shape in shapes_of(model).items()})
    assert answer(found) == expected()[model]
    assert found.root.startswith(unwrapped(wrapper)) or found.family == "lora"  # an adapter's names may begin anyhow


@pytest.mark.parametrize(
    "model", ["torchvision/resnet50", "transformers/bert-base-uncased", "timm/vit_tiny_patch16_224"]
)
def test_wrappers_within_names_are_seen_through(model: str) -> None:
    """As FSDP and activation checkpointing leave them: before each block, not before all names."""
    marked = {
        re.sub(r"\.(\d+)\.", r".\1._fsdp_wrapped_module._checkpoint_wrapped_module.", name): shape
        for name, shape in shapes_of(model).items()
    }
    assert (
        answer(fingerprint_of({f"_fsdp_wrapped_module.{name}": shape for name, shape in marked.items()}))
        == (expected()[model])
    )


def test_what_lightning_keeps_beside_the_model() -> None:
    shapes = {f"model.{name}": shape for name, shape in shapes_of("torchvision/resnet18").items()}
    shapes |= {"loss.weight": (10,), "accuracy.total": ()}
    found = fingerprint_of(shapes)
    assert (found.variant, found.root, found.names, found.total) == ("resnet18", "model.", 122, 124)


def test_n_averaged_of_an_averaged_model() -> None:
    shapes = {f"module.{name}": shape for name, shape in shapes_of("torchvision/resnet18").items()}
    assert fingerprint_of({"n_averaged": (), **shapes}).variant == "resnet18"


@pytest.mark.parametrize(
    ("head", "classes"),
    [
        ({"fc.weight": (7, 2048), "fc.bias": (7,)}, 7),
        ({"fc.0.weight": (256, 2048), "fc.0.bias": (256,), "fc.3.weight": (5, 256), "fc.3.bias": (5,)}, 5),
        ({"fc.1.weight": (3, 2048), "fc.1.bias": (3,)}, 3),
        ({}, None),
    ],
)
def test_a_resnet_with_another_head_is_a_resnet(head: Shapes, classes: int | None) -> None:
    shapes = {name: shape for name, shape in shapes_of("torchvision/resnet50").items() if not name.startswith("fc.")}
    found = fingerprint_of(shapes | head)
    assert (found.family, found.variant) == ("resnet", "resnet50")
    assert found.measured.get("classes") == classes


def test_a_resnet_for_small_grey_pictures() -> None:
    shapes = shapes_of("torchvision/resnet18") | {"conv1.weight": (64, 1, 3, 3)}
    found = fingerprint_of(shapes)
    assert (found.variant, found.measured["channels"]) == ("resnet18", 1)
    assert "channels=1" in found.words
    assert "channels" not in fingerprint_of(shapes_of("torchvision/resnet18")).words


def test_an_unpublished_size_has_no_variant() -> None:
    shapes = {n: s for n, s in shapes_of("torchvision/resnet18").items() if not n.startswith("layer3.1.")}
    found = fingerprint_of(shapes)
    assert (found.family, found.variant, found.measured["blocks"]) == ("resnet", None, "2-2-1-2")


# -- parts -----------------------------------------------------------------------------------------------------------


def test_a_network_around_a_known_one_is_unknown_and_its_part_is_told() -> None:
    shapes = {f"encoder.{name}": shape for name, shape in shapes_of("torchvision/resnet34").items()}
    shapes |= {f"decoder.{at}.mine.weight": (8, 8) for at in range(60)}
    found = fingerprint_of(shapes)
    assert (found.known, found.tells, found.parts[0].family, found.parts[0].root) == (False, True, "resnet", "encoder.")
    assert "a part of them is a network: resnet (torchvision or timm) beneath encoder." in str(found)


def test_the_backbone_of_a_detector_is_told() -> None:
    found = fingerprint_of(shapes_of("torchvision/fasterrcnn_resnet50_fpn"))
    assert [(part.family, part.root) for part in found.parts] == [("resnet", "backbone.body.")]


# -- nothing else is any ---------------------------------------------------------------------------------------------

WORDS = st.sampled_from((
    "conv1", "conv2", "bn1", "fc", "fc1", "layer1", "layers", "features", "classifier", "encoder", "decoder", "attn",
    "qkv", "proj", "norm", "norm1", "mlp", "blocks", "head", "embed", "model", "module", "0", "1", "2", "3", "body",
    "lora_A", "patch_embed", "transformer", "h", "#", "*", "",
))  # fmt: skip
NAMES = st.one_of(
    st.tuples(st.lists(WORDS, max_size=5).map(".".join), st.sampled_from(("weight", "bias", "running_mean"))).map(
        ".".join
    ),
    st.text(max_size=20),
)
SHAPES = st.lists(st.integers(0, 4096), max_size=4).map(tuple)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES, SHAPES, max_size=30))
@example({"a\nb.weight": (1,), "c": ()})
@example({})
def test_whatever_is_made_up_is_unknown(shapes: Shapes) -> None:
    found = fingerprint_of(shapes)
    assert not found.known
    assert found.certainty == found.claim.certainty == "UNKNOWN"
    assert str(found).startswith("unknown")


@pytest.mark.parametrize("model", all_models())
def test_real_names_with_other_shapes_are_unknown(model: str) -> None:
    """No two sizes are the same, and none is one that a family fixes."""
    sizes = count(10_007)
    assert not fingerprint_of(
        {name: tuple(next(sizes) for _ in shape) for name, shape in shapes_of(model).items()}
    ).known


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(all_models()), st.randoms(use_true_random=False))
def test_a_few_real_names_are_unknown_or_what_they_are_of(model: str, random: Any) -> None:
    shapes = shapes_of(model)
    kept = random.sample(sorted(shapes), max(1, len(shapes) // 3))
    found = fingerprint_of({name: shapes[name] for name in kept})
    whole = fingerprint_of(shapes)
    inside = (part.family for part in whole.parts)  # the names that were taken may all be of a network within
    names_for_it = {expected()[model][0], *(other.family for other in whole.candidates), *inside}
    assert not found.known or found.family in names_for_it


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(all_models()), st.sampled_from(all_models()))
def test_two_networks_in_one_are_not_one_of_them(one: str, other: str) -> None:
    shapes = {f"first.{name}": shape for name, shape in shapes_of(one).items()}
    shapes |= {f"second.{name}": shape for name, shape in shapes_of(other).items()}
    found = fingerprint_of(shapes)
    lora = {"layouts/kohya-sd1", "peft/lora-llama"} & {one, other}
    if found.known and not lora:  # the smaller is next to nothing beside the larger
        sizes = sorted((len(shapes_of(one)), len(shapes_of(other))))
        assert sizes[0] <= 0.12 * sum(sizes)


@pytest.mark.torch
def test_ordinary_modules_of_torch_are_unknown() -> None:
    torch = pytest.importorskip("torch")
    from torch import nn

    networks = [
        nn.Transformer(16, 2, 2, 2, batch_first=True),
        nn.LSTM(4, 8, 2),
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2)),
        nn.Sequential(*(nn.Linear(4, 4) for _ in range(20))),
        nn.ModuleDict({"encoder": nn.TransformerEncoderLayer(8, 2, batch_first=True), "head": nn.Linear(8, 2)}),
    ]
    for network in networks:
        assert not dotpt.models.fingerprint(network).tells
    assert torch


# -- what can be asked ------------------------------------------------------------------------------------------------


def test_whatever_holds_weights_can_be_asked(tmp_path: Path) -> None:
    shapes = shapes_of("facenet_pytorch/pnet")
    state = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    path = tmp_path / "pnet.pt"
    dotpt.save({"epoch": 3, "state_dict": state}, path)
    wanted = fingerprint_of(shapes)
    assert wanted.family == "mtcnn-pnet"
    for source in (
        shapes,
        {name: Facts(shape, "float32") for name, shape in shapes.items()},
        state,
        {"epoch": 3, "model": state},
        path,
        str(path),
        path.read_bytes(),
    ):
        assert dotpt.models.fingerprint(source) == wanted
    with dotpt.open(path) as archive:
        assert dotpt.models.fingerprint(archive) == wanted
        assert dotpt.models.fingerprint(archive, weights="state_dict") == wanted
        assert archive["state_dict.conv1.weight"].shape == (10, 3, 3, 3)  # it stays open


def test_where_there_are_no_weights_it_says_so(tmp_path: Path) -> None:
    path = tmp_path / "plain.pt"
    dotpt.save({"epoch": 3}, path)
    for source in (path, {}, {"epoch": 3}):
        with pytest.raises(NoWeights):
            dotpt.models.fingerprint(source)


def test_inspect_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dotpt.cli import main

    path = tmp_path / "pnet.pt"
    shapes = shapes_of("facenet_pytorch/pnet")
    dotpt.save({f"module.{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}, path)
    report = dotpt.inspect(path)
    assert answer(report.network) == answer(fingerprint_of(shapes))
    assert str(report.framework).startswith("facenet-pytorch (inferred: its weights are named as there")
    words = "MTCNN, the first net (PNet) (inferred: 13 of 13 names beneath module. are those of facenet-pytorch"
    assert words in str(report)
    assert json.loads(json.dumps(report.to_dict()))["network"]["family"] == "mtcnn-pnet"
    assert main(["inspect", str(path)]) == 0
    assert "Network     MTCNN, the first net (PNet) (inferred" in capsys.readouterr().out


def test_inspect_of_a_network_that_nobody_knows_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "own.pt"
    dotpt.save({"mine.weight": np.zeros((2, 2)), "mine.bias": np.zeros(2)}, path)
    report = dotpt.inspect(path)
    assert not report.network.known
    assert "  network " not in str(report)
    assert report.to_dict()["network"]["certainty"] == "UNKNOWN"


def test_an_answer_as_plain_values() -> None:
    found = fingerprint_of(shapes_of("transformers/bert-large-classifier")).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert found["measured"] == {
        "layers": 24, "vocab": 30522, "hidden": 1024, "positions": 512, "ffn": 4096, "classes": 5,
    }  # fmt: skip
    assert (found["variant"], found["root"], found["certainty"]) == ("bert-large-uncased", "bert.", "INFERRED")


def test_names_of_files_do_not_reach_the_terminal_as_they_are() -> None:
    shapes = {f"\x1b[31m.{name}": shape for name, shape in shapes_of("torchvision/resnet18").items()}
    found = fingerprint_of(shapes)
    assert found.variant == "resnet18"
    assert "\x1b" not in str(found)


# -- the table and its language ----------------------------------------------------------------------------------------

ENTRY: dict[str, Any] = {
    "name": "tiny",
    "title": "Tiny",
    "library": "a test",
    "needs": ["stem.weight [width, 3]", "blocks.0.qkv.weight [3*width, width]"],
    "names": "blocks.#.{qkv,proj}.{wb}",
}


def test_an_entry() -> None:
    family = family_of(ENTRY, {})
    assert str(family) == "tiny: Tiny, as a test names its weights"
    assert family.names == {
        "stem.weight",
        *(f"blocks.#.{part}.{leaf}" for part in ("qkv", "proj") for leaf in ("weight", "bias")),
    }


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("need", ["stem.weight"], "a key that means nothing: need"),
        ("needs", ["stem.weight [Width]"], "'Width' is no size"),
        ("needs", ["stem weight"], "no name with a shape"),
        ("never", ["a.{b"], "has a brace"),
    ],
)
def test_an_entry_that_does_not_hold_together_is_refused(key: str, value: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        family_of({**copy.deepcopy(ENTRY), key: value}, {})


def test_an_entry_that_includes_what_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError, match="nobody"):
        family_of({**ENTRY, "includes": {"backbone.": "nobody"}}, {})


def test_an_entry_includes_another() -> None:
    around = {**ENTRY, "name": "around", "needs": ["head.weight"], "names": "", "includes": {"backbone.": "tiny"}}
    family = family_of(around, {"tiny": [ENTRY]})
    assert {"head.weight", "backbone.stem.weight", "backbone.blocks.#.proj.bias"} <= family.names


def test_sizes_that_contradict_each_other_do_not_fit() -> None:
    qkv = Shaped.parse("qkv.weight [3*hidden, hidden]")
    assert qkv.fits((36, 12), {}) == {"hidden": 12}
    assert qkv.fits((36, 13), {}) is qkv.fits((35, 12), {}) is qkv.fits((36, 12, 1), {}) is None
    assert qkv.fits((36, 12), {"hidden": 11}) is None
    down = Shaped.parse("lora_down.weight [rank, ...]")
    assert down.fits((8, 3, 1, 1), {}) == down.fits((8,), {}) == {"rank": 8}
    assert down.fits((), {}) is None
    assert Shaped.parse("scale []").fits((), {}) == {}
    assert Shaped.parse("scale []").fits((1,), {}) is None


def test_counts() -> None:
    names = ["a.0.b.1.w", "a.0.b.2.w", "a.10.b.1.w", "aa.3.w"]
    assert Count(("a.#",)).of(names) == 2
    assert Count(("a.0.b.#.w",)).of(names) == 2
    assert Count(("a.#.b.#",)).of(names) == 2
    assert Count(("a.1#",)).of(names) == 1
    assert Count(("z.#",)).of(names) is None


def test_templates_of_names_with_line_ends() -> None:
    assert templates(["a1\nb2", "c3"]) == ["a#\nb#", "c#"]
    assert templates([]) == []
    assert expand("a") == ["a"]


def test_roots_are_few() -> None:
    assert len(roots_of([".".join(["a"] * 5_000)])) <= 8


def test_the_docs_name_every_family() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for family in known_families():
        row = f"| `{family.name}` | {family.title} | {family.library} | {', '.join(family.variants)} |"
        assert row in text, f"docs/families.md lacks this row: {row}"


def test_the_entry_of_the_docs_is_one() -> None:
    """What docs/families.md shows as an entry is read, and recognises what it describes."""
    lines = DOCS.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0].splitlines()
    [entry] = parse("\n".join(line[3:] for line in lines))["family"]
    family = family_of(entry, {})
    assert family.name == "tiny"
    assert {"blocks.#.proj.bias", "norm.running_var", "head.weight"} <= family.names
    assert family.needs[1].fits((576, 192), {"width": 192}) == {"width": 192}
