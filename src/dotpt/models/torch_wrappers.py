"""What crosses this boundary: a live model in, the user's own one out, without what torch has put around it.

Invariant: the model is only looked at.
"""

from __future__ import annotations

from torch import nn

_PARALLEL = (nn.DataParallel, nn.parallel.DistributedDataParallel)
_NAMES = frozenset(kind.__name__ for kind in _PARALLEL)


def unwrapped(model: nn.Module, *, derived: bool) -> tuple[nn.Module, list[str]]:
    """The model within DataParallel, DistributedDataParallel and what torch.compile puts around it.

    Args:
        model: in any nesting of them, or in none.
        derived: whether a class that derives from one of torch's is a wrapper, too. It may hold weights of its own, so
            this is for a caller who tells the user what was taken off. Otherwise the name of the class decides, which
            apex's DistributedDataParallel has, too.

    Returns:
        The model, and the names of the wrappers' classes, the outermost first.

    Example:
        >>> from torch import nn
        >>> unwrapped(nn.DataParallel(nn.Linear(2, 1)), derived=False)
        (Linear(in_features=2, out_features=1, bias=True), ['DataParallel'])
    """
    wrappers: list[str] = []
    while (inner := _inside(model, derived)) is not None:
        wrappers.append(type(model).__name__)
        model = inner
    return model, wrappers


def _inside(model: nn.Module, derived: bool) -> nn.Module | None:
    name = type(model).__name__
    if name == "OptimizedModule":  # torch has no public name for it
        inner = getattr(model, "_orig_mod", None)
    elif isinstance(model, _PARALLEL) if derived else name in _NAMES:
        inner = model.module
    else:
        return None
    return inner if isinstance(inner, nn.Module) else None
