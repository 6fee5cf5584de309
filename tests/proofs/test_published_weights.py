"""Weights that other people published years ago: facenet's MTCNN nets and the LPIPS heads, from their packages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import dotpt


def folder(package: str) -> Path:
    """Where a package's files lie; it is not imported (it would need torch)."""
    spec = find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path("absent")


FACES = {"pnet.pt": (13, 6_632), "rnet.pt": (16, 100_178), "onet.pt": (21, 389_040)}
PATHS = [folder("facenet_pytorch") / "data" / name for name in FACES]
PATHS += sorted((folder("lpips") / "weights").glob("*/*.pth"))

pytestmark = pytest.mark.skipif(not PATHS[0].exists(), reason="facenet-pytorch and lpips are not installed")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_tensor_is_what_torch_loads(path: Path) -> None:
    torch = pytest.importorskip("torch")
    expected = torch.load(path, map_location="cpu", weights_only=True)
    arrays, tensors = dotpt.load(path, backend="numpy"), dotpt.load(path, backend="torch")
    assert list(arrays) == list(tensors) == list(expected)
    for name, tensor in expected.items():
        assert arrays[name].tobytes() == tensor.detach().numpy().tobytes()
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].stride() == tensor.stride()
        assert tensors[name].requires_grad == tensor.requires_grad
    with dotpt.open(path) as archive:
        for name, tensor in expected.items():
            ref = archive[name]
            assert (ref.shape, ref.strides, f"torch.{ref.dtype}") == (tensor.shape, tensor.stride(), str(tensor.dtype))
            assert np.array_equal(ref[0], tensor[0].detach().numpy())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_report_and_the_check(path: Path) -> None:
    report = dotpt.inspect(path).to_dict()
    assert report["kind"]["value"] == "state dict"
    assert report["format"] == "legacy"
    checked = dotpt.verify(path)
    assert checked.ok
    with dotpt.open(path) as archive:
        assert all(name.known for name in archive.globals)
        assert len(checked.unverified) == len(archive.contents.storages)


@pytest.mark.parametrize("path", PATHS[:3], ids=lambda path: path.name)
def test_the_nets_have_their_published_sizes(path: Path) -> None:
    arrays = dotpt.load(path, backend="numpy")
    count, elements = FACES[path.name]
    assert len(arrays) == count
    assert all(np.isfinite(array).all() for array in arrays.values())
    assert sum(array.size for array in arrays.values()) == elements
