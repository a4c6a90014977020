"""Mixup and CutMix of pairs of clips in a batch, and of their labels; soft targets with label smoothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.training.randomness import Stream, random_stream
from dvfl_mobile.training.settings import Augmentation


def soft_targets(labels: Sequence[int | None], classes: int, smoothing: float) -> tuple[Tensor, Tensor]:
    """Targets `(B,K)`, and which clips have a label at all, `(B,)`, as 1 or 0."""
    known = torch.tensor([label is not None for label in labels])
    targets = torch.full((len(labels), classes), smoothing / classes)
    for row, label in enumerate(labels):
        if label is not None:
            targets[row, label] += 1 - smoothing
    return targets, known.float()


def mix(
    pixels: Tensor,
    targets: Tensor,
    known: Tensor,
    samples: Sequence[int],
    epoch: int,
    augmentation: Augmentation,
    seed: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mix the first clip with the second, the third with the fourth; one that is left over stays as it is.

    A batch is in random order already. The official code draws one share for all clips of a process; here each pair
    draws its own, by its first clip, so that nothing depends on how many processes there are.

    Args:
        pixels: `(B,T,3,S,S)`, floats. targets, known: of `soft_targets`. samples: the clips' numbers in the data.

    Returns:
        The same, mixed; a clip that took from one without a label has none.
    """
    if not augmentation.is_mixing:
        return pixels, targets, known
    pixels, targets, known = pixels.clone(), targets.clone(), known.clone()
    for first in range(0, len(samples) - 1, 2):
        stream = random_stream(seed, Stream.MIX, epoch, samples[first])
        share = _blend(pixels[first : first + 2], stream, augmentation)
        pair = targets[first : first + 2]
        targets[first : first + 2] = share * pair + (1 - share) * pair.flip(0)
        known[first : first + 2] = known[first : first + 2].min()
    return pixels, targets, known


def _blend(pair: Tensor, stream: np.random.RandomState, augmentation: Augmentation) -> float:
    """Mix two clips in place; returns how much of itself each keeps."""
    is_cut = stream.random_sample() < augmentation.cutmix_share
    if not augmentation.mixup or (is_cut and augmentation.cutmix):
        return _cutmix(pair, stream, stream.beta(augmentation.cutmix, augmentation.cutmix))
    share = float(stream.beta(augmentation.mixup, augmentation.mixup))
    pair.copy_(share * pair + (1 - share) * pair.flip(0))
    return share


def _cutmix(pair: Tensor, stream: np.random.RandomState, share: float) -> float:
    """Exchange one box, whose place is random and whose middle is in the picture."""
    height, width = pair.shape[-2:]
    part = (1 - share) ** 0.5
    middle_y, middle_x = int(stream.randint(height)), int(stream.randint(width))
    half_y, half_x = int(height * part) // 2, int(width * part) // 2
    top, bottom = max(middle_y - half_y, 0), min(middle_y + half_y, height)
    left, right = max(middle_x - half_x, 0), min(middle_x + half_x, width)
    pair[..., top:bottom, left:right] = pair[..., top:bottom, left:right].flip(0)
    return 1 - (bottom - top) * (right - left) / (height * width)
