"""The two staging buffers, on the CPU: every byte once and in order, however the pieces lie."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from dotpt.saving import torch_staging, torch_values  # noqa: E402
from dotpt.saving.torch_staging import Stager  # noqa: E402


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(torch_staging, "PIECE", 100)


def test_in_order(small_pieces):
    storage = torch.arange(1000, dtype=torch.int32).untyped_storage()
    fetch = Stager().fetcher(storage)
    data = b"".join(bytes(fetch(at, min(at + 100, 4000))) for at in range(0, 4000, 100))
    assert data == bytes(torch.arange(1000, dtype=torch.int32).numpy().tobytes())


def test_anywhere(small_pieces):
    values = torch.randint(0, 255, (5000,), dtype=torch.uint8)
    fetch = Stager().fetcher(values.untyped_storage())
    raw = values.numpy().tobytes()
    for begin, end in ((0, 100), (100, 200), (4000, 4100), (50, 50), (0, 5000), (10, 60), (60, 110), (4900, 5000)):
        assert bytes(fetch(begin, end)) == raw[begin:end]


def test_a_piece_stays_while_the_next_is_fetched_ahead(small_pieces):
    values = torch.arange(250, dtype=torch.uint8)
    fetch = Stager().fetcher(values.untyped_storage())
    assert bytes(fetch(0, 100)) == bytes(range(100))
    second = fetch(100, 200)
    assert bytes(second) == bytes(range(100, 200))


def test_several_storages_share_the_buffers(small_pieces):
    stager = Stager()
    first, second = (torch.full((300,), fill, dtype=torch.uint8).untyped_storage() for fill in (1, 2))
    one, two = stager.fetcher(first), stager.fetcher(second)
    assert bytes(one(0, 100)) == b"\1" * 100
    assert bytes(two(0, 100)) == b"\2" * 100
    assert bytes(one(100, 200)) == b"\1" * 100
    assert bytes(two(100, 200)) == b"\2" * 100


def test_a_save_through_them(tmp_path, monkeypatch):
    """As if the CPU's tensors were a device's."""
    monkeypatch.setattr(torch_values, "_is_on_cpu", lambda untyped: False)
    monkeypatch.setattr(torch_staging, "PIECE", 1 << 20)
    monkeypatch.setattr("dotpt.tensors.outgoing.PIECE", 1 << 20)
    state = {"large": torch.randn(1000, 1000), "small": [torch.full((5,), n) for n in range(100)]}
    state["view"] = state["large"][10:500:3]
    state["columns"] = torch.randn(1000, 1000)[:, 3:5]
    dotpt.save(state, tmp_path / "a.pt")
    loaded = torch.load(tmp_path / "a.pt")
    assert torch.equal(loaded["large"], state["large"])
    assert torch.equal(loaded["view"], state["view"])
    assert torch.equal(loaded["columns"], state["columns"])
    assert [t[0].item() for t in loaded["small"]] == list(range(100))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_of_a_cuda_device(tmp_path):
    state = {"large": torch.randn(5000, 5000, device="cuda"), "small": torch.ones(3, device="cuda")}
    state["tied"] = state["large"].t()
    dotpt.save(state, tmp_path / "a.pt")
    for loaded in (torch.load(tmp_path / "a.pt"), torch.load(tmp_path / "a.pt", map_location="cpu")):
        assert torch.equal(loaded["large"].cpu(), state["large"].cpu())
        assert torch.equal(loaded["tied"].cpu(), state["tied"].cpu())
