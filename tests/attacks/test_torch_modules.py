"""Attacks through torch's own layers, which need no trust: nothing is called, hidden or smuggled in. All inert."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import warnings
from typing import Any

import pytest

import dotpt
from dotpt.errors import ClassesChanged, DotptError, PickleError, UnsafeGlobal
from dotpt.pickling import nn_names
from dotpt.pickling import trust as trusting
from dotpt.pickling.nn_records import first_oddity
from dotpt.pickling.revive import Reviver
from dotpt.pickling.trust import NOTHING
from dotpt.pickling.values import InertGlobal, InertObject
from tests.attacks.test_trust import _Graphs, _Maker
from tests.corpus import pickles as p
from tests.corpus.torch_zip import pt

LINEAR, SEQUENTIAL = ("torch.nn.modules.linear", "Linear"), ("torch.nn.modules.container", "Sequential")
RELU, IDENTITY = ("torch.nn.functional", "relu"), ("torch.nn.modules.linear", "Identity")
WEIGHT_NORM = ("torch.nn.utils.weight_norm", "WeightNorm")
WRAPPED = ("torch.nn.modules.module", "_WrappedHook")
Name = tuple[str, str]


def function(name: Name = RELU) -> bytes:
    return p.global_(*name)


def dictionary(**items: bytes) -> bytes:
    parts = [part for key, value in items.items() for part in (p.text(key), value)]
    return p.stream(p.empty_dict(), p.mark(), *parts, p.setitems())


def made(name: Name) -> bytes:
    return p.stream(p.global_(*name), p.empty_tuple(), p.newobj())


def state(**items: bytes) -> bytes:
    usual = {
        "training": p.true(),
        "_parameters": p.empty_dict(),
        "_buffers": p.empty_dict(),
        "_modules": p.empty_dict(),
    }
    return dictionary(**(usual | items))


def layer(name: Name = IDENTITY, /, **items: bytes) -> bytes:
    return p.stream(made(name), state(**items), p.build())


def helper(name: Name = WEIGHT_NORM, /, **items: bytes) -> bytes:
    return p.stream(made(name), dictionary(**items), p.build())


def hooks(hook: bytes) -> bytes:
    return p.stream(p.empty_dict(), p.number(0), hook, p.setitem())


def getattr_(target: bytes, name: str) -> bytes:
    return p.call("__builtin__", "getattr", target, p.text(name))


def sets(setter: bytes, state_of_it: bytes) -> bytes:
    """A layer whose state something is called to set."""
    return p.stream(layer(), p.binput(1), setter, p.binget(1), state_of_it, p.tuple2(), p.reduce_(), p.pop())


GOOD_HOOK = helper(name=p.text("weight"), dim=p.number(0))
SYSTEM = p.global_("os", "system")
META = p.call(
    "torch._utils", "_rebuild_meta_tensor_no_storage", p.global_("torch", "float32"), p.ints(1), p.ints(1), p.false()
)
SUBCLASS = p.stream(
    p.global_("torch._utils", "_rebuild_meta_tensor_no_storage"), p.global_(*LINEAR),
    p.stream(p.mark(), p.global_("torch", "float32"), p.ints(1), p.ints(1), p.false(), p.tuple_()), p.none(),
)  # fmt: skip

#: Each must be refused, and its model never be made.
ATTACKS = {
    "a function that is called": p.call(*RELU, META),
    "a function that is called for a part": layer(x=p.call(*RELU, META)),
    "a layer that is called": p.call(*LINEAR, p.number(2), p.number(3)),
    "a layer made with arguments": p.stream(function(LINEAR), p.number(2), p.tuple1(), p.newobj()),
    "a layer made with keywords": p.stream(
        function(LINEAR), p.empty_tuple(), dictionary(in_features=p.number(2)), p.newobj_ex(), state(), p.build()
    ),
    "a layer without a state": made(IDENTITY),
    "a layer filled twice": p.stream(layer(), state(), p.build()),
    "a layer filled by a pair": p.stream(made(IDENTITY), p.none(), state(), p.tuple2(), p.build()),
    "a layer filled by a list": p.stream(made(IDENTITY), p.empty_list(), p.build()),
    "a layer filled by a function": p.stream(made(IDENTITY), function(), p.build()),
    "a layer filled by a layer": p.stream(made(IDENTITY), layer(), p.build()),
    "a layer filled by a counter": p.stream(made(IDENTITY), p.call("collections", "Counter"), p.build()),
    "items appended to a layer": p.stream(layer(SEQUENTIAL), layer(), p.append()),
    "keys set in a layer": p.stream(layer(), p.text("forward"), function(), p.setitem()),
    "a layer of a list": p.stream(
        p.call("copy_reg", "_reconstructor", function(IDENTITY), p.global_("__builtin__", "list"), p.empty_list()),
        state(), p.build(),
    ),
    "a layer of a layer": p.stream(
        p.call("copy_reg", "_reconstructor", function(IDENTITY), function(LINEAR), p.none()), state(), p.build()
    ),
    "a state set by a function of torch": sets(function(), p.none()),
    "a state set by a class of torch": sets(function(LINEAR), p.none()),
    "a state set by a program": sets(SYSTEM, p.text("true")),
    "a layer that is called as a function": p.stream(layer(), p.empty_tuple(), p.reduce_()),
    "a layer as a class": p.stream(layer(), p.empty_tuple(), p.newobj()),
    "no training": layer(training=p.none()),
    "training by a function": layer(training=function()),
    "code to be called by": layer(_compiled_call_impl=function()),
    "a name of Python's own": layer(__class__=function(SEQUENTIAL)),
    "a dictionary of its own": layer(__dict__=p.empty_dict()),
    "a call of its own": layer(__call__=function()),
    "a key that is no text": p.stream(made(IDENTITY), state(), p.number(3), p.none(), p.setitem(), p.build()),
    "submodules that are none": layer(_modules=dictionary(a=function())),
    "submodules that are classes": layer(_modules=dictionary(a=function(LINEAR))),
    "submodules that are tensors": layer(_modules=dictionary(a=META)),
    "submodules that are helpers": layer(_modules=dictionary(a=GOOD_HOOK)),
    "submodules that are a list": layer(_modules=p.empty_list()),
    "submodules by number": layer(_modules=hooks(layer())),
    "submodules that make themselves": layer(
        _modules=p.call("collections", "defaultdict", p.global_("builtins", "list"))
    ),
    "parameters that are none": layer(_parameters=dictionary(weight=function())),
    "parameters that are layers": layer(_parameters=dictionary(weight=layer())),
    "buffers that are texts": layer(_buffers=dictionary(weight=p.text("x"))),
    "names of buffers that are functions": layer(_non_persistent_buffers_set=function()),
    "a hook that is no hook": layer(_forward_hooks_with_kwargs=hooks(function())),
    "hooks in a list": layer(_forward_hooks=p.empty_list()),
    "hooks by name": layer(_forward_hooks=dictionary(a=GOOD_HOOK)),
    "a helper as an attribute": layer(x=GOOD_HOOK),
    "a helper in a list": layer(x=p.stream(p.empty_list(), GOOD_HOOK, p.append())),
    "a helper as the file's object": GOOD_HOOK,
    "a helper's class as a value": layer(x=function(WEIGHT_NORM)),
    "a helper's class in a list": p.stream(p.empty_list(), function(WEIGHT_NORM), p.append()),
    "a helper with more": layer(_forward_hooks=hooks(helper(name=p.text("a"), dim=p.none(), apply=function()))),
    "a helper with a name of Python's own": layer(_forward_hooks=hooks(helper(name=p.text("__class__"), dim=p.none()))),
    "a helper with a dotted name": layer(_forward_hooks=hooks(helper(name=p.text("a.b"), dim=p.none()))),
    "a helper with a function": layer(_forward_hooks=hooks(helper(name=p.text("a"), dim=function()))),
    "a helper that is called": p.call(*WEIGHT_NORM, p.text("a"), p.number(0)),
    "a wrapped function": layer(_state_dict_hooks=hooks(helper(WRAPPED, hook=function(), with_module=p.false()))),
    "a wrapped class": layer(_state_dict_hooks=hooks(helper(WRAPPED, hook=function(LINEAR), with_module=p.false()))),
    "a wrapped layer": layer(_state_dict_hooks=hooks(helper(WRAPPED, hook=layer(), with_module=p.false()))),
    "a wrapped hook of a tensor": layer(
        _state_dict_hooks=hooks(helper(WRAPPED, hook=GOOD_HOOK, with_module=p.true(), module=META))
    ),
    "a spectral hook of a function": layer(
        _state_dict_hooks=hooks(helper(("torch.nn.utils.spectral_norm", "SpectralNormStateDictHook"), fn=function()))
    ),
    "a container of methods that are functions": layer(_forward_pre_hooks=hooks(
        helper(("torch.nn.utils.prune", "PruningContainer"), _pruning_methods=p.stream(function(), p.tuple1()))
    )),
    "layers without end": layer(("torch.nn.modules.rnn", "LSTM"), num_layers=p.number(2**31 - 1), bias=p.true()),
    "no heads": layer(("torch.nn.modules.activation", "MultiheadAttention"), num_heads=p.number(0)),
    "a layer of no size": layer(("torch.nn.modules.rnn", "GRU"), hidden_size=p.number(0)),
    "a factory that is a function": p.call("collections", "defaultdict", function()),
    "a factory that is a layer": p.call("collections", "defaultdict", function(IDENTITY)),
    "a factory that is an instance": p.call("collections", "defaultdict", layer()),
    "a factory within a layer": layer(x=p.call("collections", "defaultdict", function(IDENTITY))),
    "a time zone": p.call("datetime", "datetime", p.ints(), layer()),
    "a time zone that is a class": p.call("datetime", "datetime", p.ints(), function(IDENTITY)),
    "a tensor of a layer's class": p.stream(
        p.global_("torch._tensor", "_rebuild_from_type_v2"), p.mark(), SUBCLASS, p.tuple_(), p.reduce_()
    ),
    "a wrapper of a layer's class": p.call(
        "torch._utils", "_rebuild_wrapper_subclass", function(LINEAR), *[p.none()] * 7
    ),
    "an array of a layer's class": p.call(
        "numpy.core.multiarray", "_reconstruct", function(LINEAR), p.ints(0), p.text("b")
    ),
    "numbers of a layer's class": p.call("numpy", "dtype", function(LINEAR), p.false(), p.true()),
    "a dotted name": p.global_(SEQUENTIAL[0], "Sequential.__init__.__globals__"),
    "a dotted name, in a later protocol": p.global4(SEQUENTIAL[0], "Sequential.__init__"),
    "a dotted name through a module": p.global4("torch.nn.modules", "linear.Linear"),
    "a module of a module": p.global_(SEQUENTIAL[0], "operator"),
    "torch through a module": p.global_("torch.nn.functional", "torch.load"),
    "by getattr of a layer": getattr_(function(LINEAR), "__init__"),
    "by getattr of an instance": getattr_(layer(), "forward"),
    "by getattr of a function": getattr_(function(), "__globals__"),
    "by getattr of the functions": getattr_(p.global_("torch._C", "_VariableFunctionsClass"), "__class__"),
    "by getattr of the functions, called": p.stream(
        getattr_(p.global_("torch._C", "_VariableFunctionsClass"), "relu"), META, p.tuple1(), p.reduce_()
    ),
    "the functions themselves": p.global_("torch._C", "_VariableFunctionsClass"),
    "the functions, beside one": p.stream(
        getattr_(p.global_("torch._C", "_VariableFunctionsClass"), "relu"),
        p.global_("torch._C", "_VariableFunctionsClass"), p.tuple2(),
    ),
    "by getattr, filled": p.stream(
        getattr_(p.global_("torch._C", "_VariableFunctionsClass"), "relu"), SYSTEM, p.append()
    ),
    "with another case": p.global_(LINEAR[0], "linear"),
    "with a space": p.global_(LINEAR[0], "Linear "),
    "from another module": p.global_("torch.nn.modules.conv", "Linear"),
    "the library with arguments": p.call(*nn_names.BACKEND, p.text("x")),
    "the library's result, called": p.stream(p.call(*nn_names.BACKEND), p.empty_tuple(), p.reduce_()),
    "the library as a value": p.stream(layer(x=function(nn_names.BACKEND))),
    "a program as an attribute": layer(x=SYSTEM),
    "a program as a hook": layer(_forward_hooks=hooks(SYSTEM)),
    "a program's result": layer(x=p.call("os", "system", p.text("true"))),
    "a program in a tensor": layer(_parameters=dictionary(weight=p.call(
        "torch._utils", "_rebuild_parameter_with_state", META, p.false(), p.none(), dictionary(a=SYSTEM)
    ))),
    "a helper in a tensor": layer(_parameters=dictionary(weight=p.call(
        "torch._utils", "_rebuild_parameter_with_state", META, p.false(), p.none(), dictionary(a=GOOD_HOOK)
    ))),
}  # fmt: skip
for _hooks in sorted(nn_names.HOOKS):
    ATTACKS |= {
        f"a function in {_hooks}": layer(**{_hooks: hooks(function())}),
        f"a class in {_hooks}": layer(**{_hooks: hooks(function(LINEAR))}),
        f"a layer in {_hooks}": layer(**{_hooks: hooks(layer())}),
    }
#: Of torch, and not on the lists: each reaches further than a layer does.
BEYOND = (
    "torch.load torch.hub.load torch.serialization.load torch.jit.load torch.save torch.nn.init.ones_ "
    "torch.distributed.nn.api.remote_module.RemoteModule torch.fx.graph_module.reduce_graph_module "
    "torch.nn.parallel.distributed.DistributedDataParallel torch.nn.modules.lazy.LazyModuleMixin "
    "torch.nn.modules.linear.LazyLinear torch.nn.modules.linear.init torch.nn.functional.handle_torch_function "
    "torch.nn.functional.has_torch_function torch.nn.functional.boolean_dispatch torch.nn.functional.importlib "
    "torch.nn.modules.module.register_module_forward_hook torch.nn.modules.module._global_forward_hooks "
    "torch.ao.nn.quantized.dynamic.modules.linear.Linear torch.nn.utils.parametrize.ParametrizationList "
    "torch.nn.utils.prune.BasePruningMethod torch.nn.utils.weight_norm.weight_norm torch.nn.utils.rnn.PackedSequence "
    "torch.optim.sgd.SGD torch._dynamo.eval_frame.OptimizedModule torch.from_file torch.compile torch.ops "
    "torch.classes torch.utils.data.dataloader.DataLoader torch.as_tensor torch.set_default_device torch._C._nn.evil "
    "torch.frombuffer"
).split()
ATTACKS |= {f"{name}": p.stream(layer(x=p.global_(*name.rpartition(".")[::2]))) for name in BEYOND}
#: Known only when the class is at hand: something that can be called in the place of a method.
HIDING = {
    f"{what} in the place of {name}": layer(**{name: value})
    for name in ("forward", "_call_impl", "_wrapped_call_impl", "state_dict", "to", "parameters", "_save_to_state_dict")
    for what, value in (("a function", function()), ("a layer", layer()), ("a class", function(LINEAR)))
}

torch_ = pytest.mark.torch


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may be imported by a file's name, no layer be called, and none be made but empty."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(trusting, "import_module", _must_not)
    monkeypatch.setattr(torch.nn.Module, "__init__", _must_not)
    monkeypatch.setattr(torch.nn.Module, "__call__", _must_not)
    monkeypatch.setattr(_must_not, "__module__", "torch.nn.functional")
    monkeypatch.setattr(torch.nn.functional, "relu", _must_not)


def _must_not(*arguments: Any, **keywords: Any) -> Any:
    raise AssertionError("it was called")


@torch_
@pytest.mark.parametrize("road", [*ATTACKS, *HIDING])
def test_it_is_refused(road: str, watched: None) -> None:
    data = p.pickled((ATTACKS | HIDING)[road])
    for source in (data, pt(data)):
        with pytest.raises(DotptError) as caught:
            dotpt.load(source)
        assert isinstance(caught.value, (UnsafeGlobal, PickleError)), road
        assert isinstance(caught.value, UnsafeGlobal) or "damaged or made to mislead" in str(caught.value)


@torch_
@pytest.mark.parametrize("road", ATTACKS)
def test_it_stays_a_record_where_that_is_asked_for(road: str, watched: None) -> None:
    import torch

    with contextlib.suppress(PickleError):
        found = dotpt.load(p.pickled(ATTACKS[road]), unknown="inert")
        level, seen = [found], set[int]()
        while level:
            value = level.pop()
            if id(value) in seen:
                continue
            seen.add(id(value))
            assert not isinstance(value, torch.nn.Module), road
            assert not callable(value) or type(value) in (type, torch.dtype) or value is None, (road, value)
            if isinstance(value, InertObject):
                level += [value.args, *value.states, value.items, value.pairs, value.callee]
            elif isinstance(value, dict):
                level += value.values()
            elif isinstance(value, (list, tuple)):
                level += value


@pytest.mark.parametrize("road", [road for road in ATTACKS if road != "numbers of a layer's class"])
def test_inspect_does_not_call_it_harmless(road: str) -> None:
    """But for a type of numbers, of which inspecting keeps no class: a file that only names a layer is harmless."""
    with contextlib.suppress(PickleError):
        assert dotpt.inspect(p.pickled(ATTACKS[road])).safety.verdict in ("unknown", "dangerous"), road


@pytest.mark.parametrize("road", [*ATTACKS, *HIDING])
def test_without_torch_it_is_refused_as_well(road: str) -> None:
    with pytest.raises((UnsafeGlobal, PickleError)):
        dotpt.load(p.pickled((ATTACKS | HIDING)[road]), backend="numpy")


@torch_
def test_what_is_good_is_made(watched: None) -> None:
    """The parts that the attacks are made of are fine by themselves."""
    import torch

    good = layer(SEQUENTIAL, _modules=dictionary(a=layer(LINEAR), b=p.none()), _forward_pre_hooks=hooks(GOOD_HOOK),
                 act=function(), kind=function(LINEAR), plain=p.text("x"))  # fmt: skip
    found = dotpt.load(p.pickled(good))
    assert type(found) is torch.nn.Sequential
    assert type(found._modules["a"]) is torch.nn.Linear
    assert found.act is torch.nn.functional.relu
    assert dotpt.inspect(p.pickled(good)).safety.verdict == "harmless"
    by_getattr = getattr_(p.global_("torch._C", "_VariableFunctionsClass"), "relu")
    assert dotpt.load(p.pickled(by_getattr)) is torch.relu


@torch_
def test_a_state_is_no_way_around_by_its_hook() -> None:
    """A module that lies in itself, and in its own hook: made as pickle makes it, and no more."""
    pytest.importorskip("torch")
    body = p.stream(
        made(IDENTITY), p.binput(1),
        state(_modules=dictionary(me=p.binget(1)), _state_dict_hooks=hooks(
            helper(WRAPPED, hook=GOOD_HOOK, with_module=p.true(), module=p.binget(1))
        )), p.build(),
    )  # fmt: skip
    found = dotpt.load(p.pickled(body))
    assert found.me is found
    assert found._state_dict_hooks[0].module() is found


# -- by chance ---------------------------------------------------------------------------------------------------------


@torch_
def test_damaged_models_are_errors_or_models() -> None:
    """Saved models with a few bytes of their pickle changed: a typed error, or an object; nothing is imported."""
    torch = pytest.importorskip("torch")

    from tests.archive.whole_models import MODELS

    names = sorted({name for module, name in nn_names.LAYERS}, key=len)
    for name in ("sequential", "encoder", "weight norm", "pruned", "lstm"):
        buffer = io.BytesIO()
        torch.save(MODELS[name][0](), buffer, _use_new_zipfile_serialization=False)
        data = buffer.getvalue()
        chance, before = random.Random(name), set(sys.modules)
        for _ in range(300):
            broken = bytearray(data)
            for _ in range(chance.randrange(1, 4)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            if chance.random() < 0.3:
                broken = broken.replace(b"Linear\n", chance.choice(names).encode() + b"\n", 1)
            with contextlib.suppress(DotptError), warnings.catch_warnings():
                warnings.simplefilter("ignore", ClassesChanged)
                dotpt.load(bytes(broken))
        new = {
            module for module in set(sys.modules) - before if not module.startswith(("torch.", "dotpt.", "encodings."))
        }
        assert new == set()


class _Traps:
    """Layers whose every value is a trap: being called raises."""

    def value(self, module: str, name: str) -> Any:
        return _Trap

    def make(self, module: str, name: str) -> Any:
        return object.__new__(_Trap)

    def set_state(self, made: Any, state: Any) -> None:
        assert type(made) is _Trap
        assert isinstance(state, dict)


class _Trap:
    def __init__(self, *_: Any) -> None:
        raise AssertionError("a layer was called")

    __call__ = __init__


class _Models(_Graphs):
    NAMES = (*_Graphs.NAMES, *(".".join(name) for name in (LINEAR, SEQUENTIAL, RELU, WEIGHT_NORM, nn_names.BACKEND)))


def test_random_graphs_call_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trusting, "import_module", _must_not)
    fine = 0
    for seed in range(4_000):
        tree = _Models(seed).one()
        if first_oddity(tree) is None:
            fine += 1
            with contextlib.suppress(DotptError):
                Reviver(NOTHING, _Maker(), 200, strict=seed % 2 == 0, layers=_Traps()).revive(tree)
    assert fine > 100
    assert InertGlobal(*RELU).qualified == "torch.nn.functional.relu"
