"""Every object that torch can save, in every way it can be written, comes back as torch gives it, or better.

What torch reads wrong, or cannot read back itself, is compared with the object that was saved, and is listed in
`DIFFERENCES`, which docs/differences.md states.
"""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

import dotpt  # noqa: E402
from dotpt.errors import TensorError  # noqa: E402
from dotpt.pickling.tree import named_tensors  # noqa: E402
from dotpt.pickling.values import ReturnType  # noqa: E402
from dotpt.tensors.arrays import MetaArray, NestedArray, QuantizedArray, SparseArray  # noqa: E402
from tests.corpus.bits import logical_bytes, storage_bytes  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.corpus.objects import OBJECTS, quiet  # noqa: E402
from tests.corpus.variants import VARIANTS, zip_bytes  # noqa: E402

DOCS = Path(__file__).parents[2] / "docs" / "differences.md"
PACKED = dotpt.Limits(deflated=True)  # one variant compresses its records

#: What dotpt gives and torch 2.13 does not: name of the difference -> does it concern this variant and this object?
DIFFERENCES: dict[str, Callable[[str, str], bool]] = {
    "legacy-untyped": lambda variant, name: "legacy" in variant and name in LEGACY_UNTYPED,
    "legacy-too-early": lambda variant, name: "legacy" in variant and name in EARLY,
    "big-endian-untyped": lambda variant, name: variant == "big_endian" and name in SWAPPED_WRONG,
    "paths": lambda variant, name: name == "path",
    "big-endian-unmarked": lambda variant, name: variant == "big_endian_unmarked",
}
#: Written with an untyped storage: the legacy writer of torch 2.13 fails to read such a file back.
EARLY = ("generator", "nested_strided")
LEGACY_UNTYPED = frozenset(name for name, entry in OBJECTS.items() if "no-legacy" in entry.tags and name not in EARLY)
SWAPPED_WRONG = frozenset(("dtype_uint16", "dtype_uint32", "dtype_uint64", "dtype_bits16", "dtype_complex32"))

#: Objects of classes that dotpt does not know: refused, and read as inert records when asked.
UNKNOWN = frozenset(
    name
    for name, entry in OBJECTS.items()
    # by our own judgement; the list below must be all of it
    if dotpt.inspect(zip_bytes(entry())).safety.verdict != "harmless"
)


def test_only_objects_with_classes_of_their_own_are_refused() -> None:
    known_kinds = {
        name for name in OBJECTS if name.split("_")[0] in ("dtype", "shape", "stride", "sparse", "nested", "storage")
    }
    assert not UNKNOWN & known_kinds
    assert not UNKNOWN & {name for name, entry in OBJECTS.items() if entry.safe}


def torch_load(path: Path, **options: Any) -> Any:
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    with quiet():
        return torch.load(io.BytesIO(data), weights_only=False, **options)


def ours(path: Path, **options: Any) -> Any:
    with quiet():
        return dotpt.load(path, **{"backend": "torch", "limits": PACKED, **options})


def write(variant: str, name: str, folder: Path) -> Path:
    with quiet():
        return VARIANTS[variant](OBJECTS[name](), folder / f"{name}.pt")


def differs(variant: str, name: str) -> list[str]:
    return [label for label, concerns in DIFFERENCES.items() if concerns(variant, name)]


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "big_endian_unmarked"])
def test_every_object_is_read_as_torch_reads_it(variant: str, tmp_path: Path) -> None:
    for name in OBJECTS:
        path = write(variant, name, tmp_path)
        if name in UNKNOWN:
            with pytest.raises(dotpt.UnsafeGlobal) as caught:
                ours(path)
            assert caught.value.globals
            assert all(str(unknown)[:100] in str(caught.value) for unknown in caught.value.globals[:20])
        elif differs(variant, name):
            found = ours(path)
            if name == "path":
                found["best"] = Path(found["best"])
            assert same(OBJECTS[name](), found) is None, (variant, name)
        else:
            assert same(torch_load(path), ours(path)) is None, (variant, name)


def test_big_endian_files_without_a_mark_are_taken_for_little_endian_as_torch_does(tmp_path: Path) -> None:
    """Only sparse and nested tensors notice: their indices are checked, and torch's are not."""
    refused = []
    for name in OBJECTS:
        if name in UNKNOWN or name == "path":
            continue
        path = write("big_endian_unmarked", name, tmp_path)
        try:
            found = ours(path)
        except TensorError:
            refused.append(name)
            continue
        if name != "generator":  # torch sets a generator's state to whatever the swapped bytes are
            assert same(torch_load(path), found) is None, name
    assert refused
    assert all(name.startswith(("sparse", "nested")) for name in refused)


@pytest.mark.parametrize("label", DIFFERENCES)
def test_each_difference_is_documented(label: str) -> None:
    assert f"`{label}`" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(LEGACY_UNTYPED))
def test_torch_cannot_read_its_own_legacy_files_of_these_types(name: str, tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match="UntypedStorage"):
        torch_load(write("legacy", name, tmp_path))


@pytest.mark.parametrize("name", sorted(SWAPPED_WRONG))
def test_torch_reads_these_types_wrong_from_big_endian_files(name: str, tmp_path: Path) -> None:
    assert same(OBJECTS[name](), torch_load(write("big_endian", name, tmp_path))) is not None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc to fill fresh memory")
@pytest.mark.parametrize("name", EARLY)
def test_torch_builds_these_from_storages_that_it_has_not_read_yet(name: str, tmp_path: Path) -> None:
    """It fails, or builds something from what lies in memory; glibc makes sure that this is nothing useful."""
    path = write("legacy", name, tmp_path)
    code = (
        "import sys, torch\n"
        "from tests.corpus.compare import same\nfrom tests.corpus.objects import OBJECTS\n"
        "try:\n    found = torch.load(sys.argv[1], weights_only=False)\n"
        "except (RuntimeError, SystemError):\n    print('fails')\n"
        "else:\n    print('right' if same(OBJECTS[sys.argv[2]](), found) is None else 'wrong')"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(path), name]
    environment = {**os.environ, "MALLOC_PERTURB_": "85", "PYTHONPATH": os.pathsep.join(["src", "."])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=DOCS.parents[1])
    assert done.stdout.strip() in ("fails", "wrong")
    assert same(OBJECTS[name](), ours(path)) is None


# -- other ways to take the same data -------------------------------------------------------------------------------

WAYS = ("zip", "legacy", "big_endian", "zip_protocol_5", "as_torch_1_4", "zip_align_1")


@pytest.mark.parametrize("name", OBJECTS)
def test_inert_loading_gives_the_same_tensors(name: str, tmp_path: Path) -> None:
    for variant in WAYS:
        path = write(variant, name, tmp_path)
        inert = ours(path, unknown="inert")
        if name not in UNKNOWN:
            assert same(ours(path), inert) is None
            continue
        wanted = {logical_bytes(t) for t in tensors_in(OBJECTS[name]())}
        assert wanted <= {logical_bytes(t) for t in tensors_in(inert)}, (variant, name)


def tensors_in(root: Any) -> list[Any]:
    """Every plain tensor below ``root``, through containers, attributes and inert records."""
    found, seen, todo = [], set(), [root]
    while todo:
        value = todo.pop()
        if id(value) in seen or isinstance(value, (str, bytes, int, float, type)):
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor) and type(value) in (torch.Tensor, torch.nn.Parameter):
            found.append(value.detach())
        elif isinstance(value, dict):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, (list, tuple, set, frozenset)):
            todo += value
        if isinstance(value, dotpt.InertObject):
            todo += [value.args, value.kwargs, value.states, value.items, value.pairs]
        elif not isinstance(value, torch.Tensor):
            todo += list(getattr(value, "__dict__", {}).values())
            todo += [getattr(value, slot) for slot in getattr(type(value), "__slots__", ()) if hasattr(value, slot)]
    return found


@pytest.mark.parametrize("name", OBJECTS)
def test_mapped_files_give_the_same_as_read_ones(name: str, tmp_path: Path) -> None:
    for variant in WAYS:
        path = write(variant, name, tmp_path)
        read = ours(path, unknown="inert")
        mapped = ours(path, unknown="inert", mmap=True)
        if "deflated" not in variant and name not in UNKNOWN:
            assert same(read, mapped) is None, (variant, name)
        elif name in UNKNOWN:
            assert [logical_bytes(t) for t in tensors_in(read)] == [logical_bytes(t) for t in tensors_in(mapped)]


@pytest.mark.parametrize("name", [n for n in OBJECTS if n not in UNKNOWN])
def test_a_device_name_a_device_a_dictionary_and_a_function_place_tensors_as_torch_does(
    name: str, tmp_path: Path
) -> None:
    if name == "path" or name.startswith("storage"):  # a bare storage on the meta device has no bytes to compare
        return
    path = write("zip", name, tmp_path)
    forms = (
        "cpu",
        torch.device("cpu"),
        "meta",
        torch.device("meta"),
        {"cpu": "cpu"},
        {"cpu": "meta"},
        {"cuda:0": "cpu"},
    )
    for form in (*forms, lambda storage, tag: storage, lambda storage, tag: None):
        wanted, found = (outcome(load, path, form) for load in (torch_load, ours))
        if isinstance(wanted, Exception) or isinstance(found, Exception):
            # torch cannot build quantized tensors and generators on the meta device; neither can dotpt
            assert isinstance(wanted, Exception), (name, form, found)
            assert isinstance(found, dotpt.DotptError), (name, form)
        else:
            assert same(wanted, found) is None, (name, form)


def outcome(load: Callable[..., Any], path: Path, map_location: Any) -> Any:
    try:
        return load(path, map_location=map_location)
    except Exception as error:
        return error


def test_a_function_is_called_once_for_each_storage_with_its_tag(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    torch.save({"a": shared, "b": shared[2:], "c": torch.ones(3)}, tmp_path / "f.pt")
    calls: list[tuple[int, str]] = []

    def place(storage: Any, tag: str) -> Any:
        calls.append((storage.nbytes(), tag))
        return storage

    loaded = ours(tmp_path / "f.pt", map_location=place)
    assert sorted(calls) == [(12, "cpu"), (24, "cpu")]
    assert loaded["a"].untyped_storage().data_ptr() == loaded["b"].untyped_storage().data_ptr()


# -- numpy ----------------------------------------------------------------------------------------------------------


def bytes_of(array: np.ndarray[Any, Any]) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def compare_arrays(tensor: Any, found: Any, name: str) -> None:
    """A torch tensor and what the numpy back end gave for it, bit by bit."""
    if isinstance(found, MetaArray):
        assert tensor.is_meta
        assert found.shape == tuple(tensor.shape)
        assert f"torch.{found.dtype}" == str(tensor.dtype)
    elif isinstance(found, QuantizedArray):
        if tensor.dtype in (torch.quint4x2, torch.quint2x4):
            assert bytes_of(found.values) == storage_bytes(tensor.untyped_storage())
            return
        assert bytes_of(found.values) == bytes_of(tensor.int_repr().numpy()), name
        np.testing.assert_allclose(found.dequantize(), tensor.dequantize().numpy(), rtol=1e-6)
    elif isinstance(found, SparseArray):
        assert found.shape == tuple(tensor.shape)
        for role, part in found.parts.items():
            read = getattr(tensor, f"_{role}" if found.layout == "sparse_coo" else role)
            assert bytes_of(part) == bytes_of(read().numpy()), (name, role)
    elif isinstance(found, NestedArray):
        whole = [bytes_of(part.detach().numpy()) for part in tensor.unbind()]
        assert [bytes_of(part) for part in found.components] == whole, name
    elif tensor.dtype == torch.complex32:
        assert found.dtype == np.complex64
        assert bytes_of(found) == bytes_of(tensor.detach().to(torch.complex64).numpy())
    else:
        assert found.shape == tuple(tensor.shape), name
        assert bytes_of(found) == logical_bytes(tensor), name


@pytest.mark.parametrize("name", [n for n in OBJECTS if n not in UNKNOWN])
def test_numpy_gives_the_same_bits(name: str, tmp_path: Path) -> None:
    for variant in WAYS:
        path = write(variant, name, tmp_path)
        with dotpt.open(path) as archive, quiet():
            for address, ref in archive.tensors.items():
                tensor = ref.torch()
                compare_arrays(tensor.detach(), ref.numpy(), f"{variant} {name} {address}")
                compare_arrays(tensor.detach(), ref.numpy(mmap=True), f"{variant} {name} {address} mapped")


@pytest.mark.parametrize("name", OBJECTS)
def test_the_numpy_back_end_loads_whole_objects(name: str, tmp_path: Path) -> None:
    for variant in ("zip", "legacy", "big_endian"):
        path = write(variant, name, tmp_path)
        if isinstance(OBJECTS[name](), torch.nn.Module):  # without torch there is no module, only the record of one
            assert isinstance(dotpt.load(path, backend="numpy", unknown="inert"), dotpt.InertObject)
            continue
        compared = walk_both(ours(path, unknown="inert"), dotpt.load(path, backend="numpy", unknown="inert"), name)
        with dotpt.open(path) as archive:
            assert compared >= len({id(ref) for _, ref in named_tensors(archive.tree, 1000)}), name


def walk_both(ours_torch: Any, ours_numpy: Any, name: str) -> int:
    """Compare two loads of one file leaf by leaf; the number of tensors and storages compared."""
    compared, seen, todo = 0, set(), [(ours_torch, ours_numpy)]
    while todo:
        left, right = todo.pop()
        if id(left) in seen:
            continue
        seen.add(id(left))
        if isinstance(left, torch.Tensor):
            compare_arrays(left.detach(), right, name)
            compared += 1
        elif isinstance(left, (torch.TypedStorage, torch.UntypedStorage)):
            assert bytes_of(right) == storage_bytes(left)
            compared += 1
        elif isinstance(left, dict):
            assert type(left) is type(right)
            assert len(left) == len(right)
            todo += [
                pair for pairs in zip(left.items(), right.items(), strict=True) for pair in zip(*pairs, strict=True)
            ]
        elif isinstance(left, dotpt.InertObject):
            assert type(right) is dotpt.InertObject
            todo += [(getattr(left, slot), getattr(right, slot)) for slot in dotpt.InertObject.__slots__]
        elif isinstance(left, torch.Generator):
            assert bytes_of(right.state) == bytes_of(left.get_state().numpy())
            compared += 1
        elif isinstance(left, tuple) and isinstance(right, ReturnType):
            todo += zip(left, right.values, strict=True)
        elif isinstance(left, (list, tuple)):
            assert isinstance(right, (list, tuple))
            todo += zip(left, right, strict=True)
        elif isinstance(left, np.ndarray) and left.dtype.hasobject:
            todo += zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)
        elif isinstance(left, (str, bytes, int, type(None), np.generic)):
            assert repr(left) == repr(right)
            assert type(left) is type(right)
    return compared


# -- one tensor at a time -------------------------------------------------------------------------------------------

STRIDED = [n for n, entry in OBJECTS.items() if n.startswith(("dtype", "shape", "stride", "conj", "neg", "view"))]


@pytest.mark.parametrize("name", STRIDED)
def test_a_slice_is_the_part_that_numpy_gives_for_the_same_index(name: str, tmp_path: Path) -> None:
    for variant in ("zip", "legacy", "big_endian", "deflated"):
        with dotpt.open(write(variant, name, tmp_path), limits=PACKED) as archive:
            for address, ref in archive.tensors.items():
                if ref.dtype.kind == "quantized":
                    continue
                whole = ref.numpy()
                for index in indices(whole.shape):
                    part, wanted = np.asarray(ref[index]), np.asarray(whole[index])
                    assert part.shape == wanted.shape, (variant, address, index)
                    assert bytes_of(part) == bytes_of(wanted), (variant, address, index)


def indices(shape: tuple[int, ...]) -> list[Any]:
    found: list[Any] = [..., (), (None, ...)]
    if shape:
        found += [
            slice(1, 3),
            slice(None),
            slice(None, None, 2),
            slice(3, 1),
            slice(None, None, -1),
            (slice(0, 1), ...),
        ]
        found += [(..., slice(0, 1)), (None, slice(1, None))]
        if all(shape):
            found += [0, -1, tuple(n - 1 for n in shape), (0,) * len(shape), (0, ...), [0], [0, 0]]
    return found


def test_only_keeps_what_matches_and_reads_nothing_else(tmp_path: Path) -> None:
    state = {"a.w": torch.ones(3), "a.b": torch.zeros(2), "c": {"w": torch.arange(4)}, "l": [torch.ones(1), 5]}
    torch.save(state, tmp_path / "s.pt")
    content = bytearray((tmp_path / "s.pt").read_bytes())
    at = content.index(np.zeros(2, np.float32).tobytes() + b"PK\x07\x08")  # damage a.b: it must not be read
    content[at] ^= 1
    (tmp_path / "s.pt").write_bytes(content)
    for backend in ("torch", "numpy"):
        found = dotpt.load(tmp_path / "s.pt", backend=backend, only=["a.w", "c.*"])
        assert list(found) == ["a.w", "c", "l"]
        assert found["l"] == [None, 5]
        assert found["a.w"].tolist() == [1, 1, 1]
        assert found["c"]["w"].tolist() == [0, 1, 2, 3]
    with pytest.raises(dotpt.DotptError, match="damaged"):
        dotpt.load(tmp_path / "s.pt", only="a.*")
    with pytest.raises(ValueError, match=r"No tensor.*nothing"):
        dotpt.load(tmp_path / "s.pt", only="nothing")


def test_a_tensor_at_two_addresses_is_selected_by_either(tmp_path: Path) -> None:
    tied = torch.ones(3)
    torch.save({"a": tied, "b": tied, "c": torch.zeros(1)}, tmp_path / "t.pt")
    for wanted in ("a", "b"):
        found = dotpt.load(tmp_path / "t.pt", only=wanted)
        assert "c" not in found
        assert found[wanted].tolist() == [1, 1, 1]


def test_attributes_of_a_tensor_are_read_with_it(tmp_path: Path) -> None:
    tensor = torch.ones(2)
    tensor.extra = {"mask": torch.arange(3)}  # type: ignore[attr-defined]
    torch.save({"x": tensor, "y": torch.zeros(1)}, tmp_path / "a.pt")
    assert dotpt.load(tmp_path / "a.pt", only="x")["x"].extra["mask"].tolist() == [0, 1, 2]
    with dotpt.open(tmp_path / "a.pt") as archive:
        assert archive.tensors["x"].torch().extra["mask"].tolist() == [0, 1, 2]


def test_an_index_of_single_elements_never_touches_memory_outside_the_tensor(tmp_path: Path) -> None:
    """The last element of a tensor whose logical extent is far larger than numpy's stand-in for it."""
    wide = torch.zeros(1 << 20)
    wide[-1] = 7
    torch.save({"w": wide.view(1 << 10, 1 << 10)}, tmp_path / "w.pt")
    with dotpt.open(tmp_path / "w.pt") as archive:
        assert archive.tensors["w"][1023, 1023] == 7
        with pytest.raises(IndexError):
            archive.tensors["w"][1024, 0]


@pytest.mark.parametrize("name", ["meta", "quantized_tensor_quint8", "sparse_coo", "nested_strided"])
def test_part_of_a_tensor_that_is_no_plain_array_is_refused_in_words(name: str, tmp_path: Path) -> None:
    with dotpt.open(write("zip", name, tmp_path)) as archive, pytest.raises(ValueError, match="cannot be taken"):
        next(iter(archive.tensors.values()))[0:1]


def test_classes_of_torch_that_were_saved_as_values_come_back(tmp_path: Path) -> None:
    """As torch gives them; the numpy back end keeps their names."""
    saved = [torch.Size, torch.device, torch.Tensor, torch.nn.Parameter, torch.Generator, torch.float32, int]
    torch.save(saved, tmp_path / "c.pt")
    assert dotpt.load(tmp_path / "c.pt", backend="torch") == saved
    found = dotpt.load(tmp_path / "c.pt", backend="numpy")
    assert [str(getattr(value, "qualified", value)) for value in found][:3] == [
        "torch.Size",
        "torch.device",
        "torch.Tensor",
    ]
