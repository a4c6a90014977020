"""Build the reference form around given weights, without initializing it first."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.network import VideoFocalNet


def build_network(architecture: Architecture, weights: Mapping[str, Tensor]) -> VideoFocalNet:
    """The reference form with `weights` (float32, by official keys) in it: in eval mode, wanting no gradients.

    The network takes the tensors as its own. Keys and shapes must fit `weight_shapes(architecture)`.
    """
    network = _outline(architecture)
    network.load_state_dict(dict(weights), assign=True)
    return network.requires_grad_(False).eval()


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Every state-dict key of the reference form with its shape, in the official order; allocates nothing."""
    return {key: tuple(value.shape) for key, value in _outline(architecture).state_dict().items()}


def sha256_of_weights(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of all tensors' bytes in sorted key order, in hex."""
    digest = hashlib.sha256()
    for key in sorted(weights):
        digest.update(weights[key].contiguous().numpy().data)
    return digest.hexdigest()


def _outline(architecture: Architecture) -> VideoFocalNet:
    with torch.device("meta"):
        return VideoFocalNet(architecture)
