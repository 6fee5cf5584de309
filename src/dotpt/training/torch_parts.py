"""The objects that a checkpoint is made of: their states under the names of torch's tutorial, and back.

``model`` becomes ``model_state_dict``, ``optimizer`` becomes ``optimizer_state_dict``, and so on for any name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from dotpt.errors import UsageError
from dotpt.models.torch_wrappers import unwrapped

SUFFIX = "_state_dict"


class Parts:
    """The named objects of a run.

    Args:
        named: anything with ``state_dict`` and ``load_state_dict``, by name.

    Raises:
        UsageError: one has neither.
    """

    def __init__(self, named: Mapping[str, Any]) -> None:
        self.named = {name: part for name, part in named.items() if part is not None}
        for name, part in self.named.items():
            if not (hasattr(part, "state_dict") and hasattr(part, "load_state_dict")):
                raise UsageError(
                    f"{name} has no state_dict and load_state_dict, so it cannot be saved.",
                    found=type(part).__name__,
                    hint="give an object that has both; plain values go into config= or metrics=",
                )

    def states(self) -> dict[str, Any]:
        """The live states, by their keys in the file."""
        return {f"{name}{SUFFIX}": self._state(part) for name, part in self.named.items()}

    def models(self) -> dict[str, torch.nn.Module]:
        """Those that are modules, without their wrappers."""
        return {name: _own(part) for name, part in self.named.items() if isinstance(part, torch.nn.Module)}

    def _state(self, part: Any) -> Any:
        if isinstance(part, torch.nn.Module):
            return _own(part).state_dict()
        state = part.state_dict()
        return self._with_names(part, state) if isinstance(part, torch.optim.Optimizer) else state

    def _with_names(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        """An optimizer's state with the names of its parameters, by which it is restored when the model has changed."""
        names = {
            id(parameter): f"{prefix}{name}"
            for prefix, model in self._prefixed(optimizer)
            for name, parameter in model.named_parameters(remove_duplicate=False)
        }
        groups = []
        for live, group in zip(optimizer.param_groups, state["param_groups"], strict=True):
            own = [names.get(id(parameter)) for parameter in live["params"]]
            groups.append(group if "param_names" in group or None in own else {**group, "param_names": own})
        return {**state, "param_groups": groups}

    def models_of(self, optimizer: torch.optim.Optimizer) -> dict[str, torch.nn.Module]:
        """Those of the models that have parameters of an optimizer: not the average that lies beside its model."""
        own = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        models = self.models().items()
        return {name: model for name, model in models if any(id(parameter) in own for parameter in model.parameters())}

    def _prefixed(self, optimizer: torch.optim.Optimizer) -> list[tuple[str, torch.nn.Module]]:
        """The models of an optimizer; with several, their names tell equal names of parameters apart."""
        models = self.models_of(optimizer)
        return [("" if len(models) == 1 else f"{name}.", model) for name, model in models.items()]


def _own(model: torch.nn.Module) -> torch.nn.Module:
    """The user's own model. Nobody is told of what is taken off, so nothing is that may hold weights of its own."""
    return unwrapped(model, derived=False)[0]
