"""Drop path (stochastic depth) from random streams: what a clip drops depends on seed, epoch and clip alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from dvfl_mobile.model.network import Block, DropPath, VideoFocalNet
from dvfl_mobile.training.randomness import Stream, random_stream

_BRANCHES = 2  # of a block: modulation and feed-forward


class SeededDropPath(nn.Module):
    """Takes the place of a `DropPath`: the same distribution, by masks that are set before each pass.

    It has no weights, so the network's state dict stays as it is; in eval mode it does nothing, like the other.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.kept: list[Tensor] = []
        """For each branch, which pictures keep it: `(B,T)`, 1 or 0."""

    def forward(self, tokens: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return tokens
        kept = self.kept.pop(0)[:, :, None, None, None]
        return tokens * kept.to(tokens.dtype) / (1 - self.rate)


class SeededDropPaths:
    """Drop path of a whole network, whose every `DropPath` it replaces."""

    def __init__(self, network: VideoFocalNet, seed: int) -> None:
        self._seed, self._frames = seed, network.architecture.token_frames
        self._paths: list[SeededDropPath] = []
        for module in list(network.modules()):
            if isinstance(module, Block) and isinstance(module.drop_path, DropPath):
                seeded = SeededDropPath(module.drop_path.rate)
                module.drop_path = seeded  # type: ignore[assignment]
                self._paths.append(seeded)

    def draw(self, samples: Sequence[int], epoch: int, device: torch.device) -> None:
        """Set the masks of the next pass, by its clips."""
        shape = (len(self._paths), _BRANCHES, self._frames)
        shares = np.stack(
            [random_stream(self._seed, Stream.DROP_PATH, epoch, sample).random_sample(shape) for sample in samples],
            axis=2,
        )
        for path, of_path in zip(self._paths, shares, strict=True):
            kept = torch.from_numpy(of_path >= path.rate).to(device)
            path.kept = [kept[branch] for branch in range(_BRANCHES)]
