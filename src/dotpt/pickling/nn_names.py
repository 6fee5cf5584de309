"""The parts of `torch.nn` that a file may name and `dotpt.load` builds without being told to trust them: data only.

Three closed lists, by module and exact name; nothing is matched by its beginning. What may be done with each:

* a layer (a subclass of `torch.nn.Module`) and a helper (the hooks of weight norm, spectral norm and pruning) is made
  empty, without arguments, and then filled by its checked state. It is never called with anything of the file;
* a function is a value (``activation=torch.nn.functional.relu``). It is never called while a file is loaded.

Names that newer versions of torch moved or dropped lead to where the class is today. What is not here, and why:

* lazy modules before their first input have no weights, and their hooks reach into them by `getattr`;
* `DistributedDataParallel` joins a process group as soon as its state is set;
* quantized modules hand packed weights to code of C++, and `torch.fx` and TorchScript modules are code;
* optimizers and schedulers replace functions of their own classes when their state is set.

Sources: torch/nn/modules/__init__.py and the files it names (torch 0.4 to 2.13); `tests/archive/test_torch_modules.py`
compares the list to the torch that is installed.
"""

from __future__ import annotations

Name = tuple[str, str]

_LAYERS = {
    "torch.nn.modules.activation": (
        "CELU ELU GELU GLU Hardshrink Hardsigmoid Hardswish Hardtanh LeakyReLU LogSigmoid LogSoftmax Mish "
        "MultiheadAttention PReLU RReLU ReLU ReLU6 SELU SiLU Sigmoid Softmax Softmax2d Softmin Softplus Softshrink "
        "Softsign Tanh Tanhshrink Threshold"
    ),
    "torch.nn.modules.adaptive": "AdaptiveLogSoftmaxWithLoss",
    "torch.nn.modules.batchnorm": "BatchNorm1d BatchNorm2d BatchNorm3d SyncBatchNorm",
    "torch.nn.modules.channelshuffle": "ChannelShuffle",
    "torch.nn.modules.container": "Container ModuleDict ModuleList ParameterDict ParameterList Sequential",
    "torch.nn.modules.conv": "Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d",
    "torch.nn.modules.distance": "CosineSimilarity PairwiseDistance",
    "torch.nn.modules.dropout": "AlphaDropout Dropout Dropout1d Dropout2d Dropout3d FeatureAlphaDropout",
    "torch.nn.modules.flatten": "Flatten Unflatten",
    "torch.nn.modules.fold": "Fold Unfold",
    "torch.nn.modules.instancenorm": "InstanceNorm1d InstanceNorm2d InstanceNorm3d",
    "torch.nn.modules.linear": "Bilinear Identity Linear NonDynamicallyQuantizableLinear",
    "torch.nn.modules.loss": (
        "BCELoss BCEWithLogitsLoss CTCLoss CosineEmbeddingLoss CrossEntropyLoss GaussianNLLLoss HingeEmbeddingLoss "
        "HuberLoss KLDivLoss L1Loss LinearCrossEntropyLoss MSELoss MarginRankingLoss MultiLabelMarginLoss "
        "MultiLabelSoftMarginLoss MultiMarginLoss NLLLoss NLLLoss2d PoissonNLLLoss SmoothL1Loss SoftMarginLoss "
        "TripletMarginLoss TripletMarginWithDistanceLoss"
    ),
    "torch.nn.modules.module": "Module",
    "torch.nn.modules.normalization": "CrossMapLRN2d GroupNorm LayerNorm LocalResponseNorm RMSNorm",
    "torch.nn.modules.padding": (
        "CircularPad1d CircularPad2d CircularPad3d ConstantPad1d ConstantPad2d ConstantPad3d ReflectionPad1d "
        "ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d ReplicationPad3d ZeroPad1d ZeroPad2d "
        "ZeroPad3d"
    ),
    "torch.nn.modules.pixelshuffle": "PixelShuffle PixelUnshuffle",
    "torch.nn.modules.pooling": (
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d "
        "AvgPool1d AvgPool2d AvgPool3d FractionalMaxPool2d FractionalMaxPool3d LPPool1d LPPool2d LPPool3d MaxPool1d "
        "MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d"
    ),
    "torch.nn.modules.rnn": "GRU GRUCell LSTM LSTMCell RNN RNNBase RNNCell RNNCellBase",
    "torch.nn.modules.sparse": "Embedding EmbeddingBag",
    "torch.nn.modules.transformer": (
        "Transformer TransformerDecoder TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer"
    ),
    "torch.nn.modules.upsampling": "Upsample UpsamplingBilinear2d UpsamplingNearest2d",
    "torch.nn.parallel.data_parallel": "DataParallel",
}

_HELPERS = {
    "torch.nn.modules.module": "_WrappedHook",
    "torch.nn.utils.weight_norm": "WeightNorm",
    "torch.nn.utils.spectral_norm": "SpectralNorm SpectralNormStateDictHook SpectralNormLoadStateDictPreHook",
    "torch.nn.utils.prune": (
        "CustomFromMask Identity L1Unstructured LnStructured PruningContainer RandomStructured RandomUnstructured"
    ),
}

_ACTIVATIONS = (
    "celu celu_ elu elu_ gelu glu hardshrink hardsigmoid hardswish hardtanh hardtanh_ leaky_relu leaky_relu_ "
    "log_softmax logsigmoid mish prelu relu relu6 relu_ rrelu rrelu_ selu selu_ sigmoid silu softmax softmin softplus "
    "softshrink softsign tanh tanhshrink threshold threshold_"
)
_OF_TENSORS = (
    "abs acos adaptive_avg_pool1d add asin atan avg_pool1d bilinear bmm cat celu celu_ conv1d conv2d conv3d cos cosh "
    "cosine_similarity cross div dot dropout erf exp expm1 feature_alpha_dropout hardshrink log log10 log1p log2 "
    "log_softmax logsumexp matmul max mean min mm mul neg pairwise_distance pdist pixel_shuffle pixel_unshuffle pow "
    "prelu reciprocal relu relu_ rrelu rrelu_ rsqrt rsub selu selu_ sigmoid sigmoid_ sign sin sinh softmax sqrt "
    "square stack sub sum tan tanh tanh_ threshold threshold_"
)
_FUNCTIONS = {
    "torch.nn.functional": (
        f"{_ACTIVATIONS} "
        "_threshold adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d alpha_dropout avg_pool1d avg_pool2d "
        "avg_pool3d batch_norm bilinear binary_cross_entropy binary_cross_entropy_with_logits conv1d conv2d conv3d "
        "cosine_embedding_loss cosine_similarity cross_entropy dropout dropout1d dropout2d dropout3d embedding "
        "feature_alpha_dropout gaussian_nll_loss group_norm gumbel_softmax hinge_embedding_loss huber_loss "
        "instance_norm interpolate kl_div l1_loss layer_norm linear margin_ranking_loss max_pool1d max_pool2d "
        "max_pool3d mse_loss multi_margin_loss nll_loss normalize pad pairwise_distance pdist pixel_shuffle "
        "pixel_unshuffle poisson_nll_loss rms_norm scaled_dot_product_attention smooth_l1_loss soft_margin_loss "
        "triplet_margin_loss"
    ),
    # where those that are written in C say that they are from, by version of torch
    "torch._C._nn": (
        "elu elu_ gelu glu hardsigmoid hardswish hardtanh hardtanh_ leaky_relu leaky_relu_ linear log_sigmoid mish "
        "one_hot pad relu6 relu6_ silu softplus softshrink adaptive_avg_pool2d adaptive_avg_pool3d avg_pool2d "
        "avg_pool3d scaled_dot_product_attention"
    ),
    "torch._C": " ".join(f"_VariableFunctionsClass.{name}" for name in _OF_TENSORS.split()),
    "torch": _OF_TENSORS,
}

#: Names of old files and what they are called today. The first was a linear layer that is not quantized.
_MOVED: dict[Name, Name] = {
    ("torch.nn.modules.linear", "_LinearWithBias"): ("torch.nn.modules.linear", "NonDynamicallyQuantizableLinear"),
} | {
    ("torch._C", f"_VariableFunctions.{name}"): ("torch._C", f"_VariableFunctionsClass.{name}")
    for name in _OF_TENSORS.split()
}

#: Where functions that are written in C lie: early protocols name it, and the function by `getattr`.
HOLDERS = frozenset((("torch._C", "_VariableFunctionsClass"), ("torch._C", "_VariableFunctions")))

#: Layers before torch 1.3 asked for the library that computed them. Today's torch gives None, and so do we.
BACKEND: Name = ("torch.nn.backends.thnn", "_get_thnn_function_backend")

#: Where a layer keeps functions that run when it is called, loaded or saved. In a file they are helpers, or the user's.
HOOKS = frozenset(
    (
        "_backward_hooks _backward_pre_hooks _forward_hooks _forward_pre_hooks _load_state_dict_post_hooks "
        "_load_state_dict_pre_hooks _state_dict_hooks _state_dict_pre_hooks"
    ).split()
)
#: And which of them are called in which way: a truth value for each.
HOOK_MARKS = frozenset("_forward_hooks_always_called _forward_hooks_with_kwargs _forward_pre_hooks_with_kwargs".split())

#: What a helper's state holds: the attributes that its class sets, each by its type.
HELPER_STATE: dict[str, dict[str, str]] = {
    "_WrappedHook": {"hook": "hook", "with_module": "bool", "module": "module"},
    "WeightNorm": {"name": "name", "dim": "number"},
    "SpectralNorm": {"name": "name", "dim": "number", "n_power_iterations": "number", "eps": "number"},
    "SpectralNormStateDictHook": {"fn": "hook"},
    "SpectralNormLoadStateDictPreHook": {"fn": "hook"},
    "CustomFromMask": {"mask": "tensor", "_tensor_name": "name"},
    "Identity": {"_tensor_name": "name"},
    "L1Unstructured": {"amount": "number", "_tensor_name": "name"},
    "LnStructured": {"amount": "number", "n": "norm", "dim": "number", "_tensor_name": "name"},
    "PruningContainer": {"_pruning_methods": "hooks", "_tensor_name": "name"},
    "RandomStructured": {"amount": "number", "dim": "number", "_tensor_name": "name"},
    "RandomUnstructured": {"amount": "number", "_tensor_name": "name"},
}

#: What layers of old files lack and today's need, beside what is an argument of today's constructor with a default.
ADDED: dict[str, dict[str, object]] = {
    "_Loss": {"reduction": "mean"},
    "TransformerEncoderLayer": {"activation_relu_or_gelu": 0},
    "TransformerEncoder": {"use_nested_tensor": False},
}


def _names(table: dict[str, str]) -> frozenset[Name]:
    return frozenset((module, name) for module, names in table.items() for name in names.split())


def _renamed(names: frozenset[Name]) -> frozenset[Name]:
    return names | {old for old, new in _MOVED.items() if new in names}


LAYERS = _renamed(_names(_LAYERS))
HELPERS = _names(_HELPERS)
FUNCTIONS = _renamed(_names(_FUNCTIONS))
_KNOWN = LAYERS | HELPERS | FUNCTIONS | {BACKEND}


def is_part_of_torch(module: str, name: str) -> bool:
    """Whether a name is on one of the lists.

    Example:
        >>> is_part_of_torch("torch.nn.modules.linear", "Linear"), is_part_of_torch("torch.hub", "load")
        (True, False)
    """
    return (module, name) in _KNOWN


def today(module: str, name: str) -> Name:
    """Where what is on the lists lies in a torch of today.

    Example:
        >>> today("torch.nn.modules.linear", "_LinearWithBias")
        ('torch.nn.modules.linear', 'NonDynamicallyQuantizableLinear')
    """
    return _MOVED.get((module, name), (module, name))


def words_for(module: str, name: str) -> str:
    """What a name on the lists is, for people."""
    if (module, name) in LAYERS:
        return "a layer of torch"
    if (module, name) in HELPERS:
        return "a helper of torch's layers"
    return "a function of torch, as a value"
