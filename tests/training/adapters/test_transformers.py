"""transformers' Trainer with our callback."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments  # noqa: E402

import dotpt  # noqa: E402
from dotpt.errors import ContainerError  # noqa: E402
from dotpt.training import latest_whole  # noqa: E402
from dotpt.training.adapters import transformers as adapter  # noqa: E402
from dotpt.training.finding import DamagedCheckpoint  # noqa: E402
from dotpt.training.layouts import listing_of  # noqa: E402
from dotpt.training.listing import why_not_whole  # noqa: E402
from dotpt.training.seal import SEAL  # noqa: E402
from tests.training.runs import names  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.managers]


class Words(torch.utils.data.Dataset):
    """Sixteen sentences of five words."""

    def __len__(self):
        return 16

    def __getitem__(self, number):
        return {"input_ids": torch.arange(5) + number, "labels": number % 2}


def train(folder, steps, *, resume=True, callback=None, **arguments):
    """Train from where the folder stands, with a checkpoint every second step."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=8,
    )  # fmt: skip
    trainer = Trainer(
        BertForSequenceClassification(config),
        TrainingArguments(
            str(folder), max_steps=steps, save_steps=2, logging_steps=1, per_device_train_batch_size=4, seed=7,
            use_cpu=True, report_to=[], disable_tqdm=True, dataloader_pin_memory=False, lr_scheduler_type="constant",
            **arguments,
        ),
        train_dataset=Words(),
        callbacks=[callback or adapter.DotptCallback()],
    )  # fmt: skip
    trainer.train(resume_from_checkpoint=latest_whole(folder) if resume else None)
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights after eight steps that nothing interrupted."""
    return train(tmp_path_factory.mktemp("whole"), 8)


def equal(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_goes_on_bit_for_bit_and_is_listed(tmp_path, undisturbed):
    theirs = torch.save
    train(tmp_path, 4)
    assert torch.save is theirs
    assert equal(undisturbed, train(tmp_path, 8))
    listing = listing_of(tmp_path)
    assert (listing.layout, names(listing)) == ("Trainer", [f"checkpoint-{n}" for n in (2, 4, 6, 8)])
    assert not any(why_not_whole(entry) for entry in listing.entries)
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        assert dotpt.verify(tmp_path / "checkpoint-8" / name).writer  # ours: it has a manifest


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.pt", "trainer_state.json", "rng_state.pth"])
def test_a_changed_byte_in_any_file_is_seen_and_passed_over(tmp_path, undisturbed, name):
    train(tmp_path, 4)
    path = tmp_path / "checkpoint-4" / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.warns(DamagedCheckpoint, match="checkpoint-4 is passed over"):
        assert equal(undisturbed, train(tmp_path, 8))


def test_the_trainers_own_rotation_goes_on(tmp_path):
    train(tmp_path, 8, save_total_limit=2)
    assert names(listing_of(tmp_path)) == ["checkpoint-6", "checkpoint-8"]
    assert all((tmp_path / name / SEAL).exists() for name in ("checkpoint-6", "checkpoint-8"))


def test_what_is_not_whole_stops_the_training_and_is_not_sealed(tmp_path):
    class Breaks(adapter.DotptCallback):
        def on_save(self, args, state, control, **more):
            path = tmp_path / "checkpoint-2/model.safetensors"
            path.write_bytes(path.read_bytes()[:-9])
            super().on_save(args, state, control, **more)

    callback = Breaks(durable=False)
    with pytest.raises(ContainerError, match=r"not saved whole\. model\.safetensors"):
        train(tmp_path, 4, callback=callback)
    assert not (tmp_path / "checkpoint-2" / SEAL).exists()
    callback.close()
    callback.close()
