"""Linear layers whose tokens XNNPACK quantizes as they come: their integers, and what they give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dvfl_mobile.converters.tflite import rewriting
from dvfl_mobile.converters.tflite_by_token import quantize_by_token
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.quantization.graph.edges import TokenEdge, weight_scales
from tests.conversions import skip_without
from tests.interpreters import opened

TOKENS, CHANNELS, OUT = 48, 24, 16


class Layer(nn.Module):
    """A linear layer on a residual, its weights whole multiples of their scales, one by output channel."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Linear(CHANNELS, OUT)
        with torch.no_grad():
            scale = weight_scales(self.proj.weight)[:, None]
            self.proj.weight.copy_((self.proj.weight / scale).round() * scale)

    def forward(self, clip: Tensor) -> Tensor:
        return self.proj(clip) + clip[..., :OUT]


@pytest.fixture(scope="module")
def layer() -> Layer:
    torch.manual_seed(0)
    return Layer().eval()


@pytest.fixture(scope="module")
def plain(layer: Layer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without("tflite")
    import litert_torch

    path = tmp_path_factory.mktemp("by-token") / "model.tflite"
    model = litert_torch.convert(layer, sample_kwargs={"clip": torch.zeros(1, TOKENS, CHANNELS)})
    path.write_bytes(model.model_content())
    return path


@pytest.fixture
def path(plain: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(plain.read_bytes())
    return path


def changed(path: Path, *modules: str) -> None:
    with rewriting(path) as model:
        quantize_by_token(model, modules)


def run(interpreter: Any, tokens: Tensor) -> np.ndarray:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], tokens.numpy())
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))


def test_each_token_is_rounded_by_its_own_range(layer: Layer, path: Path) -> None:
    changed(path, "proj")
    tokens = torch.randn(1, TOKENS, CHANNELS) * torch.logspace(-3, 3, TOKENS)[None, :, None]
    interpreter = opened(path)
    assert interpreter._get_ops_details()[-1]["op_name"] == "DELEGATE", "XNNPACK takes it"
    found = run(interpreter, tokens)
    residual = tokens[..., :OUT]
    exact = layer(tokens).detach().numpy()
    rounded = (layer.proj(TokenEdge(torch.int8, torch.per_tensor_affine)(tokens)) + residual).detach().numpy()
    for token in range(TOKENS):
        # Eight bits leave 47 dB and more of any token, the least as well as the greatest, and both round to the same
        # integers: 141 dB and more. The bars leave room for a last bit of a scale, which makes another integer.
        assert sqnr_db(exact[0, token], found[0, token]) > 30
    assert sqnr_db(rounded, found) > 60


def test_the_integers_are_those_of_the_weights(layer: Layer, plain: Path, path: Path) -> None:
    changed(path, "proj")
    scales = weight_scales(layer.proj.weight)
    integers = (layer.proj.weight.detach() / scales[:, None]).round().to(torch.int8).numpy()
    interpreter = opened(path)
    [held] = [each for each in interpreter.get_tensor_details() if list(each["shape"]) == [OUT, CHANNELS]]
    assert held["dtype"] == np.int8
    assert np.array_equal(interpreter.get_tensor(held["index"]), integers)
    assert np.allclose(held["quantization_parameters"]["scales"], scales.numpy(), rtol=1e-6)
    assert path.stat().st_size < plain.stat().st_size, "the floats are gone"


def test_a_layer_that_is_not_there_is_said(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match=r"\['other'\]"):
        changed(path, "proj", "other")
    assert path.read_bytes() == before


def test_nothing_to_quantize_leaves_the_file(path: Path) -> None:
    with rewriting(path) as model:
        assert model.subgraphs, "as it is read, it is written back, in another order of bytes than litert-torch's"
    before = path.read_bytes()
    changed(path)
    assert path.read_bytes() == before
