"""Initial weights: from a seed, and from all that fits of a checkpoint, which need not be of the same architecture.

- An ImageNet FocalNet (`focalnet_tiny_srf.pth` and the like, of the official code or of timm): its modules have the
  names of the video network's, which has a temporal branch beside the spatial one in every block. That branch is left
  at its seed, as the official training leaves it. Where tubelets join pictures, the stem is spread over them.
- A Video-FocalNet or a DVFL-Net, of any depth. By `first`, each stage takes the source's blocks from the first one on,
  which is what the official code does; by `spread`, blocks evenly spread over the stage, the first and the last among
  them. Where the source has fewer blocks, what is beyond them is left at its seed.
- The head only where it is for the same classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.files import sha256_of
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.checkpoint.load import read_weights
from dvfl_mobile.model.network import VideoFocalNet
from dvfl_mobile.training.result import InitialWeights

Blocks = Literal["first", "spread"]

_BLOCK = re.compile(r"layers\.(\d+)\.blocks\.(\d+)\.(.+)")
_STEM = "patch_embed.proj.weight"
_HEAD = ("head.weight", "head.bias")


def initial_weights(
    architecture: Architecture,
    seed: int,
    checkpoint: Path | None = None,
    *,
    blocks: Blocks = "first",
    classes: Sequence[str] = (),
) -> tuple[dict[str, Tensor], InitialWeights]:
    """The weights that a training begins with, by official key, and where they are from.

    Args:
        classes: the data's, to tell whether the source's head is for the same ones.

    Raises:
        CheckpointError: the checkpoint can't be read, or nothing but its head, or not even that, fits.
    """
    weights = seeded_weights(architecture, seed)
    if checkpoint is None:
        return weights, InitialWeights(seeded=tuple(weights))
    found, named = read_weights(checkpoint)
    source = _official_names(found)
    kind: Literal["image", "video"] = "video" if any("_temporal" in key for key in source) else "image"
    places = _places(source, architecture, blocks)
    taken: dict[str, Tensor] = {}
    used: set[str] = set()
    for key, seeded in weights.items():
        value = source.get(places.get(key, key))
        if value is None or (key in _HEAD and not _is_same_head(kind, named, classes)):
            continue
        fitting = _inflated(value, seeded) if key == _STEM else value
        if fitting.shape == seeded.shape:
            taken[key] = fitting.clone()
            used.add(places.get(key, key))
    if not taken.keys() - set(_HEAD):
        raise CheckpointError(
            f"Nothing of {checkpoint} fits a network of width {architecture.embed_dim} and depths "
            f"{architecture.depths}: {_first_difference(source, weights)}.",
            hint="Begin from a checkpoint of the same width: focalnet_tiny_srf for nano and tiny, focalnet_base_srf "
            "for base.",
        )
    start = InitialWeights(
        source=checkpoint.name,
        sha256=sha256_of(checkpoint),
        kind=kind,
        taken=tuple(key for key in weights if key in taken),
        seeded=tuple(key for key in weights if key not in taken),
        unused=tuple(key for key in source if key not in used),
        blocks=tuple(_chosen(source, stage, depth, blocks) for stage, depth in enumerate(architecture.depths)),
    )
    return {**weights, **taken}, start


def seeded_weights(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """The weights that the network's own initialization draws from a seed; the generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VideoFocalNet(architecture)
    return {key: value.detach() for key, value in network.state_dict().items()}


def _official_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """timm's names of a FocalNet as the official code has them; others as they are."""
    if "stem.proj.weight" not in weights:
        return dict(weights)
    return {_official_name(key): value for key, value in weights.items()}


def _official_name(key: str) -> str:
    if key.startswith("head."):
        return key.replace("head.norm.", "norm.").replace("head.fc.", "head.")
    # timm has a stage's downsampling at its beginning, the official code at the end of the one before.
    key = re.sub(r"^layers\.(\d+)\.downsample\.", lambda found: f"layers.{int(found[1]) - 1}.downsample.", key)
    key = re.sub(r"\.ls([12])\.gamma$", r".gamma_\1", key)
    return re.sub(r"\.norm([12])_post\.", r".norm\1.", re.sub(r"^stem\.", "patch_embed.", key))


def _places(source: Mapping[str, Tensor], architecture: Architecture, blocks: Blocks) -> dict[str, str]:
    """For each key of a block of the network, the source's key that it is taken from."""
    places = {}
    for stage, depth in enumerate(architecture.depths):
        chosen = _chosen(source, stage, depth, blocks)
        numbers = {number: place for place, number in enumerate(chosen)}
        for key in source:
            found = _BLOCK.fullmatch(key)
            if found and int(found[1]) == stage and int(found[2]) in numbers:
                places[f"layers.{stage}.blocks.{numbers[int(found[2])]}.{found[3]}"] = key
        for place in range(len(chosen), depth):
            # A name that no source has: these stay at their seed even where `spread` moved others away from here.
            for rest in {found[3] for key in source if (found := _BLOCK.fullmatch(key)) and int(found[1]) == stage}:
                places[f"layers.{stage}.blocks.{place}.{rest}"] = ""
    return places


def _chosen(source: Mapping[str, Tensor], stage: int, depth: int, blocks: Blocks) -> tuple[int, ...]:
    """Which of a stage's blocks are taken, in order."""
    held = 1 + max((int(f[2]) for key in source if (f := _BLOCK.fullmatch(key)) and int(f[1]) == stage), default=-1)
    if blocks == "first" or held <= depth:
        return tuple(range(min(held, depth)))
    if depth == 1:
        return (0,)
    return tuple(round(place * (held - 1) / (depth - 1)) for place in range(depth))


def _inflated(stem: Tensor, wanted: Tensor) -> Tensor:
    """A stem for pictures `(E,3,p,p)` spread evenly over the pictures of a tubelet `(E,3,t,p,p)`."""
    if stem.ndim == 4 and wanted.ndim == 5:
        tubelet = wanted.shape[2]
        return stem.unsqueeze(2).repeat(1, 1, tubelet, 1, 1) / tubelet
    return stem


def _is_same_head(kind: str, named: Sequence[str] | None, classes: Sequence[str]) -> bool:
    return kind == "video" and (named is None or tuple(named) == tuple(classes))


def _first_difference(source: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    for key, value in weights.items():
        if key in source:
            return f"its {key} is {tuple(source[key].shape)} where {tuple(value.shape)} belongs"
    return f"it has no {next(iter(weights))}"
