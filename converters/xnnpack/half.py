"""Passes that store or compute floats in half precision.

`halve_weights` stores the filters of products and convolutions as float16; XNNPACK unpacks them once, at load,
and computes in float32. `compute_in_half` makes every value between input and logits float16. A network that is half
before it is exported would fall into pieces: ExecuTorch gives XNNPACK no GELU of halves, and converts the scalars of
the norms between operators.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from dvfl_mobile.converters.xnnpack.graph import INPUTS, NOT_EXTERNAL, next_id, replace_value, tensor

Halve = Callable[[Any], dict[str, str]]
"""Changes an `XNNGraph` in place. Gives, for each constant that is to be stored as float16, its key in ExecuTorch's
data store and the new key."""


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


def compute_in_half(graph: Any) -> dict[str, str]:
    """Make every float32 value float16 but for the graph's inputs and outputs, which are converted.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.

    Returns:
        As `Halve` says.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNConvert, XNNDatatype, XNode, XValue

    renamed: dict[str, str] = {}
    inside: dict[int, int] = {}
    for value in [each for each in map(tensor, graph.xvalues) if each.datatype == XNNDatatype.xnn_datatype_fp32]:
        if value.external_id == NOT_EXTERNAL:
            _halve_constant(graph, value, renamed)
        else:
            inside[value.id_out] = next_id(graph)
            value = copy.copy(value)
            value.id_out, value.external_id, value.flags = inside[value.id_out], NOT_EXTERNAL, 0
            graph.xvalues.append(XValue(xvalue_union=value))
        value.datatype = XNNDatatype.xnn_datatype_fp16
    for outer, inner in inside.items():
        replace_value(graph, outer, inner, (*INPUTS, "output_id"))

    def convert(source: int, result: int) -> Any:
        return XNode(xnode_union=XNNConvert(input_id=source, output_id=result, flags=0), debug_handle=0)

    graph.xnodes[:0] = [convert(outer, inside[outer]) for outer in graph.input_ids if outer in inside]
    graph.xnodes += [convert(inside[outer], outer) for outer in graph.output_ids if outer in inside]
    return renamed


def _halve_constant(graph: Any, value: Any, renamed: dict[str, str]) -> None:
    """Have a constant's data found by the key of its halves; nothing for what is computed."""
    if not value.constant_buffer_idx:
        return
    constant = graph.constant_data[value.constant_buffer_idx]
    if not constant.named_key.endswith("_fp16"):
        renamed[constant.named_key] = f"{constant.named_key}_fp16"
        constant.named_key, constant.size = renamed[constant.named_key], constant.size // 2


def halve_data(store: Any, halved: dict[str, str]) -> Any:
    """ExecuTorch's data store with float32 constants as float16, by their new keys."""
    from executorch.exir._serialize._named_data_store import NamedDataStore

    result = NamedDataStore()
    for key, entry in store.pte_data.items():
        data = store.buffers[entry.buffer_index]
        if key in halved:
            data = np.frombuffer(data, np.float32).astype(np.float16).tobytes()
        result.add_named_data(halved.get(key, key), data, entry.alignment)
    return result.get_named_data_store_output()
