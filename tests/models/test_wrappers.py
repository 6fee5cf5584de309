"""Names that differ by wrappers alone: what is taken off and put on, and what is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from dotpt.models.wrappers import COMMON, COUNTER, RESERVED, unwrap

NAMES = ("conv.weight", "conv.bias", "bn.running_mean", "fc.weight")


def under(prefix: str, names: tuple[str, ...] = NAMES) -> list[str]:
    return [prefix + name for name in names]


@pytest.mark.parametrize("prefix", [f"{part}." for part in (*RESERVED, *COMMON)])
def test_a_wrapper_is_taken_off_and_put_on(prefix: str) -> None:
    off, on = unwrap(under(prefix), NAMES), unwrap(NAMES, under(prefix))
    assert off is not None
    assert on is not None
    assert list(off.names.items()) == list(zip(under(prefix), NAMES, strict=True))
    assert list(on.names.items()) == list(zip(NAMES, under(prefix), strict=True))
    assert off.words.startswith(f"the prefix {prefix} (")
    assert off.words.endswith("was taken off all 4 names")
    assert on.words.endswith("was put before all 4 names, as the model has it")


@pytest.mark.parametrize(
    "have", ["module._orig_mod.", "_orig_mod.module.", "module.module.", "module.model.", "model.net."]
)
@pytest.mark.parametrize("want", ["", "module.", "_orig_mod.", "net._orig_mod."])
def test_any_nesting_on_either_side(have: str, want: str) -> None:
    found = unwrap(under(have), under(want))
    assert found is not None
    assert list(found.names.values()) == under(want)


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("layers.0._fsdp_wrapped_module.conv.weight", "layers.0.conv.weight"),
        ("layers.0._checkpoint_wrapped_module._fsdp_wrapped_module.conv.weight", "layers.0.conv.weight"),
        ("encoder.module.conv.weight", "encoder.conv.weight"),
        ("encoder.conv.weight", "encoder._orig_mod.conv.weight"),
        ("model.encoder._orig_mod.conv.weight", "encoder.conv.weight"),
        ("_fsdp_wrapped_module.model._fsdp_wrapped_module.a.weight", "module.a.weight"),
    ],
)
def test_wrappers_inside_of_names(have: str, want: str) -> None:
    found = unwrap([have], [want])
    assert found is not None
    assert found.names == {have: want}


def test_a_part_that_was_compiled() -> None:
    found = unwrap(
        ["conv._orig_mod.weight", "conv._orig_mod.bias", "fc.weight"], ["conv.weight", "conv.bias", "fc.weight"]
    )
    assert found is not None
    assert list(found.names.values()) == ["conv.weight", "conv.bias", "fc.weight"]
    assert found.words == "_orig_mod (torch.compile) was taken out of 2 of 3 names"


def test_names_without_a_counterpart_are_renamed_with_the_others() -> None:
    found = unwrap(under("module.", (*NAMES, "old_head.weight")), under("_orig_mod.", (*NAMES, "new_head.weight")))
    assert found is not None
    assert found.names["module.old_head.weight"] == "_orig_mod.old_head.weight"


@pytest.mark.parametrize(
    ("have", "want"),
    [
        (NAMES, NAMES),
        (under("model."), under("model.")),
        ([*under("model."), "loss.weight"], NAMES),  # not all names have it: not certain
        (under("backbone."), NAMES),  # as good a name as any
        (under("module."), ["other.weight"]),  # nothing would match
        (["model.model.a"], ["a", "model.a"]),  # two ways, each as good
        (["module.a", "module._orig_mod.a"], ["a"]),  # two would be one
        ([f"module.{at}" for at in range(10)], [*(str(at) for at in range(4)), *(f"x{at}" for at in range(9))]),
        ([], NAMES),
        (NAMES, []),
        (["module"], ["weight"]),
    ],
)
def test_what_is_not_certain_is_left_alone(have: Any, want: Any) -> None:
    assert unwrap(have, want) is None


@pytest.mark.parametrize("outer", ["", "_orig_mod.", "model."])
def test_the_counter_of_an_averaged_model_is_no_weight(outer: str) -> None:
    found = unwrap([f"{outer}{COUNTER}", *under(f"{outer}module.")], NAMES)
    assert found is not None
    assert list(found.names.values()) == list(NAMES)
    assert list(found.dropped) == [f"{outer}{COUNTER}"]
    assert "torch's AveragedModel" in found.words
    assert f"`{outer}n_averaged` was left out" in found.words


def test_the_counter_stays_where_the_model_has_one() -> None:
    assert unwrap([COUNTER, *under("module.")], [COUNTER, *under("module.")]) is None
    found = unwrap([COUNTER, *under("module.")], [f"_orig_mod.{COUNTER}", *under("_orig_mod.module.")])
    assert found is not None
    assert found.names[COUNTER] == f"_orig_mod.{COUNTER}"
    assert not found.dropped


def test_weights_go_into_an_averaged_model() -> None:
    found = unwrap(NAMES, [COUNTER, *under("module.")])
    assert found is not None
    assert list(found.names.values()) == under("module.")


@pytest.mark.torch
def test_names_of_torchs_own_wrappers() -> None:
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel

    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    want = model.state_dict()
    compiled = torch.compile(model, backend="eager")
    parallel = torch.nn.DataParallel(model)
    wrapped = [parallel, compiled, torch.nn.DataParallel(compiled), AveragedModel(model), AveragedModel(parallel)]
    for other in wrapped:
        found = unwrap(other.state_dict(), want)
        assert found is not None
        assert list(found.names.values()) == list(want)
        back = unwrap(want, other.state_dict())
        assert back is not None
        assert set(back.names.values()) == set(other.state_dict()) - {COUNTER}
