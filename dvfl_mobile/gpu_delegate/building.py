"""Failures of the GPU delegate's program build: an operator it accepted, but can't compile, makes it give up all.

The same sources as of the rules: each operator's parser in `model_builder.cc`, and how `object_reader.h` reads
constants. Not all of it is repeated here, only what artifacts of this project were found to meet, or could.
"""

from __future__ import annotations

from dvfl_mobile.gpu_delegate.graph import Operator, Tensor

_READABLE = ("float32", "float16", "int8", "uint8", "int32")
_BINARY = ("div", "floor_div", "floor_mod", "maximum", "minimum", "pow", "squared_difference", "sub")
"""Those that don't take one tensor for both operands; `add` and `mul` do."""

_WEIGHTED = ("fully_connected", "conv_2d", "depthwise_conv_2d")


def building_problem(operator: Operator) -> str:
    """Why the program can't be built with an operator that the delegate takes; empty where nothing is known."""
    values = [tensor for tensor in (*operator.given, *operator.outputs) if not tensor.is_constant]
    shared = (problem for tensor in values if (problem := _value_problem(tensor)))
    return next(shared, "") or _twice_problem(operator) or _weights_problem(operator)


def _value_problem(tensor: Tensor) -> str:
    if not tensor.shape:
        return "a computed scalar"
    if tensor.type in ("int8", "uint8") and tensor.scales != 1:
        return f"computed {tensor.type} with {tensor.scales} scales, in place of one"
    return ""


def _twice_problem(operator: Operator) -> str:
    is_twice = len(operator.inputs) == len(operator.reads) == 2 and len(set(operator.reads)) == 1
    return "the same tensor twice" if is_twice and operator.name in _BINARY else ""


def _weights_problem(operator: Operator) -> str:
    if operator.name == "dequantize":
        return _constant_problem(operator.given[0], 4)
    if operator.name not in _WEIGHTED or len(operator.given) < 2:
        return ""
    source, weight = operator.given[:2]
    is_product = operator.name == "fully_connected"
    if problem := _constant_problem(weight, 2 if is_product else 4):
        return problem
    if is_product and weight.is_constant and source.shape[-1:] != weight.shape[-1:]:
        return f"weights for {weight.shape[-1]} channels behind {source.shape[-1]}"
    if operator.name == "conv_2d" and not weight.is_constant and source.shape[-1:] != weight.shape[-1:]:
        return "computed weights by groups"
    return ""


def _constant_problem(tensor: Tensor, rank: int) -> str:
    """Constants must be of a type that can be unpacked, and of the rank that their reader asks for."""
    if not tensor.is_constant:
        return ""
    if tensor.type not in _READABLE:
        return f"constants in {tensor.type}, which can't be unpacked"
    return "" if len(tensor.shape) == rank else f"constants of rank {len(tensor.shape)}, where {rank} is read"
