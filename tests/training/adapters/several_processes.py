"""The adapters on two processes: ``torchrun --nproc-per-node 2 -m tests....several_processes FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from torch.utils.data import DataLoader, TensorDataset

from dotpt.training.adapters.accelerate import load_state, save_state
from dotpt.training.adapters.lightning import DotptCallback
from tests.training.adapters.test_transformers import train


def accelerate(folder: str) -> str:
    """Two saves, the newer one damaged by the first process, and what each process loads then."""
    configuration = ProjectConfiguration(project_dir=folder, automatic_checkpoint_naming=True)
    accelerator = Accelerator(cpu=True, project_config=configuration)
    model = torch.nn.Linear(3, 1)
    loader = DataLoader(TensorDataset(torch.randn(8, 3)), batch_size=2)
    model, loader, optimizer = accelerator.prepare(model, loader, torch.optim.Adam(model.parameters()))
    for _ in range(2):
        for (batch,) in loader:
            accelerator.backward(model(batch).sum())
            optimizer.step()
        last = save_state(accelerator)
    if accelerator.is_main_process:
        path = last / "random_states_1.pkl"
        path.write_bytes(path.read_bytes()[:-7])
    accelerator.wait_for_everyone()
    return f"{accelerator.process_index} {load_state(accelerator).name}"


def random_states_of_each(rank: int) -> None:
    """Lightning writes what the first process has; each must get its own states out of it."""
    torch.manual_seed(rank)
    state = DotptCallback().state_dict()
    drawn = torch.rand(3)
    torch.distributed.broadcast_object_list(box := [state], src=0)
    torch.manual_seed(9)
    DotptCallback().load_state_dict(box[0])
    assert torch.equal(drawn, torch.rand(3))
    DotptCallback().load_state_dict({"random": box[0]["random"][:1]})  # of one process: nothing is set
    assert not torch.equal(drawn, torch.rand(3))


if __name__ == "__main__":
    said = accelerate(f"{sys.argv[1]}/accelerate")
    random_states_of_each(int(said[0]))
    train(f"{sys.argv[1]}/trainer", 2, ddp_backend="gloo")
    weights = train(f"{sys.argv[1]}/trainer", 4, ddp_backend="gloo")
    total = sum(value.double().sum().item() for value in weights.values())
    Path(f"{sys.argv[1]}/said-{said[0]}").write_text(f"{said[2:]} {total}")
    torch.distributed.destroy_process_group()
