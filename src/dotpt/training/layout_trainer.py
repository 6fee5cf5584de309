"""The output folder of Hugging Face's Trainer.

Layout, as transformers 5 writes it, in this order::

    checkpoint-500/
        model.safetensors           or shards with an index, or an adapter's weights
        optimizer.pt  scheduler.pt  scaler.pt  rng_state.pth        (none with save_only_model)
        trainer_state.json          the whole history of what was logged: [{"step": 500, "eval_loss": 0.4, ...}, ...]

The state is written last, so a folder without one was cut off.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dotpt.training.folder import Entry
from dotpt.training.listing import (
    Listing,
    Point,
    folders_in,
    numbers_in,
    size_of,
    time_of,
    whole_number,
    why_incomplete,
)
from dotpt.training.moments import Stored

LAYOUT = "Trainer"
STATE = "trainer_state.json"
_NAME = re.compile(r"checkpoint-(\d+)")
_PLACES = ("step", "epoch")  # where an entry of the history was measured, not what


def read(folder: Path) -> Listing | None:
    """The checkpoints of a Trainer's folder, or a single one of them; None if it is none."""
    found = [(int(name[1]), path) for path in folders_in(folder) if (name := _NAME.fullmatch(path.name))]
    if not found and (folder / STATE).is_file():
        name = _NAME.fullmatch(folder.resolve().name)
        found = [(int(name[1]) if name else _step_of(_state(folder)), folder)]
    if not found:
        return None
    found.sort()
    known: dict[int, dict[str, float]] = {}
    latest: Mapping[str, Any] = {}
    for step, path in reversed(found):  # the newest state tells of all steps before it: most others need no reading
        if step not in known:
            state = _state(path)
            latest = latest or state
            known = _history(state) | known
    entries = [_entry(number, step, path, known.get(step, {})) for number, (step, path) in enumerate(found)]
    return Listing(folder, LAYOUT, entries, _curves(known), best=_best(latest, known))


def _entry(number: int, step: int, path: Path, logged: Mapping[str, float]) -> Entry:
    metrics = {name: value for name, value in logged.items() if name not in _PLACES}
    stored = Stored(step, number, whole_number(logged.get("epoch", 0.0)), metrics=metrics)
    return Entry(path, size_of(path), stored, saved=time_of(path), problem=_problem(path))


def _problem(path: Path) -> str:
    if not (path / STATE).is_file():
        return f"It has no {STATE}, which is written last: the save was cut off."
    if not _state(path):
        return f"{STATE} is not what the Trainer writes."
    return why_incomplete(path)


def _state(path: Path) -> dict[str, Any]:
    """What is in the state; nothing if it cannot be read, which `_problem` says."""
    try:
        state = json.loads((path / STATE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return state if isinstance(state, dict) else {}


def _history(state: Mapping[str, Any]) -> dict[int, dict[str, float]]:
    """What was logged, by step."""
    history: dict[int, dict[str, float]] = {}
    logged = state.get("log_history")
    for record in logged if isinstance(logged, list) else []:
        if isinstance(record, dict) and type(record.get("step")) is int:
            history.setdefault(record["step"], {}).update(numbers_in(record))
    if type(state.get("global_step")) is int:
        history.setdefault(state["global_step"], {}).setdefault("epoch", numbers_in(state).get("epoch", 0.0))
    return history


def _step_of(state: Mapping[str, Any]) -> int:
    step = state.get("global_step")
    return step if type(step) is int else 0


def _curves(known: Mapping[int, Mapping[str, float]]) -> dict[str, list[Point]]:
    curves: dict[str, list[Point]] = {}
    for step in sorted(known):
        for name, value in known[step].items():
            if name not in _PLACES:
                curves.setdefault(name, []).append((step, value))
    return curves


def _best(state: Mapping[str, Any], known: Mapping[int, Mapping[str, float]]) -> tuple[str, str] | None:
    """The metric that the Trainer went by, one of an evaluation: it had the best value where the state says."""
    value, step = state.get("best_metric"), state.get("best_global_step")
    name = _NAME.search(str(state.get("best_model_checkpoint") or ""))
    if type(step) is not int and name:
        step = int(name[1])
    for metric, measured in known.get(step, {}).items() if type(step) is int else ():
        if measured == value and metric.startswith("eval_"):
            values = [one[metric] for one in known.values() if metric in one]
            return metric, "min" if measured <= min(values) else "max"
    return None
