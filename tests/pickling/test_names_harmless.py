"""What is called harmless is: made with odd arguments and filled with odd states, under an audit hook, it does nothing.

The list is walked in a process of its own, whose hook is told every event that Python reports: imports, files,
programs, connections, compiling. The hook cannot be taken off again.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from dotpt.pickling import names_harmless
from dotpt.pickling.name_kinds import meaning_of

# Events of looking at values: Python reports them of itself, and they change nothing.
ALLOWED = (
    "object.__getattr__", "object.__setattr__", "object.__delattr__", "sys._getframe", "builtins.id",
    "pickle.find_class", "array.__new__",
)  # fmt: skip

CHILD = """
import copyreg, importlib, io, operator, sys, warnings
warnings.simplefilter("ignore")
rows, allowed = {rows!r}, {allowed!r}

def make():
    values = [
        (), (None,), (0,), (1, 2), ("",), ("abc",), ("/etc/passwd",), ("os",), (b"x",), ([],), ([1, 2],), ({{}},),
        ({{"a": 1}},), (("a", 1),), ("os", "system"), (1.5,), (True,), (-1,), ("a", "b", "c"), (len,),
        (dict, "i", 0, b""), ("i", [1]), (["x"] * 20,), (tuple(range(9)),), (tuple(range(20)),),
        (3, (1, 2), {{"x": len}}), ("%s", {{"f": repr}}), ("utf8", b"x", 0, 1, "r"),
        (2, "text", "/etc/passwd", None, "/etc/passwd"), ("m", 1, "f", [1], "x"), ("__import__('os')",),
        ("{{0.__class__}}",), ([(1, 2)],), (range(3),), (float("nan"),), ("1/3",), (12345678901234567890,),
        (set(),), (int,), ("12345678123456781234567812345678",), ("1.2.3.4",), ("::1/64",), ("a(b)*c", 0), ("(", 0),
    ]
    return values

states = [
    None, {{}}, {{"a": 1}}, {{"__class__": dict}}, {{"__dict__": {{"b": 2}}}},
    {{"data": {{}}, "args": (1,), "__init__": len}}, (1, 2), (None, {{"a": 1, "filename": "/etc/passwd"}}),
    ({{"a": "os"}}, {{"b": "system"}}), "text", 5, [1], (3, (0,) * 625, None), (b"x", 1, {{"name": "/etc/passwd"}}),
    ("x", "\\n", 1, {{"mode": "w"}}), {{"int": 5, "is_safe": None}},
    {{"tag": "a", "_children": [], "attrib": {{}}, "text": "t", "tail": None}},
]
seen = []
watching = False

def hook(event, args):
    if watching and event not in allowed:
        seen.append((event, repr(args)[:200]))

def build(made, state):
    # what the opcode BUILD does
    setstate = getattr(made, "__setstate__", None)
    if setstate is not None:
        setstate(state)
        return
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        for key, value in state.items():
            made.__dict__[key] = value
    if slots:
        for key, value in slots.items():
            setattr(made, key, value)

found = []
for module, name in rows:
    try:
        thing = operator.attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError):
        continue
    found.append((module, name, thing))
sys.addaudithook(hook)
out = sys.stdout
for module, name, thing in found:
    for arguments in make():
        for new in (False, True):
            if not callable(thing) or (new and not isinstance(thing, type)):
                continue
            for state in states:
                sys.stdout = io.StringIO()
                watching = True
                try:
                    made = copyreg.__newobj__(thing, *arguments) if new else thing(*arguments)
                    build(made, state)
                except Exception:
                    pass  # that these arguments are no good is as good an answer as a value
                finally:
                    watching = False
                    sys.stdout = out
    for event in seen:
        print(module, name, *event)
    seen.clear()
print("walked", len(found))
"""


def of_python() -> list[tuple[str, str]]:
    """The harmless names of Python's own library."""
    return [
        (module, name)
        for modules, _, names in names_harmless.VALUES
        for module in modules.split()
        for name in names.split()
        if not module.startswith(("torch", "numpy"))
    ]


def of(package: str) -> list[tuple[str, str]]:
    """The harmless names of a package that is installed."""
    return [
        (module, name)
        for modules, _, names in names_harmless.VALUES
        for module in modules.split()
        for name in names.split()
        if module.partition(".")[0] == package
    ]


def walk(rows: list[tuple[str, str]]) -> list[str]:
    """What a process prints that does everything with these names."""
    code = CHILD.format(rows=rows, allowed=ALLOWED)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


def test_the_hook_sees_what_is_done() -> None:
    events = {line.split()[2] for line in walk([("os", "listdir"), ("builtins", "eval")])[:-1]}
    assert events >= {"os.listdir", "compile", "exec"}


def test_pythons_harmless_names_do_nothing() -> None:
    *events, walked = walk(of_python())
    assert events == []
    assert int(walked.split()[1]) > 250


def test_numpys_harmless_names_do_nothing() -> None:
    pytest.importorskip("numpy")
    *events, walked = walk(of("numpy"))
    assert events == []
    assert int(walked.split()[1]) > 30


@pytest.mark.torch
def test_torchs_harmless_names_do_nothing() -> None:
    pytest.importorskip("torch")
    *events, walked = walk(of("torch"))
    assert events == []
    assert int(walked.split()[1]) > 20


@pytest.mark.torch
@pytest.mark.parametrize("modules", [row[0] for row in names_harmless.RECORDS if row[0].startswith("torch.")])
def test_torchs_records_are_where_the_list_says(modules: str) -> None:
    pytest.importorskip("torch")
    from importlib import import_module

    names = {name for row in names_harmless.RECORDS if row[0] == modules for name in row[2].split()}
    for name in names - {"_RequiredParameter", "_LRScheduler"}:
        homes = [getattr(import_module(module), name, None) for module in modules.split()]
        assert any(isinstance(home, type) and home.__module__ in modules.split() for home in homes), name


def test_capitals_are_constants() -> None:
    from importlib import import_module

    for module in ("signal", "socket", "ssl", "re"):
        for name, value in vars(import_module(module)).items():
            if meaning_of(module, name).severity == "harmless" and name.isupper():
                assert isinstance(value, (int, str, float, tuple, bytes, set, frozenset)), (module, name)


def test_no_harmless_name_is_one_that_runs_things() -> None:
    """The two tables do not contradict each other: what is on the list of names is not on the harmless one."""
    from dotpt.pickling import names_packages, names_python, names_torch

    for room in (names_python, names_torch, names_packages):
        for modules, _, names in room.NAMES:
            for module in modules.split():
                for name in names.split():
                    assert meaning_of(module, name).severity != "harmless", (module, name)
