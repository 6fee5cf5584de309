"""What another library's checkpoint is while it is written in the background: what it was when it was handed over."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict

import pytest

torch = pytest.importorskip("torch")
import dotpt  # noqa: E402
from dotpt.errors import CannotPickle, FolderMissing  # noqa: E402
from dotpt.training.adapters import torch_saver  # noqa: E402
from dotpt.training.adapters.torch_saver import Saver  # noqa: E402

pytestmark = pytest.mark.torch


def saver(**options):
    return Saver(**{"background": True, "durable": False, "verify": False} | options)


def test_types_sharing_and_values_are_those_of_the_moment(tmp_path, monkeypatch):
    real, go = torch_saver.write, threading.Event()

    def slowly(*arguments, **options):
        assert go.wait(30)
        real(*arguments, **options)

    monkeypatch.setattr(torch_saver, "write", slowly)
    base = torch.arange(6.0)
    layer = torch.nn.Linear(2, 2)
    tree = {
        "model": layer.state_dict(),
        "views": [base[:3], base[2:]],
        "list": [1, [2]],
        "tuple": (3, base.double()),
        "counts": defaultdict(int, a=1),
        "loss": torch.ones((), requires_grad=True) * 2,
        "weight": torch.nn.Parameter(torch.ones(2)),
    }
    expected = layer.weight.detach().clone()
    saving = saver()
    saving.save(tree, tmp_path / "a.pt")
    with torch.no_grad():
        base += 1
        layer.weight.zero_()
        tree["weight"].zero_()
    tree["list"][1].append(3)
    tree["counts"]["b"] = 2
    tree["model"]["more"] = 1
    go.set()
    saving.close()
    found = torch.load(tmp_path / "a.pt", weights_only=False)
    assert type(found["model"]) is OrderedDict
    assert found["model"]._metadata == layer.state_dict()._metadata
    assert torch.equal(found["model"]["weight"], expected)
    assert list(found["model"]) == ["weight", "bias"]
    assert torch.equal(found["views"][0], torch.arange(3.0))
    assert found["views"][0].untyped_storage()._cdata == found["views"][1].untyped_storage()._cdata
    assert (found["list"], found["tuple"][0], found["loss"].item()) == ([1, [2]], 3, 2.0)
    assert type(found["counts"]) is defaultdict
    assert found["counts"] == {"a": 1}
    assert type(found["weight"]) is torch.nn.Parameter
    assert torch.equal(found["weight"], torch.ones(2))


def test_one_save_is_in_flight_and_the_next_waits_for_it(tmp_path):
    saving = saver()
    for number in range(3):
        saving.save({"step": number}, tmp_path / f"{number}.pt")
        assert number == 0 or (tmp_path / f"{number - 1}.pt").exists()
    saving.close()
    assert [sorted(one) for one in saving.history] == [["path", "seconds", "stalled", "waited"]] * 3
    saving.save({"step": 3}, tmp_path / "3.pt")  # a closed one begins anew
    saving.close()
    assert dotpt.load(tmp_path / "3.pt") == {"step": 3}


def test_what_cannot_be_saved_is_said_at_once_and_removes_nothing(tmp_path):
    saving = saver()
    removed = []
    with pytest.raises(CannotPickle, match="lock cannot be copied") as caught:
        saving.save({"callbacks": [{"state": threading.Lock()}]}, tmp_path / "a.pt")
    assert caught.value.key == "callbacks.0.state"
    saving.remove(lambda: removed.append(1))
    saving.wait()
    assert not removed
    endless = []
    endless.append(endless)
    with pytest.raises(CannotPickle, match="contains itself"):
        saving.save(endless, tmp_path / "a.pt")
    saving.close()


def test_an_error_is_raised_once_and_the_next_save_is_done(tmp_path):
    saving = saver()
    saving.save({"step": 1}, tmp_path / "none/a.pt")
    with pytest.raises(FolderMissing):
        saving.save({"step": 2}, tmp_path / "b.pt")
    saving.close()
    assert dotpt.load(tmp_path / "b.pt") == {"step": 2}
    with pytest.raises(FolderMissing):
        saver(background=False).save({"step": 1}, tmp_path / "none/a.pt")
