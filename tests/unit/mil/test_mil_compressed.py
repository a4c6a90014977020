"""Weights that coremltools compressed give, in the executor, what they give once coremltools has decompressed them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.mil import convert, floats, mb, names_of, run_model

X = floats(2, 8)


def dense(folder: Path, opset: str) -> Any:
    """Two products, of weights large enough to be stored in the file of weights."""
    first, second = floats(16, 8, seed=1), floats(4, 16, seed=2)
    return convert(
        lambda x: mb.linear(x=mb.relu(x=mb.linear(x=x, weight=first)), weight=second),
        [X],
        opset,
        folder / "a.mlpackage",
    )


def palettized(nbits: int, **more: Any) -> tuple[str, Any]:
    return "palettize_weights", lambda cto: cto.OpPalettizerConfig(
        mode="uniform", nbits=nbits, weight_threshold=0, **more
    )


def quantized(**more: Any) -> tuple[str, Any]:
    return "linear_quantize_weights", lambda cto: cto.OpLinearQuantizerConfig(weight_threshold=0, **more)


def pruned(**more: Any) -> tuple[str, Any]:
    return "prune_weights", lambda cto: cto.OpMagnitudePrunerConfig(weight_threshold=0, **more)


# What is done, one after another, and what then holds the weights.
CASES: dict[str, tuple[str, list[tuple[str, Any]], str]] = {
    **{f"palettes of {n} bits, iOS16": ("iOS16", [palettized(n)], "constexpr_lut_to_dense") for n in (1, 2, 4, 6, 8)},
    **{
        f"palettes of {n} bits, iOS18": ("iOS18", [palettized(n)], "constexpr_lut_to_dense") for n in (1, 2, 3, 4, 6, 8)
    },
    "palettes of groups": (
        "iOS18",
        [palettized(2, granularity="per_grouped_channel", group_size=2, channel_axis=0)],
        "constexpr_lut_to_dense",
    ),
    "int8": ("iOS16", [quantized(mode="linear_symmetric")], "constexpr_affine_dequantize"),
    "uint8 with zero points": ("iOS16", [quantized(mode="linear", dtype="uint8")], "constexpr_affine_dequantize"),
    "int8 per tensor": (
        "iOS16",
        [quantized(mode="linear", granularity="per_tensor")],
        "constexpr_affine_dequantize",
    ),
    "int8 of iOS18": ("iOS18", [quantized(mode="linear")], "constexpr_blockwise_shift_scale"),
    "int4": ("iOS18", [quantized(mode="linear", dtype="int4")], "constexpr_blockwise_shift_scale"),
    "uint4 in blocks": (
        "iOS18",
        [quantized(mode="linear", dtype="uint4", granularity="per_block", block_size=4)],
        "constexpr_blockwise_shift_scale",
    ),
    "pruned, iOS16": ("iOS16", [pruned(target_sparsity=0.6)], "constexpr_sparse_to_dense"),
    "pruned, iOS18": ("iOS18", [pruned(target_sparsity=0.6)], "constexpr_sparse_to_dense"),
    "pruned and then palettized": ("iOS18", [pruned(target_sparsity=0.6), palettized(2)], "constexpr_lut_to_sparse"),
    "pruned and then quantized": (
        "iOS18",
        [pruned(target_sparsity=0.6), quantized(mode="linear_symmetric")],
        "constexpr_sparse_blockwise_shift_scale",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_compressed_weights_are_what_coremltools_decompresses(case: str, tmp_path: Path) -> None:
    cto = pytest.importorskip("coremltools.optimize.coreml")
    opset, steps, holder = CASES[case]
    model = dense(tmp_path, opset)
    for index, (name, config_of) in enumerate(steps):
        config = cto.OptimizationConfig(global_config=config_of(cto))
        joint = {"joint_compression": True} if index else {}
        model = getattr(cto, name)(model, config, **joint)
    plain = cto.decompress_weights(model)
    assert holder in set(names_of(model._mil_program.functions["main"]))
    assert not any(name.startswith("constexpr") for name in names_of(plain._mil_program.functions["main"]))
    (compressed,), (expected,) = run_model(model, X), run_model(plain, X)
    np.testing.assert_allclose(compressed, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
