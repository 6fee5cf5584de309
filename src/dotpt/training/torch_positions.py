"""The positions in all the data loaders of a run: which of them a checkpoint holds, and who gets which back.

Loaders that nobody named are told apart by the order in which an epoch uses them, so that the resumed run, which uses
them in the same order, finds them again, also if they are made anew in each epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from dotpt.training.torch_loader import LoaderPosition
from dotpt.training.torch_random import restore_random


class Positions:
    """Where a run is in its data.

    Args:
        loaders: those that were named.
        generators: the user's generators by name, which they may draw from.
    """

    def __init__(self, loaders: Mapping[str, Any], generators: Mapping[str, Any]) -> None:
        self._generators = generators
        self._all = {name: self._position(loader, held=True) for name, loader in loaders.items()}
        self._given_names = frozenset(loaders)
        self._used: list[str] = []  # the others that were used in this epoch, in their order
        self._data: dict[str, Any] = {}  # of the checkpoint that was restored, as far as nobody has taken it
        self._states: Mapping[str, Any] | None = None
        self._counting_steps = self._stepped = self._gone_on = False
        self.is_unknown = False  # steps of this epoch were made with data that did not come from `batches`
        self._epoch: int | None = None  # None: nobody counts epochs
        self._saved_in: int | None = None  # the epoch that the checkpoint was saved in

    # -- into a checkpoint ------------------------------------------------------------------------------------

    def states(self) -> dict[str, Any]:
        """All of them, by name."""
        done, amid = self.epoch_is_done, any(position.stepped for position in self._all.values())
        return {name: position.state(done=done, amid=amid) for name, position in self._all.items()}

    @property
    def epoch_is_done(self) -> bool:
        """Whether the data of this epoch were gone through: what is saved now goes on with the next."""
        if self._epoch is None or any(position.going for position in self._all.values()):
            return False
        return any(position.finished and (position.trained or not self._stepped) for position in self._all.values())

    def objects(self) -> list[Any]:
        """The loaders, and the generators that they draw from."""
        loaders = [position.loader for position in self._all.values()]
        own = [generator for position in self._all.values() for generator in position.own_generators()]
        return [*(loader for loader in loaders if loader is not None), *own]

    # -- out of a checkpoint ----------------------------------------------------------------------------------

    def restore(self, states: Mapping[str, Any], random: Mapping[str, Any] | None, epoch: int) -> None:
        """Give each its own.

        Args:
            states: as `states` gave them.
            random: the states of all random generators at that time.
            epoch: the epoch that it was.
        """
        self._data, self._states, self._saved_in = dict(states), random, epoch
        self._gone_on = False
        for name in self._all.keys() & self._data.keys():
            self._all[name].resume(self._data.pop(name))

    def _settle(self, before: Mapping[str, Any], gone_on: bool) -> None:
        """Set the random generators, when an iteration was begun again and batches were passed over.

        In a loop over epochs, what stands between the beginning of the epoch and the batches has been done again, up to
        the first iteration that is gone on with. After that, and in a loop over steps, it is done for the first time.

        Args:
            before: their states before the iteration was begun again.
            gone_on: whether it was in the middle when the checkpoint was saved.
        """
        states = before if self._counting_steps or self._gone_on else self._states
        self._gone_on = self._gone_on or gone_on
        if states is not None:
            restore_random(states, self._generators)

    # -- while training goes on -------------------------------------------------------------------------------

    def batches(self, loader: Any) -> Iterator[Any]:
        """The batches of a loader, from where it stands."""
        return self._of(loader).batches(nested=any(position.going for position in self._all.values()))

    def step(self) -> None:
        """Note that training has made a step."""
        self._stepped = True
        if self._epoch is not None and not any(position.going or position.finished for position in self._all.values()):
            self.is_unknown = True
        for position in self._all.values():
            position.step()

    def count_steps(self) -> None:
        """Note that the loop goes over steps, not epochs."""
        self._counting_steps = True

    def begin_epoch(self, epoch: int) -> None:
        """Tell the samplers; those of loaders that come later are told then."""
        self._epoch, self.is_unknown = epoch, False
        self._used.clear()
        for position in self._all.values():
            position.begin_epoch(epoch, epoch == self._saved_in)

    def end_epoch(self) -> None:
        """Forget what was gone through in it, and what nobody went on with."""
        self._epoch, self._saved_in, self.is_unknown = None, None, False
        for position in self._all.values():
            position.end_epoch()
        self._data = {name: {"generators": state["generators"]} for name, state in self._data.items()}

    def _of(self, loader: Any) -> LoaderPosition:
        here = next((name for name, position in self._all.items() if position.loader is loader), None)
        if here is not None and (here in self._given_names or here in self._used):
            return self._all[here]
        name = self._next_name()
        self._used += [name] if name not in self._used else []
        if here is not None:  # it has been used in an earlier epoch, as another one in order
            self._all[name], other = self._all[here], self._all.pop(name, None)
            if here != name:
                del self._all[here]
                self._put_aside(other)
            return self._all[name]
        before = self._all.pop(name, None)
        self._put_aside(before)
        known = frozenset(id(one) for position in self._all.values() for one in position.own_generators())
        position = self._all[name] = self._position(loader, held=False, anew=before is not None)
        if self._epoch is not None:
            position.begin_epoch(self._epoch, self._epoch == self._saved_in)
        state = self._data.pop(name, None)
        if state is not None:
            position.resume(state, known)
        return position

    def _next_name(self) -> str:
        """The name of the next loader in order; without epochs the first whose loader is gone."""
        names = (f"loader_{number}" if number > 1 else "loader" for number in count(1))
        gone = () if self._epoch is not None else [name for name in self._used if self._all[name].is_gone]
        return next(
            name for name in names if name not in self._given_names and (name not in self._used or name in gone)
        )

    def _put_aside(self, position: LoaderPosition | None) -> None:
        """Keep a loader that has lost its name to another, and was not yet used in this epoch."""
        if position is not None and not position.is_gone:
            names = (f"loader_{number}" for number in count(2))
            self._all[next(name for name in names if name not in self._all)] = position

    def _position(self, loader: Any, *, held: bool, anew: bool = False) -> LoaderPosition:
        return LoaderPosition(loader, self._generators, self._settle, held=held, anew=anew)
