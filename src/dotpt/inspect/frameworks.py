"""Whose file it is: libraries are known by keys and classes that no other writes.

To teach dotpt another library, add a row to one of the tables below. The first row that fits wins.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from dotpt.inspect.claims import Claim, confirmed, inferred, unknown

if TYPE_CHECKING:
    from dotpt.archive.archive import Archive
    from dotpt.inspect.families.fingerprint import Fingerprint

# Keys at the top that only this library writes, and the key of its version, if it has one.
_VERSIONED: tuple[tuple[str, str], ...] = (
    ("Lightning", "pytorch-lightning_version"),
    ("DeepSpeed", "ds_version"),
    ("MMEngine", "meta.mmengine_version"),
    ("MMCV", "meta.mmcv_version"),
)
# (library, keys that must all be there). Sources: the libraries' own saving code, see reference "ecosystem".
_KEYS: tuple[tuple[str, str], ...] = (
    ("Ultralytics", "train_args train_metrics ema"),
    ("YOLOv5", "best_fitness ema updates model"),
    ("fairseq", "optimizer_history extra_state model"),
    ("fairseq", "task_state extra_state model"),
    ("nnU-Net", "network_weights trainer_name init_args"),
    ("detectron2", "model matching_heuristics"),
    ("detectron2", "model __author__"),
    ("detectron2", "model trainer iteration"),
    ("Megatron-LM", "checkpoint_version iteration args"),
    ("Megatron-LM", "checkpoint_version model"),
    ("timm", "arch state_dict epoch args version"),
    ("timm", "arch state_dict metric"),
    ("torchvision's training scripts", "model optimizer lr_scheduler epoch args"),
    ("PyTorch's ImageNet example", "arch state_dict best_acc1 optimizer"),
    ("DINO", "student teacher dino_loss"),
    ("BasicSR", "params_ema params"),
    ("Coqui TTS", "config model step date optimizer"),
    ("ESPnet", "reporter model optimizers schedulers"),
)
# (library, what a module named by the file begins with)
_CLASSES: tuple[tuple[str, str], ...] = (
    ("Ultralytics", "ultralytics."),
    ("YOLOv5", "models.yolo"),
    ("YOLOv5", "models.common"),
    ("Hugging Face transformers", "transformers."),
    ("Hugging Face diffusers", "diffusers."),
    ("Hugging Face accelerate", "accelerate."),
    ("Lightning", "pytorch_lightning."),
    ("Lightning", "lightning."),
    ("fairseq", "fairseq."),
    ("torchao", "torchao."),
    ("timm", "timm."),
    ("torchvision", "torchvision."),
    ("detectron2", "detectron2."),
    ("MMDetection", "mmdet."),
    ("Segment Anything", "segment_anything."),
    ("SpeechBrain", "speechbrain."),
    ("PyTorch Geometric", "torch_geometric."),
    ("fastai", "fastai."),
    ("flair", "flair."),
    ("stable-baselines3", "stable_baselines3."),
    ("Megatron-LM", "megatron."),
    ("NeMo", "nemo."),
)
# (library, what a weight's name begins with or contains), for networks that no family knows. Names are a guess only.
_NAMES: tuple[tuple[str, str], ...] = (
    ("Stable Diffusion (CompVis layout)", "model.diffusion_model."),
    ("Stable Diffusion (CompVis layout)", "cond_stage_model."),
    ("kohya's scripts (LoRA)", "lora_unet_"),
    ("Hugging Face PEFT (LoRA)", ".lora_A."),
    ("Hugging Face diffusers", "down_blocks.0.resnets."),
    ("Hugging Face transformers", ".self_attn.q_proj."),
    ("Hugging Face transformers", ".attention.self.query."),
    ("Hugging Face transformers", ".attn.c_attn."),
    ("Hugging Face transformers", ".SelfAttention.q."),
    ("Meta's Llama layout", ".attention.wq."),
    ("YOLO (Ultralytics)", ".cv1.conv."),
)
_MOST_NAMES = 2_000


def framework_of(archive: Archive, network: Fingerprint) -> Claim:
    """The library whose layout the file has.

    Args:
        archive: the file.
        network: the known architecture of its weights (`dotpt.inspect.network.network_of`).
    """
    tree = archive.tree
    if isinstance(tree, dict):
        claim = _by_keys(tree)
        if claim is not None:
            return claim
    for library, start in _CLASSES:
        for name in archive.globals:
            if name.module.startswith(start) or f"{name.module}." == start:
                return inferred(library, f"it names {name}")
    if isinstance(archive.metadata, dict):
        for key, library in (("modelspec.architecture", "ModelSpec"), ("ss_network_module", "kohya's scripts")):
            if key in archive.metadata:
                return inferred(library, f"its metadata has {key}")
    if network.known:
        return inferred(network.library, f"its weights are named as there: {network.title}")
    return _by_names(list(archive.tensors)[:_MOST_NAMES])


def _by_keys(tree: dict[Any, Any]) -> Claim | None:
    for library, path in _VERSIONED:
        version = _at(tree, path)
        if type(version) is str:
            return confirmed(f"{library} {version[:40]}".strip(), f"it has the key {path}")
    if _is_whisper(tree):
        return inferred("Whisper", "it has dims, with n_mels, and model_state_dict")
    for library, keys in _KEYS:
        wanted = keys.split()
        if all(key in tree for key in wanted):
            version = tree.get("version") if library == "Ultralytics" else None
            named = f"{library} {version[:40]}" if type(version) is str else library
            return inferred(named, f"it has the keys {', '.join(wanted)}")
    if "state_dict" in tree and {"hyper_parameters", "global_step", "epoch"} <= {k for k in tree if type(k) is str}:
        return inferred("Lightning", "it has the keys state_dict, hyper_parameters and global_step")
    if "pytorch_model.bin" in tree or "trainer_state" in tree:
        return inferred("Hugging Face transformers", "it has the parts of a Trainer's checkpoint folder")
    return None


def _is_whisper(tree: dict[Any, Any]) -> bool:
    dims = tree.get("dims")
    return isinstance(dims, dict) and "n_mels" in dims and "model_state_dict" in tree


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        if isinstance(tree, Namespace):
            tree = vars(tree)
        if not isinstance(tree, dict):
            return None
        tree = tree.get(key)
    return tree


def _by_names(names: list[str]) -> Claim:
    for library, mark in _NAMES:
        for name in names:
            if mark in name:
                return inferred(library, f"a weight is called {name[:80]}")
    return unknown("no key, class or name in it belongs to a library that dotpt knows")
