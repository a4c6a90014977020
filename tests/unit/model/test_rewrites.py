"""Each rewrite by itself: what it makes computes what the layers that it replaces compute."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dvfl_mobile.data import clips
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.model import rewrites
from dvfl_mobile.targets import Normalizer

# The same float32 terms added in another order: a sum of some hundred terms is off by a few ulps (6e-8 each) of
# the largest partial sum. All comparisons are relative to the largest value expected.
REORDERED = 2e-6
# The product form rounds the mean, the variance, and each factor on its own; torch's operator rounds once.
STATISTICS = 4e-6
# Raw pixels are up to 255 where normalized ones are about 2: sums twice as large cancel against the folded mean.
PIXELS = 4e-6

both_normalizers = pytest.mark.parametrize("normalizer", ["products", "split_products", "means", "native"])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


def test_linear_holds_a_copy_of_what_it_is_given() -> None:
    weight, bias = torch.randn(5, 3), torch.randn(5)
    layer, without = rewrites.linear(weight, bias), rewrites.linear(weight, None)
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.bias, bias)
    assert without.bias is None
    assert not layer.weight.requires_grad
    weight.zero_()
    assert layer.weight.abs().min() > 0


def test_conv_holds_a_copy_of_what_it_is_given() -> None:
    weight, bias = torch.randn(6, 1, 3, 5), torch.randn(6)
    layer = rewrites.conv(weight, bias, stride=(2, 1), padding=(1, 2), groups=6)
    pictures = torch.randn(2, 6, 7, 9)
    expected = nn.functional.conv2d(pictures, weight, bias, stride=(2, 1), padding=(1, 2), groups=6)
    assert torch.equal(layer(pictures), expected)
    assert rewrites.conv(weight, None, groups=6).bias is None
    assert not layer.weight.requires_grad
    weight.zero_()
    assert layer.weight.abs().min() > 0


@pytest.mark.parametrize("bias", [True, False])
def test_tubelet_as_conv2d(bias: bool) -> None:
    proj = nn.Conv3d(3, 8, kernel_size=(2, 4, 4), stride=(2, 4, 4), bias=bias)
    clip = torch.randn(6, 3, 8, 12)
    expected = proj(clip.transpose(0, 1)[None])[0].transpose(0, 1)
    assert_close(rewrites.tubelet_as_conv2d(proj)(clip.reshape(3, 6, 8, 12)), expected, REORDERED)


@pytest.mark.parametrize("bias", [True, False])
def test_fold_pixels_without_padding_takes_every_raw_value(bias: bool) -> None:
    proj = nn.Conv2d(3, 8, kernel_size=4, stride=4, bias=bias)
    raw = every_pixel_value()
    folded, mean = rewrites.fold_pixels(proj, SPEC.mean, SPEC.std)
    assert mean is None
    assert_close(folded(raw.float()), proj(normalized(raw)), PIXELS)


def test_fold_pixels_without_padding_takes_values_between_whole_ones() -> None:
    proj = nn.Conv2d(3, 8, kernel_size=4, stride=4)
    raw = torch.rand(2, 3, 16, 16) * 255
    folded, _ = rewrites.fold_pixels(proj, SPEC.mean, SPEC.std)
    assert_close(folded(raw), proj(normalized(raw)), PIXELS)


def test_fold_pixels_into_the_stacked_pictures_of_a_tubelet() -> None:
    proj = nn.Conv3d(3, 8, kernel_size=(2, 4, 4), stride=(2, 4, 4))
    raw = every_pixel_value(pictures=4)
    folded, mean = rewrites.fold_pixels(rewrites.tubelet_as_conv2d(proj), SPEC.mean, SPEC.std)
    expected = proj(normalized(raw).transpose(0, 1)[None])[0].transpose(0, 1)
    assert mean is None
    assert_close(folded(raw.float().reshape(2, 6, 16, 16)), expected, PIXELS)


@pytest.mark.parametrize("bias", [True, False])
def test_fold_pixels_with_padding_is_exact_up_to_the_border(bias: bool) -> None:
    proj = nn.Conv2d(3, 8, kernel_size=7, stride=4, padding=2, bias=bias)
    raw = every_pixel_value()
    folded, mean = rewrites.fold_pixels(proj, SPEC.mean, SPEC.std)
    assert mean is not None
    assert mean.shape == (1, 3, 1, 1)
    assert_close(folded(raw.float() - mean), proj(normalized(raw)), PIXELS)


def test_folding_the_mean_would_be_wrong_at_a_padded_border() -> None:
    proj = nn.Conv2d(3, 8, kernel_size=7, stride=4, padding=2)
    raw = every_pixel_value()
    folded, mean = rewrites.fold_pixels(proj, SPEC.mean, SPEC.std)
    assert mean is not None
    assert folded.bias is not None
    with_mean = rewrites.conv(folded.weight, folded.bias - (folded.weight * mean).sum((1, 2, 3)), (4, 4), (2, 2))
    difference = (with_mean(raw.float()) - proj(normalized(raw))).abs()
    inside, border = difference[:, :, 1:-1, 1:-1], difference[:, :, 0]
    assert inside.max() < 1e-5
    assert border.max() > 0.1


def test_fold_affine() -> None:
    norm, layer = layer_norm(24), nn.Linear(24, 10)
    tokens = torch.randn(2, 7, 24)
    standardized = nn.functional.layer_norm(tokens, (24,), eps=norm.eps)
    folded = rewrites.linear(*rewrites.fold_affine(norm, layer.weight, layer.bias))
    assert_close(folded(standardized), layer(norm(tokens)), REORDERED)


def test_fold_scale() -> None:
    gamma, layer = torch.randn(10), nn.Linear(24, 10)
    tokens = torch.randn(2, 7, 24)
    folded = rewrites.linear(*rewrites.fold_scale(gamma, layer.weight, layer.bias))
    assert_close(folded(tokens), gamma * layer(tokens), REORDERED)


def test_fold_scale_of_one_changes_no_bit() -> None:
    layer = nn.Linear(24, 10)
    weight, bias = rewrites.fold_scale(1.0, layer.weight, layer.bias)
    assert torch.equal(weight, layer.weight)
    assert torch.equal(bias, layer.bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_temporal_as_conv2d(kernel: int, bias: bool) -> None:
    layer = nn.Conv1d(6, 6, kernel, padding=kernel // 2, bias=bias)
    lines = torch.randn(1, 6, 5, 9)
    expected = layer(lines[0].permute(2, 0, 1)).permute(1, 2, 0)[None]
    assert_close(rewrites.temporal_as_conv2d(layer)(lines), expected, REORDERED)


def test_temporal_mean_as_conv2d() -> None:
    lines = torch.randn(1, 6, 5, 9)
    assert_close(rewrites.temporal_mean_as_conv2d(6, frames=5)(lines), lines.mean(2, keepdim=True), REORDERED)


@both_normalizers
def test_standardize_is_a_layer_norm_without_scale_and_shift(normalizer: Normalizer) -> None:
    tokens = torch.randn(4, 9, 48) * 3 + 1
    expected = nn.LayerNorm(48, eps=1e-3, elementwise_affine=False)(tokens)
    assert_close(rewrites.Standardize(48, 1e-3, normalizer)(tokens), expected, STATISTICS)


@both_normalizers
def test_standardize_keeps_small_differences_on_a_large_mean(normalizer: Normalizer) -> None:
    tokens = torch.randn(4, 9, 48) + 1000
    expected = nn.LayerNorm(48, eps=1e-5, elementwise_affine=False)(tokens)
    # A mean of 1000 in float32 is known to 6e-5, a ulp, and a few may add up: so are the values about it, of
    # size 1. A variance taken as a difference of squares would be off by 6e-2.
    assert_close(rewrites.Standardize(48, 1e-5, normalizer)(tokens), expected, 2e-4)


@pytest.mark.parametrize("channels", [5, 20, 96, 768])
def test_a_split_mean_is_the_mean_and_none_of_its_sums_is_long(channels: int) -> None:
    layer = rewrites.SplitMean(channels)
    tokens = torch.randn(3, 7, channels, generator=torch.Generator().manual_seed(0))
    assert_close(layer(tokens), tokens.mean(-1, keepdim=True), STATISTICS)
    terms = layer.parts != 0
    assert terms.sum(0).eq(1).all(), "each channel is in one sum"
    assert terms.sum(1).max() <= -(-channels // 8)
    # A square that has room to grow 16 times, in every channel; and the square of a token an eighth of the usual size.
    for square in (4096.0, 2.0**-13):
        sums = nn.functional.linear(torch.full((1, channels), square).half(), layer.parts.half()).float()
        assert sums.isfinite().all()
        assert sums[sums > 0].min() >= 2.0**-14, "half precision's least normal number"


@both_normalizers
def test_standardize_of_equal_channels_is_zero_and_not_nan(normalizer: Normalizer) -> None:
    tokens = torch.full((1, 2, 48), 7.0)
    # 48 times 1/48 is not quite one in float32: a ulp or so of 7 is divided by sqrt(eps).
    assert rewrites.Standardize(48, 1e-5, normalizer)(tokens).abs().max() < 1e-3


@both_normalizers
def test_layer_norm(normalizer: Normalizer) -> None:
    norm, tokens = layer_norm(48), torch.randn(4, 9, 48)
    assert_close(rewrites.LayerNorm(norm, normalizer)(tokens), norm(tokens), STATISTICS)


@both_normalizers
def test_layer_norm_with_gamma(normalizer: Normalizer) -> None:
    norm, tokens, gamma = layer_norm(48), torch.randn(4, 9, 48), torch.randn(48)
    assert_close(rewrites.LayerNorm(norm, normalizer, gamma)(tokens), gamma * norm(tokens), STATISTICS)


SPEC = ClipSpec()


@pytest.mark.parametrize("kernel", [2, 3])
@both_normalizers
def test_per_token_scaled_patches_compute_the_convolution(normalizer: Normalizer, kernel: int) -> None:
    layer, side = nn.Conv2d(5, 7, kernel, kernel), 6
    pictures = torch.randn(2, 5, side, side) * torch.logspace(-2, 2, side)
    assert rewrites.is_over_patches(layer, side)
    expected = layer(pictures).permute(0, 2, 3, 1)
    tokens = pictures.permute(0, 2, 3, 1)
    patches = rewrites.PerTokenScaledPatches(layer, side, normalizer)
    # A patch's size is divided out and multiplied back: each rounds once more.
    assert_close(patches(tokens), expected, STATISTICS)
    flat = patches(tokens.reshape(2, side * side, 5))
    assert_close(flat, expected.reshape(2, -1, 7), STATISTICS)


@pytest.mark.parametrize("kernel", [None, 2])
@both_normalizers
def test_what_a_runtime_scales_per_token_is_the_plain_layer(normalizer: Normalizer, kernel: int | None) -> None:
    tokens = torch.randn(2, 36, 5)
    if kernel is None:
        layer: nn.Module = nn.Linear(5, 7)
        scaled: nn.Module = rewrites.PerTokenScaledLinear(layer, normalizer, "runtime")
        expected = layer(tokens)
    else:
        layer = nn.Conv2d(5, 7, kernel, kernel)
        scaled = rewrites.PerTokenScaledPatches(layer, 6, normalizer, "runtime")
        expected = layer(tokens.reshape(2, 6, 6, 5).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).reshape(2, -1, 7)
    assert_close(scaled(tokens), expected, STATISTICS)
    assert {name for name, _ in scaled.named_parameters()} == {"linear.weight", "bias"}
    operators = {str(node.target) for node in torch.export.export(scaled, (tokens,)).graph.nodes}
    assert not any("abs" in name or "mul" in name for name in operators), "it scales nothing itself"


def test_a_convolution_that_reads_a_token_twice_or_leaves_one_out_is_not_over_patches() -> None:
    assert not rewrites.is_over_patches(nn.Conv2d(5, 7, 2, 2), 7)
    assert not rewrites.is_over_patches(nn.Conv2d(5, 7, 3, 2, 1), 8)
    assert not rewrites.is_over_patches(nn.Conv2d(5, 7, 2, 2, 1), 8)


def assert_close(got: Tensor, expected: Tensor, tolerance: float) -> None:
    """`got` is float32 and nowhere further from `expected` than `tolerance` of its largest value."""
    assert got.dtype == torch.float32
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()


def every_pixel_value(pictures: int = 2) -> Tensor:
    """Pictures, `(n,3,16,16)` uint8, of which each channel holds every value from 0 to 255 once."""
    planes = [np.random.RandomState(plane).permutation(256) for plane in range(3 * pictures)]
    return torch.from_numpy(np.stack(planes).astype(np.uint8).reshape(pictures, 3, 16, 16))


def normalized(raw: Tensor) -> Tensor:
    return torch.from_numpy(clips.normalize(raw.numpy(), SPEC))


def layer_norm(channels: int) -> nn.LayerNorm:
    """One whose scale, shift and eps all make a difference."""
    norm = nn.LayerNorm(channels, eps=1e-3)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm
