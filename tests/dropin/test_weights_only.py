"""Whether a file may run code: what the call says, what torch's two environment variables say, and the arguments
that go to an unpickler."""

from __future__ import annotations

import io
import pickle
import warnings
from pathlib import Path

import pytest

import dotpt

torch = pytest.importorskip("torch")

from tests.corpus.entry import quiet  # noqa: E402

pytestmark = pytest.mark.torch
FORCE, FORCE_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


class Own:
    """A class that nobody has marked as harmless."""

    built = 0

    def __setstate__(self, state):
        type(self).built += 1
        self.__dict__.update(state)


@pytest.fixture(params=["theirs", "ours"])
def load(request, monkeypatch):
    """torch.load, and ours in its place: both must say the same."""
    monkeypatch.delenv(FORCE, raising=False)
    monkeypatch.delenv(FORCE_NOT, raising=False)
    Own.built = 0
    with quiet(), dotpt.patch_torch(save=False, load=request.param == "ours"):
        yield torch.load


@pytest.fixture(scope="module")
def harmless(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "harmless.pt"
    torch.save({"a": torch.ones(2)}, path)
    return path


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """A file that runs code of a class when it is built."""
    path = tmp_path_factory.mktemp("files") / "code.pt"
    own = Own()
    own.x = 1
    torch.save(own, path)
    return path


def runs(load, path, **arguments) -> bool:
    """Whether a load builds what is in the file; if not, it refuses."""
    try:
        assert load(path, **arguments).x == 1
    except pickle.UnpicklingError:
        assert Own.built == 0
        return False
    return Own.built == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, False),
        ({"weights_only": None}, False),
        ({"weights_only": True}, False),
        ({"weights_only": False}, True),
        ({"weights_only": 0}, True),
        ({"pickle_module": pickle}, True),
        ({"pickle_module": pickle, "weights_only": False}, True),
    ],
)
def test_what_the_call_says(load, code, arguments, expected):
    assert runs(load, code, **arguments) is expected


def test_an_explicit_pickle_module_is_not_safe(load, harmless):
    with pytest.raises(RuntimeError, match="Can not safely load weights when explicit pickle_module is specified"):
        load(harmless, pickle_module=pickle, weights_only=True)


@pytest.mark.parametrize("value", ["1", "y", "Yes", "TRUE"])
def test_weights_only_can_be_forced(load, code, harmless, value, monkeypatch):
    monkeypatch.setenv(FORCE, value)
    assert not runs(load, code)
    assert not runs(load, code, weights_only=False)
    with pytest.raises(RuntimeError, match="explicit pickle_module"):
        load(harmless, pickle_module=pickle)
    assert torch.equal(load(harmless, weights_only=False)["a"], torch.ones(2))


@pytest.mark.parametrize("value", ["1", "y", "Yes", "TRUE"])
def test_weights_only_can_be_forced_off_where_nothing_is_said(load, code, value, monkeypatch):
    monkeypatch.setenv(FORCE_NOT, value)
    with pytest.warns(UserWarning, match="forcing weights_only=False") as caught:
        assert runs(load, code)
    assert Path(caught[0].filename) == Path(__file__)
    Own.built = 0
    assert not runs(load, code, weights_only=True)


@pytest.mark.parametrize("value", ["0", "no", "false", "", "2", "on"])
def test_other_values_force_nothing(load, code, value, monkeypatch):
    monkeypatch.setenv(FORCE, value)
    monkeypatch.setenv(FORCE_NOT, value)
    assert not runs(load, code)
    assert runs(load, code, weights_only=False)


@pytest.mark.parametrize("arguments", [{}, {"weights_only": True}, {"weights_only": False}])
def test_both_at_once_make_no_sense(load, harmless, arguments, monkeypatch):
    monkeypatch.setenv(FORCE, "1")
    monkeypatch.setenv(FORCE_NOT, "1")
    with pytest.raises(RuntimeError, match="Only one of"):
        load(harmless, **arguments)


# -- arguments for an unpickler ---------------------------------------------------------------------------------------


def python2(text: bytes) -> io.BytesIO:
    """A legacy file with one byte string, as Python 2 wrote it."""
    buffer = io.BytesIO()
    with dotpt.patch_torch(load=False, durable=False):
        torch.save("word", buffer, _use_new_zipfile_serialization=False)
    unicode, string = b"X\x04\x00\x00\x00word", b"U" + bytes([len(text)]) + text
    assert unicode in buffer.getvalue()
    return io.BytesIO(buffer.getvalue().replace(unicode, string))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"encoding": "latin-1"}, "w\xf6rd"),
        ({"encoding": "bytes"}, b"w\xf6rd"),
        ({"encoding": "ascii", "errors": "replace"}, "w�rd"),
        ({"encoding": "ascii", "errors": "ignore", "fix_imports": True}, "wrd"),
    ],
)
def test_strings_of_python_2(load, arguments, expected):
    assert load(python2(b"w\xf6rd"), weights_only=False, **arguments) == expected


def test_a_safe_load_warns_of_them_and_heeds_the_encoding(load):
    with pytest.warns(UserWarning, match="pickle_load_args only works if `weights_only=False`"):
        assert load(python2(b"w\xf6rd"), weights_only=True, encoding="bytes") == b"w\xf6rd"


def test_unknown_arguments_are_refused(load, harmless):
    with pytest.raises(TypeError, match="wheights_only"):
        load(harmless, weights_only=False, wheights_only=True)
    with pytest.raises(TypeError):
        load(harmless, None, None, True)
    with pytest.raises(TypeError):
        load()


def test_arguments_that_change_nothing_are_fine(load, harmless):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(harmless, None, None, weights_only=False, mmap=False, encoding="utf-8", fix_imports=True)
