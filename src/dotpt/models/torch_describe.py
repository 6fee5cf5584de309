"""What a module's constructor was given, read from its attributes: of torch's layers, and of classes that keep theirs.

A guess is worth nothing here, so whoever uses one builds the module again from it and compares the two attribute by
attribute (`differences`). Nothing of the model is changed, and no weights are compared: they are not arguments.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections import OrderedDict
from collections.abc import Mapping
from math import isnan
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from dotpt.errors import CannotDescribe
from dotpt.models.torch_structure import class_name

_NOT_SAID = ("device", "dtype")  # types are those of the weights, the device is the caller's choice
# Arguments of torch's layers that lie elsewhere than under their own name.
_LAYER = {
    "d_model": "self_attn.embed_dim", "nhead": "self_attn.num_heads", "dim_feedforward": "linear1.out_features",
    "dropout": "dropout.p", "layer_norm_eps": "norm1.eps", "batch_first": "self_attn.batch_first",
    "bias": "linear1.bias",
}  # fmt: skip
_ELSEWHERE: dict[type, dict[str, str]] = {
    nn.TransformerEncoderLayer: _LAYER,
    nn.TransformerDecoderLayer: _LAYER,
    nn.TransformerEncoder: {"encoder_layer": "layers.0"},
    nn.TransformerDecoder: {"decoder_layer": "layers.0"},
    nn.MultiheadAttention: {"bias": "in_proj_bias", "add_bias_kv": "bias_k"},
    nn.Transformer: {
        "num_encoder_layers": "encoder.num_layers", "num_decoder_layers": "decoder.num_layers",
        "dim_feedforward": "encoder.layers.0.linear1.out_features", "dropout": "encoder.layers.0.dropout.p",
        "activation": "encoder.layers.0.activation", "layer_norm_eps": "encoder.norm.eps",
        "norm_first": "encoder.layers.0.norm_first", "bias": "encoder.layers.0.linear1.bias",
    },
}  # fmt: skip
# What every module has of its own, and what says nothing of how it was built.
_INNER = frozenset(vars(nn.Module())) | {
    "_flat_weights", "_flat_weight_refs", "_is_hf_initialized", "_is_torch_compile", "_compiled_call_impl",
    "_compile_kwargs",  # Lightning's, once it is imported: it notes how torch.compile was called
}  # fmt: skip
_MOST = 20
_DEPTH = 6
_nothing = inspect.Parameter.empty

Arguments = tuple[list[Any], dict[str, Any]]


def arguments_of(module: nn.Module, place: str = "") -> Arguments:
    """Positional and named arguments that seem to have built a module.

    Args:
        place: the argument that it is, for errors; empty for the model itself.

    Raises:
        CannotDescribe: an argument without a default is not to be found; ``key`` names the first.
    """
    held = _of_container(module)
    if held is not None:
        return held, {}
    kwargs, missing = {}, []
    for parameter in _parameters(type(module)):
        if parameter.name in _NOT_SAID or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        value = _value(module, parameter.name)
        if isinstance(value, nn.Module) and parameter.default not in (_nothing, None):
            value = _nothing  # `drop=0.1`, kept as a layer `drop`
        if _of_torch(type(module)) and value is not _nothing and same(value, parameter.default):
            continue  # an argument that an earlier torch may not have
        if value is not _nothing:
            kwargs[parameter.name] = value
        elif parameter.default is _nothing:
            missing.append(parameter.name)
    if missing:
        raise _unknown(module, missing, place)
    return [], kwargs


def _of_container(module: nn.Module) -> list[Any] | None:
    children: dict[str, Any] = module._modules
    if type(module) is nn.Sequential:
        plain = list(children) == [str(at) for at in range(len(children))]
        return list(children.values()) if plain else [OrderedDict(children)]
    if type(module) is nn.ModuleList:
        return [list(children.values())]
    return [OrderedDict(children)] if type(module) is nn.ModuleDict else None


def _parameters(owner: type) -> list[inspect.Parameter]:
    """What the constructor takes, without ``self``."""
    if owner in (nn.LSTM, nn.GRU, nn.RNN):  # which take *args
        names = list(inspect.signature(nn.RNNBase.__init__).parameters.values())[2:]
        return [*names, inspect.Parameter("nonlinearity", inspect.Parameter.KEYWORD_ONLY, default=None)]
    try:
        return list(inspect.signature(owner).parameters.values())
    except (ValueError, TypeError) as error:
        raise CannotDescribe(
            f"The constructor of {class_name(owner)} does not say what it takes.",
            found=owner,
            hint="pass its arguments: dotpt.save_model(model, path, init={...})",
        ) from error


def _value(module: nn.Module, name: str) -> Any:
    """The argument as the module keeps it, or nothing."""
    found: Any = module
    for part in _ELSEWHERE.get(type(module), {}).get(name, name).split("."):
        if part in vars(found):
            found = vars(found)[part]
        elif part in found._modules:
            found = found._modules[part]
        elif part in found._parameters and _of_torch(type(module)):
            return found._parameters[part] is not None  # `bias`, which is an argument and then a tensor
        else:
            return _nothing
        if found is None:
            break
    if type(module) is nn.MultiheadAttention and name == "add_bias_kv":
        return found is not None
    return found


def _of_torch(owner: type) -> bool:
    return owner.__module__.startswith("torch.nn.")


def _unknown(module: nn.Module, missing: list[str], place: str) -> CannotDescribe:
    names = ", ".join(f"{name!r}: ..." for name in missing)
    what = f"The module in the argument `{place}`" if place else "The model"
    return CannotDescribe(
        f"{what} is a {class_name(type(module))}, whose constructor needs {', '.join(missing)}, and it does not keep "
        f"{'it' if len(missing) == 1 else 'them'}.",
        key=missing[0],
        found=type(module),
        hint=f"say how it was built: dotpt.save_model(model, path, init={{{names}}})"
        if not place
        else "let the constructor build that module, and give it the numbers and names that it needs for it",
    )


# -- whether two modules are the same but for their weights -----------------------------------------------------------


def differences(saved: nn.Module, built: nn.Module) -> list[str]:
    """In what two modules differ besides the values of their tensors, one sentence without its full stop each."""
    found: list[str] = []
    ours, theirs = (dict(module.named_modules(remove_duplicate=False)) for module in (saved, built))
    for path, module in ours.items():
        other = theirs.get(path)
        where = path or "the model"
        if other is None:
            found.append(f"{where} is not there")
        elif isinstance(other, LazyModuleMixin) and type(module) is type(other).cls_to_become:
            continue  # it becomes the same with the weights
        elif class_name(type(module)) != class_name(type(other)):  # parametrized layers are of classes made on the fly
            found.append(f"{where} is a {type(other).__name__}, and not a {type(module).__name__}")
        else:
            found += _between(module, other, f"{path}." if path else "")
        if len(found) >= _MOST:
            break
    found += [f"{path} is new" for path in theirs if path not in ours]
    return found[:_MOST]


def _between(saved: nn.Module, built: nn.Module, prefix: str) -> list[str]:
    found = []
    ours, theirs = (_own(module) for module in (saved, built))
    for name in ours.keys() | theirs.keys():
        if name not in theirs:
            found.append(f"{prefix}{name} is not there")
        elif name not in ours:
            found.append(f"{prefix}{name} is new")
        elif not same(ours[name], theirs[name]):
            found.append(f"{prefix}{name} is {_shown(theirs[name])}, and not {_shown(ours[name])}")
    return sorted(found)


def _own(module: nn.Module) -> dict[str, Any]:
    """The attributes of a module itself, and its tensors as far as they are not its weights' values."""
    own = {name: value for name, value in vars(module).items() if name not in _INNER}
    return own | module._parameters | module._buffers


def same(first: Any, second: Any, depth: int = 0) -> bool:
    """Whether two attributes stand for the same thing. Of tensors, shape and type are compared."""
    if first is second:
        return True
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return first.shape == second.shape
    if type(first) is not type(second) or depth > _DEPTH:
        return False
    if isinstance(first, nn.Module):
        return True  # a child, which is compared under its own path, or one that is hidden on purpose
    if isinstance(first, float):
        return first == second or (isnan(first) and isnan(second))
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(same(a, b, depth + 1) for a, b in zip(first, second, strict=True))
    if isinstance(first, Mapping):
        return first.keys() == second.keys() and all(same(first[key], second[key], depth + 1) for key in first)
    if isinstance(first, (types.FunctionType, types.MethodType, functools.partial)):
        return _same_function(first, second, depth)
    if hasattr(first, "tobytes"):
        return bool(first.shape == second.shape and first.tobytes() == second.tobytes())
    return _same_object(first, second, depth)


def _same_function(first: Any, second: Any, depth: int) -> bool:
    """Two functions of one text are one if what they have caught is the same, too."""
    if isinstance(first, types.MethodType):
        return first.__func__ is second.__func__
    if isinstance(first, functools.partial):
        parts = ((one.func, one.args, one.keywords) for one in (first, second))
        return same(next(parts), next(parts), depth + 1)
    caught = [
        [cell.cell_contents for cell in one.__closure__ or ()] + [one.__defaults__, one.__kwdefaults__]
        for one in (first, second)
    ]
    return first.__code__ is second.__code__ and same(caught[0], caught[1], depth + 1)


def _same_object(first: Any, second: Any, depth: int) -> bool:
    try:
        if first == second:
            return True
    except Exception:  # whatever the objects of a stranger raise when they are compared
        return False
    inner = [getattr(one, "__dict__", None) for one in (first, second)]
    return isinstance(inner[0], dict) and bool(inner[0]) and same(inner[0], inner[1], depth + 1)


def _shown(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"a tensor of {'x'.join(map(str, value.shape)) or 'no dimensions'}"
    if isinstance(value, (int, float, str, bytes, bool, type(None), list, tuple, dict)):
        return repr(value)[:60]
    return str(getattr(value, "__qualname__", None) or f"a {type(value).__name__}")
