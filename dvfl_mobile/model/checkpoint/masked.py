"""Masked classes: a head whose bias is -inf for classes that a network must not answer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from dvfl_mobile.wording import plural

MASKED = -1e4
"""What stands for -inf: finite in float16 too, and so far below any logit that its probability is 0 in float64."""

_BIAS = "head.bias"


def with_finite_masks(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The weights with `MASKED` for each -inf in the head's bias, and a note where there was one.

    An infinite number has no place in scales, rounding and delegates, and no probability needs it. A bias of -inf
    throughout is left: it masks nothing, and is damage.
    """
    bias = weights.get(_BIAS)
    hidden = None if bias is None else bias == -torch.inf
    if bias is None or hidden is None or not hidden.any() or hidden.all():
        return dict(weights), ()
    count = plural(int(hidden.sum()), "class", "classes")
    note = f"{count} masked by a bias of -inf: {MASKED:g} stands for it, as good as never"
    return {**weights, _BIAS: bias.masked_fill(hidden, MASKED)}, (note,)
