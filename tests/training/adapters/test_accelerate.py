"""Accelerate's states, saved and loaded through us, against Accelerate itself."""

from __future__ import annotations

import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")
from accelerate import Accelerator  # noqa: E402
from accelerate.utils import ProjectConfiguration  # noqa: E402

import dotpt  # noqa: E402
from dotpt.errors import ContainerError, NoCheckpoint, UsageError  # noqa: E402
from dotpt.training import latest_whole  # noqa: E402
from dotpt.training.adapters.accelerate import load_state, save_state  # noqa: E402
from dotpt.training.finding import DamagedCheckpoint  # noqa: E402
from dotpt.training.layouts import listing_of  # noqa: E402
from dotpt.training.listing import why_not_whole  # noqa: E402
from dotpt.training.seal import SEAL  # noqa: E402
from tests.training.runs import names  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.managers]


def run(folder, steps, *, seed=0):
    """Train from where the folder stands, with a checkpoint every second step."""
    configuration = ProjectConfiguration(project_dir=str(folder), automatic_checkpoint_naming=True)
    accelerator = Accelerator(cpu=True, project_config=configuration)
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5), torch.nn.Linear(4, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    found = load_state(accelerator)
    begin = 0 if found is None else 2 * (1 + int(found.name.removeprefix("checkpoint_")))
    for step in range(begin, steps):
        loss = model(torch.randn(8, 3)).square().mean()
        accelerator.backward(loss)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if step % 2:
            save_state(accelerator)
    return {name: value.clone() for name, value in accelerator.unwrap_model(model).state_dict().items()}


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_goes_on_bit_for_bit_and_is_numbered_on(tmp_path):
    whole = run(tmp_path / "whole", 8)
    run(tmp_path / "cut", 4)
    assert equal(run(tmp_path / "cut", 8, seed=1), whole)
    for folder in ("whole", "cut"):
        listing = listing_of(tmp_path / folder)
        assert listing.layout == "Accelerate"
        assert names(listing) == [f"checkpoint_{n}" for n in range(4)]
        assert not any(why_not_whole(entry) for entry in listing.entries)
    state = dotpt.verify(tmp_path / "cut/checkpoints/checkpoint_3/optimizer.bin")
    assert state.ok
    assert state.hashed


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl"])
def test_a_changed_byte_in_any_file_is_seen_and_passed_over(tmp_path, name):
    whole = run(tmp_path / "whole", 6)
    run(tmp_path / "cut", 4)
    path = tmp_path / "cut/checkpoints/checkpoint_1" / name
    content = bytearray(path.read_bytes())
    content[-1 if name == "model.safetensors" else len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(DamagedCheckpoint, match="checkpoint_1 is passed over"):
        assert latest_whole(tmp_path / "cut").name == "checkpoint_0"
    with pytest.warns(DamagedCheckpoint, match="checkpoint_1 is passed over"):
        again = run_beside(tmp_path / "cut", 6)
    assert equal(again, whole)


def run_beside(folder, steps):
    """Go on; the numbers continue behind the damaged one, which stays."""
    result = run(folder, steps, seed=1)
    assert names(listing_of(folder)) == ["checkpoint_0", "checkpoint_1", "checkpoint_2", "checkpoint_3"]
    return result


def test_none_yet_none_whole_and_no_project(tmp_path):
    accelerator = Accelerator(cpu=True)
    assert load_state(accelerator, tmp_path / "none") is None
    with pytest.raises(UsageError, match="no project folder"):
        load_state(accelerator)
    folder = save_state(accelerator, tmp_path / "step_1", durable=False)
    assert load_state(accelerator, folder) == folder
    (folder / "random_states_0.pkl").write_bytes(b"")
    with pytest.warns(DamagedCheckpoint), pytest.raises(NoCheckpoint, match="whole"):
        load_state(accelerator, tmp_path)


def test_what_is_not_whole_is_not_sealed(tmp_path):
    accelerator = Accelerator(cpu=True)
    hook = accelerator.register_save_state_pre_hook(lambda m, w, folder: (tmp_path / "x/other.pt").write_bytes(b"PK"))
    with pytest.raises(ContainerError, match=r"not saved whole\. other\.pt"):
        save_state(accelerator, tmp_path / "x")
    assert not (tmp_path / "x" / SEAL).exists()
    hook.remove()


def test_a_seal_that_is_not_ours_says_nothing(tmp_path):
    folder = save_state(Accelerator(cpu=True), tmp_path / "x")
    for text in ("", "[]", '{"files": {"../y": {"bytes": 1}}}', '{"files": {"a": 1}}', "[" * 100_000):
        (folder / SEAL).write_text(text)
        assert why_not_whole(listing_of(folder).entries[0]) == ""
    (folder / SEAL).write_text(json.dumps({"files": {"gone.bin": {"bytes": 1, "xxh3_128": ""}}}))
    assert why_not_whole(listing_of(folder).entries[0]) == "gone.bin is missing."
