"""Per-token scaling: which linear layers need it, since one scale leaves most of their tokens no steps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.rewrites import PerTokenScaledLinear
from dvfl_mobile.targets import Normalizer

LEAST_DB = 12.0
"""Below so many dB of the median token against the rounding of one common scale, a layer is scaled per token."""

LEAST_DB_IN_LAST_STAGE = 24.0
"""Likewise in the last stage, where tokens are fewest and no later layer averages the error away."""

# What these read is a product or a gated sum: nothing before them brings its tokens to one size.
_CANDIDATES = re.compile(r"stage\d+\.block\d+\.modulation\.(proj|h|h_temporal)")


def layers_to_scale(form: DeployForm, clips: Iterable[Any]) -> tuple[str, ...]:
    """The paths of the linear layers to scale per token, from what they read of a few clips `(T,3,H,W)`.

    For each, the size of its median token (root mean square over channels) against the rounding error of a scale
    that reaches the largest value: `20 log10(size · √12 · 255 / (max - min))`.
    """
    reading = {name: _Reading() for name, _ in form.named_modules() if _CANDIDATES.fullmatch(name)}
    hooks = [form.get_submodule(name).register_forward_pre_hook(reading[name].watch) for name in reading]
    try:
        with torch.no_grad():
            for clip in clips:
                form(torch.from_numpy(clip).float())
    finally:
        for hook in hooks:
            hook.remove()
    last = max(name.split(".")[0] for name in reading)
    least = {name: LEAST_DB_IN_LAST_STAGE if name.startswith(f"{last}.") else LEAST_DB for name in reading}
    return tuple(name for name, seen in reading.items() if seen.median_db < least[name])


def scale_per_token(form: DeployForm, paths: Collection[str], normalizer: Normalizer) -> None:
    """Put layers with per-token scaling in the place of those at `paths`."""
    for path in paths:
        parent, _, name = path.rpartition(".")
        layer = form.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        scaled = PerTokenScaledLinear(layer, normalizer).requires_grad_(False)
        setattr(form.get_submodule(parent), name, scaled)


class _Reading:
    """What one layer read: sizes of its tokens, and the largest range."""

    def __init__(self) -> None:
        self._sizes: list[Tensor] = []
        self._low, self._high = 0.0, 0.0

    def watch(self, _module: nn.Module, inputs: Sequence[Tensor]) -> None:
        tokens = inputs[0]
        self._sizes.append(tokens.square().mean(-1).sqrt().flatten())
        self._low, self._high = min(self._low, float(tokens.amin())), max(self._high, float(tokens.amax()))

    @property
    def median_db(self) -> float:
        size = float(torch.cat(self._sizes).median())
        step = (self._high - self._low) / 255
        return 20 * float(torch.log10(torch.tensor(size * 12**0.5 / step + 1e-30))) if step else float("inf")
