"""Passes that drop what moves or converts a tensor for nothing.

ExecuTorch gives every convolution its channels-last input by a transpose, whatever the tensor's memory already
looks like. The deploy form keeps tokens channels last throughout, so those transposes come in pairs that undo
each other; `fold_transposes` composes and drops them. Of the nano's 138 only the input's own is left.
`move_later` first brings those together between which a tensor is converted, and spares copies: XNNPACK reshapes in
place what nothing else reads.

`fuse_lookups` lets GELU read and give int8 where its neighbours do: XNNPACK then makes a table of 256 values of it,
which ExecuTorch, that knows GELU in float only, surrounds with conversions instead. `share_conversions` drops those
of one tensor to the same type, but the first.
"""

from __future__ import annotations

import copy
from typing import Any

from dvfl_mobile.converters.xnnpack.graph import (
    NOT_EXTERNAL,
    add_value,
    drop_unread,
    external,
    is_by_token,
    is_convert,
    is_gelu,
    is_move,
    is_quantized,
    is_reshape,
    is_transpose,
    readers,
    replace_value,
    tensor,
)


def move_later(graph: Any) -> None:
    """Reshape and transpose what conversions and GELU give, and not what they read.

    What both a convolution, in four dimensions, and a conversion, in three, read of a GELU is then copied for neither.
    A transpose stays before a conversion to more bytes; and what is scaled token by token keeps its tokens.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
    """
    values = {tensor(value).id_out: value for value in graph.xvalues}
    kept = external(graph)
    moves: dict[int, Any] = {}
    nodes = []
    for node in graph.xnodes:
        operation = node.xnode_union
        later: list[Any] = []
        if _is_by_element(operation, values) and operation.output_id not in kept:
            while operation.input_id in moves:
                if is_transpose(moves[operation.input_id]) and _widens(operation, values):
                    break
                move = copy.copy(moves[operation.input_id])
                dims = list(tensor(values[move.input_id]).dims)
                given = add_value(graph, values[operation.output_id], dims=dims, num_dims=len(dims))
                between = tensor(given).id_out
                values[between] = given
                operation.input_id, move.input_id = move.input_id, between
                move.output_id, operation.output_id = operation.output_id, between
                moves[move.output_id] = move
                later.insert(0, type(node)(xnode_union=move, debug_handle=node.debug_handle))
        if is_move(operation):
            moves[operation.output_id] = operation
        nodes += [node, *later]
    graph.xnodes[:] = nodes
    _compose_reshapes(graph, values, kept)
    drop_unread(graph, is_move)


def fold_transposes(graph: Any) -> None:
    """Compose each chain of transposes, and drop those that come to nothing.

    A transpose that only moves dimensions of length one moves no byte: it becomes a reshape, which XNNPACK
    gives away for free.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
    """
    values = {tensor(value).id_out: tensor(value) for value in graph.xvalues}
    kept = external(graph)
    _compose(graph)
    for node in list(graph.xnodes):
        operation = node.xnode_union
        if is_transpose(operation) and _is_sorted(operation.perm) and operation.output_id not in kept:
            replace_value(graph, operation.output_id, operation.input_id)
            graph.xnodes.remove(node)
    drop_unread(graph, is_move)
    for node in graph.xnodes:
        operation = node.xnode_union
        if is_transpose(operation):
            dims = values[operation.input_id].dims
            if _is_sorted([axis for axis in operation.perm if dims[axis] != 1]):
                node.xnode_union = _as_reshape(operation, dims)


def fuse_lookups(graph: Any) -> None:
    """Let each GELU between two conversions read the int8 before it and give the int8 after it.

    Exact: 256 integers in, each to the integer that conversion, GELU and conversion made of it.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
    """
    quantized = {tensor(value).id_out for value in graph.xvalues if is_quantized(value)}
    makers = {node.xnode_union.output_id: node.xnode_union for node in graph.xnodes}
    for node in [node for node in graph.xnodes if is_gelu(node.xnode_union)]:
        operation = node.xnode_union
        before = makers.get(getattr(operation, "input_id", NOT_EXTERNAL))
        after = readers(graph, operation.output_id)
        if (
            before is not None
            and is_convert(before)
            and before.input_id in quantized
            and len(after) == 1
            and is_convert(after[0].xnode_union)
            and after[0].xnode_union.output_id in quantized
        ):
            operation.input_id, operation.output_id = before.input_id, after[0].xnode_union.output_id
            graph.xnodes.remove(after[0])
    drop_unread(graph, is_convert)


def share_conversions(graph: Any) -> None:
    """Convert each int8 tensor to float once, and not once for each of its readers.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
    """
    quantized = {tensor(value).id_out for value in graph.xvalues if is_quantized(value)}
    kept = external(graph)
    first: dict[int, int] = {}
    for node in list(graph.xnodes):
        operation = node.xnode_union
        if not is_convert(operation) or operation.input_id not in quantized or operation.output_id in kept:
            continue
        same = first.setdefault(operation.input_id, operation.output_id)
        if same != operation.output_id:
            replace_value(graph, operation.output_id, same)
            graph.xnodes.remove(node)


def _is_by_element(operation: Any, values: dict[int, Any]) -> bool:
    """Whether what an operator gives of an element depends on nothing but that element."""
    if not is_convert(operation):
        return is_gelu(operation)
    return not is_by_token(values[operation.output_id])


def _widens(operation: Any, values: dict[int, Any]) -> bool:
    """Whether it reads integers and gives floats."""
    return is_quantized(values[operation.input_id]) and not is_quantized(values[operation.output_id])


def _compose(graph: Any) -> None:
    """Make each transpose read what the first of its chain reads. One pass does it: nodes are in order."""
    transposes: dict[int, Any] = {}
    for node in graph.xnodes:
        operation = node.xnode_union
        if not is_transpose(operation):
            continue
        first = transposes.get(operation.input_id)
        if first is not None:
            operation.perm = [first.perm[axis] for axis in operation.perm]
            operation.input_id = first.input_id
        transposes[operation.output_id] = operation


def _compose_reshapes(graph: Any, values: dict[int, Any], kept: set[int]) -> None:
    """Make each reshape read what the first of its chain reads, and drop those that change nothing."""
    sources: dict[int, int] = {}
    for node in list(graph.xnodes):
        operation = node.xnode_union
        if not is_reshape(operation):
            continue
        operation.input_id = sources.get(operation.input_id, operation.input_id)
        sources[operation.output_id] = operation.input_id
        dims = tensor(values[operation.input_id]).dims
        if list(dims) == list(operation.new_shape) and operation.output_id not in kept:
            replace_value(graph, operation.output_id, operation.input_id)
            graph.xnodes.remove(node)


def _as_reshape(transpose: Any, dims: list[int]) -> Any:
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNStaticReshape

    return XNNStaticReshape(
        num_dims=len(dims),
        new_shape=[dims[axis] for axis in transpose.perm],
        input_id=transpose.input_id,
        output_id=transpose.output_id,
        flags=0,
    )


def _is_sorted(axes: list[int]) -> bool:
    return list(axes) == sorted(axes)
