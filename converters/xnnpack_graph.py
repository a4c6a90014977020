"""Two passes over XNNPACK's own graph, at the last point before ExecuTorch serializes it.

ExecuTorch gives every convolution its channels-last input by a transpose, whatever the tensor's memory already
looks like. The deploy form keeps tokens channels last throughout, so those transposes come in pairs that undo
each other; `fold_transposes` composes and drops them. Of the nano's 138 only the input's own is left.

`halve_weights` stores the filters of products and convolutions as float16; XNNPACK unpacks them once, at load,
and computes in float32.

ExecuTorch offers no hook for either, so `rewriting` wraps two of its functions for the length of a lowering. It
is written against executorch 1.5, which the extra pins; `tests/contract/test_executorch_graph.py` fails when a
new release makes either pass miss.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

_INPUTS = ("input_id", "input1_id", "input2_id", "input3_id", "input4_id", "input5_id", "filter_id", "bias_id")
_NOT_EXTERNAL = 0xFFFFFFFF


@contextmanager
def rewriting(*, half: bool) -> Iterator[None]:
    """Within the block, graphs lowered to XNNPACK have their transposes folded, and their weights halved if asked."""
    from executorch.backends.xnnpack import xnnpack_preprocess

    backend, serialize = xnnpack_preprocess.XnnpackBackend, xnnpack_preprocess.serialize_xnnpack_binary
    preprocess = backend.preprocess
    halved: dict[str, str] = {}

    def serialize_rewritten(graph: Any, constant_data: Any) -> Any:
        fold_transposes(graph)
        if half:
            halved.update(halve_weights(graph))
        return serialize(graph, constant_data)

    def preprocess_rewritten(program: Any, compile_specs: Any) -> Any:
        result = preprocess(program, compile_specs)
        if halved:
            result.data_store_output = _halve_data(result.data_store_output, halved)
        return result

    with (
        mock.patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", serialize_rewritten),
        mock.patch.object(backend, "preprocess", staticmethod(preprocess_rewritten)),
    ):
        yield


def fold_transposes(graph: Any) -> None:
    """Compose each chain of transposes, and drop those that come to nothing.

    A transpose that only moves dimensions of length one moves no byte: it becomes a reshape, which XNNPACK
    gives away for free.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
    """
    values = {_tensor(value).id_out: _tensor(value) for value in graph.xvalues}
    kept = {key for key, value in values.items() if value.external_id != _NOT_EXTERNAL}
    _compose(graph)
    for node in list(graph.xnodes):
        operation = node.xnode_union
        if _is_transpose(operation) and _is_sorted(operation.perm) and operation.output_id not in kept:
            _replace_value(graph, operation.output_id, operation.input_id)
            graph.xnodes.remove(node)
    _drop_unread_transposes(graph, kept)
    for node in graph.xnodes:
        operation = node.xnode_union
        if _is_transpose(operation):
            dims = values[operation.input_id].dims
            if _is_sorted([axis for axis in operation.perm if dims[axis] != 1]):
                node.xnode_union = _as_reshape(operation, dims)


def halve_weights(graph: Any) -> dict[str, str]:
    """Mark the float32 filters of products and convolutions as float16.

    Biases and the vectors of scale and shift stay float32: they are a thousandth of the bytes.

    Returns:
        For each constant to be halved, its key in ExecuTorch's data store and the new key.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNDatatype

    values = {_tensor(value).id_out: _tensor(value) for value in graph.xvalues}
    renamed = {}
    for node in graph.xnodes:
        filter_id = getattr(node.xnode_union, "filter_id", None)
        value = values.get(filter_id)
        if value is None or value.datatype != XNNDatatype.xnn_datatype_fp32 or not value.constant_buffer_idx:
            continue
        constant = graph.constant_data[value.constant_buffer_idx]
        value.datatype = XNNDatatype.xnn_datatype_fp16
        if not constant.named_key.endswith("_fp16"):
            renamed[constant.named_key] = f"{constant.named_key}_fp16"
            constant.named_key, constant.size = renamed[constant.named_key], constant.size // 2
    return renamed


def _halve_data(store: Any, halved: dict[str, str]) -> Any:
    from executorch.exir._serialize._named_data_store import NamedDataStore

    result = NamedDataStore()
    for key, entry in store.pte_data.items():
        data = store.buffers[entry.buffer_index]
        if key in halved:
            data = np.frombuffer(data, np.float32).astype(np.float16).tobytes()
        result.add_named_data(halved.get(key, key), data, entry.alignment)
    return result.get_named_data_store_output()


def _compose(graph: Any) -> None:
    """Make each transpose read what the first of its chain reads. One pass does it: nodes are in order."""
    transposes: dict[int, Any] = {}
    for node in graph.xnodes:
        operation = node.xnode_union
        if not _is_transpose(operation):
            continue
        first = transposes.get(operation.input_id)
        if first is not None:
            operation.perm = [first.perm[axis] for axis in operation.perm]
            operation.input_id = first.input_id
        transposes[operation.output_id] = operation


def _drop_unread_transposes(graph: Any, kept: set[int]) -> None:
    read = {getattr(node.xnode_union, name, None) for node in graph.xnodes for name in _INPUTS} | kept
    graph.xnodes[:] = [
        node for node in graph.xnodes if not _is_transpose(node.xnode_union) or node.xnode_union.output_id in read
    ]


def _replace_value(graph: Any, old: int, new: int) -> None:
    for node in graph.xnodes:
        for name in _INPUTS:
            if getattr(node.xnode_union, name, None) == old:
                setattr(node.xnode_union, name, new)


def _as_reshape(transpose: Any, dims: list[int]) -> Any:
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNStaticReshape

    return XNNStaticReshape(
        num_dims=len(dims),
        new_shape=[dims[axis] for axis in transpose.perm],
        input_id=transpose.input_id,
        output_id=transpose.output_id,
        flags=0,
    )


def _is_transpose(operation: Any) -> bool:
    return type(operation).__name__ == "XNNStaticTranspose"


def _is_sorted(axes: list[int]) -> bool:
    return list(axes) == sorted(axes)


def _tensor(value: Any) -> Any:
    union = value.xvalue_union
    return getattr(union, "tensor_value", union)
