"""Models of the user's own classes, saved by a program of its own, whose classes are elsewhere or otherwise today."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from textwrap import dedent
from typing import Any
from unittest.mock import MagicMock

import pytest

import dotpt
from dotpt.errors import ClassesChanged, ModuleMissing, NameMissing, UnsafeGlobal, UsageError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

SOURCES = str(Path(dotpt.__file__).parents[1])
NET = """
    import torch
    from torch import nn

    class Block(nn.Module):
        def __init__(self, size):
            super().__init__()
            self.fc = nn.Linear(size, size)
            self.act = nn.ReLU()

        def forward(self, x):
            return self.act(self.fc(x))

    class Net(nn.Module):
        def __init__(self, size=4):
            super().__init__()
            self.body = nn.Sequential(Block(size), Block(size))
            self.head = nn.Linear(size, 2)
            self.size = size

        def forward(self, x):
            return self.head(self.body(x))
"""
SAVE = """
    torch.manual_seed(0)
    net = Net().eval()
    torch.save(net, "net.pt")
    torch.save(net(torch.ones(1, 4)), "output.pt")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which programs run and packages lie, as the user's own."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        here = str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(tmp_path))
        if here or name.startswith("facenet_pytorch"):
            del sys.modules[name]
    importlib.invalidate_caches()


def write(path: Path, *texts: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(dedent(text) for text in texts))
    importlib.invalidate_caches()


def run(path: Path, *arguments: str) -> None:
    """A program of the user's, in a process of its own."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(path.parent), SOURCES]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run([sys.executable, str(path), *arguments], cwd=path.parent, env=environment, check=False,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2_000:]


def saved_by_a_script(folder: Path) -> None:
    """`net.pt`, of classes of ``__main__``."""
    write(folder / "train.py", NET, SAVE)
    run(folder / "train.py")


def saved_by_a_package(folder: Path, net: str = NET) -> None:
    """`net.pt`, of classes of the package ``old_pkg``, which is gone then."""
    write(folder / "old_pkg" / "__init__.py")
    write(folder / "old_pkg" / "nets.py", net)
    write(folder / "train.py", "import torch\nfrom old_pkg.nets import Net", SAVE)
    run(folder / "train.py")
    shutil.rmtree(folder / "old_pkg")


def check(net: Any) -> None:
    """It computes what it computed there."""
    assert not net.training
    assert torch.equal(net(torch.ones(1, 4)), torch.load("output.pt"))


def quietly(**options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return dotpt.load("net.pt", **options)


# -- the error ---------------------------------------------------------------------------------------------------------


def test_the_error_names_the_users_classes_and_no_others(folder: Path) -> None:
    saved_by_a_script(folder)
    with pytest.raises(UnsafeGlobal) as caught:
        dotpt.load("net.pt")
    assert [str(name) for name in caught.value.globals] == ["__main__.Net", "__main__.Block"]
    assert 'trust=["__main__.Net", "__main__.Block"]' in caught.value.hint
    assert 'remap={"__main__.Net": Net}' in caught.value.hint
    assert "torch.nn.modules" not in str(caught.value).partition("(torch:")[0]


# -- classes of a script -----------------------------------------------------------------------------------------------


def test_classes_of_the_script_that_saved_them(folder: Path) -> None:
    saved_by_a_script(folder)
    write(folder / "nets.py", NET)
    check(quietly(remap={"__main__.Net": "nets.Net", "__main__.Block": "nets.Block"}))
    check(quietly(remap={"__main__.*": "nets.*"}))
    nets = importlib.import_module("nets")
    check(quietly(remap={"__main__.Net": nets.Net, "__main__.Block": nets.Block}))
    with pytest.warns(ClassesChanged, match=r"__main__\.Net of the file is taken to be nets\.Net") as caught:
        net = dotpt.load("net.pt", trust=[nets.Net, nets.Block])
    assert type(net) is nets.Net
    check(net)
    warning = caught[0].message
    assert isinstance(warning, ClassesChanged)
    assert [(change.saved_as, change.name) for change in warning.changes] == [
        ("__main__.Net", "nets.Net"),
        ("__main__.Block", "nets.Block"),
    ]
    assert caught[0].filename == __file__


def test_a_class_of_this_script_needs_only_its_name(folder: Path) -> None:
    saved_by_a_script(folder)
    write(folder / "use.py", NET, """
        import sys, warnings, dotpt
        warnings.simplefilter("error")
        net = dotpt.load("net.pt", trust=[Net, Block])
        assert torch.equal(net(torch.ones(1, 4)), torch.load("output.pt"))
    """)  # fmt: skip
    run(folder / "use.py")


def test_trusting_the_name_alone_says_what_is_missing(folder: Path) -> None:
    saved_by_a_script(folder)
    with pytest.raises(NameMissing, match="a class of the script that saved it") as caught:
        dotpt.load("net.pt", trust=["__main__.Net", "__main__.Block"])
    assert 'remap={"__main__.Net": Net}' in caught.value.hint


# -- packages ----------------------------------------------------------------------------------------------------------


def test_a_package_that_was_renamed(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "new_pkg" / "__init__.py")
    write(folder / "new_pkg" / "models" / "__init__.py")
    write(folder / "new_pkg" / "models" / "nets.py", NET)
    check(quietly(remap={"old_pkg.*": "new_pkg.models.*"}))
    check(quietly(remap={"old_pkg.nets.*": "new_pkg.models.nets.*"}))
    check(quietly(remap={f"old_pkg.nets.{name}": f"new_pkg.models.nets.{name}" for name in ("Net", "Block")}))
    with pytest.raises(ModuleMissing) as caught:
        dotpt.load("net.pt", trust=["old_pkg.*"])
    assert 'remap={"old_pkg.nets.Net": Class}' in caught.value.hint


def test_a_class_that_was_renamed(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "nets2.py", NET.replace("class Net", "class Classifier"))
    check(quietly(remap={"old_pkg.nets.Net": "nets2.Classifier", "old_pkg.nets.Block": "nets2.Block"}))


def test_a_class_that_lies_in_another_today(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "nets3.py", NET, "class Models:\n    Net, Block = Net, Block")
    check(quietly(remap={"old_pkg.nets.Net": "nets3.Models.Net", "old_pkg.nets.Block": "nets3.Models.Block"}))


def test_one_class_mapped_is_not_all(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "nets.py", NET)
    with pytest.raises(UnsafeGlobal) as caught:
        dotpt.load("net.pt", remap={"old_pkg.nets.Net": "nets.Net"})
    assert [str(name) for name in caught.value.globals] == ["old_pkg.nets.Block"]
    assert "nets" not in sys.modules


def test_a_package_is_not_left_by_what_it_imports(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "elsewhere.py", NET)
    write(folder / "nets.py", "from elsewhere import Net, Block")
    with pytest.raises(UnsafeGlobal, match=r"is elsewhere\.Net, and lies outside"):
        dotpt.load("net.pt", remap={"old_pkg.nets.*": "nets.*"})


def test_a_name_that_leads_nowhere(folder: Path) -> None:
    saved_by_a_package(folder)
    with pytest.raises(ModuleMissing, match="no module nowhere"):
        dotpt.load("net.pt", remap={"old_pkg.*": "nowhere.*"})
    with pytest.raises(ModuleMissing, match="no module nowhere"):
        dotpt.load("net.pt", trust="all", remap={"old_pkg.nets.Net": "nowhere.Net"})
    with pytest.raises(NameMissing):
        dotpt.load("net.pt", trust="all", remap={"old_pkg.nets.Net": "torch.NoSuchNet"})


def test_two_classes_of_one_name_are_not_guessed(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "one.py", NET)
    write(folder / "two.py", NET)
    one, two = importlib.import_module("one"), importlib.import_module("two")
    with pytest.raises(UsageError, match=r"may be one\.Net or two\.Net") as caught:
        dotpt.load("net.pt", trust=[one.Net, two.Net, one.Block])
    assert 'remap={"old_pkg.nets.Net": Net}' in caught.value.hint
    with pytest.warns(ClassesChanged):
        check(dotpt.load("net.pt", trust=[one.Net, two.Net, one.Block], remap={"old_pkg.nets.Net": two.Net}))


# -- classes that are not what they were -------------------------------------------------------------------------------

MORE = """self.size = size
            self.dropout = dropout
            self.kinds = ['a']
            self.act = act
            self.scale: float = 1.0"""
GROWN = (
    NET.replace("size=4):", "size=4, dropout=0.1, act=nn.ReLU):")
    .replace("self.size = size", MORE)
    .replace("return self.head(self.body(x))", "return self.head(self.body(x)) * (self.scale + 0 * self.dropout)")
)


def test_attributes_that_the_class_has_got_since(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "old_pkg" / "__init__.py")
    write(folder / "old_pkg" / "nets.py", GROWN)
    with pytest.warns(ClassesChanged, match=r"old_pkg\.nets\.Net sets more today than the file has") as caught:
        net = dotpt.load("net.pt", trust=["old_pkg.*"])
    check(net)
    assert (net.dropout, net.scale, net.kinds, net.act) == (0.1, 1.0, ["a"], torch.nn.ReLU)
    (change,) = caught[0].message.changes  # type: ignore[union-attr]
    assert change.filled.keys() == {"dropout", "scale", "kinds", "act"}
    assert change.objects == 1
    assert change.missing == ()
    assert "dropout (now 0.1)" in str(caught[0].message)


def test_parts_that_the_class_has_got_since_are_told(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "old_pkg" / "__init__.py")
    renamed = NET.replace("self.head", "self.classifier").replace(
        "self.size = size", "self.register_buffer('mean', torch.zeros(size))\n            self.size = size"
    )
    write(folder / "old_pkg" / "nets.py", renamed)
    with pytest.warns(ClassesChanged) as caught:
        net = dotpt.load("net.pt", trust=["old_pkg.*"])
    (change,) = caught[0].message.changes  # type: ignore[union-attr]
    assert (change.missing, change.gone, change.filled) == (("classifier", "mean"), ("head",), {})
    assert "sets classifier, mean today, of which the file has nothing (it has head, which" in str(caught[0].message)
    assert "dotpt.load_into(model, path)" in str(caught[0].message)
    net.classifier = net.head  # as the report says
    check(net)


def test_a_class_that_is_what_it_was_is_not_reported(folder: Path) -> None:
    saved_by_a_script(folder)
    write(folder / "nets.py", NET)
    check(quietly(remap={"__main__.*": "nets.*"}))
    check(quietly(trust="all", remap={"__main__.*": "nets.*"}))


def test_in_the_place_of_torch_load_nothing_is_told(folder: Path) -> None:
    saved_by_a_package(folder)
    write(folder / "old_pkg" / "__init__.py")
    write(folder / "old_pkg" / "nets.py", GROWN)
    with dotpt.patch_torch(), warnings.catch_warnings():
        warnings.simplefilter("error")
        net = torch.load("net.pt", weights_only=False)
    assert not hasattr(net, "dropout")


# -- somebody else's ---------------------------------------------------------------------------------------------------


#: What facenet-pytorch imports to show progress and to open pictures: its nets need none of it.
ASIDE = ("tqdm", "tqdm.auto", "requests", "requests.adapters", "PIL", "torchvision", "torchvision.transforms",
         "torchvision.ops", "torchvision.ops.boxes")  # fmt: skip


def test_a_published_model_of_a_package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """facenet's MTCNN, saved whole, as its users save it."""
    absent = {name for name in ASIDE if find_spec(name.partition(".")[0]) is None}
    for name in absent:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    mtcnn = pytest.importorskip("facenet_pytorch.models.mtcnn")
    net = mtcnn.MTCNN(keep_all=True, device="cpu")
    torch.save(net, "net.pt")
    with pytest.raises(UnsafeGlobal) as caught:
        dotpt.load("net.pt")
    names = {str(name) for name in caught.value.globals}
    assert names == {f"facenet_pytorch.models.mtcnn.{name}" for name in ("MTCNN", "PNet", "RNet", "ONet")}
    for trust in (["facenet_pytorch.*"], [mtcnn.MTCNN, mtcnn.PNet, mtcnn.RNet, mtcnn.ONet]):
        found = quietly(trust=trust)
        assert type(found) is mtcnn.MTCNN
        assert all(
            torch.equal(a, b) for a, b in zip(found.state_dict().values(), net.state_dict().values(), strict=True)
        )
        x = torch.rand(2, 3, 24, 24)
        for part in ("pnet", "rnet"):
            with torch.no_grad():
                both = [getattr(one, part)(x) for one in (net, found)]
            assert all(torch.equal(a, b) for a, b in zip(*both, strict=True))
