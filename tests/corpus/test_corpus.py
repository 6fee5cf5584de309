"""The corpus is what it says: torch reads back what we wrote with it, and our own writers write what torch reads."""

from __future__ import annotations

import gzip
import io
import json
import struct
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.corpus import folders, legacy_tar, old, pickles, script, torch_zip, zip_mutations  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.corpus.describe import describe  # noqa: E402
from tests.corpus.make_fixtures import selection  # noqa: E402
from tests.corpus.objects import OBJECTS, quiet, tagged  # noqa: E402
from tests.corpus.stored import STORED  # noqa: E402
from tests.corpus.variants import VARIANTS, legacy_stream, torch_reads, zip_bytes  # noqa: E402


def torch_load(source: Any, **options: Any) -> Any:
    """Load our own file, whatever classes it names."""
    with quiet():
        return torch.load(source, **{"weights_only": False, **options})


def load_variant(path: Path, variant: str) -> Any:
    """Load what `variant` wrote, as its reader must be told to."""
    data = path.read_bytes()
    if variant.startswith("gzip"):
        data = gzip.decompress(data)
    endianness = torch.serialization.LoadEndianness.BIG if variant == "big_endian_unmarked" else None
    torch.serialization.set_default_load_endianness(endianness)
    try:
        return torch_load(io.BytesIO(data))
    finally:
        torch.serialization.set_default_load_endianness(None)


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_builds_the_same_each_time(name: str) -> None:
    state = torch.get_rng_state()
    assert same(OBJECTS[name](), OBJECTS[name]()) is None
    assert zip_bytes(OBJECTS[name]()) == zip_bytes(OBJECTS[name]())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("variant", VARIANTS)
def test_torch_reads_every_object_in_every_variant(variant: str, tmp_path: Path) -> None:
    for name, entry in OBJECTS.items():
        path = VARIANTS[variant](entry(), tmp_path / f"{name}.pt")
        if torch_reads(variant, entry):
            assert same(entry(), load_variant(path, variant)) is None, name


def test_what_is_safe_is_known() -> None:
    assert OBJECTS["state_dict"].safe
    assert OBJECTS["optimizer_adamw"].safe
    assert not any(OBJECTS[name].safe for name in tagged("numpy"))
    assert not any(OBJECTS[name].safe for name in tagged("module"))


def test_several_objects_in_one_stream() -> None:
    stream = io.BytesIO(legacy_stream({"a": torch.ones(2)}, [torch.zeros(3)]))
    assert same(torch_load(stream), {"a": torch.ones(2)}) is None
    assert same(torch_load(stream), [torch.zeros(3)]) is None


@pytest.mark.parametrize("name", [*old.EXAMPLES, "tar"])
def test_torch_reads_what_older_torch_would_have_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / "old.pt"
    path.write_bytes({**old.EXAMPLES, **legacy_tar.EXAMPLES}[name])
    loaded = torch_load(path)
    found = loaded["whole"] if name == "legacy_0_3_views" else loaded["weight"]
    expected = torch.arange(6.0).view(2, 3)
    assert torch.equal(
        found, expected.view(2, 3).reshape(-1).as_strided((3, 2), (1, 3)) if "python2" in name else expected
    )


def test_torch_does_not_read_the_earliest_tar(tmp_path: Path) -> None:
    path = tmp_path / "early.tar"
    path.write_bytes(legacy_tar.EXAMPLES["tar_early"])
    with pytest.raises(ValueError, match="not enough values to unpack"):
        torch_load(path)


@pytest.mark.parametrize("name", script.SCRIPTS)
def test_scripts_load(name: str, tmp_path: Path) -> None:
    path = script.SCRIPTS[name](tmp_path / "m.pt")
    with quiet():
        module = torch.jit.load(str(path))
    assert module.inner.linear.weight.shape == (2, 3)


@pytest.mark.parametrize("name", folders.FOLDERS)
def test_folders_are_written(name: str, tmp_path: Path) -> None:
    if name == "hf_safetensors":
        pytest.importorskip("safetensors")
    assert folders.FOLDERS[name](tmp_path / ("m.pt2" if name == "exported" else "m")).exists()


def test_a_mutation_changes_the_bytes_and_only_the_bytes() -> None:
    data = zip_bytes({"w": torch.arange(4.0), "empty": torch.empty(0)})
    assert zip_mutations.parse(data).write() == data
    made = zip_mutations.mutations(data)
    assert not [name for name, mutated in made.items() if mutated == data]
    assert len(set(made.values())) == len(made)


def test_our_zip_writer_writes_what_torch_writes() -> None:
    data = zip_bytes(OBJECTS["shared_many"]())
    root, records = torch_zip.read(data)
    assert torch_zip.write(records, torch_zip.Style(root)) == data


def test_an_assembled_file_loads() -> None:
    data = torch_zip.pt(pickles.pickled(pickles.tensor()), {"0": struct.pack("<4f", 1, 2, 3, 4)})
    assert torch_load(io.BytesIO(data), weights_only=True).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("path", STORED)
def test_a_fixture_holds_what_the_index_says(path: str) -> None:
    stored = STORED[path]
    if not path.startswith("other/") and stored.torch_reads:
        assert json.loads(json.dumps(describe(load_variant(stored.path, stored.variant)))) == stored.tensors


def test_the_index_is_complete() -> None:
    listed = {path for path in STORED if not path.startswith("other/")}
    assert listed == {f"{variant}/{name}.pt" for variant, name in selection()}
    assert all(stored.path.exists() for stored in STORED.values())


class TestSame:
    """The comparison finds differences, each with its address."""

    @pytest.mark.parametrize(
        ("a", "b", "says"),
        [
            ([1, 2], [1, 3], "[1]: value 2 in a, 3 in b"),
            ([1], (1,), "root: type 'builtins.list' in a"),
            ([True], [1], "[0]: type 'builtins.bool' in a"),
            ([0.0], [-0.0], "[0]: value 0.0 in a, -0.0 in b"),
            ({"a": 1}, {"b": 1}, "<key 0>: value 'a' in a"),
            ({"a": torch.ones(2)}, {"a": torch.zeros(2)}, "['a']: byte 2 of 8"),
            (torch.ones(2), torch.ones(2).double(), "root: dtype"),
            (torch.ones(2, 3), torch.ones(3, 2).t(), "root: stride (3, 1) in a, (1, 2) in b"),
            (torch.ones(2), torch.ones(2, requires_grad=True), "root: requires_grad"),
            ([torch.ones(2)] * 2, [torch.ones(2), torch.ones(2)], "[1]: tensor shared in one graph only"),
            ([[]] * 2, [[], []], "[1]: object shared in one graph only"),
        ],
    )
    def test_differences(self, a: Any, b: Any, says: str) -> None:
        found = same(a, b)
        assert found is not None
        assert says in found

    def test_shared_storage_in_one_graph_only(self) -> None:
        base = torch.ones(2)
        assert same([base, base.view(2)], [torch.ones(2), torch.ones(2)]) == "[1]: storage shared in one graph only"
        assert same([base, base.view(2)], [torch.ones(2), torch.ones(2)], sharing=False) is None

    def test_cycles_and_depth(self) -> None:
        left, right = OBJECTS["cycle_dict"](), OBJECTS["cycle_dict"]()
        assert same(left, right) is None
        deep_a: list[Any] = []
        deep_b: list[Any] = []
        for _ in range(20_000):
            deep_a, deep_b = [deep_a], [deep_b]
        assert same(deep_a, deep_b) is None

    def test_nan_is_the_same_as_itself(self) -> None:
        assert same([float("nan"), torch.tensor(float("nan"))], [float("nan"), torch.tensor(float("nan"))]) is None


def test_silence_is_narrow() -> None:
    with quiet(), pytest.raises(UserWarning, match="something else"):
        warnings.warn("something else", UserWarning, stacklevel=1)
