"""Per-token scaling: which linear layers need it, since one scale leaves most of their tokens no steps."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from dvfl_mobile.model.deploy import DeployForm, Downsample
from dvfl_mobile.model.lean.at_once import each, pixels_of
from dvfl_mobile.model.rewrites import PerTokenScaledLinear, PerTokenScaledPatches
from dvfl_mobile.targets import Normalizer, TokenScaling

LEAST_DB = 12.0
"""Below so many dB of the median token against the rounding of one common scale, a layer is scaled per token."""

LEAST_DB_IN_LAST_STAGE = 24.0
"""Likewise in the last stage, where tokens are fewest and no later layer averages the error away."""

LEAST_DB_OF_PATCHES = 30.0
"""Likewise of the patches that become a stage's tokens: all that it does begins with them."""

# What these read is a product, a gated sum or the residual stream: nothing before them brings its tokens to one size.
_CANDIDATES = re.compile(r"stage\d+\.block\d+\.modulation\.(proj|h|h_temporal)")


def layers_to_scale(form: DeployForm, clips: Iterable[Any]) -> tuple[str, ...]:
    """The paths of the linear layers to scale per token, from what they read of a few clips `(T,3,H,W)`.

    For each, the size of its median token (root mean square over channels) against the rounding error of a scale
    that reaches the largest value: `20 log10(size · √12 · 255 / (max - min))`. The convolutions between stages are
    among them where they read patches, each of which is a token then.
    """
    least = _candidates(form)
    reading = {name: _Reading(form.get_submodule(name)) for name in least}
    hooks = [form.get_submodule(name).register_forward_pre_hook(reading[name].watch) for name in reading]
    try:
        each(lambda clip: form(pixels_of(clip)), clips)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(name for name, seen in reading.items() if seen.median_db < least[name])


def scale_per_token(
    form: DeployForm, paths: Collection[str], normalizer: Normalizer, scaling: TokenScaling = "written"
) -> None:
    """Put layers with per-token scaling in the place of those at `paths`."""
    for path in paths:
        parent, _, name = path.rpartition(".")
        owner, layer = form.get_submodule(parent), form.get_submodule(path)
        if isinstance(owner, Downsample):
            assert isinstance(layer, nn.Conv2d)
            scaled: nn.Module = PerTokenScaledPatches(layer, owner.side_in, normalizer, scaling)
        else:
            assert isinstance(layer, nn.Linear)
            scaled = PerTokenScaledLinear(layer, normalizer, scaling)
        setattr(owner, name, scaled.requires_grad_(False))


def _candidates(form: DeployForm) -> dict[str, float]:
    """The paths of the layers that may need it, each with the decibels below which it does."""
    stages = [name for name, _ in form.named_children() if name.startswith("stage")]
    least = {}
    for name, module in form.named_modules():
        if _CANDIDATES.fullmatch(name):
            least[name] = LEAST_DB_IN_LAST_STAGE if name.startswith(f"{stages[-1]}.") else LEAST_DB
        elif isinstance(module, Downsample) and module.is_over_patches:
            least[f"{name}.proj"] = LEAST_DB_OF_PATCHES
    return least


class _Reading:
    """What one layer read: sizes of its tokens, or patches, and the largest range."""

    def __init__(self, layer: nn.Module) -> None:
        self._kernel = int(layer.kernel_size[0]) if isinstance(layer, nn.Conv2d) else None
        self._sizes: list[Tensor] = []
        self._low, self._high = 0.0, 0.0
        self._one_by_one = Lock()

    def watch(self, _module: nn.Module, inputs: Sequence[Tensor]) -> None:
        tokens = inputs[0]
        if self._kernel is None:
            squares = tokens.square().mean(-1)
        else:
            squares = nn.functional.avg_pool2d(tokens.square().mean(1, keepdim=True), self._kernel)
        sizes, low, high = squares.sqrt().flatten(), float(tokens.amin()), float(tokens.amax())
        with self._one_by_one:  # clips pass two at once
            self._sizes.append(sizes)
            self._low, self._high = min(self._low, low), max(self._high, high)

    @property
    def median_db(self) -> float:
        size = float(torch.cat(self._sizes).median())
        step = (self._high - self._low) / 255
        return 20 * float(torch.log10(torch.tensor(size * 12**0.5 / step + 1e-30))) if step else float("inf")
