"""`dotpt.load_model`: where a model's code comes from, what has changed since, and that nothing is run unasked."""

from __future__ import annotations

import gc
import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dotpt
from dotpt.errors import (
    ArgumentsChanged,
    CannotBuild,
    FitError,
    ManifestError,
    ModelChanged,
    ModuleMissing,
    NameMissing,
    NoArchitecture,
    OutputsDiffer,
    UnsafeGlobal,
    UsageError,
)
from dotpt.formats.architecture import ARCHITECTURE, EXAMPLES, SOURCES, TAGS
from dotpt.models.load_model import CodeChanged
from dotpt.models.load_report import report_of
from dotpt.pickling.nn_names import LAYERS
from tests.models.travellers import Package, package  # noqa: F401 - a fixture

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

INPUTS = [[0.5, -1.0, 2.0, 0.25]]


@pytest.fixture
def path(package: Package, tmp_path: Path) -> Path:  # noqa: F811
    """A file of a `Net` of the package, with source and outputs."""
    file = tmp_path / "net.pt"
    dotpt.save_model(package.net(), file, init={"width": 8}, example_inputs=torch.tensor(INPUTS))
    package.forget()
    return file


def changed(path: Path, name: str, change: Any) -> bytes:
    """The file with another content of one record; the directory and the checksums are right."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for record in old.namelist():
            content = old.read(record)
            if record == f"archive/{name}":
                content = change(content)
            if content is not None:
                new.writestr(record, content)
    return out.getvalue()


def edited(path: Path, change: Any) -> bytes:
    """The file with a change to the JSON of its record."""

    def edit(content: bytes) -> bytes:
        record = json.loads(content)
        change(record)
        return json.dumps(record).encode()

    return changed(path, ARCHITECTURE, edit)


# -- where the code comes from ----------------------------------------------------------------------------------------


def test_nothing_is_imported_unless_it_is_named(package: Package, path: Path) -> None:  # noqa: F811
    with pytest.raises(UnsafeGlobal) as caught:
        dotpt.load_model(path)
    assert f'trust=["{package.name}.nets.Net"]' in str(caught.value)
    assert "trust_source=True" in str(caught.value)
    assert [str(name) for name in caught.value.globals] == [f"{package.name}.nets.Net"]
    with pytest.raises(UnsafeGlobal):
        dotpt.load_model(path, trust=["other.*"])
    assert not [name for name in sys.modules if name.startswith(package.name)]


def test_by_import(package: Package, path: Path) -> None:  # noqa: F811
    for trust in ([f"{package.name}.nets.Net"], [f"{package.name}.*"], "all"):
        model = dotpt.load_model(path, trust=trust)
        assert type(model) is package.get().Net
        expected = package.net().eval()
        assert torch.equal(model(torch.tensor(INPUTS)), expected(torch.tensor(INPUTS)))
        assert not any(module.training for module in model.modules())
        assert torch.equal(model.scale, torch.linspace(0, 1, 3))  # which is not in the file
        report = report_of(model)
        assert (report.origin, report.outputs, report.changed) == ("import", "equal", [])
        assert report.same_structure
        assert "unchanged" in str(report)


def test_by_a_class_and_by_a_function(package: Package, path: Path) -> None:  # noqa: F811
    net = package.get().Net
    by_class = dotpt.load_model(path, net)
    by_function = dotpt.load_model(path, lambda: net(8))
    assert report_of(by_class).origin == "the class that was passed"
    assert report_of(by_function).origin == "the function that was passed"
    for model in (by_class, by_function):
        assert report_of(model).outputs == "equal"
    with pytest.raises(UsageError, match="A model was passed"):
        dotpt.load_model(path, net(8))
    with pytest.raises(UsageError, match="not of type str"):
        dotpt.load_model(path, "Net")  # type: ignore[arg-type]


def test_by_the_source_in_the_file(package: Package, path: Path) -> None:  # noqa: F811
    for module in ("nets", "blocks", "__init__"):
        package.remove(module)
    model = dotpt.load_model(path, trust_source=True)
    assert report_of(model).origin == "the source in the file"
    assert report_of(model).outputs == "equal"
    assert report_of(model).same_structure
    assert "as it was saved" in str(report_of(model))
    assert type(model).__module__.startswith("dotpt_source_")
    assert not [name for name in sys.modules if name.startswith(package.name)]


def test_in_a_program_that_has_none_of_it(path: Path, tmp_path: Path) -> None:
    script = tmp_path / "user.py"
    script.write_text(
        "import sys, dotpt\n"
        "try:\n    dotpt.load_model(sys.argv[1], trust='all')\n"
        "except dotpt.DotptError as error:\n    print(type(error).__name__)\n"
        "model = dotpt.load_model(sys.argv[1], trust_source=True)\n"
        "print(model.head.out_features, model.training)\n"
    )
    found = os.pathsep.join([str(Path(dotpt.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(script), str(path)],
        env={**os.environ, "PYTHONPATH": found},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["ModuleMissing", "3", "False"]


def test_a_script_saves_and_its_class_loads(tmp_path: Path) -> None:
    """A class of `__main__`, in another process."""
    script = tmp_path / "train.py"
    script.write_text(
        "import warnings, dotpt, torch\nwarnings.simplefilter('ignore')\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self, width):\n        super().__init__()\n        self.fc = torch.nn.Linear(width, 2)\n"
        "    def forward(self, x):\n        return self.fc(x)\n"
        "if __name__ == '__main__':\n"
        "    dotpt.save_model(Net(4), 'net.pt', init={'width': 4}, example_inputs=torch.ones(4))\n"
    )
    found = os.pathsep.join([str(Path(dotpt.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": found}, check=True)
    file = tmp_path / "net.pt"

    class Net(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.fc = nn.Linear(width, 2)

        def forward(self, x: Any) -> Any:
            return self.fc(x)

    assert report_of(dotpt.load_model(file, Net)).outputs == "equal"
    assert dotpt.load_model(file, trust_source=True).fc.in_features == 4
    assert dotpt.load_model(file, trust=[(Net, "__main__.Net")]).fc.in_features == 4
    with pytest.raises(NameMissing, match="a class of the script that saved it"):
        dotpt.load_model(file, trust=["__main__.Net"])


# -- files that say less ----------------------------------------------------------------------------------------------


def test_a_plain_file_needs_a_factory(tmp_path: Path) -> None:
    file = tmp_path / "plain.pt"
    model = nn.Linear(4, 2)
    torch.save({"epoch": 3, "model": {f"module.{name}": value for name, value in model.state_dict().items()}}, file)
    with pytest.raises(NoArchitecture, match=r"\(checkpoint\) says nothing of the model") as caught:
        dotpt.load_model(file)
    assert "dotpt.load_model(path, Class, init={...})" in str(caught.value)
    again = dotpt.load_model(file, nn.Linear, init={"in_features": 4, "out_features": 2})
    assert torch.equal(again.weight, model.weight)
    assert report_of(again).fit is not None
    assert dotpt.load_model(file, lambda: nn.Linear(4, 2), weights="model").training is False
    with pytest.raises(FitError):
        dotpt.load_model(file, lambda: nn.Linear(4, 3))
    with pytest.raises(ArgumentsChanged, match="needs in_features, out_features"):
        dotpt.load_model(file, nn.Linear)


def test_without_source_there_is_none_to_trust(tmp_path: Path) -> None:
    file = tmp_path / "linear.pt"
    dotpt.save_model(nn.Linear(4, 2), file)
    with pytest.raises(UsageError, match="holds no source"):
        dotpt.load_model(file, trust_source=True)
    assert report_of(dotpt.load_model(file)).outputs == "not recorded"


# -- what has changed since -------------------------------------------------------------------------------------------


def test_changed_code_is_said(package: Package, path: Path) -> None:  # noqa: F811
    package.change("blocks", "return x + self.inner(x)", "return self.inner(x) + x  # tidied")
    with pytest.warns(CodeChanged, match=rf"The text of {package.name}\.blocks has changed .* recorded ones neverthel"):
        model = dotpt.load_model(path, trust=[f"{package.name}.*"])
    assert report_of(model).changed == [f"{package.name}.blocks"]
    assert "changed since" in str(report_of(model))


def test_other_outputs_are_an_error(package: Package, path: Path) -> None:  # noqa: F811
    package.change("blocks", "x + self.inner(x)", "2 * x + self.inner(x)")
    with pytest.raises(OutputsDiffer, match=r"outputs is off by up to .*has changed since it was saved") as caught:
        dotpt.load_model(path, trust=[f"{package.name}.*"])
    assert caught.value.difference is not None
    assert caught.value.difference > 0.01
    with pytest.warns(CodeChanged, match="not compared"):
        assert report_of(dotpt.load_model(path, trust=[f"{package.name}.*"], verify=False)).outputs == "not compared"
    with pytest.warns(CodeChanged, match="close to the recorded ones"):
        dotpt.load_model(path, trust=[f"{package.name}.*"], tolerance=10.0)
    assert report_of(dotpt.load_model(path, trust_source=True)).outputs == "equal"


def test_another_structure_is_an_error(package: Package, path: Path) -> None:  # noqa: F811
    package.change("nets", "classes=3", "classes=4")
    with pytest.raises(ModelChanged, match=r"head\.weight is 4x8, and was 3x8.* The text of .*nets has changed"):
        dotpt.load_model(path, trust=[f"{package.name}.*"])
    with pytest.warns(CodeChanged):
        model = dotpt.load_model(path, trust=[f"{package.name}.*"], init={"classes": 3})
    assert model.head.out_features == 3


def test_another_layer_is_an_error_and_a_warning_if_wanted(package: Package, path: Path) -> None:  # noqa: F811
    package.change("nets", "act=nn.ReLU", "act=nn.GELU")
    with pytest.raises(ModelChanged, match="act is a GELU, and was a ReLU"):
        dotpt.load_model(path, trust=[f"{package.name}.*"])
    with pytest.warns(CodeChanged, match="Act is a GELU, and was a ReLU"):
        dotpt.load_model(path, trust=[f"{package.name}.*"], strict="report", verify=False)


def test_changed_arguments_are_named(package: Package, path: Path) -> None:  # noqa: F811
    package.change("nets", "self, width, classes=3", "self, hidden, depth, classes=3")
    with pytest.raises(ArgumentsChanged) as caught:
        dotpt.load_model(path, trust=[f"{package.name}.*"])
    assert "does not take width and needs hidden, depth" in str(caught.value)
    assert caught.value.found == ["width", "hidden", "depth"]


def test_a_class_that_moved(package: Package, path: Path) -> None:  # noqa: F811
    package.write("models", (package.folder / package.name / "nets.py").read_text())
    package.remove("nets")
    moved = package.get("models").Net
    with pytest.raises(ModuleMissing) as caught:
        dotpt.load_model(path, trust=[f"{package.name}.nets.Net"])
    assert f'it may be {package.name}.models.Net now: trust=[(Net, "{package.name}.nets.Net")]' in str(caught.value)
    model = dotpt.load_model(path, trust=[(moved, f"{package.name}.nets.Net")])
    assert not report_of(model).same_structure
    assert report_of(model).outputs == "equal"
    assert report_of(model).unknown == [f"{package.name}.nets"]


def test_a_class_that_was_renamed(package: Package, path: Path) -> None:  # noqa: F811
    package.change("nets", "class Net(", "class Network(")
    with pytest.raises(NameMissing, match="has no such name"):
        dotpt.load_model(path, trust=[f"{package.name}.*"])
    with pytest.warns(CodeChanged, match=r"recorded ones nevertheless"):
        model = dotpt.load_model(path, package.get().Network)
    assert report_of(model).notes == [f"{package.name}.nets.Net is {package.name}.nets.Network now."]


def test_a_constructor_that_raises(package: Package, path: Path) -> None:  # noqa: F811
    package.change("nets", "super().__init__()", "raise KeyError('no configuration')")
    with pytest.raises(CannotBuild, match="KeyError: 'no configuration'") as caught:
        dotpt.load_model(path, trust=[f"{package.name}.*"])
    assert isinstance(caught.value.__cause__, KeyError)


# -- how it is loaded -------------------------------------------------------------------------------------------------


def test_types_buffers_and_ties_are_as_they_were(package: Package, tmp_path: Path) -> None:  # noqa: F811
    package.write(
        "nets",
        """
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Embedding(6, 4)
                self.head = nn.Linear(4, 6, bias=False)
                self.head.weight = self.embed.weight
                self.register_buffer("table", torch.randn(3), persistent=False)
                self.register_buffer("steps", torch.tensor(0))

            def forward(self, x):
                return self.head(self.embed(x)).float(), self.table.sum()
        """,
    )
    net = package.get().Net().half()
    net.steps.fill_(9)
    net.table.fill_(2.0)
    file = tmp_path / "net.pt"
    dotpt.save_model(net, file)
    before = torch.get_rng_state()
    again = dotpt.load_model(file, package.get().Net)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.head.weight is again.embed.weight
    assert again.embed.weight.dtype == torch.float16
    assert again.table.dtype == torch.float16
    assert int(again.steps) == 9
    assert again.embed.weight.requires_grad
    wide = dotpt.load_model(file, package.get().Net, dtype=torch.float32, device="cpu")
    assert wide.head.weight is wide.embed.weight
    assert torch.equal(wide.embed.weight, net.embed.weight.float())


class Lazily(nn.Module):
    """A model whose layers learn their sizes from the first input."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        self.fc = nn.LazyLinear(n)

    def forward(self, x: Any) -> Any:
        return self.fc(x)


class Bound(nn.Module):
    """A model of parametrized layers, which compute with their weights when they are built."""

    def __init__(self, n: int = 4) -> None:
        super().__init__()
        self.norm = nn.utils.parametrizations.weight_norm(nn.Linear(n, n))
        self.turn = nn.utils.parametrizations.orthogonal(nn.Linear(n, n))
        self.bound = nn.utils.parametrizations.spectral_norm(nn.Linear(n, n))

    def forward(self, x: Any) -> Any:
        return self.bound(self.turn(self.norm(x)))


@pytest.mark.parametrize("init", [None, {"n": 4}])
@pytest.mark.parametrize("owner", [Lazily, Bound])
def test_layers_that_are_not_built_at_once(owner: Any, init: Any, tmp_path: Path) -> None:
    model, file = owner(4), tmp_path / "model.pt"
    model(torch.ones(2, 4))
    dotpt.save_model(model, file, init=init, source=False, example_inputs=torch.rand(2, 4))
    again = dotpt.load_model(file, owner)
    assert report_of(again).outputs == "equal"
    assert repr(again) == repr(model)


def test_a_constructor_that_needs_its_first_weights(package: Package, tmp_path: Path) -> None:  # noqa: F811
    package.write(
        "nets",
        """
        import torch
        from torch import nn

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(300, 300)
                if not 0 < float(self.fc.weight.detach().abs().mean()) < 1:
                    raise ValueError("no weights yet")
        """,
    )
    file = tmp_path / "net.pt"
    dotpt.save_model(package.get().Net(), file)
    assert dotpt.load_model(file, package.get().Net).fc.weight.shape == (300, 300)


def test_weights_that_the_file_does_not_have_are_drawn(tmp_path: Path) -> None:
    file = tmp_path / "old.pt"
    dotpt.save_model(nn.Sequential(nn.Linear(4, 400), nn.Linear(400, 2)), file)
    for more in ({"strict": "report"}, {"mismatched": "skip"}, {"mismatched": "pad"}):
        new = dotpt.load_model(file, lambda: nn.Sequential(nn.Linear(4, 400), nn.Linear(400, 300)), **more)  # type: ignore[arg-type]
        bound = 1 / 400**0.5
        assert bool((new[1].weight.abs() <= bound).all())
        assert float(new[1].weight.detach().abs().mean()) > bound / 3


def test_an_open_archive_stays_open(path: Path) -> None:
    with dotpt.open(path) as archive:
        for _ in range(2):
            assert report_of(dotpt.load_model(archive, trust_source=True)).outputs == "equal"


def test_a_type_that_the_caller_wants_is_given_to_the_inputs_too(path: Path) -> None:
    model = dotpt.load_model(path, trust_source=True, dtype=torch.float64)
    assert model.head.weight.dtype == torch.float64
    assert report_of(model).outputs == "close"
    with pytest.raises(UsageError, match="no type of torch"):
        dotpt.load_model(path, trust_source=True, dtype="float16")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_to_a_gpu_and_from_one(package: Package, tmp_path: Path) -> None:  # noqa: F811
    file, inputs = tmp_path / "net.pt", torch.tensor(INPUTS)
    generator = torch.cuda.get_rng_state()
    noted = dotpt.save_model(package.net().cuda(), file, init={"width": 8}, example_inputs=inputs.cuda())
    assert noted.example is not None
    assert noted.example.device == "cuda"
    for device in (None, "cuda"):
        model = dotpt.load_model(file, package.get().Net, device=device)
        assert model.scale.device.type == model.head.weight.device.type == (device or "cpu")
    assert torch.equal(torch.cuda.get_rng_state(), generator)


def test_what_a_forward_changes_is_put_back(path: Path) -> None:
    seen: list[tuple[int, int]] = []
    model = dotpt.load_model(path, trust_source=True, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1][0] == seen[-1][1] > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_reports_go_with_their_models(path: Path) -> None:
    model = dotpt.load_model(path, trust_source=True)
    report = report_of(model).to_dict()
    json.dumps(report)
    assert report["outputs"] == "equal"
    other = nn.Linear(1, 1)
    with pytest.raises(UsageError, match="was not loaded"):
        report_of(other)
    from dotpt.models import load_report

    key = id(model)
    assert key in load_report._REPORTS
    del model
    gc.collect()
    assert key not in load_report._REPORTS


# -- strangers' files -------------------------------------------------------------------------------------------------

NOT_MODELS = [
    "os:system",
    "builtins:eval",
    "subprocess:run",
    "torch.hub:load",
    "torch:load",
    "torch.nn.functional:relu",
]


@pytest.mark.parametrize("name", NOT_MODELS)
def test_a_record_calls_nothing_but_models(path: Path, name: str) -> None:
    module, _, inner = name.partition(":")

    def attack(record: dict[str, Any]) -> None:
        record["class"] = {"module": module, "name": inner}
        record["init"] = {"args": ["echo hacked > hacked"], "kwargs": {}, "inferred": False}

    content = edited(path, attack)
    with pytest.raises((UnsafeGlobal, CannotBuild)) as caught:
        dotpt.load_model(content)
    assert isinstance(caught.value, UnsafeGlobal) or "no class of models" in str(caught.value)
    for trust in ("all", [f"{module}.{inner}"]):
        with pytest.raises(CannotBuild, match="is no class of models"):
            dotpt.load_model(content, trust=trust)
    assert dotpt.load(content).keys() == dotpt.load(path).keys()
    assert not Path("hacked").exists()


@pytest.mark.parametrize(
    "spelled",
    [
        {"$name": "os:system"},
        {"$module": ["os:system", ["echo hacked"], {}]},
        {"$dataclass": ["subprocess:Popen", {"args": "echo hacked"}]},
        {"$namedtuple": ["os:system", ["echo"]]},
        {"$enum": ["os:environ", "PATH"]},
        {"$partial": [{"$name": "os:system"}, ["echo"], {}]},
        [{"deep": {"$tuple": [{"$name": "builtins:eval"}]}}],
    ],
)
def test_names_in_arguments_are_not_imported(tmp_path: Path, spelled: Any) -> None:
    file = tmp_path / "linear.pt"
    dotpt.save_model(nn.Linear(4, 2), file)
    content = edited(file, lambda record: record["init"]["kwargs"].update(bias=spelled))
    with pytest.raises(UnsafeGlobal):
        dotpt.load_model(content)


@pytest.mark.parametrize(
    "spelled",
    [
        {"$what": 1},
        {"$tuple": 1},
        {"$dtype": "onnx"},
        {"$dtype": ["float32"]},
        {"$device": "a\0b"},
        {"$range": [1, 2, 0]},
        {"$int": "0y"},
        {"$bytes": "ä"},
        {"$float": "1"},
        {"$size": ["a"]},
        {"$set": [[1]]},
        {"$dict": [[1]]},
        {"$namespace": ["os", {}]},
        {"$name": "no colon"},
        {"$module": "x"},
        {"$module": []},
        {"$tuple": [], "$set": []},
    ],
)
def test_arguments_that_are_no_spelling_are_a_typed_error(tmp_path: Path, spelled: Any) -> None:
    file = tmp_path / "linear.pt"
    dotpt.save_model(nn.Linear(4, 2), file)
    content = edited(file, lambda record: record["init"]["kwargs"].update(bias=spelled))
    with pytest.raises(ManifestError):
        dotpt.load_model(content)


@pytest.mark.parametrize(
    ("module", "name", "kwargs"),
    [
        ("torch.nn.modules.rnn", "LSTM", {"input_size": 4, "hidden_size": 4, "num_layers": 10**9}),
        ("torch.nn.modules.linear", "Linear", {"in_features": 10**7, "out_features": 10**7}),
        ("torch.nn.modules.batchnorm", "BatchNorm1d", {"num_features": 10**11}),
        ("torch.nn.modules.transformer", "Transformer", {"d_model": 8, "nhead": 2, "num_encoder_layers": 10**9}),
        ("torch.nn.modules.sparse", "Embedding", {"num_embeddings": 10**10, "embedding_dim": 10**4}),
    ],
)
def test_a_model_without_end_is_not_built(tmp_path: Path, module: str, name: str, kwargs: dict[str, Any]) -> None:
    file = tmp_path / "linear.pt"
    dotpt.save_model(nn.Linear(4, 2), file)

    def attack(record: dict[str, Any]) -> None:
        record["class"] = {"module": module, "name": name}
        record["init"]["kwargs"] = kwargs

    with pytest.raises((CannotBuild, ModelChanged)):
        dotpt.load_model(edited(file, attack))


SPELLED = st.recursive(
    st.sampled_from([0, 1, -1, 4, 1.5, None, True, "x", "torch.nn.modules.linear:Linear", "float16", [2, 4], 10**12]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(TAGS)), inner, min_size=1, max_size=1)
        | st.tuples(st.sampled_from(sorted(LAYERS)), st.lists(inner, max_size=2)).map(
            lambda made: {"$module": [":".join(made[0]), made[1], {}]}
        )
    ),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(LAYERS)),
    st.lists(SPELLED, max_size=3),
    st.dictionaries(st.sampled_from(["bias", "num_layers", "d_model", "device", "dtype"]), SPELLED, max_size=2),
)
@pytest.mark.filterwarnings("ignore")  # of torch's constructors, which are given nonsense
def test_any_layer_with_any_arguments(tmp_path: Path, name: tuple[str, str], args: Any, kwargs: Any) -> None:
    file = tmp_path / "linear.pt"
    if not file.exists():
        dotpt.save_model(nn.Linear(4, 2), file)

    def attack(record: dict[str, Any]) -> None:
        record["class"] = {"module": name[0], "name": name[1]}
        record["init"] = {"args": args, "kwargs": kwargs, "inferred": False}

    with suppress(dotpt.DotptError):
        assert list(dotpt.load_model(edited(file, attack)).state_dict()) == ["weight", "bias"]


def test_source_is_never_run_unasked(package: Package, path: Path) -> None:  # noqa: F811
    import hashlib

    mark = path.with_name("was-run")
    text = f"open({str(mark)!r}, 'w').close()\n"
    name = f"{package.name}.nets"

    def attack(record: dict[str, Any]) -> None:
        record["sources"]["sha256"] = {name: hashlib.sha256(text.encode()).hexdigest()}

    file = path.with_name("attack.pt")
    file.write_bytes(changed(path, f"{SOURCES}{name}.py", lambda _: text.encode()))
    content = edited(file, attack)
    with pytest.raises(UnsafeGlobal):
        dotpt.load_model(content)
    with pytest.warns(CodeChanged):
        dotpt.load_model(content, package.get().Net)
    dotpt.load(content)
    dotpt.inspect(content)
    dotpt.verify(content)
    assert not mark.exists()
    with pytest.raises(NameMissing):  # the text is run, and defines no Net
        dotpt.load_model(content, trust_source=True)
    assert mark.exists()


def test_source_that_somebody_changed_is_not_run(package: Package, path: Path) -> None:  # noqa: F811
    content = changed(path, f"{SOURCES}{package.name}.nets.py", lambda text: text + b"\nprint('hello')\n")
    with pytest.raises(ManifestError, match="its hash is another"):
        dotpt.load_model(content, trust_source=True)


def test_source_that_is_not_whole(package: Package, path: Path) -> None:  # noqa: F811
    gone = changed(path, f"{SOURCES}{package.name}.blocks.py", lambda _: None)
    with pytest.raises(dotpt.DotptError, match="is not in the file"):
        dotpt.load_model(gone, trust_source=True)
    giant = changed(path, f"{SOURCES}{package.name}.blocks.py", lambda _: b"#" * (17 << 20))
    with pytest.raises(ManifestError, match="at most 16,777,216 are read"):
        dotpt.load_model(giant, trust_source=True)


def test_hostile_examples_are_typed_errors(package: Package, path: Path) -> None:  # noqa: F811
    net = package.get().Net
    eval_of_nothing = b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R."
    with pytest.raises(UnsafeGlobal):
        dotpt.load_model(changed(path, f"{EXAMPLES}data.pkl", lambda _: eval_of_nothing), net)
    with pytest.raises(ManifestError, match="does not hold args"):
        dotpt.load_model(changed(path, f"{EXAMPLES}data.pkl", lambda _: b"\x80\x02}."), net)
    with pytest.raises(dotpt.DotptError):
        dotpt.load_model(changed(path, f"{EXAMPLES}data/0", lambda _: b"1"), net)
    assert dotpt.load_model(changed(path, f"{EXAMPLES}data.pkl", lambda _: b"no"), net, verify=False) is not None


def test_names_of_a_stranger_are_shown_as_text(package: Package, path: Path) -> None:  # noqa: F811
    def attack(record: dict[str, Any]) -> None:
        record["modules"]["a\x1b[31m\nb"] = "torch.nn.modules.linear.Linear"
        record["modules"]["head"] = "x\x1b[31m\n.Linear"

    with pytest.warns(CodeChanged) as warned:
        model = dotpt.load_model(edited(path, attack), package.get().Net, strict="report")
    for text in (str(warned[0].message), str(report_of(model))):
        assert "\x1b" not in text
    assert "\n" not in str(warned[0].message)
