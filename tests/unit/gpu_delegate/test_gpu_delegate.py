"""The GPU delegate's published rules: for each a model that is taken and one that is refused, written, then read."""

from __future__ import annotations

import io
import random
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dvfl_mobile.delegation import module_of_tensor
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.gpu_delegate.graph import Graph, Operator, read_graph
from dvfl_mobile.gpu_delegate.pieces import delegated_pieces
from dvfl_mobile.gpu_delegate.report import GpuDelegateReport, GpuRules, apply
from dvfl_mobile.gpu_delegate.rules import _RULES, EDITIONS, Fate
from dvfl_mobile.report import gpu_delegate as shown
from tests.tflites import Step, Value, write_tflite

LATEST, EARLIER = EDITIONS
F4 = (1, 8, 8, 4)


def floats(*shape: int) -> Value:
    return Value(shape or F4)


def constant(*shape: int, **more: Any) -> Value:
    return Value(shape or F4, is_constant=True, **more)


def unary(operator: str, **more: Any) -> Step:
    return Step(operator, [floats()], [floats()], **more)


def conv(weight: Value | None = None, bias: Value | None = None, version: int = 1, **settings: Any) -> Step:
    settings = {"strideW": 1, "strideH": 1} | settings
    inputs = [floats(), weight or constant(6, 3, 3, 4), bias or constant(6)]
    return Step("CONV_2D", inputs, [floats(1, 8, 8, 6)], version, "Conv2DOptions", settings)


def depthwise(
    source: Value | None = None, weight: Value | None = None, result: Value | None = None, **settings: Any
) -> Step:
    settings = {"strideW": 1, "strideH": 1, "depthMultiplier": 1} | settings
    inputs = [source or floats(), weight or constant(1, 3, 3, 4)]
    return Step("DEPTHWISE_CONV_2D", inputs, [result or floats()], 1, "DepthwiseConv2DOptions", settings)


def product(*inputs: Value | None, version: int = 1, result: Value | None = None, **settings: Any) -> Step:
    inputs = inputs or (floats(), constant(6, 4), None)
    return Step("FULLY_CONNECTED", inputs, [result or floats(1, 8, 8, 6)], version, "FullyConnectedOptions", settings)


def pool(operator: str = "MAX_POOL_2D", **settings: Any) -> Step:
    settings = {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2} | settings
    return Step(operator, [floats()], [floats(1, 4, 4, 4)], 1, "Pool2DOptions", settings)


def mul(one: Value, other: Value, **settings: Any) -> Step:
    return Step("MUL", [one, other], [floats()], 1, "MulOptions", settings)


def reduced(operator: str, axes: Value) -> Step:
    return Step(operator, [floats(), axes], [floats(1, 1, 1, 4)])


def ints(*shape: int) -> Value:
    return constant(*shape, type="INT32")


def quantized(scales: int = 1, **more: Any) -> Value:
    return Value(F4, "INT8", scales=scales, **more)


SAME = floats()

TAKEN = {
    "add": Step("ADD", [floats(), constant(4)], [floats()]),
    "add_n": Step("ADD_N", [floats(), floats()], [floats()]),
    "add twice the same": Step("ADD", [SAME, SAME], [floats()]),
    "add a matrix": Step("ADD", [floats(2, 8, 8, 4), floats(2, 4)], [floats(2, 8, 8, 4)]),
    "average_pool_2d": pool("AVERAGE_POOL_2D"),
    "batch_matmul": Step("BATCH_MATMUL", [floats(), floats(1, 8, 4, 8)], [floats(1, 8, 8, 8)], version=9),
    "concatenation": Step("CONCATENATION", [floats(), floats()], [floats(1, 8, 8, 8)], version=2),
    "conv_2d": conv(fusedActivationFunction=1),
    "conv_2d with computed weights": conv(floats(6, 3, 3, 4)),
    "conv_2d in int8": Step(
        "CONV_2D",
        [quantized(), constant(6, 3, 3, 4, type="INT8", scales=6), ints(6)],
        [quantized()],
        3,
        "Conv2DOptions",
        {"strideW": 1, "strideH": 1},
    ),
    "cumsum": Step("CUMSUM", [floats(), ints()], [floats()]),
    "an activation that nobody knows": conv(fusedActivationFunction=77),
    "depth_to_space": unary("DEPTH_TO_SPACE", options="DepthToSpaceOptions", settings={"blockSize": 2}),
    "depthwise_conv_2d": depthwise(),
    "depthwise_conv_2d with a bias": replace(depthwise(), inputs=[floats(), constant(1, 3, 3, 4), constant(4)]),
    "dequantize": Step("DEQUANTIZE", [quantized()], [floats()], version=2),
    "dequantize weights": Step("DEQUANTIZE", [constant(type="INT8", scales=4)], [floats()], version=2),
    "div": Step("DIV", [floats(), constant(4)], [floats()], 1, "DivOptions"),
    "fully_connected": product(version=9),
    "fully_connected with bytes behind": product(floats(), constant(6, 4, is_behind=True), constant(6, is_behind=True)),
    "fully_connected with int8 weights": product(floats(), constant(6, 4, type="INT8", scales=6), None, version=5),
    "gather": Step("GATHER", [floats(), ints(2)], [floats(1, 2, 8, 4)]),
    "gather at computed indices": Step("GATHER", [floats(), Value((2,), "INT32")], [floats(1, 2, 8, 4)]),
    "hard_swish": unary("HARD_SWISH"),
    "max_pool_2d": pool(),
    "maximum": Step("MAXIMUM", [floats(), constant(1)], [floats()]),
    "mean": reduced("MEAN", ints(2)),
    "mirror_pad": Step("MIRROR_PAD", [floats(), ints(4, 2)], [floats()], 1, "MirrorPadOptions", {"mode": 0}),
    "mul": mul(floats(), floats(1, 1, 1, 4)),
    "mul each broadcast": mul(floats(8, 1, 1, 96), floats(8, 7, 7, 1)),
    "pack": Step("PACK", [floats(8, 4), floats(8, 4)], [floats(2, 8, 4)]),
    "pad": Step("PAD", [floats(), ints(4, 2)], [floats(1, 10, 10, 4)]),
    "prelu": Step("PRELU", [floats(), constant(4)], [floats()]),
    "quantize": Step("QUANTIZE", [floats()], [quantized()]),
    "relu": unary("RELU", version=2),
    "relu_0_to_1": unary("RELU_0_TO_1"),
    "reshape": Step("RESHAPE", [floats(), ints(2)], [floats(64, 4)]),
    "resize_bilinear": Step(
        "RESIZE_BILINEAR", [floats(), ints(2)], [floats()], 3, "ResizeBilinearOptions", {"halfPixelCenters": True}
    ),
    "resize_nearest_neighbor": Step("RESIZE_NEAREST_NEIGHBOR", [floats(), ints(2)], [floats()]),
    "slice": Step("SLICE", [floats(), ints(4), ints(4)], [floats()]),
    "softmax": unary("SOFTMAX", options="SoftmaxOptions", settings={"beta": 1.0}),
    "space_to_depth": unary("SPACE_TO_DEPTH", options="SpaceToDepthOptions", settings={"blockSize": 2}),
    "split": Step("SPLIT", [ints(1), floats()], [floats(), floats()]),
    "strided_slice": Step("STRIDED_SLICE", [floats(), ints(4), ints(4), ints(4)], [floats()], 1, "StridedSliceOptions"),
    "sub": Step("SUB", [floats(), floats()], [floats()], 1, "SubOptions"),
    "sum": reduced("SUM", ints(2)),
    "tile": Step("TILE", [floats(), ints(4)], [floats()]),
    "transpose": Step("TRANSPOSE", [floats(), ints(4)], [floats()], version=4),
    "transpose_conv": Step(
        "TRANSPOSE_CONV",
        [ints(4), constant(6, 3, 3, 4), floats()],
        [floats(1, 8, 8, 6)],
        3,
        "TransposeConvOptions",
        {"strideW": 2, "strideH": 2},
    ),
    "unpack": Step("UNPACK", [floats()], [floats(8, 8, 4)]),
    "a variable of any type": Step("PACK", [Value(F4, "INT32", is_variable=True)], [floats()]),
    **{
        name: unary(name.upper())
        for name in [
            "abs",
            "cos",
            "elu",
            "exp",
            "floor",
            "gelu",
            "log",
            "logistic",
            "neg",
            "rsqrt",
            "sign",
            "sin",
            "sqrt",
            "square",
            "tanh",
        ]
    },
    **{
        name: Step(name.upper(), [floats(), floats()], [floats()])
        for name in ["floor_div", "floor_mod", "minimum", "pow", "squared_difference"]
    },
    **{name: reduced(name.upper(), ints(2)) for name in ("reduce_max", "reduce_min", "reduce_prod")},
    **{name: unary(name.upper()) for name in ("leaky_relu", "relu6", "relu_n1_to_1")},
    "padv2": Step("PADV2", [floats(), ints(3, 2), constant(1)], [floats()]),
    "split_v": Step("SPLIT_V", [floats(), ints(2), ints(1)], [floats(), floats()]),
}

REFUSED = {
    "STABLEHLO_SORT": (unary("STABLEHLO_SORT"), "it isn't on the delegate's list"),
    "a version too late": (unary("GELU", version=3), "version 3, and the delegate knows none after 2"),
    "reshape of a later version": (unary("RESHAPE", version=2), "version 2, and the delegate knows none after 1"),
    "rank 5": (Step("GELU", [floats(1, 2, 3, 4, 5)], [floats(1, 2, 3, 4, 5)]), "a tensor of rank 5"),
    "rank 5 behind it": (Step("RESHAPE", [floats()], [floats(1, 2, 3, 4, 5)]), "a tensor of rank 5"),
    "int32": (Step("GELU", [Value(F4, "INT32")], [floats()]), "a tensor of int32"),
    "int64 behind it": (Step("GELU", [floats()], [Value(F4, "INT64")]), "a tensor of int64"),
    "one operand of two kinds": (Step("GELU", [floats(), constant(1)], [floats()]), "1 constant inputs in place of 0"),
    "no computed operand": (Step("RESHAPE", [constant()], [floats()]), "0 computed inputs in place of 1"),
    "two outputs": (Step("GELU", [floats()], [floats(), floats()]), "2 outputs in place of 1"),
    "three operands": (Step("MAXIMUM", [floats(), floats(), floats()], [floats()]), "3 inputs, or of the wrong kinds"),
    "one factor": (Step("MUL", [floats()], [floats()], 1, "MulOptions"), "1 inputs in place of 2"),
    "ranks that don't go together": (Step("ADD", [floats(2, 8, 8, 4), floats(8, 8, 4)], [floats()]), "ranks 4 and 3"),
    "a matrix of other sides": (mul(floats(2, 8, 8, 4), floats(3, 4)), "ranks 4 and 2 whose sides don't go together"),
    "an activation": (conv(fusedActivationFunction=5), "the activation sign_bit within it"),
    "a stride of 0": (conv(strideH=0), "stride_h is 0"),
    "a dilation of 0": (conv(dilationWFactor=0), "dilation_w is 0"),
    "a window of 0": (pool(filterHeight=0), "filter_h is 0"),
    "a convolution of 3": (conv(floats(6, 3, 3, 4), floats(6)), "3 computed inputs in place of 1 or 2"),
    "a convolution without weights": (replace(conv(), inputs=[floats()]), "no weights"),
    "a convolution with 2 outputs": (replace(conv(), outputs=[floats(), floats()]), "2 outputs in place of 1"),
    "depthwise of rank 3": (depthwise(floats(8, 8, 4)), "a tensor that isn't of rank 4"),
    "depthwise of another batch": (depthwise(floats(2, 8, 8, 4)), "a batch of 2 before it and 1 behind"),
    "depthwise of another depth": (depthwise(depthMultiplier=2), "channels that don't fit its depth multiplier of 2"),
    "depthwise of another bias": (
        replace(depthwise(), inputs=[floats(), constant(1, 3, 3, 4), constant(5)]),
        "a bias of another size",
    ),
    "depthwise without the bias that it lists": (
        replace(depthwise(), inputs=[floats(), constant(1, 3, 3, 4), None]),
        "a bias of another size",
    ),
    "shuffled weights": (product(weightsFormat=1), "weights in another order"),
    "a product of 3": (product(floats(), floats(6, 4), floats(6)), "3 computed inputs, and the delegate takes 2"),
    "a product of constants": (product(constant(), constant(6, 4), None), "no computed input"),
    "a product without a result": (replace(product(), outputs=[]), "no output"),
    "a product that changes rank": (product(result=floats(64, 6), keepNumDims=True), "another rank behind it"),
    "computed axes": (reduced("MEAN", Value((2,), "INT32")), "0 constant inputs in place of 1"),
    "axes of int64": (reduced("MEAN", constant(2, type="INT64")), "axes that aren't constant int32"),
    "indices of rank 2": (Step("GATHER", [floats(), ints(2, 2)], [floats()]), "indices that aren't a vector"),
    "indices of int64": (Step("GATHER", [floats(), constant(2, type="INT64")], [floats()]), "a vector of int32"),
    "three to gather": (Step("GATHER", [floats(), ints(2), floats()], [floats()]), "3 inputs, or of the wrong kinds"),
    "sums of one": (Step("CUMSUM", [floats()], [floats()]), "1 inputs in place of 2"),
    "a computed padding": (Step("PAD", [floats(), Value((4, 2), "INT32")], [floats()]), "2 computed inputs in place"),
    "two to dequantize": (Step("DEQUANTIZE", [quantized(), quantized()], [floats()]), "more than one input or output"),
    "a computed axis": (Step("CUMSUM", [floats(), Value((1,), "INT32")], [floats()]), "an axis that isn't constant"),
    "sums of int8": (Step("CUMSUM", [quantized(), ints(1)], [quantized()]), "values that aren't floats"),
    "a slice of rank 2": (Step("SLICE", [floats(8, 4), ints(2), ints(2)], [floats(4, 4)]), "an input of rank 2"),
    "a slice of 2": (Step("SLICE", [floats(), ints(4)], [floats()]), "2 inputs in place of 3"),
    "a mask": (
        replace(TAKEN["strided_slice"], settings={"shrinkAxisMask": 1}),
        "an shrink_axis_mask",
    ),
    "a temperature": (replace(TAKEN["softmax"], settings={"beta": 0.5}), "a beta of 0.5 in place of 1"),
    "a block of 1": (replace(TAKEN["depth_to_space"], settings={"blockSize": 1}), "a block of 1"),
    "symmetric mirroring": (replace(TAKEN["mirror_pad"], settings={"mode": 1}), "another mirroring"),
    "paddings of rank 5": (Step("PAD", [floats(), ints(5, 2)], [floats()]), "paddings that aren't of 3 or 4"),
    "two ways of placing pixels": (
        replace(TAKEN["resize_bilinear"], settings={"halfPixelCenters": True, "alignCorners": True}),
        "both align_corners and half_pixel_centers",
    ),
    "int16": (Step("DEQUANTIZE", [Value(F4, "INT16", scales=1)], [floats()]), "values in int16"),
    "a matmul of 3": (replace(TAKEN["batch_matmul"], inputs=[floats(), floats(), floats()]), "3 inputs in place of 2"),
    "a matmul of 2 outputs": (replace(TAKEN["batch_matmul"], outputs=[floats(), floats()]), "more than one output"),
}

REFUSED_EARLIER = {
    "mul each broadcast": "two factors, neither the larger in all dimensions",
    "relu_0_to_1": "it isn't on the delegate's list",
}

BREAKS = {
    "a computed scalar": (Step("GELU", [Value(())], [floats()]), "a computed scalar"),
    "activations by channel": (Step("GELU", [quantized(4)], [quantized()]), "computed int8 with 4 scales"),
    "int8 without a scale": (Step("GELU", [quantized()], [quantized(0)]), "computed int8 with 0 scales"),
    "the same twice": (Step("SUB", [SAME, SAME], [floats()], 1, "SubOptions"), "the same tensor twice"),
    "int4 weights": (
        Step("DEQUANTIZE", [constant(6, 3, 3, 4, type="INT4", scales=6)], [floats()]),
        "constants in int4, which can't be unpacked",
    ),
    "unpacked weights of a product": (
        Step("DEQUANTIZE", [constant(6, 4, type="INT8", scales=6)], [floats(6, 4)]),
        "constants of rank 2, where 4 is read",
    ),
    "weights of rank 3": (conv(constant(6, 3, 4)), "constants of rank 3, where 4 is read"),
    "weights of other channels": (product(floats(), constant(6, 5), None), "weights for 5 channels behind 4"),
    "computed weights by groups": (conv(floats(6, 3, 3, 2)), "computed weights by groups"),
}

UNKNOWN = {
    "cast": (unary("CAST"), "its rules aren't followed here"),
    "select": (Step("SELECT_V2", [floats(), floats(), floats()], [floats()]), "its rules aren't followed here"),
    "custom": (unary("CUSTOM", custom="Mine"), "its rules aren't followed here"),
    "no options": (replace(conv(), options=""), "the file doesn't give its options"),
}


@pytest.fixture
def graph(tmp_path: Path) -> Any:
    """A function that writes a model of operators, and reads it."""
    return lambda *steps: read_graph(write_tflite(tmp_path / "model.tflite", steps))


def fates(rules: GpuRules) -> list[tuple[Fate, str]]:
    return [(row.fate, row.reason) for row in rules.rows]


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(graph: Any, name: str) -> None:
    found = graph(TAKEN[name])
    rules = apply(LATEST, found)
    assert fates(rules) == [(Fate.TAKEN, "")]
    assert (rules.pieces, rules.share, rules.default_operators) == (1, 1.0, 1)
    expected = (Fate.REFUSED, REFUSED_EARLIER[name]) if name in REFUSED_EARLIER else (Fate.TAKEN, "")
    assert fates(apply(EARLIER, found)) == [expected]


def test_every_rule_has_a_model_that_it_takes() -> None:
    assert {step.operator.lower() for step in TAKEN.values()} == set(_RULES)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(graph: Any, name: str) -> None:
    step, reason = REFUSED[name]
    for edition in EDITIONS:
        [(fate, why)] = fates(apply(edition, graph(step)))
        assert fate is Fate.REFUSED
        assert reason in why


@pytest.mark.parametrize(("cases", "expected"), [(BREAKS, Fate.BREAKS), (UNKNOWN, Fate.UNKNOWN)])
def test_what_breaks_and_what_is_not_known(graph: Any, cases: dict[str, tuple[Step, str]], expected: Fate) -> None:
    for name, (step, reason) in cases.items():
        [(fate, why)] = fates(apply(LATEST, graph(step)))
        assert (name, fate) == (name, expected)
        assert reason in why


def test_a_depth_multiplier_on_several_channels_came_later(graph: Any) -> None:
    step = depthwise(weight=constant(1, 3, 3, 8), result=floats(1, 8, 8, 8), depthMultiplier=2)
    assert fates(apply(LATEST, graph(step))) == [(Fate.TAKEN, "")]
    assert fates(apply(EARLIER, graph(step))) == [(Fate.REFUSED, "a depth multiplier of 2 on more than one channel")]


def test_one_refused_operator_cuts_the_graph_and_by_default_the_larger_piece_runs(graph: Any) -> None:
    a, b, c, d = floats(), floats(1, 8, 8, 6), floats(1, 8, 8, 6), floats(1, 8, 8, 6)
    first = replace(conv(), inputs=[a, constant(6, 3, 3, 4), constant(6)], outputs=[b])
    last = replace(conv(), inputs=[c, constant(6, 3, 3, 6), constant(6)], outputs=[d])
    end = Step("GELU", [d], [floats(1, 8, 8, 6)])
    rules = apply(LATEST, graph(first, Step("CEIL", [b], [c]), last, end))
    # 8·8 places of 6 channels, each of 3·3·4 and 3·3·6 products: 4 to 6.
    assert (rules.pieces, rules.share, rules.default_share, rules.default_operators) == (2, 1.0, 0.6, 2)
    assert shown.sentence(rules) == (
        "takes 3 of 4 operators, in 2 pieces with 100 % of the multiply-adds; by default only the largest, with 60 %"
    )


def test_branches_that_can_run_together_are_one_piece(graph: Any) -> None:
    a, b, c, d = (floats() for _ in range(4))
    steps = [Step("GELU", [a], [b]), Step("CEIL", [a], [c]), Step("GELU", [b], [d]), Step("ADD", [c, d], [floats()])]
    rules = apply(LATEST, graph(*steps))
    # Both GELUs run before CEIL must, and the sum after it.
    assert rules.pieces == 2
    assert rules.default_operators == 2


def test_a_graph_that_goes_round_has_no_pieces(graph: Any) -> None:
    a, b = floats(), floats()
    assert apply(LATEST, graph(Step("GELU", [a], [b]), Step("GELU", [b], [a]))).pieces == 0


def test_the_worst_order_of_operators_takes_no_time() -> None:
    # Each can run only after the one that stands behind it: walks along the graph would take a minute.
    count = 20_000
    chain = [Operator("gelu", 1, (), (), (index + 1,), (index,)) for index in range(count)]
    start = time.perf_counter()
    assert len(delegated_pieces(chain, [Fate.TAKEN, Fate.REFUSED] * (count // 2))) == count // 2
    assert time.perf_counter() - start < 10


def test_float16_weights_are_read_as_they_are_and_what_unpacks_them_joins_a_whole_graph(graph: Any) -> None:
    unpacked, middle = floats(6, 4), floats(1, 8, 8, 6)
    steps = [
        Step("GELU", [a := floats()], [b := floats()]),
        Step("DEQUANTIZE", [constant(6, 4, type="FLOAT16")], [unpacked]),
        product(b, unpacked, None, result=middle),
    ]
    rules = apply(LATEST, graph(*steps))
    assert [fate for fate, _ in fates(rules)] == [Fate.TAKEN, Fate.FOLDED, Fate.TAKEN]
    assert rules.pieces == 1
    assert rules.default_operators == 3
    assert shown.sentence(rules) == "takes all 3 operators, in 1 piece"
    # With something refused it stays outside, and what comes before it is a piece of its own.
    partly = apply(LATEST, graph(*steps, Step("CEIL", [middle], [floats(1, 8, 8, 6)])))
    assert partly.pieces == 2
    assert a is not b


def test_float16_weights_and_bias_are_constants_to_their_reader(graph: Any) -> None:
    weight, bias = floats(6, 4), floats(6)
    steps = [
        Step("DEQUANTIZE", [constant(6, 4, type="FLOAT16")], [weight]),
        Step("DEQUANTIZE", [constant(6, type="FLOAT16")], [bias]),
        product(floats(), weight, bias),
    ]
    # Three computed inputs would be one too many.
    assert [(row.operator, row.fate) for row in apply(LATEST, graph(*steps)).rows] == [
        ("dequantize", Fate.FOLDED),
        ("fully_connected", Fate.TAKEN),
    ]


def test_what_breaks_gives_the_model_up_and_what_is_not_known_leaves_pieces_open(graph: Any) -> None:
    good = conv()
    broken = apply(LATEST, graph(good, BREAKS["int4 weights"][0]))
    assert (broken.share, broken.default_share) == (0.0, 0.0)
    assert shown.sentence(broken) == "gives the model up: its program can't be built with 1 of 2 operators"
    # Where it stands in another piece than the largest, it is never built.
    a, b, c = floats(), floats(6, 3, 3, 4), floats()
    apart = [Step("GELU", [a], [floats()]), Step("CEIL", [a], [b]), Step("SUB", [b, b], [c], 1, "SubOptions")]
    elsewhere = apply(LATEST, graph(conv(), *apart))
    assert (elsewhere.default_builds, elsewhere.default_share, elsewhere.share) == (True, 1.0, 0.0)
    unknown = apply(LATEST, graph(good, UNKNOWN["cast"][0]))
    assert (unknown.pieces, unknown.default_share, unknown.share) == (None, None, 1.0)
    assert shown.sentence(unknown) == "takes 1 of 2 operators; 1 aren't known here"


def test_a_bias_computed_is_no_constant_and_one_behind_the_flatbuffer_is(graph: Any) -> None:
    weight = floats(6, 4)
    behind = product(floats(), weight, constant(6, is_behind=True))
    assert fates(apply(LATEST, graph(behind))) == [(Fate.TAKEN, "")]
    assert fates(apply(LATEST, graph(product(floats(), weight, floats(6)))))[0][0] is Fate.REFUSED


def test_modules_and_multiply_adds(graph: Any) -> None:
    name = "package.DeployForm/package.Stem_stem/torch.nn.Conv2d_proj;3"
    step = replace(conv(), outputs=[Value((1, 8, 8, 6), name=name)])
    [row] = apply(LATEST, graph(step)).rows
    assert (row.operator, row.module, row.multiply_adds) == ("conv_2d", "stem.proj", 64 * 6 * 36)
    assert module_of_tensor("serving_default_clip:0") == ""


def test_a_long_table_is_summed_up_unless_every_operator_is_asked_for(graph: Any) -> None:
    name = "package.Form/package.Block_block{}/torch.nn.Ceil_up"
    steps = [Step("CEIL", [floats()], [Value(F4, name=name.format(index))]) for index in range(11)]
    rules = apply(LATEST, graph(*steps))
    report = GpuDelegateReport(
        model="m", target="tflite", recipe="fp32", sha256="0" * 64, editions=(rules, rules), notes=("A note.",)
    )
    short, long = (text_of(shown.terminal(report, operators=each)) for each in (False, True))
    assert re.search(r"^11 modules +ceil +11 +0 +it isn't on the delegate's list", short, re.MULTILINE)
    assert "block3.up" not in short
    assert len(re.findall(r"^block\d+\.up +ceil +1 ", long, re.MULTILINE)) == 11  # once, though of two editions
    assert "A note." in short


def text_of(renderable: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=120).print(renderable)
    return stream.getvalue()


def test_only_the_first_graph_is_judged(tmp_path: Path) -> None:
    assert read_graph(write_tflite(tmp_path / "model.tflite", [conv()], graphs=2)).subgraphs == 2


def test_a_file_that_is_no_tflite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    for data in (b"", b"TFL3", b"\xff" * 64, b"\x10\0\0\0TFL4" + bytes(64)):
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match=r"can't be read as a \.tflite"):
            read_graph(path)


def test_a_tensor_of_absurd_shape_is_refused(tmp_path: Path) -> None:
    for shape in ((-1, 4), (2**31 - 1, 2**31 - 1)):
        path = write_tflite(tmp_path / "model.tflite", [Step("GELU", [Value(shape)], [floats()])])
        with pytest.raises(ArtifactError, match="a tensor is of shape"):
            read_graph(path)


def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path: Path) -> None:
    whole = write_tflite(tmp_path / "whole.tflite", list(TAKEN.values())).read_bytes()
    path = tmp_path / "model.tflite"
    outcomes = {"read": 0, "refused": 0}
    for seed in range(500):
        path.write_bytes(damaged(whole, random.Random(seed)))
        try:
            found = read_graph(path)
        except ArtifactError:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert isinstance(found, Graph)
            for edition in EDITIONS:
                shown.sentence(apply(edition, found))
    assert min(outcomes.values()) > 50, outcomes


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The same with a few bytes put to something else, or cut."""
    copy = bytearray(data)
    for _ in range(rng.choice((1, 2, 8))):
        copy[rng.randrange(len(copy))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(copy[: rng.randrange(len(copy))] if rng.random() < 0.1 else copy)
