"""The adapters on two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("accelerate")
pytest.importorskip("transformers")
pytest.importorskip("pytorch_lightning")
import dotpt
from dotpt.training.layouts import listing_of
from dotpt.training.listing import why_not_whole
from dotpt.training.seal import SEAL

pytestmark = [pytest.mark.torch, pytest.mark.managers]
ROOT = Path(__file__).parents[3]


def test_one_seals_what_all_have_written_and_all_load_the_same(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(dotpt.__file__).parents[1]}"}
    environment |= {"OMP_NUM_THREADS": "1"}
    module = "tests.training.adapters.several_processes"
    done = subprocess.run(
        [*command, module, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    said = [(tmp_path / f"said-{rank}").read_text() for rank in (0, 1)]
    assert said[0].startswith("checkpoint_0 ")
    assert said[0] == said[1]
    files = json.loads((tmp_path / "trainer/checkpoint-4" / SEAL).read_text())["files"]
    assert {"rng_state_0.pth", "rng_state_1.pth", "model.safetensors"} <= set(files)
    assert not any(why_not_whole(entry) for entry in listing_of(tmp_path / "trainer").entries)
