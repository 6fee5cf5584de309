"""Write a folder of small files with an old torch, and an index of what a reader must find in them.

    python make_old_fixtures.py FOLDER

Runs by itself under Python 2.7 and 3.6 to 3.10 with any torch from 1.0 to 1.12, and writes FOLDER/<torch>-py<xy>/: what
this torch saves in each of the formats that it knows. ``old_fixtures/`` was made so, once for each version: install an
old torch with a numpy of its time (and ``future`` or ``typing_extensions``, which some ask for) for an old Python, and
run this file with that Python. Names that hold addresses in memory (storage keys, before torch 1.5 those of an
optimizer's state) differ from run to run; everything else is the same.

``index.json`` of each folder::

    {"torch", "python", "numpy": versions,
     "objects": {object: {"tensors": {address: facts}, "plain": {address: [type, value]}, "module": whether it is one}},
     "files": {file: {"object", "way": legacy, zip, script or lite, "default": whether torch.save writes so unasked,
                      "loads": whether this torch reads it again}}}

Facts of a tensor: shape, stride, offset (in elements), dtype, requires_grad, storage (tensors with one number share
one) and the SHA-256 of its values in row-major order, little-endian; of a sparse tensor the same of its parts; of a
quantized one those of its integers, with its scales and zero points. A quantized model's scripts are said to hold a
weight and a bias, wherever they lie.
"""

# Python 2 must read this file too.
# ruff: noqa: UP008, UP010, UP020, UP031, PLW2901

from __future__ import absolute_import, division, print_function

import hashlib
import io
import json
import os
import struct
import sys
import warnings
from collections import Counter, OrderedDict, defaultdict

import numpy as np
import torch
from torch import nn

PYTHON_2 = sys.version_info[0] == 2
TEXT = type(b"".decode())
VERSION = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
DTYPES = (
    "float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool", "complex32",
    "complex64", "complex128",
)  # fmt: skip
QUANTIZED = ("qint8", "quint8", "qint32", "quint4x2", "quint2x4")
ATTRIBUTES = ("_parameters", "_buffers", "_modules")
LARGEST = 12 * 1024  # bytes of a file: modules carry their source


# -- what is saved --------------------------------------------------------------------------------------------------


def small_model():
    """A convolution, a batch norm and a linear layer."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Linear(3, 2))


def state_dict():
    """An OrderedDict with `_metadata`."""
    return small_model().state_dict()


def trained(make):
    """A checkpoint after two steps of an optimizer."""
    model = small_model()
    optimizer = make(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        loss = model(torch.ones(2, 1, 3, 4)).pow(2).sum()
        loss.backward()
        optimizer.step()
    return {
        "epoch": 2,
        "loss": 0.1,
        "best": None,
        "args": {"lr": 1e-3, "name": "run", "layers": [1, 2]},
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def adam():
    """A checkpoint with Adam."""
    return trained(lambda parameters: torch.optim.Adam(parameters, lr=1e-3))


def sgd():
    """A checkpoint with SGD and momentum, and a scheduler's state."""
    found = {}

    def make(parameters):
        optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
        found["scheduler"] = torch.optim.lr_scheduler.StepLR(optimizer, 5)
        return optimizer

    checkpoint = trained(make)
    checkpoint["scheduler"] = found["scheduler"].state_dict()
    return checkpoint


def dtypes():
    """A tensor of each element type that this torch can make, save and load."""
    found = OrderedDict()
    for name in DTYPES:
        dtype = getattr(torch, name, None)
        if dtype is None:
            continue
        try:
            if name == "bool":
                tensor = torch.tensor([True, False, True], dtype=dtype)
            elif name.startswith("complex"):
                tensor = torch.tensor([1 + 2j, -0.5j, 3.0], dtype=dtype)
            else:
                tensor = torch.tensor([0, 1, 2, 100], dtype=dtype)
            described(tensor, {})
            round_trip(tensor)
        except Exception as error:  # not every type that has a name can be used
            note(name, error)
            continue
        found[name] = tensor
    return found


def shapes():
    """Scalars, empty tensors, views; several on one storage."""
    base = torch.arange(24, dtype=torch.float32).view(4, 6)
    return OrderedDict(
        [
            ("scalar", torch.tensor(3.5)),
            ("empty", torch.empty(0)),
            ("empty_rows", torch.empty(0, 3)),
            ("base", base),
            ("transposed", base.t()),
            ("row", base[1]),
            ("column", base[:, 2]),
            ("block", base[1:3, 2:5]),
            ("every_other", base[::2, ::3]),
            ("expanded", torch.tensor([1.0, 2.0]).unsqueeze(1).expand(2, 3)),
            ("permuted", torch.arange(6).view(1, 2, 3).permute(2, 0, 1)),
            ("end", base.view(-1)[24:]),
        ]
    )


def tied():
    """One tensor at two places, and a model whose layers share a weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    shared = torch.ones(3)
    return {"model": model.state_dict(), "first": shared, "again": shared, "nested": [shared, (shared, [shared])]}


def parameters():
    """Parameters and tensors that ask for gradients."""
    torch.manual_seed(0)
    return {
        "parameter": nn.Parameter(torch.randn(2, 2)),
        "frozen": nn.Parameter(torch.randn(2), requires_grad=False),
        "leaf": torch.randn(2, requires_grad=True),
        "list": [nn.Parameter(torch.zeros(1, dtype=torch.float64))],
    }


def many():
    """More storages than ten, so that their order by name is not their order by number."""
    return [torch.tensor([float(number)]) for number in range(13)]


def alone():
    """Nothing but a tensor."""
    return torch.arange(6).view(2, 3)


def sparse():
    """Sparse tensors: coalesced, not, empty, with dense dimensions; CSR where there is one."""
    torch.manual_seed(0)
    index = torch.tensor([[0, 1, 1], [2, 0, 2]])
    found = {
        "coo": torch.sparse_coo_tensor(index, torch.tensor([3.0, 4.0, 5.0]), (2, 3)),
        "coalesced": torch.sparse_coo_tensor(index, torch.tensor([3.0, 4.0, 5.0]), (2, 3)).coalesce(),
        "repeated": torch.sparse_coo_tensor(torch.tensor([[0, 0]]), torch.tensor([1.0, 2.0]), (3,)),
        "hybrid": torch.sparse_coo_tensor(torch.tensor([[1]]), torch.ones(1, 2, dtype=torch.float64), (3, 2)),
        "empty": torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.long), torch.zeros(0), (2, 2)),
    }
    if VERSION >= (1, 11):  # torch 1.10 has them, and crashes when it saves one
        try:
            csr = torch.sparse_csr_tensor([0, 1, 3], [2, 0, 1], [1.0, 2.0, 3.0], size=(2, 3))
            round_trip(csr)
            found["csr"] = csr
        except Exception as error:
            note("csr", error)
    return found


def quantized():
    """Quantized tensors, per tensor and per channel."""
    found = OrderedDict()
    values = torch.tensor([[-1.0, 0.0, 1.5], [2.0, 3.0, 4.0]])
    makers = [
        (name, lambda name=name: torch.quantize_per_tensor(values, 0.5, 2, getattr(torch, name))) for name in QUANTIZED
    ]
    scales, zeros = torch.tensor([0.5, 0.25], dtype=torch.float64), torch.tensor([1, 2])
    makers.append(("channels", lambda: torch.quantize_per_channel(values, scales, zeros, 0, torch.qint8)))
    makers.append(("row", lambda: torch.quantize_per_tensor(values, 0.5, 2, torch.qint8)[1]))
    floats = torch.tensor([0.5, 1.5])
    makers.append(("floats", lambda: torch.quantize_per_channel(values, scales.float(), floats, 0, torch.quint8)))
    for name, make in makers:
        try:
            tensor = make()
            described(tensor, {})
            round_trip(tensor)
        except Exception as error:
            note(name, error)
            continue
        found[name] = tensor
    return found


def quantized_model():
    """A dynamically quantized model: its weights are packed."""
    torch.manual_seed(0)
    return torch.quantization.quantize_dynamic(nn.Sequential(nn.Linear(3, 2)), {nn.Linear}, torch.qint8)


def dynamic():
    """The state dict of a dynamically quantized model."""
    return quantized_model().state_dict()


def numpy_values():
    """Arrays and numbers of numpy."""
    return {
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "big_endian": np.arange(3, dtype=">i4"),
        "empty": np.zeros((0, 2)),
        "bool": np.array([True, False]),
        "scalar": np.float64(2.5),
        "integer": np.int64(7),
        "text": np.array(["ab", "c"]),
        "tensors": [torch.zeros(1)],
    }


def values():
    """Everything else that a checkpoint holds: texts, numbers, containers."""
    return {
        "text": "plain",
        "unicode": b"caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80".decode("utf-8"),
        "long_text": "n" * 300,
        "bytes": b"\x00\xff\x80",
        "not_ascii": b"na\xc3\xafve" if PYTHON_2 else b"na\xc3\xafve".decode("utf-8"),
        "int": 5,
        "negative": -1,
        "big": 1 << 70,
        "large": -(1 << 40),
        "float": 0.1,
        "infinity": float("inf"),
        "true": True,
        "none": None,
        "list": [1, [2, (3, ())]],
        "size": torch.Size([2, 3]),
        7: "number as key",
        (1, 2): "pair as key",
        "tensor": torch.zeros(2),
    }


def torch_values():
    """What torch and Python have besides tensors, as far as this torch can save it."""
    candidates = [
        ("dtype", torch.float32),
        ("device", torch.device("cpu")),
        ("indexed", torch.device("cuda:1")),
        ("storage", torch.FloatStorage([1.0, 2.0])),
        ("longs", torch.LongStorage([1, 2])),
        ("named", torch.max(torch.arange(6).view(2, 3), 1)),
        ("set", {1}),
        ("frozen_set", frozenset([1])),
        ("complex", 1 + 2j),
        ("range", range(3) if not PYTHON_2 else xrange(3)),  # noqa: F821 (Python 2's)
        ("counter", Counter("aab")),
        ("default", defaultdict(list, a=[1])),
        ("bytearray", bytearray(b"ab")),
    ]
    found = OrderedDict()
    for name, value in candidates:
        try:
            round_trip(value)
        except Exception as error:
            note(name, error)
            continue
        found[name] = value
    return found


def module():
    """A whole module: classes, settings and tensors."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU())


def attributes():
    """A tensor with an attribute of its own."""
    tensor = torch.arange(3)
    tensor.note = "kept by some"
    return {"tensor": tensor}


def meta():
    """Tensors without values."""
    tensor = torch.empty(2, 3, device="meta")
    round_trip(tensor)
    return {"meta": tensor, "real": torch.ones(1)}


OBJECTS = OrderedDict(
    (make.__name__, make)
    for make in (
        state_dict, adam, sgd, dtypes, shapes, tied, parameters, many, alone, sparse, quantized, dynamic, numpy_values,
        values, torch_values, module, attributes, meta,
    )
)  # fmt: skip


# -- TorchScript ------------------------------------------------------------------------------------------------------


class Scripted(nn.Module):
    """Layers, a buffer and a tied weight."""

    def __init__(self, tie=True):
        """Make it, small."""
        super(Scripted, self).__init__()
        self.inner = nn.Linear(3, 2)
        self.other = nn.Linear(3, 2)
        if tie:
            self.other.weight = self.inner.weight
        self.register_buffer("offset", torch.arange(2.0))

    def forward(self, x):
        """Go through all."""
        return self.inner(x) + self.other(x) + self.offset


def eager():
    """The module that is compiled."""
    torch.manual_seed(0)
    return Scripted(tie=VERSION >= (1, 3)).eval()


def traced():
    """The module, traced."""
    return torch.jit.trace(eager(), torch.ones(1, 3))


def scripted():
    """The module, scripted."""
    return torch.jit.script(eager())


def traced_constant():
    """A function with a tensor in its code."""
    constant = torch.arange(3.0)
    return torch.jit.trace(lambda x: x + constant, torch.ones(3))


def scripted_half():
    """Another element type."""
    return torch.jit.script(nn.PReLU(3).half())


def scripted_quantized():
    """A dynamically quantized model, whose weights are packed in objects of their own."""
    return torch.jit.script(quantized_model())


def frozen():
    """A frozen module: its weights are constants."""
    return torch.jit.freeze(torch.jit.script(eager()))


SCRIPTS = OrderedDict(
    (make.__name__, make) for make in (traced, scripted, traced_constant, scripted_half, scripted_quantized, frozen)
)


# -- what is said of it -----------------------------------------------------------------------------------------------


def raw_bytes(tensor):
    """The values in row-major order, little-endian."""
    tensor = tensor.detach()
    name = str(tensor.dtype).split(".")[-1]
    if name in ("quint4x2", "quint2x4"):  # several share a byte, the first in its lowest bits
        bits = int(name[5])
        values = tensor.dequantize().view(-1).tolist()
        numbers = [int(round(value / tensor.q_scale())) + tensor.q_zero_point() for value in values]  # noqa: RUF046
        rows = [numbers[at : at + 8 // bits] for at in range(0, len(numbers), 8 // bits)]
        return bytes(bytearray(sum(number << bits * at for at, number in enumerate(row)) for row in rows))
    if name in QUANTIZED:
        return tensor.int_repr().contiguous().numpy().tobytes()
    if name == "bfloat16":  # the upper half of a float32
        floats = tensor.contiguous().float().numpy().tobytes()
        return b"".join(floats[at + 2 : at + 4] for at in range(0, len(floats), 4))
    if name in ("complex64", "complex128"):
        numbers = tensor.contiguous().view(-1).tolist()
        pairs = [part for value in numbers for part in (value.real, value.imag)]
        return struct.pack("<%d%s" % (len(pairs), "f" if name == "complex64" else "d"), *pairs)
    if name == "int8":  # which the first numpy bridges did not know
        return struct.pack("<%db" % tensor.numel(), *tensor.contiguous().view(-1).tolist())
    return tensor.contiguous().numpy().tobytes()


def described(tensor, storages):
    """The facts of one tensor."""
    facts = OrderedDict([("shape", list(tensor.shape)), ("dtype", str(tensor.dtype).split(".")[-1])])
    facts["requires_grad"] = bool(tensor.requires_grad)
    if isinstance(tensor, nn.Parameter):
        facts["parameter"] = True
    layout = str(tensor.layout).split(".")[-1]
    if layout == "sparse_coo":
        parts = {"indices": tensor._indices(), "values": tensor._values()}
    elif layout == "sparse_csr":
        parts = {"crow_indices": tensor.crow_indices(), "col_indices": tensor.col_indices(), "values": tensor.values()}
    else:
        parts = None
    if parts:
        facts["layout"] = layout
        facts["parts"] = {role: described(part.detach(), storages) for role, part in parts.items()}
        return facts
    facts["stride"] = list(tensor.stride())
    facts["offset"] = tensor.storage_offset()
    if tensor.device.type == "meta":
        facts["meta"] = True
        return facts
    if "q" in facts["dtype"][:2]:
        scheme = str(tensor.qscheme()).split(".")[-1]
        facts["scheme"] = scheme
        if scheme == "per_tensor_affine":
            facts["scales"], facts["zero_points"] = [tensor.q_scale()], [tensor.q_zero_point()]
        else:
            facts["scales"] = tensor.q_per_channel_scales().tolist()
            facts["zero_points"] = tensor.q_per_channel_zero_points().tolist()
            facts["axis"] = tensor.q_per_channel_axis()
    facts["storage"] = storages.setdefault(tensor.storage()._cdata, len(storages))
    facts["sha256"] = hashlib.sha256(raw_bytes(tensor)).hexdigest()
    return facts


def plain(value):
    """A value that is no tensor, as [type, text]; None for what is not compared."""
    if isinstance(value, np.ndarray):
        order = np.ascontiguousarray(value)
        return ["ndarray", value.dtype.str, list(value.shape), hashlib.sha256(order.tobytes()).hexdigest()]
    if isinstance(value, np.generic):
        return ["scalar", value.dtype.str, value.tobytes().hex() if not PYTHON_2 else value.tobytes().encode("hex")]
    if value is None or isinstance(value, (bool, float)):
        return [type(value).__name__, repr(value)]
    if isinstance(value, bytes):
        return ["bytes", value.encode("hex") if PYTHON_2 else value.hex()]
    if isinstance(value, TEXT):
        return ["str", value]
    if isinstance(value, (int, type(1 << 70))):
        return ["int", str(value)]
    return None


def walk(address, value, tensors, others, storages):
    """Enter every tensor and plain value below `value` by its address: the keys on the way, joined by dots."""
    if isinstance(value, torch.Tensor):
        tensors[address or "tensor"] = described(value, storages)
        return
    children = None
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, (list, tuple)):
        children = enumerate(value)
    elif isinstance(value, nn.Module):
        children = [child for name in ATTRIBUTES for child in vars(value)[name].items()]
    if children is None:
        fact = plain(value) if others is not None else None
        if fact is not None:
            others[address] = fact
        return
    for key, child in children:
        if PYTHON_2 and isinstance(key, bytes):
            key = key.decode("utf-8")
        walk("%s.%s" % (address, key) if address else "%s" % (key,), child, tensors, others, storages)


def object_facts(obj):
    """What the index says of an object."""
    tensors, others, whole = OrderedDict(), OrderedDict(), isinstance(obj, nn.Module)
    walk("", obj, tensors, None if whole else others, {})
    return OrderedDict([("module", whole), ("tensors", tensors), ("plain", others)])


def script_facts(script):
    """What the index says of a TorchScript module: its parameters and buffers."""
    tensors, storages = OrderedDict(), {}
    parts = script.named_modules() if hasattr(script, "named_modules") else []  # a function has none
    for prefix, part in parts:
        for name, tensor in own_tensors(part):
            name = prefix + "." + name if prefix else name
            tensors[name] = described(tensor, storages)
            tensors[name].pop("parameter", None)  # a script names no class for them
    return OrderedDict([("module", True), ("tensors", tensors), ("plain", {})])


def packed_facts():
    """What the index says of the scripted quantized model: its weight and bias lie where each version packs them."""
    layer, storages = quantized_model()[0], {}
    parts = [("weight", layer.weight()), ("bias", layer.bias() if callable(layer.bias) else layer.bias)]
    tensors = OrderedDict((name, described(part, storages)) for name, part in parts)
    for facts in tensors.values():
        facts.pop("parameter", None)
    return OrderedDict([("module", True), ("tensors", tensors), ("plain", {})])


def own_tensors(part):
    """(name, tensor) of a module's own parameters and buffers; one tensor may have several names."""
    found = []
    for kind in ("_parameters", "_buffers"):
        held = getattr(part, kind, None)
        found += [(name, tensor) for name, tensor in (held.items() if held is not None else []) if tensor is not None]
    return found


# -- files ------------------------------------------------------------------------------------------------------------


def note(name, error):
    """Say what this torch cannot do."""
    print("  not in torch %s: %s: %s" % (torch.__version__, name, str(error).split("\n")[0][:90]))


def round_trip(tensor):
    """Save and load a tensor, as this torch does unasked; its error says that it cannot."""
    buffer = io.BytesIO()
    torch.save(tensor, buffer)
    buffer.seek(0)
    torch.load(buffer)


def loads(path):
    """Whether this torch reads the file again."""
    try:
        torch.load(path)
    except Exception as error:
        note(path, error)
        return False
    return True


def ways():
    """(way, arguments of torch.save, whether that is what it does unasked) of each format of this version."""
    if VERSION < (1, 4):
        return [("legacy", {}, True)]
    return [
        ("legacy", {"_use_new_zipfile_serialization": False}, VERSION < (1, 6)),
        ("zip", {"_use_new_zipfile_serialization": True}, VERSION >= (1, 6)),
    ]


def write_objects(folder, objects, files):
    """Write all of `OBJECTS` in all ways, and some in ways of their own."""
    for name, make in OBJECTS.items():
        try:
            obj = make()
            facts = object_facts(obj)
        except Exception as error:
            note(name, error)
            continue
        objects[name] = facts
        for way, options, default in ways():
            write(folder, "%s-%s.pt" % (name, way), name, way, default, obj, options, files)
    model = state_dict()
    for way, options, default in ways():
        for protocol in (1,) if PYTHON_2 else (1, 4):
            more = dict(options, pickle_protocol=protocol)
            write(folder, "protocol%d-%s.pt" % (protocol, way), "state_dict", way, default, model, more, files)
        buffer = io.BytesIO()  # which has no name to call the archive by
        torch.save(model[next(iter(model))], buffer, **options)
        name = "buffer-%s.pt" % way
        with open(os.path.join(folder, name), "wb") as file:
            file.write(buffer.getvalue())
        objects["buffer"] = object_facts(model[next(iter(model))])
        files[name] = OrderedDict(object="buffer", way=way, default=default, loads=loads(os.path.join(folder, name)))


def write(folder, name, obj_name, way, default, obj, options, files):
    """Write one file."""
    path = os.path.join(folder, name)
    try:
        torch.save(obj, path, **options)
    except Exception as error:
        note(name, error)
        if os.path.exists(path):
            os.remove(path)
        return
    if os.path.getsize(path) > LARGEST:
        print("  %s is too large: %d bytes" % (name, os.path.getsize(path)))
        os.remove(path)
        return
    files[name] = OrderedDict([("object", obj_name), ("way", way), ("default", default), ("loads", loads(path))])


def write_scripts(folder, objects, files):
    """Write all of `SCRIPTS`, one with a file of the author's beside it, one also as phones run it."""
    for name, make in SCRIPTS.items():
        path = os.path.join(folder, name + ".pt")
        try:
            script = make()
            facts = packed_facts() if name == "scripted_quantized" else script_facts(script)
            script.save(path, **({"_extra_files": extra_files()} if name == "scripted" else {}))
            torch.jit.load(path)
        except Exception as error:
            note(name, error)
            continue
        objects[name] = facts
        files[name + ".pt"] = OrderedDict([("object", name), ("way", "script"), ("default", True), ("loads", True)])
        if name == "scripted_quantized" and hasattr(script, "_save_for_lite_interpreter"):
            script._save_for_lite_interpreter(os.path.join(folder, name + ".ptl"))
            files[name + ".ptl"] = OrderedDict([("object", name), ("way", "lite"), ("default", True), ("loads", True)])


def extra_files():
    """What is saved beside the script, as this torch takes it."""
    extra = torch._C.ExtraFilesMap() if hasattr(torch._C, "ExtraFilesMap") else {}
    extra["note.txt"] = "hello"
    return extra


def dumps(value):
    """JSON on one line."""
    return json.dumps(value, separators=(",", ":"))


def lines(index):
    """JSON with a line for each tensor, value and file."""
    out = []
    for name in ("torch", "python", "numpy"):
        out.append(" %s: %s" % (json.dumps(name), json.dumps(index[name])))
    objects = []
    for name, fact in index["objects"].items():
        parts = []
        for part in ("tensors", "plain"):
            rows = ",".join("\n    %s: %s" % (json.dumps(at), dumps(row)) for at, row in fact[part].items())
            parts.append("   %s: {%s}" % (json.dumps(part), rows))
        objects.append('  %s: {"module": %s,\n%s}' % (json.dumps(name), json.dumps(fact["module"]), ",\n".join(parts)))
    out.append(' "objects": {\n%s\n }' % ",\n".join(objects))
    files = ["  %s: %s" % (json.dumps(name), dumps(fact)) for name, fact in sorted(index["files"].items())]
    out.append(' "files": {\n%s\n }' % ",\n".join(files))
    return "{\n%s\n}\n" % ",\n".join(out)


def main(root):
    """Write the folder of this version."""
    warnings.simplefilter("ignore")
    version = torch.__version__.split("+")[0]
    python = "%d.%d" % tuple(sys.version_info[:2])
    folder = os.path.join(root, "%s-py%s" % (version, python.replace(".", "")))
    if not os.path.isdir(folder):
        os.makedirs(folder)
    for name in os.listdir(folder):
        os.remove(os.path.join(folder, name))
    index = OrderedDict([("torch", version), ("python", python), ("numpy", np.__version__)])
    index["objects"], index["files"] = OrderedDict(), OrderedDict()
    write_objects(folder, index["objects"], index["files"])
    write_scripts(folder, index["objects"], index["files"])
    with io.open(os.path.join(folder, "index.json"), "w", encoding="utf-8", newline="\n") as file:
        text = lines(index)
        file.write(text.decode("ascii") if PYTHON_2 else text)
    size = sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder))
    print("%s: %d files, %d bytes" % (folder, len(index["files"]), size))


if __name__ == "__main__":
    main(sys.argv[1])
