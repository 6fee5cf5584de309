"""The table of element types, against numpy's sizes and, where it is installed, against torch's own."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from dotpt.tensors.dtypes import ALIASES, BY_STORAGE, DTYPES

PACKED_ONLY = {f"{sign}int{bits}" for sign in ("", "u") for bits in range(1, 8)}


@pytest.mark.parametrize("name", DTYPES)
def test_numpy_has_a_type_of_the_same_bits(name: str) -> None:
    dtype = DTYPES[name]
    found = dtype.to_numpy()
    assert found.itemsize == dtype.itemsize * (2 if name == "complex32" else 1)
    kinds = {"float": "fV", "int": "i", "uint": "u", "bool": "b", "complex": "c", "quantized": "iu", "bits": "u"}
    assert found.kind in kinds[dtype.kind]


@pytest.mark.parametrize("name", DTYPES)
def test_the_unit_that_is_swapped_divides_the_element(name: str) -> None:
    dtype = DTYPES[name]
    assert dtype.itemsize % max(dtype.swap, 1) == 0
    if dtype.itemsize > 1:
        assert dtype.swap == dtype.itemsize // (2 if dtype.kind == "complex" else 1)


def test_a_type_survives_pickling_as_itself() -> None:
    for dtype in DTYPES.values():
        assert pickle.loads(pickle.dumps(dtype)) is dtype
        assert str(dtype) == dtype.name


def test_storage_classes_and_aliases_point_into_the_table() -> None:
    assert len(BY_STORAGE) == 17
    assert set(ALIASES.values()) <= set(DTYPES)
    assert all(BY_STORAGE[name].storage == name for name in BY_STORAGE)


@pytest.mark.torch
def test_torch_agrees_on_every_type() -> None:
    torch = pytest.importorskip("torch")
    theirs = {
        str(value).removeprefix("torch."): value for value in vars(torch).values() if isinstance(value, torch.dtype)
    }
    assert set(theirs) == set(DTYPES)
    for name, dtype in DTYPES.items():
        known = theirs[name]
        assert known.itemsize == dtype.itemsize, name
        if name != "float4_e2m1fn_x2":  # two numbers a byte: kept as bits, no single byte is a number
            assert known.is_floating_point == dtype.is_floating, name
        assert known.is_complex == (dtype.kind == "complex"), name
    for alias, name in ALIASES.items():
        assert getattr(torch, alias) is theirs[name]


@pytest.mark.torch
def test_torch_agrees_on_every_storage_class() -> None:
    torch = pytest.importorskip("torch")
    typed = torch.storage._storage_type_to_dtype_map()
    assert {name: str(dtype).removeprefix("torch.") for name, dtype in typed.items()} == {
        name: dtype.name for name, dtype in BY_STORAGE.items()
    }


VALUED = [
    name
    for name, dtype in DTYPES.items()
    if dtype.kind in ("float", "int", "uint", "bool", "complex") and name not in PACKED_ONLY | {"complex32"}
]


@pytest.mark.torch
@pytest.mark.parametrize("name", VALUED)
def test_the_bits_mean_the_same_in_torch_and_numpy(name: str) -> None:
    torch = pytest.importorskip("torch")
    dtype = DTYPES[name]
    raw = np.random.default_rng(0).integers(0, 2 if name == "bool" else 256, 64 * dtype.itemsize, np.uint8)
    ours = raw.view(dtype.to_numpy())
    theirs = torch.from_numpy(raw.copy()).view(getattr(torch, name))
    with np.errstate(invalid="ignore"):  # some of these bits are signalling NaNs
        if dtype.kind in ("int", "uint"):
            assert ours.tolist() == theirs.tolist()
        elif dtype.kind == "complex":
            np.testing.assert_array_equal(ours.astype(np.complex128), theirs.to(torch.complex128).numpy())
        else:
            np.testing.assert_array_equal(ours.astype(np.float64), theirs.to(torch.float64).numpy())
