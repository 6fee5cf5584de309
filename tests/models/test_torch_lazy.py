"""A lazy state dict is to a hook what torch's is, and reads nothing that is not looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.errors import TensorError
from dotpt.models.facts import Facts
from dotpt.models.rules import Recipe

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from dotpt.models.torch_lazy import LazyState, Pending, Values, facts_of  # noqa: E402

NAMES = ["a.x", "a.y", "b.x"]


class Counting(Values):
    """Notes what was read."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__(state, None, mapped=False, verify=True)
        self.read: list[str] = []

    def tensor(self, name: str) -> Any:
        self.read.append(name)
        return super().tensor(name)


@pytest.fixture
def made() -> tuple[LazyState, Counting]:
    values = Counting({name: torch.full((2,), float(number)) for number, name in enumerate(NAMES)})
    return LazyState((name, Pending(Recipe((name,), Facts((2,), "float32")), values)) for name in NAMES), values


def test_names_cost_nothing(made: tuple[LazyState, Counting]) -> None:
    state, values = made
    assert list(state) == NAMES
    assert "a.x" in state
    assert len(state) == 3
    assert list(state.keys()) == NAMES
    assert list(state.below("a.")) == NAMES[:2]
    assert list(state.copy()) == NAMES
    del state["b.x"]
    assert values.read == []


@pytest.mark.parametrize(
    ("look", "read"),
    [
        (lambda state: [state["a.x"]], ["a.x"]),
        (lambda state: [state.get("a.x")], ["a.x"]),
        (lambda state: [state.pop("a.x")], ["a.x"]),
        (lambda state: [state.setdefault("a.x", None)], ["a.x"]),
        (lambda state: [state.popitem()[1]], ["b.x"]),
        (lambda state: [state.popitem(last=False)[1]], ["a.x"]),
        (lambda state: list(state.values()), NAMES),
        (lambda state: [value for _, value in state.items()], NAMES),
        (lambda state: list(dict(state).values()), NAMES),
        (lambda state: list(OrderedDict(state).values()), NAMES),
        (lambda state: list({**state}.values()), NAMES),
        (lambda state: list(({} | state).values()), NAMES),
        (lambda state: [state.copy()["a.y"]], ["a.y"]),
        (lambda state: [state.below("b.")["b.x"]], ["b.x"]),
    ],
)
def test_whoever_looks_sees_tensors(
    made: tuple[LazyState, Counting], look: Callable[[Any], Any], read: list[str]
) -> None:
    state, values = made
    assert all(isinstance(value, torch.Tensor) for value in look(state))
    assert values.read == read


def test_what_is_not_there(made: tuple[LazyState, Counting]) -> None:
    state, _ = made
    assert state.get("no") is None
    assert state.get("no", 3) == 3
    assert state.pop("no", 4) == 4
    assert state.setdefault("no", 5) == 5
    with pytest.raises(KeyError):
        state.pop("nor this")
    with pytest.raises(KeyError):
        state["nor this"]


def test_a_tensor_is_read_once_while_it_is_there(made: tuple[LazyState, Counting]) -> None:
    state, values = made
    state["a.x"].add_(1)
    assert float(state["a.x"][0]) == 1.0
    assert values.read == ["a.x"]


def test_facts_of_whatever_is_a_tensor(tmp_path: Path) -> None:
    import ml_dtypes
    import numpy as np

    torch.save({"x": torch.zeros(2, 3, dtype=torch.bfloat16)}, tmp_path / "a.pt")
    with dotpt.open(tmp_path / "a.pt") as archive:
        assert facts_of(archive["x"]) == Facts((2, 3), "bfloat16")
    assert facts_of(torch.zeros(2, dtype=torch.bool)) == Facts((2,), "bool")
    assert facts_of(np.zeros((2,), ml_dtypes.bfloat16)) == Facts((2,), "bfloat16")
    assert facts_of("text").dtype == "object"


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "complex64", "bfloat16", "float8_e4m3fn"])
def test_arrays_become_tensors(dtype: str) -> None:
    import ml_dtypes
    import numpy as np

    array = np.arange(6).reshape(2, 3).astype(getattr(ml_dtypes, dtype, dtype))
    tensor = Values({"x": array}, None, mapped=False, verify=True).tensor("x")
    assert tensor.dtype is getattr(torch, dtype)
    assert tensor.shape == (2, 3)
    assert tensor.to(torch.complex64).real.tolist() == array.astype("complex64").real.tolist()


def test_extra_state_is_copied_and_holds_nothing_unknown(tmp_path: Path) -> None:
    state = {"x._extra_state": {"n": [1, (2.0, "a")], "t": torch.ones(2)}, "y._extra_state": torch.nn.Linear(1, 1)}
    torch.save(state, tmp_path / "a.pt")
    with dotpt.open(tmp_path / "a.pt") as archive:
        values = Values(archive.tree, archive, mapped=False, verify=True)
        found = values.other("x._extra_state")
        assert found["n"] == [1, (2.0, "a")]
        assert torch.equal(found["t"], torch.ones(2))
        assert not isinstance(archive.tree["x._extra_state"]["t"], torch.Tensor)  # the archive's own is as it was
        with pytest.raises(TensorError, match="not known to be harmless"):
            values.other("y._extra_state")
