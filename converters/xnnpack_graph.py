"""Optimization passes over XNNPACK's graph, run just before ExecuTorch serializes it.

ExecuTorch gives every convolution its channels-last input by a transpose, whatever the tensor's memory already
looks like. The deploy form keeps tokens channels last throughout, so those transposes come in pairs that undo
each other; `fold_transposes` composes and drops them. Of the nano's 138 only the input's own is left.

`halve_weights` stores the filters of products and convolutions as float16; XNNPACK unpacks them once, at load,
and computes in float32. `compute_in_half` makes every value between input and logits float16. A network that is half
before it is exported would fall into pieces: ExecuTorch gives XNNPACK no GELU of halves, and converts the scalars of
the norms between operators.

`fuse_lookups` lets GELU read and give int8 where its neighbours do: XNNPACK then makes a table of 256 values of it,
which ExecuTorch, that knows GELU in float only, surrounds with conversions instead. `share_conversions` drops those
of one tensor to the same type, but the first.

ExecuTorch offers no hook for any of this, so `rewriting` wraps two of its functions for the length of a lowering. It
is written against executorch 1.5, which the extra pins; `tests/contract/test_executorch_graph.py` fails when a
new release makes either pass miss.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from typing import Any
from unittest import mock

import numpy as np

_INPUTS = ("input_id", "input1_id", "input2_id", "input3_id", "input4_id", "input5_id", "filter_id", "bias_id")
_NOT_EXTERNAL = 0xFFFFFFFF
_LOOKUPS = ("XNNGelu",)

Halve = Callable[[Any], dict[str, str]]
"""Changes an `XNNGraph` in place. Gives, for each constant that is to be stored as float16, its key in ExecuTorch's
data store and the new key."""


@contextmanager
def rewriting(halve: Halve | None = None) -> Iterator[None]:
    """Within the block, graphs lowered to XNNPACK have their transposes folded, and are halved if asked.

    Args:
        halve: `halve_weights` or `compute_in_half`; None: neither.
    """
    from executorch.backends.xnnpack import xnnpack_preprocess

    backend, serialize = xnnpack_preprocess.XnnpackBackend, xnnpack_preprocess.serialize_xnnpack_binary
    preprocess = backend.preprocess
    halved: dict[str, str] = {}

    def serialize_rewritten(graph: Any, constant_data: Any) -> Any:
        fuse_lookups(graph)
        share_conversions(graph)
        fold_transposes(graph)
        if halve is not None:
            halved.update(halve(graph))
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
    kept = _external(graph)
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


def fuse_lookups(graph: Any) -> None:
    """Let each GELU between two conversions read the int8 before it and give the int8 after it.

    Exact: 256 integers in, each to the integer that conversion, GELU and conversion made of it.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
    """
    quantized = {_tensor(value).id_out for value in graph.xvalues if _is_quantized(value)}
    makers = {node.xnode_union.output_id: node.xnode_union for node in graph.xnodes}
    for node in [node for node in graph.xnodes if type(node.xnode_union).__name__ in _LOOKUPS]:
        operation = node.xnode_union
        before = makers.get(getattr(operation, "input_id", _NOT_EXTERNAL))
        readers = _readers(graph, operation.output_id)
        if (
            before is not None
            and _is_convert(before)
            and before.input_id in quantized
            and len(readers) == 1
            and _is_convert(readers[0].xnode_union)
            and readers[0].xnode_union.output_id in quantized
        ):
            operation.input_id, operation.output_id = before.input_id, readers[0].xnode_union.output_id
            graph.xnodes.remove(readers[0])
    kept = _external(graph)
    read = _read(graph) | kept
    graph.xnodes[:] = [
        node for node in graph.xnodes if not _is_convert(node.xnode_union) or node.xnode_union.output_id in read
    ]


def share_conversions(graph: Any) -> None:
    """Convert each int8 tensor to float once, and not once for each of its readers.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.
    """
    quantized = {_tensor(value).id_out for value in graph.xvalues if _is_quantized(value)}
    kept = _external(graph)
    first: dict[int, int] = {}
    for node in list(graph.xnodes):
        operation = node.xnode_union
        if not _is_convert(operation) or operation.input_id not in quantized or operation.output_id in kept:
            continue
        same = first.setdefault(operation.input_id, operation.output_id)
        if same != operation.output_id:
            _replace_value(graph, operation.output_id, same)
            graph.xnodes.remove(node)


def halve_weights(graph: Any) -> dict[str, str]:
    """Mark the float32 filters of products and convolutions as float16.

    Biases and the vectors of scale and shift stay float32: they are a thousandth of the bytes.

    Args:
        graph: ExecuTorch's `XNNGraph`, changed in place.

    Returns:
        As `Halve` says.
    """
    from executorch.backends.xnnpack.serialization.xnnpack_graph_schema import XNNDatatype

    values = {_tensor(value).id_out: _tensor(value) for value in graph.xvalues}
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
    for value in [tensor for tensor in map(_tensor, graph.xvalues) if tensor.datatype == XNNDatatype.xnn_datatype_fp32]:
        if value.external_id == _NOT_EXTERNAL:
            _halve_constant(graph, value, renamed)
        else:
            inside[value.id_out] = _next_id(graph)
            value = copy.copy(value)
            value.id_out, value.external_id, value.flags = inside[value.id_out], _NOT_EXTERNAL, 0
            graph.xvalues.append(XValue(xvalue_union=value))
        value.datatype = XNNDatatype.xnn_datatype_fp16
    for outer, inner in inside.items():
        _replace_value(graph, outer, inner, (*_INPUTS, "output_id"))

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


def _next_id(graph: Any) -> int:
    return 1 + max(int(_tensor(value).id_out) for value in graph.xvalues)


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
    read = _read(graph) | kept
    graph.xnodes[:] = [
        node for node in graph.xnodes if not _is_transpose(node.xnode_union) or node.xnode_union.output_id in read
    ]


def _replace_value(graph: Any, old: int, new: int, names: Sequence[str] = _INPUTS) -> None:
    for node in graph.xnodes:
        for name in names:
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


def _external(graph: Any) -> set[int]:
    """The graph's inputs and outputs."""
    tensors = map(_tensor, graph.xvalues)
    return {tensor.id_out for tensor in tensors if tensor.external_id != _NOT_EXTERNAL}


def _read(graph: Any) -> set[int | None]:
    """What any operator reads."""
    return {getattr(node.xnode_union, name) for node in graph.xnodes for name in _inputs_of(node)}


def _readers(graph: Any, value: int) -> list[Any]:
    return [node for node in graph.xnodes if any(getattr(node.xnode_union, name) == value for name in _inputs_of(node))]


def _inputs_of(node: Any) -> tuple[str, ...]:
    kind: type = type(node.xnode_union)
    return _inputs(kind)


@cache
def _inputs(kind: type) -> tuple[str, ...]:
    """Those of `_INPUTS` that a kind of operator has."""
    return tuple(field.name for field in fields(kind) if field.name in _INPUTS)


def _is_quantized(value: Any) -> bool:
    return type(value.xvalue_union).__name__ == "XNNQuantizedTensorValue"


def _is_convert(operation: Any) -> bool:
    return type(operation).__name__ == "XNNConvert"


def _is_transpose(operation: Any) -> bool:
    return type(operation).__name__ == "XNNStaticTranspose"


def _is_sorted(axes: list[int]) -> bool:
    return list(axes) == sorted(axes)


def _tensor(value: Any) -> Any:
    union = value.xvalue_union
    return getattr(union, "tensor_value", union)
