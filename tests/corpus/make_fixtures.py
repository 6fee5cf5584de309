"""Rewrite ``fixtures/``: real files by torch 2.13, small, with ``index.json`` to say what a reader must find in them.

    python -m tests.corpus.make_fixtures

The same torch and NumPy write the same bytes each time, in the same folder (TorchScript notes where its source lies).
Layout::

    fixtures/<variant>/<object>.pt      OBJECTS x VARIANTS: all objects as zip and legacy, some in each other variant
    fixtures/other/<name>               old.py, legacy_tar.py, script.py, folders.py
    fixtures/index.json                 {"torch": version, "objects": {object: facts}, "files": {path: {...}}}

`facts` is what `describe` says of what torch loads, with `safe` and `tags`; a file names the object that it holds.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from . import legacy_tar, old
from .describe import describe
from .folders import FOLDERS, model_state
from .objects import OBJECTS, quiet, tagged
from .script import SCRIPTS
from .variants import REWRITERS, VARIANTS, torch_reads

#: Objects of which a file lies in every variant: order of records, sharing, dtypes of both rebuild functions, layouts.
SAMPLE = ("shared_many", "shared_views", "dtype_bfloat16", "dtype_float8_e5m2", "conj_view", "containers", "state_dict")
_SUFFIXES = {"exported": ".pt2", "lite": ".ptl", "packaged": ".pt"}


def selection() -> Iterator[tuple[str, str]]:
    """Yield the pairs (variant, object) that are written."""
    for variant in VARIANTS:
        if variant == "zip":
            names = list(OBJECTS)
        elif variant == "legacy":  # modules carry their source and are large
            names = ["module_shared", *tagged(without=("module",))]
        elif variant == "big_endian":
            names = [*tagged("dtype"), *tagged("quantized"), *tagged("sparse"), *SAMPLE]
        elif variant == "zip_align_4096":
            names = ["shared_views"]
        elif variant in REWRITERS or "protocol" in variant:
            names = list(SAMPLE)
        else:
            names = ["shared_many", "dtype_bfloat16"]
        yield from ((variant, name) for name in dict.fromkeys(names))


def write_table(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write OBJECTS x VARIANTS and return facts by object, and files."""
    facts: dict[str, Any] = {}
    files: dict[str, Any] = {}
    for variant, name in selection():
        entry = OBJECTS[name]
        target = root / variant / f"{name}.pt"
        target.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:  # some variants choose their own file name
            written = VARIANTS[variant](entry(), Path(scratch) / target.name)
            shutil.copyfile(written, target)
        files[target.relative_to(root).as_posix()] = {
            "object": name,
            "variant": variant,
            "torch_reads": torch_reads(variant, entry),
        }
        if variant == "zip":
            with quiet():
                loaded = torch.load(target, weights_only=False)  # our own file of a moment ago
                facts[name] = {"safe": entry.safe, "tags": sorted(entry.tags), "tensors": describe(loaded)}
    return facts, files


def write_other(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the files that are not of the table; each is an object of its own."""
    facts: dict[str, Any] = {}
    files: dict[str, Any] = {}
    folder = root / "other"
    folder.mkdir()

    def enter(path: Path, obj: Any, kind: str, safe: bool = False) -> None:
        key = f"other/{path.name}"
        facts[key] = {"safe": safe, "tags": [kind], "tensors": describe(obj)}
        files[path.relative_to(root).as_posix()] = {"object": key, "variant": kind, "torch_reads": True}

    for name, data in {**old.EXAMPLES, **legacy_tar.EXAMPLES}.items():
        path = folder / f"{name}.pt"
        path.write_bytes(data)
        early = name == "tar_early"
        loaded = early_tar() if early else torch.load(path, weights_only=False)
        enter(path, loaded, "tar" if name.startswith("tar") else "legacy", safe=name not in _UNSAFE)
        files[f"other/{name}.pt"]["torch_reads"] = not early
    for name, write in SCRIPTS.items():
        path = write(folder / (name + _SUFFIXES.get(name, ".pt")))
        with quiet():
            module = torch.jit.load(str(path))
        tensors = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
        enter(path, tensors, "torchscript")
    for name, write in FOLDERS.items():
        with _inside(folder):  # DCP notes the path it is given
            path = folder / write(Path(name + _SUFFIXES.get(name, "")))
        enter(path, _exported(path) if name == "exported" else model_state(), name, safe=name.startswith("hf_"))
    return facts, files


#: Refused by ``weights_only``: a tar always, Python 2 texts beyond 255 bytes.
_UNSAFE = {"tar", "tar_early", "legacy_0_3_python2"}


def early_tar() -> dict[str, torch.Tensor]:
    """What `legacy_tar.example(early=True)` holds; torch cannot read that form."""
    weight = torch.frombuffer(bytearray(struct.pack("<6f", *range(6))), dtype=torch.float32).view(2, 3)
    return {"weight": weight, "transposed": weight.t(), "tied": weight, "count": torch.tensor([7, 8])}


def _exported(path: Path) -> dict[str, torch.Tensor]:
    with quiet():
        program = torch.export.load(path)
    return {**program.state_dict, **program.constants}


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main(root: Path = Path(__file__).parent / "fixtures") -> None:
    """Write everything anew."""
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    facts, files = write_table(root)
    other_facts, other_files = write_other(root)
    index = {"torch": torch.__version__, "objects": {**facts, **other_facts}, "files": {**files, **other_files}}
    text = _lines(index)
    (root / "index.json").write_text(text, encoding="utf-8")


def _lines(index: dict[str, Any]) -> str:
    """JSON with a line for each tensor and each file, so that a change shows as the line it is."""
    objects = []
    for name, fact in index["objects"].items():
        head = json.dumps({key: fact[key] for key in ("safe", "tags")})[:-1]
        tensors = ",".join("\n   " + json.dumps(tensor, ensure_ascii=False) for tensor in fact["tensors"])
        objects.append(f'  {json.dumps(name)}: {head}, "tensors": [{tensors}]}}')
    files = [f"  {json.dumps(path)}: {json.dumps(fact)}" for path, fact in index["files"].items()]
    head = f'{{\n "torch": {json.dumps(index["torch"])},\n "objects": {{\n'
    return head + ",\n".join(objects) + '\n },\n "files": {\n' + ",\n".join(files) + "\n }\n}\n"


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # TorchScript writes its constants in the order of a set
        os.execve(sys.executable, sys.orig_argv, {**os.environ, "PYTHONHASHSEED": "0"})
    main()
