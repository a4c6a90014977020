"""Exports a student as a checkpoint of the official training script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dvfl_mobile.files import atomic_file
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.student import Student


def export_official(student: Student, path: Path, *, epoch: int, max_accuracy: float) -> None:
    """Write `{model, epoch, max_accuracy, config}` to `path`, whole or not at all.

    The configuration is nested dicts with the official keys, not yacs' class: torch reads the file with
    `weights_only=True`. There is no optimizer in it, so the official script loads it to evaluate, or to begin from.

    Args:
        epoch: that the weights are of, from 0 as there. max_accuracy: in percent, as there.

    Raises:
        OutputError: the place can't be written.
    """
    saved: dict[str, Any] = {
        "model": {key: value.clone() for key, value in student.network.state_dict().items()},
        "max_accuracy": max_accuracy,
        "epoch": epoch,
        "config": _config(student),
    }
    with atomic_file(path) as partial:
        torch.save(saved, partial)


def _config(student: Student) -> dict[str, Any]:
    architecture = student.architecture
    return {
        "DATA": {
            "NUM_FRAMES": architecture.num_frames,
            "INPUT_SIZE": architecture.img_size,
            "IMG_SIZE": architecture.img_size,
            "NUM_CLASSES": architecture.num_classes,
        },
        "MODEL": {
            "TYPE": f"videofocalnet_{architecture.name}",
            "NAME": f"video-focalnet_{architecture.name}",
            "NUM_CLASSES": architecture.num_classes,
            "DROP_RATE": architecture.drop_rate,
            "DROP_PATH_RATE": architecture.drop_path_rate,
            "TUBELET_SIZE": architecture.tubelet_size,
            "FOCAL": _focal(architecture),
        },
        "AUG": {"FRAME_INTERVAL": student.clip.frame_interval},
    }


def _focal(architecture: Architecture) -> dict[str, Any]:
    return {
        "EMBED_DIM": architecture.embed_dim,
        "DEPTHS": list(architecture.depths),
        "FOCAL_LEVELS": list(architecture.focal_levels),
        "FOCAL_WINDOWS": list(architecture.focal_windows),
        "FOCAL_FACTORS": [architecture.focal_factor] * len(architecture.depths),
        "MLP_RATIO": architecture.mlp_ratio,
        "IN_CHANS": architecture.in_chans,
        "PATCH_NORM": architecture.patch_norm,
        "PATCH_SIZE": architecture.patch_size,
        "USE_CONV_EMBED": architecture.use_conv_embed,
        "USE_LAYERSCALE": architecture.use_layerscale,
        "USE_POSTLN": architecture.use_postln,
        "USE_POSTLN_IN_MODULATION": architecture.use_postln_in_modulation,
        "NORMALIZE_MODULATOR": architecture.normalize_modulator,
    }
