"""Fuzz for a time: every target in turn by hypothesis, which shrinks what it finds; counts and finds are printed.

    python -m tests.fuzz.run --seconds 600 [--targets stream zip] [--finds build/finds] [--log FILE]
    python -m tests.fuzz.run --again TARGET FILE [FILE]       one case once more

A find is written as the bytes of its case, with the line that runs it again.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from .choices import cases
from .targets import TARGETS, Case, Target, available
from .torch_peer import PEER

ROUND = 400  # cases of one target, then comes the next
_LARGEST = 2 << 30  # bytes of memory for the whole run: more is a leak


@dataclass
class Score:
    """What became of one target."""

    cases: int = 0
    seconds: float = 0.0
    finds: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        rate = self.cases / self.seconds if self.seconds else 0.0
        return f"{self.cases:>9,} cases {self.seconds:>8.0f} s {rate:>7.0f}/s {len(self.finds):>3} finds"


class Runner:
    """The scores of a run, and where its finds go."""

    def __init__(self, finds: Path, log: Path | None, engine: str = "hypothesis") -> None:
        self.finds = finds
        self.log = log
        self.engine = engine
        self.scores: dict[str, Score] = {}
        self.begun = time.monotonic()

    def keep(self, name: str, case: Case, error: BaseException) -> None:
        """Write a find and say how to run it again; a second one with the same words is only counted."""
        score = self.scores.setdefault(name, Score())
        words = "".join(c for c in f"{type(error).__name__}: {error}" if not c.isdigit())[:80]
        if words in score.finds:
            return
        score.finds.add(words)
        self.finds.mkdir(parents=True, exist_ok=True)
        stem = f"{name}-{hashlib.sha256(b'|'.join(case)).hexdigest()[:12]}"
        paths = [self.finds / f"{stem}-{number}.bin" for number in range(len(case))]
        for path, data in zip(paths, case, strict=True):
            path.write_bytes(data)
        again = f"python -m tests.fuzz.run --again {name} {' '.join(map(str, paths))}"
        self.say(f"FIND {name}: {type(error).__name__}: {error!s:.300}\n     {again}")

    def say(self, text: str) -> None:
        """Print a line, and append it to the log."""
        print(text, flush=True)
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(text + "\n")

    def round(self, name: str, target: Target, number: int, until: float) -> None:
        """One round of a target."""
        score = self.scores.setdefault(name, Score())
        begin = time.monotonic()
        last: list[Case] = []

        @seed(number)
        @settings(
            max_examples=ROUND,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
        )
        @given(cases(target.make))
        def run(case: Case) -> None:
            if time.monotonic() > until:
                return
            last[:] = [case]
            score.cases += 1
            target.check(*case)

        try:
            run()
        except Exception as error:
            self.keep(name, last[0] if last else (), error)
        score.seconds += time.monotonic() - begin

    def report(self) -> None:
        """All scores so far."""
        peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        total = Score(sum(s.cases for s in self.scores.values()), sum(s.seconds for s in self.scores.values()))
        total.finds = {f"{name} {find}" for name, score in self.scores.items() for find in score.finds}
        lines = [f"{time.strftime('%H:%M:%S')} {self.engine} after {time.monotonic() - self.begun:.0f} s"]
        lines += [f"  {name:<8}{score}" for name, score in self.scores.items()]
        lines += [f"  {'all':<8}{total}", f"  peak memory {peak / 2**20:.0f} MiB"]
        lines += [f"    torch: {count:>8,}  {what}" for what, count in PEER.counts.most_common(8)]
        self.say("\n".join(lines))
        if peak > _LARGEST:
            self.say("FIND: the run's own memory grows without bound")


def again(name: str, paths: list[Path]) -> int:
    """Run one case; 1 if an oracle's rule is broken."""
    try:
        TARGETS[name].check(*(path.read_bytes() for path in paths))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
        return 1
    print("every rule holds")
    return 0


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--targets", nargs="*", default=None)
    parser.add_argument("--finds", type=Path, default=Path("build/finds"))
    parser.add_argument("--log", type=Path, default=None)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--report-every", type=float, default=300)
    parser.add_argument("--again", nargs="+", default=None, metavar="TARGET FILE")
    args = parser.parse_args()
    if args.again:
        return again(args.again[0], list(map(Path, args.again[1:])))
    runner = Runner(args.finds, args.log)
    number = random.SystemRandom().randrange(1 << 30) if args.seed is None else args.seed
    targets = {name: target for name, target in available().items() if args.targets is None or name in args.targets}
    until = runner.begun + args.seconds
    told = runner.begun
    while time.monotonic() < until:
        for name, target in targets.items():
            runner.round(name, target, number, until)
            number += 1
        if time.monotonic() > told + args.report_every:
            runner.report()
            told = time.monotonic()
    runner.report()
    counts = Counter({name: len(score.finds) for name, score in runner.scores.items()})
    return 1 if sum(counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
