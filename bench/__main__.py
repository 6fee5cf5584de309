"""``python -m bench [--scale 0.1] [--only TEXT]``: the table, on the screen and as JSON in bench/out."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import dotpt
from bench import files, fitting, reading, saving, scanning, training
from bench.measure import Result, run


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the inputs (1: 1 GiB and 10,000 tensors)")
    parser.add_argument("--only", default="", help="jobs whose name holds this text")
    parser.add_argument("--rounds", type=int, help="rounds of each job")
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    with tempfile.TemporaryDirectory(prefix="dotpt-bench-") as folder:
        inputs = files.make(Path(folder), arguments.scale)
        results = []
        rooms = (reading, saving, fitting, training)
        for job in (*(job for room in rooms for job in room.jobs(inputs)), *scanning.jobs(inputs, arguments.scale)):
            if arguments.only in f"{job.name} / {job.peer_name}":
                with console.status(f"{job.name} / {job.peer_name}"):
                    results.append(run(replace(job, rounds=arguments.rounds or job.rounds)))
        wanted = arguments.only in "memory"
        measured = {"load": reading, "save": saving, "fit": fitting}
        peaks = {name: room.memory(inputs) for name, room in measured.items()} if wanted else {}
    show(console, results, peaks)
    out = Path(__file__).parent / "out"
    out.mkdir(exist_ok=True)
    (out / "results.json").write_text(json.dumps([as_dict(result) for result in results] + [peaks], indent=1))


def show(console: Console, results: list[Result], peaks: dict[str, dict[str, float]]) -> None:
    """The table that a person reads."""
    console.print(
        f"torch {torch.__version__}, dotpt {dotpt.__version__}, Python {platform.python_version()}, "
        f"{os.cpu_count()} processors; medians of interleaved rounds, files in the page cache"
    )
    table = Table("job", "peer")
    for heading in ("ours, ms", "peer, ms", "ratio", "10-90 %", "bar", "aim"):
        table.add_column(heading, justify="right")
    for result in results:
        job = result.job
        mark = "[green]" if result.ratio >= job.aim else "[yellow]" if result.ratio >= job.bar else "[red]"
        table.add_row(
            job.name, job.peer_name, f"{result.ours * 1e3:,.2f}", f"{result.peer * 1e3:,.2f}",
            f"{mark}{result.ratio:.2f}x", f"{result.low:.2f}-{result.high:.2f}", f"{job.bar:g}x", f"{job.aim:g}x",
        )  # fmt: skip
    console.print(table)
    for who, share in peaks.get("load", {}).items():
        console.print(f"peak memory of {who} of 1 GiB, over its size: {share:+.1%} (bar +5 %, aim +2 %)")
    for who, share in peaks.get("fit", {}).items():
        console.print(f"peak memory of {who} of 1 GiB, over the model's size: {share:+.1%} (bar +5 %)")
    for who, extra in peaks.get("save", {}).items():
        console.print(f"peak extra memory of {who} of 1 GiB: {extra / saving.MIB:,.1f} MiB (bar 32 MiB, aim 16 MiB)")


def as_dict(result: Result) -> dict[str, object]:
    """One line as plain values."""
    return {
        "job": result.job.name, "peer": result.job.peer_name, "ours_s": result.ours, "peer_s": result.peer,
        "ratio": result.ratio, "ratio_10": result.low, "ratio_90": result.high,
        "bar": result.job.bar, "aim": result.job.aim,
    }  # fmt: skip


if __name__ == "__main__":
    main()
