"""Passes that store or compute floats in half precision.

`halve_weights` stores the filters of products and convolutions as float16; XNNPACK unpacks them once, at load,
and computes in float32. `compute_in_half` makes every value between input and logits float16. A network that is half
before it is exported would fall into pieces: ExecuTorch gives XNNPACK no GELU of halves, and converts the scalars of
the norms between operators. `compute_floats_in_half` does the same between the integers of static int8: half the
bytes of norms, gates and residual sums, which take a third of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from dvfl_mobile.converters.xnnpack.graph import (
    INPUTS,
    NOT_EXTERNAL,
    add_value,
    drop_unread,
    inputs_of,
    is_by_token,
    is_convert,
    is_gelu,
    is_quantized,
    replace_value,
    tensor,
)

Halve = Callable[[Any], dict[str, str]]
"""Changes an `XNNGraph` in place. Gives, for each constant that is to be stored as float16, its key in ExecuTorch's
data store and the new key."""

_LEAST_NORMAL = 2.0**-14


def halve_weights(graph: Any) -> dict[str, str]:
    """Mark the float32 filters of products and convolutions as float16.

    Biases and the vectors of scale and shift stay float32: they are a thousandth of the bytes.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.

    Returns:
        As `Halve` says.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNDatatype

    values = {tensor(value).id_out: tensor(value) for value in graph.xvalues}
    renamed: dict[str, str] = {}
    for node in graph.xnodes:
        filter_id = getattr(node.xnode_union, "filter_id", None)
        value = values.get(filter_id)
        if value is None or value.datatype != XNNDatatype.xnn_datatype_fp32 or not value.constant_buffer_idx:
            continue
        value.datatype = XNNDatatype.xnn_datatype_fp16
        _halve_constant(graph, value, renamed)
    return renamed


def compute_in_half(graph: Any, keep: Collection[int] = ()) -> dict[str, str]:
    """Make every float32 value float16 but for the graph's inputs and outputs, which are converted.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
        keep: constants that stay float32.

    Returns:
        As `Halve` says.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNDatatype

    renamed: dict[str, str] = {}
    inside: dict[int, int] = {}
    half = XNNDatatype.xnn_datatype_fp16
    for value in list(graph.xvalues):
        outer = tensor(value)
        if outer.datatype != XNNDatatype.xnn_datatype_fp32 or outer.id_out in keep:
            continue
        if outer.external_id == NOT_EXTERNAL:
            _halve_constant(graph, outer, renamed)
            outer.datatype = half
        else:
            added = add_value(graph, value, datatype=half, external_id=NOT_EXTERNAL, flags=0)
            inside[outer.id_out] = tensor(added).id_out
    for outside, inner in inside.items():
        replace_value(graph, outside, inner, (*INPUTS, "output_id"))

    graph.xnodes[:0] = [_convert(each, inside[each]) for each in graph.input_ids if each in inside]
    graph.xnodes += [_convert(inside[each], each) for each in graph.output_ids if each in inside]
    return renamed


def compute_floats_in_half(graph: Any) -> dict[str, str]:
    """Make what stays float in a static int8 graph float16, but for what `_needs_float32`.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.

    Returns:
        As `Halve` says.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNDatatype

    values = {tensor(value).id_out: value for value in graph.xvalues}
    in_float = [node.xnode_union for node in graph.xnodes if _needs_float32(node.xnode_union, values)]
    constants = {getattr(operation, name, NOT_EXTERNAL) for operation in in_float for name in ("filter_id", "bias_id")}
    of_integers = {
        node.xnode_union.bias_id
        for node in graph.xnodes
        if is_quantized(values.get(getattr(node.xnode_union, "filter_id", NOT_EXTERNAL)))
    }
    renamed = compute_in_half(graph, keep=constants | of_integers)
    halves = {
        tensor(value).id_out: value
        for value in graph.xvalues
        if tensor(value).datatype == XNNDatatype.xnn_datatype_fp16
    }
    makers = {node.xnode_union.output_id: node.xnode_union for node in graph.xnodes}

    def in_float32(half: int) -> int:
        added = add_value(graph, halves[half], datatype=XNNDatatype.xnn_datatype_fp32)
        return int(tensor(added).id_out)

    def source_of(half: int) -> int:
        """What it was converted from, if that are integers: they needn't become halves first."""
        maker = makers.get(half)
        if maker is not None and is_convert(maker) and is_quantized(values.get(maker.input_id)):
            return int(maker.input_id)
        return half

    nodes = []
    for node in graph.xnodes:
        operation, before, after = node.xnode_union, [], []
        if operation in in_float:
            for name in inputs_of(node):
                half = getattr(operation, name)
                if half in halves:
                    setattr(operation, name, in_float32(half))
                    before.append(_convert(source_of(half), getattr(operation, name)))
            result = operation.output_id
            if result in halves:
                operation.output_id = in_float32(result)
                after.append(_convert(operation.output_id, result))
        nodes += [*before, node, *after]
    graph.xnodes[:] = nodes
    drop_unread(graph, is_convert)
    return renamed


def _needs_float32(operation: Any, values: Mapping[int, Any]) -> bool:
    """Whether XNNPACK has no good half kernel for what an operator of a static int8 graph does with floats.

    - The stem, and norms' means, products of one column: their sums would be half on Arm, and a square divided by the
      channels is often below the least number that isn't flushed to zero.
    - A product of integers that gives floats, as those that are scaled token by token do: on x86 it gives float32
      whatever is asked for, and XNNPACK would leave all that comes after in float32 too.
    - What finds the scale of a token, or converts by a scale below half precision's least normal number: on Arm the
      scale and its inverse are halves, which end at 65,504 and are flushed to zero.
    - GELU, in such a network that of the few pooled contexts: on x86 the half kernel isn't vectorized, and takes 50 ns
      a value, where float32's takes 0.6.
    """
    if is_convert(operation):
        ends = [values[operation.input_id], values[operation.output_id]]
        return any(is_by_token(end) or _scale(end) < _LEAST_NORMAL for end in ends)
    filters = values.get(getattr(operation, "filter_id", NOT_EXTERNAL))
    if filters is None:
        return is_gelu(operation) and not is_quantized(values[operation.output_id])
    if is_quantized(filters):
        return not is_quantized(values[operation.output_id])
    kind = type(operation).__name__
    return kind == "XNNConv2d" or (kind == "XNNFullyConnected" and tensor(filters).dims[0] == 1)


def _scale(value: Any) -> float:
    """The scale of a tensor of integers that has one; one for others."""
    scale = getattr(getattr(value.xvalue_union, "quant_params", None), "scale", 1.0)
    return scale if isinstance(scale, float) else 1.0


def _convert(source: int, result: int) -> Any:
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNConvert, XNode

    return XNode(xnode_union=XNNConvert(input_id=source, output_id=result, flags=0), debug_handle=0)


def _halve_constant(graph: Any, value: Any, renamed: dict[str, str]) -> None:
    """Have a constant's data found by the key of its halves; nothing for what is computed."""
    if not value.constant_buffer_idx:
        return
    constant = graph.constant_data[value.constant_buffer_idx]
    if not constant.named_key.endswith("_fp16"):
        renamed[constant.named_key] = f"{constant.named_key}_fp16"
        constant.named_key, constant.size = renamed[constant.named_key], constant.size // 2


def halve_data(store: Any, halved: Mapping[str, str], used: Collection[str] = ()) -> Any:
    """ExecuTorch's data store with float32 constants as float16, by their new keys.

    Args:
        halved: of `Halve`.
        used: keys that the graph still has: what another constant of the same bytes is read by stays too.
    """
    from executorch.exir._serialize._named_data_store import NamedDataStore

    result = NamedDataStore()
    for key, entry in store.pte_data.items():
        data = store.buffers[entry.buffer_index]
        if key not in halved or key in used:
            result.add_named_data(key, data, entry.alignment)
        if key in halved:
            half = np.frombuffer(data, np.float32).astype(np.float16).tobytes()
            result.add_named_data(halved[key], half, entry.alignment)
    return result.get_named_data_store_output()
