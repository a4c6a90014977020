"""Passes that drop what moves or converts a tensor for nothing.

ExecuTorch gives every convolution its channels-last input by a transpose, whatever the tensor's memory already
looks like. The deploy form keeps tokens channels last throughout, so those transposes come in pairs that undo
each other; `fold_transposes` composes and drops them. Of the nano's 138 only the input's own is left.

`fuse_lookups` lets GELU read and give int8 where its neighbours do: XNNPACK then makes a table of 256 values of it,
which ExecuTorch, that knows GELU in float only, surrounds with conversions instead. `share_conversions` drops those
of one tensor to the same type, but the first.
"""

from __future__ import annotations

from typing import Any

from dvfl_mobile.converters.xnnpack.graph import (
    NOT_EXTERNAL,
    external,
    is_convert,
    is_quantized,
    is_transpose,
    readers,
    replace_value,
    tensor,
    values_read,
)

_LOOKUPS = ("XNNGelu",)


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
    _drop_unread_transposes(graph, kept)
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
    for node in [node for node in graph.xnodes if type(node.xnode_union).__name__ in _LOOKUPS]:
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
    kept = external(graph)
    read = values_read(graph) | kept
    graph.xnodes[:] = [
        node for node in graph.xnodes if not is_convert(node.xnode_union) or node.xnode_union.output_id in read
    ]


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


def _drop_unread_transposes(graph: Any, kept: set[int]) -> None:
    read = values_read(graph) | kept
    graph.xnodes[:] = [
        node for node in graph.xnodes if not is_transpose(node.xnode_union) or node.xnode_union.output_id in read
    ]


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
