"""Every file that torch ever wrote here, copied tensor by tensor, with no torch needed."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest

import dotpt

CORPUS = Path(__file__).parents[1] / "corpus"
FILES = sorted(path for folder in ("fixtures", "old_fixtures") for path in (CORPUS / folder).rglob("*.p*t*"))


def facts(archive: dotpt.Archive) -> dict[str, tuple[object, ...]]:
    return {
        name: (ref.dtype.name, ref.shape, ref.layout, ref.flavor, ref.requires_grad, ref.device, ref.is_meta)
        for name, ref in archive.tensors.items()
    }


def values(ref: dotpt.TensorRef) -> tuple[object, ...]:
    array = ref.numpy()
    if hasattr(array, "zero_point"):  # quantized: integers, and what they mean
        return tuple(np.asarray(part).tobytes() for part in (array.values, array.scale, array.zero_point))
    return np.asarray(array).tobytes(), str(array.dtype)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CORPUS)))
def test_a_copy_holds_the_same_tensors(path: Path) -> None:
    try:
        archive = dotpt.open(path)
    except dotpt.DotptError:
        pytest.skip("no file that dotpt opens")
    out = io.BytesIO()
    with archive:
        if archive.unknown_globals or archive.format == "torchscript":
            pytest.skip("names classes that are not known")
        if any(ref.layout == "jagged" for ref in archive.tensors.values()):
            pytest.skip("jagged tensors are not copied")
        dotpt.save(archive.tree, out, arrays="numpy")
        with dotpt.open(out.getvalue()) as copy, warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # arithmetic of numpy's with values of the corpus
            assert dotpt.verify(out.getvalue()).ok
            assert facts(copy) == facts(archive)
            for name, ref in archive.tensors.items():
                if not ref.is_meta and ref.layout == "strided":
                    assert values(ref) == values(copy[name]), name
