"""Runs to look at: folders as `dotpt.Checkpointer` and as other libraries leave them, made without torch."""

from __future__ import annotations

import json
import math
import os
import struct
from pathlib import Path

import numpy as np

import dotpt
from dotpt.training.folder import name_of, note_of
from dotpt.training.history import History
from dotpt.training.moments import Stored

LOSSES = (0.9, 0.5, 0.3, 0.4, 0.6)


def save(folder, step, sequence, metrics, *, run=None, tree=None, epoch=0):
    """One checkpoint, as the Checkpointer writes it, and the line of the journal."""
    history = History(folder)
    stored = Stored(step, sequence, epoch, 10.0 * sequence, metrics)
    saved = f"2026-11-22T20:{sequence % 60:02d}:00Z"
    tree = {"step": step, "metrics": metrics, "model_state_dict": {"w": np.full(4, step, np.float32)}} | (tree or {})
    path = folder / name_of(step)
    dotpt.save(tree, path, metadata=note_of(stored, history.run if run is None else run, saved), durable=False)
    if run is None:
        history.note("save", path=path.name, saved=saved, sequence=sequence, step=step, metrics=metrics, deleted=[])
    return path


def ours(folder, losses=LOSSES):
    """A run with a checkpoint every 100 steps."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, loss in enumerate(losses, 1):
        save(folder, 100 * number, number, {"loss": loss / 2, "val_loss": loss}, epoch=number // 2)
    return folder


def damage(path, at=None):
    """Change a byte of the largest tensor, which no directory and no note tells of."""
    with dotpt.open(path) as archive:
        begin, _ = max((ref.byte_range for ref in archive.tensors.values()), key=lambda pair: pair[1] - pair[0])
    at = begin if at is None else at
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def cut(path):
    """Leave half of a file, as a full disk or a kill would."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def safetensors(path, tensors):
    """A file of the safetensors format."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, array in tensors.items():
        place = [len(content), len(content) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": place}
        content += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)


def trainer(folder, steps=(10, 20, 30), *, best=20, metric="eval_loss"):
    """The output folder of Hugging Face's Trainer, as transformers 5.23 leaves it."""
    history = []
    for number, step in enumerate(steps):
        value = 0.1 if step == best else 0.5 + number
        history += [
            {"epoch": step / 16, "grad_norm": 1.5, "learning_rate": 0.1, "loss": 2.0 - number, "step": step},
            {"epoch": step / 16, metric: value, "eval_runtime": 0.001, "eval_samples_per_second": 3e4, "step": step},
        ]
        path = folder / f"checkpoint-{step}"
        path.mkdir(parents=True)
        safetensors(path / "model.safetensors", {"net.weight": np.full((1, 4), step, np.float32)})
        (path / "config.json").write_text("{}")
        dotpt.save({"state": {}, "param_groups": []}, path / "optimizer.pt")
        dotpt.save({"last_epoch": step}, path / "scheduler.pt")
        dotpt.save({"cpu": np.zeros(8, np.uint8)}, path / "rng_state.pth")
        dotpt.save({"args": 1}, path / "training_args.bin")
        state = {
            "best_global_step": best if step >= best else None,
            "best_metric": 0.1 if step >= best else None,
            "best_model_checkpoint": f"{folder}/checkpoint-{best}" if step >= best else None,
            "epoch": step / 16, "global_step": step, "log_history": history, "is_world_process_zero": True,
        }  # fmt: skip
        (path / "trainer_state.json").write_text(json.dumps(state, indent=2, sort_keys=True))
    return folder


def accelerate(folder, names=("checkpoints/checkpoint_0", "checkpoints/checkpoint_1", "checkpoints/checkpoint_10")):
    """An Accelerate project, as accelerate 1.15 leaves it."""
    for number, name in enumerate(names):
        path = folder / name
        path.mkdir(parents=True)
        safetensors(path / "model.safetensors", {"weight": np.full((1, 4), number, np.float32)})
        dotpt.save({"state": {}, "param_groups": []}, path / "optimizer.bin")
        dotpt.save({"last_epoch": number}, path / "scheduler.bin")
        dotpt.save({"step": 0, "torch_manual_seed": np.zeros(8, np.uint8)}, path / "random_states_0.pkl")
        os.utime(path, (1_700_000_000 + number,) * 2)
    return folder


def lightning(folder, names, *, rows=(), version=0):
    """A version of a Lightning project, as Lightning 2.6 leaves it: names by epoch, 8 steps in each."""
    place = folder / f"lightning_logs/version_{version}"
    (place / "checkpoints").mkdir(parents=True)
    (place / "hparams.yaml").write_text("width: 8\n")
    if rows:
        (place / "metrics.csv").write_text("epoch,step,train_loss,val_loss\n" + "\n".join(rows) + "\n")
    for epoch, name in names:
        path = place / "checkpoints" / name
        path.parent.mkdir(exist_ok=True)
        tree = {"epoch": epoch, "global_step": 8 * (epoch + 1), "pytorch-lightning_version": "2.6.6", "loops": {}}
        dotpt.save(tree | {"state_dict": {"net.weight": np.full(4, epoch, np.float32)}}, path)
    return place


def names(listing):
    """The checkpoints by name, in the order of saving."""
    return [listing.name_of(entry) for entry in listing.entries]


def is_nan(value):
    return isinstance(value, float) and math.isnan(value)


def files_in(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
