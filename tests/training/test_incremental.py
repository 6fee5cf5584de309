"""Incremental checkpoints: the same bits, whatever lies where, and never a tensor that is silently another one."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from torch import nn  # noqa: E402

import dotpt  # noqa: E402
from dotpt.cli import main  # noqa: E402
from dotpt.container.zip import ZipContainer  # noqa: E402
from dotpt.errors import BaseChanged, BaseMissing, DeltaError, DotptError, NoCheckpoint, NoSpace  # noqa: E402
from dotpt.formats.delta import BASE, needs_of, read_base_record, spare_name  # noqa: E402
from dotpt.saving import incremental  # noqa: E402
from dotpt.saving.packing import pack  # noqa: E402
from dotpt.source import open_source  # noqa: E402
from dotpt.training import EverySteps, Latest  # noqa: E402
from dotpt.training.finding import DamagedCheckpoint  # noqa: E402
from dotpt.training.torch_plain import plain  # noqa: E402

BOTH = pytest.mark.parametrize("background", [True, False], ids=["background", "blocking"])
BODY = "model_state_dict.body.weight"


class Net(nn.Module):
    """A large part that is frozen, and a head that learns."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.body = nn.Linear(width, width)
        self.table = nn.Embedding(2 * width, width)
        self.head = nn.Linear(width, 2)
        self.tied = self.body.weight
        for part in (self.body, self.table):
            part.requires_grad_(False)

    def forward(self, numbers: Any) -> Any:
        return self.head(self.body(self.table(numbers)))


class Run:
    """A run with an incremental Checkpointer."""

    def __init__(self, folder: Path, **options: Any) -> None:
        torch.manual_seed(0)
        self.net = Net()
        self.optimizer = torch.optim.Adam(self.net.head.parameters())
        options = {"model": self.net, "optimizer": self.optimizer, "incremental": True, "quiet": True, **options}
        self.ckpt = dotpt.Checkpointer(folder, **{"save": None, "durable": False, **options})

    def train(self) -> None:
        self.optimizer.zero_grad()
        self.net(torch.randint(256, (8,))).square().sum().backward()
        self.optimizer.step()

    def save(self) -> Path:
        self.train()
        self.ckpt.step()
        path = self.ckpt.save()
        self.ckpt.wait()
        return path

    def live(self) -> Any:
        return plain(self.ckpt.state(), torch.Tensor.detach)

    def plain(self) -> Any:
        return plain(self.ckpt.state(), torch.Tensor.clone)


@pytest.fixture
def three(tmp_path: Path) -> list[Path]:
    """A whole file, and two that refer to it."""
    run = Run(tmp_path)
    paths = [run.save() for _ in range(3)]
    run.ckpt.close()
    assert [needs_of(path) is not None for path in paths] == [False, True, True]
    return paths


def same(one: Any, other: Any) -> bool:
    """Whether two objects are the same to the bit."""
    if isinstance(one, torch.Tensor):
        return (one.dtype, one.shape, one.stride()) == (other.dtype, other.shape, other.stride()) and torch.equal(
            one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8)
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def bodies(path: Path) -> Any:
    return dotpt.load(path)["model_state_dict"]["body.weight"]


def replace_record(path: Path, change: Any) -> None:
    """Write a delta anew with another ``base.json``."""
    with zipfile.ZipFile(path) as old:
        contents = {name: old.read(name) for name in old.namelist()}
    name = f"archive/{BASE}"
    contents[name] = json.dumps(change(json.loads(contents[name]))).encode()
    from dotpt.container.zipwrite import ZipWriter

    out = io.BytesIO()

    class Out:
        write = staticmethod(out.write)

    writer = ZipWriter(Out())  # type: ignore[arg-type]
    for full, data in contents.items():
        writer.add(full.removeprefix("archive/"), data)
    writer.close()
    path.write_bytes(out.getvalue())


# -- the bits ---------------------------------------------------------------------------------------------------------


@BOTH
def test_what_is_loaded_is_what_was_saved_and_little_is_written(tmp_path: Path, background: bool) -> None:
    run = Run(tmp_path, background=background)
    for step in range(4):
        path = run.save()
        assert same(dotpt.load(path), run.plain())
        assert (path.stat().st_size < 100_000) == (step > 0)
    noted = [event for event in run.ckpt.history if event["event"] == "save"]
    assert [event["base"] for event in noted] == [None] + 3 * ["step-00000001.pt"]
    assert [event["unchanged"] for event in noted] == [0] + 3 * [3 * 256 * 256 * 4]


@BOTH
def test_a_packed_file_is_byte_for_byte_the_whole_one(tmp_path: Path, background: bool) -> None:
    run = Run(tmp_path / "run", background=background, config={"grid": np.arange(40_000.0).reshape(200, 200).T})
    run.save()
    path = run.save()
    assert needs_of(path) is not None
    dotpt.save(run.live(), tmp_path / "whole.pt", metadata=dotpt.read_metadata(path))
    pack(path, tmp_path / "packed.pt")
    assert (tmp_path / "packed.pt").read_bytes() == (tmp_path / "whole.pt").read_bytes()
    assert same(torch.load(tmp_path / "packed.pt", weights_only=True), run.plain())
    pack(path, path)
    assert path.read_bytes() == (tmp_path / "whole.pt").read_bytes()


def test_training_may_go_on_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.save()
    begun, wait = [], time.sleep
    original = incremental.draft_of

    def late(*args: Any, **options: Any) -> Any:
        begun.append(1)
        wait(0.3)
        return original(*args, **options)

    monkeypatch.setattr(incremental, "draft_of", late)
    run.ckpt.step()
    expected = run.plain()
    path = run.ckpt.save()
    with torch.no_grad():
        for tensor in run.net.state_dict().values():
            tensor.fill_(7.0)
    run.ckpt.wait()
    assert begun
    assert same(dotpt.load(path), expected)
    again = run.save()
    assert bodies(again).unique().tolist() == [7.0]


@BOTH
@pytest.mark.parametrize("how", ["numpy", "data", "one bit"])
def test_a_change_that_no_counter_of_torchs_sees_is_seen(tmp_path: Path, background: bool, how: str) -> None:
    run = Run(tmp_path, background=background)
    run.save()
    weight = run.net.body.weight
    version = weight._version
    if how == "numpy":
        weight.detach().numpy()[3, 3] = 5.0
    elif how == "data":
        weight.data.mul_(-1.0)
    else:
        weight.detach().numpy().view(np.uint8)[-1, -1] ^= 1
    assert how == "data" or weight._version == version
    path = run.save()
    assert needs_of(path).links.keys() == {"data/2"}  # only the table is left
    assert same(dotpt.load(path), run.plain())


@BOTH
def test_two_equal_tensors_stay_two(tmp_path: Path, background: bool) -> None:
    net = nn.ModuleList([nn.Linear(200, 200, bias=False) for _ in range(3)])
    with torch.no_grad():
        for layer in net:
            layer.weight.zero_()
    with dotpt.Checkpointer(tmp_path, model=net, incremental=True, background=background, quiet=True) as ckpt:
        ckpt.save(1)
        ckpt.save(2)
        ckpt.wait()
    for mmap in (False, True):
        state = dotpt.load(tmp_path / "step-00000002.pt", mmap=mmap)["model_state_dict"]
        state["0.weight"].fill_(1.0)
        assert state["1.weight"].sum() == state["2.weight"].sum() == 0.0


def test_when_much_has_changed_a_whole_file_is_written(tmp_path: Path) -> None:
    run = Run(tmp_path)
    first = run.save()
    with torch.no_grad():
        run.net.table.weight += 1
    second = run.save()
    assert (needs_of(first), needs_of(second)) == (None, None)
    third = run.save()
    assert needs_of(third).file == second.name


def test_a_resumed_run_refers_to_the_file_that_it_went_on_from(tmp_path: Path) -> None:
    run = Run(tmp_path)
    first, _ = run.save(), run.save()
    run.ckpt.close()
    again = Run(tmp_path)
    assert again.ckpt.restore().step == 2
    third = again.save()
    assert needs_of(third).file == first.name
    assert same(dotpt.load(third), again.plain())


def test_off_by_default(tmp_path: Path) -> None:
    run = Run(tmp_path, incremental=False)
    paths = [run.save() for _ in range(3)]
    assert not any(needs_of(path) for path in paths)
    assert same(torch.load(paths[2], weights_only=True), run.plain())


# -- where blocks can be shared ---------------------------------------------------------------------------------------


@BOTH
def test_where_blocks_are_shared_each_file_is_a_plain_one(
    tmp_path: Path, background: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(incremental, "can_share", lambda folder: True)
    run = Run(tmp_path / "run", background=background)
    for _ in range(3):
        path = run.save()
        assert needs_of(path) is None
        assert same(torch.load(path, weights_only=True), run.plain())
        assert dotpt.verify(path).ok
        dotpt.save(run.live(), tmp_path / "whole.pt", metadata=dotpt.read_metadata(path), alignment=4096)
        assert path.read_bytes() == (tmp_path / "whole.pt").read_bytes()
    assert run.ckpt.history[-1]["unchanged"] == 3 * 256 * 256 * 4
    with dotpt.open(path) as archive:
        assert archive[BODY].byte_range[0] % 4096 == 0


# -- torch ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"weights_only": False}, {"mmap": True}, {"map_location": "meta"}, {"map_location": "cpu", "mmap": True}],
    ids=str,
)
@pytest.mark.parametrize("computed", [False, True], ids=["", "computed offsets"])
def test_torch_refuses_a_delta(three: list[Path], options: dict[str, Any], computed: bool) -> None:
    config = pytest.importorskip("torch.utils.serialization").config
    if not hasattr(config.load, "calculate_storage_offsets"):
        pytest.skip("this torch computes no offsets")
    with config.patch({"load.calculate_storage_offsets": computed}), pytest.raises(RuntimeError, match="data/0"):
        torch.load(three[2], **options)


# -- the public ways --------------------------------------------------------------------------------------------------


@pytest.fixture
def body(three: list[Path]) -> Any:
    return torch.load(three[0], weights_only=True)["model_state_dict"]["body.weight"]


def test_every_public_way_joins_the_two(three: list[Path], body: Any, tmp_path: Path) -> None:
    path = three[2]
    for options in ({}, {"mmap": True}, {"only": ["*body*"]}, {"backend": "numpy"}, {"verify": False}):
        found = dotpt.load(path, **options)["model_state_dict"]["body.weight"]
        assert np.array_equal(np.asarray(found), body.numpy())
    with path.open("rb") as file:
        assert torch.equal(dotpt.load(file)["model_state_dict"]["body.weight"], body)
    with dotpt.open(path) as archive:
        assert np.array_equal(archive[BODY].numpy(), body.numpy())
        assert np.array_equal(archive[BODY][5:7, 3], body.numpy()[5:7, 3])
        dotpt.save(archive.tree, tmp_path / "copied.pt")
    assert torch.equal(torch.load(tmp_path / "copied.pt", weights_only=True)["model_state_dict"]["body.weight"], body)
    assert torch.equal(bodies(path.as_uri()), body)  # type: ignore[arg-type]
    net = Net()
    dotpt.load_into(net, path)
    assert torch.equal(net.body.weight, body)
    assert torch.equal(dotpt.rescue(path).state_dict["body.weight"], body)
    report = dotpt.inspect(path)
    assert not any("torch.load" in line for line in report.usage)
    assert report.size == path.stat().st_size
    assert "step-00000001.pt" in str(report.to_dict()["notes"])
    with dotpt.patch_torch():
        assert torch.equal(torch.load(path)["model_state_dict"]["body.weight"], body)


def test_notes_can_be_changed_in_both_files(three: list[Path], body: Any) -> None:
    for path in three:
        dotpt.set_metadata(path, {"note": "a" * 5000})
    assert torch.equal(bodies(three[2]), body)
    assert dotpt.verify(three[2]).ok


def test_a_full_disk_does_not_make_the_next_save_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(tmp_path)
    run.save()
    with monkeypatch.context() as patched:
        patched.setattr("dotpt.source.disk._free", lambda folder: 10)
        with pytest.raises(NoSpace):
            run.save()
    path = run.save()
    assert needs_of(path) is not None
    assert same(dotpt.load(path), run.plain())


def test_verify_covers_what_lies_in_the_base(three: list[Path]) -> None:
    result = dotpt.verify(three[2])
    assert result.ok
    assert not result.unverified
    assert [record.name for record in result.records if "/" in record.name and "step" in record.name] == [
        "step-00000001.pt/data/0", "step-00000001.pt/data/2",
    ]  # fmt: skip
    assert result.hashed == dotpt.verify(three[0]).hashed


def test_a_link_to_a_delta_finds_the_base_beside_what_it_leads_to(three: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / "latest.pt"
    link.parent.mkdir()
    link.symlink_to(three[2])
    assert torch.equal(bodies(link), bodies(three[2]))


# -- a base that is not the one ---------------------------------------------------------------------------------------


def test_a_base_that_is_missing(three: list[Path], tmp_path: Path) -> None:
    three[0].unlink()
    assert "step-00000001.pt" in str(dotpt.inspect(three[2]).to_dict())  # it shows what is left of a broken file
    for read in (dotpt.load, dotpt.open, lambda path: dotpt.load_into(Net(), path), lambda path: pack(path, path)):
        with pytest.raises(BaseMissing, match=r"only what has changed since step-00000001.pt") as caught:
            read(three[2])
        assert caught.value.expected == "step-00000001.pt"
        assert "beside it" in caught.value.hint
    result = dotpt.verify(three[2])
    assert [deviation.rule for deviation in result.deviations] == ["BaseMissing"]
    with pytest.raises(BaseMissing):
        dotpt.load(three[2].read_bytes())
    run = Run(tmp_path)
    with pytest.warns(DamagedCheckpoint), pytest.raises(NoCheckpoint, match="whole"):
        run.ckpt.restore()


def test_a_base_that_was_replaced(three: list[Path]) -> None:
    other = torch.load(three[0], weights_only=True)
    other["model_state_dict"]["body.weight"] += 1  # everything else is the same: names, sizes, places
    dotpt.save(other, three[0])
    with pytest.raises(BaseChanged, match="another file of that name"):
        dotpt.load(three[2])
    assert not dotpt.verify(three[2]).ok


def test_a_base_of_another_writer(three: list[Path]) -> None:
    torch.save(torch.load(three[0], weights_only=True), three[0])
    with pytest.raises(BaseChanged):
        dotpt.load(three[2])


def test_a_base_that_was_cut(three: list[Path]) -> None:
    three[0].write_bytes(three[0].read_bytes()[:5000])
    with pytest.raises(BaseChanged, match="damaged"):
        dotpt.load(three[2])


def test_a_damaged_base(three: list[Path], tmp_path: Path) -> None:
    with dotpt.open(three[0]) as archive:
        at = archive[BODY].byte_range[0]
    content = bytearray(three[0].read_bytes())
    content[at + 100] ^= 4
    three[0].write_bytes(content)
    with pytest.raises(DotptError, match="damaged"):
        dotpt.load(three[2])
    damaged = dotpt.verify(three[2]).damaged
    assert [record.name for record in damaged] == ["step-00000001.pt/data/0"]
    assert "model_state_dict.body.weight" in damaged[0].tensors
    with pytest.raises(DotptError, match="damaged"):
        pack(three[2], tmp_path / "packed.pt")
    assert not (tmp_path / "packed.pt").exists()


def test_a_base_that_was_changed_and_given_the_right_checksums(three: list[Path], tmp_path: Path) -> None:
    """By somebody who keeps the manifest: the hash tells."""
    with zipfile.ZipFile(three[0]) as old:
        contents = {name: bytearray(old.read(name)) for name in old.namelist()}
    contents["archive/data/0"][0] ^= 1
    with zipfile.ZipFile(three[0], "w", zipfile.ZIP_STORED) as new:
        for name, data in contents.items():
            new.writestr(name, bytes(data))
    result = dotpt.verify(three[2])
    assert [record.name for record in result.damaged] == ["step-00000001.pt/data/0"]
    with pytest.raises(DotptError, match="another hash"):
        pack(three[2], tmp_path / "packed.pt")


@pytest.mark.parametrize("file", ["../step-00000001.pt", "/etc/passwd", "a\\b.pt", "c:x.pt", "..", "", "a\0b", 7])
def test_a_delta_names_no_file_elsewhere(three: list[Path], file: Any) -> None:
    replace_record(three[2], lambda record: record | {"file": file})
    with pytest.raises(DeltaError, match="same folder"):
        dotpt.open(three[2])


@pytest.mark.parametrize(
    "storages",
    [
        {"data/0": {"record": "data.pkl", "bytes": 1, "hash": "0" * 32}},
        {"data/0": {"record": "data/0", "bytes": -1, "hash": "0" * 32}},
        {"data/0": {"record": "data/0", "bytes": True, "hash": "0" * 32}},
        {"data/0": {"record": "data/0", "bytes": 1, "hash": "x"}},
        {"data.pkl": {"record": "data/0", "bytes": 1, "hash": "0" * 32}},
        {"data/0": 3},
        {"data/1": {"record": "data/0", "bytes": 1, "hash": "0" * 32}},
        {f"data/{n}": {"record": "data/0", "bytes": 262144, "hash": "0" * 32} for n in (0, 2)},
        [],
        {},
    ],
    ids=range(10),
)
def test_a_hostile_record_is_refused(three: list[Path], storages: Any) -> None:
    replace_record(three[2], lambda record: record | {"storages": storages})
    with pytest.raises(DotptError):
        dotpt.load(three[2])
    assert not dotpt.verify(three[2]).ok


def test_no_chains(three: list[Path]) -> None:
    """A delta that calls a delta its base."""
    with open_source(three[1]) as source:
        container = ZipContainer(source)
        from dotpt.formats.delta import manifest_hash

        manifest = manifest_hash(container)
        assert read_base_record(container).file == three[0].name
    replace_record(three[2], lambda record: record | {"file": three[1].name, "manifest": manifest})
    with pytest.raises(BaseChanged):
        dotpt.load(three[2])


# -- what stays -------------------------------------------------------------------------------------------------------


def test_a_base_stays_as_long_as_it_is_needed(tmp_path: Path) -> None:
    run = Run(tmp_path, keep=Latest(2))
    for _ in range(5):
        run.save()
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [f"step-0000000{n}.pt" for n in (1, 4, 5)]
    with torch.no_grad():
        run.net.table.weight += 1
    run.save()  # a whole one
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [f"step-0000000{n}.pt" for n in (1, 5, 6)]
    last = run.save()
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [f"step-0000000{n}.pt" for n in (6, 7)]
    assert dotpt.verify(last).ok


def test_a_base_whose_step_is_saved_again_keeps_what_others_need(tmp_path: Path) -> None:
    run = Run(tmp_path, keep=Latest(3))
    paths = [run.save() for _ in range(3)]
    expected = [dotpt.load(path) for path in paths]
    run.ckpt.global_step = 0
    with torch.no_grad():
        run.net.table.weight += 1
    run.save()
    assert same(dotpt.load(paths[0]), run.plain())
    assert same(dotpt.load(paths[1]), expected[1])
    assert same(dotpt.load(paths[2]), expected[2])
    spare = tmp_path / spare_name(needs_of(paths[2]).manifest)
    assert spare.exists()
    for _ in range(4):
        path = run.save()
        assert dotpt.verify(path).ok
    assert not spare.exists()  # nobody needs it any more
    assert all(dotpt.verify(path).ok for path in tmp_path.glob("*.pt"))


def test_a_base_that_is_deleted_is_not_referred_to(tmp_path: Path) -> None:
    run = Run(tmp_path)
    first = run.save()
    run.save()
    first.unlink()
    third = run.save()
    assert needs_of(third) is None
    assert same(dotpt.load(third), run.plain())


def test_a_base_that_goes_while_it_is_saved_is_an_error_and_the_next_save_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    first = run.save()
    original = incremental.draft_of

    def meanwhile(*args: Any, **options: Any) -> Any:
        first.unlink(missing_ok=True)
        return original(*args, **options)

    monkeypatch.setattr(incremental, "draft_of", meanwhile)
    with pytest.raises(BaseChanged, match="while this one was saved"):
        run.save()
    assert not list(tmp_path.glob("step-*.pt"))
    path = run.save()
    assert needs_of(path) is None
    assert dotpt.verify(path).ok


# -- the command line -------------------------------------------------------------------------------------------------


def test_checkpoints_pack(three: list[Path], body: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "pack", str(tmp_path), "2", "-o", str(tmp_path / "out.pt")]) == 0
    assert "step-00000001.pt" in capsys.readouterr().out
    assert torch.equal(torch.load(tmp_path / "out.pt", weights_only=True)["model_state_dict"]["body.weight"], body)
    assert needs_of(three[1]) is not None
    assert main(["checkpoints", "pack", str(tmp_path), "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["of"] == [str(three[2]), str(three[0])]
    assert torch.equal(torch.load(three[2], weights_only=True)["model_state_dict"]["body.weight"], body)
    assert main(["checkpoints", "pack", str(tmp_path), "3"]) == 0
    assert "already" in capsys.readouterr().out
    assert main(["checkpoints", "pack", str(tmp_path)]) == 2
    three[0].unlink()
    assert main(["checkpoints", "pack", str(tmp_path), "2"]) == 2
    assert "step-00000001.pt" in capsys.readouterr().err


def test_ls_verify_and_prune_know_of_it(three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checkpoints", "verify", str(tmp_path)]) == 0
    assert main(["checkpoints", "prune", str(tmp_path), "--keep", "Latest(1)", "--yes"]) == 0
    assert "lie in it" in capsys.readouterr().out
    assert [path.exists() for path in three] == [True, False, True]
    three[0].unlink()
    assert main(["checkpoints", "ls", str(tmp_path)]) == 0
    assert "DAMAGED" in capsys.readouterr().out
    assert main(["checkpoints", "verify", str(tmp_path)]) == 1
    assert main(["checkpoints", "latest", str(tmp_path)]) == 1


# -- resuming ---------------------------------------------------------------------------------------------------------

_SCRIPT = """
import sys
import torch
import dotpt
from dotpt.training import EverySteps, Latest
from tests.training.test_incremental import Net
torch.manual_seed(0)
torch.set_num_threads(1)
net = Net()
optimizer = torch.optim.Adam(net.head.parameters(), lr=1e-3)
with dotpt.Checkpointer(sys.argv[1], model=net, optimizer=optimizer, save=EverySteps(1), keep=Latest(2),
                        incremental=True, durable=False, quiet=True) as ckpt:
    for step in ckpt.steps(30):
        optimizer.zero_grad()
        net(torch.randint(256, (8,))).square().sum().backward()
        optimizer.step()
        if step == 15:
            with torch.no_grad():
                net.body.weight += torch.randn(256, 256)
        ckpt.step()
torch.save(net.state_dict(), sys.argv[1] + ".final")
"""


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}"}

    def start(folder: str) -> Any:
        return subprocess.Popen([sys.executable, "-W", "error", "-c", _SCRIPT, str(tmp_path / folder)], env=environment)

    assert start("whole").wait(120) == 0
    draw, kills = random.Random(3), 0
    for _ in range(40):
        process = start("killed")
        journal = tmp_path / "killed" / "checkpoints.jsonl"
        before = len(journal.read_bytes()) if journal.exists() else 0
        while process.poll() is None and (not journal.exists() or len(journal.read_bytes()) < before + 600):
            time.sleep(0.002)
        time.sleep(draw.random() * 0.08)
        process.send_signal(signal.SIGKILL)
        if process.wait(60) == 0:
            break
        kills += 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", DamagedCheckpoint)
            from dotpt.training.finding import choose

            choose(tmp_path / "killed", "latest", Latest(2))
    assert kills > 2
    finals = [torch.load(tmp_path / f"{name}.final", weights_only=True) for name in ("whole", "killed")]
    assert same(*finals)


def test_saves_of_every_step_of_a_run_that_goes_back(tmp_path: Path) -> None:
    run = Run(tmp_path, save=EverySteps(1), keep=None)
    for _ in range(5):
        run.train()
        run.ckpt.step()
    run.ckpt.close()
    again = Run(tmp_path, save=EverySteps(1), keep=None)
    assert again.ckpt.restore(2).step == 2
    for _ in range(2):
        again.train()
        again.ckpt.step()
    again.ckpt.wait()
    assert all(dotpt.verify(path).ok for path in tmp_path.glob("step-*.pt"))
    assert same(dotpt.load(tmp_path / "step-00000004.pt"), again.plain())


def test_diff_and_average_read_what_lies_in_the_base(
    three: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["checkpoints", "diff", str(tmp_path), "2", "3"]) == 1
    assert "body.weight" not in capsys.readouterr().out
    assert main(["checkpoints", "average", str(tmp_path), "2", "3", "-o", str(tmp_path / "mean.pt")]) == 0
    mean, states = (
        torch.load(tmp_path / "mean.pt", weights_only=True),
        [dotpt.load(path)["model_state_dict"] for path in three],
    )
    assert torch.equal(mean["body.weight"], states[0]["body.weight"])
    assert torch.equal(
        mean["head.weight"], ((states[1]["head.weight"].double() + states[2]["head.weight"]) / 2).float()
    )
