"""Every bomb in a process that has little: a typed error or success, in two seconds and 200 MB, and no signal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.attacks.bombs import BOMBS
from tests.corpus.streams import STREAMS

ROOT = Path(__file__).parents[2]
#: What each verb may cost, in processor seconds. Hostile files must end in 2 s; this is twice that, for machines that
#: are busy with the rest of the suite.
SECONDS = 4.0
READS, JUDGES = "open,load", "scan,clean"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS and /proc")


def _try(name: str, folder: Path, where: str, verbs: str) -> dict[str, Any]:
    path = folder / f"{name}-{where}-{verbs}.pt"
    path.write_bytes(BOMBS[name]())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [sys.executable, "-m", "tests.attacks.poor_child", where, verbs, str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    path.unlink()
    if done.returncode:
        return {"code": done.returncode, "stderr": done.stderr[-2_000:]}
    return {"code": 0, "told": json.loads(done.stdout)}


class Attempts:
    """All attempts of a run, several at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(os.cpu_count() or 1)
        self._made: dict[tuple[str, str, str], Future[dict[str, Any]]] = {}

    def start(self, names: list[str], where: str, verbs: str) -> None:
        """Begin these."""
        for name in names:
            if (name, where, verbs) not in self._made:
                self._made[name, where, verbs] = self._pool.submit(_try, name, self._folder, where, verbs)

    def result(self, name: str, where: str, verbs: str) -> dict[str, Any]:
        """The outcome of one."""
        self.start([name], where, verbs)
        return self._made[name, where, verbs].result()


@pytest.fixture(scope="module")
def attempts(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Attempts:
    made = Attempts(tmp_path_factory.mktemp("bombs"))
    for test, verbs in ((_READ, READS), (_JUDGED, JUDGES)):
        chosen = {
            item.callspec.params["name"]
            for item in request.session.items
            if item.fspath == request.fspath and item.name.startswith(f"{test}[")
        }
        made.start([name for name in BOMBS if name in chosen], "thread", verbs)
    return made


def check(found: dict[str, Any], verbs: str) -> dict[str, str]:
    """What each verb said, having said it in time."""
    assert found["code"] == 0, found
    assert list(found["told"]) == verbs.split(","), found
    for outcome, seconds in found["told"].values():
        assert seconds < SECONDS, found
        assert not outcome.endswith(("MemoryError", "RecursionError")), found
    return {verb: outcome for verb, (outcome, _) in found["told"].items()}


#: Named for what they must be, where success would mean that a limit is not held.
LIMITED = {
    "memo_filled_in_order",
    "memo_filled_sparsely",
    "five_million_dups",
    "five_million_marks",
    "five_million_nones",
    "lists_of_nones_again_and_again",
    "a_million_lists",
    "a_million_tuples",
    "a_million_dictionaries",
    "a_tuple_key_of_a_million_levels",
    "a_set_member_of_a_million_levels",
    "frozensets_of_frozensets",
    "a_deep_member_of_a_set_made_by_a_call",
    "deep_inert_objects",
    "deep_inert_callees",
    "deep_ordered_dictionaries",
    "laughs_as_a_key",
    "long_keys_on_the_way_to_a_tensor",
    "colliding_integers_64k",
    "colliding_members_of_a_set",
    "colliding_members_of_a_frozenset",
    "colliding_keys_one_at_a_time",
    "colliding_keys_of_a_counter",
    "many_dictionaries_just_below_the_limit",
    "a_wide_key_again_and_again",
    "two_long_equal_keys_in_turn",
    "a_million_number_keys",
    "bytes_of_2_62",
    "bytearray_of_2_62",
    "text_of_2_63",
    "long4_of_4000_bytes",
    "long4_of_a_million_bytes",
    "a_million_digits",
    "a_million_digits_of_a_long",
    "a_long_name",
    "half_a_million_names",
    "one_text_encoded_again_and_again",
    "one_bytearray_copied_again_and_again",
    "one_list_copied_again_and_again",
    "one_dictionary_copied_again_and_again",
    "one_dictionary_as_attributes_again_and_again",
    "one_dictionary_reconstructed_again_and_again",
    "one_array_copied_again_and_again",
    "paths_of_long_parts",
    "one_embedded_file_again_and_again",
    "one_small_embedded_file_again_and_again",
    "files_in_files_in_files",
    "expanded_to_2_31",
    "a_packed_quantized_tensor_of_2_40",
    "zeros_gzipped",
    "a_bare_pickle_of_lists",
    "a_hundred_thousand_legacy_objects",
}
BIG = [name for name in BOMBS if not name.startswith(("stream_", "bare_"))]
_READ = "test_a_bomb_is_harmless_in_a_thread_with_a_small_stack"
_JUDGED = "test_so_it_is_for_who_scans_and_cleans"


@pytest.mark.parametrize("name", BIG)
def test_a_bomb_is_harmless_in_a_thread_with_a_small_stack(name: str, attempts: Attempts) -> None:
    said = check(attempts.result(name, "thread", READS), READS)
    if name in LIMITED:
        assert said["open"] == "LimitExceeded"


@pytest.mark.parametrize("name", BIG)
def test_so_it_is_for_who_scans_and_cleans(name: str, attempts: Attempts) -> None:
    """What cannot be read whole is not called clean, and is not cleaned."""
    said = check(attempts.result(name, "thread", JUDGES), JUDGES)
    if name in LIMITED:
        assert said["scan"] != "clean"
        assert said["clean"] != "read"


@pytest.mark.slow
@pytest.mark.parametrize("name", BIG)
def test_a_bomb_is_harmless_on_the_main_thread(name: str, attempts: Attempts) -> None:
    """Those who scan and clean read by the same code: in the small stack above they have it harder."""
    check(attempts.result(name, "main", READS), READS)


def test_every_limit_that_is_claimed_has_its_bomb() -> None:
    assert set(BOMBS) >= LIMITED
    assert len(BIG) >= 79
    assert all(f"stream_{name}" in BOMBS and f"bare_{name}" in BOMBS for name in STREAMS)


def test_all_streams_of_the_corpus_are_harmless_in_one_small_process(tmp_path: Path) -> None:
    """As zips and as bare files, one after the other: what one leaves behind must not fell the next."""
    names = [name for name in BOMBS if name.startswith(("stream_", "bare_"))]
    for name in names:
        (tmp_path / f"{name}.pt").write_bytes(BOMBS[name]())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    verbs = f"{READS},{JUDGES}"
    command = [sys.executable, "-m", "tests.attacks.poor_child", "all", verbs, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3_000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(names)
    for line in lines:
        name = line.pop("file")
        check({"code": 0, "told": line, "name": name, "stderr": done.stderr[-2_000:]}, verbs)
        if STREAMS[name.removesuffix(".pt").partition("_")[2]].kind in ("attack", "malformed"):
            assert line["scan"][0] != "clean", name
