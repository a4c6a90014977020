"""ExecuTorch's edge programs, whatever delegate they are for: which operators they have, and where each runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dvfl_mobile.delegation import Delegation, Operation, module_path

METADATA_METHOD = "dvfl_mobile_metadata"
"""The program's method that returns classes and ClipSpec as JSON; it takes nothing and runs nothing."""

_CALL = "delegate"


def delegation_of(delegate: str, graph_module: Any, *, is_static: bool, undecided: str = "") -> Delegation:
    """Where the operators of a lowered program run.

    Args:
        delegate: what people call it.
        graph_module: the program's, with calls of the delegate in it.
        is_static: whether activations are quantized.
        undecided: what only the device decides of what the delegate does.
    """
    operations = list(_operations(graph_module, is_static=is_static))
    calls = sum(operation.operator == _CALL for operation in operations)
    return Delegation.of(delegate, calls, (each for each in operations if each.operator != _CALL), undecided)


def _operations(graph_module: Any, *, is_static: bool) -> Iterator[Operation]:
    """Every operator: those left in the graph, and those inside of each call of the delegate."""
    for node in filter(_is_operator, graph_module.graph.nodes):
        if "executorch_call_delegate" in str(node.target):
            yield Operation(_CALL, "", True)
            lowered = getattr(graph_module, node.args[0].target)
            for inner in filter(_is_operator, lowered.original_module.graph_module.graph.nodes):
                yield _operation(inner, delegated=True, is_static=is_static)
        else:
            yield _operation(node, delegated=False, is_static=is_static)


def _is_operator(node: Any) -> bool:
    return node.op == "call_function" and "getitem" not in str(node.target)


def _operation(node: Any, *, delegated: bool, is_static: bool) -> Operation:
    is_int8 = _is_int8(node) if is_static else None
    return Operation(_operator_name(node), module_path(node), delegated, _multiply_adds(node), is_int8)


def _is_int8(node: Any) -> bool:
    """Whether an operator reads what was dequantized and gives what is quantized: then it runs on the integers.

    A product may give floats, where the runtime quantizes each token that it reads by its own range.
    """
    reads = [argument for argument in node.all_input_nodes if argument.op == "call_function"]
    gives = [_operator_name(user) for user in node.users]
    is_by_token = _multiply_adds(node) > 0 and any(_has_scale_at_run_time(argument) for argument in reads)
    return (
        bool(reads)
        and all(_operator_name(argument).startswith("dequantize") for argument in reads)
        and (is_by_token or all(name.startswith("quantize") for name in gives))
    )


def _has_scale_at_run_time(node: Any) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and str(schema.overload_name) == "tensor"


def _operator_name(node: Any) -> str:
    """`linear` of `aten::linear`."""
    schema = getattr(node.target, "_schema", None)
    return str(schema.name).split("::")[-1] if schema is not None else str(node.target)


def _multiply_adds(node: Any) -> int:
    """Multiply-adds of a product or a convolution; zero for anything else.

    For each output: as many as its filter holds values, over its output channels.
    """
    filters = {"linear": 1, "addmm": 2, "mm": 1, "bmm": 1, "convolution": 1, "conv2d": 1}
    operator = _operator_name(node)
    position = filters.get(operator)
    if position is None:
        return 0
    outputs = math.prod(node.meta["val"].shape)
    weight = tuple(node.args[position].meta["val"].shape)
    return outputs * (weight[-2] if operator in ("addmm", "mm", "bmm") else math.prod(weight[1:]))
