"""Files and folders that other parts of torch and its ecosystem write: sharded models, export, package, DCP."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import torch
from torch import nn

from .checkpoints import network
from .entry import quiet

State = dict[str, torch.Tensor]


def model_state() -> State:
    """The state dict that all of these hold, the same each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(network().state_dict())


def _shards(state: State, count: int = 2) -> list[State]:
    keys = list(state)
    return [{key: state[key] for key in keys[i::count]} for i in range(count)]


def _index(folder: Path, name: str, files: dict[str, State], metadata: bool = True) -> None:
    weight_map = {key: file for file, shard in files.items() for key in sorted(shard)}
    total = sum(tensor.nbytes for shard in files.values() for tensor in shard.values())
    index = {"metadata": {"total_size": total}} if metadata else {}
    text = json.dumps({**index, "weight_map": dict(sorted(weight_map.items()))}, indent=2)
    (folder / name).write_text(text + "\n", encoding="utf-8")


def hf_bin(folder: Path) -> Path:
    """``pytorch_model-0000i-of-0000n.bin`` and their index; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(model_state())
    files = {f"pytorch_model-{i:05}-of-{len(shards):05}.bin": shard for i, shard in enumerate(shards, 1)}
    for name, shard in files.items():
        torch.save(shard, folder / name)
    _index(folder, "pytorch_model.bin.index.json", files)
    return folder


def hf_bin_odd(folder: Path) -> Path:
    """Shards of free names and an index without metadata, as some repositories have them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {f"hf_model_{i:04}_0.pt": shard for i, shard in enumerate(_shards(model_state(), 3), 1)}
    for name, shard in files.items():
        torch.save(shard, folder / name)
    _index(folder, "pytorch_model.bin.index.json", files, metadata=False)
    return folder


def hf_safetensors(folder: Path) -> Path:
    """The same as safetensors; needs that package."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    shards = _shards(model_state())
    files = {f"model-{i:05}-of-{len(shards):05}.safetensors": shard for i, shard in enumerate(shards, 1)}
    for name, shard in files.items():
        save_file(shard, folder / name, metadata={"format": "pt"})
    _index(folder, "model.safetensors.index.json", files)
    return folder


def exported(path: Path) -> Path:
    """A ``.pt2`` by ``torch.export.save``."""

    class Scaled(nn.Module):
        """A layer, a buffer, a constant."""

        def __init__(self) -> None:
            """Make it, small."""
            super().__init__()
            self.linear = nn.Linear(3, 2)
            self.register_buffer("offset", torch.ones(2))
            self.constant = torch.tensor([2.0, 3.0])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            """Apply the layer, add the buffer, multiply by the constant."""
            return (self.linear(x) + self.offset) * self.constant

    with quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        program = torch.export.export(Scaled().eval(), (torch.ones(1, 3),))
        torch.export.save(program, path, extra_files={"note.txt": "hello"})
    return path


def packaged(path: Path) -> Path:
    """A ``torch.package`` with a pickled model, a text and a module of Python."""
    with quiet(), torch.package.PackageExporter(path) as package:
        package.extern(["torch.**", "collections", "sys"])
        package.save_pickle("model", "model.pkl", model_state())
        package.save_text("notes", "readme.txt", "hello")
        package.save_source_string("code.helper", "ANSWER = 42\n")
    return path


def distributed(folder: Path) -> Path:
    """A folder of ``torch.distributed.checkpoint``, written by one process; returns the folder."""
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint import filesystem

    identity = "00000000-0000-4000-8000-000000000000"
    with quiet(), mock.patch.object(filesystem, "_generate_uuid", return_value=identity):
        dcp.save({"model": model_state(), "epoch": 3, "note": "hello"}, checkpoint_id=folder)
    return folder


#: Writers by name; each takes the path to write to, a file or a folder, and returns it.
FOLDERS: dict[str, Callable[[Path], Path]] = {
    "hf_bin": hf_bin,
    "hf_bin_odd": hf_bin_odd,
    "hf_safetensors": hf_safetensors,
    "exported": exported,
    "packaged": packaged,
    "distributed": distributed,
}
