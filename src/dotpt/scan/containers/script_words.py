"""Operations and classes that TorchScript programs use, as tables: whose they are, and which do more than compute."""

from __future__ import annotations

# namespaces whose operations torch itself registers, of which all but those below compute
NAMESPACES = frozenset((
    "prim", "aten", "quantized", "_quantized", "quantization", "prepacked", "xnnpack", "sparse", "onednn", "mkl",
    "mkldnn", "mkldnn_prepacked", "static_runtime", "inductor", "inductor_prims", "prims", "rngprims", "cuda",
    "rand_prepacked", "profiler", "vulkan_prepack", "metal_prepack", "metal", "vulkan", "onnx", "_caffe2",
))  # fmt: skip

_READS, _WRITES, _MAPS = "reads a file", "writes a file", "maps a file into memory"
_SENDS = "runs a function on another machine"

HARMFUL: dict[tuple[str, str], str] = {
    ("aten", "save"): _WRITES,
    ("aten", "from_file"): _MAPS,
    ("aten", "to_file"): _WRITES,
    ("debugprims", "load_tensor"): _READS,
    ("prim", "rpc_async"): _SENDS,
    ("prim", "rpc_sync"): _SENDS,
    ("prim", "rpc_remote"): _SENDS,
    ("prim", "PythonOp"): "calls a function of Python",
    ("prim", "IgnoredPythonOp"): "calls a function of Python",
    ("image", "read_file"): _READS,
    ("image", "write_file"): _WRITES,
    ("image", "decode_file"): _READS,
    ("video_reader", "read_video_from_file"): _READS,
    ("video_reader", "probe_video_from_file"): _READS,
}

#: Names that say what they do, in whatever library.
HARMFUL_CALLS: dict[str, str] = {
    "load_library": "loads a program library", "read_file": _READS, "write_file": _WRITES,
    "sox_io_load_audio_file": _READS, "sox_io_save_audio_file": _WRITES, "sox_io_get_info": _READS,
    "sox_effects_apply_effects_file": _READS, "load_audio_file": _READS, "save_audio_file": _WRITES,
}  # fmt: skip

# libraries with operations that compute
LIBRARIES = {
    "torchvision": "torchvision", "image": "torchvision", "torchaudio": "torchaudio", "torchtext": "torchtext",
    "fbgemm": "FBGEMM", "torch_scatter": "torch_scatter", "torch_sparse": "torch_sparse",
    "torch_cluster": "torch_cluster", "pyg": "PyTorch Geometric", "detectron2": "detectron2",
}  # fmt: skip

#: Namespaces of classes in C++ that hold packed weights and the like.
CLASSES = frozenset((
    "quantized", "sparse", "rnn", "xnnpack", "mkldnn", "onednn", "prepacked", "vulkan", "metal", "cuda", "profiler",
))  # fmt: skip
