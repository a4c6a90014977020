"""Small `.tflite` files of hand-made operators, by LiteRT's own schema: whatever reads them had no part in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

schema: Any = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="LiteRT, which brings the schema")
flatbuffers: Any = pytest.importorskip("flatbuffers")


@dataclass(frozen=True)
class Value:
    """A tensor. The same object in two operators is the same tensor."""

    shape: tuple[int, ...]
    type: str = "FLOAT32"
    is_constant: bool = False
    is_behind: bool = False  # a constant whose bytes lie behind the FlatBuffer, as large models have them
    is_variable: bool = False
    scales: int = 0
    name: str = "value"


@dataclass(frozen=True)
class Step:
    """An operator; `settings` are fields of the table `options`, such as `Conv2DOptions`."""

    operator: str
    inputs: Sequence[Value | None]
    outputs: Sequence[Value]
    version: int = 1
    options: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    custom: str = ""
    said: bytes = b""  # a custom operator's own options


def write_tflite(path: Path, steps: Sequence[Step], graphs: int = 1) -> Path:
    """Write a model of these operators, in this order."""
    model = schema.ModelT(version=3, buffers=[schema.BufferT()], operatorCodes=[], subgraphs=[])
    graph = schema.SubGraphT(tensors=[], inputs=[], outputs=[], operators=[])
    numbers: dict[int, int] = {}
    for step in steps:
        for value in (*step.inputs, *step.outputs):
            if value is not None and id(value) not in numbers:
                numbers[id(value)] = len(graph.tensors)
                graph.tensors.append(_tensor(value, model))
        graph.operators.append(_operator(step, numbers, model))
    model.subgraphs = [graph] * graphs
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def _tensor(value: Value, model: Any) -> Any:
    tensor = schema.TensorT(
        shape=list(value.shape),
        type=getattr(schema.TensorType, value.type),
        name=value.name,
        isVariable=value.is_variable,
        buffer=len(model.buffers) if value.is_constant else 0,
    )
    if value.is_constant and value.is_behind:
        model.buffers.append(schema.BufferT(offset=4096, size=16))
    elif value.is_constant:
        model.buffers.append(schema.BufferT(data=np.zeros(16, np.uint8)))
    if value.scales:
        tensor.quantization = schema.QuantizationParametersT(scale=[0.5] * value.scales, zeroPoint=[0] * value.scales)
    return tensor


def _operator(step: Step, numbers: dict[int, int], model: Any) -> Any:
    code = getattr(schema.BuiltinOperator, step.operator)
    model.operatorCodes.append(
        schema.OperatorCodeT(
            # What is above doesn't fit the older field, which then holds a mark.
            deprecatedBuiltinCode=min(code, 127),
            builtinCode=code,
            version=step.version,
            customCode=step.custom or None,
        )
    )
    operator = schema.OperatorT(
        opcodeIndex=len(model.operatorCodes) - 1,
        inputs=[-1 if value is None else numbers[id(value)] for value in step.inputs],
        outputs=[numbers[id(value)] for value in step.outputs],
    )
    if step.said:
        operator.customOptions = np.frombuffer(step.said, np.uint8)
    if step.options:
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, step.options)
        operator.builtinOptions = getattr(schema, f"{step.options}T")(**step.settings)
    return operator
