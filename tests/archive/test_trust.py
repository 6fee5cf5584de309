"""``dotpt.load(..., trust="all")`` gives what ``torch.load(..., weights_only=False)`` gives, types included."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import dotpt
from dotpt.errors import CannotBuild, UnsafeGlobal
from dotpt.pickling.trust import Trust
from dotpt.pickling.values import InertObject

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from tests.archive import trusted_torch  # noqa: E402
from tests.archive.trusted_torch import OBJECTS, Net  # noqa: E402
from tests.corpus import objects as corpus  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.corpus.stored import FIXTURES, STORED  # noqa: E402
from tests.pickling.trusted import Data  # noqa: E402

OLD = Path(__file__).parents[1] / "corpus" / "old_fixtures"


def saved(value: Any, protocol: int = 2, zipped: bool = True) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def check(source: Any, **options: Any) -> None:
    """Both load it alike."""
    wanted = torch.load(io.BytesIO(source) if isinstance(source, bytes) else source, weights_only=False, **options)
    assert same(dotpt.load(source, trust="all", **options), wanted) is None


# -- everything --------------------------------------------------------------------------------------------------------


#: Of a generator in a legacy file, torch reads the state before it is there.
WRITTEN = [(name, zipped) for name in OBJECTS for zipped in (True, False) if zipped or name != "generator"]


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
@pytest.mark.parametrize(("name", "zipped"), WRITTEN)
def test_objects_of_torch_and_of_users(name: str, zipped: bool, protocol: int) -> None:
    with corpus.quiet():
        check(saved(OBJECTS[name](), protocol, zipped))


@pytest.mark.parametrize(("protocol", "zipped"), [(2, True), (5, True), (4, False), (2, False)])
def test_the_corpus(protocol: int, zipped: bool) -> None:
    tried = 0
    for name in corpus.tagged(without=() if zipped else ("no-legacy",)):
        with corpus.quiet():
            data = saved(corpus.OBJECTS[name](), protocol, zipped)
            try:
                wanted = torch.load(io.BytesIO(data), weights_only=False)
            except (RuntimeError, AttributeError, SystemError):
                continue  # torch cannot always read back what it wrote
            assert same(dotpt.load(data, trust="all"), wanted) is None, name
            tried += 1
    assert tried > 120


def test_files_of_every_writer() -> None:
    """Also those of old torch, with the sources of module classes as persistent ids, and of Python 2."""
    tried = 0
    fixtures = [file.path for file in STORED.values() if file.torch_reads and file.path.suffix == ".pt"]
    for path in [*fixtures, *sorted(OLD.rglob("*.pt"))]:
        if path.parent.name == "big_endian" or "script" in path.name or "trace" in path.name or "froz" in path.name:
            continue  # torch swaps some dtypes wrongly; TorchScript is for torch.jit.load
        with corpus.quiet():
            try:
                wanted = torch.load(path, weights_only=False)
            except Exception:  # what torch cannot read is no yardstick
                continue
            found = dotpt.load(path, trust="all", limits=dotpt.Limits(deflated=True))
        assert same(found, wanted) is None, path
        tried += 1
    assert tried > 500


def test_whole_models_run_again() -> None:
    torch.manual_seed(0)
    net = Net().eval()
    found = dotpt.load(saved(net), trust="all")
    assert type(found) is Net
    assert found.child.parent is found
    assert found.linear.weight.owner is found
    assert found.tied is found.linear.weight
    assert not found.training
    x = torch.ones(4, 2)
    assert torch.equal(found(x), net(x))


def test_a_saved_optimizer_goes_on_where_it_was() -> None:
    made = trusted_torch.training()
    found = dotpt.load(saved(made), trust="all")
    made["optimizer"].zero_grad()  # gradients are not saved
    for state in (made, found):
        state["model"](torch.ones(1, 2)).sum().backward()
        state["optimizer"].step()
    assert found["optimizer"].param_groups[0]["params"][0] is found["model"].weight
    assert torch.equal(found["model"].weight, made["model"].weight)


# -- a list ------------------------------------------------------------------------------------------------------------

NAMES = [Net, trusted_torch.Child, trusted_torch.hook, "torch.nn.modules.*"]


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_listed_is_enough(zipped: bool) -> None:
    with corpus.quiet():
        data = saved(Net(), 2, zipped)
        wanted = torch.load(io.BytesIO(data), weights_only=False)
        assert same(dotpt.load(data, trust=[*NAMES, "collections.*"]), wanted) is None
        with pytest.raises(UnsafeGlobal, match=r"trusted_torch\.hook") as caught:
            dotpt.load(data, trust=[Net, trusted_torch.Child, "torch.nn.modules.*"])
    assert [str(name) for name in caught.value.globals] == ["tests.archive.trusted_torch.hook"]


def test_what_torch_trusts_can_be_trusted_too() -> None:
    data = saved(Net())
    with torch.serialization.safe_globals(
        [Net, (trusted_torch.Child, "tests.archive.trusted_torch.Child"), trusted_torch.hook]
    ):
        safe = torch.serialization.get_safe_globals()
        trust = Trust.of([*safe, "torch.nn.modules.*"])
    assert type(dotpt.load(data, trust=trust)) is Net


def test_functions_of_c_are_found_behind_a_glob() -> None:
    data = saved([torch.relu, torch.nn.functional.gelu])
    assert dotpt.load(data, trust=["torch.*"]) == [torch.relu, torch.nn.functional.gelu]


def test_trusted_and_inert_side_by_side() -> None:
    data = saved({"net": torch.nn.Sequential(torch.nn.Linear(2, 2)), "data": Data(1, torch.ones(3))})
    found = dotpt.load(data, trust=["torch.nn.*"], unknown="inert")
    assert type(found["net"]) is torch.nn.Sequential
    assert type(found["data"]) is InertObject
    assert torch.equal(found["data"].attributes["content"], torch.ones(3))
    inner = dotpt.load(data, trust=["torch.nn.modules.linear.Linear"], unknown="inert")["net"]
    assert type(inner) is InertObject
    assert type(inner.attributes["_modules"]["0"]) is torch.nn.Linear


@pytest.mark.parametrize("name", ["two tensors", "two tensors in a parameter", "subclass with attributes"])
def test_a_tensor_subclass_that_is_not_trusted_stays_a_record(name: str) -> None:
    data = saved({"t": OBJECTS[name](), "d": Data(1)})
    found = dotpt.load(data, trust=[Data], unknown="inert")
    assert type(found["t"]) is InertObject
    assert type(found["d"]) is Data
    assert found["t"].type_name.endswith(("TwoTensor", "Tagged"))


def test_a_parameter_around_a_subclass_is_looked_at_like_the_subclass() -> None:
    for zipped in (True, False):
        bare = dotpt.open(saved({"t": OBJECTS["two tensors"]()}, 2, zipped))
        held = dotpt.open(saved({"t": OBJECTS["two tensors in a parameter"]()}, 2, zipped))
        assert list(bare.tensors) == list(held.tensors) == ["t.a", "t.b"]
        assert held.tree["t"].type_name == bare.tree["t"].type_name
        assert held.tree["t"].attributes.keys() - {"_is_param"} == bare.tree["t"].attributes.keys()


# -- together with the rest of load ------------------------------------------------------------------------------------


def test_a_part_of_a_trusted_object() -> None:
    data = saved({"data": [Data(1), Path("a")], "a": torch.ones(2), "b": torch.zeros(2), "c": torch.Size([1])})
    found = dotpt.load(data, trust="all", only="a")
    assert found.keys() == {"data", "a", "c"}
    assert [type(item) for item in found["data"]] == [Data, type(Path("a"))]
    assert type(found["c"]) is torch.Size


@pytest.mark.parametrize("trust", [None, "all"])
def test_parts_in_arrays_of_objects_are_loaded_too(trust: Any) -> None:
    found = dotpt.load(saved({"a": OBJECTS["objects in arrays"](), "b": torch.ones(1)}), trust=trust, unknown="inert",
                       only=["a.*"])  # fmt: skip
    assert found.keys() == {"a"}
    for array in found["a"]:
        assert torch.equal(array[0, 0], torch.ones(2))
        assert torch.equal(array[1, 1][0], torch.zeros(1))
        assert array[1, 0] is None


def test_map_location_and_mapping(tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    torch.save({"net": Net(), "pair": trusted_torch.pair()}, path)
    on_meta = dotpt.load(path, map_location="meta", trust="all")
    assert on_meta["net"].linear.weight.is_meta
    assert on_meta["pair"].device.type == on_meta["pair"].a.device.type == "meta"
    mapped = dotpt.load(path, mmap=True, trust="all")
    wanted = torch.load(path, mmap=True, weights_only=False)
    assert same(mapped, wanted) is None
    assert dotpt.load(path, map_location=lambda storage, _: storage, trust="all")["pair"].device.type == "cpu"


def test_several_objects_of_one_handle() -> None:
    buffer = io.BytesIO()
    for number in range(3):
        torch.save(Data(number, torch.ones(number)), buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    assert [dotpt.load(buffer, trust=[Data]).x for _ in range(3)] == [0, 1, 2]


def test_without_torch_values_are_arrays() -> None:
    found = dotpt.load(saved(Data(1, torch.ones(2))), trust=[Data], backend="numpy")
    assert type(found) is Data
    assert found.content.tolist() == [1, 1]
    with pytest.raises(dotpt.DotptError, match="tensor subclass"):
        dotpt.load(saved(trusted_torch.pair()), trust="all", backend="numpy")


def test_a_class_that_cannot_take_its_state_is_named() -> None:
    with pytest.raises(CannotBuild, match=r"trusted_torch\.Net could not be built: setting its state raised") as caught:
        dotpt.load(saved(Net()), trust=[(int, "tests.archive.trusted_torch.Net"), *NAMES[1:]])
    assert isinstance(caught.value.__cause__, AttributeError)


def test_a_plain_pickle_of_a_module() -> None:
    assert type(dotpt.load(pickle.dumps(torch.nn.Linear(1, 1)), trust="all")) is torch.nn.Linear


@pytest.mark.skipif(os.name == "nt", reason="paths of this system")
def test_the_stored_path_is_a_real_one() -> None:
    found = dotpt.load(FIXTURES / "zip" / "path.pt", trust="all")
    assert type(found["best"]) is type(Path("a"))
