"""The golden cases of the official implementation, with the weights and clips that their recipe makes.

`golden/official_logits.json` holds what the official code computed, and the recipe in words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network, weight_shapes
from dvfl_mobile.model.network import VideoFocalNet

_DOCUMENT = json.loads((Path(__file__).parent / "golden" / "official_logits.json").read_text())


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One configuration, and what the official implementation gives for it; equal to itself alone.

    Attributes:
        parameters: how many there are.
        keys: official state-dict keys in order, with shapes; None where only their number is known.
        stages: mean and unbiased standard deviation of each stage's output.
        logits: for the two clips, `(2,K)`.
    """

    name: str
    architecture: Architecture
    parameters: int
    keys: dict[str, list[int]] | None
    key_count: int
    stages: np.ndarray
    logits: Tensor

    def weights(self) -> dict[str, Tensor]:
        """By official key, in the official order."""
        return golden_weights(self.architecture)

    def network(self) -> VideoFocalNet:
        """The reference form with the golden weights."""
        return build_network(self.architecture, self.weights())

    def clips(self) -> Tensor:
        """The two clips, normalized: `(2,T,3,S,S)`."""
        frames, size = self.architecture.num_frames, self.architecture.img_size
        return torch.from_numpy(_normal(np.random.RandomState(11), (2, frames, 3, size, size)))


def golden_weights(architecture: Architecture) -> dict[str, Tensor]:
    """Weights for any architecture, by the recipe: one stream of normals for all keys in sorted order."""
    return {key: values.clone() for key, values in _last_weights(architecture).items()}


@lru_cache(maxsize=1)
def _last_weights(architecture: Architecture) -> dict[str, Tensor]:
    """Those that were made last: the large networks' take seconds, and much memory."""
    stream, shapes = np.random.RandomState(7), weight_shapes(architecture)
    made = {key: torch.from_numpy(_scaled(key, _normal(stream, shapes[key]))) for key in sorted(shapes)}
    return {key: made[key] for key in shapes}


def _scaled(key: str, values: np.ndarray) -> np.ndarray:
    if key.endswith(".bias"):
        return values * np.float32(0.1)
    if key.split(".")[-2] in ("norm", "norm1", "norm2"):
        return 1 + values * np.float32(0.1)
    return values / np.float32(np.sqrt(np.prod(values.shape[1:])))


def _normal(stream: np.random.RandomState, shape: tuple[int, ...]) -> np.ndarray:
    return stream.standard_normal(shape).astype(np.float32)


def _case(entry: dict[str, Any]) -> GoldenCase:
    keys = entry["keys"]
    return GoldenCase(
        name=entry["name"],
        architecture=Architecture(**entry["config"], img_size=entry["image_size"], num_frames=entry["frames"]),
        parameters=entry["parameters"],
        keys=keys if isinstance(keys, dict) else None,
        key_count=keys if isinstance(keys, int) else len(keys),
        stages=np.array(entry["stage_output_mean_std"]),
        logits=torch.tensor(entry["logits"]),
    )


GOLDEN_CASES = tuple(_case(entry) for entry in _DOCUMENT["cases"])
