"""GELU of integers within XNNPACK: a pass over a TFLite model that says in other operators what one of them does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any


def spell_out_lookups(model: Any) -> None:
    """Let each GELU of int8 be three operators: to floats, GELU of them, and back to int8.

    LiteRT's delegate hands XNNPACK no GELU of int8, but each of the three, of which XNNPACK makes one table of 256
    values again. Left as it is, the interpreter would compute it by itself, on one thread, between two calls of
    XNNPACK. Each integer goes to the integer that conversion, GELU and conversion make of it.
    """
    for graph in model.subgraphs:
        graph.operators = [each for operator in graph.operators for each in _spelled_out(model, graph, operator)]


def lookups(steps: Sequence[Mapping[str, Any]]) -> tuple[frozenset[int], frozenset[int]]:
    """Which of an interpreter's operators are such a GELU, and which the conversions around one, by their indices."""
    makers = {int(step["outputs"][0]): step for step in steps if step["op_name"] != "DELEGATE"}
    readers = defaultdict(list)
    for step in steps:
        if step["op_name"] != "DELEGATE":
            for source in step["inputs"]:
                readers[int(source)].append(step)
    found, around = set(), set()
    for step in steps:
        if step["op_name"] == "GELU":
            before, after = makers.get(int(step["inputs"][0])), readers[int(step["outputs"][0])]
            if before and before["op_name"] == "DEQUANTIZE" and [each["op_name"] for each in after] == ["QUANTIZE"]:
                found.add(step["index"])
                around |= {before["index"], after[0]["index"]}
    return frozenset(found), frozenset(around)


def _spelled_out(model: Any, graph: Any, operator: Any) -> list[Any]:
    """The operators in an operator's place: itself, unless it is a GELU of int8."""
    from ai_edge_litert import schema_py_generated as schema

    kinds, integers = schema.BuiltinOperator, schema.TensorType.INT8
    is_gelu = model.operatorCodes[operator.opcodeIndex].builtinCode == kinds.GELU
    if not is_gelu or graph.tensors[operator.inputs[0]].type != integers:
        return [operator]
    taken, given = int(operator.inputs[0]), int(operator.outputs[0])
    before, after = _floats_beside(graph, taken), _floats_beside(graph, given)
    operator.inputs, operator.outputs = [before], [after]
    dequantize, quantize = _code(model, kinds.DEQUANTIZE, 2), _code(model, kinds.QUANTIZE, 1)
    return [
        schema.OperatorT(opcodeIndex=dequantize, inputs=[taken], outputs=[before]),
        operator,
        schema.OperatorT(opcodeIndex=quantize, inputs=[after], outputs=[given]),
    ]


def _floats_beside(graph: Any, index: int) -> int:
    """The index of a new tensor: the floats of one of integers, by the same name, which says its module."""
    from ai_edge_litert import schema_py_generated as schema

    like = graph.tensors[index]
    graph.tensors.append(
        schema.TensorT(shape=list(like.shape), type=schema.TensorType.FLOAT32, buffer=0, name=like.name, hasRank=True)
    )
    return len(graph.tensors) - 1


def _code(model: Any, kind: int, version: int) -> int:
    """The index by which operators of a kind are named; `version` is the first that knows int8."""
    from ai_edge_litert import schema_py_generated as schema

    for index, code in enumerate(model.operatorCodes):
        if code.builtinCode == kind:
            return index
    model.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=kind, builtinCode=kind, version=version))
    return len(model.operatorCodes) - 1
