"""The whole corpus of objects through torch.save and torch.load with either of them, or both, being ours."""

from __future__ import annotations

import io
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from dotpt.dropin.patch import patch_torch  # noqa: E402
from tests.corpus.compare import same  # noqa: E402
from tests.corpus.objects import OBJECTS, quiet  # noqa: E402

pytestmark = pytest.mark.torch
# Views of something larger: we write only what they use together, so they lie elsewhere in a smaller storage.
CUT = """
    stride_step stride_narrow stride_row stride_element stride_empty_past_end stride_float8_step neg_view
    sparse_csr sparse_csr_batched sparse_csr_hybrid sparse_csc sparse_bsr sparse_bsc
""".split()
# docs/differences.md: torch writes these in its old format, and cannot read them again.
LOST = """
    dtype_uint16 dtype_uint32 dtype_uint64 dtype_complex32 dtype_float8_e4m3fn dtype_float8_e5m2 dtype_float8_e4m3fnuz
    dtype_float8_e5m2fnuz dtype_float8_e8m0fnu dtype_float4_e2m1fn_x2 dtype_bits8 dtype_bits16 dtype_bits1x8
    dtype_bits2x4 dtype_bits4x2 storage_untyped nested_strided generator
""".split()
MODES = {"both": (True, True), "save": (True, False), "load": (False, True)}


def through(name: str, save: bool, load: bool, **how: Any) -> Any:
    """An object of the corpus, saved and loaded."""
    buffer = io.BytesIO()
    value = OBJECTS[name]()
    with patch_torch(save=save, load=load, durable=False):
        torch.save(value, buffer, **how)
        buffer.seek(0)
        return torch.load(buffer, weights_only=False)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OBJECTS)
def test_objects_survive_as_with_torch(name, mode):
    exact = name not in CUT or mode == "load"
    with quiet():
        ours, theirs = through(name, *MODES[mode]), through(name, save=False, load=False)
    assert same(ours, theirs, strides=exact) is None
    assert (same(ours, theirs) is None) is exact


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", [name for name in OBJECTS if name not in CUT])
def test_objects_survive_in_the_legacy_format(name, mode):
    if mode == "save" and name in LOST:
        return
    with quiet():
        ours = through(name, *MODES[mode], _use_new_zipfile_serialization=False)
        theirs = through(name, save=False, load=False)
    assert same(ours, theirs) is None
