"""Programs of TorchScript: what computes is clean; what reaches files is found however it is written."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import pytest

from dotpt.scan.scan import scan
from tests.corpus import pickles as p
from tests.formats.test_torchscript import archive
from tests.scan.archives import rules, verdict, zipped

HEAD = "class Net(Module):\n  weight : Tensor\n  def forward(self: __torch__.Net,\n    x: Tensor) -> Tensor:\n"


def script(*lines: str) -> bytes:
    """An archive whose program has these lines."""
    return archive(**{"code/__torch__.py": (HEAD + "".join(f"    {line}\n" for line in lines)).encode()})


HONEST = (
    ("return torch.relu(x)",),
    ("_0 = ops.quantized.linear(x, self._packed, 1., 0)", "return _0"),
    ("z = fork(__forked_function)", "print(3)", "return torch.wait(z)"),
    ('ops.prim.RaiseException("torch.save is (torch) not \\"ops\\"", "builtins.ValueError")', "return x"),
    ("_1 = annotate(List[__torch__.Net], [])", "return torch.append(self.classes, x)"),
    ("_2 = __torch__.torch.classes.quantized.LinearPackedParamsBase", "return x"),
    ("return ops.torchvision.nms(x, x, 0.5)",),
)
HARMFUL = (
    ('torch.save(x, "f")',), ('return torch.from_file("f", False, 3)',), ('ops.aten.save(x, "f")',),
    ('t = torch', 't.save(x, "f")'), ('getattr(torch, "save")(x, "f")',), ('torch . save(x, "f")',),
    ('(torch', '.save)(x, "f")'), ('torch.\\', 'save(x, "f")'), ('(torch).save(x, "f")',),
    ('o = ops.aten', 'o.save(x, "f")'), ("_0 = '\"'; torch.save(x, '\"')",), ('ops.image.read_file("f")',),
    ('_0 = rpc_async("worker", f, (x,))',), ('ops.prim.rpc_sync(x)',), ('ops.image.write_file("f", x)',),
    ('# "', 'torch.save(x, "f") # "'),
)  # fmt: skip
UNKNOWN = (
    ("ops.stranger.op(x)",), ("_0 = __torch__.torch.classes.stranger.Thing",), ("ops.c10d.send(x, 1)",),
    ("o = ops.stranger",), ("t = __torch__.torch.classes",),
)  # fmt: skip


@pytest.mark.parametrize("lines", HONEST)
def test_what_computes_is_clean(lines: tuple[str, ...]) -> None:
    found = scan(script(*lines))
    assert found.verdict == "clean", str(found)


@pytest.mark.parametrize("lines", HARMFUL)
def test_what_reaches_files_or_machines_is_dangerous(lines: tuple[str, ...]) -> None:
    found = scan(script(*lines))
    assert found.verdict == "dangerous", str(found)


@pytest.mark.parametrize("lines", UNKNOWN)
def test_operations_of_others_are_suspicious(lines: tuple[str, ...]) -> None:
    assert verdict(script(*lines)) == "suspicious"


def bytecode(*operations: tuple[str, str], version: bool = True) -> bytes:
    rows = p.stream(p.mark(), *(p.stream(p.text(a), p.text(b), p.tuple2()) for a, b in operations), p.tuple_())
    table = p.stream(p.mark(), p.stream(p.text("operators"), rows, p.tuple2()), p.tuple_())
    function = p.stream(p.text("__torch__.Net.forward"), table, p.tuple2())
    return p.pickled(p.stream(p.mark(), *([p.binint(8)] if version else []), function, p.tuple_()))


@pytest.mark.parametrize("version", [True, False])
def test_the_list_of_operations_for_phones(version: bool) -> None:
    def with_list(*operations: tuple[str, str]) -> bytes:
        return archive(bytecode_pkl=bytecode(*operations, version=version))

    assert verdict(with_list(("aten::relu", ""), ("prim::unchecked_cast", ""))) == "clean"
    assert verdict(with_list(("aten::relu", ""), ("aten::save", ""))) == "dangerous"
    assert verdict(with_list(("stranger::op", ""))) == "suspicious"
    assert verdict(archive(bytecode_pkl=b"\x80\x02broken")) == "unreadable"


def test_pickles_beside_the_program() -> None:
    evil = p.pickled(p.call("os", "system", p.text("true")))
    for name in ("traced_inputs.pkl", "code/__torch__.py.debug_pkl", "extra/x"):
        assert verdict(archive(**{name: evil})) == "dangerous"
    assert verdict(archive(constants_pkl=p.pickled(p.stream(p.global_("os", "system"), p.tuple1())))) == "dangerous"


def test_a_program_that_is_a_pickle() -> None:
    assert verdict(archive(**{"code/__torch__.py": b"cos\nsystem\n(S'true'\ntR."})) != "clean"


OLD = {
    "m/model.json": b'{"protoVersion": "2", "mainModule": {"torchscriptArena": {"key": "code/M.py"}, "name": "M"}, '
    b'"tensors": [{"dims": ["2"], "dataType": "FLOAT", "data": {"key": "tensors/0"}, "device": "cpu"}]}',
    "m/tensors/0": b"\x81\1\2\3\4\5\6\xff",
    "m/version": b"1\n",
}


def test_programs_of_torch_1_0_to_1_2() -> None:
    code = {
        "m/code/M.py": b"op_version_set = 1\ndef forward(self,\n    x: Tensor) -> Tensor:\n  return torch.relu(x)\n"
    }
    assert verdict(zipped(OLD | code)) == "clean"
    assert verdict(zipped(OLD | {"m/code/M.py": b"def forward(x):\n  torch.save(x, 3)\n"})) == "dangerous"
    assert verdict(zipped(OLD | {"m/attributes.pkl": p.pickled(p.call("os", "system", p.text("true")))})) == "dangerous"
    assert verdict(zipped(OLD | {"m/tensors/1": b"\x81\1\2\3\xff"})) == "unreadable"


# -- with torch -----------------------------------------------------------------------------------------------------


def modules() -> dict[str, Any]:
    torch: Any = pytest.importorskip("torch")
    nn = torch.nn
    return {
        "linear": nn.Sequential(nn.Linear(4, 4), nn.GELU(), nn.LayerNorm(4)),
        "convolution": nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout()),
        "lstm": nn.LSTM(4, 4), "gru": nn.GRU(4, 4, bidirectional=True), "embedding": nn.Embedding(4, 4),
        "transformer": nn.Transformer(8, 2, 1, 1, 8), "attention": nn.MultiheadAttention(8, 2),
        "bag": nn.EmbeddingBag(4, 4), "up": nn.Upsample(scale_factor=2), "loss": nn.CrossEntropyLoss(),
    }  # fmt: skip


@pytest.mark.torch
@pytest.mark.parametrize(
    "name",
    ["linear", "convolution", "lstm", "gru", "embedding", "transformer", "attention", "bag", "up", "loss"],
)
def test_standard_modules_are_clean(name: str, tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = modules()[name].eval()
        scripted = torch.jit.script(module)
        torch.jit.save(scripted, tmp_path / "a.pt", _extra_files={"note.txt": "x"})
        torch.jit.save(torch.jit.freeze(scripted), tmp_path / "b.pt")
        scripted._save_for_lite_interpreter(str(tmp_path / "c.ptl"))
    for path in tmp_path.iterdir():
        found = scan(path)
        assert found.verdict == "clean", str(found)


@pytest.mark.torch
def test_torch_takes_what_we_call_harmful() -> None:
    """The spellings that scan looks for are real: torch's compiler makes aten::save of each. None is run."""
    torch: Any = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lines in (HARMFUL[0], HARMFUL[3], HARMFUL[4], HARMFUL[5], HARMFUL[7], HARMFUL[8], HARMFUL[9]):
            body = HEAD.replace("  weight : Tensor\n", "") + "".join(f"    {line}\n" for line in (*lines, "return x"))
            buffer = io.BytesIO()
            writer = torch._C.PyTorchFileWriter(buffer)
            root = p.pickled(
                p.stream(p.global_("__torch__", "Net"), p.empty_tuple(), p.newobj(), p.empty_dict(), p.build())
            )
            for name, data in (
                ("data.pkl", root),
                ("code/__torch__.py", body.encode()),
                ("constants.pkl", b"\x80\x02)."),
            ):
                writer.write_record(name, data, len(data))
            writer.write_end_of_file()
            module = torch.jit.load(io.BytesIO(buffer.getvalue()))
            assert "aten::save" in [node.kind() for node in module.graph.nodes()], lines
            assert "torchscript-operation" in rules(buffer.getvalue()) or verdict(buffer.getvalue()) == "dangerous"
