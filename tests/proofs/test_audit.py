"""While a file is opened, inspected, verified or loaded, nothing is imported, executed, started, connected or written.

An audit hook in a process of its own sees every such event that Python raises. The only ones left are openings of
the file itself.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.corpus.stored import FIXTURES
from tests.corpus.streams import STREAMS
from tests.corpus.torch_zip import pt

ROOT = Path(__file__).parents[2]
#: A name that would leave a trace if it were imported, and one whose import would end the process.
TRAPS = ("this", "antigravity", "tests.proofs.trap", "idlelib.idle", "turtledemo", "tests.corpus.classes")


class _Traps:
    """Pickles that name modules nobody has imported."""

    @staticmethod
    def files() -> dict[str, bytes]:
        made = {}
        for name in TRAPS:
            for opcode in ("c{0}\nx\n", "(i{0}\nx\n"):
                body = opcode.format(name).encode()
                made[f"trap_{name}_{opcode[0]}"] = b"\x80\x02" + body + (b")R." if opcode[0] == "c" else b".")
        return made


def _fixtures() -> list[Path]:
    files = [path for path in sorted(FIXTURES.rglob("*")) if path.is_file() and path.name != "index.json"]
    whole = ("zip", "other", "hf_bin", "hf_safetensors", "hf_bin_odd", "distributed")
    chosen = [path for number, path in enumerate(files) if path.parent.name in whole or number % 4 == 0]
    return chosen + [FIXTURES / "other" / name for name in ("hf_bin", "hf_safetensors", "hf_bin_odd")]


@cache
def _watched(backend: str, folder: str) -> list[dict[str, Any]]:
    paths = _fixtures()
    streams = {name: stream.data for name, stream in STREAMS.items() if stream.kind != "bomb"}
    streams |= {f"zip_{name}": pt(data) for name, data in streams.items()}
    for name, data in (streams | _Traps.files()).items():
        path = Path(folder) / f"{name}.pt"
        path.write_bytes(data)
        paths.append(path)
        if name.startswith("trap"):
            zipped = Path(folder) / f"zip_{name}.pt"
            zipped.write_bytes(pt(data))
            paths.append(zipped)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-m", "tests.proofs.audited", backend]
    done = subprocess.run(
        command,
        env=environment,
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(paths) > 300
    return lines


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("audit"))


def test_nothing_happens_but_the_opening_of_the_file(folder: str) -> None:
    for line in _watched("numpy", folder):
        others = [(event, what) for event, what in line["events"] if not harmless(event, what, line["file"])]
        assert not others, (line["file"], line["outcome"], others)


def harmless(event: str, what: str, file: str) -> bool:
    if event == "open":
        inside = Path(file).is_dir() and Path(what).parent == Path(file)
        beside = Path(file).suffix == ".json" and Path(what).parent == Path(file).parent
        return what == file or inside or beside or what == "/proc/self/mountinfo"
    return event in ("os.listdir", "os.scandir") and what == file


def test_no_module_is_imported_for_a_name_in_a_file(folder: str) -> None:
    for line in _watched("numpy", folder):
        assert line["modules"] == [], line["file"]
        assert not line["torch"], "a file's names brought torch in"


def test_the_traps_were_looked_at(folder: str) -> None:
    looked = [line for line in _watched("numpy", folder) if "trap_" in line["file"]]
    assert len(looked) == 4 * len(TRAPS)
    assert all("done" in line["outcome"] for line in looked)


@pytest.mark.torch
def test_nor_with_torch_as_the_back_end(folder: str) -> None:
    pytest.importorskip("torch")
    for line in _watched("torch", folder):
        others = [(event, what) for event, what in line["events"] if not harmless(event, what, line["file"])]
        assert not others, (line["file"], line["outcome"], others)
        assert not {name.partition(".")[0] for name in line["modules"]} & {
            trap.partition(".")[0] for trap in TRAPS if "tests" not in trap
        }


def test_the_hook_would_have_seen_it(tmp_path: Path) -> None:
    """The same watch over pickle itself sees the import that we promise not to make."""
    code = (
        "import sys, pickle\n"
        "seen = []\n"
        "sys.addaudithook(lambda event, args: seen.append((event, str(args[:1]))))\n"
        "pickle.loads(b'cthis\\nd\\n.')\n"
        "assert any(event == 'import' and 'this' in what for event, what in seen), seen\n"
        "assert any(event == 'exec' for event, what in seen)\n"
    )
    assert pickle.loads(b"N.") is None
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
