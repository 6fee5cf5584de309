"""What the keys of a checkpoint mean: the conventions of the field, as tables."""

from __future__ import annotations

import re

#: Keys that hold weights, in the order in which they are looked for: those of averaged weights first. The union of
#: what timm, spandrel, Ultralytics, Lightning, PyTorch's tutorials and others search.
WEIGHT_KEYS = (
    "state_dict_ema", "model_ema", "ema", "ema_model_state_dict", "params_ema", "model_state_dict", "state_dict",
    "model", "net", "params", "generator", "g_ema", "student", "teacher", "module", "weights",
)  # fmt: skip

# (role, words: any of which among the words of the key gives it). The first row that fits wins.
_WORDS: tuple[tuple[str, frozenset[str]], ...] = tuple(
    (role, frozenset(words.split()))
    for role, words in (
        ("optimizer", "optimizer optimizers optim optimiser opt_state adam sgd"),
        ("scheduler", "scheduler schedulers sched schedule"),
        ("scaler", "scaler gradscaler amp precision mixedprecision"),
        ("rng", "rng random seed generator_state"),
        ("ema", "ema averaged swa"),
        ("loss", "loss losses"),
        ("loader", "loader dataloader sampler dataset datamodule"),
        ("config", "args arguments config configs cfg hparams hyperparameters hyper_parameters arch architecture"
                   " options opt kwargs dims settings argv"),
        ("metrics", "metric metrics acc accuracy score scores fitness psnr ssim f1 auc map miou iou results history log"
                    " logs best val validation test wer cer bleu perplexity"),
        ("progress", "epoch epochs step steps iter iters iteration iterations updates niter loops progress"),
        ("about", "version date license licence docs git author time timestamp description commit meta metadata url"),
        ("code", "code source sources"),
        ("weights", "weights weight model models net network networks module params parameters state_dict generator"
                    " discriminator student teacher encoder decoder backbone head"),
    )
)  # fmt: skip
_EXACT: dict[str, str] = {
    "state_dict_ema": "ema", "model_ema": "ema", "params_ema": "ema", "g_ema": "ema", "ema_model_state_dict": "ema",
    "hyper_parameters": "config", "hparams_name": "config", "hparams_type": "config", "trainer_state": "progress",
    "model_args": "config", "model_config": "config", "train_args": "config", "init_args": "config",
    "model_cfg": "config", "model_kwargs": "config", "model_params": "config", "model_type": "config",
    "model_name": "config",
    "network_weights": "weights", "model_state_dict": "weights", "lr": "config", "learning_rate": "config",
    "classes": "config", "class_names": "config", "class_to_idx": "config", "num_classes": "config", "labels": "config",
    "vocab": "config", "tokenizer": "config", "lr_schedulers": "scheduler", "optimizer_states": "optimizer",
    "pytorch-lightning_version": "about", "MixedPrecision": "scaler", "callbacks": "other",
    "global_step": "progress", "num_updates": "progress", "training_time": "about",
}  # fmt: skip
_SPLIT = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_LONGEST = 200


def role_of_name(name: str) -> str | None:
    """The role that a key of this name usually has.

    Example:
        >>> role_of_name("optimizer_state_dict"), role_of_name("best_val_loss"), role_of_name("thing")
        ('optimizer', 'loss', None)
    """
    name = name[:_LONGEST]
    exact = _EXACT.get(name)
    if exact is not None:
        return None if exact == "other" else exact
    words = {word.lower() for word in _SPLIT.split(name)} | {name.lower()}
    for role, known in _WORDS:
        if not known.isdisjoint(words):
            return role
    return "weights" if {"state", "dict"} <= words else None
