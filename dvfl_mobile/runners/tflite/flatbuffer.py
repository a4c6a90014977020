"""`.tflite` files made by hand: read as objects, changed, written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def tripling() -> bytes:
    """A model that gives three times the four float32 numbers that it takes."""
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: bytes, buffer: int) -> Any:
        made = schema.TensorT()
        made.name, made.buffer, made.shape, made.type = name, buffer, [1, 1, 1, 4], schema.TensorType.FLOAT32
        return made

    def buffer(data: Any) -> Any:
        made = schema.BufferT()
        made.data = data
        return made

    product = schema.OperatorT()
    product.opcodeIndex, product.inputs, product.outputs = 0, [0, 1], [2]
    product.builtinOptionsType, product.builtinOptions = schema.BuiltinOptions.MulOptions, schema.MulOptionsT()
    graph = schema.SubGraphT()
    graph.tensors = [tensor(b"taken", 0), tensor(b"three", 1), tensor(b"given", 0)]
    graph.inputs, graph.outputs, graph.operators = [0], [2], [product]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.MUL
    code.version = 1
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = [buffer(None), buffer(np.full(4, 3, "<f4").view(np.uint8))]
    return written(model)


def with_outputs(data: bytes, tensors: Sequence[int]) -> bytes:
    """A model that also gives some of its tensors, by their numbers in its first graph, behind what it gives itself."""
    from ai_edge_litert import schema_py_generated as schema

    model = _opened(data)
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    graph.outputs = [*graph.outputs, *tensors]
    for number in tensors:
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = f"cut {number}".encode(), number
        signature.outputs.append(entry)
    return written(model)


def with_float_input(data: bytes) -> bytes:
    """A model that takes int8, as one that takes float32 and quantizes it by the same scale, before all else.

    What it makes of `scale * (q - zero_point)` is exactly what the first makes of `q`.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = _opened(data)
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    [taken] = graph.inputs
    inner = graph.tensors[taken]
    door = schema.TensorT()
    door.name, door.shape, door.type, door.buffer = inner.name, inner.shape, schema.TensorType.FLOAT32, 0
    inner.name += b"_quantized"
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    model.operatorCodes.append(code)
    quantize = schema.OperatorT()
    quantize.opcodeIndex, quantize.inputs, quantize.outputs = (
        len(model.operatorCodes) - 1,
        [len(graph.tensors)],
        [taken],
    )
    quantize.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    quantize.builtinOptions = schema.QuantizeOptionsT()
    graph.inputs = quantize.inputs
    graph.tensors.append(door)
    graph.operators.insert(0, quantize)
    [entry] = signature.inputs
    [entry.tensorIndex] = graph.inputs
    return written(model)


def with_float_weights(data: bytes) -> bytes:
    """A model with float16 constants, as one that holds the float32 numbers that they stand for; exact.

    A runtime that doesn't take the operators that unpack them unpacks them at each run.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = _opened(data)
    codes = [max(code.builtinCode, code.deprecatedBuiltinCode) for code in model.operatorCodes]
    unpacked = set()
    for graph in model.subgraphs:
        kept = []
        for operator in graph.operators:
            source = graph.tensors[operator.inputs[0]]
            packed = model.buffers[source.buffer].data
            is_unpacking = codes[operator.opcodeIndex] == schema.BuiltinOperator.DEQUANTIZE
            if not is_unpacking or source.type != schema.TensorType.FLOAT16 or packed is None:
                kept.append(operator)
                continue
            held = schema.BufferT()
            held.data = np.frombuffer(bytes(packed), "<f2").astype("<f4").view(np.uint8)
            graph.tensors[operator.outputs[0]].buffer = len(model.buffers)
            model.buffers.append(held)
            unpacked.add(source.buffer)
        graph.operators = kept
    for number in unpacked:
        model.buffers[number].data = None
    return written(model)


def _opened(data: bytes) -> Any:
    """A model as an object, which holds its constants also where the file keeps them behind the FlatBuffer."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data, 0)
    for buffer in model.buffers:
        if buffer.offset > 1:
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
            buffer.offset = buffer.size = 0
    return model


def written(model: Any) -> bytes:
    """The bytes of a model, as `schema_py_generated` has it as an object."""
    import flatbuffers

    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
