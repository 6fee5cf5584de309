"""`dotpt.guard` and torch: its loaders refuse what is not clean, and all that it writes itself still loads."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

import dotpt
from dotpt.errors import RefusedByGuard, SourceChanged
from dotpt.guard import files as guard_files

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
pytestmark = pytest.mark.torch

SENTINEL = "dotpt_guard_sentinel"
EVIL = f"c{SENTINEL}\nran\n(S'x'\ntR.".encode()
# In a dictionary: a name of this module would be guarded, like that of any other.
TORCHS = {"load": torch.load, "jit": torch.jit.load, "package": torch.package.PackageImporter.__init__}
LINKS = Path("/proc/self/fd").exists()


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert torch.load is torch.serialization.load is TORCHS["load"]
    assert torch.jit.load is TORCHS["jit"]
    assert torch.package.PackageImporter.__init__ is TORCHS["package"]


@pytest.fixture
def runs(monkeypatch):
    """What the attacks have called: to stay empty."""
    called = []
    module = ModuleType(SENTINEL)
    module.ran = called.append
    monkeypatch.setitem(sys.modules, SENTINEL, module)
    return called


def attack(path: Path) -> Path:
    """A file that torch.load(weights_only=False) runs."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", EVIL)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    return path


def checkpoint() -> dict[str, object]:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    return {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "rng": torch.get_rng_state(),
        "lr": np.float64(0.1), "names": OrderedDict(a=1),
    }  # fmt: skip


def test_the_attack_is_one(tmp_path, runs):
    torch.load(attack(tmp_path / "a.pt"), weights_only=False)
    assert runs == ["x"]


@pytest.mark.parametrize("weights_only", [True, False])
def test_torch_load(tmp_path, runs, weights_only):
    path = attack(tmp_path / "a.pt")
    user = ModuleType("user_of_torch_load")
    user.load = torch.load
    sys.modules[user.__name__] = user
    with dotpt.guard():
        for source in (path, str(path), io.BytesIO(path.read_bytes())):
            for load in (torch.load, torch.serialization.load, user.load):
                with pytest.raises(RefusedByGuard, match=f"{SENTINEL}.ran"):
                    load(source, weights_only=weights_only)
        with path.open("rb") as file, pytest.raises(RefusedByGuard):
            torch.load(file, None, weights_only=weights_only)
    del sys.modules[user.__name__]
    assert runs == []


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("mmap", [None, True])
@pytest.mark.parametrize("weights_only", [True, False])
def test_checkpoints_load(tmp_path, legacy, mmap, weights_only):
    path, saved = tmp_path / "a.pt", checkpoint()
    del saved["lr"]  # which weights_only does not take
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    if legacy and mmap:
        return
    expected = torch.load(path, weights_only=weights_only)
    with dotpt.guard():
        loaded = torch.load(path, weights_only=weights_only, mmap=mmap)
    assert loaded["optimizer"]["param_groups"] == expected["optimizer"]["param_groups"]
    for name, tensor in expected["model"].items():
        assert torch.equal(loaded["model"][name], tensor)


def test_file_objects(tmp_path):
    path = tmp_path / "a.pt"
    with path.open("wb") as file:
        for number in range(3):
            torch.save([number, torch.ones(number + 1)], file, _use_new_zipfile_serialization=False)
    with dotpt.guard(), path.open("rb") as file:
        assert [torch.load(file)[0] for _ in range(3)] == [0, 1, 2]
    packed = tmp_path / "a.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with dotpt.guard(), gzip.open(packed) as file:
        assert [torch.load(file)[0] for _ in range(3)] == [0, 1, 2]


def test_whole_modules_of_torch(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()), tmp_path / "a.pt")
    with dotpt.guard():
        assert isinstance(torch.load(tmp_path / "a.pt", weights_only=False), torch.nn.Sequential)


def test_tensors_in_a_pickle(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"a": torch.arange(3), "b": np.arange(3)}))
    with dotpt.guard(), path.open("rb") as file:
        assert torch.equal(pickle.load(file)["a"], torch.arange(3))


def test_large_arrays_in_a_pickle(tmp_path):
    path, array = tmp_path / "a.pkl", np.zeros(150 << 20, np.uint8)
    with path.open("wb") as file:
        pickle.dump(array, file, protocol=4)
    with dotpt.guard(), path.open("rb") as file:
        assert pickle.load(file).nbytes == array.nbytes


# -- what was scanned is what is loaded -------------------------------------------------------------------------------


@pytest.fixture
def swapped(tmp_path, monkeypatch):
    """A good file, and a way to have the attack take its path as soon as it has been scanned."""
    path, bad = tmp_path / "a.pt", attack(tmp_path / "bad.pt")
    torch.save({"a": torch.arange(4)}, path)
    scan = guard_files.scan

    def scan_and_swap(*arguments, **options):
        findings = scan(*arguments, **options)
        os.replace(bad, path)
        return findings

    monkeypatch.setattr(guard_files, "scan", scan_and_swap)
    return path


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced there")
@pytest.mark.parametrize("mmap", [False, True])
def test_a_file_that_is_replaced_after_the_scan(swapped, runs, mmap):
    with dotpt.guard():
        if mmap and not LINKS:
            with pytest.raises(SourceChanged):
                torch.load(swapped, weights_only=False, mmap=True)
        else:
            loaded = torch.load(swapped, weights_only=False, mmap=mmap)
            assert torch.equal(loaded["a"], torch.arange(4))
    assert runs == []
    torch.load(swapped, weights_only=False)
    assert runs == ["x"]  # it was replaced indeed


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced there")
def test_a_mapped_file_that_is_replaced_where_paths_lead_to_no_open_files(swapped, runs, monkeypatch):
    monkeypatch.setattr(guard_files, "_LINKS", "/nowhere")
    with dotpt.guard(), pytest.raises(SourceChanged, match="taken its place"):
        torch.load(swapped, weights_only=False, mmap=True)
    assert runs == []


def test_a_file_that_is_written_to_while_it_is_scanned(tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    torch.save({"a": torch.arange(4)}, path)
    scan = guard_files.scan

    def scan_and_write(*arguments, **options):
        findings = scan(*arguments, **options)
        attack(path)
        return findings

    monkeypatch.setattr(guard_files, "scan", scan_and_write)
    with dotpt.guard(), pytest.raises(SourceChanged, match="written to"):
        torch.load(path, weights_only=False)


# -- with the patch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("guard_first", [True, False])
@pytest.mark.parametrize("guard_ends_first", [True, False])
def test_with_patch_torch(tmp_path, runs, guard_first, guard_ends_first):
    path, bad = tmp_path / "a.pt", attack(tmp_path / "bad.pt")
    begin = (dotpt.guard, dotpt.patch_torch) if guard_first else (dotpt.patch_torch, dotpt.guard)
    made = {function.__name__: function() for function in begin}
    torch.save({"a": torch.ones(2)}, path)
    with zipfile.ZipFile(path) as archive:
        assert any(".dotpt/" in name for name in archive.namelist())  # the patch has saved it
    assert torch.equal(torch.load(path)["a"], torch.ones(2))
    assert torch.equal(torch.load(path, mmap=True)["a"], torch.ones(2))
    with pytest.raises(RefusedByGuard):
        torch.load(bad, weights_only=False)
    made.pop("guard" if guard_ends_first else "patch_torch").undo()
    if guard_ends_first:
        with pytest.raises(dotpt.UnsafeGlobal):
            torch.load(bad)
    else:
        assert torch.equal(torch.load(path)["a"], torch.ones(2))
        with pytest.raises(RefusedByGuard):
            torch.load(bad, weights_only=False)
    made.popitem()[1].undo()
    assert runs == []


# -- torch's other loaders --------------------------------------------------------------------------------------------


def test_torchscript(tmp_path):
    class Net(torch.nn.Module):
        def forward(self, x):
            return x * 2

    with _quiet():
        torch.jit.save(torch.jit.script(Net()), tmp_path / "a.pt")
    bad = tmp_path / "bad.pt"
    with zipfile.ZipFile(tmp_path / "a.pt") as good, zipfile.ZipFile(bad, "w") as archive:
        for name in good.namelist():
            archive.writestr(name, EVIL if name.endswith("/data.pkl") else good.read(name))
    with dotpt.guard(), _quiet():
        loaded = torch.jit.load(tmp_path / "a.pt")
        assert loaded(torch.ones(1)) == 2
        assert torch.jit.load(io.BytesIO((tmp_path / "a.pt").read_bytes()))(torch.ones(1)) == 2
        with pytest.raises(RefusedByGuard):
            torch.jit.load(bad)


@contextmanager
def _quiet():
    """Torch warns of parts of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_packages(tmp_path):
    with torch.package.PackageExporter(tmp_path / "a.pt") as package:
        package.save_source_string("own.module", "value = 3")
        package.save_pickle("own", "data.pkl", {"a": 1})
    with dotpt.guard(), pytest.raises(RefusedByGuard, match=r"own/module\.py"):
        torch.package.PackageImporter(tmp_path / "a.pt")
    assert torch.package.PackageImporter(tmp_path / "a.pt").import_module("own.module").value == 3


def test_torch_hub(tmp_path, runs, monkeypatch):
    bad = attack(tmp_path / "bad.pt")
    with dotpt.guard(), pytest.raises(RefusedByGuard):
        torch.hub.load_state_dict_from_url(bad.as_uri(), model_dir=str(tmp_path / "hub"), progress=False)
    assert runs == []


def test_distributed_checkpoints(tmp_path, runs):
    from torch.distributed import checkpoint as distributed
    from torch.distributed.checkpoint.api import CheckpointException

    with _quiet():
        distributed.save({"a": torch.arange(4)}, checkpoint_id=tmp_path / "run", no_dist=True)
        target = {"a": torch.zeros(4, dtype=torch.int64)}
        with dotpt.guard():
            distributed.load(target, checkpoint_id=tmp_path / "run", no_dist=True)
        assert torch.equal(target["a"], torch.arange(4))
        (tmp_path / "run/.metadata").write_bytes(EVIL)
        with dotpt.guard(), pytest.raises(CheckpointException, match=f"{SENTINEL}.ran"):
            distributed.load(target, checkpoint_id=tmp_path / "run", no_dist=True)
    assert runs == []


def test_numpy(tmp_path, runs):
    objects = np.array([1, "x", None], dtype=object)
    np.save(tmp_path / "objects.npy", objects)
    np.savez(tmp_path / "objects.npz", a=objects, b=np.arange(3))
    (tmp_path / "bad.pkl").write_bytes(EVIL)
    head = (tmp_path / "objects.npy").read_bytes()
    bad = head[: 10 + int.from_bytes(head[8:10], "little")] + EVIL
    (tmp_path / "bad.npy").write_bytes(bad)
    with zipfile.ZipFile(tmp_path / "bad.npz", "w") as archive:
        archive.writestr("a.npy", bad)
    with dotpt.guard():
        assert np.load(tmp_path / "objects.npy", allow_pickle=True).tolist() == [1, "x", None]
        assert np.load(tmp_path / "objects.npz", allow_pickle=True)["a"].tolist() == [1, "x", None]
        for name in ("bad.npy", "bad.pkl"):
            with pytest.raises(pickle.UnpicklingError):
                np.load(tmp_path / name, allow_pickle=True)
        with np.load(tmp_path / "bad.npz", allow_pickle=True) as archive, pytest.raises(pickle.UnpicklingError):
            archive["a"]
    assert runs == []


class Data(torch.utils.data.Dataset):
    """A dataset of a program's own."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {"x": torch.full((2,), index), "name": f"{index}"}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_data_loaders(method):
    if method not in torch.multiprocessing.get_all_start_methods():
        pytest.skip("not here")
    with dotpt.guard():
        loader = torch.utils.data.DataLoader(Data(), batch_size=2, num_workers=1, multiprocessing_context=method)
        assert [batch["x"].shape for batch in loader] == [(2, 2), (2, 2)]


@pytest.mark.parametrize("first", ["patch_torch()", "load('a.pt', backend='torch')", "Checkpointer", "load_into"])
def test_torch_that_is_imported_later_and_by_dotpt(tmp_path, first):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pt")
    attack(tmp_path / "bad.pt")
    code = (
        f"import sys, dotpt\nguard = dotpt.guard()\nassert 'torch' not in sys.modules\ndotpt.{first}\n"
        "from torch import load\nprint(load('a.pt'))\n"
        "try:\n    load('bad.pt', weights_only=False)\n"
        "except dotpt.DotptError as error:\n    print(type(error).__name__)"
    )
    variables = os.environ | {"PYTHONPATH": str(Path(dotpt.__file__).parents[1])}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=tmp_path, check=True)
    assert done.stdout == "{'a': tensor([1.])}\nRefusedByGuard\n"


def test_a_program_that_imports_torch_itself_is_guarded(tmp_path):
    """The patch and the guard both wait for torch to be imported: neither may keep the other from finding it."""
    (tmp_path / "program.py").write_text("import torch\ntorch.load('bad.pt', weights_only=False)\n")
    (tmp_path / "bad.pt").write_bytes(b"cno_such_module_of_dotpt\nran\n(S'x'\ntR.")
    sources = str(Path(dotpt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "dotpt", "run", "--guard", "program.py"], cwd=tmp_path, check=False, timeout=120,
        env=os.environ | {"PYTHONPATH": sources}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "RefusedByGuard" in done.stderr
    assert "RecursionError" not in done.stderr
