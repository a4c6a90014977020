"""The rewrites that make the deploy form: each keeps the function and changes only how it is computed.

A rewrite takes trained layers and returns the layer that a phone runs in their place. None of them is an
approximation: in exact arithmetic each equals what it replaces, and `tests/unit/model/test_rewrites.py` holds every
one of them to that by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dvfl_mobile.targets import Normalizer, TokenScaling

# Keeps the size of an empty token from being divided by. Half precision's least normal number: one over it fits too.
_LEAST_SIZE = 2.0**-14
# A scaled token's mean size is one over it. The largest of C channels is at most C/2 times the mean, so that with it
# a square stays in half precision for up to 2,047 channels.
_SPREAD = 4.0
# Sums into which a mean is split.
_PARTS = 8
# For weights that are replaced at once: drawing random ones took a quarter of the time of making the nano's form.
_NOWHERE = "meta"


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A linear layer that holds exactly `weight`, `(out,in)`, and `bias`, `(out,)`."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=_NOWHERE)
    layer.weight = _frozen(weight)
    if bias is not None:
        layer.bias = _frozen(bias)
    return layer


def conv(
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] | str = (0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1),
) -> nn.Conv2d:
    """A 2-D convolution that holds exactly `weight`, `(out,in/groups,kh,kw)`, and `bias`, `(out,)`."""
    layer = nn.Conv2d(
        in_channels=weight.shape[1] * groups,
        out_channels=weight.shape[0],
        kernel_size=_pair(weight.shape[2:]),
        stride=_pair(stride),
        padding=_pair(padding),
        dilation=_pair(dilation),
        groups=groups,
        bias=bias is not None,
        device=_NOWHERE,
    )
    layer.weight = _frozen(weight)
    if bias is not None:
        layer.bias = _frozen(bias)
    return layer


def tubelet_as_conv2d(proj: nn.Conv3d) -> nn.Conv2d:
    """`Conv3d` over tubelets as `Conv2d` over their pictures stacked in the channels.

    The kernel is as deep as the stride, so a tubelet's `t` pictures of 3 channels are one picture of `3t`:
    `(T,3,H,W)` in memory already is `(T/t,3t,H,W)`. Tensors keep four dimensions.
    """
    weight = proj.weight.transpose(1, 2).flatten(1, 2)
    return conv(weight, proj.bias, stride=proj.stride[1:])


def fold_pixels(proj: nn.Conv2d, mean: Sequence[float], std: Sequence[float]) -> tuple[nn.Conv2d, Tensor | None]:
    """Fold `(pixel - mean) / std` into the first convolution, which then takes raw 0-255 pixels.

    Exact without padding. With padding, the zeros that surround a normalized picture are worth `mean` in raw
    pixels, which a convolution can't pad with: then only `std` is folded, and `mean` comes back to be
    subtracted from the pixels first.

    Args:
        proj: takes `(T,3t,H,W)`, t pictures of a tubelet stacked.
        mean, std: of the three channels, in units of a pixel.

    Returns:
        The convolution, and `mean` as `(1,3t,1,1)` where it has to be subtracted before, else None.
    """
    repeats = proj.in_channels // len(mean)
    # Folded in double precision and rounded once: the fold itself must not cost accuracy.
    centre = torch.tensor(mean, dtype=torch.float64).repeat(repeats).view(1, -1, 1, 1)
    scale = torch.tensor(std, dtype=torch.float64).repeat(repeats).view(1, -1, 1, 1)
    weight = proj.weight.double() / scale
    bias = torch.zeros(proj.out_channels, dtype=torch.float64) if proj.bias is None else proj.bias.double()
    padded = any(int(side) for side in proj.padding)
    if not padded:
        bias = bias - (weight * centre).sum(dim=(1, 2, 3))
    folded = conv(weight.float(), bias.float(), stride=proj.stride, padding=proj.padding)
    return folded, centre.float() if padded else None


def fold_affine(norm: nn.LayerNorm, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Fold a layer norm's scale and shift into the linear layer that reads it: `(out,in)`, `(out,)`."""
    scale, shift, matrix = norm.weight.double(), norm.bias.double(), weight.double()
    return (matrix * scale).float(), (bias.double() + matrix @ shift).float()


def fold_scale(gamma: Tensor | float, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Fold layer scale, `(out,)`, into the linear layer that it multiplies."""
    scale = torch.as_tensor(gamma, dtype=torch.float64)
    rows = scale[:, None] if scale.ndim else scale
    return (rows * weight.double()).float(), (scale * bias.double()).float()


def temporal_as_conv2d(layer: nn.Conv1d) -> nn.Conv2d:
    """`Conv1d` over time as `Conv2d` of kernel (k,1) over (T, H·W): every place of the picture in one call."""
    return conv(layer.weight[..., None], layer.bias, padding=(int(layer.padding[0]), 0))


def temporal_mean_as_conv2d(channels: int, frames: int) -> nn.Conv2d:
    """The mean over time as a depthwise convolution of kernel (T,1): `(1,C,T,N)` to `(1,C,1,N)`.

    No delegate takes a mean over that one dimension of a channels-last tensor; all take a convolution.
    """
    return conv(torch.full((channels, 1, frames, 1), 1 / frames), None, groups=channels)


class Standardize(nn.Module):
    """A layer norm without its scale and shift: `(T,N,C)` to the same, zero mean and unit variance over C.

    `native` is the framework's own operator. `means` spells out its two means. `half_means` does too, and keeps the
    squares apart from their mean: XNNPACK makes one operator of both, which it has no half-precision kernel for, and
    all that comes after would be float32. `products` writes them as products with a constant vector of 1/C, since
    ExecuTorch gives XNNPACK no layer norm and no mean over the last dimension, and would break the graph into pieces
    around each. `half_products` has `PooledMean` in the place of these products, whose sums would be half, and
    `split_products` has `SplitMean`, between integers.

    Args:
        eps: of the layer norm, for tokens as they are in the reference form.
        shrink: what tokens come multiplied by, a power of two. The variance comes by its square, and `eps` with it, so
            that the result is the same to the bit.
        per_token_scaled: whether tokens are brought to one size before they are squared, so that no token that half
            precision holds has squares, or a sum of them, that it doesn't: `c / √(mean c² + eps)` is
            `c·l / √(mean (c·l)² + eps·l²)` for any l, and `l = 1 / (4·mean |c|)`. Spelled out by `native` too, whose
            own operator takes one `eps` for all tokens.
    """

    def __init__(
        self, channels: int, eps: float, normalizer: Normalizer, shrink: float = 1.0, *, per_token_scaled: bool = False
    ) -> None:
        super().__init__()
        self.channels, self.eps, self.per_token_scaled = channels, eps * shrink**2, per_token_scaled
        self.is_native = normalizer == "native" and not per_token_scaled
        self.keeps_squares_apart = normalizer == "half_means"
        self.mean = _mean_layer(channels, normalizer)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.is_native:
            return nn.functional.layer_norm(tokens, (self.channels,), eps=self.eps)
        centred = tokens - _mean(tokens, self.mean)
        if not self.per_token_scaled:
            return centred * torch.rsqrt(self._mean_of_squares(centred) + self.eps)
        root = torch.rsqrt(_mean(centred.abs(), self.mean) * _SPREAD + _LEAST_SIZE)
        scale = root * root
        # The root of eps and then its square: by itself, eps is below half precision.
        least = scale * math.sqrt(self.eps)
        centred = centred * scale
        return centred * torch.rsqrt(self._mean_of_squares(centred) + least * least)

    def _mean_of_squares(self, values: Tensor) -> Tensor:
        """`(...,1)` of `(...,C)`."""
        if self.keeps_squares_apart:
            # The product of two tensors is no square to anybody.
            return _mean(values * (values * -1.0), self.mean) * -1.0
        return _mean(values * values, self.mean)


class LayerNorm(nn.Module):
    """A layer norm whose scale and shift no linear layer takes in: `(T,N,C)` to the same.

    Args:
        norm: the layer norm that it replaces.
        normalizer: how the statistics are computed.
        gamma: what follows at once and is folded into scale and shift: layer scale, and what tokens are shrunk by.
        shrink, per_token_scaled: of `Standardize`.
    """

    def __init__(
        self,
        norm: nn.LayerNorm,
        normalizer: Normalizer,
        gamma: Tensor | float = 1.0,
        shrink: float = 1.0,
        *,
        per_token_scaled: bool = False,
    ) -> None:
        super().__init__()
        channels = int(norm.normalized_shape[0])
        self.standardize = Standardize(channels, norm.eps, normalizer, shrink, per_token_scaled=per_token_scaled)
        self.scale = _frozen(norm.weight * gamma)
        self.shift = _frozen(norm.bias * gamma)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.standardize(tokens) * self.scale + self.shift


class PerTokenScaledLinear(nn.Module):
    """A linear layer whose tokens are brought to one size before it and back after: `(...,in)` to `(...,out)`.

    `W x + b = size · W (x / size) + b`, with a size for each token, `size = mean |x|` over its channels: exact, and
    for a float network without use. It is for int8: products of several factors differ in size by a factor of
    thousands from token to token, and one scale for all of them leaves the small ones nothing. Not the root mean
    square, whose squares leave float16.

    A runtime that quantizes each token by its own range, as XNNPACK does, needs none of that: given the plain layer, it
    does the same in two passes over the tokens, where these are eight.

    Args:
        layer: the linear layer that it replaces.
        normalizer: how the mean is computed.
        scaling: `written`: as above; `runtime`: the plain layer, under the names of its parameters here.
    """

    def __init__(self, layer: nn.Linear, normalizer: Normalizer, scaling: TokenScaling = "written") -> None:
        super().__init__()
        self.scaling = scaling
        self.mean = _mean_layer(layer.in_features, normalizer) if scaling == "written" else None
        self.linear = UnbiasedLinear(layer.weight)
        self.bias = _frozen(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.scaling == "runtime":
            result: Tensor = self.linear(tokens, self.bias)
            return result
        size = _mean(tokens.abs(), self.mean) + _LEAST_SIZE
        root = torch.rsqrt(size)
        return self.linear(tokens * (root * root)) * size + self.bias


class UnbiasedLinear(nn.Linear):
    """A linear layer that holds a weight, `(out,in)`, and may be given a bias, `(out,)`, that another holds."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.shape[1], weight.shape[0], bias=False)
        self.weight = _frozen(weight)

    def forward(self, tokens: Tensor, bias: Tensor | None = None) -> Tensor:
        return nn.functional.linear(tokens, self.weight, bias)


class PerTokenScaledPatches(PerTokenScaledLinear):
    """A convolution over patches as a per-token scaled linear layer: tokens `(T,N,C)` to `(T,N/k²,out)`.

    Its kernel is as large as its stride and there is no padding, so that each place reads a patch of `k·k` tokens and
    no other place does: a patch is one token of `k·k·C` channels. The patches are gathered by one transpose of four
    dimensions, since the tokens of one row of a patch lie side by side already.

    Args:
        layer: the convolution that it replaces; see `is_over_patches`.
        side: H = W of the pictures.
        normalizer, scaling: of `PerTokenScaledLinear`.
    """

    def __init__(self, layer: nn.Conv2d, side: int, normalizer: Normalizer, scaling: TokenScaling = "written") -> None:
        weight = layer.weight.permute(0, 2, 3, 1).flatten(1)
        super().__init__(linear(weight, layer.bias), normalizer, scaling)
        self.kernel, self.side = int(layer.kernel_size[0]), side

    def forward(self, tokens: Tensor) -> Tensor:
        kernel, side = self.kernel, self.side // self.kernel
        frames, channels = tokens.shape[0], tokens.shape[-1]
        rows = tokens.reshape(frames * side, kernel, side, kernel * channels).transpose(1, 2)
        shape = (frames, side * side) if tokens.dim() == 3 else (frames, side, side)
        return super().forward(rows.reshape(*shape, kernel * kernel * channels))


def is_over_patches(layer: nn.Conv2d, side: int) -> bool:
    """Whether a convolution reads each token of pictures of that side once: by patches that leave none out."""
    kernel, stride, padding = _pair(layer.kernel_size), _pair(layer.stride), _pair(layer.padding)
    return kernel == stride == (kernel[0], kernel[0]) and padding == (0, 0) and side % kernel[0] == 0


class PooledMean(nn.Module):
    """The mean over the channels, `(T,N,C)` to `(T,N,1)`, as that of T·N pictures `(1,C,1)`.

    Of all means, ExecuTorch gives XNNPACK those over the sides of pictures alone. In half precision their sums are
    float32.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        pictures = tokens.reshape(-1, 1, tokens.shape[-1], 1)
        return pictures.mean((2, 3), keepdim=True).reshape(*tokens.shape[:-1], 1)


class SplitMean(nn.Module):
    """The mean over the channels, `(T,N,C)` to `(T,N,1)`, as a product that sums parts of them and one of these sums.

    In static int8 the first is half and the second float32: tokens needn't become float32 for their mean, and no sum of
    halves has more than C/8 terms. On x86-64 XNNPACK's products of 8 columns take as long as those of one.

    Attributes:
        parts: `(8,C)`, which adds up neighbouring channels, times a power of two about the root of their number, so
            that the sums of squares keep from both ends of half precision.
        whole: `(1,8)`, which makes the mean of them.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        scale = 2.0 ** -math.ceil(math.log2(max(channels / _PARTS, 1)) / 2)
        parts = torch.zeros(_PARTS, channels)
        each = torch.arange(channels)
        parts[each * _PARTS // channels, each] = scale
        self.parts = _frozen(parts)
        self.whole = _frozen(torch.full((1, _PARTS), 1 / (channels * scale)))

    def forward(self, tokens: Tensor) -> Tensor:
        return nn.functional.linear(nn.functional.linear(tokens, self.parts), self.whole)


def _mean_layer(channels: int, normalizer: Normalizer) -> nn.Module | None:
    if normalizer == "half_products":
        return PooledMean()
    if normalizer == "split_products":
        return SplitMean(channels)
    return linear(torch.full((1, channels), 1 / channels), None) if normalizer == "products" else None


def _mean(tokens: Tensor, layer: nn.Module | None) -> Tensor:
    """The mean over the channels, `(...,1)`, by a layer of its own where there is one."""
    mean: Tensor = tokens.mean(-1, keepdim=True) if layer is None else layer(tokens)
    return mean


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone().contiguous(), requires_grad=False)


def _pair(sides: Sequence[int] | str) -> tuple[int, int]:
    assert not isinstance(sides, str)
    rows, columns = sides
    return rows, columns
