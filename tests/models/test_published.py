"""Weights that others published, loaded into networks written from their papers: equal outputs on equal inputs."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import dotpt

torch = pytest.importorskip("torch")

from tests.models import published  # noqa: E402  (it needs torch)


def folder(package: str) -> Path:
    """Where a package's files lie; it is not imported (it would need torchvision)."""
    spec = find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else Path("absent")


FACES, DISTANCES = folder("facenet_pytorch"), folder("lpips")
NETS = {"pnet": (published.PNet, 40), "rnet": (published.RNet, 24), "onet": (published.ONet, 48)}
HEADS = [(version, net) for version in ("v0.0", "v0.1") for net in published.WIDTHS]

pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(
        not (FACES.exists() and DISTANCES.exists()), reason="facenet-pytorch and lpips are not installed"
    ),
]


def face_file(net: str) -> Path:
    return FACES / "data" / f"{net}.pt"


def heads_file(version: str, net: str) -> Path:
    return DISTANCES / "weights" / version / f"{net}.pth"


def pictures(size: int) -> Any:
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(size))


def features(net: str, seed: int) -> list[Any]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(2, width, 6, 5, generator=generator) for width in published.WIDTHS[net]]


def own_classes(path: Path, names: tuple[str, ...]) -> dict[str, Any]:
    """The authors' own classes: of their module only these are run, for the rest of it needs what is not installed."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kept = [node for node in tree.body if getattr(node, "name", None) in names]
    space: dict[str, Any] = {"torch": torch, "nn": torch.nn}
    exec(compile(ast.Module(kept, []), str(path), "exec"), space)
    return space


def loaded_by_torch(network: Any, path: Path) -> Any:
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


@pytest.mark.parametrize("net", NETS)
def test_the_nets_that_find_faces(net: str) -> None:
    make, size = NETS[net]
    network = make()
    report = dotpt.load_into(network, face_file(net))
    assert report.ok
    assert len(report.matched) == len(network.state_dict())
    own = own_classes(FACES / "models" / "mtcnn.py", ("PNet", "RNet", "ONet"))[make.__name__](pretrained=False)
    with torch.no_grad():
        found = network.eval()(pictures(size))
        for other in (loaded_by_torch(make(), face_file(net)), loaded_by_torch(own, face_file(net))):
            expected = other(pictures(size))
            assert len(found) == len(expected)
            assert all(torch.equal(one, two) for one, two in zip(found, expected, strict=True))
    assert 0 < found[-1].min() < found[-1].max() < 1  # it tells places apart: these are no weights by chance


@pytest.mark.parametrize(("version", "net"), HEADS)
def test_the_heads_that_measure_distances(version: str, net: str) -> None:
    path = heads_file(version, net)
    heads = published.LpipsHeads(published.WIDTHS[net])
    assert dotpt.load_into(heads, path).ok
    expected = loaded_by_torch(published.LpipsHeads(published.WIDTHS[net]), path)
    one, other = features(net, 1), features(net, 2)
    with torch.no_grad():
        found = heads.eval()(one, other)
        assert torch.equal(found, expected(one, other))
        assert (found > 0).all()
        assert torch.equal(heads(one, one), torch.zeros(2))
        make = own_classes(DISTANCES / "lpips.py", ("NetLinLayer",))["NetLinLayer"]
        for at, width in enumerate(published.WIDTHS[net]):
            own = make(width, use_dropout=True).eval()
            dotpt.load_into(own, path, rules={f"lin{at}.": ""}, strict="report", only="model.*")
            assert torch.equal(own(one[at]), getattr(heads, f"lin{at}")(one[at]))


@pytest.mark.parametrize("net", NETS)
def test_dotpt_says_what_they_are(net: str) -> None:
    found = dotpt.models.fingerprint(face_file(net))
    assert (found.family, found.names) == (f"mtcnn-{net}", found.total)
    assert dotpt.models.fingerprint(NETS[net][0]()) == found


@pytest.mark.parametrize(("version", "net"), HEADS)
def test_dotpt_says_whose_heads_they_are(version: str, net: str) -> None:
    found = dotpt.inspect(heads_file(version, net)).network
    assert (found.family, found.variant) == ("lpips", net)


@pytest.mark.parametrize("net", NETS)
def test_dotpt_says_what_a_pickled_module_is_without_its_code(net: str, tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save({"epoch": 3, "model": torch.nn.DataParallel(NETS[net][0]())}, path)
    found = dotpt.models.fingerprint(path)
    assert (found.family, found.root) == (f"mtcnn-{net}", "module.")
    assert dotpt.inspect(path).network == found


def test_the_wrong_weights_are_refused_and_nothing_is_touched() -> None:
    network = published.RNet()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(dotpt.DotptError, match=r"conv1\.weight"):
        dotpt.load_into(network, face_file("onet"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
