"""Which operators TFLite's GPU delegate (OpenCL and OpenGL ES) accepts, by the rules in its published sources.

Read in `google-ai-edge/LiteRT` at tag v2.2.0 (commit 145c7523f): `tflite/tools/versioning/gpu_compatibility.cc` for
each operator's own conditions, and `tflite/delegates/gpu/common/model_builder.cc` with `object_reader.h` and
`model_builder_helper.cc` for the list of operators, their versions, types and ranks, and for what fails only when the
delegate builds its program. The older edition is the same files at commit 7d88950ea, of November 2024.

ML Drift, behind LiteRT's newer CompiledModel, has a list of its own. Operators whose conditions depend on their
neighbours, or that this project has no use for, are left unknown: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from dvfl_mobile.gpu_delegate import conditions
from dvfl_mobile.gpu_delegate.building import building_problem
from dvfl_mobile.gpu_delegate.codes import OPTIONS
from dvfl_mobile.gpu_delegate.conditions import RANK
from dvfl_mobile.gpu_delegate.graph import Operator, Tensor

_TYPES = ("float32", "float16", "int8", "uint8")


class Fate(StrEnum):
    """What the rules say of an operator.

    `FOLDED` is one that unpacks float16 weights: its readers take these as they are, and it needn't run.
    `BREAKS` is one that is taken, and then can't be built: the delegate gives the whole model up.
    """

    TAKEN = "taken"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    FOLDED = "folded"
    BREAKS = "breaks"


@dataclass(frozen=True)
class Edition:
    """One state of the rules.

    Attributes:
        name: the releases that it is of.
        source: where it was read.
        broadcasts_both: whether `mul` takes factors each of which is the smaller somewhere.
        multiplies_depth: whether a depthwise convolution may give several channels for each of several.
        also: operators that not every edition has.
    """

    name: str
    source: str
    broadcasts_both: bool
    multiplies_depth: bool
    also: tuple[str, ...] = ()


EDITIONS = (
    Edition(
        "LiteRT 2.2.0",
        "google-ai-edge/LiteRT v2.2.0 (145c7523f)",
        broadcasts_both=True,
        multiplies_depth=True,
        also=("relu_0_to_1",),
    ),
    Edition(
        "LiteRT before 1.1 and TensorFlow Lite",
        "google-ai-edge/LiteRT 7d88950ea",
        broadcasts_both=False,
        multiplies_depth=False,
    ),
)


def judge(operator: Operator, edition: Edition) -> tuple[Fate, str]:
    """An operator's fate, and why; the reason of one that is taken is empty.

    Its inputs are those that the delegate sees: float16 weights in place of what unpacks them.
    """
    if operator.name in _UNKNOWN or operator.name.startswith("custom:"):
        return Fate.UNKNOWN, "its rules aren't followed here"
    if operator.name not in _RULES or (operator.name in _LATER and operator.name not in edition.also):
        return Fate.REFUSED, "it isn't on the delegate's list"
    if unpacks_float16(operator):
        return Fate.FOLDED, ""
    if operator.options is None and operator.name in _WITH_OPTIONS:
        return Fate.UNKNOWN, "the file doesn't give its options"
    if reason := _refusal(operator, edition):
        return Fate.REFUSED, reason
    problem = building_problem(operator)
    return (Fate.BREAKS, problem) if problem else (Fate.TAKEN, "")


def unpacks_float16(operator: Operator) -> bool:
    """Whether it does nothing but unpack float16 weights."""
    given = operator.given
    return operator.name == "dequantize" and bool(given) and given[0].is_constant and given[0].type == "float16"


def _refusal(operator: Operator, edition: Edition) -> str:
    """The first reason why an operator of the list isn't taken; empty where it is."""
    most, condition = _RULES[operator.name]
    if most is not None and operator.version > most:
        return f"version {operator.version}, and the delegate knows none after {most}"
    own = condition(operator) if condition else ""
    return own or _edition_problem(operator, edition) or _tensors_problem(operator)


def _edition_problem(operator: Operator, edition: Edition) -> str:
    """What later editions take, and this one doesn't."""
    if operator.name == "mul" and not edition.broadcasts_both:
        one, other = operator.given
        if len(one.shape) == len(other.shape) and _is_each_smaller(one, other):
            return "two factors, neither the larger in all dimensions"
    if operator.name == "depthwise_conv_2d" and not edition.multiplies_depth:
        multiplier = int(operator.option("depth_multiplier"))
        if multiplier != 1 and operator.given[0].shape[3] != 1:
            return f"a depth multiplier of {multiplier} on more than one channel"
    return ""


def _is_each_smaller(one: Tensor, other: Tensor) -> bool:
    pairs = list(zip(one.shape, other.shape, strict=True))
    return any(a < b for a, b in pairs) and any(b < a for a, b in pairs)


def _tensors_problem(operator: Operator) -> str:
    """What the tensors of every operator must be."""
    inputs = (*_TYPES, "int32") if operator.name == "gather" else _TYPES
    problems = (*(_tensor_problem(t, inputs) for t in operator.given), *(_tensor_problem(t) for t in operator.outputs))
    return next(filter(None, problems), "")


def _tensor_problem(tensor: Tensor, types: tuple[str, ...] = _TYPES) -> str:
    if len(tensor.shape) > RANK:
        return f"a tensor of rank {len(tensor.shape)}, and the delegate takes {RANK} at most"
    if not tensor.is_constant and not tensor.is_variable and tensor.type not in types:
        return f"a tensor of {tensor.type}"
    return ""


_Rule = tuple[int | None, Callable[[Operator], str] | None]


def _alike(names: str, most: int | None, condition: Callable[[Operator], str] | None) -> dict[str, _Rule]:
    return dict.fromkeys(names.split(), (most, condition))


_RULES: Mapping[str, _Rule] = MappingProxyType(
    {
        **_alike("abs cos elu exp floor gelu log logistic neg rsqrt sign sin sqrt square tanh", 2, conditions.unary),
        **_alike("floor_div floor_mod maximum minimum pow squared_difference", 2, conditions.binary),
        **_alike("div sub", 2, conditions.binary_with_activation),
        **_alike("leaky_relu relu relu6 relu_0_to_1 relu_n1_to_1", 2, None),
        **_alike("average_pool_2d max_pool_2d", 2, conditions.pool),
        **_alike("mirror_pad pad padv2", 2, conditions.pad),
        **_alike("resize_bilinear resize_nearest_neighbor", 3, conditions.resize),
        **_alike("mean reduce_max reduce_min reduce_prod sum", None, conditions.reduction),
        **_alike("pack split split_v unpack", None, None),
        **_alike("hard_swish tile", None, conditions.one_computed),
        "add": (2, conditions.add),
        "add_n": (2, conditions.two_inputs),
        "batch_matmul": (None, conditions.matmul),
        "concatenation": (2, None),
        "conv_2d": (6, conditions.convolution),
        "cumsum": (1, conditions.cumsum),
        "depth_to_space": (None, conditions.blocks),
        "depthwise_conv_2d": (6, conditions.depthwise),
        "dequantize": (3, conditions.dequantize),
        "fully_connected": (9, conditions.fully_connected),
        "gather": (1, conditions.gather),
        "mul": (3, conditions.mul),
        "prelu": (1, None),
        "quantize": (2, conditions.one_computed),
        "reshape": (1, conditions.one_computed),
        "slice": (2, conditions.sliced),
        "softmax": (2, conditions.softmax),
        "space_to_depth": (2, conditions.blocks),
        "strided_slice": (4, conditions.strided_slice),
        "transpose": (4, conditions.one_computed),
        "transpose_conv": (3, conditions.transposed),
    }
)
"""By operator: the latest version that the delegate knows, None where it doesn't ask, and the operator's condition."""

_LATER = ("relu_0_to_1",)
"""Operators that only some editions have: those name them."""

_CONDITIONS_LEFT_OUT = "cast densify equal greater greater_equal less less_equal logical_and lstm not_equal one_hot"
_UNKNOWN = frozenset((*_CONDITIONS_LEFT_OUT.split(), "select", "select_v2"))
"""On the delegate's list, by conditions on neighbours or of a length that isn't repeated here."""

_WITH_OPTIONS = frozenset(OPTIONS) - {"add", "div", "mul", "resize_bilinear", "sub"}
"""Operators that mean nothing without the options that the file gives; those of the others have defaults."""
