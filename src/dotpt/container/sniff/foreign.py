"""What crosses this boundary: a head and a name in; formats that are not PyTorch's, by their magic, out.

One table. Formats without a magic (ONNX and other protobufs) follow below, each told by its first fields.
"""

from __future__ import annotations

import re

from dotpt.container.sniff.result import Sniffed, quote

_UNPACK = "unpack it first"
_FIND = "find the .pt file it was made from: this one is a program for small devices"
_OTHER = "open it with the library that wrote it"

# offset, magic, kind, label, hint; the first match wins
MAGICS: tuple[tuple[int, bytes, str, str, str | None], ...] = (
    (0, b"PYTORCH1", "pytorch-preview", "a file of a PyTorch 1.0 preview", "save it again with a released PyTorch"),
    (0, b"\x1f\x8b", "gzip", "a gzip-compressed file", "unpack it first: gzip -dc FILE > model.pt"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "rar", "a RAR archive", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "zstd", "a Zstandard-compressed file", "unpack it first: zstd -d FILE -o model.pt"),
    (0, b"\xfd7zXZ\x00", "xz", "an xz-compressed file", "unpack it first: xz -dc FILE > model.pt"),
    (0, b"\x04\x22\x4d\x18", "lz4", "an LZ4-compressed file", "unpack it first: lz4 -dc FILE > model.pt"),
    (0, b"PK\x05\x06", "zip-archive", "an empty zip archive", None),
    (0, b"PK\x07\x08", "zip-archive", "one part of a zip archive in parts", _UNPACK),
    (0, b"\x93NUMPY", "npy", "a NumPy array", "open it with numpy.load"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5", "an HDF5 file, as Keras writes", "open it with h5py or keras"),
    (0, b"GGUF", "gguf", "a GGUF model of llama.cpp", "open it with the gguf package"),
    (0, b"lmgg", "ggml", "a GGML model of llama.cpp or whisper.cpp", _OTHER),
    (0, b"fmgg", "ggml", "a GGML model of llama.cpp", _OTHER),
    (0, b"tjgg", "ggml", "a GGML model of llama.cpp", _OTHER),
    (4, b"PTMF", "flatbuffer-mobile", "a PyTorch Mobile flatbuffer", _FIND),
    (4, b"TFL3", "tflite", "a TensorFlow Lite model", _OTHER),
    (4, b"ET12", "executorch", "an ExecuTorch program", _FIND),
    (0, b"ftrt", "tensorrt", "a TensorRT engine", _OTHER),
    (0, b"ptrt", "tensorrt", "a TensorRT engine", _OTHER),
    (0, b"\4\0\0\0\1\0\0\0\3\0\0\0V 1", "torch7", "a file of Lua Torch7", "read it with the torchfile package"),
    (0, b"MATLAB 5.0 MAT-file", "mat", "a MATLAB file", "open it with scipy.io.loadmat"),
    (0, b"PAR1", "parquet", "a Parquet table", _OTHER),
    (0, b"ARROW1", "arrow", "an Arrow table", _OTHER),
    (0, b"SQLite format 3\x00", "sqlite", "an SQLite database", None),
    (0, b"%PDF-", "pdf", "a PDF document", None),
    (0, b"\x89PNG\r\n\x1a\n", "image", "a PNG image", None),
    (0, b"\xff\xd8\xff", "image", "a JPEG image", None),
    (0, b"GIF8", "image", "a GIF image", None),
    (8, b"WEBP", "image", "a WebP image", None),
    (0, b"II*\x00", "image", "a TIFF image", None),
    (0, b"MM\x00*", "image", "a TIFF image", None),
    (0, b"\x7fELF", "executable", "a program or library (ELF)", None),
    (0, b"\xfe\xed\xfa\xce", "executable", "a program (Mach-O)", None),
    (0, b"\xfe\xed\xfa\xcf", "executable", "a program (Mach-O)", None),
    (0, b"\xce\xfa\xed\xfe", "executable", "a program (Mach-O)", None),
    (0, b"\xcf\xfa\xed\xfe", "executable", "a program (Mach-O)", None),
    (0, b"\xca\xfe\xba\xbe", "executable", "a program (Mach-O or Java)", None),
)  # fmt: skip

_PARTIAL = (".part", ".crdownload", ".aria2", ".incomplete", ".partial", ".download", ".opdownload", ".!qb", ".!ut")
_TF_CHECKPOINT = re.compile(r".*(?:\.data-\d{5}-of-\d{5}|\.ckpt[^/]*\.(?:index|meta)|variables\.index)$")


def by_magic(head: bytes) -> Sniffed | None:
    """The foreign format whose magic ``head`` carries."""
    for offset, magic, kind, label, hint in MAGICS:
        if head.startswith(magic, offset):
            return Sniffed(kind, label, hint=hint)
    if re.match(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", head):
        return Sniffed("bzip2", "a bzip2-compressed file", hint="unpack it first: bzip2 -dc FILE > model.pt")
    # two letters are too little: byte 60 of a Windows program says where its real header lies
    if head[:2] == b"MZ" and head.startswith(b"PE\0\0", int.from_bytes(head[60:64], "little")):
        return Sniffed("executable", "a program (Windows)")
    return None


def by_structure(head: bytes, size: int, name: str) -> Sniffed | None:
    """Foreign formats without a magic, by their first fields."""
    if b"brain.Event:" in head[:64]:
        return Sniffed("tf-event", "a TensorBoard event file", hint="open it with tensorboard")
    if name.endswith("saved_model.pb") and head.startswith(b"\x08\x01\x12"):
        return Sniffed("tensorflow-savedmodel", "a TensorFlow SavedModel", hint="open its folder with TensorFlow")
    if name.endswith(".weights") and re.match(rb"\0{4}[\1\2]\0{3}[\0-\x09]\0{3}", head):
        return Sniffed("darknet", "Darknet weights", hint="convert them with the project they come from")
    onnx = _onnx(head, size)
    if onnx is not None:
        return Sniffed("onnx", "an ONNX model", details=onnx, hint="open it with the onnx or onnxruntime package")
    if head.count(b"\xef\xbf\xbd") >= 8:
        return Sniffed(
            "mangled",
            "a binary file that was decoded as text and saved again; its bytes are lost",
            hint="copy it again, as binary",
        )
    return None


def by_name(name: str) -> Sniffed | None:
    """What the name alone gives away."""
    if name.lower().endswith(_PARTIAL):
        return Sniffed(
            "partial-download", "a download that has not been finished", hint="let it finish, or start it again"
        )
    if _TF_CHECKPOINT.match(name):
        return Sniffed("tensorflow-checkpoint", "a part of a TensorFlow checkpoint", hint="open it with TensorFlow")
    if name.endswith(".msgpack"):
        return Sniffed("msgpack", "a MessagePack file, as Flax writes", hint="open it with flax.serialization")
    return None


def _onnx(head: bytes, size: int) -> dict[str, object] | None:
    """ModelProto, field by field: ir_version (1) first, then strings (2-6), up to the graph (7) or opsets (8)."""
    position = 0
    facts: dict[str, object] = {}
    while position < len(head):
        tag = head[position]
        value, position = _varint(head, position + 1)
        if position < 0:
            return None
        if (tag == 0x08) is not (not facts):  # ir_version: first, and once
            return None
        if tag == 0x08:
            if not 1 <= value <= 30:
                return None
            facts["ir_version"] = value
        elif tag in (0x3A, 0x42):  # graph, opset_import
            return facts if 0 < value <= size - position else None
        elif tag in (0x12, 0x1A, 0x22, 0x32):  # producer_name, producer_version, domain, doc_string
            word = head[position : position + value]
            if any(byte < 9 for byte in word):
                return None
            if tag == 0x12:
                facts["producer"] = quote(word)
            position += value
        elif tag != 0x28:  # model_version
            return None
    return None


def _varint(head: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(head) and shift < 64:
        value |= (head[position] & 0x7F) << shift
        position += 1
        if head[position - 1] < 0x80:
            return value, position
        shift += 7
    return 0, -1
