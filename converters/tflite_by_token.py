"""Linear layers of static int8 whose tokens XNNPACK quantizes as they come: a pass over a TFLite model."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from dvfl_mobile.delegation import module_of_operator

_MOST = 127
_VERSION = 9  # of FULLY_CONNECTED, the first that has scales by channel beside floats


def quantize_by_token(model: Any, modules: Collection[str]) -> None:
    """Give the linear layers at `modules`, which are float, int8 weights by output channel.

    A layer that reads floats and holds such weights quantizes each token by its own range, multiplies integers, and
    gives floats. Its weights are those of a quantized form already, so that their integers are found again exactly.

    Raises:
        RuntimeError: one isn't there: litert-torch names its tensors otherwise, or lowers it to something else.
    """
    from ai_edge_litert import schema_py_generated as schema

    found = set()
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if code.builtinCode == schema.BuiltinOperator.FULLY_CONNECTED:
                output, weight = (graph.tensors[int(index)] for index in (operator.outputs[0], operator.inputs[1]))
                module = module_of_operator("fully_connected", output.name.decode(), weight.name.decode())
                if module in modules:
                    _quantize(model, weight)
                    code.version = max(code.version, _VERSION)
                    found.add(module)
    if found != set(modules):
        raise RuntimeError(f"no linear layer of floats in the .tflite is that of {sorted(set(modules) - found)}")


def _quantize(model: Any, weight: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    values = np.frombuffer(bytes(model.buffers[weight.buffer].data), np.float32).reshape(weight.shape)
    # A channel of zeros has any scale.
    scales = np.maximum(np.abs(values).max(axis=1) / _MOST, np.finfo(np.float32).tiny)
    integers = np.rint(values / scales[:, None]).clip(-_MOST, _MOST).astype(np.int8)
    # Each weight has a buffer of its own: no two layers hold the same.
    model.buffers[weight.buffer].data = np.frombuffer(integers.tobytes(), np.uint8)
    weight.type = schema.TensorType.INT8
    zeros = np.zeros(len(scales), np.int64)
    weight.quantization = schema.QuantizationParametersT(scale=scales, zeroPoint=zeros, quantizedDimension=0)
