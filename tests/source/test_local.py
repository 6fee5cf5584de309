"""Paths, and what may lie at them."""

from __future__ import annotations

import errno
import mmap
import os
import socket
import sys
import threading
from pathlib import Path

import pytest

from dotpt import errors
from dotpt.source import local, mounts, open_source, paths
from dotpt.source.local import FileSource

DATA = bytes(range(256)) * 64


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(DATA)
    return path


def opened(path: Path) -> FileSource:
    source = open_source(path)
    assert isinstance(source, FileSource)
    return source


@pytest.mark.usefixtures("way_to_read")
class TestReading:
    def test_any_range(self, file: Path) -> None:
        with opened(file) as source:
            assert (source.name, source.size, source.remote, source.is_file) == (str(file), len(DATA), False, True)
            assert source.read(0, len(DATA)) == DATA
            assert source.read(300, 7) == DATA[300:307]
            assert source.read(len(DATA), 0) == b""
            assert source.read_many([(5, 2), (0, 1)]) == [DATA[5:7], DATA[:1]]

    @pytest.mark.parametrize(("offset", "length"), [(0, len(DATA) + 1), (len(DATA), 1), (-1, 1), (2**64, 1)])
    def test_past_the_end(self, file: Path, offset: int, length: int) -> None:
        with opened(file) as source, pytest.raises(errors.TruncatedFile) as caught:
            source.read(offset, length)
        assert caught.value.path == str(file)

    def test_in_pieces(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "PIECE", 1000)
        monkeypatch.setattr(local, "COPY_PIECE", 300)
        with opened(file) as source:
            assert source.read(1, len(DATA) - 1) == DATA[1:]

    def test_a_file_that_shrinks(self, file: Path) -> None:
        with opened(file) as source:
            os.truncate(file, 100)
            assert source.read(0, 100) == DATA[:100]
            with pytest.raises(errors.SourceChanged, match="byte 100") as caught:
                source.read(50, 100)
            assert (caught.value.found, caught.value.expected) == (100, len(DATA))

    def test_many_threads(self, file: Path) -> None:
        wrong: list[int] = []

        def work(source: FileSource, seed: int) -> None:
            for step in range(200):
                offset = (seed * 977 + step * 131) % (len(DATA) - 64)
                if source.read(offset, 64) != DATA[offset : offset + 64]:
                    wrong.append(offset)

        with opened(file) as source:
            threads = [threading.Thread(target=work, args=(source, seed)) for seed in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not wrong

    def test_closed(self, file: Path) -> None:
        source = opened(file)
        source.close()
        source.close()
        for read in (lambda: source.read(0, 1), source.map, source.unchanged):
            with pytest.raises(errors.SourceError, match="closed"):
                read()


@pytest.mark.skipif(not hasattr(os, "preadv"), reason="fakes os.preadv")
class TestFaultyDisk:
    def test_short_reads(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = os.preadv
        monkeypatch.setattr(os, "preadv", lambda fd, views, at: whole(fd, [views[0][:7]], at))
        with opened(file) as source:
            assert source.read(3, 100) == DATA[3:103]

    def test_input_output_error(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: object) -> int:
            raise OSError(errno.EIO, "Input/output error")

        with opened(file) as source:
            monkeypatch.setattr(os, "preadv", fail)
            monkeypatch.setattr(os, "pread", fail)
            with pytest.raises(errors.SourceError, match="Input/output error") as caught:
                source.read(3, 100)
        assert caught.value.errno == errno.EIO
        assert caught.value.path == str(file)


class TestMapping:
    def test_is_private_and_outlives_the_source(self, file: Path) -> None:
        with opened(file) as source:
            mapping = source.map()
        assert mapping[:] == DATA
        mapping[0:3] = b"new"
        assert mapping[:3] == b"new"
        assert file.read_bytes() == DATA
        mapping.close()

    def test_empty_file(self, tmp_path: Path) -> None:
        path = tmp_path / "empty.pt"
        path.touch()
        with opened(path) as source:
            assert (source.size, source.is_file) == (0, False)
            assert source.read(0, 0) == b""
            with pytest.raises(errors.UsageError):
                source.map()

    def test_file_that_shrank(self, file: Path) -> None:
        with opened(file) as source:
            os.truncate(file, 100)
            with pytest.raises(errors.SourceChanged):
                source.map()

    @pytest.mark.skipif(not local._no_reserve(), reason="a system that does not reserve")
    def test_model_larger_than_memory(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = mmap.mmap

        def strict(*args: int, **options: int) -> mmap.mmap:
            if not options.get("flags", 0) & local._no_reserve():
                raise OSError(errno.ENOMEM, "Cannot allocate memory")
            return whole(*args, **options)

        monkeypatch.setattr(mmap, "mmap", strict)
        with opened(file) as source:
            mapping = source.map()
            mapping[0:3] = b"new"
            assert mapping[3:] == DATA[3:]
            mapping.close()
        assert file.read_bytes() == DATA

    def test_system_that_refuses(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*args: object, **options: object) -> None:
            raise OSError(errno.ENODEV, "No such device")

        monkeypatch.setattr(mmap, "mmap", refuse)
        with opened(file) as source, pytest.raises(errors.SourceError, match="No such device"):
            source.map()


class TestUnchanged:
    def test_untouched(self, file: Path) -> None:
        with opened(file) as source:
            assert source.unchanged()

    def test_written_to(self, file: Path) -> None:
        with opened(file) as source:
            os.utime(file, ns=(1, 1))
            with pytest.raises(errors.SourceChanged):
                source.unchanged()

    def test_replaced_by_a_rename(self, file: Path) -> None:
        """The old file is still there for who has it open."""
        with opened(file) as source:
            other = file.with_suffix(".new")
            other.write_bytes(b"other")
            other.replace(file)
            assert source.unchanged()
            assert source.read(0, 4) == DATA[:4]


class TestNothingThere:
    @pytest.mark.parametrize("wrong", ["modle.pt", "Model.PT", "model.pth"])
    def test_names_that_look_alike(self, file: Path, wrong: str) -> None:
        with pytest.raises(errors.SourceNotFound, match=r"Try: .*model\.pt") as caught:
            open_source(file.parent / wrong)
        assert isinstance(caught.value, FileNotFoundError)
        assert caught.value.path == str(file.parent / wrong)

    def test_nothing_alike(self, file: Path) -> None:
        with pytest.raises(errors.SourceNotFound) as caught:
            open_source(str(file.parent / "zzzzz"))
        assert caught.value.hint is None

    def test_folder_that_looks_alike(self, file: Path) -> None:
        wrong = file.parent.with_name(file.parent.name + "x") / "model.pt"
        with pytest.raises(errors.SourceNotFound, match="no folder") as caught:
            open_source(wrong)
        assert str(file.parent) in str(caught.value.hint)

    def test_file_taken_for_a_folder(self, file: Path) -> None:
        with pytest.raises(errors.SourceNotFound):
            open_source(file / "x.pt")

    def test_empty_path(self) -> None:
        with pytest.raises(errors.SourceNotFound, match="empty"):
            open_source("")

    def test_home_not_expanded(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(file.parent))
        monkeypatch.setenv("USERPROFILE", str(file.parent))
        with pytest.raises(errors.SourceNotFound, match="write ") as caught:
            open_source("~/model.pt")
        assert str(file.parent) in str(caught.value.hint)

    def test_impossible_names(self) -> None:
        with pytest.raises(errors.UsageError):
            open_source("a\0.pt")
        with pytest.raises(errors.SourceError):
            open_source("a" * 5000)

    def test_windows_paths_are_no_addresses(self) -> None:
        for path in ("C:\\models\\a.pt", "C:/models/a.pt", "c://a.pt"):
            with pytest.raises(errors.SourceNotFound):
                open_source(path)


class TestOtherThings:
    def test_folder(self, file: Path) -> None:
        with pytest.raises(errors.SourceIsFolder, match=r"a file in it: model\.pt"):
            open_source(file.parent)

    def test_folder_without_models(self, tmp_path: Path) -> None:
        with pytest.raises(errors.SourceIsFolder) as caught:
            open_source(str(tmp_path))
        assert caught.value.hint is None

    def test_no_permission(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def deny(*args: object) -> int:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(os, "open", deny)
        with pytest.raises(errors.SourceDenied, match="Permission denied"):
            open_source(file)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
    def test_fifo(self, tmp_path: Path) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        with pytest.raises(errors.SourceError, match="dotpt inspect - < "):
            open_source(path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
    def test_fifo_that_takes_the_place_of_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "pipe"
        os.mkfifo(path)
        check, calls = paths._check_regular, []

        def blind_at_first(mode: int, path: str, name: str) -> None:
            calls.append(mode)
            if len(calls) > 1:
                check(mode, path, name)

        monkeypatch.setattr(paths, "_check_regular", blind_at_first)
        with pytest.raises(errors.SourceError, match="FIFO"):
            open_source(path)

    @pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no /dev/zero")
    def test_device(self) -> None:
        with pytest.raises(errors.SourceError, match="device"):
            open_source("/dev/zero")

    @pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no UNIX sockets")
    def test_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)  # their paths must be short
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("s")
            with pytest.raises(errors.SourceError, match="socket"):
                open_source("s")

    @pytest.mark.skipif(sys.platform == "win32", reason="needs privileges")
    def test_links(self, file: Path) -> None:
        link = file.with_name("link.pt")
        link.symlink_to(file)
        assert opened(link).size == len(DATA)
        loop = file.with_name("loop.pt")
        loop.symlink_to(loop)
        with pytest.raises(errors.SourceError):
            open_source(loop)


class TestNames:
    def test_kinds_of_path(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        class BytesPath:
            def __fspath__(self) -> bytes:
                return os.fsencode(file)

        monkeypatch.chdir(file.parent)
        for path in (file, str(file), "model.pt", BytesPath()):
            assert open_source(path).read(0, 3) == DATA[:3]

    def test_file_address(self, file: Path) -> None:
        spaced = file.with_name("my model ü.pt")
        file.rename(spaced)
        assert open_source(spaced.as_uri()).size == len(DATA)
        assert open_source(spaced.as_uri()).name == spaced.as_uri()
        assert open_source(spaced.as_uri().replace("file:///", "FILE://localhost/")).size == len(DATA)
        with pytest.raises(errors.SourceError, match="this machine"):
            open_source("file://elsewhere/a.pt")

    @pytest.mark.skipif(sys.platform == "win32", reason="no colons in names")
    def test_name_with_colons(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        odd = file.with_name("model::v2.pt")
        file.rename(odd)
        monkeypatch.chdir(odd.parent)
        assert open_source("model::v2.pt").size == len(DATA)
        with pytest.raises(errors.SourceNotFound):
            open_source("model::v3.pt")


class TestNetworkFileSystem:
    TABLE = (
        "36 35 0:51 / /mnt/a rw,noatime shared:1 master:1 - nfs4 server:/a rw\n"
        "37 35 0:52 / /mnt/b rw - fuse.sshfs b rw\n"
        "38 35 8:1 / / rw - ext4 /dev/sda1 rw\n"
        "short\n"
    )

    @pytest.mark.skipif(not hasattr(os, "makedev"), reason="no device numbers")
    @pytest.mark.parametrize(
        ("device", "network"), [((0, 51), True), ((0, 52), True), ((8, 1), False), ((9, 9), False)]
    )
    def test_table(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: tuple[int, int], network: bool
    ) -> None:
        table = tmp_path / "mountinfo"
        table.write_text(self.TABLE)
        monkeypatch.setattr(mounts, "_MOUNT_TABLE", table)
        assert mounts.is_network(mounts.file_system(os.makedev(*device))) is network

    def test_no_table(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mounts, "_MOUNT_TABLE", Path("/nowhere"))
        assert opened(file).network_fs is False

    def test_local_fuse(self) -> None:
        assert not mounts.is_network("fuse.mergerfs")
        assert mounts.is_network("lustre")
