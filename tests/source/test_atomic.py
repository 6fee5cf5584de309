"""Files that are replaced whole: what is written, what is kept, what lies at a path."""

from __future__ import annotations

import errno
import os
import random
import stat
import subprocess
import threading
from array import array
from pathlib import Path
from typing import Any

import pytest

from dotpt import errors
from dotpt.limits import MIB
from dotpt.source import atomic, disk, open_sink
from dotpt.source.atomic import FileSink
from tests.source.atomic_cases import NEW, OLD, linux, posix, root, save
from tests.source.children import NOBODY, child, names, on_small_disk, open_folder, output_of


class TestWriting:
    def test_nothing_is_seen_before_the_commit(self, file: Path, durable: bool) -> None:
        with open_sink(file, durable=durable) as sink:
            assert isinstance(sink, FileSink)
            assert (sink.name, sink.position) == (str(file), 0)
            sink.reserve(len(NEW))
            sink.write(NEW[:10])
            sink.write(NEW[10:])
            assert sink.position == len(NEW)
            assert file.read_bytes() == OLD
            sink.commit()
            assert file.read_bytes() == NEW
            assert names(file.parent) == ["model.pt"]
        assert file.read_bytes() == NEW

    def test_a_new_file(self, tmp_path: Path, durable: bool) -> None:
        save(tmp_path / "a.pt", durable=durable)
        assert (tmp_path / "a.pt").read_bytes() == NEW
        assert names(tmp_path) == ["a.pt"]

    def test_leaving_without_commit(self, file: Path) -> None:
        with open_sink(file) as sink:
            sink.write(NEW)
        assert file.read_bytes() == OLD
        assert names(file.parent) == ["model.pt"]
        with pytest.raises(errors.WriteError, match="closed"):
            sink.write(NEW)
        sink.abort()

    def test_an_error_in_between(self, tmp_path: Path) -> None:
        def fail() -> None:
            with open_sink(tmp_path / "a.pt") as sink:
                sink.write(NEW)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert names(tmp_path) == []

    def test_a_sink_that_is_forgotten(self, file: Path) -> None:
        sink = open_sink(file)
        sink.write(NEW)
        del sink
        assert names(file.parent) == ["model.pt"]

    def test_announced_and_not_written(self, file: Path) -> None:
        with open_sink(file) as sink:
            sink.reserve(100_000)
            sink.write(NEW)
            sink.commit()
        assert file.read_bytes() == NEW
        assert file.stat().st_blocks * 512 < 50_000

    def test_nothing_at_all(self, file: Path) -> None:
        save(file, b"")
        assert file.read_bytes() == b""

    @pytest.mark.parametrize(
        "data",
        [
            bytearray(b"abcdefgh"),
            memoryview(b"abcdefgh"),
            array("d", [1.5]),
            memoryview(array("i", [1, 2])).cast("B").cast("i", [2, 1]),
        ],
    )
    def test_any_buffer(self, tmp_path: Path, data: Any) -> None:
        with open_sink(tmp_path / "a") as sink:
            sink.write(data)
            sink.commit()
        assert sink.position == 8
        assert (tmp_path / "a").read_bytes() == bytes(memoryview(data))

    def test_a_format_that_python_cannot_see(self, tmp_path: Path) -> None:
        np = pytest.importorskip("numpy")
        with open_sink(tmp_path / "a") as sink:
            sink.write(np.ones(3, "complex64"))
            sink.commit()
        assert (tmp_path / "a").read_bytes() == np.ones(3, "complex64").tobytes()

    def test_no_buffer(self, tmp_path: Path) -> None:
        with open_sink(tmp_path / "a") as sink:
            with pytest.raises(errors.UsageError, match="contiguous"):
                sink.write(memoryview(b"abcdef")[::2])
            with pytest.raises(errors.UsageError, match="str holds no bytes"):
                sink.write("text")  # type: ignore[arg-type]

    def test_short_writes(self, file: Path, durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        write = os.write
        monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
        save(file, durable=durable)
        monkeypatch.undo()
        assert file.read_bytes() == NEW

    def test_a_write_that_does_nothing(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "write", lambda descriptor, data: 0)
        with pytest.raises(errors.WriteError, match="no more bytes"):
            save(file)
        monkeypatch.undo()
        assert file.read_bytes() == OLD

    def test_in_pieces(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(atomic, "_PIECE", 100)
        monkeypatch.setattr(disk, "_EARLY", 300)
        data = random.Random(1).randbytes(12_345)
        save(tmp_path / "a", data)
        assert (tmp_path / "a").read_bytes() == data

    def test_what_is_written_goes_to_the_disk_early(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if not hasattr(os, "posix_fadvise"):
            pytest.skip("needs posix_fadvise")
        asked: list[tuple[int, int]] = []
        monkeypatch.setattr(os, "posix_fadvise", lambda fd, start, length, advice: asked.append((start, length)))
        for durable in (True, False):
            with open_sink(tmp_path / "a", durable=durable) as sink:
                sink.write(bytes(20 * MIB))
                sink.write(bytes(5 * MIB))
        assert asked == [(0, 8 * MIB), (8 * MIB, 8 * MIB), (16 * MIB, 9 * MIB)]


class TestHoles:
    @pytest.mark.parametrize("recycle", [False, True])
    @pytest.mark.parametrize("reserve", [False, True])
    def test_zeros(self, tmp_path: Path, reserve: bool, recycle: bool) -> None:
        path = tmp_path / "a"
        for turn in range(4):  # with recycle, the third and fourth write over the first two
            if turn < 2:
                save(path, b"\xff" * 1_000_000, recycle=recycle, durable=False)
                continue
            with open_sink(path, recycle=recycle, durable=False) as sink:
                if reserve:
                    sink.reserve(900_000)
                for size in (10, 200_000, 0, 70_000):
                    sink.write(b"x" * 1000)
                    sink.skip(size)
                assert sink.position == 274_010
                sink.commit()
            content = b"".join(b"x" * 1000 + bytes(size) for size in (10, 200_000, 0, 70_000))
            assert path.read_bytes() == content

    @linux
    def test_take_no_space(self, tmp_path: Path) -> None:
        with open_sink(tmp_path / "a", durable=False) as sink:
            sink.skip(50 * MIB)
            sink.write(b"end")
            sink.commit()
        status = (tmp_path / "a").stat()
        assert status.st_size == 50 * MIB + 3
        assert status.st_blocks * 512 < MIB

    def test_negative(self, tmp_path: Path) -> None:
        with open_sink(tmp_path / "a") as sink, pytest.raises(errors.UsageError):
            sink.skip(-1)


class TestReopening:
    def test_before_the_commit(self, file: Path, durable: bool) -> None:
        with open_sink(file, durable=durable) as sink:
            sink.reserve(1_000_000)
            sink.write(NEW)
            with sink.reopen() as source:
                assert source.size == len(NEW)
                assert source.read(5, 100) == NEW[5:105]
            sink.write(b"more")
            with sink.reopen() as source:
                assert source.read(0, source.size) == NEW + b"more"
            assert file.read_bytes() == OLD
            sink.commit()
        assert file.read_bytes() == NEW + b"more"

    @linux
    def test_reads_what_the_disk_holds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[str] = []
        monkeypatch.setattr(os, "fsync", lambda fd: asked.append("sync"))
        monkeypatch.setattr(os, "posix_fadvise", lambda *facts: asked.append("forget"))
        with open_sink(tmp_path / "a", durable=False) as sink:
            sink.write(NEW)
            with sink.reopen():
                assert asked == ["sync", "forget"]


@posix
class TestPermissions:
    @pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755, 0o666])
    def test_of_the_old_file(self, file: Path, mode: int) -> None:
        file.chmod(mode)
        save(file)
        assert stat.S_IMODE(file.stat().st_mode) == mode

    @pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_of_a_new_file(self, tmp_path: Path, umask: int, mode: int) -> None:
        before = os.umask(umask)
        try:
            save(tmp_path / "a")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode

    def test_nobody_reads_along(self, file: Path) -> None:
        file.chmod(0o644)
        with open_sink(file):
            (temporary,) = set(names(file.parent)) - {"model.pt"}
            assert stat.S_IMODE((file.parent / temporary).stat().st_mode) == 0o600

    def test_a_file_that_was_removed_meanwhile(self, file: Path) -> None:
        file.chmod(0o640)
        with open_sink(file) as sink:
            file.unlink()
            sink.commit()
        assert stat.S_IMODE(file.stat().st_mode) == 0o640

    @root
    def test_root_keeps_the_owner(self, file: Path) -> None:
        os.chown(file, 1234, 2345)
        file.chmod(0o4750)
        save(file)
        status = file.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1234, 2345, 0o4750)

    @root
    def test_others_keep_what_they_may(self) -> None:
        """The owner changes, the group cannot be given: what the old group might is taken from the new one."""
        with open_folder(NOBODY) as folder:
            path = folder / "a.pt"
            path.write_bytes(OLD)
            os.chown(path, 1234, 2345)
            path.chmod(0o4766)
            output_of(child("save(sys.argv[1], b'new')", path, nobody=True))
            status = path.stat()
            assert path.read_bytes() == b"new"
            assert (status.st_uid, status.st_gid, oct(stat.S_IMODE(status.st_mode))) == (NOBODY, NOBODY, "0o766")
            os.chown(path, 1234, 2345)
            path.chmod(0o662)
            output_of(child("save(sys.argv[1], b'new')", path, nobody=True))
            assert oct(stat.S_IMODE(path.stat().st_mode)) == "0o622"

    @linux
    def test_attributes(self, file: Path) -> None:
        try:
            os.setxattr(file, "user.dotpt.test", b"kept")
        except OSError:
            pytest.skip("no attributes on this file system")
        save(file)
        assert os.getxattr(file, "user.dotpt.test") == b"kept"

    @linux
    def test_access_list(self, file: Path) -> None:
        # version 2; owner rw, user 1234 r, group r, mask r, others none
        entries = [(1, 6, -1), (2, 4, 1234), (4, 4, -1), (16, 4, -1), (32, 0, -1)]
        acl = (2).to_bytes(4, "little") + b"".join(
            tag.to_bytes(2, "little") + rights.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
            for tag, rights, who in entries
        )
        try:
            os.setxattr(file, "system.posix_acl_access", acl)
        except OSError:
            pytest.skip("no access lists on this file system")
        save(file)
        assert os.getxattr(file, "system.posix_acl_access") == acl
        assert stat.S_IMODE(file.stat().st_mode) == 0o640

    @linux
    @pytest.mark.parametrize("code", ["ENOTSUP", "EPERM", "ENODATA"])
    def test_attributes_that_cannot_be_kept(self, file: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*facts: object) -> None:
            raise OSError(getattr(errno, code), code)

        for name in ("listxattr", "setxattr", "getxattr"):
            with monkeypatch.context() as patch:
                patch.setattr(os, "listxattr", lambda path: ["user.a"])
                patch.setattr(os, "getxattr", lambda path, name: b"")
                patch.setattr(os, name, refuse)
                save(file)
        monkeypatch.setattr(os, "listxattr", lambda path: (_ for _ in ()).throw(OSError(errno.EIO, "EIO")))
        with pytest.raises(errors.WriteError, match="EIO"):
            save(file)


class TestTargets:
    @posix
    def test_a_link_stays(self, file: Path) -> None:
        (file.parent / "elsewhere").mkdir()
        link = file.parent / "elsewhere" / "link.pt"
        link.symlink_to("../second.pt")
        (file.parent / "second.pt").symlink_to("model.pt")
        save(link)
        assert file.read_bytes() == NEW
        assert link.is_symlink()
        assert (file.parent / "second.pt").is_symlink()
        assert names(link.parent) == ["link.pt"]

    @posix
    def test_a_link_to_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to("file")
        save(tmp_path / "link")
        assert (tmp_path / "file").read_bytes() == NEW
        (tmp_path / "far").symlink_to("none/file")
        with pytest.raises(errors.FolderMissing, match="none does not exist"):
            save(tmp_path / "far")
        (tmp_path / "round").symlink_to("round")
        with pytest.raises(errors.WriteError, match="symbolic links"):
            save(tmp_path / "round")

    @posix
    def test_another_name_of_the_file_keeps_the_old_content(self, file: Path) -> None:
        os.link(file, file.parent / "best.pt")
        save(file)
        assert (file.parent / "best.pt").read_bytes() == OLD

    def test_a_folder(self, tmp_path: Path) -> None:
        for path in (tmp_path, f"{tmp_path}/", f"{tmp_path}/new/"):
            with pytest.raises(errors.WriteIsFolder) as caught:
                open_sink(path)
            assert isinstance(caught.value, (IsADirectoryError, RuntimeError))

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(errors.FolderMissing, match=r"Parent directory .*no does not exist") as caught:
            open_sink(tmp_path / "no" / "a.pt")
        assert isinstance(caught.value, FileNotFoundError)
        assert (caught.value.errno, caught.value.path) == (errno.ENOENT, str(tmp_path / "no" / "a.pt"))
        (tmp_path / "file").touch()
        with pytest.raises(errors.FolderMissing):
            open_sink(tmp_path / "file" / "a.pt")

    @posix
    def test_a_home_that_is_not_expanded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        with pytest.raises(errors.FolderMissing, match=f"Try: write {tmp_path}/a.pt"):
            open_sink("~/a.pt")

    @pytest.mark.parametrize("path", ["", "a\0b"])
    def test_no_path(self, path: str) -> None:
        with pytest.raises(errors.UsageError):
            open_sink(path)

    def test_the_working_folder_changes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        with open_sink("a.pt") as sink:
            sink.write(NEW)
            (tmp_path / "elsewhere").mkdir()
            os.chdir("elsewhere")
            sink.commit()
        assert (tmp_path / "a.pt").read_bytes() == NEW

    def test_an_address_of_this_machine(self, tmp_path: Path) -> None:
        save((tmp_path / "a b.pt").as_uri())
        assert (tmp_path / "a b.pt").read_bytes() == NEW
        with pytest.raises(errors.SourceError, match="of this machine"):
            open_sink("file://other/a.pt")

    def test_web_addresses(self) -> None:
        for address in ("http://host/a.pt", "HTTPS://host/a.pt"):
            with pytest.raises(errors.UsageError, match="cannot be written to"):
                open_sink(address)

    def test_options_for_a_path(self, tmp_path: Path) -> None:
        with pytest.raises(errors.UsageError, match="storage_options"):
            open_sink(tmp_path / "a", storage_options={"key": 1})

    def test_a_sink(self, tmp_path: Path) -> None:
        with open_sink(tmp_path / "a") as sink:
            assert open_sink(sink) is sink

    @posix
    @pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "\udcff\udc80.pt", "a\nb.pt", " ", ".hidden"])
    def test_names(self, tmp_path: Path, name: str) -> None:
        try:
            (tmp_path / name).touch()
        except OSError:
            pytest.skip("not a name on this file system")
        for recycle in (False, True, True, True, False):
            save(tmp_path / name, recycle=recycle)
        assert (tmp_path / name).read_bytes() == NEW
        assert names(tmp_path) == [name]
        with pytest.raises(errors.WriteError) as caught:
            save(tmp_path / ("n" * 256))
        assert (caught.value.errno, caught.value.hint) == (errno.ENAMETOOLONG, "choose a shorter name")


@posix
class TestSpecial:
    def test_a_full_device(self) -> None:
        if not os.path.exists("/dev/full"):
            pytest.skip("no /dev/full")
        before = os.stat("/dev/full")
        with pytest.raises(errors.NoSpace, match="what was written so far stays there") as caught:
            save("/dev/full")
        assert (caught.value.errno, caught.value.path) == (errno.ENOSPC, "/dev/full")
        assert os.path.samestat(before, os.stat("/dev/full"))

    def test_a_device(self) -> None:
        save(os.devnull)
        assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
        with open_sink(os.devnull) as sink, pytest.raises(errors.UsageError, match="read back"):
            sink.reopen()

    def test_a_pipe(self, tmp_path: Path) -> None:
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
        reader.start()
        data = random.Random(2).randbytes(300_000)
        save(pipe, data)
        reader.join(timeout=10)
        assert read == [data]
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    def test_standard_output(self, tmp_path: Path) -> None:
        for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
            if not os.path.exists(os.path.dirname(path)):
                continue
            command = child("print('before', flush=True); save(sys.argv[1], b'data')", path)
            assert output_of(command) == "before\ndata"
            with open(tmp_path / "out", "wb") as out:  # a file: written to, not replaced, and not from its start
                subprocess.run(command, stdout=out, check=True, timeout=60)
            assert (tmp_path / "out").read_bytes() == b"before\ndata"
            assert names(tmp_path) == ["out"]

    def test_a_socket(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import socket

        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            with pytest.raises(errors.WriteError, match="a socket"):
                open_sink("socket")


class TestDenied:
    @posix
    def test_a_protected_file(self) -> None:
        with open_folder(NOBODY) as folder:
            path = folder / "a.pt"
            path.write_bytes(OLD)
            path.chmod(0o444)
            code = "try: save(sys.argv[1], b'new')\nexcept PermissionError as error: print(repr(error.errno), error)"
            said = output_of(child(code, path, nobody=True))
            assert said.startswith(f"{errno.EACCES} The file may not be written to, and what was there before is un")
            assert path.read_bytes() == OLD

    @posix
    def test_a_protected_folder(self) -> None:
        with open_folder() as folder:
            path = folder / "a.pt"
            path.write_bytes(OLD)
            path.chmod(0o666)
            folder.chmod(0o555)
            code = "try: save(sys.argv[1], b'new')\nexcept errors.WriteDenied as error: print(error)"
            said = output_of(child(code, path, nobody=True))
            assert said.startswith("The file could not be written: Permission denied, and what was there before is unt")
            assert "Try: save to a folder of yours" in said
            assert names(folder) == ["a.pt"]
            folder.chmod(0o755)

    @posix
    def test_a_folder_that_cannot_be_listed(self) -> None:
        with open_folder(NOBODY) as folder:
            folder.chmod(0o300)
            output_of(child("save(sys.argv[1], b'new')", folder / "a.pt", nobody=True))
            folder.chmod(0o700)
            assert names(folder) == ["a.pt"]

    @linux
    def test_a_file_system_that_is_only_read(self) -> None:
        with open_folder() as folder:
            code = (
                "import subprocess; subprocess.run(['mount', '-o', 'remount,ro', sys.argv[1]], check=True)\n"
                "try: save(sys.argv[1] + '/a.pt', b'new')\nexcept errors.WriteError as error: print(error.errno, error)"
            )
            said = output_of(on_small_disk(child(code, folder), folder, "100k"))
            assert said.startswith(f"{errno.EROFS} The file could not be written: Read-only file system")
            assert "nothing was saved" in said
