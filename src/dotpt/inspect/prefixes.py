"""What wrappers write into the names of weights, and the prefixes that they put before every one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_AROUND_ALL = {
    "_orig_mod": "torch.compile",
    "_fsdp_wrapped_module": "FSDP",
    "_forward_module": "Lightning Fabric",
}
#: Parts of names that only wrappers write, and who does: they may lie anywhere in a name, and never mean anything.
RESERVED = _AROUND_ALL | {"_checkpoint_wrapped_module": "activation checkpointing"}  # of layers, not of all the model
PARALLEL = "DataParallel or DistributedDataParallel"  # who writes `module`
NET = "a wrapper that calls the model its `net`"
COUNTER = "n_averaged"  # torch's AveragedModel keeps it beside its weights
_PLAIN = {  # may as well be the model's own
    "model.": "a wrapper that calls the model its `model` (Lightning and others)",
    "net.": NET,
    "netG.": "a wrapper that calls the generator its `netG`",
    "backbone.": "a wrapper that calls the model its `backbone`",
}
# None begins with another one. A chain of them (module._orig_mod.) is found link by link.
_LINKS = (
    ("module.", PARALLEL),
    *((f"{part}.", who) for part, who in _AROUND_ALL.items()),
    ("base_model.model.", "PEFT"),
    *_PLAIN.items(),
)


@dataclass(frozen=True, slots=True)
class Prefix:
    """A prefix that every name of the weights has.

    Attributes:
        prefix: as it stands before the names: ``module.``, ``module._orig_mod.``.
        words: where it comes from: ``DataParallel or DistributedDataParallel``.
        tensors: how many names have it.
        certain: whether only a wrapper writes it (``model.`` may be the model's own).
    """

    prefix: str
    words: str
    tensors: int
    certain: bool = True

    def to_dict(self) -> dict[str, Any]:
        """The prefix as plain values."""
        return {"prefix": self.prefix, "words": self.words, "tensors": self.tensors, "certain": self.certain}


def prefixes_of(names: Iterable[str]) -> list[Prefix]:
    """The prefix that all names share, if it is one that wrappers write.

    Args:
        names: the keys of a state dict.

    Example:
        >>> [found.prefix for found in prefixes_of(["module._orig_mod.fc.weight", "module._orig_mod.fc.bias"])]
        ['module._orig_mod.']
    """
    names = list(names)
    rest = [name for name in names if name != COUNTER]
    averaged = len(rest) < len(names)
    count, chain, certain = len(rest), "", True
    words: list[str] = []
    while rest:
        link = next(((prefix, who) for prefix, who in _LINKS if all(name.startswith(prefix) for name in rest)), None)
        if link is None or (chain and link[0] in _PLAIN):
            break
        chain += link[0]
        words.append("torch's AveragedModel (EMA or SWA)" if averaged and not words else link[1])
        certain = certain and link[0] not in _PLAIN
        rest = [name[len(link[0]) :] for name in rest]
        if link[0] in _PLAIN:
            break
    return [Prefix(chain, ", ".join(words), count, certain)] if chain else []
