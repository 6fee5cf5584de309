"""A file whose tensors lie partly in another one: its signature says nothing of that one, and `verify` tells so."""

from __future__ import annotations

import pytest

import dotpt
from tests.signing.making import PRIVATE, PUBLIC

pytest.importorskip("torch")
pytest.importorskip("cryptography")
pytestmark = pytest.mark.torch


def test_the_base_is_not_covered(tmp_path):
    from tests.training.test_incremental import Run

    run = Run(tmp_path)
    base, delta = run.save(), run.save()
    run.ckpt.close()
    dotpt.sign(delta, key=PRIVATE)
    outcome = dotpt.verify(delta, key=PUBLIC)
    assert (outcome.deviations, outcome.damaged) == ([], [])
    assert any(note.startswith(f"The signature was not compared with {base.name}. ") for note in outcome.notes)
    dotpt.sign(base, key=PRIVATE)
    assert not dotpt.verify(base, key=PUBLIC).notes
