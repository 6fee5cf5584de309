"""What torch prints of each of its layers between the brackets (``extra_repr``), from the attributes in a file.

A row of the table is the class and its pieces, joined by commas:

    =name       the value alone                     name?       ``name=True`` or ``False``: whether there is one
    name        ``name=value``                      name:0      ``name=value``, unless it is what follows the colon
    name!       ``name=`` and its repr

The wording is that of torch 2.13; `tests/rescue/test_tree.py` compares it to the torch that is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from dotpt.errors import readable
from dotpt.pickling.values import Device, InertGlobal, InertObject, Size, Symbol
from dotpt.rescue.modules import ModuleView
from dotpt.tensors.dtypes import DType
from dotpt.tensors.refs import TensorRef

NN = "torch.nn.modules."
_LITERALS = {"0": 0, "1": 1, "2": 2, "None": None, "True": True, "False": False, "zeros": "zeros", "tanh": "tanh"}
_RECURRENT = (
    "=input_size =hidden_size proj_size:0 num_layers:1 bias:True batch_first:False dropout:0 bidirectional:False"
)
_NORM = "=num_features eps momentum affine bias? track_running_stats"
_POOL = "kernel_size stride padding"

_WORDS: dict[str, str] = {
    cls: pieces
    for classes, pieces in (
        ("Threshold", "threshold value inplace:False"),
        ("ReLU ReLU6 SELU SiLU Mish", "inplace:False"),
        ("RReLU", "lower upper inplace:False"),
        ("Hardtanh", "min_val max_val inplace:False"),
        ("ELU CELU", "alpha inplace:False"),
        ("GLU Softmax LogSoftmax Softmin", "dim"),
        ("GELU", "approximate!"),
        ("Hardshrink Softshrink", "=lambd"),
        ("LeakyReLU", "negative_slope inplace:False"),
        ("PReLU", "num_parameters"),
        ("Softplus", "beta threshold"),
        ("BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm InstanceNorm1d InstanceNorm2d InstanceNorm3d", _NORM),
        ("LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d", _NORM),
        ("LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d", _NORM),
        ("ChannelShuffle", "groups"),
        ("Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout", "p inplace"),
        ("Flatten", "start_dim end_dim"),
        ("Unflatten", "dim unflattened_size"),
        ("Fold", "output_size kernel_size dilation padding stride"),
        ("Unfold", "kernel_size dilation padding stride"),
        ("Bilinear", "in1_features in2_features out_features bias?"),
        ("Linear NonDynamicallyQuantizableLinear LazyLinear", "in_features out_features bias?"),
        ("CrossMapLRN2d LocalResponseNorm", "=size alpha beta k"),
        ("GroupNorm", "=num_groups =num_channels eps affine bias?"),
        ("LayerNorm", "=normalized_shape eps elementwise_affine bias?"),
        ("RMSNorm", "=normalized_shape eps elementwise_affine"),
        ("ZeroPad1d ZeroPad2d ZeroPad3d CircularPad1d CircularPad2d CircularPad3d", "=padding"),
        ("ReflectionPad1d ReflectionPad2d ReflectionPad3d", "=padding"),
        ("ReplicationPad1d ReplicationPad2d ReplicationPad3d", "=padding"),
        ("ConstantPad1d ConstantPad2d ConstantPad3d", "padding value"),
        ("PixelShuffle", "upscale_factor"),
        ("PixelUnshuffle", "downscale_factor"),
        ("AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d", "output_size"),
        ("AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d", "output_size"),
        ("AvgPool1d AvgPool2d AvgPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d", _POOL),
        ("LPPool1d LPPool2d LPPool3d", "norm_type kernel_size stride ceil_mode"),
        ("MaxPool1d MaxPool2d MaxPool3d", f"{_POOL} dilation ceil_mode"),
        ("RNNBase RNN LSTM GRU", _RECURRENT),
        ("RNNCellBase RNNCell LSTMCell GRUCell", "=input_size =hidden_size bias:True nonlinearity:tanh"),
        (
            "Embedding",
            "=num_embeddings =embedding_dim padding_idx:None max_norm:None norm_type:2 scale_grad_by_freq:False"
            " sparse:False",
        ),
        (
            "EmbeddingBag",
            "=num_embeddings =embedding_dim max_norm:None norm_type:2 scale_grad_by_freq:False mode! padding_idx:None",
        ),
    )
    for cls in classes.split()
}
_CONVOLUTIONS = frozenset(
    f"{lazy}Conv{transposed}{rank}d" for lazy in ("", "Lazy") for transposed in ("", "Transpose") for rank in (1, 2, 3)
)
# torch's names of tensor types, as `torch.typename` gives them
_TYPES = {
    "float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "uint8": "Byte",
    "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long", "bool": "Bool", "complex32": "ComplexHalf",
    "complex64": "ComplexFloat", "complex128": "ComplexDouble",
}  # fmt: skip


def words_of(view: ModuleView) -> str:
    """What ``extra_repr()`` gives for a layer of torch's; empty for every other class.

    Example:
        >>> linear = ModuleView(None, "torch.nn.modules.linear.Linear", {"in_features": 3, "out_features": 2})
        >>> words_of(linear)
        'in_features=3, out_features=2, bias=False'
    """
    if not view.class_name.startswith(NN):
        return ""
    return layer_words(view.name, view)


def layer_words(name: str, view: ModuleView) -> str:
    """The same, for a class that inherits its words from the layer called ``name``."""
    special = _SPECIAL.get(name)
    if special is not None:
        return special(view)
    if name in _CONVOLUTIONS:
        return convolution(view)
    return pieces(_WORDS.get(name, ""), view)


def pieces(row: str, view: ModuleView) -> str:
    """The pieces of a row of the table, filled in. A value that is not in the file is left out."""
    return ", ".join(_filled(row, view))


def _filled(row: str, view: ModuleView) -> Iterator[str]:
    for piece in row.split():
        name, colon, default = piece.partition(":")
        bare = name.startswith("=")
        name = name.lstrip("=")
        if name.endswith("?"):
            yield f"{name[:-1]}={view.get(name[:-1]) is not None}"
            continue
        quoted = name.endswith("!")
        value = view.get(name.rstrip("!"), _Missing)
        if value is _Missing or (colon and _same(value, _LITERALS[default])):
            continue
        text = shown(value, quoted)
        yield text if bare else f"{name.rstrip('!')}={text}"


class _Missing:
    """No such attribute."""


def _same(value: Any, default: Any) -> bool:
    return type(value) in (bool, int, float, str, type(None)) and value == default


def shown(value: Any, quoted: bool = False, depth: int = 0) -> str:
    """A value as torch's own f-strings print it; a stranger's object as the name of its class."""
    kind = type(value)
    if kind is str:
        text = readable(value[:1_000]).replace("\n", "\\n")
        return repr(text) if quoted or depth else text
    if kind in (bool, int, float, complex, type(None), DType, Symbol):
        return repr(value)
    if kind is Size:
        return f"torch.Size([{', '.join(map(str, value[:100]))}])"
    if kind is Device:
        return str(value)
    if kind in (tuple, list) and depth < 4:
        items = [shown(item, True, depth + 1) for item in value[:100]]
        text = ", ".join(items) + ("," if kind is tuple and len(items) == 1 else "")
        return f"({text})" if kind is tuple else f"[{text}]"
    if kind in (InertObject, InertGlobal):
        return f"<{readable(value.type_name if kind is InertObject else value.qualified)}>"
    return f"<{kind.__name__}>"


def convolution(view: ModuleView, start: str = "=in_channels =out_channels kernel_size stride") -> str:
    """The words of every convolution: what is as usual is not said."""
    found = [pieces(start, view)]
    for name, usual in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
        value = view.get(name)
        if value is not None and not (type(value) is tuple and all(item == usual for item in value)):
            found.append(f"{name}={shown(value)}")
    found.append(pieces("groups:1", view))
    if view.get("bias") is None:
        found.append("bias=False")
    found.append(pieces("padding_mode:zeros", view))
    return ", ".join(part for part in found if part)


def _upsample(view: ModuleView) -> str:
    return pieces("size! mode!" if view.get("scale_factor") is None else "scale_factor! mode!", view)


def _linear_cross_entropy(view: ModuleView) -> str:
    linear = view.modules.get("linear")
    inner = linear.attributes if type(linear) is InertObject else {}
    parameters = inner.get("_parameters")
    bias = isinstance(parameters, dict) and parameters.get("bias") is not None
    rest = pieces("reduction ignore_index label_smoothing options", view)
    first = f"in_features={shown(inner.get('in_features'))}, {pieces('num_classes out_features', view)}"
    return f"{first}, bias={bias}, {rest}"


def _list_of_parameters(view: ModuleView) -> str:
    size = view.get("_size")
    names = [str(at) for at in range(min(size, 10_000))] if type(size) is int else list(view.parameters)
    return "\n".join(_parameter(name, view.get(name), typed=False) for name in names)


def _dictionary_of_parameters(view: ModuleView) -> str:
    keys = view.get("_keys")
    names = list(keys) if type(keys) in (dict, list) else list(view.parameters)
    return "\n".join(_parameter(str(name), view.get(name), typed=True) for name in names)


def _parameter(name: str, value: Any, *, typed: bool) -> str:
    start = f"  ({readable(name)}): "
    if type(value) is not TensorRef:
        kind = value.type_name.rpartition(".")[2] if type(value) is InertObject else type(value).__name__
        return f"{start}Object of type: {readable(kind)}"
    cuda = value.device.startswith("cuda")
    dtype = f"torch.{value.dtype.name}"
    if typed:
        dtype = f"torch.{'cuda.' if cuda else ''}{_TYPES.get(value.dtype.name, value.dtype.name)}Tensor"
    flavor = "Parameter" if value.flavor == "parameter" else "Tensor"
    size = "x".join(map(str, value.shape))
    return f"{start}{flavor} containing: [{dtype} of size {size}{f' ({value.device})' if cuda else ''}]"


_SPECIAL: dict[str, Callable[[ModuleView], str]] = {
    "Upsample": _upsample,
    "UpsamplingNearest2d": _upsample,
    "UpsamplingBilinear2d": _upsample,
    "LinearCrossEntropyLoss": _linear_cross_entropy,
    "ParameterList": _list_of_parameters,
    "ParameterDict": _dictionary_of_parameters,
}
