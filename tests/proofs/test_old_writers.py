"""Files that torch 1.0 to 1.12 wrote, some under Python 2, are read as what their writers saved.

`tests/corpus/make_old_fixtures.py` says what is in them and how they came to be. Needs no torch; where it is installed,
what torch 2.13 still reads is compared as well, and what it does not read any more is listed in `TORCH_CANNOT`.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dotpt
from dotpt.errors import PickleError, UnsupportedError
from dotpt.tensors.arrays import MetaArray, QuantizedArray

OLD = Path(__file__).parents[1] / "corpus" / "old_fixtures"
SIZE = 3 << 19  # bytes of all folders together


@cache
def index(folder: str) -> Any:
    return json.loads((OLD / folder / "index.json").read_text(encoding="utf-8"))


def files() -> list[str]:
    return sorted(path.relative_to(OLD).as_posix() for path in OLD.glob("*/*") if path.suffix in (".pt", ".ptl"))


class Case:
    """One file, and what its index says of it."""

    def __init__(self, path: str) -> None:
        self.folder, self.name = path.split("/")
        self.path = OLD / path
        facts = index(self.folder)
        self.file = facts["files"][self.name]
        self.object = facts["objects"][self.file["object"]]
        self.way = self.file["way"]
        self.torch = tuple(int(part) for part in facts["torch"].split(".")[:2])
        self.python_2 = facts["python"] == "2.7"
        # Bytes that are no text, and the bytes of numpy's arrays, were texts to Python 2.
        self.bytes_inside = self.python_2 and self.file["object"] in ("values", "numpy_values")
        self.encoding = "latin1" if self.bytes_inside else "utf-8"

    @property
    def script(self) -> bool:
        return self.way in ("script", "lite")

    @property
    def readable(self) -> bool:
        """TorchScript took its present form with torch 1.3."""
        return not (self.script and self.torch < (1, 3))

    def tensors(self, archive: dotpt.Archive) -> dict[str, tuple[dotpt.TensorRef, dict[str, Any]]]:
        """The tensors of the opened file and what must be true of each, by address."""
        wanted = self.object["tensors"]
        hidden = "CONSTANTS." if self.script else "\0"  # of the code, not of the module
        found = {name: ref for name, ref in archive.tensors.items() if not name.startswith(hidden)}
        if self.file["object"] == "scripted_quantized":  # it lies where each version packs it
            kinds = {"qint8": "weight", "float32": "bias"}
            assert {kinds[ref.dtype.name] for ref in found.values()} == wanted.keys()
            return {name: (ref, wanted[kinds[ref.dtype.name]]) for name, ref in found.items()}
        spelled = {_BYTES.sub(r"\1", name): name for name in found}  # b'weight', where texts are kept as bytes
        assert spelled.keys() == wanted.keys()
        return {name: (found[name], wanted[plain]) for plain, name in spelled.items()}


_BYTES = re.compile(r"b'([^']*)'")
CASES = {path: Case(path) for path in files()}
READABLE = [path for path, case in CASES.items() if case.readable]


def test_the_indexes_name_exactly_the_files_there_are() -> None:
    named = {f"{folder.name}/{name}" for folder in OLD.iterdir() for name in index(folder.name)["files"]}
    assert named == set(CASES)
    assert sum(path.stat().st_size for path in OLD.glob("*/*")) < SIZE


# -- tensors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", READABLE)
def test_every_tensor_is_the_one_that_was_saved(path: str) -> None:
    case = CASES[path]
    for mmap in (False, True):
        with dotpt.open(case.path, encoding=case.encoding, mmap=mmap) as archive:
            found = case.tensors(archive)
            for name, (ref, facts) in found.items():
                check_tensor(ref, ref.numpy(), facts, f"{path} {name}")
            check_sharing(list(found.values()))


def check_tensor(ref: dotpt.TensorRef, values: Any, facts: dict[str, Any], at: str) -> None:
    assert list(ref.shape) == facts["shape"], at
    assert ref.dtype.name == facts["dtype"], at
    assert ref.requires_grad == facts["requires_grad"], at
    assert (ref.flavor == "parameter") == facts.get("parameter", False), at
    assert ref.layout == facts.get("layout", "strided"), at
    if ref.parts:
        assert ref.parts.keys() == facts["parts"].keys(), at
        for role, part in ref.parts.items():
            check_tensor(part, values.parts[role], facts["parts"][role], f"{at}.{role}")
        return
    assert list(ref.strides) == facts["stride"], at
    assert ref.offset == facts["offset"], at
    if facts.get("meta"):
        assert isinstance(values, MetaArray), at
        return
    if "scheme" in facts:
        assert isinstance(values, QuantizedArray), at
        assert np.ravel(values.scale).tolist() == facts["scales"], at
        assert np.ravel(values.zero_point).tolist() == facts["zero_points"], at
        assert values.axis == facts.get("axis"), at
        values = values.values
        if ref.dtype.bits:  # torch 1.12 makes the storage larger, and leaves the rest as it was in memory
            values = values[: -(-ref.numel * ref.dtype.bits // 8)]
    assert sha256(values) == facts["sha256"], at


def sha256(values: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


def check_sharing(found: list[tuple[dotpt.TensorRef, dict[str, Any]]]) -> None:
    """Two tensors look at one storage in the file exactly if they did when they were saved."""
    pairs = set()
    for ref, facts in found:
        for role, fact in facts.get("parts", {"": facts}).items():
            part = ref.parts[role] if role else ref  # type: ignore[index]
            if not fact.get("meta"):
                pairs.add((part.storage_key, fact["storage"]))
    assert len(pairs) == len({key for key, _ in pairs}) == len({number for _, number in pairs})


@pytest.mark.parametrize("path", READABLE)
def test_the_checksums_are_right(path: str) -> None:
    assert dotpt.verify(CASES[path].path).ok


# -- everything else --------------------------------------------------------------------------------------------------

PLAIN = [path for path in READABLE if CASES[path].object["plain"]]


@pytest.mark.parametrize("path", PLAIN)
def test_every_other_value_is_the_one_that_was_saved(path: str) -> None:
    case = CASES[path]
    found = dict(walk("", dotpt.load(case.path, backend="numpy", encoding=case.encoding)))
    for address, (kind, *fact) in case.object["plain"].items():
        check_value(found[address], kind, fact, case.encoding, f"{path} {address}")


def walk(address: str, value: Any) -> Iterator[tuple[str, Any]]:
    """(address, value) of whatever lies in dictionaries, lists and tuples."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, (list, tuple)):
        children = enumerate(value)
    else:
        yield address, value
    for key, child in children:
        yield from walk(f"{address}.{key}" if address else str(key), child)


def check_value(value: Any, kind: str, fact: list[Any], encoding: str, at: str) -> None:
    if kind == "ndarray":
        dtype, shape, digest = fact
        assert list(value.shape) == shape, at
        assert sha256(value.astype(dtype)) == digest, at
        assert value.dtype.newbyteorder("=") == np.dtype(dtype).newbyteorder("="), at
    elif kind == "scalar":
        assert value.dtype.str == fact[0], at
        assert value.tobytes() == bytes.fromhex(fact[1]), at
    elif kind == "bytes":
        assert (value.encode(encoding) if isinstance(value, str) else value) == bytes.fromhex(fact[0]), at
    elif kind == "str":
        assert value == fact[0], at
    else:
        assert type(value).__name__ == kind, at
        assert repr(value) == fact[0], at


# -- what is refused --------------------------------------------------------------------------------------------------

MODULES = [path for path in READABLE if CASES[path].object["module"]]


@pytest.mark.parametrize("path", MODULES)
def test_whole_modules_are_refused_unless_asked_for_as_records(path: str) -> None:
    case = CASES[path]
    with dotpt.open(case.path) as archive:
        unknown = archive.unknown_globals
        assert archive.kind.startswith("TorchScript" if case.script else "whole module")
    if unknown:
        with pytest.raises(dotpt.UnsafeGlobal):
            dotpt.load(case.path, backend="numpy")
    else:
        assert case.script
    assert type(dotpt.load(case.path, backend="numpy", unknown="inert")) is dotpt.InertObject


@pytest.mark.parametrize("path", [path for path in CASES if path not in READABLE])
def test_scripts_from_before_torch_1_3_are_refused_in_words(path: str) -> None:
    with pytest.raises(UnsupportedError, match=r"TorchScript archive in the format of torch 1\.0 to 1\.2"):
        dotpt.open(CASES[path].path)


# -- Python 2 ---------------------------------------------------------------------------------------------------------

PYTHON_2 = [path for path in READABLE if CASES[path].python_2 and not CASES[path].script]


@pytest.mark.parametrize("path", [path for path in PYTHON_2 if CASES[path].bytes_inside])
def test_python_2_texts_that_are_no_utf_8_need_an_encoding(path: str) -> None:
    with pytest.raises(PickleError, match="encoding="):
        dotpt.open(CASES[path].path)


@pytest.mark.parametrize("path", [path for path in PYTHON_2 if not CASES[path].object["module"]])
def test_python_2_texts_can_be_kept_as_bytes(path: str) -> None:
    case = CASES[path]
    with dotpt.open(case.path, encoding="bytes") as archive:
        for name, (ref, facts) in case.tensors(archive).items():
            check_tensor(ref, ref.numpy(), facts, f"{path} {name}")


# -- who wrote it -----------------------------------------------------------------------------------------------------

_CLAIM = re.compile(r"torch (\d+)\.(\d+)(?:\.\d+)?(?: (to|or) (\d+\.\d+|newer))?")


@pytest.mark.parametrize("path", READABLE)
def test_the_writer_is_in_the_range_that_is_claimed(path: str) -> None:
    case = CASES[path]
    with dotpt.open(case.path, encoding=case.encoding) as archive:
        claim = archive.writer.value
    found = _CLAIM.match(claim)
    assert found, claim
    first, last = (int(found[1]), int(found[2])), found[4]
    asked = "asked for the old format" in claim
    assert first <= case.torch, claim
    if last is None:
        assert first == case.torch, claim
    elif last != "newer" and not asked:
        assert case.torch <= tuple(int(part) for part in last.split(".")), claim
    if asked:
        assert case.way == "legacy", claim
    assert ("on Python 2" in claim) == (case.python_2 and case.way == "legacy"), claim


# -- torch of today ---------------------------------------------------------------------------------------------------


def torch_cannot(case: Case, encoding: str) -> str | None:
    """What torch 2.13 says of this file, if it does not read it."""
    name = case.file["object"]
    if encoding == "bytes" and name == "sparse":
        return "torch.sparse_coo"  # its own names as bytes
    if case.way == "zip" and case.torch == (1, 4) and (case.object["tensors"] or name == "torch_values"):
        return "file not found"  # it looks for data/KEY, torch 1.4 wrote tensors/KEY
    if name == "sparse" and case.torch in ((1, 11), (1, 12)):
        return "_rebuild_sparse_csr_tensor"  # a function that torch has no more
    if encoding == "bytes" and name == "torch_values":
        return "must be str, not bytes"
    return None


@pytest.mark.torch
@pytest.mark.parametrize("path", [path for path in READABLE if path not in MODULES])
def test_torch_gives_the_same(path: str) -> None:
    torch = pytest.importorskip("torch")
    from tests.corpus.compare import same

    case = CASES[path]
    for encoding in (case.encoding, "bytes") if case.python_2 else (case.encoding,):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours = dotpt.load(case.path, backend="torch", encoding=encoding)
            problem = torch_cannot(case, encoding)
            if problem:
                with pytest.raises(Exception, match=problem):
                    torch.load(case.path, weights_only=False, encoding=encoding)
                continue
            assert same(torch.load(case.path, weights_only=False, encoding=encoding), ours) is None


@pytest.mark.torch
@pytest.mark.parametrize("path", [path for path in MODULES if CASES[path].script])
def test_torch_gives_the_same_weights_of_a_script(path: str) -> None:
    torch = pytest.importorskip("torch")
    from tests.corpus.compare import same

    with warnings.catch_warnings(), dotpt.open(CASES[path].path) as archive:
        warnings.simplefilter("ignore")
        state = torch.jit.load(CASES[path].path).state_dict()
        for name, theirs in state.items():
            if name in archive.tensors:  # what is packed has no name there
                assert same(theirs, archive.tensors[name].torch().detach()) is None
