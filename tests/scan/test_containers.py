"""Containers besides torch's zip: each honest one accounted for to the last byte, each attack in it found."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dotpt.scan.scan import scan
from tests.corpus import pickles as p
from tests.corpus.torch_zip import read, write
from tests.scan.archives import EVIL, PLAIN, rules, torch_file, verdict, zipped

OTHER = Path("tests/corpus/fixtures/other")
PT2 = (Path(__file__).parent / "fixtures" / "net.pt2").read_bytes()
ELF = b"\x7fELF" + bytes(range(250))


def changed(data: bytes, **records: bytes | None) -> bytes:
    """An archive of torch with records put in, replaced (by the end of their name), or taken out."""
    _root, parts = read(data)
    held = dict(parts)
    for end, body in records.items():
        name = next((name for name in held if name.endswith(end)), end)
        if body is None:
            held.pop(name)
        else:
            held[name] = body
    return write(list(held.items()))


def replaced(data: bytes, name: str, body: bytes) -> bytes:
    """One record replaced, or added."""
    return changed(data, **{name: body})


# -- torch.export -------------------------------------------------------------------------------------------------


def test_exported_programs_are_clean() -> None:
    for source in (PT2, OTHER / "exported.pt2"):
        found = scan(source)
        assert found.verdict == "clean", str(found)
        assert "pt2" in found.kind


def table(data: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    config = json.loads(dict(read(data)[1])["data/weights/model_weights_config.json"])
    for row in config["config"].values():
        change(row)
    return replaced(data, "data/weights/model_weights_config.json", json.dumps(config).encode())


def test_a_weight_counts_as_numbers_only_if_the_table_says_so() -> None:
    assert verdict(replaced(PT2, "data/weights/weight_99", b"\x81\xff" * 20)) == "unreadable"
    evil = replaced(PT2, "data/weights/weight_0", EVIL.ljust(64, b"\0"))
    assert verdict(evil) == "clean"  # numbers: nobody unpickles them
    assert verdict(table(evil, lambda row: row.update(use_pickle=True))) == "dangerous"
    second = replaced(evil, "data/weights/b_weights_config.json",
                      b'{"config": {"x": {"path_name": "weight_0", "use_pickle": true}}}')  # fmt: skip
    assert verdict(second) == "dangerous"
    assert "bad-tensor" in rules(table(PT2, lambda row: row["tensor_meta"].update(sizes=[{"as_int": 999}],
                                                                                 strides=[{"as_int": 1}])))  # fmt: skip
    assert verdict(replaced(PT2, "data/weights/model_weights_config.json", b"{")) != "clean"


def test_pickles_and_programs_in_an_exported_program() -> None:
    assert verdict(replaced(PT2, "data/sample_inputs/model.pt", torch_file(EVIL))) == "dangerous"
    assert verdict(replaced(PT2, "data/constants/opaque_obj_0", EVIL)) == "dangerous"
    assert verdict(replaced(PT2, "extra/x", EVIL)) == "dangerous"
    for name, body in (("m.so", ELF), ("m.wrapper.cpp", b"int main() {}\n"), ("k.cubin", ELF)):
        found = scan(replaced(PT2, f"data/aotinductor/model/{name}", body))
        assert found.verdict == "suspicious"
        assert [one.rule for one in found.findings] == ["native-code"]
    assert verdict(replaced(PT2, "data/aotinductor/model/x.so", EVIL)) == "dangerous"


def test_exported_programs_up_to_torch_2_7() -> None:
    parts = {"a/serialized_exported_program.json": b"{}", "a/version": b"8.3", "a/extra_files/x": b"hello"}
    torch_parts = {f"a/serialized_{name}.pt": torch_file() for name in ("state_dict", "constants", "example_inputs")}
    assert verdict(zipped(parts | torch_parts)) == "clean"
    assert verdict(zipped(parts | torch_parts | {"a/serialized_constants.pt": torch_file(EVIL)})) == "dangerous"


@pytest.mark.torch
def test_several_programs_in_one_file() -> None:
    torch: Any = pytest.importorskip("torch")
    from torch.export.pt2_archive._package import package_pt2

    program = torch.export.export(torch.nn.Linear(2, 2), (torch.ones(1, 2),))
    buffer = io.BytesIO()
    package_pt2(buffer, exported_programs={"a": program, "b": program}, extra_files={"x.json": "{}"})
    found = scan(buffer.getvalue())
    assert found.verdict == "clean", str(found)


# -- torch.package ------------------------------------------------------------------------------------------------


def test_packages_say_which_code_they_hold() -> None:
    found = scan(OTHER / "packaged.pt")
    assert found.verdict == "suspicious"
    assert found.complete
    assert [finding.rule for finding in found.findings] == ["python-code"]
    many = zipped({"m/.data/extern_modules": b"torch\n", "m/.data/python_version": b"3.11.7"}
                  | {f"m/pkg/f{number}.py": b"x = 1\n" for number in range(50)})  # fmt: skip
    codes = [finding for finding in scan(many).findings if finding.rule == "python-code"]
    assert len(codes) == 1
    assert "47 more" in codes[0].text


def package(pickle: bytes, **records: bytes) -> bytes:
    parts = {".data/extern_modules": b"torch\n", ".data/version": b"6\n", "model/x.pkl": pickle, **records}
    return write(list(parts.items()))


def test_pickles_of_packages() -> None:
    def reduced(module: str, name: str) -> bytes:
        arguments = p.stream(p.text("0"), p.tuple1())
        pid = (p.mark(), p.text("reduce_package"), p.binint(1), p.global_(module, name), arguments, p.tuple_())
        return p.pickled(p.stream(*pid, p.binpersid()))

    assert verdict(package(PLAIN)) == "clean"
    assert verdict(package(EVIL)) == "dangerous"
    assert verdict(package(PLAIN + EVIL)) == "dangerous"
    assert verdict(package(reduced("torch.jit._script", "unpackage_script_module"))) == "clean"
    assert verdict(package(reduced("os", "system"))) == "dangerous"
    assert verdict(package(reduced("stranger", "build"))) == "suspicious"
    called = p.pickled(p.call("torch.jit._script", "unpackage_script_module", p.text("0")))
    assert verdict(package(called)) != "clean"
    assert verdict(package(PLAIN, **{".data/0.storage": b"\x81\xff\3\4"})) == "unreadable"
    assert verdict(package(PLAIN, **{"code/x.py": EVIL})) == "dangerous"


@pytest.mark.torch
def test_packages_of_torch(tmp_path: Path) -> None:
    torch: Any = pytest.importorskip("torch")
    from torch.package import PackageExporter, package_exporter

    warnings.simplefilter("ignore")  # torch on its own storages; pytest sets this back

    package_exporter._gate_torchscript_serialization = False
    with PackageExporter(str(tmp_path / "a.pt")) as out:
        out.extern("torch.**")
        out.save_pickle("model", "a.pkl", {"w": torch.ones(3), "m": torch.nn.Linear(2, 2)})
        out.save_pickle("model", "s.pkl", torch.jit.script(torch.nn.Linear(2, 2)))
        out.save_text("r", "t.txt", "hi")
    found = scan(tmp_path / "a.pt")
    assert found.verdict == "clean", str(found)


# -- distributed checkpoints --------------------------------------------------------------------------------------


def test_distributed_checkpoints_are_clean() -> None:
    for path in (OTHER / "distributed").iterdir():
        assert verdict(path) == "clean", path.name


def test_parts_of_a_distributed_checkpoint(tmp_path: Path) -> None:
    def written(data: bytes, name: str = "__0_0.distcp") -> Path:
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    nested = torch_file(p.pickled(p.binbytes(b"xx" + b"PK\5\6" + bytes(18))))
    parts = [torch_file(), nested, torch_file()]
    found = scan(written(b"".join(parts)))
    assert found.verdict == "clean", str(found)
    assert found.kind == "a part of a distributed checkpoint"
    for place in range(3):
        evil = [*parts[:place], torch_file(EVIL), *parts[place + 1 :]]
        assert verdict(written(b"".join(evil))) == "dangerous"
    assert verdict(written(b"".join(parts) + b"x")) != "clean"
    assert verdict(written(parts[0] + b"x" + parts[2])) != "clean"
    assert "several-archives" in rules(written(b"".join(parts), "model.pt"))


# -- .mar, .nemo, tar, what is compressed -------------------------------------------------------------------------


def test_archives_of_servers() -> None:
    parts = {"MAR-INF/MANIFEST.json": b"{}", "handler.py": b"import os\n", "m.pt": torch_file()}
    found = scan(zipped(parts, 8))
    assert (found.verdict, found.kind) == ("suspicious", "a TorchServe model archive")
    assert [finding.rule for finding in found.findings] == ["python-code"]
    assert verdict(zipped(parts | {"m.pt": torch_file(EVIL)}, 8)) == "dangerous"
    assert verdict(zipped(parts | {"handler.py": b"cos\nsystem\n(S'true'\ntR."}, 8)) == "dangerous"
    assert "native-code" in rules(zipped(parts | {"lib.so": ELF}, 8))


def tarred(members: dict[str, bytes], mode: str = "w", form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_tar_archives(mode: str, form: int) -> None:
    honest = {"./model_config.yaml": b"a: 1\n", "./model_weights.ckpt": torch_file(), "d/" + "n" * 90: b"text"}
    assert verdict(tarred(honest, mode, form)) == "clean"
    assert verdict(tarred(honest | {"x.yaml": EVIL}, mode, form)) == "dangerous"


def test_what_else_is_in_a_tar() -> None:
    data = tarred({"a.txt": b"hello"})
    assert verdict(data + EVIL.ljust(512, b"\0")) == "dangerous"
    assert verdict(data + tarred({"b": EVIL})) == "dangerous"
    assert "duplicate-record" in rules(tarred({"a": b"x"})[:1024] + tarred({"a": b"y"}))
    assert "bad-record-name" in rules(tarred({"../a": b"x"}))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, kind in (("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("d", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert rules(buffer.getvalue()) == {"unexpected-record"}


@pytest.mark.parametrize("packer", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files(packer: Callable[[bytes], bytes]) -> None:
    assert verdict(packer(torch_file())) == "clean"
    assert verdict(packer(torch_file(EVIL))) == "dangerous"
    assert verdict(packer(packer(EVIL))) == "dangerous"
    assert verdict(packer(torch_file())[:-5]) == "unreadable"
    assert verdict(packer(b"hello" * 100) + EVIL) == "dangerous" or packer is gzip.compress
    half = torch_file(EVIL)
    assert verdict(packer(half[:90]) + packer(half[90:])) == "dangerous"  # readers take several streams for one


@pytest.mark.parametrize(
    "head",
    [b"7z\xbc\xaf\x27\x1c\0\4", b"Rar!\x1a\x07\x01\0", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"\x89HDF\r\n\x1a\n"],
)
def test_what_dotpt_does_not_look_into_says_so(head: bytes) -> None:
    for data in (head + bytes(range(200)), zipped({"model.weights.h5": head + bytes(range(200))})):
        found = scan(data)
        assert found.verdict == "unreadable"
        assert not found.complete
        assert [finding.rule for finding in found.findings] == ["not-supported"]
    assert verdict(head + EVIL) == "dangerous"


# -- numpy --------------------------------------------------------------------------------------------------------


def npy(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npy_of(version: tuple[int, int], array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=version)
    return buffer.getvalue()


HONEST = (
    np.arange(5.0), np.asfortranarray(np.ones((3, 4))), np.array(3), np.zeros(0),
    np.zeros(3, [("a", "f4"), ("b", "U3")]),
    np.arange(3, dtype=">i4"), np.array([1, "a", None], object),
)  # fmt: skip


@pytest.mark.parametrize("number", range(len(HONEST)))
def test_arrays(number: int) -> None:
    data = npy(HONEST[number], allow_pickle=True)
    assert verdict(data) == "clean"
    assert verdict(data + EVIL) == "dangerous"
    assert verdict(data + b"\x81\xff") != "clean"
    assert verdict(data[:-1]) != "clean"


def test_arrays_in_every_version_and_several_in_one_file() -> None:
    for version in ((1, 0), (2, 0), (3, 0)):
        assert verdict(npy_of(version, np.arange(3))) == "clean"
    assert verdict(npy(np.ones(3)) + npy(np.zeros(2))) == "clean"
    objects = npy(np.array([None], object), allow_pickle=True)
    assert verdict(objects[:128] + EVIL) == "dangerous"
    assert verdict(npy(np.ones(3)) + objects[:128] + EVIL) == "dangerous"
    assert verdict(b"\x93NUMPY\1\0\x10\0{'descr': __im") == "unreadable"


def test_archives_of_arrays() -> None:
    for write_to in (np.savez, np.savez_compressed):
        buffer = io.BytesIO()
        write_to(buffer, a=np.zeros(2_000_000), b=np.array([None, 1], object))
        assert verdict(buffer.getvalue()) == "clean", write_to
    objects = npy(np.array([None], object), allow_pickle=True)[:128] + EVIL
    for method in (0, 8):
        assert verdict(zipped({"a.npy": npy(np.ones(3)), "b.npy": objects}, method)) == "dangerous"


# -- bombs -----------------------------------------------------------------------------------------------------------


def bombs() -> dict[str, bytes]:
    """A few kilobytes each that unpack to hundreds of megabytes, or are more members than anyone looks at."""
    zeros = bytes(32 << 20)
    nested = zipped({"z": zeros}, 8)
    for _ in range(4):
        nested = zipped({str(number): nested for number in range(16)}, 8)
    return {
        "gzip": gzip.compress(zeros * 4), "bzip2": bz2.compress(zeros * 4), "xz": lzma.compress(zeros * 4),
        "zip of zips": nested, "zip": zipped({str(number): zeros for number in range(8)}, 8),
        "tar": tarred({str(number): zeros for number in range(4)}, "w:gz"),
        "members": zipped({f"a/{number}": b"x" for number in range(20_100)}),
        "archives": zipped({"a": b"x"}) * 3_000,
        "headers": (b"PK\3\4\x14\0\x08\0" + bytes(18) + b"\1\0\0\0a") * 5_000,
    }  # fmt: skip


def test_bombs_are_said_to_be_unread() -> None:
    for name, data in bombs().items():
        found = scan(data)
        assert found.verdict == "unreadable", name
        assert found.seconds < 20, name  # of a machine that is busy: it takes less than one
