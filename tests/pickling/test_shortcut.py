"""The shortcut for torch's runs and the plain machine: one result, whatever the bytes. Needs no torch."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dotpt.container.zip import ZipContainer
from dotpt.errors import DotptError
from dotpt.pickling.context import Context
from dotpt.pickling.machine import Machine
from dotpt.pickling.values import InertObject
from dotpt.source.memory import BytesSource
from dotpt.tensors.refs import StorageRef, TensorRef
from tests.corpus import pickles as p
from tests.corpus.stored import STORED


def picture(root: Any, context: Context) -> list[Any]:
    """A graph as a flat list that two graphs share exactly when they are the same, sharing and order included."""
    seen: dict[int, int] = {}
    kept: list[Any] = []
    lines: list[Any] = [
        sorted((s.key, s.nbytes, s.dtype.name, s.location, s.untyped) for s in context.storages.values())
    ]
    todo = [root]
    while todo:
        value = todo.pop()
        if isinstance(value, (str, bytes, int, float, complex, type(None))):
            lines.append((type(value).__name__, repr(value)))
            continue
        if isinstance(value, tuple) and all(type(item) is int for item in value):
            lines.append(value)  # equal shapes may be one object
            continue
        if id(value) in seen:
            lines.append(("again", seen[id(value)]))
            continue
        seen[id(value)] = len(seen)
        kept.append(value)
        if isinstance(value, TensorRef):
            lines.append(("tensor", value.dtype.name, value.offset, value.requires_grad, value.layout, value.flavor))
            todo += [value.shape, value.strides, value.storage, value.extra, value.parts]
        elif isinstance(value, StorageRef):
            lines.append(("storage", value.key, value.nbytes, value.location, value.dtype.name))
        elif isinstance(value, InertObject):
            lines.append(("inert", value.how))
            todo += [value.callee, value.args, value.kwargs, value.states, value.items, value.pairs]
        elif isinstance(value, dict):
            lines.append((type(value).__name__, len(value)))
            todo += [item for pair in value.items() for item in pair]
            todo.append(getattr(value, "__dict__", None))
        elif isinstance(value, (list, tuple, set, frozenset)):
            lines.append((type(value).__name__, len(value)))
            todo += value if isinstance(value, (list, tuple)) else sorted(value, key=repr)
        else:
            # (numpy cannot spell a date without a unit)
            text = value.tobytes().hex() if hasattr(value, "tobytes") else str(value)
            lines.append((type(value).__name__, text[:100].split(" at 0x")[0]))
    return lines


def both(data: bytes) -> tuple[Any, Any]:
    outcomes: list[Any] = []
    for fast in (True, False):
        context = Context()
        machine = Machine(data, context)
        machine.fast = fast
        try:
            found = machine.load()
            outcomes.append((picture(found, context), list(machine.globals), machine.position))
        except DotptError as error:
            # how much a stream would take is estimated for a run as a whole: the amounts may differ
            outcomes.append((type(error), getattr(error, "limit", error.problem)))
    return outcomes[0], outcomes[1]


def _torch_written() -> dict[str, bytes]:
    found = {}
    for name, file in STORED.items():
        if file.path.is_file() and name.startswith("zip") and "constants" not in name:
            container = ZipContainer(BytesSource(file.path.read_bytes()))
            found[name] = container.read("data.pkl")
    return found


TORCH_WRITTEN = _torch_written()


def synthetic(count: int, keys: int = 1_000_000) -> bytes:
    """A state dict as torch's pickler writes it, memo and all, through both widths of memo numbers."""
    out, memo = bytearray(b"\x80\x02}q\x00("), [1]

    def put() -> bytes:
        number = memo[0]
        memo[0] += 1
        return b"q%c" % number if number < 256 else p.long_binput(number)

    def get(number: int) -> bytes:
        return b"h%c" % number if number < 256 else p.long_binget(number)

    names: dict[str, int] = {}

    def once(name: str, ops: bytes) -> bytes:
        if name in names:
            return get(names[name])
        names[name] = memo[0]
        return ops + put()

    for n in range(count):
        out += p.text(f"layer.{n}.weight") + put()
        out += once("rebuild", p.global_("torch._utils", "_rebuild_tensor_v2")) + b"(("
        out += once("word", p.text("storage")) + once("class", p.global_("torch", "FloatStorage"))
        out += (
            once(f"key{n % keys}", p.text(str(n % keys)))
            + once("cpu", p.text("cpu"))
            + p.number(4)
            + b"t"
            + put()
            + b"Q"
        )
        out += p.number(0) + p.number(2) + p.number(2) + b"\x86" + put() + p.number(2) + p.number(1) + b"\x86" + put()
        out += (
            b"\x89"
            + once("ordered", p.global_("collections", "OrderedDict"))
            + b")R"
            + put()
            + b"t"
            + put()
            + b"R"
            + put()
        )
    return bytes(out) + b"u."


STREAMS = {
    **TORCH_WRITTEN,
    "synthetic 5": synthetic(5),
    "synthetic 100": synthetic(100),
    "synthetic shared": synthetic(60, 7),
}


def test_there_is_something_to_compare() -> None:
    assert len(TORCH_WRITTEN) >= 20
    machine = Machine(synthetic(100), Context())
    assert len(machine.load()) == 100
    assert machine.fast


@pytest.mark.parametrize("name", STREAMS)
def test_what_torch_writes_is_read_the_same_both_ways(name: str) -> None:
    fast, plain = both(STREAMS[name])
    assert fast == plain
    assert not isinstance(fast[0], type)


@settings(max_examples=1_500, deadline=None)
@given(name=st.sampled_from(sorted(STREAMS)), seed=st.integers(0, 2**32), changes=st.integers(1, 3))
def test_changed_bytes_are_read_the_same_both_ways(name: str, seed: int, changes: int) -> None:
    dice = random.Random(seed)
    data = bytearray(STREAMS[name])
    for _ in range(changes):
        at = dice.randrange(len(data))
        match dice.randrange(5):
            case 0:
                data[at] = dice.randrange(256)
            case 1:
                data[at] ^= 1 << dice.randrange(8)
            case 2:
                del data[at : at + dice.randrange(1, 4)]
            case 3:
                data[at:at] = data[at : at + dice.randrange(1, 9)]
            case 4:  # a GET or PUT of another number
                spots = [i for i in range(len(data) - 1) if data[i] in b"hq"]
                if spots:
                    data[dice.choice(spots) + 1] = dice.randrange(40)
        data = data or bytearray(b".")
    fast, plain = both(bytes(data))
    assert fast == plain


# -- numbering ------------------------------------------------------------------------------------------------------


def puts(data: bytes) -> list[int]:
    import pickletools

    return [at for op, _, at in pickletools.genops(data) if op.name in ("BINPUT", "LONG_BINPUT")]


@pytest.mark.parametrize("name", ["synthetic 5", "synthetic shared"])
def test_any_put_renumbered_is_read_the_same_both_ways(name: str) -> None:
    data = STREAMS[name]
    for at in puts(data):
        for number in (0, 1, 5, 200, 255):
            changed = bytearray(data)
            changed[at + 1] = number
            fast, plain = both(bytes(changed))
            assert fast == plain, (at, number)


def test_any_get_of_what_the_shortcut_drops_is_answered() -> None:
    """The memo holds more than the shortcut keeps: ids, hooks and argument tuples. They can be asked for."""
    data = synthetic(3)[:-2]
    dropped = 0
    for number in range(60):
        asked = data + b"u" + p.binget(number) + b"\x86."
        fast, plain = both(asked)
        assert fast == plain, number
        machine = Machine(asked, Context())
        try:
            machine.load()
        except DotptError:
            continue
        dropped += not machine.fast
    assert dropped == 6  # three for each tensor but the first, which teaches the memo its names


def test_a_renumbered_run_cannot_swap_a_tensor_behind_the_readers_back() -> None:
    """The second tensor's PUT repeats the first one's number, and a later GET asks for it."""
    whole = synthetic(2)
    data, last = whole[:-2], puts(whole)[-1]
    numbers = [data[at + 1] for at in puts(whole)]
    for number in numbers:
        changed = bytearray(data)
        changed[last + 1] = number
        for asked in numbers:
            stream = bytes(changed) + b"u" + p.binget(asked) + b"\x86."
            fast, plain = both(stream)
            assert fast == plain, (number, asked)


def test_storages_of_a_dropped_attempt_are_forgotten() -> None:
    """The shortcut gives up in the middle: what it gathered until then must not be there twice, or at all."""
    given_up = 0
    for number in range(60):
        context = Context()
        machine = Machine(synthetic(3)[:-2] + b"u" + p.binget(number) + b"\x86.", context)
        try:
            tree, _ = machine.load()
        except DotptError:
            continue
        given_up += not machine.fast
        assert list(context.storages) == ["0", "1", "2"]
        assert {ref.storage for ref in tree.values()} == set(context.storages.values())
    assert given_up
