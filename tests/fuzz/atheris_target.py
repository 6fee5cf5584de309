"""The same targets, steered by coverage: an atheris (libFuzzer) target. Linux, Python 3.11 to 3.13.

    python -m tests.fuzz.atheris_target --finds build/finds --corpus build/corpus -- -max_total_time=600

The last byte of an input chooses: a generator and its oracles, driven by the bytes before it, or those bytes as a
file as it is. The first corpus is the real files that the tests have. A broken rule is written down and the run goes
on; what ends the process (a crash, a hang, memory) libFuzzer writes itself, as ``crash-...``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["dotpt"]):
    from tests.fuzz.oracles import survive

from tests.fuzz.choices import Provided
from tests.fuzz.mutants import files
from tests.fuzz.run import Runner, Score
from tests.fuzz.targets import Case, Target, available

_WHOLE_FILE = Target(lambda choices: (choices.blob(1 << 16),), survive, "a")
_SEEDS = 20  # inputs of a generator to begin with
_EVERY = 30.0  # seconds between two reports: libFuzzer ends the process without a word to Python


class Fuzzer:
    """What libFuzzer calls."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.targets: dict[str, Target] = {"bytes": _WHOLE_FILE, **available()}
        self.names = list(self.targets)
        self.told = time.monotonic()
        for name in self.names:
            runner.scores.setdefault(name, Score())

    def __call__(self, data: bytes) -> None:
        """One case."""
        provider = atheris.FuzzedDataProvider(data)
        name = self.names[provider.ConsumeIntInRange(0, 255) % len(self.names)]
        score, begin = self.runner.scores[name], time.monotonic()
        case: Case = ()
        try:
            case = (data[:-1],) if name == "bytes" else self.targets[name].make(Provided(provider))
            self.targets[name].check(*case)
        except Exception as error:
            self.runner.keep(name, case, error)
        now = time.monotonic()
        score.cases += 1
        score.seconds += now - begin
        if now > self.told + _EVERY:
            self.told = now
            self.runner.report()


def write_corpus(folder: Path, names: list[str]) -> None:
    """The real files, each as an input that is taken as it is, and decisions at random for each generator."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        for turn in range(_SEEDS if number else 0):
            content = random.Random(f"{name} {turn}").randbytes(100 * turn)
            (folder / f"seed_{name}_{turn}").write_bytes(content + bytes((number,)))
    for name, data in files().items():
        (folder / name.replace("/", "_").replace(" ", "_")).write_bytes(data + b"\0")


def main() -> None:
    """The command; what follows ``--`` is libFuzzer's."""
    given = sys.argv[1:]
    at = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--finds", type=Path, default=Path("build/finds"))
    parser.add_argument("--corpus", type=Path, default=Path("build/corpus"))
    parser.add_argument("--log", type=Path, default=None)
    args = parser.parse_args(given[:at])
    args.finds.mkdir(parents=True, exist_ok=True)
    fuzzer = Fuzzer(Runner(args.finds, args.log, "atheris"))
    write_corpus(args.corpus, fuzzer.names)
    settings = ["-max_len=65536", "-timeout=60", "-rss_limit_mb=4096", f"-artifact_prefix={args.finds}/"]
    atheris.Setup([sys.argv[0], *settings, *given[at + 1 :], str(args.corpus)], fuzzer)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
