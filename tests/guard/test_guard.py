"""`dotpt.guard`: what does not scan clean is not loaded, whichever way a program takes; everything else goes on."""

from __future__ import annotations

import _pickle
import bz2
import gzip
import io
import lzma
import multiprocessing
import os
import pickle
import shelve
import socket
import sys
import threading
import zipfile
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

import dotpt
from dotpt.errors import LimitExceeded, RefusedByGuard, UsageError
from dotpt.guard import files as guard_files
from dotpt.guard import guarding
from dotpt.guard import pickles as guard_pickle
from dotpt.scan.policy import Policy

SENTINEL = "dotpt_guard_sentinel"
# What it calls exists only while a test looks whether it is called.
EVIL = f"c{SENTINEL}\nran\n(S'x'\ntR.".encode()
DANGEROUS = b"cos\nsystem\n(S'exit 3'\ntR."
GOOD = {"a": [1, 2.5, "text"], "b": (None, True, b"bytes")}
ORIGINALS = {
    "load": pickle.load, "Unpickler": pickle.Unpickler, "C load": _pickle.load, "C Unpickler": _pickle.Unpickler,
    "method": pickle._Unpickler.load,
}  # fmt: skip


class Early(pickle.Unpickler):
    """Derived before there is a guard, with an argument and an attribute of its own."""

    def __init__(self, file, device="cpu"):
        super().__init__(file)
        self.device = device


class Slotted(pickle.Unpickler):
    """One without room for attributes."""

    __slots__ = ()


class EarlyPython(pickle._Unpickler):
    """Derived from the unpickler that is written in Python, as pandas, dill and joblib do it."""


def now() -> dict[str, object]:
    """What pickle's names hold."""
    return {
        "load": pickle.load, "Unpickler": pickle.Unpickler, "C load": _pickle.load, "C Unpickler": _pickle.Unpickler,
        "method": pickle._Unpickler.load,
    }  # fmt: skip


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert all(now()[name] is ORIGINALS[name] for name in ORIGINALS)
    assert Early.__bases__[0] is Slotted.__bases__[0] is ORIGINALS["Unpickler"]
    assert not guarding._active
    assert not guard_pickle._without_attributes


@pytest.fixture
def runs(monkeypatch):
    """What the attacks have called: to stay empty."""
    called = []
    module = ModuleType(SENTINEL)
    module.ran = called.append
    monkeypatch.setitem(sys.modules, SENTINEL, module)
    return called


@pytest.fixture
def alias(monkeypatch):
    """A module that has imported pickle's names before."""
    module = ModuleType("early_user_of_pickle")
    exec("from pickle import load as read, Unpickler as Reader, _load\nimport pickle as cPickle", vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def write(path: Path, *pickles: bytes) -> Path:
    path.write_bytes(b"".join(pickles))
    return path


def late(file):
    """A class that is derived while a guard is active."""

    class Late(pickle.Unpickler):
        pass

    return Late(file).load()


WAYS = {
    "pickle.load": lambda file, alias: pickle.load(file),
    "an alias of load": lambda file, alias: alias.read(file),
    "cPickle": lambda file, alias: alias.cPickle.load(file),
    "_pickle.load": lambda file, alias: _pickle.load(file),
    "pickle._load": lambda file, alias: pickle._load(file),
    "an alias of _load": lambda file, alias: alias._load(file),
    "Unpickler": lambda file, alias: pickle.Unpickler(file, encoding="latin1").load(),
    "an alias of Unpickler": lambda file, alias: alias.Reader(file).load(),
    "_pickle.Unpickler": lambda file, alias: _pickle.Unpickler(file).load(),
    "pickle._Unpickler": lambda file, alias: pickle._Unpickler(file).load(),
    "derived before": lambda file, alias: Early(file, "cuda").load(),
    "derived before, with slots": lambda file, alias: Slotted(file).load(),
    "derived before from Python's": lambda file, alias: EarlyPython(file).load(),
    "derived after": lambda file, alias: late(file),
    "shelve's Unpickler": lambda file, alias: shelve.Unpickler(file).load(),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_load_from_a_file(tmp_path, runs, alias, way):
    load, path = WAYS[way], write(tmp_path / "a.pkl", pickle.dumps(GOOD), EVIL)
    with path.open("rb") as file:
        assert load(file, alias) == GOOD
        load(file, alias)  # not guarded: it runs, so the attack is one
    assert runs == ["x"]
    with dotpt.guard(), path.open("rb") as file:
        assert load(file, alias) == GOOD
        with pytest.raises(RefusedByGuard, match=f"{SENTINEL}.ran") as caught:
            load(file, alias)
    assert runs == ["x"]
    assert caught.value.findings.verdict == "suspicious"
    assert caught.value.findings.findings[0].name == f"{SENTINEL}.ran"
    assert isinstance(caught.value, pickle.UnpicklingError)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("way", WAYS)
def test_objects_in_turn_and_the_end_of_the_file(tmp_path, alias, way, protocol):
    values = [GOOD, None, 1, "x" * 70_000, b"y" * 70_000, list(range(3000)), {}]
    path = write(tmp_path / "a.pkl", *(pickle.dumps(value, protocol) for value in values))
    with dotpt.guard(), path.open("rb") as file:
        assert [WAYS[way](file, alias) for _ in values] == values
        with pytest.raises(EOFError):
            WAYS[way](file, alias)
        assert file.tell() == path.stat().st_size


def test_an_unpickler_keeps_its_memory_from_object_to_object(tmp_path):
    shared, stream = ["shared"], io.BytesIO()
    pickler = pickle.Pickler(stream)
    pickler.dump(shared)
    pickler.dump([shared])
    path = write(tmp_path / "a.pkl", stream.getvalue())
    with dotpt.guard(), path.open("rb") as file:
        unpickler = pickle.Unpickler(file)
        first = unpickler.load()
        assert unpickler.load()[0] is first


@pytest.mark.parametrize(
    "opened",
    [
        lambda path: gzip.open(path), lambda path: bz2.open(path), lambda path: lzma.open(path),
        lambda path: zipfile.ZipFile(path).open("a.pkl"), lambda path: io.BufferedReader(gzip.open(path)),
    ],
    ids=["gzip", "bz2", "lzma", "zip", "buffered gzip"],
)  # fmt: skip
def test_files_that_are_unpacked(tmp_path, runs, opened, request):
    path, kind = tmp_path / "packed", request.node.callspec.id
    for content, fine in ((pickle.dumps(GOOD), True), (EVIL, False)):
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.pkl", content)
        else:
            pack = {"bz2": bz2.compress, "lzma": lzma.compress}.get(kind, gzip.compress)
            path.write_bytes(pack(content))
        with dotpt.guard(), opened(path) as file:
            if fine:
                assert pickle.load(file) == GOOD
            else:
                with pytest.raises(RefusedByGuard):
                    pickle.load(file)
    assert runs == []


class Stream:
    """A file object of somebody's own, that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self.read, self.readline = self._file.read, self._file.readline


def test_streams_that_cannot_seek(runs):
    with dotpt.guard():
        stream = Stream(pickle.dumps(GOOD) + pickle.dumps(2) + EVIL)
        assert (pickle.load(stream), pickle._load(stream)) == (GOOD, 2)
        with pytest.raises(RefusedByGuard):
            pickle.Unpickler(stream).load()
    assert runs == []


# -- what was scanned is what is loaded -------------------------------------------------------------------------------


def test_a_file_that_is_written_over_after_the_scan(tmp_path, runs, monkeypatch):
    path = write(tmp_path / "a.pkl", pickle.dumps(GOOD))
    scan = guard_pickle.scan_pickle

    def scan_and_write(*arguments):
        findings = scan(*arguments)
        with path.open("r+b") as file:
            file.write(EVIL)
        return findings

    monkeypatch.setattr(guard_pickle, "scan_pickle", scan_and_write)
    with dotpt.guard(), path.open("rb", buffering=0) as file:
        assert pickle.load(file) == GOOD
    assert path.read_bytes().startswith(EVIL)
    assert runs == []


def test_it_reads_no_byte_twice():
    class Fickle(Stream):
        """Gives the attack to whoever reads it a second time."""

    stream = Fickle(pickle.dumps(GOOD))
    with dotpt.guard():
        assert pickle.load(stream) == GOOD
        with pytest.raises(EOFError):
            pickle.load(stream)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (DANGEROUS, "dangerous"),
        (DANGEROUS[:-1], "dangerous"),  # it would run before its end is missed
        (EVIL, "suspicious"),
        (pickle.dumps(GOOD)[:-5], "unreadable"),
        (b"no pickle at all", "unreadable"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "unreadable"),
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "unreadable"),
        (b"\x80\x02X\x00\x00\x00\xff", "unreadable"),
        (b"\x80\x02\x82\x01.", "unreadable"),
        (pickle.dumps(pickle.PickleBuffer(b"x"), 5, buffer_callback=lambda _: None), "unreadable"),
    ],
)
def test_verdicts(tmp_path, content, verdict):
    path = write(tmp_path / "a.pkl", content)
    with dotpt.guard(), path.open("rb") as file, pytest.raises(RefusedByGuard) as caught:
        pickle.load(file)
    assert caught.value.findings.verdict == verdict
    assert caught.value.path == str(path)


def test_the_message_says_what_to_do(tmp_path):
    path = write(tmp_path / "a.pkl", EVIL)
    with dotpt.guard(), path.open("rb") as file, pytest.raises(RefusedByGuard) as caught:
        pickle.load(file)
    text = str(caught.value)
    assert text.startswith(f"The file was not loaded: it scans as suspicious. suspicious: It names {SENTINEL}.ran")
    assert "(byte " in text
    for step in (f"`dotpt scan {path}`", f"`dotpt clean {path} -o OUT`", f"dotpt.guard(allow=['{SENTINEL}.ran'])"):
        assert step in text
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == text
    assert again.findings.verdict == "suspicious"


def test_what_is_dangerous_gets_no_advice_to_allow_it(tmp_path):
    path = write(tmp_path / "a.pkl", DANGEROUS)
    with dotpt.guard(), path.open("rb") as file, pytest.raises(RefusedByGuard, match=r"os\.system") as caught:
        pickle.load(file)
    assert "allow" not in str(caught.value)


@pytest.mark.parametrize("arguments", [
    {"allow": [f"{SENTINEL}.*"]}, {"allow": f"{SENTINEL}.ran"}, {"policy": Policy(allow=(f"{SENTINEL}.ran",))},
])  # fmt: skip
def test_names_that_are_allowed(tmp_path, runs, arguments):
    path = write(tmp_path / "a.pkl", EVIL)
    with dotpt.guard(**arguments), path.open("rb") as file:
        pickle.load(file)
    assert runs == ["x"]


def test_a_limit_of_the_policy(tmp_path):
    path = write(tmp_path / "a.pkl", pickle.dumps(b"x" * 100_000))
    limited = Policy(limits=dotpt.Limits(pickle_bytes=10_000))
    with dotpt.guard(limited), path.open("rb") as file, pytest.raises(RefusedByGuard, match="pickle_bytes"):
        pickle.load(file)


def test_warnings_instead(tmp_path, runs):
    path = write(tmp_path / "a.pkl", EVIL)
    with dotpt.guard(action="warn"), path.open("rb") as file, pytest.warns(UserWarning, match="suspicious") as caught:
        pickle.load(file)
    assert runs == ["x"]
    assert caught[0].filename == __file__


def test_an_action_that_there_is_not():
    with pytest.raises(UsageError, match="no action 'ask'"):
        dotpt.guard(action="ask")


# -- what goes on -----------------------------------------------------------------------------------------------------


def test_memory_pipes_and_sockets(runs):
    reading, writing = os.pipe()
    one, other = socket.socketpair()
    with dotpt.guard(), open(reading, "rb") as pipe, one, other, other.makefile("rb") as received:
        os.write(writing, EVIL)
        one.sendall(EVIL)
        pickle.load(pipe)
        pickle.load(received)
        pickle.loads(EVIL)
        pickle.load(io.BytesIO(EVIL))
        os.close(writing)
    assert len(runs) == 4


class Own:
    """A class of a program's own."""


def give_back(value):
    """What a worker does."""
    return value


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_multiprocessing_goes_on(method):
    with dotpt.guard(), multiprocessing.get_context(method).Pool(1) as pool:
        assert type(pool.apply(give_back, (Own(),))) is Own


def test_threads(tmp_path, runs):
    path, refused = write(tmp_path / "a.pkl", EVIL), []

    def work():
        try:
            with path.open("rb") as file:
                pickle.load(file)
        except RefusedByGuard as error:
            refused.append(error)

    with dotpt.guard():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(refused) == 4
    assert runs == []


# -- on and off -------------------------------------------------------------------------------------------------------


def test_guards_end_in_any_order(tmp_path, runs):
    path = write(tmp_path / "a.pkl", EVIL)
    lenient, strict = dotpt.guard(allow=[SENTINEL + ".*"]), dotpt.guard()
    lenient.undo()
    with path.open("rb") as file, pytest.raises(RefusedByGuard):
        pickle.load(file)
    lenient = dotpt.guard(allow=[SENTINEL + ".*"])
    with path.open("rb") as file, pytest.raises(RefusedByGuard):
        pickle.load(file)  # both have to let it pass
    assert strict.active
    strict.undo()
    strict.undo()
    assert not strict.active
    with path.open("rb") as file:
        pickle.load(file)
    lenient.undo()
    assert runs == ["x"]
    with pytest.raises(UsageError, match="undone"), strict:
        raise AssertionError("not reached")


def test_what_was_made_while_it_was_active_works_afterwards(tmp_path, runs):
    path = write(tmp_path / "a.pkl", pickle.dumps(GOOD), EVIL, pickle.dumps(2))
    with ExitStack() as stack:
        with dotpt.guard():

            class Late(pickle.Unpickler):
                pass

            assert Late.__bases__[0] is not ORIGINALS["Unpickler"]
            unpicklers = [
                kind(stack.enter_context(path.open("rb")))
                for kind in (pickle.Unpickler, Late, Early, Slotted, EarlyPython)
            ]
            assert [unpickler.load() for unpickler in unpicklers] == [GOOD] * 5
        assert Late.__bases__[0] is ORIGINALS["Unpickler"]
        for number, unpickler in enumerate(unpicklers):
            unpickler.load()
            assert len(runs) == number + 1
        del unpicklers[3]  # without attributes, it cannot be known again
        with dotpt.guard():
            assert [unpickler.load() for unpickler in unpicklers] == [2] * 4


def test_errors_of_pickle_stay_its_own():
    with dotpt.guard():
        with pytest.raises(TypeError, match="read"):
            pickle.load(object())
        with pytest.raises(TypeError):
            pickle.Unpickler()
        with pytest.raises(pickle.UnpicklingError, match="not called"):
            EarlyPython.__new__(EarlyPython).load()


def test_a_stream_without_end():
    class Endless:
        def read(self, length=-1):
            return b"x" * length

    guard = dotpt.guard(Policy(limits=dotpt.Limits(inflated_bytes=1 << 22)))
    with guard, pytest.raises(LimitExceeded), guard_files.held(Endless()):
        raise AssertionError("not reached")
