"""The live side of a run: everything that a checkpoint holds, taken from the objects and given back to them.

The file is one dict of plain values::

    step  epoch  loss  metrics  config  model_state_dict  optimizer_state_dict  <name>_state_dict ...
    random_state  data_state  world_size  ranks

``loss`` is there if it was measured, ``ranks`` (the random states and positions of each process) if there are several.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch

import dotpt
from dotpt.archive.archive import open as open_archive
from dotpt.formats.draft import Link
from dotpt.models.load_into import load_into
from dotpt.models.torch_optimizer import load_optimizer
from dotpt.saving.unchanged import Base
from dotpt.training import torch_ranks
from dotpt.training.restored import Restored
from dotpt.training.torch_parts import SUFFIX, Parts
from dotpt.training.torch_plain import plain
from dotpt.training.torch_positions import Positions
from dotpt.training.torch_random import random_states, restore_random
from dotpt.training.torch_snapshot import Staging
from dotpt.training.torch_unchanged import held_by


class Run:
    """The objects of a run, and where it is in its data.

    Args:
        parts: what has a ``state_dict``, by name.
        loaders: data loaders by name.
        generators: random generators by name.
        config: plain values that are saved, too.
        staged: whether `capture` copies the tensors; if not, training must wait until they are written.
    """

    def __init__(
        self,
        parts: Mapping[str, Any],
        loaders: Mapping[str, Any],
        generators: Mapping[str, Any],
        config: Any,
        *,
        staged: bool,
    ) -> None:
        self.parts = Parts(parts)
        self._generators = dict(generators)
        self.positions = Positions(loaders, self._generators)
        self._config = config
        self._staging = Staging() if staged else None
        self._states: Mapping[str, Any] | None = None  # the random states of the checkpoint that was restored

    # -- into a checkpoint ------------------------------------------------------------------------------------

    def capture(
        self,
        step: int,
        epoch: int,
        metrics: Mapping[str, float],
        base: Base | None = None,
        held: dict[int, Link] | None = None,
    ) -> dict[str, Any]:
        """Everything, in plain values that training no longer changes. Every process calls it; the first has it all.

        Args:
            step, epoch, metrics: where the run is, and what was measured.
            base: a file that may have some of the storages already.
            held: is given those of them that were left where they are, by their address: training goes on changing
                them, so they are to be taken from the base.
        """
        tree = self.tree(step, epoch, metrics)
        if self._staging is None:
            return dict(plain(tree, torch.Tensor.detach))
        if base is not None and held is not None:
            tree = plain(tree, _itself)  # what is made for the file, of numpy's arrays, has one address from here on
            held |= held_by(base, tree)
        self._staging.begin(held or ())
        copied: dict[str, Any] = plain(tree, self._staging.stage)
        self._staging.finish()
        return copied

    def tree(self, step: int, epoch: int, metrics: Mapping[str, float]) -> dict[str, Any]:
        """Everything, as it is at this moment: the tensors are the live ones."""
        ranks = torch_ranks.gathered({"random": random_states(self._generators), "data": self.positions.states()})
        tree: dict[str, Any] = {"step": step, "epoch": epoch}
        if "loss" in metrics:
            tree["loss"] = metrics["loss"]
        tree |= {"metrics": dict(metrics), "config": self._config, **self.parts.states()}
        tree |= {"random_state": ranks[0]["random"], "data_state": ranks[0]["data"], "world_size": len(ranks)}
        if len(ranks) > 1:
            tree["ranks"] = ranks
        if self.positions.is_unknown:
            tree["position_unknown"] = True
        return tree

    def objects(self) -> list[Any]:
        """Everything that has a place in a checkpoint, and what lies inside it."""
        parts = list(self.parts.named.values())
        return [*parts, *self.parts.models().values(), *self.positions.objects(), *self._generators.values()]

    def settle(self) -> None:
        """Return when what `capture` gave can be read."""
        if self._staging is not None:
            self._staging.wait()

    # -- out of a checkpoint ----------------------------------------------------------------------------------

    def restore(self, path: str | os.PathLike[str], restored: Restored) -> None:
        """Give everything back to the live objects, and note in ``restored`` what became of it.

        Raises:
            FitError: the checkpoint is of another model, which is left as it was.
        """
        tree: dict[str, Any] = dotpt.load(path, mmap=True, verify=False)
        with open_archive(path) as archive:
            self._restore_parts(archive, tree, restored)
        restored.step, restored.epoch = int(tree.get("step", 0)), int(tree.get("epoch", 0))
        restored.metrics, restored.config = tree.get("metrics", {}), tree.get("config")
        self._restore_position(tree, restored)

    def _restore_parts(self, archive: Any, tree: Mapping[str, Any], restored: Restored) -> None:
        models = self.parts.models()
        # models first: if one is not theirs, nothing was touched
        for name, part in sorted(self.parts.named.items(), key=lambda item: item[0] not in models):
            key = f"{name}{SUFFIX}"
            if key not in tree:
                restored.missing.append(name)
            elif name in models:
                restored.reports[name] = load_into(models[name], archive, weights=key, verify=False)
                restored.parts.append(name)
            elif isinstance(part, torch.optim.Optimizer):
                own = self.parts.models_of(part)
                model = next(iter(own.values())) if len(own) == 1 else torch.nn.ModuleDict(own)
                unnamed = not any("param_names" in group for group in part.param_groups)
                restored.reports[name] = load_optimizer(part, archive, model=model if own else None, address=key)
                _forget_names(part, unnamed)
                restored.parts.append(name)
            else:
                part.load_state_dict(plain(tree[key], torch.clone))
                restored.parts.append(name)
        restored.unused += [
            key.removesuffix(SUFFIX)
            for key in tree
            if key.endswith(SUFFIX) and key.removesuffix(SUFFIX) not in self.parts.named
        ]

    def _restore_position(self, tree: Mapping[str, Any], restored: Restored) -> None:
        mine = self._of_this_process(tree, restored)
        self._states = mine.get("random")
        if self._states is None:
            restored.missing.append("random")
        else:
            restored.notes += restore_random(self._states, self._generators)
            restored.parts.append("random")
        data = mine.get("data") or {}
        if data:
            restored.parts.append("data")
        if tree.get("position_unknown"):
            restored.notes.append(
                "It was saved inside an epoch whose data were not read through ckpt.batches(loader), so the epoch "
                "begins anew. A loop that has no loader goes over ckpt.steps(count)."
            )
        self.positions.restore(data, self._states, restored.epoch)

    def _of_this_process(self, tree: Mapping[str, Any], restored: Restored) -> Mapping[str, Any]:
        ranks, size = tree.get("ranks"), torch_ranks.world_size()
        saved = tree.get("world_size", 1)
        if saved != size:
            restored.notes.append(
                f"It was saved by {saved} processes, and there are {size} now: what each of them draws at random and "
                f"reads from the data cannot be the same."
            )
        if ranks and torch_ranks.rank() < len(ranks):
            return dict(ranks[torch_ranks.rank()])
        return {"random": tree.get("random_state"), "data": tree.get("data_state")}

    # -- while training goes on -------------------------------------------------------------------------------

    def again(self) -> None:
        """Set the random states once more: what was made since the checkpoint was restored has drawn from them."""
        if self._states is not None:
            restore_random(self._states, self._generators)


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def _forget_names(optimizer: torch.optim.Optimizer, unnamed: bool) -> None:
    """The names in the file are ours: torch's ``add_param_group`` would refuse parameters without them from now on."""
    for group in optimizer.param_groups if unnamed else ():
        group.pop("param_names", None)
