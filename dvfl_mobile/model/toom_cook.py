"""Toom-Cook along time: a dense temporal convolution in fewer products of channels.

Four moments of a result are a filter of k moments slid over k + 3 moments of its input: 4k products with a matrix of
C·C weights. By Toom and Cook's minimal filter F(4,k) (Winograd's, where pictures are meant) k + 3 do. Weights and
input are turned into k + 3 of each, each pair is multiplied, and the products are turned into four moments:

    y = Aᵀ [(G w) ⊙ (Bᵀ x)]

`G` is applied to the weights once and for all, in float64. Of k + 3 points, one is infinity, one 0, and the others come
in pairs a, -a: rows of Bᵀ for 0 and infinity read every other moment then, and the products of a pair are only added
and subtracted. The formulas: S. Winograd, "Arithmetic Complexity of Computations", 1980; the layout of the matrices is
that of A. Lavin and S. Gray, arXiv:1509.09308.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import torch
from torch import Tensor, nn

from dvfl_mobile.model import rewrites

MOMENTS = 4
"""Of the result, that one set of products gives."""

LEAST_CHANNELS, LEAST_PLACES = 192, 49
"""From as many channels and places on it was measured to be faster, on both runtimes: docs/deploy-form.md. What the
products save grows with the square of the channels, and what is added and multiplied around them with the channels; and
of few places most of the time goes into reading the weights, of which it has more."""

POINTS: Mapping[int, tuple[Fraction, ...]] = MappingProxyType(
    {3: (Fraction(1), Fraction(2)), 5: (Fraction(1), Fraction(2), Fraction(1, 2))}
)
"""By moments of the kernel: a of each pair of points a, -a. Those of the least error in float32 of the sets that were
tried, and all powers of them are exact."""


def is_faster(channels: int, kernel: int, frames: int, places: int) -> bool:
    """Whether Toom-Cook is faster for a convolution of `kernel` moments with that many channels in and out.

    Kernels of more moments than five would need more points, whose powers differ more, and cost more digits.

    Args:
        frames, places: T and N of the tokens.
    """
    is_large = channels >= LEAST_CHANNELS and places >= LEAST_PLACES
    return is_large and kernel in POINTS and frames % MOMENTS == 0


class ToomCookConvolution(nn.Module):
    """A `Conv1d` along time at each place, by Toom-Cook: `(1,C,T,N)` to the same, channels last in memory.

    `input0` and so on are rows of Bᵀ: depthwise convolutions whose stride is the four moments. `product0` and so on
    are the products, each of `(1,C,T/4,N)`. The rest are sums. Nothing is transposed.

    Args:
        layer: the convolution that it replaces, with `kernel // 2` moments of zeros at each end; T has to be divisible
            by four.
    """

    def __init__(self, layer: nn.Conv1d) -> None:
        super().__init__()
        kernel = int(layer.kernel_size[0])
        pairs = POINTS[kernel]
        filters = minimal_filter(kernel)
        weights = torch.einsum("pk,oik->poi", _matrix(filters.weights), layer.weight.double()).float()
        self.powers = tuple(tuple(float(point**power) for power in range(MOMENTS)) for point in pairs)
        self._layers = [(f"input{index}", f"product{index}") for index in range(len(weights))]
        for (row, product), values, weight in zip(self._layers, filters.inputs, weights, strict=True):
            self.add_module(row, _input_row(values, layer.in_channels, kernel // 2))
            # The product at point 1 is part of every moment, by a factor of one.
            bias = layer.bias if product == "product1" else None
            self.add_module(product, rewrites.conv(weight[..., None, None], bias))

    def forward(self, lines: Tensor) -> Tensor:
        _, channels, frames, places = lines.shape
        products = [self._tokens(getattr(self, product)(getattr(self, row)(lines))) for row, product in self._layers]
        zero, infinity = products[0], products[-1]
        positive, negative = products[1:-1:2], products[2:-1:2]
        even = [one + other for one, other in zip(positive, negative, strict=True)]
        odd = [one - other for one, other in zip(positive, negative, strict=True)]
        moments = [self._sum(odd if power % 2 else even, power) for power in range(MOMENTS)]
        moments[0], moments[-1] = zero + moments[0], moments[-1] + infinity
        return torch.cat(moments, 1).reshape(1, frames, places, channels).permute(0, 3, 1, 2)

    @staticmethod
    def _tokens(product: Tensor) -> Tensor:
        """`(T/4,1,N·C)` of `(1,C,T/4,N)`: nothing moves."""
        _, channels, tiles, places = product.shape
        return product.permute(0, 2, 3, 1).reshape(tiles, 1, places * channels)

    def _sum(self, halves: Sequence[Tensor], power: int) -> Tensor:
        """The sums, or the differences, of all pairs, each by that power of its point."""
        factors = [powers[power] for powers in self.powers]
        total, *others = [half if factor == 1 else half * factor for half, factor in zip(halves, factors, strict=True)]
        for other in others:
            total = total + other
        return total


@dataclass(frozen=True)
class MinimalFilter:
    """The matrices of F(4,k), exactly; a row for each of k + 3 points: 0, each pair a and -a, infinity.

    Attributes:
        weights: G, `(k+3,k)`.
        inputs: Bᵀ, `(k+3,k+3)`.
        outputs: Aᵀ, `(4,k+3)`.
    """

    weights: tuple[tuple[Fraction, ...], ...]
    inputs: tuple[tuple[Fraction, ...], ...]
    outputs: tuple[tuple[Fraction, ...], ...]


def minimal_filter(kernel: int) -> MinimalFilter:
    """F(4,kernel) at `POINTS[kernel]`: interpolation of Lagrange's, transposed."""
    points = [Fraction(0), *(sign * point for point in POINTS[kernel] for sign in (1, -1))]
    zero, one = Fraction(0), Fraction(1)
    weights, inputs = [], []
    for point in points:
        others = [other for other in points if other != point]
        scale = one
        for other in others:
            scale *= point - other
        weights.append(tuple(point**power / scale for power in range(kernel)))
        inputs.append((*_coefficients(others), zero))
    weights.append((*[zero] * (kernel - 1), one))
    inputs.append(tuple(_coefficients(points)))
    outputs = [(*(point**power for point in points), one if power == MOMENTS - 1 else zero) for power in range(MOMENTS)]
    return MinimalFilter(tuple(weights), tuple(inputs), tuple(outputs))


def _coefficients(roots: Sequence[Fraction]) -> list[Fraction]:
    """Of the polynomial with these roots, the constant first and one last."""
    found = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *found], [*(-root * value for value in found), Fraction(0)]
        found = [one + other for one, other in zip(shifted, scaled, strict=True)]
    return found


def _matrix(rows: Sequence[Sequence[Fraction]]) -> Tensor:
    return torch.tensor([[float(value) for value in row] for row in rows], dtype=torch.float64)


def _input_row(values: Sequence[Fraction], channels: int, padding: int) -> nn.Conv2d:
    """A row of Bᵀ as a depthwise convolution along time, of `(1,C,T,N)` to `(1,C,T/4,N)`.

    It reads no moment that it has a zero for, as far as a convolution can leave one out: runtimes have kernels of their
    own for three and for four rows.

    Args:
        values: for each moment of a tile; the first is `padding` moments before the tile's own.
        padding: moments of zeros that the convolution it is part of has at each end.
    """
    read = [place for place, value in enumerate(values) if value]
    step = 2 if all((place - read[0]) % 2 == 0 for place in read) else 1
    first = read[0]
    # There are as many zeros at both ends. With fewer at the first, the last tile would lack its end; and no tile
    # begins within the clip.
    while first > padding or read[-1] - first + 1 - 2 * (padding - first) > MOMENTS:
        first -= step
    taps = [float(values[place]) if place >= 0 else 0.0 for place in range(first, read[-1] + 1, step)]
    weight = torch.tensor(taps).reshape(1, 1, -1, 1).expand(channels, -1, -1, -1)
    return rewrites.conv(weight, None, (MOMENTS, 1), (padding - first, 0), channels, (step, 1))
