"""Attacks on whoever opens the container: what one reader finds in a file and another does not. Needs no torch."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib

from tests.attacks.attack import ECHO, EVIL, EVIL_TREE, FOUR_FLOATS, HARMLESS, PAYLOAD, Attack, Files, called, value
from tests.corpus import legacy_tar, torch_zip, zip_mutations
from tests.corpus import pickles as p
from tests.corpus.torch_zip import Style, pt

CONTAINERS: list[Attack] = []
# fmt: off
_GHSA = {
    "lfh_name_changed": "CVE-2025-1944 GHSA-7q5r-7gvp-wc82",
    "lfh_flag_encrypted": "CVE-2025-1945 GHSA-w8jq-xcqf-f792 PYSEC-2025-21",
    "lfh_flag_patched": "CVE-2025-1945", "lfh_flag_strong": "CVE-2025-1945", "lfh_flag_masked": "CVE-2025-1945",
    "cd_flag_encrypted": "CVE-2025-1945", "cd_flag_patched": "CVE-2025-1945", "cd_flag_strong": "CVE-2025-1945",
    "cd_lfh_flag_encrypted": "CVE-2025-1945", "cd_lfh_flag_patched": "CVE-2025-1945",
    "cd_lfh_flag_strong": "CVE-2025-1945",
    "cd_crc_wrong": "CVE-2025-10156 GHSA-mjqp-26hc-grxg", "cd_crc_wrong_pickle": "CVE-2025-10156",
    "cd_overlap_same_data": "CVE-2024-0450", "cd_overlap_inside": "CVE-2024-0450",
    "eocd_locator_offset": "CVE-2025-8291", "eocd_zip64_offset": "CVE-2025-8291",
    "twice": "CVE-2025-54368",
}
#: Records that are read whatever is in them.
_READ = ("constants.pkl", ".format_version", ".data/serialization_id")
#: Damage that a reader who does not look passes on as other weights.
_SILENT = ("data_bit_flip", "data_zeroed", "cd_crc_wrong", "lfh_extra_len_0", "dup_weights", "data_record_short",
           "data_record_long", "data_gap", "data_descriptor_wrong", "trailing_junk", "prefix_64", "twice",
           "cd_overlap_same_data", "name_second_root", "name_backslash_one", "dup_pickle_2", "dup_pickle_3",
           "dup_pickle_7", "dup_pickle_upper", "eocd_comment", "eocd_counts_minus_1", "lfh_name_changed")


def _add(
    name: str, source: str, what: str, made: bytes | Files, file: str, scan: str = "dangerous", load: str = "refused"
) -> None:
    CONTAINERS.append(Attack(name, source, what, lambda: made, file, scan, load))


def zip_of(members: Files, **style: object) -> bytes:
    """An ordinary zip, as zip tools write them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **style) as archive:  # type: ignore[arg-type]
        for name, body in members.items():
            archive.writestr(zipfile.ZipInfo(name), body)
    return buffer.getvalue()


def tar_of(members: Files, mode: str = "w:") -> bytes:
    """An ordinary tar."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, body in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def seven_zip(name: str, body: bytes) -> bytes:
    """A 7z archive of one stored file: header at the end, nothing packed."""
    folder = b"\x07\x0b\x01\x00\x01\x01\x00\x0c" + _seven_number(len(body)) + b"\x00"
    packed = b"\x06\x00\x01\x09" + _seven_number(len(body)) + b"\x00"
    names = name.encode("utf-16-le") + b"\0\0"
    files = b"\x05\x01\x11" + _seven_number(len(names) + 1) + b"\x00" + names + b"\x00"
    header = b"\x01\x04" + packed + folder + b"\x08\x00\x00" + files + b"\x00"
    start = struct.pack("<QQI", len(body), len(header), zlib.crc32(header))
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<I", zlib.crc32(start)) + start + body + header


def _seven_number(number: int) -> bytes:
    return b"\xff" + struct.pack("<Q", number)


def npy(body: bytes, descr: str = "'|O'", shape: str = "(1,)", version: bytes = b"\1\0") -> bytes:
    """A .npy file whose items are what a pickle says."""
    head = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    width = "<H" if version == b"\1\0" else "<I"
    head += b" " * (-(len(head) + 8 + struct.calcsize(width) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack(width, len(head)) + head + body


# -- torch's zip ------------------------------------------------------------------------------------------------------


def _mutated() -> None:
    evil = pt(EVIL_TREE, FOUR_FLOATS)
    for name, made in zip_mutations.mutations(evil).items():
        _add(f"zip {name}", f"1.6; {_GHSA.get(name, 'zip differential')}", f"a hostile archive, {name}", made,
             "model.pt", "not clean")
    honest = zip_mutations.mutations(pt(HARMLESS, FOUR_FLOATS))
    for name in _SILENT:
        _add(f"zip {name}, honest", "1.6", f"{name}: other weights, or a second reading, and no pickle is bad",
             honest[name], "model.pt", "not clean")


def _records() -> None:
    """Where in an archive a pickle may lie."""
    _add("pickle in deflate", "1.6", "torch reads packed records, and never writes them",
         pt(EVIL_TREE, FOUR_FLOATS, Style(deflated=None)), "model.pt")
    _add("CRC 0", "1.6; pytorch PR 137735", "checksums that were not computed", pt(EVIL_TREE, FOUR_FLOATS,
         Style(crc=False)), "model.pt")
    base = [("data.pkl", HARMLESS), ("byteorder", b"little"), ("data/0", bytes(16)), ("version", b"3\n")]
    for name in (
        "config.json", "extra/evil.pkl", "data/1", "note.txt", ".data/serialization_id", "payload.pickle", "a/b/c/d",
        "constants.pkl", "model.bin", "weights.png", "attributes.pkl", ".format_version", "no extension", "code/x.py",
    ):
        records = [record for record in base if record[0] != name]
        made = torch_zip.write([*records[:-1], (name, EVIL), records[-1]])
        _add(f"pickle in record {name}", "CVE-2025-1889 GHSA-769v-p64c-89pr",
             "torch's pickle_file= opens any record, whatever its name", made, "model.pt",
             load="refused" if name in _READ else "value")
        if name == "config.json":
            _add("pickle_file by partial", "CVE-2025-1889", "the second stage: a pickle that opens another record",
                 torch_zip.write([("data.pkl", p.pickled(p.call(
                     "functools", "partial", p.global_("torch.serialization", "load"), p.text("model.pt"),
                     ))), *records[1:-1], (name, EVIL), records[-1]]), "model.pt")
    _add("storage that is a pickle", "1.7", "the tensor's own bytes are a pickle",
         pt(HARMLESS, {"0": (EVIL + bytes(16))[: max(16, len(EVIL))]}), "model.pt", "not clean")
    _add("zip in a record", "1.7", "an archive in an archive", torch_zip.write([*base[:-1], ("inner", pt(EVIL)),
         base[-1]]), "model.pt", load="value")
    _add("zip in a zip in a zip", "1.7", "three deep", torch_zip.write([*base[:-1], (
        "inner", zip_of({"x": zip_of({"y.pt": pt(EVIL)})})), base[-1]]), "model.pt", load="value")
    _add("hidden in a gap", "1.6", "no directory names the pickle", zip_mutations.MUTATIONS["data_gap"](
        pt(HARMLESS, FOUR_FLOATS)), "model.pt", "not clean")


# -- TorchScript and legacy tar: the side doors of CVE-2025-32434 ---------------------------------------------------


def script(code: str, data: bytes | None = None, constants: bytes | None = None, **more: bytes) -> bytes:
    """A TorchScript archive as it is laid out, around one module without attributes."""
    module = p.pickled(p.global_("__torch__", "M"), p.empty_tuple(), p.newobj(), p.empty_dict(), p.build())
    return torch_zip.write([
        ("data.pkl", data or module), ("code/__torch__.py", code.encode()),
        ("constants.pkl", constants or p.pickled(p.empty_tuple())),
        *((name.replace("__", "/"), body) for name, body in more.items()), ("version", b"3\n"),
    ], Style("model"))


_HONEST_CODE = """class M(Module):
  __parameters__ = []
  __buffers__ = []
  def forward(self: __torch__.M, x: Tensor) -> Tensor:
    return x
"""


def _side_doors() -> None:
    known = "CVE-2025-32434 GHSA-53q9-r3pm-6pq6"
    _add("TorchScript data.pkl", known, "the module's pickle calls something", script(_HONEST_CODE, EVIL), "model.pt")
    _add("TorchScript constants.pkl", known, "the constants' pickle does",
         script(_HONEST_CODE, constants=p.pickled(PAYLOAD, p.tuple1())), "model.pt")
    _add("TorchScript debug_pkl", known, "the pickle of line numbers does",
         torch_zip.write([*torch_zip.read(script(_HONEST_CODE))[1], ("code/__torch__.py.debug_pkl", EVIL)],
                         Style("model")), "model.pt", load="refused")
    _add("TorchScript extra file", known, "a file that the author put beside it",
         torch_zip.write([*torch_zip.read(script(_HONEST_CODE))[1], ("extra/evil", EVIL)], Style("model")), "model.pt",
         load="refused")
    for label, line in {
        "torch.save": 'torch.save(x, "no-such-file")', "from_file": 'torch.from_file("no-such-file", False, 4)',
        "ops.aten.save": 'ops.aten.save(x, "no-such-file")',
    }.items():
        code = _HONEST_CODE.replace("    return x\n", f"    y = {line}\n    return x\n")
        _add(f"TorchScript {label}", known, f"the program reads or writes files with {label}", script(code),
             "model.pt", "not clean")
    setstate = _HONEST_CODE + "  def __setstate__(self: __torch__.M, state: int) -> None:\n    torch.save(state, 'x')\n"
    _add("TorchScript __setstate__", known, "a method that runs when the file is loaded", script(setstate), "model.pt",
         "not clean")
    _add("_rebuild_from_type_v2 without GLOBAL", "pytorch PR 169570", "the C++ unpickler reads beyond its stack",
         script(_HONEST_CODE, p.pickled(p.global_("torch._tensor", "_rebuild_from_type_v2"), p.empty_tuple(),
                                        p.reduce_())), "model.pt", "not clean")
    for member in ("sys_info", "pickle", "tensors", "storages"):
        _add(f"legacy tar {member}", known, f"the pickle {member} of a file of torch 0.1", tar_of({
            name: (EVIL if name == member else body) for name, body in _tar_members().items()}), "model.pt")
    _add("legacy tar storages, later", known, "the second pickle of storages",
         tar_of({**_tar_members(), "storages": p.pickled(p.number(1)) + EVIL}), "model.pt")
    _add("legacy tar class", known, "a bad name where a storage class stands", tar_of({**_tar_members(),
         "storages": p.pickled(p.number(1)) + p.pickled(p.mark(), p.long1(2001), p.text("cpu"),
                                                        p.global_("os", "system"), p.tuple_())}), "model.pt")
    _add("legacy tar ndim", "1.2", "unchecked numbers of dimensions", tar_of({**_tar_members(),
         "tensors": p.pickled(p.number(1)) + p.pickled(p.mark(), p.long1(1), p.long1(2001),
         p.global_("torch", "FloatTensor"), p.tuple_()) + struct.pack("<i4x", 2**31 - 1)}), "model.pt", "not clean")
    for label, kind, target in (
        ("symbolic link", tarfile.SYMTYPE, "/etc/passwd"), ("hard link", tarfile.LNKTYPE, "../../etc/passwd"),
        ("character device", tarfile.CHRTYPE, ""), ("block device", tarfile.BLKTYPE, ""),
        ("FIFO", tarfile.FIFOTYPE, ""), ("directory", tarfile.DIRTYPE, ""),
    ):
        _add(f"legacy tar {label}", "1.2", f"storages is a {label}", _tar_with(kind, target), "model.pt", "not clean")
    for name in ("../../evil", "/etc/evil", "storages"):
        _add(f"tar name {name}", "1.2", f"a second member called {name}", _tar_twice(name), "model.pt", "not clean")


def _tar_members() -> Files:
    with tarfile.open(fileobj=io.BytesIO(legacy_tar.EXAMPLES["tar"])) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def _tar_with(kind: bytes, target: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as tar:
        for name, body in _tar_members().items():
            info = tarfile.TarInfo(name)
            if name == "storages":
                info.type, info.linkname = kind, target
            else:
                info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def _tar_twice(name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:") as tar:
        for each, body in [*_tar_members().items(), (name, EVIL)]:
            info = tarfile.TarInfo(each)
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


# -- other containers -------------------------------------------------------------------------------------------------


def _wrapped() -> None:
    for file, made in {
        "model.pkl.gz": gzip.compress(EVIL), "model.pt.gz": gzip.compress(pt(EVIL_TREE, FOUR_FLOATS)),
        "model.tar.gz": tar_of({"model.pt": pt(EVIL)}, "w:gz"), "model.tar": tar_of({"a/b/model.bin": EVIL}),
        "model.zip": zip_of({"model.pt": pt(EVIL)}), "twice.gz": gzip.compress(gzip.compress(EVIL)),
        "members.gz": gzip.compress(ECHO) + gzip.compress(EVIL),
        "deflated.zip": zip_of({"a.pkl": EVIL}, compression=zipfile.ZIP_DEFLATED),
        "tar_in.zip": zip_of({"a.tar": tar_of({"x": EVIL})}), "gz_in.zip": zip_of({"a": gzip.compress(EVIL)}),
        "zip_in.tar": tar_of({"a": zip_of({"b": EVIL})}),
        "any_name.zip": zip_of({"readme.md": EVIL}), "folder.zip": zip_of({"a/": b"", "a/b": EVIL}),
        "numpy.npy": npy(EVIL), "numpy.npz": zip_of({"a.npy": npy(EVIL)}),
        "numpy2.npy": npy(EVIL, version=b"\2\0"), "fields.npy": npy(EVIL, "[('a', '|O')]"),
        "dns_exfiltration.npy": npy(p.pickled(called("ssl", "get_server_certificate", ("no-such-host", 443)))),
        "packed.npz": zip_of({"a.npy": npy(EVIL)}, compression=zipfile.ZIP_DEFLATED),
        "npy_in_pt.pt": torch_zip.write([("data.pkl", HARMLESS), ("extra/a.npy", npy(EVIL)), ("data/0", bytes(16)),
                                         ("version", b"3\n")]),
    }.items():
        _add(f"wrapped {file}", "1.5 modelscan 263; 1.7", f"the pickle is inside of {file}", made, file,
             load="value" if file == "npy_in_pt.pt" else "refused")
    for file, made in {
        "model.bz2": bz2.compress(EVIL), "model.xz": lzma.compress(EVIL), "model.lzma": lzma.compress(
            EVIL, lzma.FORMAT_ALONE), "model.z": zlib.compress(EVIL), "model.tar.bz2": tar_of({"x": EVIL}, "w:bz2"),
        "model.tar.xz": tar_of({"x": EVIL}, "w:xz"), "zstd.pt": b"\x28\xb5\x2f\xfd" + EVIL,
        "lz4.pt": b"\x04\x22\x4d\x18" + EVIL, "bzip.zip": zip_of({"a.pkl": EVIL}, compression=zipfile.ZIP_BZIP2),
        "model.7z": seven_zip("model.pkl", EVIL), "model7z.pt": seven_zip("model.pkl", EVIL),
        "broken7z.pt": seven_zip("data.pkl", p.stream(p.proto(2), PAYLOAD, b"\xff" * 8)),
        "half7z.pt": seven_zip("model.pkl", EVIL)[:-9],
        "rar.pt": b"Rar!\x1a\x07\x01\x00" + EVIL, "cab.pt": b"MSCF" + EVIL, "hdf5.pt": b"\x89HDF\r\n\x1a\n" + EVIL,
    }.items():
        _add(f"packed {file}", "nullifAI", f"the pickle is inside of {file}, of which torch knows nothing", made, file,
             "not clean")
    deep = pt(EVIL)
    for _ in range(30):
        deep = zip_of({"next": deep})
    _add("thirty zips deep", "1.7", "a nest that nobody follows to the end", deep, "model.zip", "not clean")
    _add("a wide zip", "1.8", "the last of 3,000 members",
         zip_of({f"m{n}": b"x" for n in range(3_000)} | {"evil": EVIL}), "model.zip")


def _headers() -> None:
    """The header of a .npy is a Python literal, which numpy gives to Python's own parser."""
    for label, head in {
        "minus signs": b"-" * 9_000 + b"1", "open brackets": b"(" * 150 + b"1", "lists": b"[" * 199 + b"]" * 199,
        "subscripts": b"a" + b"[1" * 3_000, "a call": b"__import__('os').getcwd()", "nots": b"not " * 2_000 + b"1",
        "Python 2": b"{'descr': '<f4', 'fortran_order': False, 'shape': (1L,)}", "sums": b"1" + b"+1" * 4_900,
        "a negative shape": b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "2**66 items": b"{'descr': '<f4', 'fortran_order': False, 'shape': (8589934592, 8589934592)}",
        "many digits": b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 5_000 + b",)}",
        "many fields": b"{'descr': '" + b"f4," * 3_000 + b"', 'fortran_order': False, 'shape': (1,)}",
        "objects of no size": b"{'descr': '|O', 'fortran_order': False, 'shape': (0,)}",
    }.items():
        for version, width in ((b"\1\0", "<H"), (b"\2\0", "<I"), (b"\3\0", "<I")):
            made = b"\x93NUMPY" + version + struct.pack(width, len(head) + 1) + head + b"\n" + EVIL
            _add(f"npy header {version[0]}: {label}", "section 7", f"a header of {label}", made, "array.npy",
                 "not clean")


def _extensions() -> None:
    for file in ("model.bin", "model.pt", "model.ckpt", "model.txt", "model.json", "model.safetensors", "model.png",
                 "model.onnx", "model.gguf", "model", "model.h5", "model.joblib", "model.npy", "model.csv", ".hidden",
                 "optimizer.dat", "scheduler", "model.zip", "model.py", "readme.md"):
        _add(f"pickle named {file}", "CVE-2025-1889; CVE-2025-10155", "a bare pickle under any name", EVIL, file)
        _add(f"archive named {file}", "CVE-2025-1889", "a torch archive under any name", pt(EVIL_TREE, FOUR_FLOATS),
             file)


def _polyglots() -> None:
    archive, nothing = pt(EVIL_TREE, FOUR_FLOATS), pt(HARMLESS, FOUR_FLOATS)
    head = b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}'
    safe = struct.pack("<Q", len(head)) + head + bytes(16)
    for label, made in {
        "pickle, then zip": EVIL + nothing, "clean pickle, then zip": ECHO + archive,
        "zip, then pickle": nothing + EVIL, "zip, then zip": nothing + archive,
        "GGUF head, zip tail": b"GGUF" + struct.pack("<IQQ", 3, 0, 0) + archive,
        "PNG head, zip tail": b"\x89PNG\r\n\x1a\n" + bytes(32) + archive, "PDF head, zip tail": b"%PDF-1.7\n" + archive,
        "ELF head, zip tail": b"\x7fELF" + bytes(60) + archive, "script head, zip tail": b"#!/bin/sh\nexit\n" + archive,
        "safetensors head, zip tail": safe + archive, "safetensors head, pickle tail": safe + EVIL,
        "tar head, zip tail": tar_of({"a": b"x"}) + archive, "gzip head, zip tail": gzip.compress(b"x") + archive,
        "gzip head, pickle tail": gzip.compress(ECHO) + EVIL, "npy head, zip tail": npy(ECHO) + archive,
        "JSON head, zip tail": b'{"a": 1}\n' + archive, "tar head, pickle tail": tar_of({"a": b"x"}) + EVIL,
        "pickle in a zip's comment": nothing[:-2] + struct.pack("<H", len(EVIL)) + EVIL,
        "MZ head": b"MZ" + bytes(62) + archive, "BMP of a pickle": b"BM" + bytes(52) + EVIL,
        "HTML around a pickle": b"<html><!--" + EVIL + b"--></html>",
    }.items():
        _add(f"polyglot {label}", "1.6 fickling polyglot", label, made, "model.pt", "not clean")


def _collections() -> None:
    """Containers of frameworks, and folders of several files."""
    package = {
        "p/.data/extern_modules": b"numpy\n", "p/.data/version": b"6\n", "p/model/model.pkl": EVIL,
        "p/code/__init__.py": b"", "p/version": b"3\n",
    }
    _add("torch.package", "1.2", "a pickle in a package of code", zip_of(package), "model.pt")
    _add("torch.package code", "1.2", "a package that is code", zip_of(
        {**package, "p/model/model.pkl": ECHO, "p/code/__init__.py": b"import os\nos.getcwd()\n"}), "model.pt",
        "not clean")
    manifest = b'{"createdOn":"x","model":{"modelName":"m","handler":"handler.py","serializedFile":"m.pt"}}'
    mar = {"MAR-INF/MANIFEST.json": manifest, "handler.py": b"import os\n", "m.pt": pt(EVIL)}
    _add("torchserve .mar", "1.2", "weights in a model archive", zip_of(mar), "model.mar")
    _add("torchserve .mar handler", "1.2", "a program in a model archive", zip_of({**mar, "m.pt": pt(HARMLESS,
         FOUR_FLOATS)}), "model.mar", "not clean")
    exported = {
        "model/archive_format": b"pt2", "model/archive_version": b"0", "model/byteorder": b"little",
        "model/models/model.json": b"{}", "model/data/sample_inputs/model.pt": pt(EVIL),
        "model/data/weights/weight_0": bytes(16), "model/version": b"3\n",
    }
    _add(".pt2 sample inputs", "pytorch PR 186073", "sample inputs that fall back to an unsafe load",
         zip_of(exported), "model.pt2")
    _add(".pt2 constants", "pytorch PR 186073", "constants that are pickles", zip_of({**exported,
         "model/data/sample_inputs/model.pt": b"", "model/data/constants/opaque_0": EVIL}), "model.pt2")
    _add(".pt2 compiled library", "1.2", "a program for the machine", zip_of({**exported,
         "model/data/sample_inputs/model.pt": b"", "model/data/aotinductor/model/x.so": b"\x7fELF" + bytes(60)}),
         "model.pt2", "not clean")
    _add("distributed .metadata", "1.5", "the hidden pickle of a distributed checkpoint",
         {".metadata": EVIL, "__0_0.distcp": pt(HARMLESS, FOUR_FLOATS)}, "checkpoint")
    _add("training_args.bin", "1.5", "a pickle beside honest weights",
         {"pytorch_model.bin": pt(HARMLESS, FOUR_FLOATS), "training_args.bin": pt(p.pickled(PAYLOAD)),
          "config.json": b"{}"}, "hub", load="refused")
    _add("a shard among shards", "1.5", "one of several files", {
        "pytorch_model-00001-of-00002.bin": pt(HARMLESS, FOUR_FLOATS),
        "pytorch_model-00002-of-00002.bin": pt(EVIL_TREE, FOUR_FLOATS),
        "pytorch_model.bin.index.json": b'{"metadata":{},"weight_map":{"weight":"pytorch_model-00002-of-00002.bin"}}',
    }, "shards")
    _add("a hidden file in a folder", "1.5", "a name that begins with a dot", {
        "pytorch_model.bin": pt(HARMLESS, FOUR_FLOATS), ".cache/x": EVIL}, "hidden", load="refused")
    _add("index that leaves the folder", "1.2", "an index that names files elsewhere", {
        "pytorch_model.bin.index.json": b'{"metadata":{},"weight_map":{"weight":"../../etc/passwd"}}',
    }, "leaving", "not clean")
    _add("a big name", "1.6", "a record whose name is long", zip_of({"x/" * 3_000 + "a": EVIL}), "model.pt")
    _add("a hostile root", "section 2", "escapes in the archive's own folder", pt(EVIL, None, Style(
         "\x1b[2J\u202eevil")), "model.pt", "not clean")
    _add("value in an object array", "CVE-2019-6446", "a .npy in an archive's pickle",
         pt(p.pickled(value({"array": npy(EVIL)}))), "model.pt", "not clean", "value")


_mutated()
_records()
_side_doors()
_wrapped()
_headers()
_extensions()
_polyglots()
_collections()
