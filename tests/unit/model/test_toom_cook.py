"""Toom-Cook along time: the filter's matrices, and the layer by itself."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn

from dvfl_mobile.model import rewrites, toom_cook
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.toom_cook import ToomCookConvolution, is_faster, minimal_filter
from tests.unit.model.test_deploy import golden_network, spec_of

# By moments of the kernel, of the largest value. A rounding of 6e-8 is enlarged by rows of Bᵀ, which add up to 10 and
# 15, and of Aᵀ, up to 19: 1.1e-5 and 1.7e-5 if all had one sign, and about a fifth of that since they don't.
ENLARGED = {3: 2e-6, 5: 4e-6}

each_kernel = pytest.mark.parametrize("kernel", [3, 5])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


@each_kernel
def test_the_filter_is_exact_in_fractions(kernel: int) -> None:
    filters = minimal_filter(kernel)
    values = [Fraction(value) for value in torch.randint(-99, 99, (kernel + 3,)).tolist()]
    weights = [Fraction(value) for value in torch.randint(-99, 99, (kernel,)).tolist()]
    turned = [
        dot(row, values) * dot(other, weights) for row, other in zip(filters.inputs, filters.weights, strict=True)
    ]
    expected = [dot(weights, values[start:]) for start in range(4)]
    assert [dot(row, turned) for row in filters.outputs] == expected


@each_kernel
def test_every_number_but_of_the_weights_is_exact_in_half_precision(kernel: int) -> None:
    filters = minimal_filter(kernel)
    for value in (value for row in (*filters.inputs, *filters.outputs) for value in row):
        assert float(torch.tensor(float(value)).half()) == value


@each_kernel
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frames", [4, 8, 12, 16])
def test_it_computes_the_convolution(kernel: int, frames: int, bias: bool) -> None:
    layer = nn.Conv1d(24, 24, kernel, padding=kernel // 2, bias=bias)
    lines = torch.randn(1, 24, frames, 9)
    assert_close(ToomCookConvolution(layer)(lines), rewrites.temporal_as_conv2d(layer)(lines), ENLARGED[kernel])


@each_kernel
def test_weights_are_transformed_in_double_precision_and_rounded_once(kernel: int) -> None:
    layer = nn.Conv1d(24, 24, kernel, padding=kernel // 2, bias=False)
    made = ToomCookConvolution(layer)
    for index, row in enumerate(minimal_filter(kernel).weights):
        factors = torch.tensor([float(value) for value in row], dtype=torch.float64)
        expected = (layer.weight.double() @ factors).float()
        off = made.get_parameter(f"product{index}.weight")[..., 0, 0] - expected
        # A last bit in one of a hundred: sums of a few floats often lie midway between two, and doubles in another
        # order decide. Were the factors float32, it would be one of three.
        assert (off != 0).float().mean() < 0.05
        assert off.abs().max() <= 1e-7 * expected.abs().max()


@each_kernel
def test_it_has_k_plus_3_matrices_and_no_bias_but_the_layer_s(kernel: int) -> None:
    layer = nn.Conv1d(24, 24, kernel, padding=kernel // 2)
    made = ToomCookConvolution(layer)
    dense = [each for each in made.modules() if isinstance(each, nn.Conv2d) and each.groups == 1]
    assert [each.weight.shape for each in dense] == [(24, 24, 1, 1)] * (kernel + 3)
    assert sum(each.bias is not None for each in dense) == 1
    assert not any(parameter.requires_grad for parameter in made.parameters())


@pytest.mark.parametrize(
    ("channels", "kernel", "frames", "places"),
    [(96, 3, 8, 3136), (192, 7, 8, 784), (192, 3, 6, 784), (192, 1, 8, 784), (256, 3, 8, 9)],
    ids=["few channels", "another kernel", "no tiles of four", "a kernel of one", "few places"],
)
def test_others_stay_as_they_are(channels: int, kernel: int, frames: int, places: int) -> None:
    assert not is_faster(channels, kernel, frames, places)


def test_the_nano_s_layers_but_the_first_stage_s_are_faster() -> None:
    for stage, places in enumerate((3136, 784, 196, 49)):
        assert is_faster(96 * 2**stage, 3, 8, places) == (stage > 0)


@pytest.mark.parametrize(("frames", "is_made"), [(8, True), (4, True), (6, False)])
def test_only_a_form_that_is_asked_has_it(monkeypatch: pytest.MonkeyPatch, frames: int, is_made: bool) -> None:
    monkeypatch.setattr(toom_cook, "LEAST_CHANNELS", 32)
    monkeypatch.setattr(toom_cook, "LEAST_PLACES", 16)
    network = golden_network(Architecture(embed_dim=16, num_classes=5, img_size=64, num_frames=frames))
    spec = spec_of(Architecture(embed_dim=16, num_classes=5, img_size=64, num_frames=frames))
    found = layers(DeployForm(network, spec, "products", "toom-cook"))
    blocks = ("stage1.block0", "stage2.block0", "stage2.block1") if is_made else ()
    assert found == [f"{block}.modulation.focal_temporal{level}" for block in blocks for level in (0, 1)]
    assert layers(DeployForm(network, spec)) == []


def layers(form: DeployForm) -> list[str]:
    return [path for path, module in form.named_modules() if isinstance(module, ToomCookConvolution)]


def dot(row: tuple[Fraction, ...] | list[Fraction], values: list[Fraction]) -> Fraction:
    return sum((one * other for one, other in zip(row, values, strict=False)), Fraction(0))


def assert_close(got: Tensor, expected: Tensor, tolerance: float) -> None:
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()
