"""Every example in the docs and docstrings is run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

import dotpt

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
# What a module needs to be imported, by a part of its name.
NEEDED = {
    ".torch_": "torch",
    ".adapters.accelerate": "accelerate",
    ".adapters.ignite": "ignite",
    ".adapters.lightning": "pytorch_lightning",
    ".adapters.transformers": "transformers",
}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(dotpt.__path__, "dotpt.")
    if module.name != "dotpt.__main__"
    and all(find_spec(needed) for part, needed in NEEDED.items() if part in module.name)
)
NEEDS = r"<!-- needs (\w+) -->"
# Lightning's advice for larger runs; what torch says to Ignite.
OTHERS = pytest.mark.filterwarnings("ignore:::pytorch_lightning", "ignore:`torch.jit:DeprecationWarning")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in: the fixtures lie where the examples say, and what they write is gone afterwards."""
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    script = vars(sys.modules["__main__"])
    before = dict(script)
    yield tmp_path
    script.clear()  # some examples are a script, and leave their classes there
    script.update(before)


def run(found: doctest.DocTest) -> None:
    """Run one docstring's examples, unless they need a torch that is not installed."""
    needs_torch = any(re.match(r"(import|from)\b.*\btorch\b", example.source) for example in found.examples)
    if not needs_torch or find_spec("torch") is not None:
        assert doctest.DocTestRunner(optionflags=FLAGS).run(found).failed == 0


@OTHERS
@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name: str, desk: Path) -> None:
    for found in doctest.DocTestFinder().find(importlib.import_module(name)):
        run(found)


@pytest.mark.parametrize("name", [name for name in dotpt.__all__ if name in dotpt._HOME])
def test_examples_of_public_names(name: str, desk: Path) -> None:
    """They say that they are of ``dotpt``, so the search of their own module passes them over."""
    value = getattr(dotpt, name)
    home = vars(importlib.import_module(dotpt._HOME[name]))
    for found in doctest.DocTestFinder().find(value, name, module=False, globs=dict(home)):
        run(found)


@OTHERS
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_pages(page: Path, desk: Path) -> None:
    """Blocks fenced as ``pycon`` are run, one session a page.

    A page that needs torch says so in its first lines, a block that needs it or another library right above itself.
    """
    text = page.read_text()
    if any(not find_spec(name) for name in re.findall(NEEDS, "\n".join(text.splitlines()[:4]))):
        pytest.skip("the page's examples need torch")
    blocks = re.findall(rf"(?:{NEEDS}\n)?```pycon\n(.*?)```", text, re.DOTALL)
    code = "\n".join(block for needed, block in blocks if not needed or find_spec(needed))
    test = doctest.DocTestParser().get_doctest(code, {"dotpt": dotpt}, page.name, str(page), 0)
    assert doctest.DocTestRunner(optionflags=FLAGS).run(test).failed == 0
