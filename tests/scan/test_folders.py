"""Folders: everything in them is an entry, nothing hangs, and a process that dies costs one file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dotpt.errors import UsageError
from dotpt.scan import folders, scan, workers
from dotpt.scan.findings import Finding, Findings
from dotpt.scan.folders import left_alone, scan_folder, scan_many
from dotpt.scan.policy import Policy
from dotpt.scan.walk import list_files
from tests.scan.streams import CLEAN, CUT, EVIL, UNKNOWN, fill, in_zip

SOURCES = Path(folders.__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
JOBS = pytest.mark.parametrize("jobs", [1, 2])


@pytest.fixture
def models(tmp_path):
    folder = fill(tmp_path / "models", a_pt=in_zip(CLEAN), b_pt=EVIL, c_bin=in_zip(UNKNOWN), d_pt=CUT, e_txt=b"words\n")
    fill(folder / "more", f_pt=CLEAN)
    return folder


def verdicts(results, folder):
    return {os.path.relpath(found.path, folder): found.verdict for found in results}


def words_of(results, path):
    (found,) = [found for found in results if found.path == str(path)]
    assert found.verdict == "unreadable"
    assert [finding.rule for finding in found.findings] == ["cannot-read"]
    return found.findings[0].text


@JOBS
def test_every_file_of_a_folder_is_scanned_in_order(models, jobs):
    results = list(scan_folder(models, jobs=jobs))
    assert list(verdicts(results, models).items()) == [
        ("a.pt", "clean"), ("b.pt", "dangerous"), ("c.bin", "suspicious"), ("d.pt", "unreadable"),
        ("e.txt", "unreadable"), ("more/f.pt", "clean"),
    ]  # fmt: skip
    assert [left_alone(found) for found in results] == [False, False, False, False, True, False]


def test_processes_find_what_one_process_finds(models):
    (alone, together) = ([found.to_dict() | {"seconds": 0} for found in scan_folder(models, jobs=n)] for n in (1, 3))
    assert alone == together


@JOBS
def test_the_same_file_is_found_under_each_argument(models, jobs):
    paths = [models / "b.pt", models / "gone.pt", models / "b.pt"]
    assert [found.verdict for found in scan_many(paths, jobs=jobs)] == ["dangerous", "unreadable", "dangerous"]


def test_a_folder_within_another_is_scanned_once(models):
    assert len(list(scan_many([models, models / "more", models]))) == 6


def test_a_text_in_which_something_hides_is_not_left_alone():
    findings = Findings("a.png", other=True, findings=[Finding("unreadable", "not-a-model", "x")])
    assert left_alone(findings)
    findings.findings.append(Finding("dangerous", "names-in-broken-part", "x"))
    assert not left_alone(findings)
    assert not left_alone(Findings("a.pt"))


def test_progress_is_told_in_bytes(models):
    told = []
    list(scan_folder(models, progress=lambda done, total: told.append((done, total))))
    assert len(told) == 6
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1] == sum(path.stat().st_size for path in models.rglob("*") if path.is_file())


# -- links, and what is no file ---------------------------------------------------------------------------------------


def test_a_loop_of_links_ends(models):
    (models / "more" / "back").symlink_to(models)
    (models / "self").symlink_to(models / "self")
    results = list(scan_folder(models))
    assert len(results) == 7
    assert "leads to nothing" in words_of(results, models / "self")


def test_a_link_to_a_file_of_the_folder_is_not_scanned_twice(models):
    (models / "0.pt").symlink_to(models / "b.pt")
    assert [name for name, verdict in verdicts(scan_folder(models), models).items() if verdict == "dangerous"] == [
        "b.pt"
    ]


def test_a_link_to_a_file_elsewhere_is_scanned_once(models, tmp_path):
    fill(tmp_path / "elsewhere", g_pt=EVIL)
    for name in ("0.pt", "1.pt"):
        (models / name).symlink_to(tmp_path / "elsewhere/g.pt")
    found = verdicts(scan_folder(models), models)
    assert found["0.pt"] == "dangerous"
    assert "1.pt" not in found


def test_a_link_to_a_folder_elsewhere_is_not_followed_and_says_so(models, tmp_path):
    fill(tmp_path / "elsewhere", g_pt=EVIL)
    (models / "out").symlink_to(tmp_path / "elsewhere")
    assert "not followed" in words_of(list(scan_folder(models)), models / "out")
    assert "dangerous" in verdicts(scan_many([models, tmp_path / "elsewhere"]), models).values()
    assert len(list(scan_many([models, tmp_path / "elsewhere"]))) == 7


def test_a_link_that_leads_nowhere_is_unreadable(models):
    (models / "gone.pt").symlink_to(models / "not there")
    assert "No such file" in words_of(list(scan_folder(models)), models / "gone.pt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
@JOBS
def test_what_is_no_file_is_never_opened(models, monkeypatch, jobs):
    os.mkfifo(models / "pipe.pt")
    monkeypatch.chdir(models)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.pt")
        (models / "null.pt").symlink_to("/dev/null")
        results = list(scan_folder(models, jobs=jobs))
    assert words_of(results, models / "pipe.pt") == "It is a pipe, and was not opened."
    assert words_of(results, models / "socket.pt") == "It is a socket, and was not opened."
    assert words_of(results, models / "null.pt") == "It is a device, and was not opened."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_a_pipe_that_is_named_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (found,) = scan_many([tmp_path / "pipe"])
    assert found.verdict == "unreadable"


def test_what_may_not_be_read_is_unreadable(models, monkeypatch):
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # who may read everything has to be refused by hand
        real = os.scandir

        def refuse(path):
            if path.endswith("more"):
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        monkeypatch.setattr(os, "scandir", refuse)
    else:
        (models / "more").chmod(0)
    try:
        assert "Permission denied" in words_of(list(scan_folder(models)), models / "more")
    finally:
        (models / "more").chmod(0o700)


@JOBS
def test_a_file_that_vanishes_is_unreadable(models, jobs):
    listing = list_files([models])
    (models / "b.pt").unlink()
    results = list(folders.scan_listing(listing, Policy(), jobs=jobs))
    assert len(results) == 6
    assert words_of(results, models / "b.pt")


def test_a_very_deep_folder_is_no_trouble(tmp_path):
    here, levels = tmp_path, 0
    while len(str(here)) < 3500:
        here = here / "a_rather_long_name"
        here.mkdir()
        levels += 1
    (here / "a.pt").write_bytes(EVIL)
    (found,) = scan_folder(tmp_path)
    assert found.verdict == "dangerous"
    assert levels > 100


def test_names_that_are_no_text_are_no_trouble(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"\xff\x1b[31m.pt")).write_bytes(EVIL)
    except OSError:
        pytest.skip("this file system takes only text")
    (found,) = scan_folder(tmp_path, jobs=2)
    assert found.verdict == "dangerous"


# -- what is left out -------------------------------------------------------------------------------------------------


def test_git_is_left_out(models):
    fill(models / ".git/objects", g_pt=EVIL)
    listing = list_files([models])
    assert listing.left_out == [str(models / ".git")]
    assert len(listing.files) == 6


@pytest.mark.parametrize(
    ("glob", "left"),
    [
        ("*.pt", {"c.bin", "e.txt"}),
        ("more", {"a.pt", "b.pt", "c.bin", "d.pt", "e.txt"}),
        ("more/", {"a.pt", "b.pt", "c.bin", "d.pt", "e.txt"}),
        ("./more", {"a.pt", "b.pt", "c.bin", "d.pt", "e.txt"}),
        ("more/f.pt", {"a.pt", "b.pt", "c.bin", "d.pt", "e.txt"}),
        ("**/f.pt", {"a.pt", "b.pt", "c.bin", "d.pt", "e.txt"}),
        ("**/a.pt", {"b.pt", "c.bin", "d.pt", "e.txt", "more/f.pt"}),
        ("f", {"a.pt", "b.pt", "c.bin", "d.pt", "e.txt", "more/f.pt"}),
    ],
)
def test_globs_leave_out(models, glob, left):
    found = list_files([models], exclude=[glob]).files
    assert {os.path.relpath(file.path, models) for file in found} == left


def test_a_glob_may_be_a_whole_path(models, monkeypatch):
    monkeypatch.chdir(models.parent)
    assert len(list_files(["models"], exclude=["models/more/*"]).files) == 5
    assert len(list_files(["models/b.pt"], exclude=["*.pt"]).files) == 1  # what is named is meant


def test_the_policy_leaves_out(models):
    assert len(list(scan_folder(models, policy=Policy(exclude=("*.pt",))))) == 2


# -- processes that die -----------------------------------------------------------------------------------------------


@pytest.fixture
def deadly(monkeypatch):
    """Have the scan of some files end the process, as a crash of it or a lack of memory would."""

    def let(*names, how=lambda: os.kill(os.getpid(), signal.SIGKILL)):
        def scan_or_die(path, **options):
            if Path(path).name in names:
                how()
            return scan.scan(path, **options)

        monkeypatch.setattr(folders, "scan", scan_or_die)
        # other tests may have left threads behind, with which processes would be spawned, and know nothing of this
        monkeypatch.setattr(workers.threading, "active_count", lambda: 1)

    return let


@LINUX
@pytest.mark.parametrize("jobs", [2, 3])
def test_a_process_that_dies_costs_one_file(tmp_path, deadly, jobs):
    fill(tmp_path, **{f"m{number}_pt": EVIL if number % 7 else CLEAN for number in range(200)})
    deadly("m0.pt", "m50.pt", "m51.pt", "m199.pt")
    results = list(scan_folder(tmp_path, jobs=jobs))
    assert len(results) == 200
    dead = {Path(found.path).name: found for found in results if found.verdict == "unreadable"}
    assert set(dead) == {"m0.pt", "m50.pt", "m51.pt", "m199.pt"}
    assert "died (SIGKILL)" in dead["m50.pt"].findings[0].text
    assert [found.path for found in results] == sorted(found.path for found in results)


@LINUX
def test_a_process_that_ends_by_itself_costs_one_file(tmp_path, deadly):
    fill(tmp_path, a_pt=CLEAN, b_pt=EVIL, c_pt=CLEAN)
    deadly("a.pt", "c.pt", how=lambda: os._exit(7))
    assert [found.verdict for found in scan_folder(tmp_path, jobs=2)] == ["unreadable", "dangerous", "unreadable"]


@JOBS
def test_a_mistake_of_ours_costs_one_file(tmp_path, deadly, jobs):
    def mistake():
        raise IndexError("no such thing")

    fill(tmp_path, a_pt=CLEAN, b_pt=EVIL)
    deadly("a.pt", how=mistake)
    (first, second) = scan_folder(tmp_path, jobs=jobs)
    assert first.findings[0].text == "This is a mistake in dotpt: IndexError: no such thing"
    assert (first.verdict, second.verdict) == ("unreadable", "dangerous")


def test_an_error_of_ours_is_a_finding(tmp_path, deadly):
    def refuse():
        raise UsageError("Not so.", hint="otherwise")

    fill(tmp_path, a_pt=CLEAN)
    deadly("a.pt", how=refuse)
    (found,) = scan_folder(tmp_path)
    assert (found.findings[0].text, found.findings[0].hint) == ("Not so.", "otherwise")


def test_with_threads_processes_are_not_forked(models):
    """A fork with threads may copy a lock that nobody will release; so another way to start them is taken."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert len(list(scan_folder(models, jobs=2))) == 6
    finally:
        stop.set()
        thread.join()


@LINUX
def test_a_process_is_replaced_while_there_are_threads(tmp_path, deadly):
    """The one that takes its place is not forked; whichever gets the file then, the others are scanned."""
    fill(tmp_path, **{f"m{number}_pt": EVIL for number in range(20)})
    deadly("m5.pt")
    results = folders.scan_listing(list_files([tmp_path]), Policy(), jobs=2)
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        found = {Path(found.path).name: found.verdict for found in results}
        assert found.pop("m5.pt") in ("unreadable", "dangerous")
        assert list(found.values()) == ["dangerous"] * 19
    finally:
        stop.set()
        thread.join()


def test_ending_early_ends_the_processes(tmp_path):
    fill(tmp_path, **{f"m{number}_pt": CLEAN for number in range(300)})
    listing = list_files([tmp_path])
    pool = workers.Workers(listing.files, Policy(), 2)
    processes = [worker.process for worker in pool._workers.values()]
    results = pool.results()
    next(results)
    results.close()
    assert [process.is_alive() for process in processes] == [False, False]


def test_zero_jobs_are_as_many_as_cores(models):
    assert folders.cores() >= 1
    assert len(list(scan_folder(models, jobs=0))) == 6


_SLOW = """
import os, sys, time
from pathlib import Path
from dotpt.cli import main
from dotpt.scan import folders, scan

def slowly(path, **options):
    Path(sys.argv[2], str(os.getpid())).touch()
    time.sleep(0.05 if path.endswith("0.pt") else 30)
    return scan.scan(path, **options)

folders.scan = slowly
sys.exit(main(["scan", "--jobs", "2", sys.argv[1]]))
"""


@LINUX
@pytest.mark.parametrize("whom", ["all", "parent"])
def test_ctrl_c_leaves_at_once_and_no_process_behind(tmp_path, whom):
    fill(tmp_path / "models", **{f"m{number}_pt": CLEAN for number in range(40)})
    pids = tmp_path / "pids"
    pids.mkdir()
    command = [sys.executable, "-c", _SLOW, str(tmp_path / "models"), str(pids)]
    process = subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(SOURCES)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(lambda: len(os.listdir(pids)) == 2)
        time.sleep(0.2)
        begun = time.monotonic()
        if whom == "all":
            os.killpg(process.pid, signal.SIGINT)
        else:
            os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=20)
        assert time.monotonic() - begun < 5
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, err) == (130, b"")
    wait_for(lambda: not any(Path("/proc", pid).exists() for pid in os.listdir(pids)))


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
