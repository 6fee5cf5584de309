"""Whatever training reads its data with: a resumed run reads what is left, in the same order, with the same noise."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch.utils import data  # noqa: E402

import dotpt  # noqa: E402
from dotpt.training import EveryEpochs, EverySteps  # noqa: E402
from tests.training import loops  # noqa: E402

Loop = Callable[[dotpt.Checkpointer, "Seen"], None]


class Stop(Exception):
    """The run is killed here."""


class Seen:
    """What a loop has read and drawn, by step."""

    def __init__(self, ckpt: dotpt.Checkpointer, stop: int | None) -> None:
        self.ckpt, self.stop, self.rows = ckpt, stop, {}

    def step(self, *batches: Any) -> None:
        """A step of training, which draws random numbers itself."""
        read = [
            part.sum().item() for batch in batches for part in (batch if isinstance(batch, (list, tuple)) else [batch])
        ]
        self.rows[self.ckpt.global_step + 1] = (read, torch.rand(1).item(), random.random(), np.random.rand())
        self.ckpt.step()
        if self.ckpt.global_step == self.stop:
            raise Stop


def life(folder: Path, make: Callable[[], Loop], stop: int | None = None, **options: Any) -> dict[int, Any]:
    """A run from its beginning or its last checkpoint to its end or to ``stop``."""
    loops.seed()
    loop = make()
    options = {"save": EverySteps(1), "quiet": True, **options}
    with dotpt.Checkpointer(folder, **options) as ckpt:
        seen = Seen(ckpt, stop)
        try:
            loop(ckpt, seen)
        except Stop:
            return seen.rows
        seen.rows["after"] = (torch.rand(1).item(), random.random(), np.random.rand())
    return seen.rows


def prove(folder: Path, make: Callable[[], Loop], stops: Any = (1, 4, 5, 6, 9), **options: Any) -> dict[int, Any]:
    """A loop, whose objects are made anew for each life, is stopped after these steps and resumed."""
    whole = life(folder / "whole", make, **options)
    for stop in stops:
        before = life(folder / str(stop), make, stop, **options)
        after = life(folder / str(stop), make, **options)
        assert {**before, **after} == whole, f"stopped after step {stop}"
        if not options:
            assert not before.keys() & after.keys(), f"steps were repeated after step {stop}"
    return whole


def epochs(loader: Any, count: int = 3) -> Loop:
    """The usual loop."""

    def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
        for _ in ckpt.epochs(count):
            for batch in ckpt.batches(loader):
                seen.step(batch)

    return loop


class Lazy(data.Sampler[list[int]]):
    """Batches that are drawn one by one, from Python's generator."""

    def __init__(self) -> None:
        super().__init__()

    def __iter__(self) -> Iterator[list[int]]:
        for _ in range(5):
            yield [random.randrange(47) for _ in range(10)]

    def __len__(self) -> int:
        return 5


def seeded(number: int = 3) -> Any:
    return torch.Generator().manual_seed(number)


SET = loops.Noisy()
LOADERS: dict[str, Callable[[], Any]] = {
    "weighted": lambda: data.DataLoader(SET, 10, sampler=data.WeightedRandomSampler([0.1, 0.9] * 23 + [0.5], 47)),
    "with_replacement": lambda: data.DataLoader(SET, 10, sampler=data.RandomSampler(SET, True, 47)),
    "batch_sampler": lambda: data.DataLoader(
        SET, batch_sampler=data.BatchSampler(data.RandomSampler(SET), 10, drop_last=False)
    ),
    "lazy_batches": lambda: data.DataLoader(SET, batch_sampler=Lazy()),
    "sampler_with_its_generator": lambda: data.DataLoader(SET, 10, sampler=data.RandomSampler(SET, generator=seeded())),
    "inner_sampler_with_its_generator": lambda: data.DataLoader(
        SET, batch_sampler=data.BatchSampler(data.RandomSampler(SET, generator=seeded()), 10, False)
    ),
    "loader_with_its_generator": lambda: data.DataLoader(SET, 10, shuffle=True, generator=seeded()),
    "subset": lambda: data.DataLoader(SET, 10, sampler=data.SubsetRandomSampler(range(3, 47), generator=seeded())),
    "drop_last": lambda: data.DataLoader(SET, 9, shuffle=True, drop_last=True),
    "not_batched": lambda: data.DataLoader(data.Subset(SET, range(5)), batch_size=None, shuffle=True),
    "stream": lambda: data.DataLoader(loops.Stream(), 8),
    "a_list": lambda: [torch.full((2,), float(n)) for n in range(5)],
    "distributed": lambda: data.DataLoader(SET, 5, sampler=data.DistributedSampler(SET, 2, 0)),
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_goes_on_where_it_was(tmp_path: Path, name: str) -> None:
    prove(tmp_path, lambda: epochs(LOADERS[name]()))


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_goes_on_between_two_epochs(tmp_path: Path, name: str) -> None:
    prove(tmp_path, lambda: epochs(LOADERS[name]()), [5, 7, 10], save=EveryEpochs())


@pytest.mark.parametrize("given", [{}, {"shuffle": True}], ids=["stream", "map"])
def test_a_loader_with_workers_goes_on_where_it_was(tmp_path: Path, given: dict[str, Any]) -> None:
    source = SET if given else loops.Stream()
    prove(tmp_path, lambda: epochs(data.DataLoader(source, 10, num_workers=2, **given), 2), [1, 5, 7])


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")  # torchdata 0.11 with torch 2.13
@pytest.mark.parametrize(
    "given", [{}, {"num_workers": 2}, {"generator": True}], ids=lambda given: "".join(given) or "0"
)
@pytest.mark.parametrize("save", [EverySteps(1), EveryEpochs()], ids=["steps", "epochs"])
def test_torchdatas_stateful_loader_goes_on_where_it_was(tmp_path: Path, given: dict[str, Any], save: Any) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")

    def make() -> Loop:
        own = {**given, "generator": seeded()} if "generator" in given else given
        # of what its workers draw at random, torchdata notes nothing
        source = data.TensorDataset(torch.arange(47)) if "num_workers" in given else SET
        return epochs(stateful.StatefulDataLoader(source, 10, shuffle=True, **own))

    prove(tmp_path, make, [1, 5, 7], save=save)


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")
def test_a_stateful_loader_reads_nothing_again(tmp_path: Path) -> None:
    stateful = pytest.importorskip("torchdata.stateful_dataloader")
    read = []

    class Told(loops.Noisy):
        def __getitem__(self, number: int) -> Any:
            read.append(number)
            return super().__getitem__(number)

    def make() -> Loop:
        return epochs(stateful.StatefulDataLoader(Told(), 10, shuffle=True), 1)

    life(tmp_path, make, 3)
    read.clear()
    life(tmp_path, make)
    assert len(read) == 17


# -- loops of every form --------------------------------------------------------------------------------------------


def loader(**options: Any) -> Any:
    return data.DataLoader(SET, **{"batch_size": 10, "shuffle": True, **options})


def test_a_validation_at_the_end_of_each_epoch(tmp_path: Path) -> None:
    def make() -> Loop:
        train, val = loader(), loader(batch_size=20)

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for epoch in ckpt.epochs(3):
                for batch in ckpt.batches(train):
                    seen.step(batch)
                seen.rows[f"val {epoch}"] = [inputs.sum().item() for inputs, _ in ckpt.batches(val)]

        return loop

    prove(tmp_path, make)


def test_a_save_by_hand_at_the_end_of_an_epoch_does_not_train_it_again(tmp_path: Path) -> None:
    scheduled = []

    def make(stop: int | None = None) -> Loop:
        train, val = loader(), loader(batch_size=20)

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for epoch in ckpt.epochs(3):
                for batch in ckpt.batches(train):
                    seen.step(batch)
                seen.rows[f"val {epoch}"] = [
                    inputs.sum().item() for inputs, _ in val
                ]  # an iteration we know nothing of
                scheduled.append(epoch)
                ckpt.save(metrics={"val_loss": 1.0})
                if epoch == stop:
                    raise Stop

        return loop

    whole = life(tmp_path / "whole", make, save=None)
    for stop in (0, 1, 2):
        scheduled.clear()
        before = life(tmp_path / str(stop), lambda stop=stop: make(stop), save=None)
        after = life(tmp_path / str(stop), make, save=None)
        assert {**before, **after} == whole
        assert not before.keys() & after.keys()
        assert scheduled == [0, 1, 2]


def test_a_save_by_hand_inside_the_validation_goes_on_there(tmp_path: Path) -> None:
    def make(stop: int | None = None) -> Loop:
        train, val = loader(), loader(batch_size=10)

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for epoch in ckpt.epochs(2):
                for batch in ckpt.batches(train):
                    seen.step(batch)
                for number, (inputs, _) in enumerate(ckpt.batches(val)):
                    seen.rows[epoch, inputs.sum().item()] = torch.rand(1).item()
                    if stop == epoch and number == 2:
                        ckpt.save()
                        raise Stop

        return loop

    whole = life(tmp_path / "whole", make, save=None)
    for stop in (0, 1):
        before = life(tmp_path / str(stop), lambda stop=stop: make(stop), save=None)
        after = life(tmp_path / str(stop), make, save=None)
        assert {**before, **after} == whole
        assert not before.keys() & after.keys()


def test_a_validation_inside_of_training_is_not_gone_on_with(tmp_path: Path) -> None:
    """What stands in the round of a step is over with it: the resumed run goes on with the next batch of training."""

    def make(stop: int | None = None) -> Loop:
        numbers = data.TensorDataset(torch.arange(50))
        train, val = data.DataLoader(numbers, 10, shuffle=True), data.DataLoader(numbers, 10)

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for _ in ckpt.epochs(2):
                for batch in ckpt.batches(train):
                    if ckpt.global_step % 3 == 0:
                        seen.rows[f"val {ckpt.global_step}"] = len([0 for _ in ckpt.batches(val)])
                    seen.step(batch)
                    if ckpt.global_step == stop:
                        for _ in ckpt.batches(val):
                            ckpt.save()
                            raise Stop

        return loop

    whole = prove(tmp_path, make)
    assert whole["val 3"] == 5
    before = life(tmp_path / "run", lambda: make(4))
    after = life(tmp_path / "run", make)
    assert 5 not in before
    assert after[5][0] == whole[5][0]
    assert after["val 6"] == 5


def test_leaving_an_epoch_early(tmp_path: Path) -> None:
    def make() -> Loop:
        train = loader()

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for _ in ckpt.epochs(4):
                for batch in ckpt.batches(train):
                    seen.step(batch)
                    if ckpt.global_step % 3 == 0:
                        break

        return loop

    prove(tmp_path, make, [1, 2, 4, 5, 8])
    prove(tmp_path / "epochs", make, [3, 4, 6, 8], save=EveryEpochs())


@pytest.mark.parametrize("save", [EverySteps(1), EveryEpochs()], ids=["steps", "epochs"])
def test_several_loaders_side_by_side(tmp_path: Path, save: Any) -> None:
    def make() -> Loop:
        one, other = loader(generator=seeded()), loader(batch_size=8, generator=seeded(4))

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for _ in ckpt.epochs(3):
                for first, second in zip(ckpt.batches(one), ckpt.batches(other), strict=False):
                    seen.step(first, second)

        return loop

    prove(tmp_path, make, save=save)


def test_several_loaders_one_after_the_other(tmp_path: Path) -> None:
    def make() -> Loop:
        one, other = loader(), loader(batch_size=20)

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for _ in ckpt.epochs(2):
                for part in (one, other, one):
                    for batch in ckpt.batches(part):
                        seen.step(batch)

        return loop

    prove(tmp_path, make, range(1, 26, 2))


def test_gradients_that_are_accumulated(tmp_path: Path) -> None:
    def make() -> Loop:
        train = loader()

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            for _ in ckpt.epochs(3):
                kept = []
                for number, batch in enumerate(ckpt.batches(train)):
                    kept.append(batch[0])
                    if number % 2:
                        seen.step(*kept)
                        kept = []

        return loop

    prove(tmp_path, make, [1, 2, 3, 4])


@pytest.mark.parametrize("options", [{}, {"generator": True}], ids=["plain", "generator"])
def test_loaders_that_are_made_anew_in_each_epoch(tmp_path: Path, options: dict[str, Any]) -> None:
    def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
        for epoch in ckpt.epochs(3):
            own = {"generator": seeded(epoch)} if options else {}
            for batch in ckpt.batches(loader(**own)):
                seen.step(batch)
            val = loader(batch_size=20, **own)
            seen.rows[f"val {epoch}"] = [inputs.sum().item() for inputs, _ in ckpt.batches(val)]

    prove(tmp_path, lambda: loop)
    # that a loader which is held till the end of an epoch is made anew in the next is known from the second epoch on
    prove(tmp_path / "epochs", lambda: loop, [12] if options else [5, 7, 12], save=EveryEpochs())


def test_steps_that_go_through_the_data_again_and_again(tmp_path: Path) -> None:
    def make() -> Loop:
        train = loader()

        def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
            def forever() -> Iterator[Any]:
                while True:
                    yield from ckpt.batches(train)

            batches = forever()
            for _ in ckpt.steps(13):
                noise = torch.randn(3) + random.random()
                seen.step(noise, next(batches))

        return loop

    prove(tmp_path, make)


def test_an_epoch_whose_data_we_do_not_know_is_told(tmp_path: Path) -> None:
    def loop(ckpt: dotpt.Checkpointer, seen: Seen) -> None:
        for _ in ckpt.epochs(2):
            for batch in loader():
                seen.step(batch)

    life(tmp_path, lambda: loop, 3)
    with dotpt.Checkpointer(tmp_path, quiet=True) as ckpt:
        restored = ckpt.restore()
    assert restored is not None
    assert "the epoch begins anew" in str(restored)
    life(tmp_path, lambda: loop, save=EveryEpochs())
    with dotpt.Checkpointer(tmp_path, quiet=True) as ckpt:
        assert "begins anew" not in str(ckpt.restore())
