"""`dotpt.save_model`: what is noted of a model, that it is tried, and that the model and the file stay plain."""

from __future__ import annotations

import dataclasses
import enum
import functools
import io
import random
import zipfile
from collections import OrderedDict, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dotpt
from dotpt.errors import ArgumentsChanged, CannotDescribe, CannotPickle, OutputsDiffer, UsageError
from dotpt.formats.architecture import ARCHITECTURE, EXAMPLES, SOURCES
from tests.models.travellers import Package, package  # noqa: F401 - a fixture

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from dotpt.models.torch_arguments import ArgumentReader, Speller, found_here  # noqa: E402
from dotpt.models.torch_describe import arguments_of  # noqa: E402


class Tuned(nn.Module):
    """A class that keeps its arguments."""

    def __init__(self, width: int, drop: float = 0.1) -> None:
        super().__init__()
        self.width = width
        self.layer = nn.Linear(width, width)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Any) -> Any:
        return self.drop(self.layer(x))


class Forgetful(nn.Module):
    """A class that keeps none."""

    def __init__(self, width: int, depth: int, act: Any = None) -> None:
        super().__init__()
        self.layers = nn.Sequential(*[nn.Linear(width, width) for _ in range(depth)])
        self.act = act or nn.Identity()
        self.temperature = 1.0

    def forward(self, x: Any) -> Any:
        return self.act(self.layers(x)) / self.temperature


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Config:
    width: int
    color: Color = Color.RED
    type: Any = torch.float16


@dataclasses.dataclass
class Outputs:
    logits: Any
    loss: Any = None


Pair = namedtuple("Pair", "a b")


class Gives(nn.Module):
    """A model that gives whatever it was built with, and a tensor."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self, x: Any = None, *, y: Any = None) -> Any:
        value = self.weight * (y if isinstance(y, torch.Tensor) else x)
        if self.kind == "dataclass":
            return Outputs(value)
        return {"pair": Pair(value, 3), "mapping": OrderedDict(a=[value, None]), "object": object()}[self.kind]


def saved(model: Any, **kwargs: Any) -> tuple[bytes, Any]:
    """The file of a model, and what was noted."""
    out = io.BytesIO()
    noted = dotpt.save_model(model, out, source=False, **kwargs)
    return out.getvalue(), noted


# -- the file ---------------------------------------------------------------------------------------------------------


def test_torch_opens_the_file_as_a_plain_state_dict(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    path = tmp_path / "model.pt"
    dotpt.save_model(model, path, example_inputs=torch.ones(1, 3, 4, 4), metadata={"license": "mit"})
    loaded = torch.load(path, weights_only=True)
    expected = model.state_dict()
    assert type(loaded) is OrderedDict
    assert list(loaded) == list(expected)
    assert all(torch.equal(loaded[name], expected[name]) for name in expected)
    assert loaded._metadata == expected._metadata
    assert dotpt.open(path).kind == "state dict"
    assert dotpt.load(path).keys() == expected.keys()


def test_the_same_model_gives_the_same_bytes() -> None:
    model = nn.Linear(2, 3)
    assert saved(model, example_inputs=torch.ones(2))[0] == saved(model, example_inputs=torch.ones(2))[0]


def test_the_record_survives_new_metadata_and_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    noted = dotpt.save_model(nn.Linear(4, 2), path, example_inputs=torch.ones(4))
    before = zipfile.ZipFile(path).namelist()
    dotpt.set_metadata(path, {"long": "x" * 10_000})  # which writes the file anew
    with zipfile.ZipFile(path) as archive:
        assert [name for name in archive.namelist() if "metadata" not in name] == before
    with dotpt.open(path) as opened:
        assert opened.architecture == noted
        assert opened.manifest is not None
        assert set(opened.manifest.tensors) == {"weight", "bias"}
    verification = dotpt.verify(path)
    assert verification.ok
    assert {f"{EXAMPLES}data.pkl", ARCHITECTURE} <= {record.name for record in verification.records}


def test_a_damaged_record_is_found_by_verify(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    dotpt.save_model(nn.Linear(4, 2), path)
    content = path.read_bytes()
    at = content.index(b'"fingerprint"')
    path.write_bytes(content[:at] + b'"fingerprinT"' + content[at + 13 :])
    assert not dotpt.verify(path).ok
    assert torch.equal(dotpt.load(path)["bias"], torch.load(path)["bias"])


def test_inspect_shows_the_architecture(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    dotpt.save_model(nn.Linear(4, 2), path)
    report = dotpt.inspect(path)
    assert report.to_dict()["architecture"]["class"] == {"module": "torch.nn.modules.linear", "name": "Linear"}
    assert "torch.nn.modules.linear.Linear(in_features=4, out_features=2)" in str(report)
    assert any("dotpt.load_model(" in line for line in report.usage)


# -- the arguments ----------------------------------------------------------------------------------------------------

LAYERS = {
    "linear": lambda: nn.Linear(2, 3, bias=False),
    "nested": lambda: nn.Sequential(nn.Sequential(nn.Sequential(nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 3)))))),
    "named": lambda: nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.Softmax(-1))),
    "lists": lambda: nn.ModuleDict({"a": nn.ModuleList([nn.Linear(2, 3), nn.Identity()])}),
    "convolution": lambda: nn.Conv1d(2, 4, 3, padding="same", padding_mode="reflect", groups=2),
    "transposed": lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=1, stride=2),
    "recurrent": lambda: nn.LSTM(4, 5, 2, bidirectional=True, batch_first=True, proj_size=3),
    "relu cell": lambda: nn.RNN(3, 4, nonlinearity="relu"),
    "attention": lambda: nn.MultiheadAttention(8, 2, kdim=5, vdim=6, add_bias_kv=True, bias=False),
    "transformer": lambda: nn.Transformer(8, 2, 1, 2, 12, activation="gelu", batch_first=True, dropout=0.3),
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 12, activation=functional.gelu, batch_first=True), 3, nn.LayerNorm(8)
    ),
    "embedding": lambda: nn.Embedding(10, 4, padding_idx=0, max_norm=1.0),
    "norms": lambda: nn.Sequential(nn.GroupNorm(2, 4, affine=False), nn.LayerNorm((3, 4), bias=False)),
    "half": lambda: nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).half(),
    "no weights": lambda: nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
}


@pytest.mark.parametrize("name", LAYERS)
def test_models_of_torch_need_no_arguments(name: str) -> None:
    model = LAYERS[name]()
    content, noted = saved(model)
    assert noted.inferred
    again = dotpt.load_model(content)
    ours, theirs = model.state_dict(), again.state_dict()
    assert repr(again) == repr(model)
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) and ours[key].dtype == theirs[key].dtype for key in ours)
    assert not any(module.training for module in again.modules())


def test_arguments_that_a_class_keeps_are_found_and_tried() -> None:
    noted = saved(Tuned(5))[1]
    assert noted.inferred
    assert noted.kwargs == {"width": 5}


def test_a_guess_that_builds_another_model_is_refused() -> None:
    with pytest.raises(CannotDescribe, match=r"drop\.p is 0\.1, and not 0\.5"):
        saved(Tuned(5, drop=0.5))
    model = Tuned(5)
    model.width = 6
    with pytest.raises(CannotDescribe, match=r"layer\.weight is a tensor of 6x6, and not a tensor of 5x5"):
        saved(model)


def test_missing_arguments_are_named() -> None:
    with pytest.raises(CannotDescribe, match="needs width, depth, and it does not keep them") as caught:
        saved(Forgetful(4, 2))
    assert caught.value.key == "width"
    assert "init={'width': ..., 'depth': ...}" in str(caught.value)


def test_arguments_that_the_constructor_does_not_take_are_named() -> None:
    with pytest.raises(ArgumentsChanged, match="does not take heads and needs depth") as caught:
        saved(Forgetful(4, 2), init={"width": 4, "heads": 2})
    assert caught.value.found == ["heads", "depth"]


def test_arguments_of_another_model_are_refused() -> None:
    with pytest.raises(CannotDescribe, match=r"lacks layers\.2\.weight|has layers\.2\.weight"):
        saved(Forgetful(4, 2), init={"width": 4, "depth": 3})
    assert saved(Forgetful(4, 2), init={"width": 4, "depth": 3}, check=False)[1].kwargs["depth"] == 3


def test_a_module_is_an_argument() -> None:
    content, noted = saved(Forgetful(4, 1, nn.LeakyReLU(0.3)), init={"width": 4, "depth": 1, "act": nn.LeakyReLU(0.3)})
    assert noted.kwargs["act"] == {"$module": ["torch.nn.modules.activation:LeakyReLU", [], {"negative_slope": 0.3}]}
    again = dotpt.load_model(content, Forgetful)
    assert again.act.negative_slope == 0.3


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.complex_numbers()
    | st.sampled_from(
        [torch.float16, torch.device("cuda:1"), torch.Size([1, 2]), nn.ReLU, functional.gelu, torch.tanh, len, range(3)]
    )
    | st.sampled_from(
        [Color.RED, Config(3), Pair(1, "x"), Path("a/b"), slice(1, None), functools.partial(nn.Linear, 3, bias=False)]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3).map(OrderedDict)
        | st.frozensets(st.integers(), max_size=3)
    ),
    max_leaves=8,
)


def plain(value: Any) -> Any:
    """What two values that are the same have in common."""
    if isinstance(value, functools.partial):
        return "partial", value.func, plain(value.args), plain(value.keywords)
    if isinstance(value, (list, tuple)):
        return type(value), [plain(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(plain(key), plain(item)) for key, item in value.items()]
    return (type(value), repr(value)) if isinstance(value, (float, complex)) else (type(value), value)


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_arguments_are_written_and_read_back(value: Any) -> None:
    import json

    spelled = Speller(arguments_of).spell(value, "value")
    written = json.loads(json.dumps(spelled))
    assert plain(ArgumentReader(found_here).read(written)) == plain(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (torch.ones(2), "torch.Tensor"),
        (np.float32(1), "numpy.float32"),
        (lambda: 3, "no name of a module leads to it"),
        (object(), "builtins.object"),
        (chr(0xD800), "half a character"),
    ],
)
def test_what_cannot_be_said_as_data_is_named(value: Any, words: str) -> None:
    with pytest.raises(CannotDescribe, match=words) as caught:
        saved(Forgetful(4, 1), init={"width": 4, "depth": 1, "act": [{"deep": value}]}, check=False)
    assert caught.value.key == "act[0].deep"


def test_a_module_that_is_passed_twice_cannot_be_written_down() -> None:
    layer = nn.Linear(2, 2)
    with pytest.raises(CannotDescribe, match="passed twice"):
        saved(nn.Sequential(layer, layer))


# -- the model stays as it is -----------------------------------------------------------------------------------------


class Stirring(nn.Module):
    """A model that changes its buffers, its input and every generator of random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("last", torch.zeros(3))

    def forward(self, x: Any) -> Any:
        self.count += 1
        x += 1
        self.last = x.clone()
        return self.layer(x) + torch.rand(3) + random.random() + float(np.random.rand())


def test_the_model_is_left_as_it_was() -> None:
    model = Stirring().train()
    model.layer.eval()
    inputs = torch.zeros(3)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    content, _ = saved(model, example_inputs=inputs)
    assert model.training
    assert not model.layer.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(inputs, torch.zeros(3))
    assert model.layer.weight.grad is None
    assert model.layer.weight.requires_grad
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert random.getstate() == generators[1]
    assert (np.random.get_state()[1] == generators[2]).all()
    again = dotpt.load_model(content, Stirring)  # which draws the same numbers, and compares the outputs
    assert torch.equal(again.count, torch.zeros(()))
    assert torch.equal(torch.get_rng_state(), generators[0])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own modules
def test_wrappers_are_taken_off_and_that_is_said() -> None:
    inner = nn.Linear(2, 3)
    for wrapped in (nn.DataParallel(inner), torch.compile(inner), nn.DataParallel(torch.compile(inner))):
        with pytest.warns(UserWarning, match="The model inside of"):
            content, noted = saved(wrapped)
        assert noted.name == "Linear"
        assert torch.equal(dotpt.load_model(content).weight, inner.weight)


def test_programs_are_refused() -> None:
    with pytest.raises(CannotDescribe, match="no class builds it"):
        saved(torch.fx.symbolic_trace(nn.Sequential(nn.ReLU())))
    with pytest.raises(UsageError, match=r"Expected a torch\.nn\.Module"):
        saved({"weight": torch.ones(2)})


# -- the outputs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dataclass", "pair", "mapping"])
@pytest.mark.parametrize("inputs", [torch.ones(2), (torch.ones(2),), {"x": torch.ones(2)}, {"y": torch.ones(2)}])
def test_outputs_of_many_kinds_are_recorded_and_compared(kind: str, inputs: Any) -> None:
    content, noted = saved(Gives(kind), example_inputs=inputs)
    assert noted.example is not None
    assert noted.example.confirmed
    again = dotpt.load_model(content, Gives)
    with dotpt.open(content) as archive:
        state = dict(archive.tensors)
    assert list(state) == ["weight"]
    assert again.kind == kind


def test_outputs_that_cannot_be_recorded_are_named() -> None:
    with pytest.raises(UsageError, match="hold a object"):
        saved(Gives("object"), example_inputs=torch.ones(2))
    with pytest.raises(CannotPickle):
        saved(Gives("pair"), example_inputs={"x": torch.ones(2), "y": lambda: 3}, check=False)


def test_what_was_set_after_the_model_was_built_is_noticed() -> None:
    model = Forgetful(4, 1)
    model.temperature = 2.0
    with pytest.raises(OutputsDiffer, match=r"does not give the same outputs: outputs is off by up to"):
        saved(model, init={"width": 4, "depth": 1}, example_inputs=torch.ones(4))
    noted = saved(model, init={"width": 4, "depth": 1}, example_inputs=torch.ones(4), check=False)[1]
    assert noted.example is not None
    assert not noted.example.confirmed


# -- the code ---------------------------------------------------------------------------------------------------------


def test_the_text_of_the_project_travels(package: Package, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "net.pt"
    noted = dotpt.save_model(package.net(), path, init={"width": 8})
    assert list(noted.sources) == [f"{package.name}.nets", f"{package.name}.blocks"]
    with zipfile.ZipFile(path) as archive:
        text = archive.read(f"archive/{SOURCES}{package.name}.blocks.py").decode()
    assert text == (package.folder / package.name / "blocks.py").read_text()
    assert noted.versions["torch"] == torch.__version__
    assert "with source" in noted.words


def test_source_false_keeps_the_text_out_and_notes_its_hash(package: Package, tmp_path: Path) -> None:  # noqa: F811
    path = tmp_path / "net.pt"
    noted = dotpt.save_model(package.net(), path, init={"width": 8}, source=False)
    assert len(noted.sources) == 2
    assert not noted.stored
    assert not [name for name in zipfile.ZipFile(path).namelist() if SOURCES in name]


def test_a_class_that_no_import_reaches_is_said() -> None:
    class Local(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2)

    with pytest.warns(UserWarning, match=r"defined within a function, so only dotpt\.load_model\(path, function\)"):
        content, _ = saved(Local())
    assert dotpt.load_model(content, lambda: Local()).layer.weight.shape == (2, 2)


def test_an_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no argument format"):
        dotpt.save_model(nn.Linear(2, 2), tmp_path / "a.pt", format="legacy")
    assert not list(tmp_path.iterdir())
