"""Metrics as a picture: what is drawn, and what is said when it cannot be."""

from __future__ import annotations

import math
import sys

import pytest

from dotpt.errors import FolderMissing, MissingDependency, UsageError
from dotpt.training.history import History
from dotpt.training.layouts import listing_of
from dotpt.training.measures import chosen
from dotpt.training.plotting import plot
from tests.training.runs import ours, save


def policies(listing, *names):
    return [chosen(listing, name, None) for name in names]


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    listing = listing_of(ours(tmp_path))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.figure", raising=False)
    with pytest.raises(MissingDependency) as caught:
        plot(listing, policies(listing, "loss"), tmp_path / "loss.png")
    assert caught.value.hint == "pip install 'dotpt[plot]'"


def test_the_suffix_says_which_kind(tmp_path):
    listing = listing_of(ours(tmp_path))
    for name in ("loss", "loss.txt"):
        with pytest.raises(UsageError, match="no kind of picture"):
            plot(listing, policies(listing, "loss"), tmp_path / name)


def test_what_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    run = ours(tmp_path / "run $1$", [0.9, 0.5, math.nan, 0.4, math.inf])
    History(run).note("load", step=400)
    save(run, 600, 6, {"val_loss": 0.45, "$odd_name": 1.0})
    listing = listing_of(run)
    out = tmp_path / "loss.svg"
    plot(listing, policies(listing, "val_loss", "loss", "$odd_name"), out)
    text = out.read_text()
    for words in ("best: 0.4 at step 400", "resumed", "val_loss", "step", "run $1$"):
        assert f"<!-- {words} -->" in text, words


@pytest.mark.parametrize("suffix", ["png", "pdf", "jpg"])
def test_kinds_of_pictures(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    listing = listing_of(ours(tmp_path))
    plot(listing, policies(listing, "loss"), tmp_path / f"loss.{suffix}")
    begins = {"png": b"\x89PNG", "pdf": b"%PDF", "jpg": b"\xff\xd8"}
    assert (tmp_path / f"loss.{suffix}").read_bytes().startswith(begins[suffix])
    with pytest.raises(FolderMissing):
        plot(listing, policies(listing, "loss"), tmp_path / f"nowhere/loss.{suffix}")
