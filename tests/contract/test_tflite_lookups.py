"""GELU of int8 in TFLite: spelled out so that XNNPACK takes it, and the same table as before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dvfl_mobile.converters import tflite
from dvfl_mobile.converters.tflite import rewriting
from dvfl_mobile.converters.tflite_lookups import lookups, spell_out_lookups
from dvfl_mobile.quantization.graph import graphs
from dvfl_mobile.recipes import RECIPES
from tests.conversions import skip_without
from tests.interpreters import opened

assert graphs, "it brings the operators that quantize"
quantize = torch.ops.quantized_decomposed.quantize_per_tensor.default
dequantize = torch.ops.quantized_decomposed.dequantize_per_tensor.default


class Table(nn.Module):
    """GELU between int8, and once more of floats, whose result isn't int8."""

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        integers = _rounded(clip, 0.03, -20)
        return _rounded(nn.functional.gelu(integers), 0.015, -115), nn.functional.gelu(integers * 2.0)


def _rounded(values: Tensor, scale: float, zero_point: int) -> Tensor:
    span = -128, 127, torch.int8
    return dequantize(quantize(values, scale, zero_point, *span), scale, zero_point, *span)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    skip_without("tflite")
    import litert_torch

    model = litert_torch.convert(
        Table().eval(),
        sample_kwargs={"clip": torch.zeros(1, 256)},
        quant_config=tflite._quantized(RECIPES["static_wi8_ai8"]),
    )
    path = tmp_path_factory.mktemp("lookups") / "model.tflite"
    path.write_bytes(model.model_content())
    return path


@pytest.fixture
def spelled(plain: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.tflite"
    path.write_bytes(plain.read_bytes())
    with rewriting(path) as model:
        spell_out_lookups(model)
    return path


def every_integer(interpreter: Any) -> list[np.ndarray]:
    [taken] = interpreter.get_input_details()
    interpreter.set_tensor(taken["index"], np.arange(-128, 128, dtype=np.int8)[None])
    interpreter.invoke()
    return [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]


def test_xnnpack_takes_all_of_it_and_gives_the_same_integers(plain: Path, spelled: Path) -> None:
    before, after = opened(plain), opened(spelled)
    names = [step["op_name"] for step in before._get_ops_details()]
    assert names.count("GELU") == 2, "of int8 and of floats"
    [*steps, delegate] = after._get_ops_details()
    assert delegate["op_name"] == "DELEGATE"
    assert {step["op_name"] for step in steps} <= {"DEQUANTIZE", "GELU", "QUANTIZE", "MUL"}
    for expected, found in zip(every_integer(before), every_integer(after), strict=True):
        assert expected.dtype == found.dtype
        assert np.array_equal(expected, found)


def test_it_is_counted_as_one_operator(spelled: Path) -> None:
    of_int8, around = lookups(opened(spelled)._get_ops_details())
    assert (len(of_int8), len(around)) == (1, 2)
    found = [operation for _, operation in tflite.operations(spelled, is_static=True)]
    assert sorted(each.is_int8 for each in found if each.operator == "gelu") == [False, True]
    assert "quantize" not in {each.operator for each in found}
