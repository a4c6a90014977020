"""Fake quantization of activations (edges, named alike in every layout) and of weights by channel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchao.quantization.pt2e.fake_quantize import FakeQuantizeBase

from dvfl_mobile.model.lean.rounding import rounded
from dvfl_mobile.quantization.scales import ACTIVATION_RANGE, LEAST_SCALE, WEIGHT_RANGE, Scale, scale_of_range


def weight_scales(weight: Tensor) -> Tensor:
    """Scales by output channel, `(out,)`: the largest magnitude of each at 127."""
    return weight.detach().abs().flatten(1).amax(1).clamp_min(WEIGHT_RANGE[1] * LEAST_SCALE) / WEIGHT_RANGE[1]


class Edge(FakeQuantizeBase):  # type: ignore[misc]
    """A tensor that is rounded to known integers, in float32; in float64 they are exact multiples of the scale.

    In training, `observing` collects the least and greatest value of what passes; `learn` then moves the scale. The
    gradient passes where the value is inside the range (the straight-through estimator).

    Attributes:
        key: the edge's name, such as `stage0.block0.mlp.fc1:out`.
        low, high: of the scale's range, moved by `learn`.
        seen: the least and the greatest value since the last `learn`.
    """

    scale: Tensor
    zero_point: Tensor
    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, key: str, scale: Scale, dtype: torch.dtype, qscheme: torch.qscheme, **_: Any) -> None:
        super().__init__()
        self.key, self.dtype, self.qscheme, self.is_dynamic = key, dtype, qscheme, False
        self.quant_min, self.quant_max = ACTIVATION_RANGE
        self.observing = False
        self.register_buffer("scale", torch.tensor([scale.scale]))
        self.register_buffer("zero_point", torch.tensor([scale.zero_point], dtype=torch.int32))
        self.register_buffer("low", self.scale * (self.quant_min - self.zero_point))
        self.register_buffer("high", self.scale * (self.quant_max - self.zero_point))
        self.register_buffer("seen", torch.tensor([torch.inf, -torch.inf]))

    def forward(self, tensor: Tensor) -> Tensor:
        values = tensor.float()
        if self.observing:
            with torch.no_grad():
                self.seen[0] = torch.minimum(self.seen[0], values.detach().amin())
                self.seen[1] = torch.maximum(self.seen[1], values.detach().amax())
        if tensor.dtype == torch.float64:
            steps = (values * (1 / self.scale)).round() + self.zero_point
            return (steps.clamp(self.quant_min, self.quant_max) - self.zero_point).double() * self.scale.double()
        if not torch.is_grad_enabled():
            return rounded(values, float(self.scale), int(self.zero_point), self.quant_min, self.quant_max)
        return torch.fake_quantize_per_tensor_affine(
            values, self.scale, self.zero_point, self.quant_min, self.quant_max
        )

    def learn(self, share: float) -> None:
        """Move the range by `share`, 0 to 1, of the way to what was seen, and forget that."""
        if bool(self.seen.isfinite().all()):
            self.low += share * (self.seen[:1].clamp_max(0) - self.low)
            self.high += share * (self.seen[1:].clamp_min(0) - self.high)
            found = scale_of_range(float(self.low), float(self.high))
            self.scale.fill_(found.scale)
            self.zero_point.fill_(found.zero_point)
        self.seen.copy_(torch.tensor([torch.inf, -torch.inf]))

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        return self.scale, self.zero_point

    @property
    def known(self) -> Scale:
        """The scale as it stands."""
        return Scale(scale=float(self.scale), zero_point=int(self.zero_point))


class TokenEdge(FakeQuantizeBase):  # type: ignore[misc]
    """Tokens that are rounded each by its own range, `(...,C)`, as XNNPACK quantizes them when they come.

    The range holds zero; its ends are at the least and the most integer, but for what moves zero onto one.
    """

    def __init__(self, dtype: torch.dtype, qscheme: torch.qscheme, **_: Any) -> None:
        super().__init__()
        self.dtype, self.qscheme, self.is_dynamic = dtype, qscheme, True
        self.quant_min, self.quant_max = ACTIVATION_RANGE
        self.eps = LEAST_SCALE

    def forward(self, tokens: Tensor) -> Tensor:
        low = tokens.amin(-1, keepdim=True).clamp_max(0)
        high = tokens.amax(-1, keepdim=True).clamp_min(0)
        scale = ((high - low) / (self.quant_max - self.quant_min)).clamp_min(self.eps)
        zero = (self.quant_min - low / scale).round()
        steps = (tokens / scale).round() + zero
        return (steps.clamp(self.quant_min, self.quant_max) - zero) * scale

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("each token has its own, which is known when it comes")


class PerChannelWeightEdge(FakeQuantizeBase):  # type: ignore[misc]
    """A weight that is rounded by output channel; its scales follow the weight, or are those that are given.

    (torchao passes the axis of the channels only to classes with `PerChannel` in their names.)
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(
        self, key: str, dtype: torch.dtype, qscheme: torch.qscheme, scale: Tensor | None = None, **_: Any
    ) -> None:
        super().__init__()
        self.key, self.dtype, self.qscheme, self.ch_axis, self.is_dynamic = key, dtype, qscheme, 0, False
        self.quant_min, self.quant_max = WEIGHT_RANGE
        self.following = scale is None
        self.register_buffer("scale", torch.ones(1) if scale is None else scale.clone())
        self.register_buffer("zero_point", torch.zeros_like(self.scale, dtype=torch.int32))
        self._rounded: tuple[int, Tensor] | None = None

    def forward(self, weight: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return self._round(weight)
        # Outside of training the weight stays as it is from clip to clip.
        if self._rounded is None or self._rounded[0] != weight._version:
            self._rounded = (weight._version, self._round(weight))
        return self._rounded[1]

    def _round(self, weight: Tensor) -> Tensor:
        if self.following:
            self.scale = weight_scales(weight)
            self.zero_point = torch.zeros_like(self.scale, dtype=torch.int32)
        if weight.dtype == torch.float64:
            scale = self.scale.double().view(-1, *[1] * (weight.dim() - 1))
            return (weight / scale).round().clamp(self.quant_min, self.quant_max) * scale
        return torch.fake_quantize_per_channel_affine(
            weight, self.scale, self.zero_point, 0, self.quant_min, self.quant_max
        )

    def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
        return self.scale, self.zero_point
