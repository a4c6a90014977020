"""ExecuTorch's `XNNGraph`: what the passes over it ask of its values and operators."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cache
from typing import Any

INPUTS = ("input_id", "input1_id", "input2_id", "input3_id", "input4_id", "input5_id", "filter_id", "bias_id")
"""The fields of an operator that name what it reads."""
NOT_EXTERNAL = 0xFFFFFFFF
"""The `external_id` of what is neither input nor output of the graph."""


def external(graph: Any) -> set[int]:
    """The graph's inputs and outputs."""
    return {each.id_out for each in map(tensor, graph.xvalues) if each.external_id != NOT_EXTERNAL}


def readers(graph: Any, value: int) -> list[Any]:
    """The operators that read a value."""
    return [node for node in graph.xnodes if any(getattr(node.xnode_union, name) == value for name in inputs_of(node))]


def drop_unread(graph: Any, kind: Callable[[Any], bool]) -> None:
    """Drop the operators of a kind that nothing reads, or nothing but such operators."""
    read, nodes = external(graph), []
    for node in reversed(graph.xnodes):
        if not kind(node.xnode_union) or node.xnode_union.output_id in read:
            read |= {getattr(node.xnode_union, name) for name in inputs_of(node)}
            nodes.append(node)
    graph.xnodes[:] = reversed(nodes)


def inputs_of(node: Any) -> tuple[str, ...]:
    """Those of `INPUTS` that an operator has."""
    kind: type = type(node.xnode_union)
    return _inputs(kind)


@cache
def _inputs(kind: type) -> tuple[str, ...]:
    """Those of `INPUTS` that a kind of operator has."""
    return tuple(field.name for field in fields(kind) if field.name in INPUTS)


def is_quantized(value: Any | None) -> bool:
    """Whether a value holds integers; None holds none."""
    return value is not None and type(value.xvalue_union).__name__ == "XNNQuantizedTensorValue"


def is_by_token(value: Any) -> bool:
    """Whether a value holds integers by a scale of each token's own, found as it comes."""
    return type(getattr(value.xvalue_union, "quant_params", None)).__name__ == "PerTokenDynamicQuant"


def is_convert(operation: Any) -> bool:
    """Whether an operator changes the type of what it reads."""
    return type(operation).__name__ == "XNNConvert"


def is_transpose(operation: Any) -> bool:
    """Whether an operator moves dimensions."""
    return type(operation).__name__ == "XNNStaticTranspose"


def is_reshape(operation: Any) -> bool:
    """Whether an operator gives the same elements in the same order."""
    return type(operation).__name__ == "XNNStaticReshape"


def is_move(operation: Any) -> bool:
    """Whether an operator changes no element."""
    return is_transpose(operation) or is_reshape(operation)


def is_gelu(operation: Any) -> bool:
    """Whether an operator is GELU."""
    return type(operation).__name__ == "XNNGelu"


def tensor(value: Any) -> Any:
    """A value's tensor, whether or not it has scales."""
    union = value.xvalue_union
    return getattr(union, "tensor_value", union)


def add_value(graph: Any, like: Any, **fields: Any) -> Any:
    """Another value like one that is there, but for an id of its own and these fields of its tensor."""
    value = copy.deepcopy(like)
    tensor(value).id_out = 1 + max(int(tensor(each).id_out) for each in graph.xvalues)
    for name, given in fields.items():
        setattr(tensor(value), name, given)
    graph.xvalues.append(value)
    return value


def replace_value(graph: Any, old: int, new: int, names: Sequence[str] = INPUTS) -> None:
    """Have every operator use another value: read it, or by `names` also give it."""
    for node in graph.xnodes:
        for name in names:
            if getattr(node.xnode_union, name, None) == old:
                setattr(node.xnode_union, name, new)
