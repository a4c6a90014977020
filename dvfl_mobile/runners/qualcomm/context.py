"""The context binary in a `.tflite` that was compiled for Hexagon: what a phone's Hexagon is given, byte for byte."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, NamedTuple

from dvfl_mobile.errors import ArtifactError, InconclusiveError

DISPATCH = b"DISPATCH_OP"


class Value(NamedTuple):
    """An input or an output; `kind` is of TFLite's `TensorType`."""

    name: str
    kind: int
    shape: tuple[int, ...]


class Context(NamedTuple):
    """A context binary, with the name of the graph in it that takes the input and gives the output."""

    graph: str
    data: bytes
    input: Value
    output: Value


def context_of(path: Path) -> Context:
    """The context binary in a file, which has to be all that there is in it.

    Raises:
        ArtifactError: there is none, or it isn't where the file says.
        InconclusiveError: a part of the graph is left to the CPU: no emulator runs such a mixture.
    """
    data = path.read_bytes()
    try:
        return _read(data, path)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, struct.error) as error:
        # Of the reader of flatbuffers, of whatever a file has in place of one.
        raise ArtifactError(f"{path} can't be read: {type(error).__name__}: {error}.", hint="Convert again.") from error


def _read(data: bytes, path: Path) -> Context:
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(data, 0))
    graph = model.subgraphs[0]
    customs = [model.operatorCodes[operator.opcodeIndex].customCode for operator in graph.operators]
    if DISPATCH not in customs:
        raise ArtifactError(f"{path} holds nothing that was compiled for Hexagon.", hint="Convert again.")
    if len(customs) > 1:
        raise InconclusiveError(
            f"{path} falls into {len(customs)} parts, some of them for the CPU: the emulator runs only what is in one.",
            hint="Run it on a phone with that chip.",
        )
    [operator] = graph.operators
    said = flexbuffers.Loads(bytes(operator.customOptions))
    start, size = said["bytecode_offset"], said["bytecode_size"]
    if not 0 < start < start + size <= len(data):
        raise ArtifactError(f"{path} has no context binary where it says: it was cut off.", hint="Convert again.")
    taken, given = (graph.tensors[indices[0]] for indices in (operator.inputs, operator.outputs))
    return Context(str(said["name"]), data[start : start + size], _value(taken), _value(given))


def _value(tensor: Any) -> Value:
    return Value(tensor.name.decode(), int(tensor.type), tuple(int(side) for side in tensor.shape))
