"""Live models within what torch puts around them."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of torch.compile's own modules
]

from torch import nn  # noqa: E402

from dotpt.models.torch_wrappers import unwrapped  # noqa: E402


class Passing(nn.DataParallel):
    """A wrapper of somebody's own."""


@pytest.mark.parametrize("derived", [False, True])
def test_wrappers_of_torch_are_taken_off_in_any_nesting(derived: bool) -> None:
    inner = nn.Linear(2, 1)
    compiled = torch.compile(inner, backend="eager")
    assert unwrapped(inner, derived=derived) == (inner, [])
    assert unwrapped(nn.DataParallel(inner), derived=derived) == (inner, ["DataParallel"])
    both = ["DataParallel", "OptimizedModule"]
    assert unwrapped(nn.DataParallel(compiled), derived=derived) == (inner, both)


def test_what_derives_from_a_wrapper_is_one_where_the_caller_says_so() -> None:
    inner = nn.Linear(2, 1)
    wrapped = Passing(inner)
    assert unwrapped(wrapped, derived=True) == (inner, ["Passing"])
    assert unwrapped(wrapped, derived=False) == (wrapped, [])


@pytest.mark.parametrize("derived", [False, True])
def test_a_wrapper_by_name_alone(derived: bool) -> None:
    class DistributedDataParallel(nn.Module):  # as apex has one
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

    inner = nn.Linear(2, 1)
    wrapped = DistributedDataParallel(inner)
    expected = (wrapped, []) if derived else (inner, ["DistributedDataParallel"])
    assert unwrapped(wrapped, derived=derived) == expected


@pytest.mark.parametrize("derived", [False, True])
def test_a_class_that_is_only_called_like_a_compiled_model(derived: bool) -> None:
    class OptimizedModule(nn.Module):
        """Nothing is in it."""

    model = OptimizedModule()
    assert unwrapped(model, derived=derived) == (model, [])
