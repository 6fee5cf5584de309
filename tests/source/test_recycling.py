"""Saves that are written over the file of two saves ago: only where nobody can see those bytes any more."""

from __future__ import annotations

import mmap
import os
import random
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from dotpt.source import open_sink, open_source, recycling
from dotpt.source.atomic import FileSink
from tests.source.children import NOBODY, child, names, on_small_disk, open_folder, output_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no write leases")

SPARE = ".a.pt.dotpt-spare"


def content(seed: int, size: int = 50_000) -> bytes:
    return random.Random(seed).randbytes(size)


def save(path: Path, data: bytes, **options: Any) -> bool:
    """Save, and say whether the spare was written over."""
    with open_sink(path, **{"recycle": True, "durable": False, **options}) as sink:
        assert isinstance(sink, FileSink)
        sink.reserve(len(data))
        sink.write(data)
        sink.commit()
        recycled = sink._recycled
    assert path.read_bytes() == data
    return recycled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    if not recycling.can_recycle(str(tmp_path)):
        pytest.skip("no leases on this file system")
    return tmp_path / "a.pt"


@pytest.fixture
def spare(path: Path) -> Path:
    """The file and its spare."""
    save(path, content(1))
    save(path, content(2))
    assert names(path.parent) == [SPARE, "a.pt"]
    return path.parent / SPARE


@pytest.mark.parametrize("durable", [True, False])
def test_two_inodes_take_turns(path: Path, durable: bool) -> None:
    nodes = []
    for turn, size in enumerate([5000, 70_000, 100, 5_000_000, 0, 9]):
        recycled = save(path, content(turn, size), durable=durable)
        assert recycled == (turn >= 2)
        nodes.append(path.stat().st_ino)
    assert len(set(nodes)) == 2
    assert nodes[0] != nodes[1]
    assert names(path.parent) == [SPARE, "a.pt"]


def test_a_longer_spare_is_cut(path: Path, spare: Path) -> None:
    os.truncate(spare, 10_000_000)
    assert save(path, b"short")
    assert path.stat().st_blocks * 512 <= 65_536


def test_a_save_without_it_removes_the_spare(path: Path, spare: Path) -> None:
    other = path.parent / ".b.pt.dotpt-spare"
    other.touch()
    assert not save(path, content(3), recycle=False)
    assert names(path.parent) == [other.name, "a.pt"]


def test_a_spare_without_its_file(path: Path, spare: Path) -> None:
    path.unlink()
    assert not save(path, content(3))
    assert names(path.parent) == ["a.pt"]


class TestWhoCanSeeIt:
    def test_a_reader_that_maps_the_old_file(self, path: Path) -> None:
        save(path, content(1))
        with open(path, "rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        save(path, content(2))  # the mapped one becomes the spare
        assert not save(path, content(3))
        assert not os.path.exists(path.parent / SPARE) or not os.path.samestat(
            os.stat(path.parent / SPARE), os.stat(path)
        )
        for seed in range(4, 9):
            save(path, content(seed))
        assert mapped[:] == content(1)
        mapped.close()

    def test_a_mapping_of_ours(self, path: Path) -> None:
        save(path, content(1))
        with open_source(path) as source:
            mapped = source.map()
        for seed in range(2, 6):
            save(path, content(seed))
        assert mapped[:] == content(1)
        mapped.close()

    @pytest.mark.parametrize("mode", ["rb", "r+b"])
    def test_a_reader_that_has_it_open(self, path: Path, mode: str) -> None:
        save(path, content(1))
        with open(path, mode) as file:
            for seed in range(2, 6):
                save(path, content(seed))
            assert file.read() == content(1)

    def test_a_reader_in_another_process(self, path: Path) -> None:
        code = (
            "file = open(sys.argv[1], 'rb'); before = file.read(); print('open', flush=True); sys.stdin.read()\n"
            "file.seek(0); assert file.read() == before"
        )
        import subprocess

        save(path, content(1))
        with subprocess.Popen(child(code, path), stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            for seed in range(2, 6):
                save(path, content(seed))
            process.communicate()
        assert process.returncode == 0

    def test_another_name(self, path: Path) -> None:
        save(path, content(1))
        os.link(path, path.parent / "best.pt")
        for seed in range(2, 6):
            save(path, content(seed))
        assert (path.parent / "best.pt").read_bytes() == content(1)

    def test_somebody_else_s_spare(self) -> None:
        with open_folder(NOBODY) as folder:
            if os.geteuid() != 0 or not recycling.can_recycle(str(folder)):
                pytest.skip("only root has files of others")
            (folder / "a.pt").write_bytes(content(1))
            (folder / SPARE).write_bytes(content(2))
            os.chown(folder / SPARE, NOBODY, NOBODY)
            assert not save(folder / "a.pt", content(3))

    def test_a_planted_link(self, path: Path, spare: Path) -> None:
        precious = path.parent / "precious"
        precious.write_bytes(content(9))
        spare.unlink()
        spare.symlink_to(precious)
        assert not save(path, content(3))
        assert precious.read_bytes() == content(9)

    def test_a_planted_pipe(self, path: Path, spare: Path) -> None:
        spare.unlink()
        os.mkfifo(spare)
        assert not save(path, content(3))
        assert not spare.exists() or spare.is_file()

    def test_a_writer_that_has_taken_it(self, path: Path, spare: Path) -> None:
        with open_sink(path, recycle=True) as first:
            first.write(content(3))
            assert not save(path, content(4))
            first.commit()
        assert path.read_bytes() == content(3)


def test_nobody_reads_along(path: Path, spare: Path) -> None:
    """The spare may be readable by more people than the file is by now."""
    spare.chmod(0o666)
    path.chmod(0o600)
    with open_sink(path, recycle=True) as sink:
        assert isinstance(sink, FileSink)
        assert sink._recycled
        (temporary,) = set(names(path.parent)) - {"a.pt"}
        assert stat.S_IMODE((path.parent / temporary).stat().st_mode) == 0o600
        sink.commit()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_attributes_are_those_of_the_file(path: Path, spare: Path) -> None:
    try:
        os.setxattr(spare, "user.old", b"1")
        os.setxattr(path, "user.new", b"2")
    except OSError:
        pytest.skip("no attributes on this file system")
    assert save(path, content(3))
    assert os.listxattr(path) == ["user.new"]


def test_a_failed_save_leaves_the_file(path: Path, spare: Path) -> None:
    with open_sink(path, recycle=True) as sink:
        sink.write(b"half")
    assert path.read_bytes() == content(2)
    assert names(path.parent) == ["a.pt"]


def test_a_failed_rename_leaves_no_second_name(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(path, content(1))
    monkeypatch.setattr(os, "replace", lambda *paths: (_ for _ in ()).throw(OSError(5, "broken")))
    with pytest.raises(RuntimeError, match="broken"):
        save(path, content(2))
    assert names(path.parent) == ["a.pt"]
    assert path.read_bytes() == content(1)
    assert path.stat().st_nlink == 1


def test_killed_between_the_two_names(path: Path, spare: Path) -> None:
    spare.unlink()
    os.link(path, spare)
    assert not save(path, content(3))
    assert save(path, content(4)) is True


def test_the_name_is_on_the_disk_before_its_blocks_are_used(
    path: Path, spare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power cut could bring back the old name, over blocks that are half written over."""
    done: list[str] = []
    write = os.write
    monkeypatch.setattr(os, "fsync", lambda fd: done.append(stat.filemode(os.fstat(fd).st_mode)[0]))
    monkeypatch.setattr(os, "write", lambda *facts: [done.append("write"), write(*facts)][1])
    assert save(path, content(3), durable=True)
    assert done == ["d", "write", "-", "d"]


def test_the_space_of_the_spare_counts() -> None:
    """On a disk with room for two files, the third save fits because it needs no third file."""
    with open_folder() as folder:
        code = (
            "path = sys.argv[1] + '/a.pt'\n"
            "for turn in range(5): save(path, bytes([turn]) * 400_000, recycle=True)\n"
            "assert open(path, 'rb').read() == bytes([4]) * 400_000\n"
            "print(sorted(os.listdir(sys.argv[1])))"
        )
        said = output_of(on_small_disk(child(code, folder), folder, "900k"))
        assert said == str([SPARE, "a.pt"])


@pytest.mark.parametrize("system", ["nfs4", "overlay", "fuse.sshfs", "btrfs", ""])
def test_file_systems_that_are_not_trusted(path: Path, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recycling, "file_system", lambda device: system)
    for seed in range(3):
        assert not save(path, content(seed))
    assert names(path.parent) == ["a.pt"]


def test_a_kernel_that_knows_no_leases(path: Path, spare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*facts: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr("fcntl.fcntl", refuse)
    assert not save(path, content(3))
    assert names(path.parent) == [SPARE, "a.pt"]


def test_a_breaking_open_does_not_kill_us(path: Path) -> None:
    """Somebody opens the spare again and again while leases are taken on it."""
    code = (
        "spare = sys.argv[1]\n"
        "print('ready', flush=True)\n"
        "while os.getppid() == int(sys.argv[2]):\n"
        "    try: os.close(os.open(spare, os.O_RDONLY))\n"
        "    except FileNotFoundError: pass\n"
    )
    import subprocess

    with subprocess.Popen(child(code, path.parent / SPARE, os.getpid()), stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        for seed in range(150):
            save(path, content(seed, 100))
        process.kill()


def test_names_that_begin_alike(path: Path) -> None:
    first, second = (path.parent / ("n" * 200 + ending) for ending in ("1", "2"))
    for seed in range(4):
        save(first, content(seed))
        save(second, content(seed + 10))
    assert len(names(path.parent)) == 4
