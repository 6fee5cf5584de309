"""One pickled module, as torch.nn.Module keeps it: an inert record in; its parameters, buffers and submodules out.

Invariant: whatever the file says, every part of a `ModuleView` is of the type that it should be. What is not is left
out and named in `ModuleView.odd`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dotpt.pickling.tree import DICTS
from dotpt.pickling.values import InertGlobal, InertObject

Parts = dict[Any, Any]

#: What torch keeps in every module, besides its parts: no hyper-parameters.
INTERNAL = frozenset((
    "training", "_parameters", "_buffers", "_non_persistent_buffers_set", "_modules", "_backend", "dump_patches",
    "_backward_pre_hooks", "_backward_hooks", "_is_full_backward_hook", "_forward_hooks", "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called", "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks", "call_super_init",
    "_flat_weights", "_flat_weights_names", "_all_weights", "_data_ptrs", "_param_buf_size", "_compiled_call_impl",
))  # fmt: skip
# Packages that torch has moved: the older name, and today's.
_MOVED = (
    ("torch.nn.quantized.", "torch.ao.nn.quantized."),
    ("torch.nn.quantizable.", "torch.ao.nn.quantizable."),
    ("torch.nn.intrinsic.", "torch.ao.nn.intrinsic."),
    ("torch.nn.qat.", "torch.ao.nn.qat."),
    ("torch.nn._reference.", "torch.ao.nn.quantized.reference."),
    ("torch.quantization.", "torch.ao.quantization."),
    ("torch.nn.backends.thnn.", "torch.nn.modules."),
)
GRAPH_MODULE = "torch.fx.graph_module.GraphModule"
_GRAPHS = frozenset((
    "torch.fx.graph_module.reduce_graph_module", "torch.fx.graph_module.reduce_package_graph_module",
    "torch.fx.graph_module.reduce_deploy_graph_module",
))  # fmt: skip
_COMPILED = "torch._dynamo.eval_frame.OptimizedModule"
# The order in which torch's quantized convolutions pickle their attributes (`_ConvNd.__getstate__`).
_CONVOLUTION = (
    "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "transposed", "output_padding",
    "groups", "padding_mode", "weight", "bias", "scale", "zero_point", "training",
)  # fmt: skip
_OLD_PACKED = ("weight", "bias", "training", "dtype")  # `LinearPackedParams.__getstate__` of torch 1.4 and 1.5


@dataclass(slots=True)
class ModuleView:
    """A pickled module.

    Attributes:
        record: the record it was made from.
        class_name: the class's module and name; where torch has moved it, today's.
        attributes: everything that it has, as pickled.
        parameters, buffers, modules: its own; a value may be None, as in torch.
        transient: names of the buffers that are not part of the state dict.
        odd: what was to be one of these and is something else, one sentence each.
    """

    record: InertObject
    class_name: str
    attributes: dict[str, Any]
    parameters: Parts = field(default_factory=dict)
    buffers: Parts = field(default_factory=dict)
    modules: Parts = field(default_factory=dict)
    transient: frozenset[Any] = frozenset()
    odd: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The class's own name, without its module."""
        return self.class_name.rpartition(".")[2]

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, parameter, buffer or submodule, as ``getattr`` finds it."""
        for parts in (self.attributes, self.parameters, self.buffers, self.modules):
            if name in parts:
                return parts[name]
        return default


def is_module(value: Any) -> bool:
    """Whether an inert object is a pickled torch.nn.Module (or a traced one, whose state is an argument)."""
    if type(value) is not InertObject:
        return False
    attributes = value.attributes
    if "_modules" in attributes and ("_parameters" in attributes or "_buffers" in attributes):
        return True
    if value.type_name == _COMPILED:
        return _argument(value, 0) is not None
    if _as_tuple(value) is not None:
        return True
    first = _argument(value, 0)
    return isinstance(first, dict) and "_modules" in first and "_parameters" in first


def view_of(record: InertObject) -> ModuleView:
    """What a module's record says, every part of the type that it should be.

    Example:
        >>> linear = InertObject(InertGlobal("torch.nn.modules.linear", "Linear"), "new")
        >>> linear.states.append({"in_features": 3, "_parameters": {"bias": None}, "_buffers": [], "_modules": {}})
        >>> view = view_of(linear)
        >>> view.name, view.parameters, view.odd
        ('Linear', {'bias': None}, ['its _buffers are a list'])
    """
    view = ModuleView(record, class_name_of(record), _attributes(record))
    view.parameters = _parts(view, "_parameters")
    view.buffers = _parts(view, "_buffers")
    view.modules = _parts(view, "_modules")
    transient = view.attributes.get("_non_persistent_buffers_set")
    if isinstance(transient, (set, frozenset)):
        view.transient = frozenset(transient)
    elif transient is not None:
        view.odd.append(f"its _non_persistent_buffers_set is a {type(transient).__name__}")
    return view


def class_name_of(record: InertObject) -> str:
    """Module and name of the class, as torch has them today.

    Example:
        >>> class_name_of(InertObject(InertGlobal("torch.nn.quantized.modules.linear", "Linear"), "new"))
        'torch.ao.nn.quantized.modules.linear.Linear'
    """
    name = record.type_name
    if name in _GRAPHS:
        body = _argument(record, 0)
        own = body.get("_graphmodule_cls_name") if isinstance(body, dict) else None
        return f"torch.fx.graph_module.{own}" if type(own) is str and own.isidentifier() else GRAPH_MODULE
    for old, new in _MOVED:
        if name.startswith(old):
            return new + name[len(old) :]
    return name


def is_torchs_own(class_name: str) -> bool:
    """Whether a class is one of torch's, by its name: what its state dict holds is known."""
    return class_name.startswith("torch.")


def script_object(value: Any) -> Any:
    """The contents of a pickled object of TorchScript's (packed weights are such); None for anything else."""
    if type(value) is not InertObject or value.type_name != "torch.ScriptObject":
        return None
    state = value.states[-1] if value.states else None
    return state[0] if type(state) is tuple and len(state) == 2 else None


def _argument(record: InertObject, at: int) -> Any:
    return record.args[at] if type(record.args) is tuple and len(record.args) > at else None


def _attributes(record: InertObject) -> dict[str, Any]:
    name = record.type_name
    if name in _GRAPHS:
        body = _argument(record, 0)
        return body if isinstance(body, dict) else {}
    if name == _COMPILED and "_modules" not in record.attributes:
        return {"_modules": {"_orig_mod": _argument(record, 0)}}
    return _as_tuple(record) or record.attributes


def _as_tuple(record: InertObject) -> dict[str, Any] | None:
    """The attributes of a quantized module that pickles them as a tuple; None for any other."""
    state = record.state
    if type(state) is not tuple or not class_name_of(record).startswith("torch.ao.nn."):
        return None
    names = {len(_CONVOLUTION): _CONVOLUTION, len(_OLD_PACKED): _OLD_PACKED}.get(len(state))
    return None if names is None else dict(zip(names, state, strict=True))


def _parts(view: ModuleView, name: str) -> Parts:
    parts = view.attributes.get(name)
    if type(parts) in DICTS:
        return parts  # type: ignore[return-value]
    if type(parts) is InertObject and parts.pairs:  # a dictionary of a class of its own
        pairs = [pair for pair in parts.pairs if type(pair) is tuple and len(pair) == 2]
        return {key: value for key, value in pairs if type(key) is str}
    if parts is not None:
        what = f"a {parts.type_name}" if type(parts) is InertObject else f"a {type(parts).__name__}"
        view.odd.append(f"its {name} are {what}")
    return {}


def described(value: Any) -> str:
    """A value that stands where another was expected, in a few words."""
    if type(value) in (InertObject, InertGlobal):
        return f"a {value.type_name if type(value) is InertObject else value.qualified}"
    return f"a {type(value).__name__}"
