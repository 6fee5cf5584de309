"""What crosses this boundary: a path of a folder in, what kind of folder it is out.

Only names and sizes are looked at, and the start of an index. Links are followed for files, as opening them
would, and nothing but regular files is opened (a pipe would wait for ever).
"""

from __future__ import annotations

import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import Any

from dotpt.container.sniff.result import Sniffed, quote
from dotpt.errors import SourceDenied, SourceError, SourceNotFound

MODEL_ENDINGS = (".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".pt2", ".ptl", ".distcp", ".pkl", ".pth.tar")
_ENTRIES = 20_000
_LISTED = 1_000
_INDEX_HEAD = 65_536

# kind, label, hint; the order is the order of preference where a folder is several
_KINDS: dict[str, tuple[str, str | None]] = {
    "sharded": ("a sharded checkpoint", None),
    "dcp": ("a distributed checkpoint", None),
    "deepspeed": (
        "a DeepSpeed checkpoint",
        "gather it first, with the script in the folder: python zero_to_fp32.py FOLDER model.pt",
    ),
    "megatron": ("a Megatron checkpoint", "open the model_optim_rng.pt of one rank"),
    "hf-trainer": ("a checkpoint of the Hugging Face Trainer", None),
    "accelerate": ("a checkpoint of Accelerate", None),
    "lightning": ("the folder of a Lightning run", None),
    "hf-model": ("a Hugging Face model", None),
    "unzipped-torch": ("an unpacked PyTorch file", None),
    "folder": ("a folder", None),
}
_LIGHTNING_SUFFIX = re.compile(r"checkpoints/[^/]+\.ckpt|[^/]*epoch=\d+[^/]*\.ckpt|last\.ckpt")
_WEIGHTS = re.compile(r"(?:pytorch_model|model|adapter_model|diffusion_pytorch_model)[^/]*\.(?:bin|safetensors)")


def diagnose_folder(path: str | os.PathLike[str]) -> Sniffed:
    """What kind of folder ``path`` is, and which model files lie in it.

    Details: ``kinds`` (all that fit), ``files`` (the model files: name and size, at most 1,000, largest first),
    and, by kind, ``index`` (the index file's name), ``root`` (the folder of an unpacked file).

    Raises:
        SourceNotFound, SourceDenied, SourceError: the folder could not be read.
    """
    folder = Path(path)
    try:
        names = _list(folder)
    except FileNotFoundError as error:
        raise SourceNotFound("There is no such folder.", path=str(path)) from error
    except PermissionError as error:
        raise SourceDenied("The folder may not be read.", path=str(path)) from error
    except OSError as error:
        raise SourceError(f"The folder could not be read: {error.strerror}.", path=str(path)) from error
    index = _index(folder, names)
    root = _unpacked_root(folder, names)
    kinds = [kind for kind in _KINDS if _fits(kind, names, index, root)]
    models = {name: size for name, size in names.items() if size is not None and _is_model(name)}
    files = sorted(models.items(), key=lambda item: (-item[1], item[0]))[:_LISTED]
    details: dict[str, Any] = {"kinds": kinds, "files": [{"name": quote(name), "size": size} for name, size in files]}
    if index:
        details["index"] = quote(index)
    if root is not None:
        details["root"] = quote(root)
    label, hint = _KINDS[kinds[0]]
    return Sniffed(kinds[0], label, torch=bool(models), details=details, hint=hint or _hint(kinds[0], details))


def _fits(kind: str, names: dict[str, int | None], index: str | None, root: str | None) -> bool:
    """One rule a kind."""

    def has(pattern: str) -> bool:
        return any(re.fullmatch(pattern, name) for name in names)

    if kind == "sharded":
        return index is not None
    if kind == "dcp":
        return ".metadata" in names and has(r"(?:.*/)?[^/]+\.distcp")
    if kind == "deepspeed":
        return has(r"(?:[^/]+/)?(?:mp_rank_\d+_model_states\.pt|.*_optim_states\.pt)")
    if kind == "megatron":
        return "latest_checkpointed_iteration.txt" in names or has(r"(?:mp_rank_[\d_]+/)?model_optim_rng\.pt")
    if kind == "hf-trainer":
        return "trainer_state.json" in names
    if kind == "accelerate":
        return has(r"random_states_\d+\.pkl")
    if kind == "lightning":
        return any(_LIGHTNING_SUFFIX.fullmatch(name) for name in names) or has(r"(?:lightning_logs/)?version_\d+")
    if kind == "hf-model":
        return "config.json" in names and any(_WEIGHTS.fullmatch(name) for name in names)
    if kind == "unzipped-torch":
        return root is not None
    return True


def _hint(kind: str, details: dict[str, Any]) -> str | None:
    files = details["files"]
    if kind == "unzipped-torch":
        inner = details["root"]
        where, what = ("", inner) if inner else ("from its parent folder, ", "its name")
        return (
            f"{where}pack it again without compression: zip -0 -D -r model.pt {what}"
            " (dotpt cannot read the unpacked folder yet)"
        )
    if kind in ("sharded", "dcp"):
        return None
    if not files:
        return "give the model file itself: none lies in this folder"
    return f"give one of the model files in it, such as {files[0]['name']}"


def _is_model(name: str) -> bool:
    return name.lower().endswith(MODEL_ENDINGS)


def _list(folder: Path) -> dict[str, int | None]:
    """Names in the folder, and one folder deeper, with their sizes (None for what is not a regular file)."""
    names: dict[str, int | None] = {}
    for name, size in _entries(folder):
        names[name] = size
    for name in [name for name, size in names.items() if size is None][:100]:
        try:
            names.update((f"{name}/{inner}", size) for inner, size in _entries(folder / name))
        except OSError:  # a pipe, a dead link, or a folder that is not ours to read
            continue
    return names


def _entries(folder: Path) -> list[tuple[str, int | None]]:
    with os.scandir(folder) as entries:
        return sorted((entry.name, _size(entry)) for entry in islice(entries, _ENTRIES))


def _size(entry: os.DirEntry[str]) -> int | None:
    try:
        facts = entry.stat()
    except OSError:
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def _index(folder: Path, names: dict[str, int | None]) -> str | None:
    """The index of a sharded checkpoint: a file whose name ends so, and which maps weights to files."""
    preferred = ["model.safetensors.index.json", "pytorch_model.bin.index.json"]
    others = [name for name in names if name.endswith(".index.json") and "/" not in name]
    for name in dict.fromkeys([*preferred, *others[:100]]):
        if names.get(name) is None:
            continue
        try:
            with (folder / name).open("rb") as file:
                if b'"weight_map"' in file.read(_INDEX_HEAD):
                    return name
        except OSError:
            continue
    return None


def _unpacked_root(folder: Path, names: dict[str, int | None]) -> str | None:
    """The folder of an unpacked torch zip: "" if it is the folder itself, a name if it lies in it."""
    roots = [name[: -len("data.pkl")] for name in names if name == "data.pkl" or name.endswith("/data.pkl")]
    for root in roots:
        beside = {name[len(root) :].partition("/")[0] for name in names if name.startswith(root)}
        # one folder deeper than `_list` went, data/ is not listed: its folder entry is
        if "data" in beside or "version" in beside:
            return root.rstrip("/")
    return None
