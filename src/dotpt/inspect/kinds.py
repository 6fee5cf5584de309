"""What was saved: the shape of the object at the root of a file."""

from __future__ import annotations

from argparse import Namespace
from collections import OrderedDict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dotpt.inspect.claims import Claim, confirmed, inferred, unknown
from dotpt.inspect.names import role_of_name
from dotpt.pickling.values import GeneratorState, InertObject
from dotpt.rescue.modules import is_module
from dotpt.tensors.refs import StorageRef, TensorRef

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive

#: Every value that `kind_of` gives. The container (`Report.format`) and the library (`Report.framework`) are other
#: questions, with answers of their own.
KINDS = (
    "state dict",  # weights by parameter name: model.load_state_dict(...) takes it
    "checkpoint",  # a dictionary of weights with anything else: optimizer, epoch, configuration
    "whole module",  # a pickled torch.nn.Module, whose class is code outside the file
    "TorchScript",
    "TorchScript (lite)",  # for the mobile interpreter (.ptl)
    "optimizer state",
    "scheduler state",
    "scaler state",
    "RNG state",
    "tensor",
    "list of tensors",  # or a tuple, or a set
    "dictionary of tensors",  # whose names are not those of parameters
    "storage",
    "object with tensors",  # anything else that holds some
    "object",  # a class that dotpt does not know, without tensors
    "plain data",  # numbers, texts, lists, dictionaries: no tensors, no unknown classes
    "unknown",
)

_LAST_NAMES = frozenset((
    "weight", "bias", "running_mean", "running_var", "num_batches_tracked", "in_proj_weight", "in_proj_bias", "scale",
    "gamma", "beta", "pos_embed", "cls_token", "position_ids", "embedding", "inv_freq", "lora_A", "lora_B", "A_log",
))  # fmt: skip
_RNG_BYTES = (5056, 5048)  # the state of torch's CPU generator, today's and before 1.6
_RNG_BYTES_SMALL = (16, 24, 816, 832)  # of CUDA and MPS; too common a length to tell without a name
_BESIDE = ("progress", "loss", "metrics", "optimizer", "scheduler", "config")
_MOST_LOOKED_AT = 10_000
_MOST_STATES = 64  # a dictionary of so many generators is none


def kind_of(archive: Archive) -> Claim:
    """What the file holds: one of `KINDS`."""
    contents, tree = archive.contents, archive.tree
    if contents.format == "torchscript":
        container = contents.container
        if "bytecode.pkl" in container:
            return confirmed("TorchScript (lite)", "it has the record bytecode.pkl")
        return confirmed("TorchScript", "it has the record constants.pkl")
    if contents.format in ("safetensors", "sharded") and archive.tensors:
        return confirmed("state dict", f"a {contents.format} file holds tensors by name and nothing else")
    return kind_of_value(tree, bool(archive.tensors))


def kind_of_value(tree: Any, has_tensors: bool) -> Claim:
    """What an object is, by its shape."""
    kind = type(tree)
    if kind is TensorRef:
        return confirmed("tensor", "the object is a tensor")
    if kind is StorageRef:
        return confirmed("storage", "the object is a storage")
    if kind is GeneratorState:
        return confirmed("RNG state", "the object is a torch.Generator")
    if isinstance(tree, dict):
        return _kind_of_dictionary(tree, has_tensors)
    if kind is InertObject:
        if is_module(tree):
            return confirmed("whole module", "the object has a module's parameters, buffers and submodules")
        if has_tensors:
            return inferred("object with tensors", f"it is an instance of {tree.type_name}")
        return inferred("object", f"it is an instance of {tree.type_name}")
    if kind in (list, tuple, set, frozenset) and tree and all(type(item) is TensorRef for item in tree):
        return confirmed("list of tensors", "every item is a tensor")
    if kind is list and is_optimizer(tree):
        return confirmed("optimizer state", "every item has state and param_groups")
    if has_tensors:
        return inferred("object with tensors", f"it is a {kind.__name__} with tensors in it")
    if _is_plain(tree):
        return confirmed("plain data", "it holds no tensor and names no unknown class")
    return unknown(f"it is a {kind.__name__}")


def _kind_of_dictionary(tree: dict[Any, Any], has_tensors: bool) -> Claim:
    if is_optimizer(tree):
        return confirmed("optimizer state", "it has state and param_groups")
    if is_scheduler(tree):
        return inferred("scheduler state", "it has last_epoch and what schedulers keep beside it")
    if is_scaler(tree):
        return inferred("scaler state", "it has the growth_factor of a GradScaler")
    if is_rng(tree):
        return inferred("RNG state", "its tensors are bytes of the length of generators' states")
    if not has_tensors:
        if _is_plain(tree):
            return confirmed("plain data", "it holds no tensor and names no unknown class")
        return inferred("object", "it holds no tensor")
    if is_state_dict(tree):
        if has_module_metadata(tree):
            return confirmed("state dict", "it has the _metadata that module.state_dict() writes")
        return inferred("state dict", "its values are tensors under the names of parameters")
    if all(type(value) is TensorRef for value in tree.values()):
        return inferred("dictionary of tensors", "its values are tensors, and their names are not those of parameters")
    from dotpt.inspect.roles import parts_of

    roles = {part.role for part in parts_of(tree) if part.tensors or part.value is not None}
    if roles & {"weights", "ema"}:
        others = sorted(roles - {"weights", "ema", "other", "about"})
        because = f"it holds weights and {', '.join(others)}" if others else "it holds weights under a key of their own"
        return inferred("checkpoint", because)
    if roles & {"optimizer", "scheduler", "scaler", "rng"}:
        return inferred("checkpoint", f"it holds {', '.join(sorted(roles - {'other'}))}")
    return inferred("object with tensors", "it is a dictionary with tensors in it")


def has_module_metadata(value: Any) -> bool:
    """Whether a dictionary has the attribute that ``module.state_dict()`` gives it."""
    return type(value) is OrderedDict and isinstance(getattr(value, "_metadata", None), dict)


def is_state_dict(value: Any) -> bool:
    """Whether a dictionary is one level of tensors under parameters' names (a few other values may lie between)."""
    if not isinstance(value, dict) or not value:
        return False
    keys = list(value)[:_MOST_LOOKED_AT]
    if any(type(key) is not str for key in keys):
        return False
    others = [key for key in keys if not is_weight(value[key])]
    if 2 * len(others) >= len(keys):
        return False
    if any("." not in key and role_of_name(key) in _BESIDE for key in others):
        return False  # weights and an epoch in one dictionary
    return has_module_metadata(value) or any(_is_parameter_name(key) for key in keys)


def is_weight(value: Any) -> bool:
    """Whether a value is a tensor, or the packed parameters of a quantized layer, whose parts are."""
    return type(value) is TensorRef or (
        type(value) is tuple and bool(value) and all(type(item) is TensorRef or item is None for item in value)
    )


def _is_parameter_name(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last in _LAST_NAMES or last.startswith(("weight_", "bias_")) or name.count(".") >= 2


def is_optimizer(value: Any) -> bool:
    """Whether a value is an optimizer's state_dict, or a list of them."""
    if type(value) in (list, tuple):
        return bool(value) and all(isinstance(item, dict) and is_optimizer(item) for item in value)
    return isinstance(value, dict) and isinstance(value.get("param_groups"), list) and "state" in value


def is_scheduler(value: Any) -> bool:
    """Whether a value is a scheduler's state_dict, or a list of them."""
    if type(value) in (list, tuple):
        return bool(value) and all(isinstance(item, dict) and is_scheduler(item) for item in value)
    if not isinstance(value, dict):
        return False
    marks = {"_step_count", "base_lrs", "_last_lr", "num_bad_epochs", "lr_lambdas", "_schedulers"}
    return "last_epoch" in value and not marks.isdisjoint(key for key in value if type(key) is str)


def is_scaler(value: Any) -> bool:
    """Whether a value is a GradScaler's state_dict."""
    return isinstance(value, dict) and "growth_factor" in value and "backoff_factor" in value


def is_rng(value: Any) -> bool:
    """Whether a value is one state of a random generator, or a dictionary with nothing else in it."""
    if not isinstance(value, dict):
        return _is_rng_state(value)
    if not 0 < len(value) <= _MOST_STATES:
        return False
    named = all((type(key) is str and is_rng_name(key)) or _is_rng_state(item) for key, item in value.items())
    return named and any(_first_is_rng(item) for item in value.values())


def _is_rng_state(value: Any) -> bool:
    if type(value) is TensorRef:
        return value.dtype.name == "uint8" and len(value.shape) == 1 and value.shape[0] in _RNG_BYTES
    return type(value) is GeneratorState


def _first_is_rng(value: Any) -> bool:
    if type(value) in (list, tuple) and value:
        value = value[0]
    if type(value) is not TensorRef:
        return type(value) is GeneratorState
    small = value.dtype.name == "uint8" and value.shape in {(size,) for size in _RNG_BYTES_SMALL}
    return small or _is_rng_state(value)


def is_rng_name(name: str) -> bool:
    """Whether a key is one under which states of random generators are kept."""
    name = name.lower()
    known = name in ("torch", "cuda", "numpy", "python", "cpu")
    return known or "random" in name or "rng" in name.replace("-", "_").split("_")


def _is_plain(tree: Any) -> bool:
    """Whether a tree has no inert objects. Looks at a bounded number of values."""
    level, seen = [tree], set[int]()
    while level and len(seen) < _MOST_LOOKED_AT:
        value = level.pop()
        if type(value) is InertObject:
            return False
        if isinstance(value, (dict, list, tuple, set, frozenset, Namespace)) and id(value) not in seen:
            seen.add(id(value))
            level.extend(_values(value))
    return True


def _values(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return vars(value).values() if isinstance(value, Namespace) else value
