"""The operators of a `.tflite` as delegation rules see them: shapes, types, versions and options.

Read by this project's own reader of FlatBuffers: without LiteRT, and safe on files from strangers. Places of fields,
codes of operators and of types are those of TFLite's published schema (`schema.fbs`, version 3).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dvfl_mobile.delegation import module_of_operator
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.gpu_delegate.codes import CUSTOM, OPERATORS, OPTIONS, TYPES, Field
from dvfl_mobile.gpu_delegate.flatbuffer import MalformedError, Source, Table

_Item = TypeVar("_Item")

_IDENTIFIER = b"TFL3"

# The nano has about 1,200 tensors and 700 operators, of at most 5 operands and rank 4.
_MOST_TENSORS = 50_000
_MOST_OPERATORS = 20_000
_MOST_CODES = 1_000
_MOST_BUFFERS = 100_000
_MOST_SUBGRAPHS = 100
_MOST_OPERANDS = 100
_MOST_RANK = 16
_MOST_ELEMENTS = 2**40
_MOST_NAME_BYTES = 1_024


@dataclass(frozen=True)
class Tensor:
    """A value that operators read or give.

    Attributes:
        type: in lower case, such as `float32` or `int8`.
        is_constant: whether its values lie in the file.
        is_variable: whether it keeps its values from run to run.
        scales: how many scales it has; one is of the whole tensor, several are by channel.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    is_constant: bool = False
    is_variable: bool = False
    scales: int = 0

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Operator:
    """One operator of the graph.

    Attributes:
        name: in lower case, such as `conv_2d`; a custom one begins with `custom:`.
        version: of the operator's meaning; its converter writes the least that it needs.
        inputs: what it reads; None for an optional one that isn't given.
        reads, gives: numbers of these tensors in the graph, those that aren't given left out.
        options: its settings by name; None where the file has none.
    """

    name: str
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    reads: tuple[int, ...] = ()
    gives: tuple[int, ...] = ()
    options: Mapping[str, float] | None = None

    def option(self, name: str) -> float:
        """A setting; 0 where the file gives none, as TFLite takes it."""
        return (self.options or {}).get(name, 0)

    @property
    def given(self) -> tuple[Tensor, ...]:
        """The inputs that are given."""
        return tuple(tensor for tensor in self.inputs if tensor is not None)

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of a product or convolution; 0 of all else."""
        if len(self.inputs) < 2 or self.inputs[1] is None or not self.outputs:
            return 0
        weight, outputs = self.inputs[1].shape, self.outputs[0].elements
        if self.name in ("fully_connected", "conv_2d"):
            return outputs * math.prod(weight[1:])
        return outputs * math.prod(weight[:-1]) if self.name == "depthwise_conv_2d" else 0

    @property
    def module(self) -> str:
        """The path of the module that it comes from; empty where its names don't tell."""
        output, second = (
            tensors[0].name if tensors and tensors[0] else "" for tensors in (self.outputs, self.inputs[1:])
        )
        return module_of_operator(self.name, output, second)


@dataclass(frozen=True)
class Graph:
    """A model's first graph, which is what a delegate is shown.

    Attributes:
        subgraphs: how many graphs the model has.
    """

    operators: tuple[Operator, ...]
    subgraphs: int = 1


def read_graph(path: Path) -> Graph:
    """The operators of the model at `path`, in the order in which they run.

    Raises:
        ArtifactError: it is no `.tflite`, or one that can't be.
    """
    try:
        with Source(path) as source:
            return _graph(source)
    except (OSError, MalformedError, OverflowError) as error:
        raise ArtifactError(f"{path} can't be read as a .tflite: {error}.", hint="Convert again.") from error


def _graph(source: Source) -> Graph:
    model = source.root(_IDENTIFIER)
    codes = [_code(table) for table in model.tables(1, _MOST_CODES)]
    filled = [_is_filled(table) for table in model.tables(4, _MOST_BUFFERS)]
    first = next(model.tables(2, _MOST_SUBGRAPHS), None)
    if first is None:
        raise MalformedError("it has no graph")
    tensors = [_tensor(table, filled) for table in first.tables(0, _MOST_TENSORS)]
    return Graph(tuple(_operators(first, codes, tensors)), model.count(2))


def _operators(graph: Table, codes: list[tuple[str, int]], tensors: list[Tensor]) -> Iterator[Operator]:
    for table in graph.tables(3, _MOST_OPERATORS):
        name, version = _item(codes, table.integer(0, "I"), "operator code")
        reads, gives = table.integers(1, _MOST_OPERANDS), table.integers(2, _MOST_OPERANDS)
        yield Operator(
            name,
            version,
            tuple(None if index == -1 else _item(tensors, index, "tensor") for index in reads),
            tuple(_item(tensors, index, "tensor") for index in gives),
            tuple(index for index in reads if index != -1),
            gives,
            _options(table, OPTIONS.get(name)),
        )


def _code(table: Table) -> tuple[str, int]:
    """An operator's name and version. Codes from 127 on have a field of their own."""
    code = max(table.integer(0, "b"), table.integer(3, "i"))
    if code == CUSTOM:
        return f"custom:{table.text(1, _MOST_NAME_BYTES)}", table.integer(2, "i", 1)
    return OPERATORS[code] if 0 <= code < len(OPERATORS) else f"operator {code}", table.integer(2, "i", 1)


def _is_filled(buffer: Table) -> bool:
    """Whether a buffer holds values; those of large models lie behind the FlatBuffer, at an offset from its start."""
    return buffer.count(0, 1) > 0 or (buffer.integer(1, "Q") > 1 and buffer.integer(2, "Q") > 0)


def _tensor(table: Table, filled: list[bool]) -> Tensor:
    code = table.integer(1, "b")
    quantization = table.table(4)
    shape = table.integers(0, _MOST_RANK)
    if any(side < 0 for side in shape) or math.prod(shape) > _MOST_ELEMENTS:
        raise MalformedError(f"a tensor is of shape {list(shape)}")
    return Tensor(
        name=table.text(3, _MOST_NAME_BYTES),
        shape=shape,
        type=TYPES[code] if 0 <= code < len(TYPES) else f"type {code}",
        is_constant=_item(filled, table.integer(2, "I"), "buffer"),
        is_variable=bool(table.integer(5, "B")),
        scales=0 if quantization is None else quantization.count(2),
    )


def _options(operator: Table, fields: tuple[Field, ...] | None) -> Mapping[str, float] | None:
    found = operator.table(4)
    if found is None or fields is None:
        return None
    return {
        field.name: found.number(field.place, field.default)
        if field.code == "f"
        else found.integer(field.place, field.code, int(field.default))
        for field in fields
    }


def _item(items: list[_Item], index: int, kind: str) -> _Item:
    if not 0 <= index < len(items):
        raise MalformedError(f"it names {kind} {index} of {len(items)}")
    return items[index]
