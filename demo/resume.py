"""A real training run that is killed with SIGKILL at random moments, also inside saves, and resumed each time.

In the end it has the weights and the optimizer of the run that nobody disturbed, bit for bit. A child is forked for
each life of a run, so that torch is imported once. Every second kill waits at its moment for the next save to begin.
"""

from __future__ import annotations

import argparse
import gzip
import os
import random
import signal
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import dotpt
from dotpt.training import Best, EverySteps, Latest

EPOCHS, SAVE_EVERY = 3, 3
_PAUSE = 0.002  # seconds between two looks whether a child has ended
_SAVE = 0.004  # seconds that a save takes, roughly
Data = tuple[torch.Tensor, torch.Tensor]


def digits() -> Data:
    """The 1797 handwritten digits that scikit-learn ships, from its file: 8 x 8 pixels each, and what they are."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        sys.exit("scikit-learn is not installed: its digits are what is learned. Try: make resume")
    with gzip.open(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", "rt") as file:
        table = torch.from_numpy(np.loadtxt(file, delimiter=",", dtype=np.float32))
    return table[:, :-1].reshape(-1, 1, 8, 8) / 16, table[:, -1].long()


class Shifted(torch.utils.data.Dataset[Any]):
    """The digits, each time a bit elsewhere, and with some noise: three generators are drawn from."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, number: int) -> Data:
        shift = (random.randint(-1, 1), int(np.random.randint(-1, 2)))
        image = torch.roll(self.images[number], shift, (1, 2))
        return image + 0.05 * torch.randn_like(image), self.labels[number]


def make_model() -> nn.Module:
    """A small convolutional net, with buffers and with dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.3), nn.Linear(128, 10),
    )  # fmt: skip


def train(folder: Path, out: Path, images: torch.Tensor, labels: torch.Tensor) -> None:
    """What a user writes. It says nothing of resuming: `epochs` and `batches` go on where the last life ended."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loader = torch.utils.data.DataLoader(Shifted(images, labels), batch_size=64, shuffle=True)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=EPOCHS * len(loader))
    save, keep = EverySteps(SAVE_EVERY), Latest(2) | Best(1, "loss")
    with dotpt.Checkpointer(
        folder, model=model, optimizer=optimizer, scheduler=scheduler, loader=loader, save=save, keep=keep, quiet=True
    ) as ckpt:
        for _ in ckpt.epochs(EPOCHS):
            for inputs, targets in ckpt.batches(loader):
                loss = nn.functional.cross_entropy(model(inputs), targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
                ckpt.step(loss=loss)
    model.eval()
    right = (model(images).argmax(1) == labels).float().mean().item()
    dotpt.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "right": right}, out)


def start(folder: Path, out: Path, images: torch.Tensor, labels: torch.Tensor) -> int:
    """A life of a run, in a child; its process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        train(folder, out, images, labels)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what is the parent's is not to be cleared away by the child


@dataclass
class Count:
    """What was seen."""

    kills: int = 0
    inside: int = 0  # of these, while a file was being written
    runs: int = 0
    verified: int = 0


def killed_again_and_again(where: Path, wanted: int, longest: float, chance: random.Random, data: Data) -> Count:
    """Runs that are killed until there are so many kills; the last one then lives to its end."""
    count = Count()
    reference = (where / "undisturbed.pt").read_bytes()
    while count.kills < wanted:
        folder, out = where / f"run-{count.runs}", where / f"run-{count.runs}.pt"
        while not out.exists():
            before = half_written(folder)
            child = start(folder, out, *data)
            if count.kills == wanted:
                ended_by_itself(child, 3600)
            elif killed(child, chance.uniform(0, longest), folder if count.kills % 2 else None, chance):
                count.kills += 1
                count.inside += not half_written(folder) <= before
                if count.kills % 20 == 0:
                    print(f"  {count.kills} kills, {count.inside} of them inside a save", flush=True)
            count.verified += check(folder)
        if out.read_bytes() != reference:
            sys.exit(f"Run {count.runs} did not end as the undisturbed one.")
        count.runs += 1
    return count


def killed(child: int, moment: float, saving_to: Path | None, chance: random.Random) -> bool:
    """Kill a child after ``moment`` seconds, or in the midst of the next save into a folder; False if it was done."""
    if ended_by_itself(child, moment):
        return False
    if saving_to:
        before = half_written(saving_to)
        while half_written(saving_to) <= before:
            if ended_by_itself(child, 0):
                return False
        time.sleep(chance.uniform(0, _SAVE))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])  # it may have come to its end in the meantime


def half_written(folder: Path) -> set[Path]:
    """The files that a save has begun, beside the checkpoints; of a killed save they stay until the next takes them."""
    return set(folder.glob(".step-*"))


def ended_by_itself(child: int, seconds: float) -> bool:
    """Wait so long for a child."""
    deadline = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            if status:
                sys.exit(f"The training failed: {os.waitstatus_to_exitcode(status)}")
            return True
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(left, _PAUSE))


def check(folder: Path) -> int:
    """Verify every checkpoint that there is: no kill may leave a damaged one."""
    paths = sorted(folder.glob("step-*.pt"))
    for path in paths:
        if not dotpt.verify(path).ok:
            sys.exit(f"{path.name} is damaged.")
    return len(paths)


def import_all(where: Path) -> None:
    """Do a bit of everything, so that a child has nothing left to import. Without gradients: those start threads."""
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    with dotpt.Checkpointer(where, model=model, optimizer=optimizer, quiet=True) as ckpt:
        ckpt.save(1)
        ckpt.restore()


def main() -> None:
    """Train undisturbed, then killed, and compare."""
    parser = argparse.ArgumentParser(prog="python -m demo.resume", description=str(__doc__).splitlines()[0])
    parser.add_argument("--kills", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, help="of the random moments")
    wishes = parser.parse_args()
    warnings.simplefilter("error")  # a checkpoint that is passed over would only be warned of
    torch.set_num_threads(1)
    data = digits()
    chance = random.Random(wishes.seed)
    with tempfile.TemporaryDirectory(prefix="dotpt-resume-") as desk:
        where = Path(desk)
        import_all(where / "first")
        began = time.monotonic()
        ended_by_itself(start(where / "undisturbed", where / "undisturbed.pt", *data), 3600)
        took = time.monotonic() - began
        right = dotpt.load(where / "undisturbed.pt")["right"]
        steps = max(int(path.stem.split("-")[1]) for path in (where / "undisturbed").glob("step-*.pt"))
        print(f"A convolutional net learns {len(data[1])} handwritten digits, {right:.0%} of them.")
        print(f"{steps} steps, a checkpoint every {SAVE_EVERY}; undisturbed, that takes {took:.1f} s.", flush=True)
        count = killed_again_and_again(where, wishes.kills, took / 4, chance, data)
    print(f"{count.kills} kills at random moments, {count.inside} of them inside a save, in {count.runs} runs.")
    print(f"After each, every checkpoint was verified ({count.verified} times): none was ever damaged.")
    print("Every run ended with the weights and the optimizer of the undisturbed one, bit for bit.")


if __name__ == "__main__":
    main()
