"""Small checkpoints to write, as the official training script writes them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.model.architecture import Architecture
from tests.golden_cases import golden_weights

SMALL = Architecture(embed_dim=16, img_size=64, num_classes=5)
TWO_STAGES = Architecture(
    embed_dim=16, img_size=32, num_classes=5, depths=(1, 1), focal_levels=(2, 2), focal_windows=(3, 3)
)
TINY = Architecture(embed_dim=16, img_size=64, num_classes=5, depths=(1,), focal_levels=(1,), focal_windows=(3,))
"""One block."""


def small_weights(architecture: Architecture = SMALL) -> dict[str, Tensor]:
    """Weights by official key."""
    return golden_weights(architecture)


def official(config: Mapping[str, Any], architecture: Architecture = SMALL) -> dict[str, Any]:
    """What the official script saves; write it inside `yacs()`, which its configuration needs to be pickled."""
    weights = small_weights(architecture)
    return {
        "model": weights,
        "optimizer": {"state": {0: {"momentum_buffer": weights["head.bias"] * 2}}, "param_groups": [{"lr": 0.1}]},
        "lr_scheduler": {"base_lrs": [0.1]},
        "max_accuracy": 63.39,
        "epoch": 71,
        "config": node(config),
    }


def config_of(architecture: Architecture = SMALL, **data: Any) -> dict[str, Any]:
    """The configuration that goes with an architecture; `data` goes into its DATA."""
    focal = {
        "EMBED_DIM": architecture.embed_dim,
        "DEPTHS": list(architecture.depths),
        "FOCAL_LEVELS": list(architecture.focal_levels),
        "USE_POSTLN": architecture.use_postln,
        "NORMALIZE_MODULATOR": architecture.normalize_modulator,
        "PATCH_SIZE": architecture.patch_size,
        "MLP_RATIO": architecture.mlp_ratio,
    }
    return {
        "DATA": {
            "NUM_FRAMES": architecture.num_frames,
            "INPUT_SIZE": architecture.img_size,
            "NUM_CLASSES": architecture.num_classes,
            **data,
        },
        "MODEL": {"FOCAL": focal, "TUBELET_SIZE": architecture.tubelet_size},
        "AUG": {"FRAME_INTERVAL": 2},
    }


@contextmanager
def yacs() -> Iterator[None]:
    """While in here, a module `yacs.config` can be named in a pickle, as on the machine that trained."""
    modules = {"yacs": ModuleType("yacs"), "yacs.config": ModuleType("yacs.config")}
    modules["yacs.config"].CfgNode = CfgNode  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


class CfgNode(dict[str, Any]):
    """Pickled as yacs' own node is: a dict by its name, with a state."""

    def __init__(self, entries: Mapping[str, Any]) -> None:
        super().__init__(entries)
        self.__dict__.update(__immutable__=True, __deprecated_keys__=set(), __renamed_keys__={}, __new_allowed__=False)


CfgNode.__module__ = "yacs.config"


def node(config: Mapping[str, Any]) -> CfgNode:
    """Nested dicts as nested nodes."""
    return CfgNode({key: node(value) if isinstance(value, Mapping) else value for key, value in config.items()})


def save_official(path: Any, config: Mapping[str, Any], architecture: Architecture = SMALL, **options: Any) -> None:
    """Write `official(...)` to `path` with torch.save."""
    with yacs():
        torch.save(official(config, architecture), path, **options)
