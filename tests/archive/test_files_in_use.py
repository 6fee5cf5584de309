"""Open files: several objects one after the other, read in turn as torch.load reads them."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

import dotpt

FIXTURES = Path(__file__).parent.parent / "corpus/fixtures"
ONE, OTHER = FIXTURES / "legacy/shape_1d.pt", FIXTURES / "legacy/state_dict.pt"


@pytest.mark.parametrize("kind", ["buffer", "file"])
def test_objects_in_one_stream_are_read_in_turn(kind: str, tmp_path: Path) -> None:
    parts = [ONE.read_bytes(), OTHER.read_bytes(), ONE.read_bytes()]
    path = tmp_path / "three.pt"
    path.write_bytes(b"header" + b"".join(parts))
    with io.BytesIO(path.read_bytes()) if kind == "buffer" else path.open("rb") as stream:
        stream.seek(6)
        positions, loaded = [], []
        for _ in parts:
            loaded.append(dotpt.load(stream, backend="numpy"))
            positions.append(stream.tell())
    assert positions == [6 + sum(len(part) for part in parts[: n + 1]) for n in range(3)]
    assert (loaded[0] == loaded[2]).all()
    assert list(loaded[1]) == list(dotpt.load(OTHER, backend="numpy"))


def test_a_path_gives_the_first_object_and_says_how_many_there_are(tmp_path: Path) -> None:
    path = tmp_path / "two.pt"
    path.write_bytes(ONE.read_bytes() + OTHER.read_bytes())
    assert (dotpt.load(path, backend="numpy") == dotpt.load(ONE, backend="numpy")).all()
    with dotpt.open(path) as archive:
        assert archive.contents.facts["objects"] == 2


def test_a_wrapped_file_is_left_where_it_was() -> None:
    with io.BytesIO(gzip.compress(ONE.read_bytes())) as stream:
        assert (dotpt.load(stream, backend="numpy") == dotpt.load(ONE, backend="numpy")).all()


def test_a_file_object_stays_open_and_an_array_outlives_the_archive() -> None:
    with OTHER.open("rb") as stream:
        with dotpt.open(stream) as archive:
            array = next(iter(archive.tensors.values())).numpy()
        assert not stream.closed
    assert array.size
