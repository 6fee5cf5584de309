"""`dotpt.inspect` on real files of the corpus: what they are, whose they are, and how they are loaded."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import dotpt
from dotpt.inspect.kinds import KINDS
from dotpt.inspect.report import Report
from dotpt.inspect.roles import ROLES

FIXTURES = Path(__file__).parents[1] / "corpus" / "fixtures"


def inspect(name: str) -> Report:
    return dotpt.inspect(FIXTURES / name)


def all_fixtures() -> list[str]:
    index = json.loads((FIXTURES / "index.json").read_text())
    unsupported = ("exported", "packaged", "distributed")
    return [name for name in index["files"] if not any(word in name for word in unsupported)]


@pytest.mark.parametrize(
    ("name", "kind", "certainty"),
    [
        ("zip/state_dict.pt", "state dict", "CONFIRMED"),
        ("legacy/state_dict.pt", "state dict", "CONFIRMED"),
        ("gzip_zip/shared_many.pt", "object with tensors", "INFERRED"),
        ("zip/state_dict_compiled.pt", "state dict", "INFERRED"),
        ("other/tar.pt", "state dict", "INFERRED"),
        ("other/hf_bin", "state dict", "CONFIRMED"),
        ("other/hf_safetensors", "state dict", "CONFIRMED"),
        ("other/hf_safetensors/model-00001-of-00002.safetensors", "state dict", "CONFIRMED"),
        ("zip/checkpoint_tutorial.pt", "checkpoint", "INFERRED"),
        ("zip/checkpoint_lightning.pt", "checkpoint", "INFERRED"),
        ("zip/checkpoint_ultralytics.pt", "checkpoint", "INFERRED"),
        ("zip/checkpoint_hf_trainer.pt", "checkpoint", "INFERRED"),
        ("zip/module.pt", "whole module", "CONFIRMED"),
        ("zip/module_custom.pt", "whole module", "CONFIRMED"),
        ("other/script.pt", "TorchScript", "CONFIRMED"),
        ("other/lite.ptl", "TorchScript (lite)", "CONFIRMED"),
        ("zip/optimizer_sgd.pt", "optimizer state", "CONFIRMED"),
        ("zip/grad_scaler.pt", "scaler state", "INFERRED"),
        ("zip/rng_states.pt", "RNG state", "INFERRED"),
        ("zip/generator.pt", "RNG state", "CONFIRMED"),
        ("zip/quantized_tensor_qint8.pt", "tensor", "CONFIRMED"),
        ("zip/shared_views.pt", "dictionary of tensors", "INFERRED"),
        ("zip/storage_typed.pt", "storage", "CONFIRMED"),
        ("zip/numbers.pt", "plain data", "CONFIRMED"),
    ],
)
def test_kind(name: str, kind: str, certainty: str) -> None:
    claim = inspect(name).kind
    assert (claim.value, claim.certainty) == (kind, certainty)


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("zip/state_dict.pt", "torch 2.7 or newer"),
        ("as_torch_2_6/state_dict.pt", "torch 2.1 to 2.6"),
        ("as_torch_2_1/dtype_float8_e5m2.pt", "torch 2.3 to 2.6"),
        ("as_torch_2_0/state_dict.pt", "torch 1.6 to 2.0"),
        ("as_torch_1_6/state_dict.pt", "torch 1.6 to 2.0"),
        ("as_torch_1_4/state_dict.pt", "torch 1.5"),
        ("legacy/state_dict.pt", "torch 0.4 to 1.5, or a newer one asked for the old format"),
        ("legacy/dtype_float8_e5m2.pt", "torch 2.3 or newer, asked for the old format"),
        ("other/legacy_0_3.pt", "torch 0.1.10 to 0.3"),
        ("other/legacy_0_3_views.pt", "torch 0.1.10 to 0.3"),
        ("other/legacy_0_3_python2.pt", "torch 0.1.10 to 0.3, on Python 2"),
        ("other/tar.pt", "torch 0.1.9 or older"),
        ("other/script.pt", "torch 2.1 or newer (torch.jit.save)"),
        ("other/hf_safetensors", "safetensors, for PyTorch"),
    ],
)
def test_writer(name: str, writer: str) -> None:
    claim = inspect(name).writer
    assert (claim.value, claim.certainty) == (writer, "INFERRED")


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("zip/checkpoint_lightning.pt", "Lightning 2.6.6"),
        ("zip/checkpoint_ultralytics.pt", "Ultralytics 8.3.0"),
        ("zip/checkpoint_hf_trainer.pt", "Hugging Face transformers"),
        ("zip/checkpoint_tutorial.pt", "unknown"),
    ],
)
def test_framework(name: str, library: str) -> None:
    assert inspect(name).framework.value == library


def test_roles_of_a_checkpoint() -> None:
    report = inspect("zip/checkpoint_tutorial.pt")
    roles = {part.role: part for part in report.roles}
    assert list(roles) == ["progress", "weights", "optimizer", "loss"]
    assert roles["progress"].value == 5
    assert (roles["weights"].address, roles["weights"].tensors, roles["weights"].params) == ("model_state_dict", 9, 214)
    assert report.weights == "model_state_dict"
    assert report.params == 214
    assert sum(part.bytes for part in report.roles) == report.tensors.bytes
    assert report.optimizer is not None
    assert report.optimizer.value == "AdamW"


def test_tied_weights_count_once() -> None:
    report = inspect("zip/checkpoint_hf_trainer.pt")
    assert report.waste.tied == [("pytorch_model.bin.embed.weight", "pytorch_model.bin.head.weight")]
    assert report.tensors.params < sum(ref.numel for ref in report.archive.tensors.values())


@pytest.mark.parametrize(
    ("name", "prefix", "certain"),
    [
        ("zip/state_dict_data_parallel.pt", "module.", True),
        ("zip/state_dict_compiled.pt", "_orig_mod.", True),
        ("zip/state_dict_ddp_compiled.pt", "module._orig_mod.", True),
        ("zip/ema.pt", "module.", True),
        ("zip/checkpoint_lightning.pt", "model.", False),
    ],
)
def test_prefix(name: str, prefix: str, certain: bool) -> None:
    report = inspect(name)
    assert [(found.prefix, found.certain) for found in report.prefixes] == [(prefix, certain)]
    assert any(prefix in line for line in report.usage)


@pytest.mark.parametrize("name", ["other/hf_bin", *all_fixtures()])
def test_every_fixture_has_a_whole_report(name: str) -> None:
    limits = dotpt.Limits(deflated=True) if "deflated" in name else dotpt.Limits()
    report = dotpt.inspect(FIXTURES / name, limits=limits)
    assert not report.damaged
    assert report.error is None
    assert report.kind.value in KINDS
    assert {part.role for part in report.roles} <= set(ROLES)
    assert report.usage
    facts = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert facts["schema"] == "dotpt.inspect/1"
    assert facts["tensors"]["count"] == len(report.archive.tensors)
    assert str(report)
    assert report._repr_html_().count("<table") == report._repr_html_().count("</table>")
    ast.parse("\n".join(report.usage))


def test_usage_runs(tmp_path: Path) -> None:
    """The lines are what torch takes, for the kinds that torch can load."""
    torch = pytest.importorskip("torch")
    for name in ("zip/checkpoint_tutorial.pt", "zip/state_dict_ddp_compiled.pt", "zip/ema.pt", "other/legacy_0_3.pt"):
        loaded: list[object] = []
        model = type("Model", (), {"load_state_dict": lambda self, state: loaded.append(state)})()
        names = {"model": model, "optimizer": model}
        exec("\n".join(inspect(name).usage), names)  # what a user would do with them
        state = loaded[0]
        assert state
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        assert not any(key.startswith(("module.", "_orig_mod.")) for key in state)


def test_inspect_of_an_open_archive_leaves_it_open() -> None:
    with dotpt.open(FIXTURES / "zip/state_dict.pt") as archive:
        assert archive.inspect().tensors.count == 9
        assert archive["0.bias"].numpy().shape == (4,)
        assert archive.writer.value == "torch 2.7 or newer"
        assert "state dict" in archive._repr_html_()


def test_inspect_is_the_verb_also_after_its_room_was_imported() -> None:
    from dotpt.inspect import claims

    assert claims.Claim("a", "CONFIRMED", "b").known
    assert callable(dotpt.inspect)


def test_sources_of_every_kind() -> None:
    data = (FIXTURES / "zip/state_dict.pt").read_bytes()
    assert dotpt.inspect(data).tensors.count == 9
    with (FIXTURES / "zip/state_dict.pt").open("rb") as stream:
        assert dotpt.inspect(stream).tensors.count == 9
        assert stream.tell() == 0
    assert dotpt.inspect(FIXTURES / "other/hf_bin/pytorch_model.bin.index.json").format == "sharded"


def test_a_file_of_its_own_name_is_not_called_renamed() -> None:
    notes = dotpt.inspect(FIXTURES / "zip/state_dict.pt").notes
    assert not any("renamed" in note for note in notes)


def test_no_tensor_library_is_imported() -> None:
    """A plain inspect costs neither numpy nor torch."""
    import subprocess
    import sys

    path = FIXTURES / "zip/checkpoint_tutorial.pt"
    code = f"import dotpt, sys; str(dotpt.inspect({str(path)!r})); print({{'numpy', 'torch'}} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
