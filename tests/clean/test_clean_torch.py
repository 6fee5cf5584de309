"""`dotpt.clean` with torch: what torch wrote is cleaned, and ``torch.load(weights_only=True)`` opens it, to the bit."""

from __future__ import annotations

import io
import warnings
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from dotpt.clean.report import CleanReport  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.corpus.entry import quiet  # noqa: E402
from tests.corpus.objects import OBJECTS, tagged  # noqa: E402
from tests.rescue.models import MODELS, process_group  # noqa: E402


def saved(value: Any, **options: Any) -> io.BytesIO:
    buffer = io.BytesIO()
    with quiet():
        torch.save(value, buffer, **options)
    buffer.seek(0)
    return buffer


def cleaned(source: Any) -> tuple[CleanReport, Any]:
    """The report, and what torch's weights-only reader makes of the result."""
    out = io.BytesIO()
    report = dotpt.clean(source, out)
    out.seek(0)
    with quiet():
        return report, torch.load(out, weights_only=True)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_of_the_corpus(name: str, legacy: bool) -> None:
    entry = OBJECTS[name]
    if legacy and "no-legacy" in entry.tags:
        pytest.skip("torch cannot read it back from the legacy form itself")
    buffer = saved(entry(), _use_new_zipfile_serialization=not legacy)
    report, loaded = cleaned(buffer)
    buffer.seek(0)
    if report.same:  # what was plain is what torch itself gives, with strides, sharing and types
        with quiet():
            wanted = torch.load(buffer, weights_only=False)
        assert same(wanted, loaded, strides=False) is None
    assert entry.safe <= (report.dropped == 0)


def test_what_weights_only_opens_is_hardly_changed() -> None:
    changed = {name for name in tagged() if OBJECTS[name].safe and not cleaned(saved(OBJECTS[name]()))[0].same}
    assert changed <= {"nested_jagged", "nested_jagged_lengths", "nested_jagged_view", "singletons"}, changed


@pytest.mark.parametrize("name", MODELS)
def test_every_module(name: str) -> None:
    torch.manual_seed(0)
    with warnings.catch_warnings(), process_group():
        warnings.simplefilter("ignore")
        model = MODELS[name]()
        buffer = saved({"model": model, "epoch": 3})
        out = io.BytesIO()
        dotpt.clean(buffer, out)
        out.seek(0)
        loaded = torch.load(out, weights_only=True)
        state = model.state_dict()
    assert loaded["epoch"] == 3
    plain = {key: value for key, value in state.items() if type(value) is torch.Tensor}
    for key, tensor in plain.items():
        if not tensor.is_quantized and type(loaded["model"].get(key)) is torch.Tensor:
            assert same(tensor.detach(), loaded["model"][key], strides=False, sharing=False) is None, key
    assert plain.keys() <= loaded["model"].keys()


def test_a_checkpoint_keeps_its_shape() -> None:
    model = torch.nn.Linear(2, 3)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    import argparse

    checkpoint = {
        "model": model, "optimizer": optimizer.state_dict(), "args": argparse.Namespace(lr=0.1, tags=["a"]),
        "path": Path("/data/run"), "when": datetime(2024, 2, 29, 1, 2, 3), "price": Decimal("1.50"),
        "loss": np.float64(0.5), "grid": np.arange(6.0).reshape(2, 3).T, "recent": deque([1, 2], maxlen=5),
        "seen": Counter("aab"), "by": defaultdict(list, a=[1]), "whole": optimizer,
    }  # fmt: skip
    report, loaded = cleaned(saved(checkpoint))
    assert type(loaded["model"]) is OrderedDict
    model.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])
    assert loaded["args"] == {"lr": 0.1, "tags": ["a"]}
    assert (loaded["path"], loaded["when"], loaded["price"]) == ("/data/run", "2024-02-29T01:02:03", "1.50")
    assert loaded["loss"] == 0.5
    assert type(loaded["loss"]) is float
    assert loaded["grid"].tolist() == checkpoint["grid"].tolist()
    assert (loaded["recent"], loaded["seen"], loaded["by"]) == ([1, 2], Counter("aab"), {"a": [1]})
    assert loaded["whole"]["__class__"] == "torch.optim.adamw.AdamW"
    assert report.dropped == 0


def test_parameters_buffers_attributes_and_gradients() -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = Path("/x")
    tensor = torch.zeros(3)
    tensor.mark = {"a": (1, np.float32(2))}
    buffer = torch.nn.Buffer(torch.ones(1))
    _, loaded = cleaned(saved({"p": parameter, "t": tensor, "b": buffer, "again": parameter}))
    assert type(loaded["p"]) is torch.nn.Parameter
    assert loaded["p"] is loaded["again"]
    assert loaded["p"].note == "/x"
    assert loaded["t"].mark == {"a": (1, 2.0)}
    assert type(loaded["b"]) is torch.Tensor


def test_an_optimizer_that_is_pickled_whole_keeps_its_parameters_as_keys() -> None:
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    report, loaded = cleaned(saved(optimizer))
    parameters = loaded["param_groups"][0]["params"]
    assert list(loaded["state"]) == parameters
    assert report.dropped == 0


def test_storages_views_and_large_files() -> None:
    base = torch.arange(100_000, dtype=torch.float32)
    value = {"a": base[10:20], "b": base[15:25], "c": base[::100], "whole": torch.ones(3).untyped_storage()}
    _, loaded = cleaned(saved(value))
    loaded["a"][5] = -1.0
    assert loaded["b"][0] == -1.0
    assert loaded["c"].tolist() == base[::100].tolist()
    assert bytes(loaded["whole"]) == bytes(value["whole"])


def test_subclasses_and_wrappers() -> None:
    names = tagged("subclass")
    assert names
    for name in names:
        report, loaded = cleaned(saved(OBJECTS[name]()))
        assert report.changed, name
        assert loaded is not None


class Hostile:
    """Prints when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("it ran",)


def test_nothing_runs(capsys: pytest.CaptureFixture[str]) -> None:
    report, loaded = cleaned(saved({"weights": torch.ones(2), "evil": Hostile(), "more": [Hostile(), 1]}))
    assert list(loaded) == ["weights", "more"]
    assert loaded["more"] == [None, 1]
    assert report.dropped == 2
    assert capsys.readouterr().out == ""


TENSORS = [OBJECTS[name] for name in tagged("tensor") if OBJECTS[name].safe and not name.startswith("nested_jagged")]
KEYS = st.one_of(st.text(max_size=5), st.integers(-5, 1 << 70), st.booleans(), st.none())
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 70), 1 << 70), st.floats(), st.text(max_size=8),
    st.binary(max_size=7), st.complex_numbers(), st.sampled_from(TENSORS).map(lambda entry: entry()),
    st.sampled_from([Path("/a/b"), datetime(2024, 1, 1), Decimal("1"), np.float32(1.5), np.arange(3), range(4)]),
)  # fmt: skip
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.tuples(inner, inner), st.dictionaries(KEYS, inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4).map(OrderedDict),
        st.dictionaries(KEYS, inner, max_size=3).map(lambda d: defaultdict(list, d)),
        inner.map(lambda item: [item, item]),
    ),
    max_leaves=12,
)  # fmt: skip


def plain(value: Any) -> Any:
    """What a value of `TREES` is to become."""
    if isinstance(value, OrderedDict):
        return OrderedDict((key, plain(item)) for key, item in value.items())
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(plain(item) for item in value)
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, np.generic):
        return value.item()
    return list(value) if isinstance(value, range) else value


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(TREES, st.booleans())
def test_any_nested_state(tree: Any, legacy: bool) -> None:
    with quiet():
        buffer = saved(tree, _use_new_zipfile_serialization=not legacy)
        _, loaded = cleaned(buffer)
        assert same(plain(tree), loaded, strides=False, sharing=False) is None
