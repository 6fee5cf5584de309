"""`dotpt.save` as a user meets it: sizes, sharing, names, destinations, errors."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

import dotpt
from dotpt.errors import CannotPickle, NotWritable, TensorError, UnsupportedError, UsageError
from dotpt.source.atomic import FileSink

try:
    import torch
except ImportError:
    torch = None
else:
    from tests.corpus.entry import quiet
needs_torch = pytest.mark.skipif(torch is None, reason="needs torch")

SCRIPT = """
import sys, torch, dotpt
torch.manual_seed(0)
model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
dotpt.save({"model": model.state_dict(), "tags": {"b", "a", "c"}, "epoch": 3}, sys.argv[1], durable=False)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.pt"


# -- with torch -------------------------------------------------------------------------------------------------------


@needs_torch
class TestSizes:
    def size(self, value, path, **options) -> int:
        dotpt.save(value, path, **options)
        with zipfile.ZipFile(path) as archive:
            return sum(info.file_size for info in archive.infolist() if "/data/" in info.filename)

    def test_of_slices(self, path):
        x = torch.randn(1000, 1000)
        assert self.size(x[:10], path) == 40_000
        assert torch.equal(torch.load(path), x[:10])
        assert self.size(x.view(-1)[3:10], path) == 28
        assert self.size(x[:, 0], path) == 4000
        assert torch.equal(torch.load(path), x[:, 0])
        assert self.size(x[:0], path) == 0
        assert self.size(x.t(), path) == 4_000_000
        assert torch.load(path).stride() == (1, 1000)
        assert self.size(x[:10], path, compact=False) == 4_000_000

    def test_views_together(self, path):
        x = torch.arange(1000.0)
        views = {"a": x[10:20], "b": x[15:30], "c": x[900:910]}
        assert self.size(views, path) == 120
        loaded = torch.load(path)
        assert all(torch.equal(loaded[name], view) for name, view in views.items())
        loaded["a"][5] = -1
        assert loaded["b"][0] == -1
        assert dotpt.load(path)["c"].tolist() == views["c"].tolist()

    def test_tied_weights_are_written_once(self, path):
        w = torch.randn(10, 10)
        assert self.size({"a": w, "b": w, "c": w.t()}, path) == 400
        loaded = torch.load(path)
        assert loaded["a"].data_ptr() == loaded["b"].data_ptr() == loaded["c"].data_ptr()
        assert loaded["c"].stride() == (1, 10)

    def test_of_expanded_tensors(self, path):
        assert self.size(torch.ones(1, 3).expand(1000, 3), path) == 12
        assert torch.load(path).stride() == (0, 1)

    def test_of_parameters_subclasses_and_quantized_tensors(self, path):
        base = torch.randn(1000, 4)
        part = torch.nn.Parameter(base[:2])
        assert self.size({"p": part}, path) == 32
        assert torch.equal(torch.load(path)["p"], part)
        tagged = base[4:6]
        tagged.note = "kept"
        assert self.size(tagged, path) == 32
        assert torch.load(path).note == "kept"
        with quiet():
            quantized = torch.quantize_per_tensor(base, 0.1, 0, torch.qint8)[3:5]
            assert self.size(quantized, path) == 8
            assert torch.equal(torch.load(path).int_repr(), quantized.int_repr())

    def test_a_storage_by_itself_is_whole(self, path):
        x = torch.arange(100.0)
        assert self.size([x[:10], x._typed_storage()], path) == 400

    def test_a_storage_whose_size_is_no_multiple_of_its_elements(self, path):
        storage = torch.UntypedStorage(10)
        x = torch.empty(0).set_(storage, 0, (2,), (1,)).fill_(7)
        assert torch.equal(self.load(x, path), x)

    def load(self, value, path):
        dotpt.save(value, path)
        return torch.load(path)


@needs_torch
def test_the_same_bytes_under_any_name_and_in_any_process(tmp_path):
    files = [tmp_path / name for name in ("a.pt", "another name.pth", "c.tar")]
    for seed, file in zip(("0", "1", "12345"), files, strict=True):
        subprocess.run([sys.executable, "-c", SCRIPT, str(file)], check=True, env=os.environ | {"PYTHONHASHSEED": seed})
    assert len({file.read_bytes() for file in files}) == 1


@needs_torch
def test_types_that_torch_cannot_store(path):
    with pytest.raises(UnsupportedError, match=r"no way to store tensors of type torch\.int4") as caught:
        dotpt.save({"a": {"w": torch.empty(3, dtype=torch.int4)}}, path)
    assert caught.value.key == "a.w"
    assert not path.exists()


@needs_torch
def test_one_memory_as_two_types_says_what_to_do(path):
    x = torch.randn(4)
    with pytest.raises(TensorError, match="clone"):
        dotpt.save([x, x.view(torch.int32)], path)


@needs_torch
def test_an_object_that_cannot_be_saved_leaves_the_old_file(path):
    dotpt.save({"w": torch.ones(3)}, path)
    before = path.read_bytes()
    with pytest.raises(CannotPickle, match="lambda") as caught:
        dotpt.save({"w": torch.zeros(3), "hooks": [1, lambda x: x]}, path)
    assert caught.value.key == "hooks.1"
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["a.pt"]


@needs_torch
@pytest.mark.parametrize("protocol", [2, 3, 4, 5, -1])
def test_protocols(path, protocol):
    x = torch.randn(100)
    value = {"a": x, "b": x[3:10], "c": torch.ones(3, dtype=torch.uint16), "n": [1, "x", b"y", {1, 2}]}
    dotpt.save(value, path, protocol=protocol)
    for loaded in (dotpt.load(path), torch.load(path, weights_only=False)):
        assert torch.equal(loaded["b"], value["b"])
        assert torch.equal(loaded["c"], value["c"])
        assert loaded["n"] == value["n"]
    assert torch.equal(dotpt.load(path)["a"], x)


@needs_torch
def test_meta_tensors_have_no_bytes(path):
    model = torch.nn.Linear(1000, 1000, device="meta")
    dotpt.save(model.state_dict(), path)
    assert path.stat().st_size < 10_000
    assert torch.load(path)["weight"].shape == (1000, 1000)


@needs_torch
def test_while_another_thread_trains(path):
    w = torch.zeros(1 << 20)
    stop = threading.Event()

    def train():
        while not stop.is_set():
            w.add_(1)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(20):
            dotpt.save({"w": w}, path, durable=False)
            assert dotpt.load(path)["w"].shape == w.shape  # whatever was written, its checksum is right
    finally:
        stop.set()
        thread.join()


# -- from numpy -------------------------------------------------------------------------------------------------------


DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "uint16", "uint32", "uint64",
          "bool", "complex64", "complex128", "bfloat16", "float8_e4m3fn", "float8_e5m2"]  # fmt: skip


def array(dtype: str, *shape: int) -> np.ndarray:
    import ml_dtypes  # noqa: F401 - numpy knows its names by then

    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(np.dtype(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_become_tensors(path, dtype):
    values = {"w": array(dtype, 3, 4), "none": array(dtype, 0, 2), "one": array(dtype)}
    dotpt.save(values, path)
    loaded = dotpt.load(path, backend="numpy")
    for name, value in values.items():
        assert loaded[name].dtype == value.dtype
        assert loaded[name].shape == value.shape
        assert loaded[name].tobytes() == value.tobytes()
    if torch is not None:
        tensor = torch.load(path, weights_only=True)["w"]
        assert str(tensor.dtype) == f"torch.{dtype}"
        assert tensor.view(torch.uint8).numpy().tobytes() == values["w"].tobytes()


def test_arrays_that_share_memory_do_so_afterwards(path):
    base = np.arange(1000, dtype=np.float32)
    dotpt.save({"a": base[10:20], "b": base[15:30], "c": base[10:20].reshape(2, 5)}, path)
    with dotpt.open(path) as archive:
        assert len({ref.storage_key for ref in archive.tensors.values()}) == 1
        assert archive["a"].storage.nbytes == 80
    loaded = dotpt.load(path, backend="numpy")
    assert loaded["b"].tolist() == base[15:30].tolist()
    assert np.shares_memory(loaded["a"], loaded["b"])


def test_arrays_of_every_order(path):
    base = np.arange(24, dtype=np.int32).reshape(2, 3, 4)
    arrays = {
        "fortran": np.asfortranarray(base), "transposed": base.transpose(2, 0, 1), "backwards": base[::-1, :, ::-2],
        "swapped": base.astype(">i4"), "swapped view": base.astype(">i4")[:, 1], "field": np.ones(3, "i4,i4")["f1"],
        "broadcast": np.broadcast_to(base[0, 0], (5, 4)), "read-only": np.frombuffer(b"12345678", np.int32),
        "odd": np.frombuffer(b"x12345678", np.uint8)[1:].view(np.int32),
    }  # fmt: skip
    dotpt.save(arrays, path)
    for name, value in dotpt.load(path, backend="numpy").items():
        assert value.tolist() == arrays[name].tolist(), name


def test_scalars_and_everything_else(path):
    value = {"lr": np.float32(0.5), "epoch": 3, "name": "run", "nested": [{"w": np.ones(2, np.float16)}], "none": None}
    dotpt.save(value, path)
    loaded = dotpt.load(path, backend="numpy")
    assert (loaded["lr"], loaded["epoch"], loaded["name"], loaded["none"]) == (0.5, 3, "run", None)
    assert loaded["lr"].dtype == np.float32
    assert loaded["nested"][0]["w"].tolist() == [1, 1]


def test_arrays_that_torch_has_no_type_for(path):
    dotpt.save({"w": np.ones(3), "names": ["a"]}, path)
    with pytest.raises(UsageError, match="no tensors of numpy's type") as caught:
        dotpt.save({"w": np.ones(3), "text": np.array(["a", "b"])}, path)
    assert caught.value.key == "text"
    dotpt.save({"text": np.array(["a", "b"]), "w": np.ones(3)}, path, arrays="numpy")
    assert dotpt.load(path, backend="numpy")["text"].tolist() == ["a", "b"]


@needs_torch
def test_arrays_beside_tensors_stay_arrays(path):
    dotpt.save({"w": torch.ones(2), "state": np.arange(3)}, path)
    assert type(dotpt.load(path)["state"]) is np.ndarray
    dotpt.save({"w": torch.ones(2), "state": np.arange(3)}, path, arrays="tensors")
    assert type(torch.load(path)["state"]) is torch.Tensor
    dotpt.save({"state": np.arange(3)}, path, arrays="numpy")
    assert type(dotpt.load(path)["state"]) is np.ndarray


# -- destinations, options --------------------------------------------------------------------------------------------

STATE = {"w": np.arange(12, dtype=np.float32).reshape(3, 4)}


def test_a_pipe(path):
    reading, writing = os.pipe()
    received = []

    def read():
        with os.fdopen(reading, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    with os.fdopen(writing, "wb") as file:
        dotpt.save(STATE, file)
    thread.join()
    dotpt.save(STATE, path)
    assert received == [path.read_bytes()]


def test_an_address():
    fsspec = pytest.importorskip("fsspec")
    dotpt.save(STATE, "memory://models/a.pt")
    assert dotpt.load("memory://models/a.pt", backend="numpy")["w"].tolist() == STATE["w"].tolist()
    fsspec.filesystem("memory").rm("/models", recursive=True)


@pytest.mark.parametrize("options", [{}, {"format": "legacy"}, {"durable": False}])
def test_read_back(path, options):
    dotpt.save(STATE, path, verify=True, **options)
    assert dotpt.load(path, backend="numpy")["w"].tolist() == STATE["w"].tolist()


@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_progress(path, format):
    steps = []
    state = {f"w{n}": np.zeros(1 << 20, np.float32) for n in range(4)}
    dotpt.save(state, path, progress=lambda *step: steps.append(step), format=format)
    assert steps == sorted(steps)
    assert steps[-1] == (16 << 20, 16 << 20)


@pytest.mark.parametrize("format", ["zip", "legacy"])
def test_room_is_asked_for_before_anything_is_written(path, format, monkeypatch):
    asked = []
    monkeypatch.setattr(FileSink, "reserve", lambda self, size: asked.append((size, self.position)))
    dotpt.save(STATE, path, format=format)
    ((size, position),) = asked
    assert position == 0
    assert path.stat().st_size <= size <= path.stat().st_size + 20_000


def test_metadata(path):
    dotpt.save(STATE, path, metadata={"epoch": 3, "notes": ["é", None, {"loss": 0.5}]})
    assert dotpt.read_metadata(path) == {"epoch": 3, "notes": ["é", None, {"loss": 0.5}]}
    before = path.read_bytes()
    with pytest.raises(UsageError):
        dotpt.save(STATE, path, metadata={"when": object()})
    assert path.read_bytes() == before


def test_the_time_if_it_is_wanted(path):
    dotpt.save(STATE, path, timestamp=True)
    with dotpt.open(path) as archive:
        assert archive.manifest.written[:2] == "20"
        assert archive.manifest.written in archive.writer.because
    assert dotpt.verify(path).ok
    dotpt.save(STATE, path)
    with dotpt.open(path) as archive:
        assert archive.manifest.written is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "onnx"}, 'use "zip" or "legacy"'),
        ({"arrays": "lists"}, "auto"),
        ({"protocol": 0}, "Protocol 0"),
        ({"protocol": 9}, "Protocol 9"),
        ({"format": "legacy", "metadata": {"a": 1}}, "legacy format has no place for metadata"),
        ({"alignment": -3}, "aligned"),
    ],
)
def test_arguments_that_make_no_sense(path, options, said):
    with pytest.raises(UsageError) as caught:
        dotpt.save(STATE, path, **options)
    assert said in str(caught.value)
    assert not path.exists()


def test_a_pickler_of_ones_own(path):
    class Module:
        Pickler = pickle.Pickler

    dotpt.save({"config": [1, "x"]}, path, pickle_module=Module)
    assert dotpt.load(path, backend="numpy") == {"config": [1, "x"]}
    assert dotpt.verify(path).ok


def test_arguments_in_the_wrong_order(path):
    with pytest.raises(NotWritable, match="the object comes first"):
        dotpt.save(str(path), STATE)


@pytest.mark.skipif(sys.platform == "win32", reason="no such modes")
def test_mode_and_link_stay(path):
    dotpt.save(STATE, path)
    path.chmod(0o640)
    link = path.with_name("latest.pt")
    link.symlink_to(path)
    dotpt.save({"w": STATE["w"] + 1}, link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert dotpt.load(path, backend="numpy")["w"][0, 0] == 1


def test_bytes_that_were_mapped_stay(path):
    dotpt.save(STATE, path)
    mapped = dotpt.load(path, backend="numpy", mmap=True)
    dotpt.save({"w": STATE["w"] + 1}, path)
    assert mapped["w"].tolist() == STATE["w"].tolist()


def test_python_objects_without_any_tensor(path):
    value = {"config": {"lr": 0.1, "layers": (1, 2)}, "names": ["a"], "done": True}
    dotpt.save(value, path)
    assert dotpt.load(path, backend="numpy") == value
    buffer = io.BytesIO()
    dotpt.save(value, buffer)
    assert buffer.getvalue() == path.read_bytes()
