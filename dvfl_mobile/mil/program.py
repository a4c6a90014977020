"""Read an ML program into plain operations, from a package's protobuf and blob files.

The only place that knows the protobuf; coremltools brings its classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dvfl_mobile.errors import needs
from dvfl_mobile.mil.blob import BlobFile
from dvfl_mobile.mil.dtypes import DTYPES, STRING, DType, held, unpack
from dvfl_mobile.mil.errors import MalformedError, UnpublishedError
from dvfl_mobile.mil.package import blob_file, model_file

OPSETS = {"CoreML5": 15, "CoreML6": 16, "CoreML7": 17, "CoreML8": 18, "CoreML9": 26}
"""The iOS of each set of operators."""

_NAME = "name"


@dataclass(frozen=True)
class TensorType:
    """Of a tensor; a dimension that is only known when it runs is None."""

    dtype: DType
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Named:
    """A name with its type; None: no tensor of numbers (strings, lists, dictionaries)."""

    name: str
    type: TensorType | None


@dataclass(frozen=True)
class Reference:
    """What another operation gave, or an input."""

    name: str


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes:
        kind: the operator, such as `conv`.
        name: of its first output, by which errors name it.
        arguments: by the operator's own names; each a reference, a value, or several of them.
    """

    kind: str
    name: str
    arguments: Mapping[str, Any]
    outputs: tuple[Named, ...]
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Block:
    """Operations in order, and the names that go in and out."""

    inputs: tuple[Named, ...]
    operations: tuple[Operation, ...]
    outputs: tuple[str, ...]

    def kinds(self) -> Iterator[str]:
        """The operators in it, nested blocks too."""
        for operation in self.operations:
            yield operation.kind
            for block in operation.blocks:
                yield from block.kinds()


@dataclass(frozen=True)
class Program:
    """The function that a package runs.

    Attributes:
        opset: the iOS of its operators.
    """

    opset: int
    inputs: tuple[Named, ...]
    block: Block


def load_runtime() -> None:
    """Import what reads packages.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("coremltools", extra="coreml", why="to read an .mlpackage"):
        import coremltools.proto.Model_pb2  # noqa: F401


def read_program(package: Path) -> Program:
    """The main function of the ML program in a package.

    Raises:
        MalformedError: it isn't a package, holds no ML program, or contradicts itself.
        MissingDependencyError: coremltools isn't installed.
    """
    load_runtime()
    from coremltools.proto import Model_pb2
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    path = model_file(package)
    spec = Model_pb2.Model()
    try:
        spec.ParseFromString(path.read_bytes())
    except (DecodeError, RecursionError) as error:
        raise MalformedError(f"{path} is no Core ML model: {error}.") from error
    kind = spec.WhichOneof("Type")
    if kind != "mlProgram":
        raise MalformedError(f"{package} holds a {kind or 'model of no type'}, and only an mlProgram can be run here.")
    try:
        return _Reader(package, path).program(spec)
    except (ValueError, UnicodeDecodeError, OverflowError) as error:
        raise MalformedError(f"{package} contradicts itself: {error}.") from error


class _Reader:
    def __init__(self, package: Path, model: Path) -> None:
        self._package, self._model = package, model
        self._blobs: dict[str, BlobFile] = {}

    def program(self, spec: Any) -> Program:
        functions = spec.mlProgram.functions
        name = spec.description.defaultFunctionName or "main"
        if name not in functions:
            raise MalformedError(f"{self._package} has no function {name!r}.")
        function = functions[name]
        if function.opset not in function.block_specializations:
            raise MalformedError(f"{self._package}: {name} has no block for its own operators, {function.opset!r}.")
        if function.opset not in OPSETS:
            raise UnpublishedError(f"{self._package} is written for the operators {function.opset!r}")
        block = self._block(function.block_specializations[function.opset])
        return Program(OPSETS[function.opset], tuple(map(self._named, function.inputs)), block)

    def _block(self, block: Any) -> Block:
        return Block(
            tuple(map(self._named, block.inputs)), tuple(map(self._operation, block.operations)), tuple(block.outputs)
        )

    def _operation(self, operation: Any) -> Operation:
        outputs = tuple(map(self._named, operation.outputs))
        name = outputs[0].name if outputs else operation.type
        arguments: dict[str, Any] = {
            key: self._value(value, name) for key, value in operation.attributes.items() if key != _NAME
        }
        for key, argument in operation.inputs.items():
            bound = tuple(self._binding(binding, name) for binding in argument.arguments)
            arguments[key] = bound[0] if len(bound) == 1 else bound
        return Operation(operation.type, name, arguments, outputs, tuple(map(self._block, operation.blocks)))

    def _binding(self, binding: Any, where: str) -> Any:
        kind = binding.WhichOneof("binding")
        if kind == "name":
            return Reference(binding.name)
        if kind == "value":
            return self._value(binding.value, where)
        raise MalformedError(f"{self._package}: {where} has an argument that is nothing.")

    def _named(self, named: Any) -> Named:
        return Named(named.name, self._type(named.type))

    def _type(self, declared: Any) -> TensorType | None:
        if declared.WhichOneof("type") != "tensorType" or declared.tensorType.dataType == STRING:
            return None
        tensor = declared.tensorType
        if tensor.dataType not in DTYPES:
            raise UnpublishedError(f"{self._package} has values of type {tensor.dataType}")
        shape = tuple(
            int(each.constant.size) if each.WhichOneof("dimension") == "constant" else None
            for each in tensor.dimensions
        )
        return TensorType(DTYPES[tensor.dataType], shape)

    def _value(self, value: Any, where: str) -> Any:
        """A tensor, a string, or a list of values."""
        declared = self._type(value.type)
        if value.WhichOneof("value") == "blobFileValue":
            if declared is None:
                raise MalformedError(f"{self._package}: {where} keeps what is no tensor in a blob file.")
            blob = self._blob(value.blobFileValue.fileName)
            return self._tensor(blob.read(value.blobFileValue.offset, declared.dtype, _count(declared)), declared)
        immediate = value.immediateValue
        kind = immediate.WhichOneof("value")
        if kind in ("list", "tuple"):
            return [self._value(each, where) for each in getattr(immediate, kind).values]
        if kind != "tensor":
            raise MalformedError(f"{self._package}: {where} has a value that is a {kind or 'nothing'}.")
        tensor = immediate.tensor
        if declared is None:
            strings = [str(each) for each in tensor.strings.values]
            return strings[0] if len(strings) == 1 and not value.type.tensorType.dimensions else strings
        return self._tensor(self._immediate(tensor, declared), declared)

    def _immediate(self, tensor: Any, declared: TensorType) -> np.ndarray:
        kind, count = tensor.WhichOneof("value"), _count(declared)
        if kind == "bytes":
            return unpack(tensor.bytes.values, declared.dtype, count)
        values = np.array(getattr(tensor, kind).values if kind else (), declared.dtype.numpy)
        if values.size != count:
            raise ValueError(f"{values.size} values where the type says {count}")
        return values

    def _tensor(self, values: np.ndarray, declared: TensorType) -> Any:
        return held(values.reshape([size or 0 for size in declared.shape]), declared.dtype)

    def _blob(self, name: str) -> BlobFile:
        if name not in self._blobs:
            self._blobs[name] = BlobFile(blob_file(self._package, self._model, name))
        return self._blobs[name]


def _count(declared: TensorType) -> int:
    if None in declared.shape:
        raise ValueError("a value of unknown shape")
    return math.prod(size or 0 for size in declared.shape)
