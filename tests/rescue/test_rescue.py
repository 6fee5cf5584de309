"""`dotpt.rescue`: the whole of it, on stored files. What can be checked without torch is."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt.errors import NotATorchFile, NoWeights, UnsupportedError, UsageError
from dotpt.rescue.plain_values import PlainValues
from tests.corpus.stored import FIXTURES

OLD = FIXTURES.parent / "old_fixtures"
SCRIPTS = sorted([*(FIXTURES / "other").glob("*script*.pt"), FIXTURES / "other/trace.pt", FIXTURES / "other/lite.ptl"])
SCRIPTS += sorted(path for path in OLD.glob("*/*.pt*") if path.name.startswith(("script", "trace", "frozen")))


@pytest.mark.parametrize(
    "statement",
    [
        "import dotpt, dotpt.rescue",
        "import dotpt.rescue.rescue, dotpt",
        "import dotpt; from dotpt.rescue.state import state_of",
        "import dotpt; dotpt.rescue; import dotpt.rescue.tree",
        "from dotpt import rescue; import dotpt.rescue, dotpt",
        "import dotpt.inspect, dotpt",
    ],
)
def test_the_verb_keeps_its_name_whatever_is_imported(statement: str) -> None:
    path = FIXTURES / "zip/module.pt"
    code = f"{statement}; print(len(dotpt.rescue({str(path)!r}, backend='numpy').state_dict))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("9", "")


def test_a_checkpoint_of_ultralytics() -> None:
    with dotpt.rescue(FIXTURES / "zip/checkpoint_ultralytics.pt", backend="numpy") as rescued:
        assert (rescued.address, rescued.role) == ("ema", "ema")
        assert rescued.values["train_args"] == {"task": "detect", "imgsz": 640, "lr0": 0.01}
        assert rescued.values["ema"]["names"] == {0: "person", 1: "bicycle"}
        assert rescued.values["epoch"] == -1
        assert [needed.name for needed in rescued.unknown] == [
            "tests.corpus.classes.Detector", "tests.corpus.classes.Block",
        ]  # fmt: skip
        assert "The averaged weights at ema were taken" in " ".join(rescued.notes)
        assert all(array.dtype in (np.float16, np.int64) for array in rescued.state_dict.values())
        assert rescued.state_dict["model.2.weight"].shape == (6, 4, 1, 1)
        assert rescued.tree is not None
        assert rescued.tree.children["model"].children["2"].values["out_channels"] == 6  # type: ignore[union-attr]
        assert "ema: tensors: 15, classes not in the file: 2" in repr(rescued)


def test_a_checkpoint_of_lightning() -> None:
    rescued = dotpt.rescue(FIXTURES / "zip/checkpoint_lightning.pt", backend="numpy")
    assert rescued.address == "state_dict"
    assert rescued.tree is None
    assert rescued.values["hyper_parameters"].keys() == {"lr", "layers"}
    assert rescued.values["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(0.001)
    assert any(note.startswith("optimizer_states also holds 24 tensors") for note in rescued.notes)
    with dotpt.open(FIXTURES / "zip/checkpoint_lightning.pt") as archive:
        for name, array in rescued.state_dict.items():
            assert array.tobytes() == archive[f"state_dict.{name}"].numpy().tobytes()
    rescued.close()


def test_it_is_saved_and_read_again(tmp_path: Path) -> None:
    out = tmp_path / "out.pt"
    with dotpt.rescue(FIXTURES / "zip/module_tied.pt", backend="numpy") as rescued:
        rescued.save(out, metadata={"from": "module_tied"})
        wanted = rescued.state_dict
    with dotpt.open(out) as archive:
        assert archive.kind == "state dict"
        assert list(archive.tree) == list(wanted)
        assert archive.tree._metadata["norm"] == {"version": 1}
        assert archive.unknown_globals == []
        assert archive.metadata == {"from": "module_tied"}
        assert archive["embed.weight"].storage_key == archive["head.weight"].storage_key
        for name, array in wanted.items():
            assert archive[name].numpy().tobytes() == array.tobytes()


def test_only_some_tensors_are_kept() -> None:
    with dotpt.rescue(FIXTURES / "zip/module.pt", backend="numpy") as rescued:
        rescued.keep_only(lambda ref: ref.name.startswith("4."))
        assert list(rescued.state_dict) == ["4.weight", "4.bias"]
        assert rescued.notes == ["Of the tensors, 7 were not wanted."]


def test_bytes_and_open_files() -> None:
    data = (FIXTURES / "zip/module.pt").read_bytes()
    assert len(dotpt.rescue(data).tensors) == 9
    file = io.BytesIO(data)
    dotpt.rescue(file).close()
    assert not file.closed


def test_progress_is_told_and_a_closed_file_says_so() -> None:
    told: list[tuple[int, int]] = []
    rescued = dotpt.rescue(
        FIXTURES / "zip/module.pt", backend="numpy", progress=lambda done, of: told.append((done, of))
    )
    read = rescued.state_dict
    assert told[-1][0] == told[-1][1] > 0
    rescued.close()
    assert rescued.state_dict is read
    with pytest.raises(UsageError, match="closed"):
        rescued.tensors["0.weight"].numpy()


def test_what_holds_no_weights() -> None:
    with pytest.raises(NoWeights, match="neither a module nor a state dict"):
        dotpt.rescue(FIXTURES / "zip/optimizer_adamw.pt")
    with pytest.raises(NoWeights, match=r"no weights at 'ema'; there are some at: the whole object"):
        dotpt.rescue(FIXTURES / "zip/module.pt", where="ema")
    with pytest.raises(NotATorchFile):
        dotpt.rescue(b"no model")
    with pytest.raises(UsageError, match="no back end"):
        _ = dotpt.rescue(FIXTURES / "zip/module.pt", backend="jax").state_dict


def test_source_texts_of_files_before_torch_1_6() -> None:
    rescued = dotpt.rescue(OLD / "1.0.0-py27/module-legacy.pt", backend="numpy")
    assert str(rescued.tree) == (
        "Sequential(\n  (0): Linear(in_features=3, out_features=2, bias=True)\n  (1): ReLU()\n)"
    )
    assert list(rescued.state_dict) == ["0.weight", "0.bias"]
    (linear,) = [needed for needed in rescued.classes if needed.name.endswith("Linear")]
    assert linear.of_torch
    assert linear.source is not None
    assert linear.source.startswith("class Linear(Module):")


@pytest.mark.parametrize("path", sorted(OLD.glob("*/*.pt")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_old_file_is_rescued_or_refused_with_a_reason(path: Path) -> None:
    try:
        rescued = dotpt.rescue(path, backend="numpy", encoding="latin1")
    except (NoWeights, UnsupportedError):  # what it holds is something else, or of torch 1.0 to 1.2
        return
    with rescued:
        assert list(rescued.state_dict) == list(rescued.entries)
        rescued.to_dict()
        str(rescued.tree)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_torchscript_gives_what_torch_jit_load_gives(path: Path) -> None:
    torch = pytest.importorskip("torch")
    try:
        rescued = dotpt.rescue(path)
    except UnsupportedError:
        assert path.parent.name < "1.3"
        return
    try:
        live = torch.jit.load(path)
    except RuntimeError:  # bytecode of phones, and operators that have gone
        pytest.skip("this torch does not load it")
    wanted = live.state_dict()
    with rescued:
        got = rescued.state_dict
        if rescued.address == "CONSTANTS":
            assert not wanted
            assert "The module was frozen" in " ".join(rescued.notes)
            return
        kept = [
            note.split(" is no parameter, and")[0].partition(".")[2]
            for note in rescued.notes
            if "is no parameter, and" in note
        ]
        assert [name for name in got if name.rpartition(".")[2] not in kept] == list(wanted)
        assert not kept or path.parent.name < "1.6"
        assert got._metadata == wanted._metadata or not wanted
        for name, value in wanted.items():
            assert torch.equal(got[name], value)
            assert got[name].dtype == value.dtype
        if wanted:
            assert str(rescued.tree).splitlines() == str(live).splitlines()
        elif rescued.archive.tensors:
            assert "The module has no parameters" in " ".join(rescued.notes)


@pytest.mark.torch
def test_torchscript_of_today(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from tests.rescue.scripted import scripted

    path = tmp_path / "script.pt"
    live = scripted(path)
    with dotpt.rescue(path, backend="torch") as rescued:
        assert list(rescued.state_dict) == list(live.state_dict())
        assert all(torch.equal(rescued.state_dict[name], value) for name, value in live.state_dict().items())
        assert str(rescued.tree) == str(live)
        assert rescued.classes == []


def test_plain_values_of_every_kind() -> None:
    with dotpt.open(FIXTURES / "zip/custom_objects.pt") as archive:
        plain = PlainValues()
        values = plain.of(archive.tree)
    assert values["config"]["__class__"].startswith("tests.corpus.classes.")
    assert plain.tensors >= 0
    cycle: dict[str, Any] = {"a": [1]}
    cycle["self"] = cycle
    plain = PlainValues()
    assert plain.of(cycle) == {"a": [1]}
    assert plain.cut
    deep: Any = 1
    for _ in range(1_000):
        deep = [deep]
    plain = PlainValues()
    plain.of(deep)
    assert plain.cut
