"""Reads files under an audit hook: ``python -m tests.proofs.audited numpy FILE...`` prints a line of JSON for each.

Python raises an audit event for every import, exec, compile, open, connection, process and change of the file
system. What happens while a file is opened, inspected, verified and loaded is written down, and nothing is stopped.
"""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import dotpt
from tests.corpus.stored import FIXTURES

#: Raised all the time, by everything, without any effect.
IDLE = (
    "object.__",
    "array.__new__",
    "sys._getframe",
    "gc.",
    "id",
    "builtins.id",
    "os.putenv",
    "cpython.",
    "sys.unraisablehook",
    "time.sleep",
    "mmap.__new__",
)
WARM = (
    "zip/state_dict.pt",
    "legacy/state_dict.pt",
    "gzip_zip/shared_many.pt",
    "deflated/shared_many.pt",
    "other/tar.pt",
    "other/script.pt",
    "other/lite.ptl",
    "other/hf_safetensors",
    "other/hf_bin",
    "zip/custom_objects.pt",
    "zip/numpy_kinds.pt",
    "zip/sparse_csr.pt",
    "zip/module.pt",
    "zip/nested_jagged.pt",
    "zip/nested_strided.pt",
    "zip/quantized_channel_quint8.pt",
    "zip/generator.pt",
    "zip/dtype_bfloat16.pt",
    "big_endian/shared_many.pt",
    "other/legacy_0_3_python2.pt",
    "zip/return_types.pt",
    "zip/checkpoint_lightning.pt",
    "other/exported.pt2",
    "other/packaged.pt",
    "zip/checkpoint_tutorial.pt",
    "zip/state_dict_tied.pt",
    "zip/singletons.pt",
    "zip/uninitialized_parameter.pt",
    "zip/dtype_complex32.pt",
    "zip/conj_view.pt",
    "zip/optimizer_adamw.pt",
    "zip/meta.pt",
    "zip/module_custom.pt",
    "other/script.pt",
)


def act(path: Path, backend: str) -> str:
    """Everything that a user who does not trust a file would do with it."""
    done = []
    for step in (
        _look,
        _inspect,
        _verify,
        lambda path: _rescue(path, backend),
        lambda path: dotpt.load(path, backend=backend, unknown="inert", limits=dotpt.Limits(deflated=True)),
    ):
        try:
            step(path)
            done.append("done")
        except dotpt.DotptError as error:
            str(error), error.to_dict()
            done.append(type(error).__name__)
        except NotImplementedError:
            done.append("not yet")
    return " ".join(done)


def _look(path: Path) -> None:
    with dotpt.open(path, limits=dotpt.Limits(deflated=True)) as archive:
        repr(archive), archive.globals, archive.tree, archive.metadata, archive.writer
        for ref in list(archive.tensors.values())[:50]:
            repr(ref), ref.describe()
            with contextlib.suppress(dotpt.DotptError):
                ref.numpy()


def _inspect(path: Path) -> None:
    dotpt.inspect(path).to_dict()


def _verify(path: Path) -> None:
    dotpt.verify(path)


def _rescue(path: Path, backend: str) -> None:
    with dotpt.rescue(path, backend=backend, limits=dotpt.Limits(deflated=True)) as rescued:
        repr(rescued), rescued.to_dict(), str(rescued.tree), rescued.state_dict


def listen() -> tuple[list[tuple[str, str]], list[bool]]:
    """What the interpreter does from now on, while the switch (the second) is on; it cannot be unheard."""
    events: list[tuple[str, str]] = []
    watching = [False]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if watching[0] and not event.startswith(IDLE):
            watching[0] = False
            events.append((event, str(arguments[0] if arguments else "")[:300]))
            watching[0] = True

    sys.addaudithook(hook)
    return events, watching


def main(backend: str, paths: list[Path]) -> None:
    """Warm up, then watch each file."""
    warnings.simplefilter("ignore")
    for codec in ("raw_unicode_escape", "latin1", "ascii", "utf-8"):  # those that the opcodes of old protocols need
        codecs.lookup(codec)
    for name in WARM:
        act(FIXTURES / name, backend)
    for data in (b"", b"no file at all", b"\x80\x02N.", b"PK\3\4" + bytes(100)):
        for step in (dotpt.open, dotpt.inspect):
            with contextlib.suppress(dotpt.DotptError, NotImplementedError):
                step(data)
    events, watching = listen()
    before = set(sys.modules)
    for path in paths:
        events.clear()
        watching[0] = True
        outcome = act(path, backend)
        watching[0] = False
        new = sorted(set(sys.modules) - before)
        print(
            json.dumps(
                {
                    "file": str(path),
                    "outcome": outcome,
                    "events": sorted(set(events)),
                    "modules": new,
                    "torch": "torch" in sys.modules,
                }
            )
        )


if __name__ == "__main__":
    main(sys.argv[1], [Path(line) for line in sys.stdin.read().splitlines()])
