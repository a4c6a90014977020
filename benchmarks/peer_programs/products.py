"""The bare matrix products of a network: what its arithmetic alone costs in a runtime, in float32 and in int8."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.network import VideoFocalNet

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LEAST, _MOST = -128, 127


class Product(NamedTuple):
    """A matrix product, `(rows, inner)` by `(inner, outer)`."""

    rows: int
    inner: int
    outer: int

    @property
    def multiply_adds(self) -> int:
        return self.rows * self.inner * self.outer


def products_of(architecture: Architecture) -> tuple[list[Product], int]:
    """Every product of a network, in the order in which they run, and the multiply-adds of its depthwise convolutions.

    Linear layers as they are, dense convolutions as products over their patches. The network runs once on shapes alone.
    """
    found: list[Product] = []
    depthwise = 0

    def note(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal depthwise
        if isinstance(layer, nn.Linear):
            rows = inputs[0].numel() // layer.in_features
            found.append(Product(rows, layer.in_features, layer.out_features))
        elif isinstance(layer, _CONVOLUTIONS):
            inner = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
            if layer.groups == 1:
                found.append(Product(output.numel() // layer.out_channels, inner, layer.out_channels))
            else:
                depthwise += output.numel() * inner

    with torch.device("meta"):
        network = VideoFocalNet(architecture).eval()
        clip = torch.empty(1, architecture.num_frames, architecture.in_chans, *[architecture.img_size] * 2)
    for layer in network.modules():
        layer.register_forward_hook(note)
    with torch.no_grad():
        network(clip)
    return found, depthwise


class Products(nn.Module):
    """Each product by itself, in float32: reads its own input, gives its own output; inputs of one shape are shared."""

    def __init__(self, products: Sequence[Product]) -> None:
        super().__init__()
        self.products = tuple(products)
        self.shapes = sorted({(product.rows, product.inner) for product in products})
        stream = torch.Generator().manual_seed(0)
        self.weights = _fixed(torch.randn(p.outer, p.inner, generator=stream) / math.sqrt(p.inner) for p in products)

    def inputs(self) -> tuple[Tensor, ...]:
        """Something for it to read, one for each shape."""
        stream = torch.Generator().manual_seed(1)
        return tuple(torch.randn(*shape, generator=stream) for shape in self.shapes)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.shapes, inputs, strict=True))
        return tuple(
            F.linear(given[product.rows, product.inner], weight)
            for product, weight in zip(self.products, self.weights, strict=True)
        )


class Int8Products(Products):
    """The same in static int8: each reads int8 and gives int8, by fixed scales, and weights have theirs by channel.

    Args:
        fold: hold the weights as integers, and take and give int8. LiteRT's converter wants floats everywhere, with the
            operators that round them; it drops those at inputs and outputs.
    """

    SCALE = 1 / 32

    def __init__(self, products: Sequence[Product], *, fold: bool) -> None:
        import torchao.quantization.pt2e.quantize_pt2e  # noqa: F401  (defines the operators)

        super().__init__(products)
        self.fold = fold
        self.scales = _fixed(weight.abs().amax(1) / _MOST for weight in self.weights)
        self.zeros = _fixed(torch.zeros(len(weight), dtype=torch.int64) for weight in self.weights)
        if fold:
            pairs = zip(self.weights, self.scales, strict=True)
            self.weights = _fixed((weight / scale[:, None]).round().to(torch.int8) for weight, scale in pairs)

    def inputs(self) -> tuple[Tensor, ...]:
        floats = super().inputs()
        return tuple(map(self._rounded, floats)) if self.fold else floats

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        integers = inputs if self.fold else tuple(map(self._rounded, inputs))
        given = dict(zip(self.shapes, map(self._float, integers), strict=True))
        rows = zip(self.products, self.weights, self.scales, self.zeros, strict=True)
        found = tuple(
            self._rounded(F.linear(given[product.rows, product.inner], self._weight(*weight)))
            for product, *weight in rows
        )
        return found if self.fold else tuple(map(self._float, found))

    def _rounded(self, values: Tensor) -> Tensor:
        return _operators().quantize_per_tensor(values, self.SCALE, 0, _LEAST, _MOST, torch.int8)

    def _float(self, integers: Tensor) -> Tensor:
        return _operators().dequantize_per_tensor(integers, self.SCALE, 0, _LEAST, _MOST, torch.int8)

    def _weight(self, weight: Tensor, scale: Tensor, zeros: Tensor) -> Tensor:
        rounding: tuple[Any, ...] = (scale, zeros, 0, -_MOST, _MOST, torch.int8)
        integers = weight if self.fold else _operators().quantize_per_channel(weight, *rounding)
        return _operators().dequantize_per_channel(integers, *rounding)


def _fixed(values: Iterable[Tensor]) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(value, requires_grad=False) for value in values)


def _operators() -> Any:
    return torch.ops.quantized_decomposed
