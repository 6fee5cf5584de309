"""A Lightning training that can be killed: ``python -m tests.training.adapters.lightning_run FOLDER EPOCHS OUT``."""

from __future__ import annotations

import os
import signal
import sys
import warnings

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from dotpt.training import latest_whole
from dotpt.training.adapters.lightning import DotptCallback, DotptCheckpointIO


class Net(pl.LightningModule):
    """With dropout, a scheduler and shuffled data: what random states are for."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = torch.nn.Sequential(torch.nn.Linear(3, width), torch.nn.Dropout(0.5), torch.nn.Linear(width, 1))

    def training_step(self, batch, number):
        loss = self.net(batch[0]).square().mean()
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=0.1)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.9)]

    def train_dataloader(self):
        values = torch.arange(48, dtype=torch.float32).reshape(16, 3) / 48
        return DataLoader(TensorDataset(values), batch_size=4, shuffle=True)


class Kill(pl.Callback):
    """SIGKILL at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, module, outputs, batch, number):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def train(folder, epochs, *, io=None, random=True, kill=0, callbacks=(), resume=True, logger=False, **keeping):
    """Fit from where the folder stands; the trainer and the module."""
    torch.manual_seed(0)
    io = io or DotptCheckpointIO()
    saving = ModelCheckpoint(folder, filename="{epoch}-{step}", **(keeping or {"save_top_k": -1}))
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        devices=1,
        plugins=[io],
        callbacks=[saving, DotptCallback(random=random), Kill(kill), *callbacks],
        logger=logger,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )
    module = Net()
    trainer.fit(module, ckpt_path=latest_whole(folder) if resume else None)
    return trainer, module


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # what the library says of small models and few workers
    _, finished = train(sys.argv[1], int(sys.argv[2]), kill=int(sys.argv[4]))
    torch.save(finished.state_dict(), sys.argv[3])
