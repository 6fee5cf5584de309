"""Files that are replaced whole: full disks, failed syncs, killed and interrupted runs, other systems."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dotpt import errors
from dotpt.source import Sink, atomic, disk, open_sink, open_source, temporaries
from dotpt.source.atomic import FileSink
from tests.source.atomic_cases import NEW, OLD, linux, posix, save
from tests.source.children import child, names, on_small_disk, open_folder, output_of


class TestNoRoom:
    def test_known_beforehand(self, file: Path) -> None:
        with (
            pytest.raises(errors.NoSpace, match="nothing was written, and what was there before") as caught,
            open_sink(file) as sink,
        ):
            sink.reserve(1 << 60)
        assert (caught.value.expected, caught.value.size, caught.value.errno) == (1 << 60, 1 << 60, errno.ENOSPC)
        assert isinstance(caught.value.found, int)
        assert "1,152,921,504,606,846,976 bytes" in str(caught.value)
        assert file.read_bytes() == OLD
        assert names(file.parent) == ["model.pt"]

    @posix
    def test_a_file_system_that_does_not_say(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        facts = list(os.statvfs(file))
        facts[2:5] = [0, 0, 0]
        monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(facts))
        save(file)
        monkeypatch.setattr(os, "statvfs", lambda path: (_ for _ in ()).throw(OSError(errno.ENOSYS, "")))
        save(file)

    @posix
    @pytest.mark.parametrize("announced", [True, False])
    def test_limit_on_the_size_of_a_file(self, file: Path, announced: bool) -> None:
        code = (
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try:\n"
            "    with open_sink(sys.argv[1]) as sink:\n"
            "        if sys.argv[2] == 'True': sink.reserve(3000)\n"
            "        sink.write(b'x' * 3000); sink.commit()\n"
            "except errors.NoSpace as error: print(error.errno, error)"
        )
        said = output_of(child(code, file, announced))
        assert said.startswith(f"{errno.EFBIG} The file could not be written: File too large (3,000 bytes are needed)")
        assert "ulimit -f" in said
        assert file.read_bytes() == OLD
        assert names(file.parent) == ["model.pt"]

    @linux
    def test_a_tiny_disk(self) -> None:
        with open_folder() as folder:
            code = (
                "path = sys.argv[1] + '/a.pt'\n"
                "save(path, b'o' * 60_000)\n"
                "for announced in (True, False):\n"
                "    try:\n"
                "        with open_sink(path) as sink:\n"
                "            if announced: sink.reserve(60_000)\n"
                "            for _ in range(6): sink.write(b'n' * 10_000)\n"
                "            sink.commit()\n"
                "    except errors.NoSpace as error: print(error.errno, error)\n"
                "    assert open(path, 'rb').read() == b'o' * 60_000\n"
                "    assert os.listdir(sys.argv[1]) == ['a.pt']\n"
                "save(path, b'n' * 30_000)"
            )
            said = output_of(on_small_disk(child(code, folder), folder, "100k")).splitlines()
            assert said[0].startswith(f"{errno.ENOSPC} The file needs 60,000 bytes, and ")
            assert said[1].startswith(f"{errno.ENOSPC} The file could not be written: No space left on device")

    @linux
    @pytest.mark.parametrize("code", ["EOPNOTSUPP", "EINVAL", "ENOSYS"])
    def test_a_disk_that_cannot_reserve(self, file: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*facts: object) -> None:
            raise OSError(getattr(errno, code), "no")

        monkeypatch.setattr(disk, "file_system", lambda device: "ext4")
        monkeypatch.setattr(os, "posix_fallocate", refuse)
        save(file)
        assert file.read_bytes() == NEW

    @pytest.mark.parametrize(
        ("code", "kind", "hint"),
        [
            ("ENOSPC", errors.NoSpace, "free some space"),
            ("EDQUOT", errors.NoSpace, "quota"),
            ("EIO", errors.WriteError, "another disk"),
            ("EROFS", errors.WriteError, "only be read"),
        ],
    )
    def test_errors_of_a_write(
        self, file: Path, code: str, kind: type[errors.WriteError], hint: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        failure = OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        monkeypatch.setattr(os, "write", lambda *facts: (_ for _ in ()).throw(failure))
        with pytest.raises(kind) as caught:
            save(file)
        assert type(caught.value) is kind
        assert isinstance(caught.value, (OSError, RuntimeError))
        assert (caught.value.errno, caught.value.size) == (failure.errno, len(NEW))
        assert hint in str(caught.value.hint)
        assert str(caught.value).startswith(
            f"The file could not be written: {failure.strerror} (1,600 bytes are needed), and what was there before is "
            f"untouched. ({file}) Try: "
        )


class TestSyncing:
    def test_durable(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[str] = []
        replace = os.replace
        monkeypatch.setattr(os, "fsync", lambda fd: done.append(stat.filemode(os.fstat(fd).st_mode)[0]))
        monkeypatch.setattr(os, "replace", lambda *paths: [done.append("rename"), replace(*paths)][1])
        save(file)
        assert done == (["-", "rename", "d"] if os.name == "posix" else ["-", "rename"])
        done.clear()
        save(file, durable=False)
        assert done == ["rename"]

    def test_a_failed_sync_is_not_repeated(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[int] = []

        def fail(descriptor: int) -> None:
            asked.append(descriptor)
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(errors.WriteError, match="untouched"):
            save(file)
        assert len(asked) == 1
        assert file.read_bytes() == OLD
        assert names(file.parent) == ["model.pt"]

    @posix
    @pytest.mark.parametrize("code", ["EIO", "EINVAL", "ENOTSUP"])
    def test_of_the_folder(self, file: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
        fsync = os.fsync

        def fail(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(getattr(errno, code), code)
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", fail)
        if code == "EIO":
            with pytest.raises(errors.WriteError, match="in its place, but may not survive a power cut"):
                save(file)
        else:
            save(file)
        assert file.read_bytes() == NEW
        assert names(file.parent) == ["model.pt"]

    @posix
    def test_the_disk_of_a_mac(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import fcntl

        asked: list[int] = []
        monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
        monkeypatch.setattr(fcntl, "fcntl", lambda fd, command: asked.append(command))
        monkeypatch.setattr(os, "fsync", lambda fd: asked.append(0))
        save(file)
        assert asked == [51, 0]

        def refuse(fd: int, command: int) -> None:
            raise OSError(errno.ENOTSUP, "no")

        monkeypatch.setattr(fcntl, "fcntl", refuse)
        save(file)
        assert asked == [51, 0, 0, 0]

    @posix
    def test_what_a_network_disk_says_on_closing(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also without a sync, a write that the server could not store is known before the old file is replaced."""
        close = os.close

        def fail(descriptor: int) -> None:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            close(descriptor)
            if regular:
                raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

        monkeypatch.setattr(os, "close", fail)
        with pytest.raises(errors.NoSpace):
            save(file, durable=False)
        assert file.read_bytes() == OLD


def stale(folder: Path, name: str = ".a.pt.0123456789abcdef.dotpt-tmp", age: float = 0) -> Path:
    path = folder / name
    path.write_bytes(b"half a file")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


@posix
class TestSweeping:
    def test_after_a_kill(self, file: Path) -> None:
        code = (
            "sink = open_sink(sys.argv[1]); sink.reserve(100); sink.write(b'half')\n"
            "print('ready', flush=True); time.sleep(60)"
        )
        with subprocess.Popen(child(code, file), stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            assert len(names(file.parent)) == 2
            save(file.parent / "other")  # its writer lives
            assert len(names(file.parent)) == 3
            process.kill()
        assert len(names(file.parent)) == 3
        save(file.parent / "other")
        assert names(file.parent) == ["model.pt", "other"]
        assert file.read_bytes() == OLD

    def test_nothing_else(self, file: Path) -> None:
        kept = {
            "a.dotpt-tmp",
            ".a.dotpt-tmp",
            ".dotpt-tmp",
            ".a.0123456789ABCDEF.dotpt-tmp",
            ".a.0123456789abcdef.dotpt-tmp2",
            ".other.dotpt-spare",
            "model.pt.tmp",
        }
        for name in kept:
            stale(file.parent, name, age=10**6)
        (file.parent / ".folder.0123456789abcdef.dotpt-tmp").mkdir()
        (file.parent / ".link.0123456789abcdef.dotpt-tmp").symlink_to(file)
        os.mkfifo(file.parent / ".pipe.0123456789abcdef.dotpt-tmp")
        before = set(names(file.parent))
        stale(file.parent)
        stale(file.parent, ".\udcff\n.0123456789abcdef.dotpt-tmp")
        save(file)
        assert set(names(file.parent)) == before

    @pytest.mark.parametrize("why", ["no fcntl", "ENOTSUP", "ENOLCK", "network"])
    def test_by_age_where_locks_mean_nothing(self, file: Path, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
        if why == "no fcntl":
            monkeypatch.setitem(sys.modules, "fcntl", None)
        elif why == "network":
            monkeypatch.setattr(temporaries, "file_system", lambda device: "nfs4")
        else:
            failure = OSError(getattr(errno, why), why)
            monkeypatch.setattr("fcntl.flock", lambda *facts: (_ for _ in ()).throw(failure))
        young, old = stale(file.parent, age=60), stale(file.parent, ".b.0123456789abcdef.dotpt-tmp", age=90_000)
        save(file)
        assert file.read_bytes() == NEW
        assert (young.exists(), old.exists()) == (True, False)

    def test_a_sweeper_that_is_faster(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It sees the new file before its writer has locked it."""
        lock, made = temporaries.try_lock, []

        def late(descriptor: int) -> bool | None:
            if not made:
                (made_now,) = set(names(file.parent)) - {"model.pt"}
                made.append(made_now)
                os.unlink(file.parent / made_now)
            return lock(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(temporaries, "try_lock", late)
            with open_sink(file) as sink:
                (second,) = set(names(file.parent)) - {"model.pt"}
                assert second != made[0]
                sink.write(NEW)
                sink.commit()
        assert file.read_bytes() == NEW

    def test_a_sweeper_that_has_the_lock(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        answers = [False, True]
        monkeypatch.setattr(temporaries, "try_lock", lambda descriptor: answers.pop(0))
        save(file)
        assert not answers
        assert names(file.parent) == ["model.pt"]

    def test_sweepers_that_are_always_faster(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(temporaries, "try_lock", lambda descriptor: False)
        with pytest.raises(errors.WriteError, match="No temporary file could be kept"):
            save(file)
        assert names(file.parent) == ["model.pt"]

    def test_large_folders_are_looked_at_less_often(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(temporaries, "_SLOW", -1.0)
        monkeypatch.setattr(temporaries, "_rest_until", {})
        began = time.monotonic()
        save(file)
        assert temporaries._rest_until[str(file.parent)] > began
        temporaries._rest_until[str(file.parent)] = time.monotonic() + 60
        path = stale(file.parent)
        save(file)
        assert path.exists()
        temporaries._rest_until[str(file.parent)] = time.monotonic() - 1
        save(file)
        assert not path.exists()

    def test_a_fork_does_not_abort_the_save(self, file: Path) -> None:
        code = (
            "warnings.simplefilter('ignore')\n"
            "sink = open_sink(sys.argv[1]); sink.write(b'half, ')\n"
            "if os.fork() == 0:\n    sink.abort(); del sink; os._exit(0)\n"
            "os.wait(); sink.write(b'whole'); sink.commit()"
        )
        output_of(child(code, file))
        assert file.read_bytes() == b"half, whole"


# Raises KeyboardInterrupt at the n-th instruction of our own code, for every n.
_INTERRUPTED = """
path, options = sys.argv[1], eval(sys.argv[2])
OLD, NEW = b"old" * 5000, b"new!" * 7000
ours = os.path.dirname(dotpt.source.__file__)
warnings.simplefilter("ignore")

def interrupted(n):
    count = 0
    def trace(frame, event, argument):
        nonlocal count
        if not (frame.f_code.co_filename.startswith(ours) or frame.f_code.co_name == "save"):
            return None
        frame.f_trace_opcodes = True  # the first versions of Python 3.12 report lines only
        if event in ("opcode", "line"):
            count += 1
            if count == n:
                raise KeyboardInterrupt
        return trace
    sys.settrace(trace)
    try:
        save(path, NEW, pieces=3, **options)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return count >= n

found = {OLD: 0, NEW: 0}
n = 0
allowed = {"model.pt"} | ({".model.pt.dotpt-spare"} if "recycle" in options else set())
sys.unraisablehook = lambda facts: None
while True:
    n += 1
    with open(path, "wb") as file:
        file.write(OLD)
    more = interrupted(n)
    if gc.get_count()[0] > 500:
        gc.collect()
    with open(path, "rb") as file:
        found[file.read()] += 1
    litter = set(os.listdir(os.path.dirname(path))) - allowed
    assert not litter, (n, litter)
    if not more:
        break
print(n, *found.values())
"""


class TestInterrupts:
    @posix
    @pytest.mark.parametrize("options", ["{}", "{'durable': False}", "{'recycle': True, 'durable': False}"])
    def test_ctrl_c_at_every_instruction(self, file: Path, options: str) -> None:
        points, old, new = map(int, output_of(child(_INTERRUPTED, file, options)).split())
        assert points > 300
        assert old > points / 2
        assert new > 1

    @posix
    def test_ctrl_c_at_any_time(self, file: Path) -> None:
        """The same by real signals, which also strike inside of system calls."""
        code = (
            "import random, statistics\n"
            "path, rng = sys.argv[1], random.Random(0)\n"
            "OLD, NEW = b'o' * 300_000, b'n' * 300_000\n"
            "save(path, OLD)\n"
            "sys.unraisablehook = lambda facts: None; warnings.simplefilter('ignore')\n"
            "began = time.perf_counter(); save(path, OLD, 30, durable=False); took = time.perf_counter() - began\n"
            "signal.signal(signal.SIGALRM, lambda *facts: signal.default_int_handler(signal.SIGINT, None))\n"
            "struck = 0\n"
            "for turn in range(600):\n"
            "    try:\n"
            "        signal.setitimer(signal.ITIMER_REAL, rng.random() * took + 1e-6)\n"
            "        save(path, (OLD, NEW)[turn % 2], 30, durable=False, recycle=turn % 3 == 0)\n"
            "        signal.setitimer(signal.ITIMER_REAL, 0)\n"
            "    except KeyboardInterrupt: struck += 1\n"
            "    signal.setitimer(signal.ITIMER_REAL, 0)\n"
            "    gc.collect(0)\n"
            "    content = open(path, 'rb').read()\n"
            "    assert content in (OLD, NEW)\n"
            "    litter = set(os.listdir(os.path.dirname(path))) - {'model.pt', '.model.pt.dotpt-spare'}\n"
            "    assert not litter, (turn, litter)\n"
            "print(struck)"
        )
        assert int(output_of(child(code, file))) > 50


@posix
class TestTogether:
    @pytest.mark.parametrize("recycle", [False, True])
    def test_many_writers_of_one_path(self, tmp_path: Path, recycle: bool) -> None:
        """Readers see one whole file at any time, and nothing is left."""
        path = tmp_path / "a.pt"
        path.write_bytes(b"0" * 100_000)
        code = (
            "for turn in range(60):\n"
            "    save(sys.argv[1], sys.argv[2].encode() * (100_000 + 1000 * turn), 4, durable=False, recycle=%r)"
        )
        writers = [subprocess.Popen(child(code % recycle, path, number)) for number in range(1, 5)]
        seen = set()
        try:
            while any(writer.poll() is None for writer in writers):
                content = path.read_bytes()
                assert len(content) >= 100_000
                assert content.count(content[:1]) == len(content)
                seen.add(content[:1])
        finally:
            codes = [writer.wait() for writer in writers]
        assert codes == [0, 0, 0, 0]
        assert len(seen) > 1
        assert names(tmp_path) in (["a.pt"], [".a.pt.dotpt-spare", "a.pt"])

    def test_two_sinks_in_one_process(self, file: Path) -> None:
        with open_sink(file) as first, open_sink(file) as second:
            first.write(b"first")
            second.write(b"second")
            first.commit()
            second.commit()
        assert file.read_bytes() == b"second"
        assert names(file.parent) == ["model.pt"]


class TestElsewhere:
    """The same with the calls hidden that other systems lack."""

    @pytest.fixture(autouse=True)
    def _hide(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setitem(sys.modules, "fcntl", None)
        hidden = "posix_fadvise posix_fallocate statvfs fchmod fchown listxattr O_DIRECTORY O_NOFOLLOW O_NONBLOCK"
        for name in hidden.split():
            monkeypatch.delattr(os, name, raising=False)
        monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10**12))
        yield
        monkeypatch.undo()

    def test_saving(self, file: Path, durable: bool) -> None:
        for recycle in (True, False):
            save(file, durable=durable, recycle=recycle)
            assert file.read_bytes() == NEW
            assert names(file.parent) == ["model.pt"]
        with open_sink(file) as sink, pytest.raises(errors.NoSpace):
            sink.reserve(1 << 60)

    def test_files_that_are_open_cannot_be_renamed(self, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As on Windows: every descriptor is closed when the file is renamed or removed."""
        opened: list[FileSink] = []
        create = temporaries.Temporary.create

        def closed_only(call: Any) -> Any:
            def checked(*paths: str) -> None:
                assert opened[-1].file is None  # type: ignore[attr-defined]
                call(*paths)

            return checked

        def remember(self: Any, mode: int) -> None:
            opened.append(self)
            create(self, mode)

        monkeypatch.setattr(temporaries.Temporary, "create", remember)
        for module in (atomic, temporaries):
            fake = type("os", (), {**vars(os), "name": "nt"})
            fake.replace = staticmethod(closed_only(os.replace))  # type: ignore[attr-defined]
            fake.unlink = staticmethod(closed_only(os.unlink))  # type: ignore[attr-defined]
            for key, value in vars(os).items():
                if callable(value) and key not in ("replace", "unlink"):
                    setattr(fake, key, staticmethod(value) if not isinstance(value, type) else value)
            monkeypatch.setattr(module, "os", fake)
        monkeypatch.setattr(atomic, "drop_spare", lambda path: None)
        save(file)
        assert file.read_bytes() == NEW
        with open_sink(file) as sink:
            sink.write(OLD)
        assert names(file.parent) == ["model.pt"]


def test_the_errors_can_cross_processes() -> None:
    import copy

    failure = errors.NoSpace("The disk is full.", path="a.pt", expected=7)
    failure.errno, failure.size = errno.ENOSPC, 7
    again = copy.copy(failure)
    assert (type(again), str(again), again.errno, again.size) == (errors.NoSpace, str(failure), errno.ENOSPC, 7)


def test_what_was_saved_can_be_opened(tmp_path: Path) -> None:
    sink: Sink
    with open_sink(tmp_path / "a.pt") as sink:
        sink.write(NEW)
        sink.commit()
    with open_source(tmp_path / "a.pt") as source:
        assert source.read(0, source.size) == NEW


def test_a_signal_during_a_slow_write(tmp_path: Path) -> None:
    """A handler that returns does not disturb a save (EINTR)."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("needs setitimer")
    struck: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda *facts: struck.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for _ in range(20):
            save(tmp_path / "a.pt", NEW * 1000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert struck
    assert (tmp_path / "a.pt").read_bytes() == NEW * 1000
