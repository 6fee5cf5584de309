"""A training script as people write them. It knows nothing of dotpt.

    train.py FOLDER [--kill-after STEPS]

It saves a checkpoint after every epoch and resumes from it, and writes the trained model at the end.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
from pathlib import Path

import torch
from torch import load, nn, save

EPOCHS, STEPS = 5, 8

parser = argparse.ArgumentParser()
parser.add_argument("folder", type=Path)
parser.add_argument("--kill-after", type=int, default=None)
args = parser.parse_args()

torch.manual_seed(7)
torch.set_num_threads(1)
random.seed(7)
convolution = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
model = nn.Sequential(convolution, nn.Flatten(), nn.Dropout(0.2), nn.Linear(288, 4))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
first, taken, history = 0, 0, []

checkpoint = args.folder / "checkpoint.pt"
if checkpoint.exists():
    state = load(checkpoint, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    torch.set_rng_state(state["rng"])
    version, internal, gauss = state["random"]
    random.setstate((version, tuple(internal), gauss))
    first, history = state["epoch"] + 1, state["history"]
    print(f"resumed at epoch {first}", flush=True)

for epoch in range(first, EPOCHS):
    for _ in range(STEPS):
        images = torch.randn(16, 1, 8, 8) * random.random()
        labels = torch.randint(0, 4, (16,))
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        taken += 1
        if taken == args.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)
    scheduler.step()
    history.append(loss.item())
    save(
        {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "scheduler": scheduler.state_dict(),
            "rng": torch.get_rng_state(),
            "random": random.getstate(),
            "epoch": epoch,
            "history": history,
        },
        checkpoint,
    )
    print(f"saved epoch {epoch}", flush=True)

torch.save(model, args.folder / "model.pt")
torch.save({"parameters": model.state_dict(), "history": history}, args.folder / "final.pt")
