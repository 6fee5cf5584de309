"""What programs rely on when they call torch.save and torch.load, with ours in their place: writing, reading, both."""

from __future__ import annotations

import contextlib
import copy
import datetime
import gzip
import io
import os
import pickle
import re
import sys
import warnings
import zipfile
import zoneinfo
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from mmap import MAP_SHARED
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.serialization import LoadEndianness, safe_globals, skip_data  # noqa: E402
from torch.testing._internal.two_tensor import TwoTensor  # noqa: E402
from torch.utils.serialization import config  # noqa: E402

import dotpt  # noqa: E402
from tests.corpus.entry import quiet  # noqa: E402

Point = namedtuple("Point", ["x", "y"])


@pytest.fixture(autouse=True, params=["both", "save", "load"])
def mode(request):
    """Which of torch's two functions are ours."""
    with quiet(), dotpt.patch_torch(save=request.param != "load", load=request.param != "save", durable=False):
        yield request.param


def through(value, **load):
    """``value``, written to a buffer and read again."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    buffer.seek(0)
    return torch.load(buffer, **load)


# -- files and file objects -------------------------------------------------------------------------------------------


class Mock:
    """A file object with nothing but what is asked for."""

    def __init__(self, data=b"", readinto=False, fileno=False):
        self.calls = set()
        self._file = io.BytesIO(data)
        if readinto:
            self.readinto = self._noted("readinto")
        if fileno:
            self.fileno = self._file.fileno
        for name in ("read", "readline", "seek", "tell", "write", "flush"):
            setattr(self, name, self._noted(name))

    def _noted(self, name):
        def call(*args):
            self.calls.add(name)
            return getattr(self._file, name)(*args)

        return call


@pytest.mark.parametrize("facts", [{}, {"readinto": True}, {"fileno": True}])
@pytest.mark.parametrize("shape", [(3, 10), (5633, 2560)])
def test_objects_with_the_least_of_a_file(facts, shape, mode):
    tensor = torch.randn(shape)
    file = Mock(**facts)
    torch.save(tensor, file)
    assert file.calls <= {"write", "flush"}
    file.seek(0)
    again = Mock(file.read(), **facts)
    assert torch.equal(torch.load(again), tensor)
    assert again.calls <= {"read", "readline", "seek", "tell", "readinto"}
    assert "readinto" in again.calls or not facts.get("readinto")


def test_things_that_are_no_files():
    tensor = torch.rand(10)
    with pytest.raises(AttributeError):
        torch.save("foo", tensor)
    tensor.write, tensor.flush = "bar", "baz"
    with pytest.raises(TypeError):
        torch.save("foo", tensor)
    tensor.write, tensor.flush = str.__add__, str.__mul__
    with pytest.raises(TypeError):
        torch.save("foo", tensor)
    with pytest.raises(AttributeError):
        torch.save([1, 2], np.ones(3))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(RuntimeError, match=r"Parent directory .* does not exist"):
        torch.save(1, str(tmp_path / "nowhere" / "a.pt"))
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "nowhere.pt")


def test_several_objects_in_one_old_file(tmp_path):
    tensor, model = torch.randn(5, 5), torch.nn.Conv2d(1, 1, (1, 3))
    with (tmp_path / "a").open("wb+") as file:
        pickle.dump(41, file)
        torch.save(tensor, file, _use_new_zipfile_serialization=False)
        pickle.dump(43, file)
        torch.save(model, file, _use_new_zipfile_serialization=False)
        file.seek(0)
        assert pickle.load(file) == 41
        assert torch.equal(torch.load(file), tensor)
        assert pickle.load(file) == 43
        assert torch.load(file, weights_only=False).kernel_size == (1, 3)


def test_an_old_file_within_a_gzip_file(tmp_path):
    tensor = torch.randn(5, 5)
    with gzip.open(tmp_path / "a.gz", "wb") as file:
        pickle.dump(41, file)
        torch.save(tensor, file, _use_new_zipfile_serialization=False)
    with gzip.open(tmp_path / "a.gz") as file:
        assert pickle.load(file) == 41
        assert torch.equal(torch.load(file), tensor)


def test_an_archive_behind_a_header():
    tensor, file = torch.randn(3, 3), io.BytesIO()
    file.write(b"header")
    torch.save(tensor, file)
    file.seek(6)
    assert torch.equal(torch.load(file), tensor)


def test_bytes_that_look_like_the_end_of_an_archive(tmp_path):
    tensor = torch.tensor([*b"PK\5\6", *bytes(100)], dtype=torch.uint8)
    torch.save(tensor, tmp_path / "a", _use_new_zipfile_serialization=False)
    assert torch.equal(torch.load(tmp_path / "a"), tensor)


# -- what is in them --------------------------------------------------------------------------------------------------


def data():
    a = [torch.randn(5, 5).float() for _ in range(2)]
    b = [a[i % 2] for i in range(4)] + [a[0].storage(), a[0].reshape(-1)[1:4].storage(), torch.arange(1, 11).int()]
    one = torch.FloatTensor().set_(a[0].reshape(-1)[1:4].clone().storage(), 0, (3,), (1,))
    two = torch.FloatTensor().set_(a[0].reshape(-1)[1:4].clone().storage(), 0, (3,), (1,))
    return [*b, (one.storage(), one.storage(), two.storage()), a[0].reshape(-1)[0:2].storage()]


@pytest.mark.parametrize("weights_only", [True, False])
@pytest.mark.parametrize("zipped", [True, False])
def test_sharing(weights_only, zipped):
    before, file = data(), io.BytesIO()
    torch.save(before, file, _use_new_zipfile_serialization=zipped)
    file.seek(0)
    after = torch.load(file, weights_only=weights_only)
    assert all(torch.equal(a, b) for a, b in zip(before[:4], after[:4], strict=True))
    assert isinstance(after[4], torch.storage.TypedStorage)
    assert after[4].dtype == torch.float
    after[0].fill_(10)
    assert torch.equal(after[0], after[2])
    assert list(after[4]) == [10] * 25
    after[1].fill_(20)
    assert torch.equal(after[1], after[3])
    assert list(after[5]) == list(after[4])
    views = after[7]
    assert views[0]._cdata == views[1]._cdata != views[2]._cdata
    assert after[8].data_ptr() == after[0].data_ptr()


@pytest.mark.parametrize(
    "dtype", ["float8_e5m2", "float8_e4m3fn", "complex32", "uint16", "uint32", "uint64", "bfloat16", "bool"]
)
@pytest.mark.parametrize("weights_only", [True, False])
def test_types_and_their_views(dtype, weights_only):
    x = torch.arange(0.0, 100.0).to(getattr(torch, dtype))
    y = through({"x": x, "even": x[0::2], "odd": x[1::2]}, weights_only=weights_only)
    as_bytes = torch.view_as_real(x) if x.is_complex() else x.view(torch.uint8)
    assert torch.equal(torch.view_as_real(y["x"]) if x.is_complex() else y["x"].view(torch.uint8), as_bytes)
    assert y["odd"].untyped_storage()._cdata == y["x"].untyped_storage()._cdata == y["even"].untyped_storage()._cdata


def test_one_memory_as_two_types():
    a = torch.randn(10, dtype=torch.complex128)
    seen_as_bytes = torch.TypedStorage(wrap_storage=torch.randn(10).storage().untyped(), dtype=torch.uint8)
    floats = torch.empty(0).set_(seen_as_bytes.untyped(), 0, (10,), (1,))
    for value in ([a, a.imag], [a.storage(), a.imag], [a, a.imag.storage()], [floats, seen_as_bytes]):
        with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data as"):
            torch.save(value, io.BytesIO())


def test_empty_memory_as_two_types():
    empty = torch.tensor([], dtype=torch.int64)
    other = torch.TypedStorage(wrap_storage=empty.storage().untyped(), dtype=torch.half)
    loaded = through([empty, other])
    assert torch.equal(loaded[0], empty)
    assert loaded[1].dtype == torch.half


@pytest.mark.parametrize("weights_only", [True, False])
def test_bits_and_attributes(weights_only):
    t = torch.randn(3, dtype=torch.cfloat)
    for value in (torch.conj(t), torch._neg_view(t), torch._neg_view(torch.conj(t))):
        loaded = through(value, weights_only=weights_only)
        assert torch.equal(loaded, value)
        assert loaded.is_conj() == value.is_conj()
    t = torch.zeros(3)
    t.foo = "foo"
    for value in (t, torch.nn.Parameter(t)):
        value.pi = 3.14
        loaded = through(value, weights_only=weights_only)
        assert loaded.pi == 3.14
        assert type(loaded) is type(value)
    with pytest.raises(RuntimeError, match="ZeroTensor is not serializable"):
        torch.save(torch._efficientzerotensor((4, 5)), io.BytesIO())


@pytest.mark.parametrize("convert", ["to_sparse", "to_sparse_csr", "to_sparse_csc", "to_sparse_bsr", "to_sparse_bsc"])
@pytest.mark.parametrize("weights_only", [True, False])
def test_sparse(convert, weights_only):
    x = torch.zeros(4, 4)
    x[1][1] = 1
    s = getattr(x, convert)(*([(2, 2)] if "bs" in convert else []))
    assert torch.equal(through(s, weights_only=weights_only).to_dense(), x)


class Spoofed:
    """Something that says that it is a sparse tensor with these parts."""

    def __init__(self, layout, *parts):
        self.parts = layout, parts

    def __reduce_ex__(self, protocol):
        return torch._utils._rebuild_sparse_tensor, self.parts


def test_sparse_tensors_that_lie(mode):
    if mode == "save":
        pytest.skip("torch's own loading checks them only when told to")
    x = torch.zeros(3, 3)
    x[1][1] = 1
    s = x.to_sparse()
    bad = s._indices().clone()
    bad[0][0] = 3
    with pytest.raises(RuntimeError, match="size is inconsistent with indices"):
        through({"spoofed": Spoofed(s.layout, bad, s._values(), s.size())})
    c = x.to_sparse_csr()
    bad = c.crow_indices().clone()
    bad[0] = 3
    with pytest.raises(RuntimeError, match=re.escape("`crow_indices[..., 0] == 0` is not satisfied")):
        through({"spoofed": Spoofed(c.layout, bad, c.col_indices(), c.values(), c.size())})


def test_meta_tensors_and_small_schedulers():
    model = torch.nn.Conv2d(20000, 320000, kernel_size=3, device="meta")
    assert through(model.state_dict())["weight"].shape == model.weight.shape
    sgd = torch.optim.SGD([torch.zeros(100, 100, 20, requires_grad=True)], lr=0.1, momentum=0.9)
    state = torch.optim.lr_scheduler.OneCycleLR(sgd, 6.0, total_steps=10).state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    assert file.tell() < 1 << 20
    assert through(state)["base_lrs"] == state["base_lrs"]


def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        file = io.BytesIO()
        torch.save(torch.nn.Linear(2, 3), file)
        file.seek(0)
        torch.load(file, weights_only=False)
        through([torch.ones(3), torch.ones(3).untyped_storage()])


# -- trust ------------------------------------------------------------------------------------------------------------


class Hello:
    def __reduce__(self):
        return print, ("Hello World!",)


@dataclass
class Slotted:
    __slots__ = ["x", "y"]
    x: int
    y: int


class Built:
    def __init__(self, num):
        self.num = num

    def __reduce_ex__(self, protocol):
        return Built, (self.num,), {"foo": "bar"}


class Outer:
    class Nested:
        pass


def test_calls_are_refused_and_made_when_wanted(capsys, mode):
    assert through(Hello(), weights_only=False) is None
    assert capsys.readouterr().out == "Hello World!\n"
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global: GLOBAL print"):
        through(Hello(), weights_only=True)
    assert capsys.readouterr().out == ""
    with safe_globals([print]):
        through(Hello(), weights_only=True)


@pytest.mark.parametrize("value", [Point(1, 2), Slotted(2, 3), Built(2)], ids=lambda value: type(value).__name__)
def test_safe_globals(value):
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    with pytest.raises(pickle.UnpicklingError, match=f"GLOBAL {name} was not an allowed global by default"):
        through(value, weights_only=True)
    with safe_globals([type(value)]):
        loaded = through(value, weights_only=True)
    assert type(loaded) is type(value)
    if type(value) is Built:
        assert (loaded.num, loaded.foo) == (2, "bar")
    else:
        assert loaded == value


def test_a_method_of_c_in_a_time_zone():
    value = {"w": torch.ones(2), "when": datetime.datetime(2025, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC"))}
    names = [datetime.datetime, getattr, zoneinfo.ZoneInfo]
    with safe_globals(names), pytest.raises(pickle.UnpicklingError, match=r"_unpickle.*zoneinfo\.ZoneInfo"):
        through(value)
    with safe_globals([*names, zoneinfo.ZoneInfo._unpickle]):
        assert through(value)["when"] == value["when"]


def test_nested_classes():
    with safe_globals([Outer, getattr, Outer.Nested]):
        assert type(through(Outer.Nested(), weights_only=True)) is Outer.Nested


def test_the_blocked_modules():
    name = f"{os.execv.__module__}.execv"
    for context in (contextlib.nullcontext(), safe_globals([os.execv])):
        with context, pytest.raises(pickle.UnpicklingError, match=f"unsupported GLOBAL {name} whose module"):
            through(os.execv, weights_only=True)


def test_subclasses_and_safe_globals():
    t = TwoTensor(torch.randn(2, 3), torch.randn(2, 3))
    state = OrderedDict([("t", t), ("p", torch.nn.Parameter(t))])
    name = "torch.testing._internal.two_tensor.TwoTensor"
    with pytest.raises(pickle.UnpicklingError, match=f"Unsupported global: GLOBAL {name}"):
        through(state, weights_only=True)
    with pytest.raises(
        pickle.UnpicklingError, match=rf"use `torch.serialization.add_safe_globals\(\[{name}\]\)` or .* to allowlist"
    ):
        through(state, weights_only=True)
    with safe_globals([TwoTensor]):
        loaded = through(state, weights_only=True)
    assert torch.equal(loaded["t"].a, t.a)
    assert type(loaded["p"]) is type(state["p"])


def test_the_unsafe_globals_that_torch_finds_in_a_file():
    file = io.BytesIO()
    torch.save(TwoTensor(torch.ones(2), torch.ones(2)), file)
    file.seek(0)
    assert torch.serialization.get_unsafe_globals_in_checkpoint(file) == [
        "torch.testing._internal.two_tensor.TwoTensor"
    ]


def test_the_environment_forces(monkeypatch, mode):
    file = io.BytesIO()
    torch.save(torch.nn.Linear(3, 5), file)

    def load(**kwargs):
        file.seek(0)
        return torch.load(file, **kwargs)

    monkeypatch.setenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD", "1")
    for weights_only in (False, None):
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            load(weights_only=weights_only)
    monkeypatch.delenv("TORCH_FORCE_WEIGHTS_ONLY_LOAD")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load(weights_only=True)
    with pytest.warns(UserWarning, match="forcing weights_only=False"):
        assert isinstance(load(), torch.nn.Linear)


def test_other_pickle_modules():
    class Unpickler(pickle.Unpickler):
        def load(self):
            raise RuntimeError("rumpelstiltskin")

    class Module:
        pass

    Module.Unpickler = Unpickler
    Module.load = lambda *args, **kwargs: Unpickler(*args).load()
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save(torch.eye(3), file, _use_new_zipfile_serialization=zipped)
        file.seek(0)
        with pytest.raises(RuntimeError, match="rumpelstiltskin"):
            torch.load(file, pickle_module=Module)
        file.seek(0)
        assert torch.equal(torch.load(file), torch.eye(3))
        file.seek(0)
        assert torch.equal(torch.load(file, pickle_module=pickle), torch.eye(3))
        file.seek(0)
        with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module"):
            torch.load(file, pickle_module=pickle, weights_only=True)


class Own:
    """A module as dill and cloudpickle are: a pickler and an unpickler of their own."""

    __name__ = "own"
    Unpickler = pickle.Unpickler
    dump, load = pickle.dump, pickle.load

    class Pickler(pickle._Pickler):
        def reducer_override(self, value):
            return (int, ("42",)) if value is Own else NotImplemented


def test_a_pickler_of_ones_own():
    value = {"w": torch.randn(5), "v": torch.arange(10)[3:5]}
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save(value, file, pickle_module=Own, _use_new_zipfile_serialization=zipped)
        file.seek(0)
        loaded = torch.load(file, pickle_module=Own)
        assert torch.equal(loaded["w"], value["w"])
        assert torch.equal(loaded["v"], value["v"])
        assert dotpt.verify(file.getvalue()).ok


def test_torchscript(mode):
    file = io.BytesIO()
    with quiet():
        torch.jit.save(torch.jit.script(torch.nn.Linear(3, 4)), file)
    file.seek(0)
    refused = pytest.raises(RuntimeError, match=re.escape("Cannot use ``weights_only=True`` with TorchScript archives"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with refused:
            torch.load(file, weights_only=True)
    file.seek(0)
    with pytest.warns(UserWarning, match="TorchScript"):
        loaded = torch.load(file, weights_only=False)
    assert loaded(torch.ones(3)).shape == (4,)


# -- what torch can be told -------------------------------------------------------------------------------------------


def test_mapped(tmp_path):
    state = torch.nn.Linear(3, 5).state_dict()
    torch.save(state, tmp_path / "a.pt")
    path = str(tmp_path / "a.pt")

    def zeroed():
        loaded = torch.load(path, mmap=True)
        loaded["weight"][0][0] = 0
        return torch.load(path, mmap=True)["weight"]

    assert torch.equal(zeroed(), state["weight"])
    with torch.serialization.set_default_mmap_options(MAP_SHARED):
        assert zeroed()[0][0] == 0


def test_alignment_and_places(tmp_path):
    state = torch.nn.Linear(10, 10).state_dict()

    def places():
        with (tmp_path / "a.pt").open("wb+") as file:  # a file object: the archive has torch's neutral name
            torch.save(state, file)
            file.seek(0)
            with FakeTensorMode():
                fake = torch.load(file)
            file.seek(0)
            assert torch.equal(torch.load(file)["weight"], state["weight"])
        return [fake[name].untyped_storage()._checkpoint_offset for name in ("weight", "bias")]

    assert places() == [832, 1344]
    config.save.storage_alignment = 4096
    try:
        assert places() == [20480, 24576]
    finally:
        config.save.storage_alignment = 64


@pytest.mark.parametrize("calculated", [True, False])
def test_offsets_that_are_calculated(tmp_path, calculated):
    model = torch.nn.Sequential(*[torch.nn.Linear(4, 4) for _ in range(20)])
    torch.save(model.state_dict(), tmp_path / "a.pt")
    config.load.calculate_storage_offsets = calculated
    try:
        loaded = torch.load(tmp_path / "a.pt", mmap=True)
    finally:
        config.load.calculate_storage_offsets = False
    assert all(torch.equal(loaded[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("computed", [True, False])
def test_checksums(tmp_path, computed):
    state = torch.nn.Linear(3, 5).state_dict()
    torch.serialization.set_crc32_options(computed)
    try:
        torch.save(state, tmp_path / "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(torch.load(tmp_path / "a.pt")["bias"], state["bias"])
    context = contextlib.nullcontext() if computed else pytest.raises(zipfile.BadZipFile, match="Bad CRC-32")
    with context, zipfile.ZipFile(tmp_path / "a.pt") as archive:
        archive.extractall(tmp_path / "out")


def test_skipped_data():
    state = {"a": torch.randn(2, 3), "t": TwoTensor(torch.randn(2), torch.randn(2))}
    file = io.BytesIO()
    with skip_data():
        torch.save(state, file)
    file.seek(0)
    with safe_globals([TwoTensor]):
        loaded = torch.load(file)
    assert torch.equal(loaded["a"], torch.zeros(2, 3))
    assert torch.equal(loaded["t"].b, torch.zeros(2))
    with pytest.raises(RuntimeError, match="Cannot use skip_data"), skip_data():
        torch.save(state, io.BytesIO(), _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="Cannot serialize nested tensor under skip_data"), skip_data():
        torch.save(torch.nested.nested_tensor([torch.randn(2), torch.randn(3)]), io.BytesIO())
    with pytest.warns(UserWarning, match="meta device under skip_data"), skip_data():
        torch.save(torch.ones(3, device="meta"), io.BytesIO())


def test_skipped_data_of_fake_tensors():
    with FakeTensorMode():
        t = torch.randn(2, 3)
        state = {"t": t, "view": t.view(-1), "slice": t[1]}
    file = io.BytesIO()
    with skip_data(materialize_fake_tensors=True):
        torch.save(state, file)
    file.seek(0)
    loaded = torch.load(file)
    assert id(loaded["view"].untyped_storage()) == id(loaded["t"].untyped_storage())
    assert loaded["slice"].untyped_storage()._cdata == loaded["t"].untyped_storage()._cdata
    assert torch.equal(loaded["t"], torch.zeros(2, 3))


def test_loading_without_reading():
    state = {"a": torch.randn(2, 3), "t": TwoTensor(torch.randn(2), torch.randn(2))}
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    with safe_globals([TwoTensor]), skip_data():
        loaded = torch.load(file)
    assert loaded["a"].shape == (2, 3)
    assert loaded["t"].a.shape == (2,)


def test_byte_order_of_files_that_do_not_say_it():
    from tests.corpus import torch_zip as tz

    tensor, file = torch.tensor([1.0, 2.0, 3.0]), io.BytesIO()
    torch.save(tensor, file)
    root, records = tz.read(file.getvalue())
    unmarked = tz.write([r for r in records if r[0] in ("data.pkl", "data/0", "version")], tz.Style(root=root))
    try:
        for order in (None, LoadEndianness.NATIVE, LoadEndianness.LITTLE):
            torch.serialization.set_default_load_endianness(order)
            assert torch.equal(torch.load(io.BytesIO(unmarked)), tensor)
        torch.serialization.set_default_load_endianness(LoadEndianness.BIG)
        assert torch.load(io.BytesIO(unmarked)).numpy().tobytes() == tensor.numpy().byteswap().tobytes()
    finally:
        torch.serialization.set_default_load_endianness(None)


def test_registered_packages():
    seen = []

    def tag(storage):
        seen.append("tag")
        return "moon:0"

    def restore(storage, location):
        if location.startswith("moon"):
            seen.append(location)
            return storage
        return None

    torch.serialization.register_package(1, tag, restore)
    try:
        assert torch.equal(through(torch.ones(3)), torch.ones(3))
    finally:
        registry = torch.serialization._package_registry
        registry[:] = [entry for entry in registry if entry[2] is not restore]
    assert seen == ["tag", "moon:0"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has the device")
def test_a_device_that_is_not_there(mode):
    file = io.BytesIO()
    torch.save(torch.ones(2), file)
    data = file.getvalue()
    from tests.corpus import torch_zip as tz

    root, records = tz.read(data)
    moved = [(name, content.replace(b"X\3\0\0\0cpu", b"X\6\0\0\0cuda:0")) for name, content in records]
    moved_file = tz.write(moved, tz.Style(root=root))
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        torch.load(io.BytesIO(moved_file))
    assert torch.load(io.BytesIO(moved_file), map_location="cpu").device.type == "cpu"
    assert torch.load(io.BytesIO(moved_file), map_location={"cuda:0": "cpu"}).device.type == "cpu"
    assert torch.load(io.BytesIO(moved_file), map_location=lambda storage, tag: storage).device.type == "cpu"


# -- modules whose source has changed ---------------------------------------------------------------------------------


def test_changed_source(tmp_path):
    def module(text):
        (tmp_path / "net.py").write_text(f"import torch\n\nclass Net(torch.nn.Linear):\n    {text}\n")
        spec = spec_from_file_location("changing_net", tmp_path / "net.py")
        found = module_from_spec(spec)
        spec.loader.exec_module(found)
        sys.modules["changing_net"] = found
        import linecache

        linecache.clearcache()
        return found

    first = module("x = 1")
    file = io.BytesIO()
    torch.save(first.Net(2, 2), file, _use_new_zipfile_serialization=False)
    try:
        file.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert type(torch.load(file, weights_only=False)) is first.Net
        second = module("x = 2  # another")
        file.seek(0)
        with pytest.warns(torch.serialization.SourceChangeWarning):
            assert type(torch.load(file, weights_only=False)) is second.Net
    finally:
        del sys.modules["changing_net"]


def test_copies_go_through_it_too():
    tensor = torch.randn(3)
    assert torch.equal(copy.deepcopy(tensor), tensor)
    assert list(pickle.loads(pickle.dumps(tensor.storage()))) == list(tensor.storage())


def test_text_that_python_2_wrote():
    data = b"\x80\x02]q\x01U\x0e\xc5\xbc\xc4\x85\xc4\x85\xc3\xb3\xc5\xbc\xc4\x85\xc5\xbca."
    file = io.BytesIO()
    torch.save(1, file)
    from tests.corpus import torch_zip as tz

    root, records = tz.read(file.getvalue())
    old = tz.write([(name, data if name == "data.pkl" else content) for name, content in records], tz.Style(root=root))
    raw = data[7:-2]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.load(io.BytesIO(old), encoding="utf-8") == [raw.decode()]
        assert torch.load(io.BytesIO(old), encoding="bytes") == [raw]


def test_paths_of_every_kind(tmp_path):
    for path in (
        tmp_path / "a.pt",
        str(tmp_path / "b.pt"),
        tmp_path / "非ASCIIパス.pt",
        Path(tmp_path / "a.b.c.pth.tar"),
    ):
        torch.save({"w": torch.ones(2)}, path)
        assert torch.equal(torch.load(path)["w"], torch.ones(2))
