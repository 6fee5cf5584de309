"""`dotpt.load_into`: what it says and does where weights and a model do not simply fit."""

from __future__ import annotations

import copy
import gc
import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.errors import ChecksumMismatch, DotptError, FitError, MissingDependency, UsageError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

from tests.models.live_models import (  # noqa: E402
    Net,
    Noted,
    Odd,
    Tied,
    bits,
    everything,
    fill,
    same,
)  # fmt: skip

# -- what does not fit ------------------------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.save({"state_dict": fill(Net(), 1).state_dict(), "epoch": 3}, tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_a_model_that_does_not_fit_is_not_touched(saved: Path) -> None:
    model = fill(Net(3), 2)
    before = everything(model)
    with pytest.raises(FitError) as caught:
        dotpt.load_into(model, saved)
    assert everything(model) == before
    assert isinstance(caught.value, RuntimeError)
    text = str(caught.value)
    assert "7 of 9 tensors fit; 2 of another shape" in text
    assert "mismatch  head.weight  [10, 8]      [3, 8]" in text
    assert 'mismatched="skip"' in text
    report = caught.value.report
    assert [unfit.name for unfit in report.mismatched] == ["head.weight", "head.bias"]
    assert not report.loaded


def test_other_names_are_suggested(saved: Path) -> None:
    model = Net(trunk="body")
    with pytest.raises(FitError) as caught:
        dotpt.load_into(model, saved)
    report = caught.value.report
    assert report.closest["body.0.weight"] == "backbone.0.weight"
    assert report.rules == {"backbone.": "body."}
    assert f"dotpt.load_into(model, '{saved}', rules={{'backbone.': 'body.'}})" in str(caught.value)
    assert f"dotpt fit {saved} --model {Net.__module__}:Net --rules backbone.=body." in str(caught.value)
    loaded = dotpt.load_into(model, saved, rules=report.rules)
    assert loaded.ok
    assert loaded.renamed["backbone.0.weight"] == "body.0.weight"


def test_a_head_of_another_size(saved: Path) -> None:
    weights = dotpt.load(saved)["state_dict"]
    model = fill(Net(3), 2)
    head = model.head.weight.detach().clone()
    report = dotpt.load_into(model, saved, mismatched="skip")
    assert [unfit.name for unfit in report.skipped] == ["head.weight", "head.bias"]
    assert report.ok
    assert torch.equal(model.head.weight, head)
    assert torch.equal(model.backbone[0].weight, weights["backbone.0.weight"])

    report = dotpt.load_into(model, saved, mismatched="slice")
    assert torch.equal(model.head.weight, weights["head.weight"][:3])
    assert len(report.sliced) == 2

    wide = fill(Net(12), 2)
    rest = wide.head.weight[10:].detach().clone()
    report = dotpt.load_into(wide, saved, mismatched="pad")
    assert torch.equal(wide.head.weight, torch.cat([weights["head.weight"], rest]))
    assert len(report.padded) == 2

    with pytest.raises(FitError, match="another shape"):
        dotpt.load_into(fill(Net(12), 2), saved, mismatched="slice")


def test_a_function_fits_what_has_another_size(saved: Path) -> None:
    asked = []

    def fit(name: str, values: Any, parameter: Any) -> Any:
        asked.append((name, tuple(values.shape), tuple(parameter.shape)))
        return values.mean(0, keepdim=True).expand_as(parameter) if name == "head.weight" else None

    model = Net(3)
    report = dotpt.load_into(model, saved, mismatched=fit)
    assert asked == [("head.weight", (10, 8), (3, 8)), ("head.bias", (10,), (3,))]
    assert [one.how for one in report.resized] == ["function"]
    assert [one.name for one in report.skipped] == ["head.bias"]
    assert torch.equal(model.head.weight[0], dotpt.load(saved)["state_dict"]["head.weight"].mean(0))
    with pytest.raises(FitError):
        dotpt.load_into(Net(3), saved, mismatched=lambda name, values, parameter: values)
    with pytest.raises(UsageError, match="returned int"):
        dotpt.load_into(Net(3), saved, mismatched=lambda name, values, parameter: 3)


def test_strict_false_is_torchs(saved: Path) -> None:
    model = nn.ModuleDict({"backbone": Net().backbone, "other": nn.Linear(2, 2)})
    expected = copy.deepcopy(model)
    keys = expected.load_state_dict(torch.load(saved)["state_dict"], strict=False)
    report = dotpt.load_into(model, saved, strict=False)
    same(model, expected)
    assert report.missing_keys == keys.missing_keys
    assert report.unexpected_keys == keys.unexpected_keys
    with pytest.raises(FitError):
        dotpt.load_into(Net(3), saved, strict=False)


def test_strict_report_loads_what_fits(saved: Path) -> None:
    model = Net(3)
    report = dotpt.load_into(model, saved, strict="report")
    assert not report.ok
    assert report.loaded
    assert len(report.matched) == 7
    assert torch.equal(model.backbone[0].bias, dotpt.load(saved)["state_dict"]["backbone.0.bias"])


def test_only_exclude_and_freeze(saved: Path) -> None:
    model = fill(Net(3), 2)
    report = dotpt.load_into(model, saved, only="backbone.*", freeze="backbone.*")
    assert report.ok
    assert report.left == ["head.weight", "head.bias"]
    assert sorted(report.frozen) == ["backbone.0.bias", "backbone.0.weight", "backbone.1.bias", "backbone.1.weight"]
    assert not model.backbone[0].weight.requires_grad
    assert model.head.weight.requires_grad
    report = dotpt.load_into(Net(3), saved, exclude=["head.*"])
    assert report.left == ["head.weight", "head.bias"]
    assert report.ok
    narrow = nn.ModuleDict({"head": nn.Linear(8, 10)})
    report = dotpt.load_into(narrow, saved, only="head.*")
    assert report.ok
    assert report.dropped["backbone.0.weight"] == "not selected"


@pytest.mark.parametrize("argument", ["only", "exclude", "freeze"])
def test_a_glob_that_matches_nothing_is_a_mistake(saved: Path, argument: str) -> None:
    model = fill(Net(), 2)
    before = everything(model)
    with pytest.raises(UsageError, match=f"{argument}='bakbone"):
        dotpt.load_into(model, saved, **{argument: "bakbone.*"})
    assert everything(model) == before


@pytest.mark.parametrize(
    ("argument", "value"), [("strict", "yes"), ("mismatched", "skipp"), ("verify", "last"), ("strict", 1)]
)
def test_arguments_that_make_no_sense(saved: Path, argument: str, value: Any) -> None:
    with pytest.raises(UsageError, match=f"{argument}="):
        dotpt.load_into(Net(), saved, **{argument: value})


def test_targets_that_make_no_sense(saved: Path) -> None:
    with pytest.raises(UsageError, match="the class Net, neither a model nor an optimizer"):
        dotpt.load_into(Net, saved)
    with pytest.raises(UsageError, match="model= is for optimizers"):
        dotpt.load_into(Net(), saved, model=Net())


def test_a_value_that_is_no_tensor() -> None:
    with pytest.raises(FitError, match="it is no tensor in the file") as caught:
        dotpt.load_into(nn.Linear(2, 2), {"weight": torch.zeros(2, 2), "bias": "none"})
    assert caught.value.report.mismatched[0].why == "it is no tensor in the file"


# -- tied tensors, the meta device ------------------------------------------------------------------------------------


def test_tied_weights_stay_tied_whatever_the_file_holds(tmp_path: Path) -> None:
    source = fill(Tied(), 1)
    whole = source.state_dict()
    part = OrderedDict((key, value) for key, value in whole.items() if key == "embed.weight")
    for number, state in enumerate((whole, part)):
        torch.save(state, tmp_path / f"{number}.pt")
        for options in ({}, {"assign": True}, {"assign": True, "mmap": True}):
            model = Tied()
            report = dotpt.load_into(model, tmp_path / f"{number}.pt", **options)
            assert model.head.weight is model.embed.weight is model.again.weight
            assert torch.equal(model.head.weight, source.head.weight)
            assert report.ok
            assert report.tied == [("embed.weight", "head.weight", "again.weight")]
    assert "head.weight is not in the file; it is the same tensor as embed.weight" in str(report)


def test_two_tensors_for_one_are_told(tmp_path: Path) -> None:
    model, state = Tied(), {name: torch.randn(5, 4) for name in ("embed.weight", "head.weight", "again.weight")}
    expected = copy.deepcopy(model)
    expected.load_state_dict(state)
    torch.save(state, tmp_path / "a.pt")
    report = dotpt.load_into(model, tmp_path / "a.pt")
    same(model, expected)
    assert "3 in the file: again.weight counts" in " ".join(report.notes)


def test_a_model_on_the_meta_device_gets_memory_and_keeps_its_types(saved: Path) -> None:
    with torch.device("meta"):
        model = Net().half()
    model.backbone[0].weight.requires_grad_(False)
    report = dotpt.load_into(model, saved)
    expected = Net().half()
    expected.load_state_dict(torch.load(saved)["state_dict"])
    assert {name: bits(t) for name, t in model.state_dict().items()} == {
        name: bits(t) for name, t in expected.state_dict().items()
    }
    assert not model.backbone[0].weight.requires_grad
    assert model.head.weight.requires_grad
    assert len(report.assigned) == 9
    assert len(report.cast) == 8


def test_ties_on_the_meta_device_are_kept(tmp_path: Path) -> None:
    source = fill(Tied(), 1)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    with torch.device("meta"):
        model = Tied()
    dotpt.load_into(model, tmp_path / "a.pt")
    assert model.head.weight is model.embed.weight
    assert torch.equal(model.head.weight, source.head.weight)


def test_where_the_meta_device_is_the_default(saved: Path) -> None:
    with torch.device("meta"):
        model = Net().double()
        dotpt.load_into(model, saved)
    assert all(tensor.device.type == "cpu" for tensor in model.state_dict().values())
    assert torch.equal(model.head.weight.float(), torch.load(saved)["state_dict"]["head.weight"])


def test_what_stays_on_the_meta_device_is_told(tmp_path: Path) -> None:
    torch.save(Odd().state_dict(), tmp_path / "a.pt")
    report = dotpt.load_into(Odd().to("meta"), tmp_path / "a.pt")
    assert any(note.startswith("gone are still on the meta device") or "gone" in note for note in report.notes)


def test_the_meta_device_and_assign_false(saved: Path) -> None:
    with torch.device("meta"):
        model = Net()
    with pytest.raises(FitError) as caught:
        dotpt.load_into(model, saved, assign=False)
    assert "meta device, without memory" in caught.value.report.mismatched[0].why


def test_tensors_that_were_saved_without_values(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2, device="meta").state_dict(), tmp_path / "a.pt")
    with pytest.raises(FitError, match="2 of another shape") as caught:
        dotpt.load_into(nn.Linear(2, 2), tmp_path / "a.pt")
    assert "saved on the meta device" in caught.value.report.mismatched[0].why


def test_within_inference_mode(saved: Path) -> None:
    model, expected = Net(), Net()
    with torch.inference_mode():
        dotpt.load_into(model, saved)
        expected.load_state_dict(torch.load(saved)["state_dict"])
    same(model, expected)
    with torch.inference_mode():
        frozen = Net()  # its tensors can be changed in inference mode alone, as torch says
        dotpt.load_into(frozen, saved)
    assert torch.equal(frozen.head.weight, expected.head.weight)
    with pytest.raises(FitError, match="InferenceMode"):
        dotpt.load_into(frozen, saved)


def test_a_mapped_model(saved: Path) -> None:
    with torch.device("meta"):
        model = Net()
    report = dotpt.load_into(model, saved, mmap=True)
    assert torch.equal(model.head.weight, torch.load(saved)["state_dict"]["head.weight"])
    assert len(report.assigned) == 9


# -- files ------------------------------------------------------------------------------------------------------------


def test_archives_state_dicts_bytes_and_handles(saved: Path) -> None:
    expected = Net()
    expected.load_state_dict(torch.load(saved)["state_dict"])
    with dotpt.open(saved) as archive, saved.open("rb") as handle:
        for source in (archive, saved.read_bytes(), handle, torch.load(saved), str(saved), copy.deepcopy(expected)):
            model = fill(Net(), 2)
            dotpt.load_into(model, source)
            same(model, expected)
        assert archive["state_dict.head.bias"].numpy().shape == (10,)  # still open, and still of references
        model = fill(Net(), 2)
        dotpt.load_into(model, archive.tree["state_dict"])
        same(model, expected)


@pytest.mark.parametrize("legacy", [True, False])
def test_views_on_one_storage(tmp_path: Path, legacy: bool) -> None:
    flat = torch.randn(1000)
    state = {"weight": flat[100:120].view(4, 5).t(), "bias": flat[7:12]}
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    model, expected = nn.Linear(4, 5), nn.Linear(4, 5)
    dotpt.load_into(model, tmp_path / "a.pt")
    expected.load_state_dict(state)
    same(model, expected)


def test_compressed_records(tmp_path: Path) -> None:
    """What was packed again by somebody: small and large records, straight and cast."""
    from zipfile import ZIP_DEFLATED, ZipFile

    source = fill(nn.Sequential(nn.Linear(4, 4), nn.Linear(200, 300)), 1)
    torch.save(source.state_dict(), tmp_path / "a.pt")
    with ZipFile(tmp_path / "a.pt") as old, ZipFile(tmp_path / "b.pt", "w", ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    for dtype in (torch.float32, torch.float64):
        model = nn.Sequential(nn.Linear(4, 4), nn.Linear(200, 300)).to(dtype)
        dotpt.load_into(model, tmp_path / "b.pt", limits=dotpt.Limits(deflated=True))
        assert all(
            torch.equal(one.to(dtype), other)
            for one, other in zip(source.parameters(), model.parameters(), strict=False)
        )


def test_a_legacy_file(tmp_path: Path) -> None:
    source, model = fill(Net(), 1), fill(Net(), 2)
    torch.save(source.state_dict(), tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    dotpt.load_into(model, tmp_path / "a.pt")
    same(model, source)


def damage(path: Path, name: str) -> None:
    with dotpt.open(path) as archive:
        begin, _ = archive[name].byte_range
    raw = bytearray(path.read_bytes())
    raw[begin] ^= 255
    path.write_bytes(raw)


def test_damage_is_told_and_can_be_found_first(saved: Path) -> None:
    damage(saved, "state_dict.head.bias")
    model = fill(Net(), 2)
    before = everything(model)
    with pytest.raises(ChecksumMismatch):
        dotpt.load_into(model, saved, verify="first")
    assert everything(model) == before
    with pytest.raises(ChecksumMismatch, match="half loaded"):
        dotpt.load_into(model, saved)
    assert dotpt.load_into(model, saved, verify=False).ok


def test_progress_reaches_its_end(saved: Path) -> None:
    for options in ({}, {"assign": True}, {"mmap": True}):
        told: list[tuple[int, int]] = []
        dotpt.load_into(Net().double(), saved, progress=lambda done, of, told=told: told.append((done, of)), **options)
        assert told == sorted(told)
        assert told[-1][0] == told[-1][1] > 0


def test_unknown_extra_state_is_refused(tmp_path: Path) -> None:
    model = Noted()
    model.note = {"what": Path("x"), "object": torch.nn.Linear(2, 2)}
    torch.save(model.state_dict(), tmp_path / "a.pt")
    with pytest.raises(DotptError):
        dotpt.load_into(Noted(), tmp_path / "a.pt")


def test_rules_that_make_tensors(tmp_path: Path) -> None:
    weight = torch.randn(12, 4)
    torch.save({"qkv.weight": weight, "out.weight": torch.eye(4)}, tmp_path / "a.pt")
    model = nn.ModuleDict({name: nn.Linear(4, 4, bias=False) for name in "qkv"} | {"out": nn.Linear(4, 4, bias=False)})
    rules = [{"split": "qkv.weight", "into": ["q.weight", "k.weight", "v.weight"]}]
    report = dotpt.load_into(model, tmp_path / "a.pt", rules=rules)
    assert torch.equal(model["k"].weight, weight[4:8])
    assert {made.name for made in report.converted} == {"q.weight", "k.weight", "v.weight"}
    assert report.ok
    assert "rows" in str(report)


def test_it_takes_no_more_memory_than_a_batch(tmp_path: Path) -> None:
    """The largest piece that is held besides the model is one batch."""
    from dotpt.tensors import reading

    layers = [nn.Linear(1000, 1000) for _ in range(24)]  # 96 MB
    torch.save(nn.Sequential(*layers).state_dict(), tmp_path / "a.pt")
    for dtype, most in ((torch.float32, 1 << 20), (torch.float64, 40 << 20)):
        model = nn.Sequential(*(nn.Linear(1000, 1000, dtype=dtype) for _ in range(24)))
        held, peak = [0], [0]
        allocate = reading.allocate

        def counted(length: int, held: Any = held, peak: Any = peak, allocate: Any = allocate) -> Any:
            import weakref

            memory = allocate(length)
            if length > 1 << 16:
                held[0] += length
                peak[0] = max(peak[0], held[0])
                weakref.finalize(memory.buffer, lambda: held.__setitem__(0, held[0] - length))
            return memory

        gc.collect()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "allocate", counted)
            assert dotpt.load_into(model, tmp_path / "a.pt").ok
        assert peak[0] <= most, peak


def test_without_torch_the_next_step_is_told(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delattr(dotpt.models, "torch_fit", raising=False)
    monkeypatch.delitem(sys.modules, "dotpt.models.torch_fit", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match="torch is not installed"):
        dotpt.load_into(object(), saved)


def test_an_optimizer_is_handed_on(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    model(torch.randn(1, 2)).sum().backward()
    optimizer.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.pt")
    fresh = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    report = dotpt.load_into(fresh, tmp_path / "a.pt", model=model)
    assert report.ok
    assert fresh.param_groups[0]["lr"] == 0.5


# -- what people have -------------------------------------------------------------------------------------------------


def test_a_file_of_a_parallel_model_and_a_compiled_one_either_way_round(tmp_path: Path) -> None:
    plain, parallel, compiled = Net(), nn.DataParallel(Net()), torch.compile(Net(), backend="eager")
    both = torch.compile(nn.DataParallel(Net()), backend="eager")
    models = [plain, parallel, compiled, both]
    for seed, source in enumerate(models):
        torch.save({"model": fill(source, seed).state_dict()}, tmp_path / "a.pt")
        values = [value.clone() for value in source.state_dict().values()]
        for target in models:
            fill(target, 99)
            report = dotpt.load_into(target, tmp_path / "a.pt")
            assert report.ok, report
            assert all(torch.equal(one, other) for one, other in zip(values, target.state_dict().values(), strict=True))
            assert bool(report.renamed) == ([*source.state_dict()] != [*target.state_dict()])


def test_averaged_weights_only_if_asked(tmp_path: Path) -> None:
    model, ema = fill(Net(), 1), fill(Net(), 2)
    torch.save({"model": model.state_dict(), "ema": ema.state_dict(), "epoch": 2}, tmp_path / "a.pt")
    fresh = Net()
    report = dotpt.load_into(fresh, tmp_path / "a.pt")
    assert torch.equal(fresh.head.weight, model.head.weight)
    assert report.role == "weights"
    report = dotpt.load_into(fresh, tmp_path / "a.pt", weights="ema")
    assert torch.equal(fresh.head.weight, ema.head.weight)
    assert report.role == "ema"
    assert "EMA weights" in str(report)
    dotpt.load_into(fresh, tmp_path / "a.pt", weights="model")
    assert torch.equal(fresh.head.weight, model.head.weight)


def test_a_whole_pickled_model_gives_its_weights(tmp_path: Path) -> None:
    model, fresh = fill(Net(), 1), Net()
    torch.save(model, tmp_path / "a.pt")
    assert dotpt.load_into(fresh, tmp_path / "a.pt").ok
    same(fresh, model)


def test_safetensors_and_shards_are_read_as_well(tmp_path: Path) -> None:
    import struct

    model, fresh = nn.Linear(3, 2), nn.Linear(3, 2)
    header, data = {}, b""
    for name, tensor in model.state_dict().items():
        raw = tensor.numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    assert dotpt.load_into(fresh, tmp_path / "a.safetensors").ok
    same(fresh, model)

    torch.save({"weight": model.weight.detach()}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"bias": model.bias.detach()}, tmp_path / "pytorch_model-00002-of-00002.bin")
    index = {"weight": "pytorch_model-00001-of-00002.bin", "bias": "pytorch_model-00002-of-00002.bin"}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    fresh = nn.Linear(3, 2)
    assert dotpt.load_into(fresh, tmp_path / "pytorch_model.bin.index.json").ok
    same(fresh, model)


def test_errors_travel_between_processes(saved: Path) -> None:
    import pickle

    with pytest.raises(FitError) as caught:
        dotpt.load_into(Net(3), saved)
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.report.to_dict() == caught.value.report.to_dict()
