"""One run on several processes (`torch.distributed`): one of them writes, and all agree on when.

With one process, or before ``init_process_group``, everything here is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch.distributed as dist

from dotpt.errors import DotptError


def rank() -> int:
    """The number of this process."""
    return dist.get_rank() if _several() else 0


def world_size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if _several() else 1


def from_first(value: Any) -> Any:
    """What process 0 passed; every process must call it."""
    if world_size() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def asked_of_first(ask: Callable[[], Any]) -> Any:
    """What process 0 finds out. An error that it meets there is raised in all: none is left waiting for it."""
    if world_size() == 1:
        return ask()
    answer, error = None, None
    if rank() == 0:
        try:
            answer = ask()
        except DotptError as failure:
            error = failure
    answer, error = from_first((answer, error))
    if error is not None:
        raise error
    return answer


def gathered(value: Any) -> list[Any]:
    """What each process passed, in their order; every process must call it."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def in_any(numbers: Iterable[int]) -> frozenset[int]:
    """The numbers that any process passed; every process must call it."""
    if world_size() == 1:
        return frozenset(numbers)
    return frozenset().union(*gathered(sorted(numbers)))


def _several() -> bool:
    return dist.is_available() and dist.is_initialized()
