"""Where training is in its data, and how it gets there again: exactly, whatever the loader is made of.

A loader that knows its own position (`state_dict`, as torchdata's StatefulDataLoader) is asked for it. Of any other,
the number of batches that were given is noted, and the states of the random generators when the iteration began: the
same iteration is begun again, and that many batches are passed over.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from dotpt.training.torch_random import random_states, restore_random, set_state, state_of

Settle = Callable[[Mapping[str, Any], bool], None]


class LoaderPosition:
    """The position in one loader.

    Args:
        loader: anything that can be iterated again and again.
        generators: the user's generators by name, which the loader may draw from.
        settle: sets the random generators when an iteration was begun again or passed over; it is told their states
            before that, and whether the iteration goes on.
        held: keep the loader alive. If not, the next loader takes this one's place when it is gone.
        anew: it is made anew in each epoch, and its generators with it.
    """

    def __init__(self, loader: Any, generators: Mapping[str, Any], settle: Settle, *, held: bool, anew: bool) -> None:
        self._loader = _reference(loader) if not held else lambda: loader
        self._generators = generators
        self._settle = settle
        self._own, self._anew = _generators_of(loader), anew
        self._given: int | None = None  # batches of the iteration that goes on; None: there is none
        self._stepped = False  # whether training has made a step in it
        self._finished: int | None = None  # iterations of this epoch that came to an end; None: nobody counts epochs
        self._passed = 0  # iterations of this epoch that the checkpoint has behind itself
        self._began: dict[str, Any] = {}
        self._resume: Mapping[str, Any] | None = None

    @property
    def loader(self) -> Any:
        """The loader; None if it is gone."""
        return self._loader()

    @property
    def going(self) -> bool:
        """Whether an iteration goes on."""
        return self._given is not None

    @property
    def stepped(self) -> bool:
        """Whether one goes on in which training has made a step."""
        return self.going and self._stepped

    @property
    def finished(self) -> bool:
        """Whether one of this epoch came to an end, and none goes on."""
        return bool(self._finished) and not self.going

    @property
    def trained(self) -> bool:
        """Whether training has made a step in the iteration that goes on, or in the last one."""
        return self._stepped

    @property
    def is_gone(self) -> bool:
        """Whether the loader is no longer there."""
        return self.loader is None

    def batches(self, nested: bool) -> Iterator[Any]:
        """The batches of this iteration, or what is left of the one that a checkpoint was saved in.

        Args:
            nested: whether another iteration goes on around this one.
        """
        loader = self.loader
        if self._passed:
            self._passed -= 1
            self._finish(nested)
            self._settle(random_states(self._generators), False)
            return iter(())
        resume, self._resume = self._resume, None
        return self._iterate(loader, resume, nested)

    def _iterate(self, loader: Any, resume: Mapping[str, Any] | None, nested: bool) -> Iterator[Any]:
        self._stepped = False
        iterator = self._begin(loader) if resume is None else self._again(loader, resume)
        try:
            for batch in iterator:
                self._given = (self._given or 0) + 1
                yield batch
        finally:
            self._given = None
            self._finish(nested)

    def _finish(self, nested: bool) -> None:
        if self._finished is not None and not nested:  # what lay inside another is not gone through again
            self._finished += 1

    def state(self, *, done: bool, amid: bool) -> dict[str, Any]:
        """The position in plain values.

        Args:
            done: whether the epoch counts as done: then none of its iterations is to be passed over.
            amid: whether another iteration goes on in which training makes its steps.
        """
        own = [] if (self._anew or self.is_gone) and not self.going else self._own
        state: dict[str, Any] = {"generators": [state_of(generator) for generator in own]}
        if self._finished and not done:
            state["finished"] = self._finished
        if self._given is None or (amid and not self._stepped):  # a validation inside of training is not gone on with
            return state
        state["batches"] = self._given
        if _knows_itself(self.loader):
            return {**state, "loader": self.loader.state_dict()}
        return {**state, "began": self._began}

    def resume(self, state: Mapping[str, Any], known: frozenset[int] = frozenset()) -> None:
        """Let the next iteration be the one that was going on when ``state`` was saved.

        Args:
            state: as `state` gave it.
            known: generators that another loader has, too, and got back already, by their ``id``.
        """
        self._set_own(state["generators"], known)
        self._passed = state.get("finished", 0)
        self._resume = state if "batches" in state else None
        if "loader" in state and _knows_itself(self.loader):
            self.loader.load_state_dict(state["loader"])

    def step(self) -> None:
        """Note that training has made a step."""
        self._stepped = self._stepped or self.going

    def begin_epoch(self, epoch: int, again: bool) -> None:
        """Tell samplers that shuffle by the number of the epoch, as DistributedSampler.

        Args:
            epoch: its number.
            again: whether it is the epoch that the checkpoint was saved in.
        """
        self._finished = 0
        if not again:
            self.end_epoch()
        loader = self.loader
        parts = (_part(loader, "sampler"), _part(loader, "batch_sampler"))
        for part in {id(part): part for part in parts}.values():
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def end_epoch(self) -> None:
        """Forget what was gone through in it, and what nobody went on with."""
        self._finished = None if self._finished is None else 0
        self._passed, self._resume = 0, None

    def _begin(self, loader: Any) -> Iterator[Any]:
        self._given = 0
        if not _knows_itself(loader):
            own = [state_of(generator) for generator in self._own]
            self._began = {"random": random_states(self._generators), "generators": own}
        return iter(loader)

    def _again(self, loader: Any, state: Mapping[str, Any]) -> Iterator[Any]:
        """The iteration that was going on, after the batches that were given."""
        now = random_states(self._generators)
        self._given = state["batches"]
        if "began" not in state:
            iterator: Iterator[Any] = iter(loader)
        else:
            self._began = state["began"]
            restore_random(self._began["random"], self._generators)
            self._set_own(self._began["generators"])
            iterator = iter(loader)
            _pass_over(iterator, state["batches"])
        self._settle(now, True)
        self._set_own(state["generators"])
        return iterator

    def own_generators(self) -> list[torch.Generator]:
        """The generators that the loader and its samplers were given, which nobody else may have named."""
        return self._own

    def _set_own(self, states: list[Any], known: frozenset[int] = frozenset()) -> None:
        for generator, state in zip(self._own, states, strict=False):
            if id(generator) not in known:
                set_state(generator, state)


def _reference(loader: Any) -> Callable[[], Any]:
    """A reference that does not keep a loader alive, of one that can have such."""
    try:
        return weakref.ref(loader)
    except TypeError:  # a list of batches
        return lambda: loader


def _generators_of(loader: Any) -> list[torch.Generator]:
    sampler, batches = _part(loader, "sampler"), _part(loader, "batch_sampler")
    owners = (loader, sampler, batches, _part(batches, "sampler"))
    found = (_part(owner, "generator") for owner in owners)
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


def _pass_over(iterator: Iterator[Any], batches: int) -> None:
    """Advance an iterator by so many batches. In this process only the indices are drawn, and no batch is made."""
    indices = getattr(iterator, "_sampler_iter", None)
    if type(iterator).__name__ == "_SingleProcessDataLoaderIter" and not _is_iterable_dataset(iterator):
        iterator = indices or iterator
    for _ in range(batches):
        next(iterator, None)


def _is_iterable_dataset(iterator: Any) -> bool:
    return isinstance(getattr(iterator, "_dataset", None), torch.utils.data.IterableDataset)


def _knows_itself(loader: Any) -> bool:
    return hasattr(loader, "state_dict") and hasattr(loader, "load_state_dict")


def _part(owner: Any, name: str) -> Any:
    return getattr(owner, name, None)
