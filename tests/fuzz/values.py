"""The numbers, texts and names that break readers, plainest first."""

from __future__ import annotations

from .choices import Choices

NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 16, 64, 255, 256, 65_535, 65_536, -1, -2, -4, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53,
    2**61 - 1, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**31), -(2**31) - 1, -(2**63), -(2**63) - 1, 10**30,
)  # fmt: skip
LENGTHS = (0, 1, 2, 127, 255, 256, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
FLOATS = (0.0, 1.0, -1.5, float("inf"), float("-inf"), float("nan"), 5e-324, 1.7976931348623157e308, -0.0)
TEXTS = (
    "", "a", "weight", "storage", "cpu", "0", "1", "é", "\n", "a\nb", "\0", "\x1b[31m", "\u202e", "\ud800",
    "\U0001f600",
    "__class__", "__setstate__", "__reduce__", "items", "a" * 256, "a" * 5000, "'", '"', "\\", "\\u0041", "-1", "NaN",
)  # fmt: skip
#: Names that a reader must not act on. Nothing here is ever imported: no unpickler with a real find_class sees them.
HOSTILE = (
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("__builtin__", "eval"), ("builtins", "getattr"),
    ("subprocess", "Popen"), ("pkgutil", "resolve_name"), ("pathlib", "os.system"), ("torch", "load"), ("torch", "os"),
    ("torch.storage", "_load_from_bytes"), ("torch._utils", "os"), ("numpy", "__builtins__"), ("", "os"), ("os", ""),
    ("no.such.module", "Class"), ("no\x1b[31m.module", "Cl\u202eass"), ("a" * 5000, "b"), ("é", "ü"), ("__main__",
    "Net"),
    ("builtins", "__import__"), ("torch.jit", "load"), ("operator", "attrgetter"), ("copyreg", "__newobj__"),
    ("collections", "ordereddict"), ("torch._utils", "_rebuild_tensor_v2.__globals__"), ("torch", "nn.Module"),
)  # fmt: skip
#: Names that dotpt knows.
KNOWN = (
    ("collections", "OrderedDict"), ("builtins", "set"), ("builtins", "frozenset"), ("builtins", "bytearray"),
    ("builtins", "complex"), ("builtins", "range"), ("builtins", "slice"), ("builtins", "list"), ("builtins", "dict"),
    ("builtins", "tuple"), ("builtins", "int"), ("builtins", "object"), ("__builtin__", "set"), ("_codecs", "encode"),
    ("collections", "Counter"), ("collections", "defaultdict"), ("copyreg", "_reconstructor"), ("argparse",
    "Namespace"),
    ("pathlib", "PosixPath"), ("datetime", "datetime"), ("datetime", "timedelta"), ("datetime", "timezone"),
    ("numpy", "dtype"), ("numpy", "ndarray"), ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"), ("numpy._core.numeric", "_frombuffer"),
    ("torch", "Size"), ("torch", "device"), ("torch", "float32"), ("torch", "FloatStorage"), ("torch", "LongStorage"),
    ("torch.storage", "UntypedStorage"), ("torch", "Generator"), ("torch", "FloatTensor"), ("torch", "Tensor"),
    ("torch._utils", "_rebuild_tensor"), ("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_tensor_v3"),
    ("torch._utils", "_rebuild_parameter"), ("torch._utils", "_rebuild_qtensor"), ("torch._utils",
    "_rebuild_sparse_tensor"),
    ("torch._utils", "_rebuild_nested_tensor"), ("torch._utils", "_rebuild_meta_tensor_no_storage"),
    ("torch._utils", "_rebuild_wrapper_subclass"), ("torch._tensor", "_rebuild_from_type_v2"), ("torch.nn",
    "Parameter"),
    ("torch.return_types", "max"), ("torch.serialization", "_get_layout"), ("torch", "per_tensor_affine"),
    ("torch.nn.modules.linear", "Linear"), ("torch.nn.modules.container", "Sequential"),
)  # fmt: skip


def number(choices: Choices) -> int:
    """Mostly small, sometimes one of those at which widths end."""
    return choices.below(8) if choices.below(3) < 2 else choices.pick(NUMBERS)


def text(choices: Choices) -> str:
    """One of the texts above, or any few letters."""
    if choices.once_in(4):
        return choices.blob(12).decode("utf-8", "replace")
    return choices.pick(TEXTS)
