"""Execute an ML program operation by operation, rounding every value to the program's types."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.mil.dtypes import DType, held
from dvfl_mobile.mil.errors import MalformedError, UnknownOperatorError, UnpublishedError
from dvfl_mobile.mil.operators import KNOWN, OPERATORS
from dvfl_mobile.mil.ops import halves
from dvfl_mobile.mil.ops.arguments import flag, many
from dvfl_mobile.mil.program import Block, Named, Operation, Reference, TensorType, read_program
from dvfl_mobile.model.lean.memory import kept_memory

_FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What kernels raise for arguments that don't go together."""

Values = dict[str, Any]
Watch = Callable[[Operation, tuple[Any, ...]], None]


class MilExecutor:
    """Runs the main function of one package.

    Args:
        package: an `.mlpackage` folder.
        pessimistic: whether operations of half precision round to it on the way too: each step of a norm, and sums
            of products, means and norms again and again (`ops/halves.py`). The least that a device may be expected to
            do; without it, only what an operation gives is rounded.

    Attributes:
        inputs, outputs: names with their types, as the program has them.

    Raises:
        MalformedError: the package isn't whole, or contradicts itself.
        UnknownOperatorError: it needs operators that aren't known here.
        UnpublishedError: it asks for something whose meaning isn't published.
    """

    def __init__(self, package: Path, *, pessimistic: bool = False) -> None:
        self._package, self._pessimistic = package, pessimistic
        self._program = read_program(package)
        unknown = set(self._program.block.kinds()) - KNOWN
        if unknown:
            raise UnknownOperatorError(str(package), unknown, KNOWN)
        self._constants: Values = {}
        self._last_use = _last_uses(self._program.block)
        self.inputs = self._program.inputs
        produced = {output.name: output for each in self._program.block.operations for output in each.outputs}
        produced |= {each.name: each for each in self.inputs}
        try:
            self.outputs = tuple(produced[name] for name in self._program.block.outputs)
        except KeyError as error:
            raise MalformedError(f"{package}: nothing gives its output {error}.") from error
        with torch.no_grad():
            self._fold()

    @property
    def operations(self) -> tuple[Operation, ...]:
        """All operations of the main block in order, constants too."""
        return self._program.block.operations

    def run(self, inputs: Mapping[str, np.ndarray], watch: Watch | None = None) -> dict[str, Any]:
        """Outputs by name, in the types that the program declares; labels and dictionaries of classifiers as such.

        Args:
            inputs: by name, in the shapes of `inputs`; brought to their types.
            watch: is called with each operation and what it gave, constants left out.

        Raises:
            MalformedError: an input is missing or of another shape, or an operation gave something else than the
                program says.
        """
        values: Values = dict(self._constants)
        for named in self.inputs:
            if named.name not in inputs or named.type is None:
                raise MalformedError(f"{self._package} takes {named.name}, and it wasn't given.")
            array = np.asarray(inputs[named.name])
            if not _fits(array.shape, named.type.shape):
                raise MalformedError(
                    f"{self._package} takes {named.name} as {named.type.shape}, and {array.shape} was given."
                )
            values[named.name] = held(array.astype(named.type.dtype.numpy), named.type.dtype)
        with torch.no_grad(), kept_memory():
            self._run(self._program.block, values, watch, self._last_use)
        return {named.name: _outside(values[named.name], named.type) for named in self.outputs}

    def _fold(self) -> None:
        """Constants, and what unpacks weights, once and for all runs."""
        for operation in self._program.block.operations:
            if operation.kind == "const" or operation.kind.startswith("constexpr_"):
                self._step(operation, self._constants, None)

    def _run(
        self, block: Block, values: Values, watch: Watch | None, last_use: Mapping[str, int] | None = None
    ) -> None:
        for index, operation in enumerate(block.operations):
            # Only the main block's own: a name within a block may stand for something else outside of it.
            if last_use is not None and operation.name in self._constants:
                continue
            self._step(operation, values, watch)
            if last_use is not None:
                for name in _read_by(operation):
                    if last_use.get(name) == index and name not in self._constants:
                        values.pop(name, None)

    def _step(self, operation: Operation, values: Values, watch: Watch | None) -> None:
        where = f"{operation.kind} {operation.name!r}"
        try:
            given = self._call(operation, values, watch)
        except (MalformedError, UnpublishedError) as error:
            error.problem = f"{where}: {error.problem}"
            raise
        except _FAULTS as error:
            raise MalformedError(f"{self._package}: {where} can't be computed: {error}.") from error
        results = given if isinstance(given, tuple) else (given,)
        if len(results) != len(operation.outputs):
            raise MalformedError(f"{self._package}: {where} gives {len(results)} values, not {len(operation.outputs)}.")
        declared = tuple(
            self._declared(value, output, where) for value, output in zip(results, operation.outputs, strict=True)
        )
        for value, output in zip(declared, operation.outputs, strict=True):
            values[output.name] = value
        if watch is not None and operation.kind != "const":
            watch(operation, declared)

    def _call(self, operation: Operation, values: Values, watch: Watch | None) -> Any:
        arguments = {key: _resolved(value, values) for key, value in operation.arguments.items()}
        if operation.kind == "const":
            return arguments["val"]
        if operation.kind == "cond":
            return self._cond(operation, arguments, values, watch)
        if operation.kind == "while_loop":
            return self._while(operation, arguments, values, watch)
        if operation.kind == "classify":
            return _classify(**arguments)
        function = self._operator(operation)
        takes = _parameters(OPERATORS[operation.kind])
        unknown = arguments.keys() - takes
        if unknown:
            raise UnpublishedError(f"an argument {', '.join(sorted(unknown))}")
        if "opset" in takes:
            arguments["opset"] = self._program.opset
        return function(**{key: _wide(value) for key, value in arguments.items()})

    def _operator(self, operation: Operation) -> Callable[..., Any]:
        if self._pessimistic and any(each.type and each.type.dtype.held == torch.float16 for each in operation.outputs):
            if operation.kind in halves.UNKNOWN:
                raise UnpublishedError(f"how {operation.kind} sums in half precision")
            return halves.OPERATORS.get(operation.kind, OPERATORS[operation.kind])
        return OPERATORS[operation.kind]

    def _declared(self, value: Any, output: Named, where: str) -> Any:
        """What an operation gave, in the type that the program declares for it."""
        if output.type is None:
            return value
        if isinstance(value, bool | int | float):  # a label that is a number
            value = torch.tensor(value, dtype=output.type.dtype.held)
        if not isinstance(value, Tensor):
            raise MalformedError(f"{self._package}: {where} gives no tensor, and its type says one.")
        if not _fits(value.shape, output.type.shape):
            raise MalformedError(
                f"{self._package}: {where} gives {tuple(value.shape)}, and the program says {output.type.shape}."
            )
        try:
            return _rounded(value, output.type.dtype)
        except UnpublishedError as error:
            error.problem = f"{where}: {error.problem}"
            raise

    def _cond(self, operation: Operation, arguments: Values, values: Values, watch: Watch | None) -> tuple[Any, ...]:
        chosen = operation.blocks[0 if flag(arguments["pred"]) else 1]
        inner = dict(values)
        self._run(chosen, inner, watch)
        return tuple(inner[name] for name in chosen.outputs)

    def _while(self, operation: Operation, arguments: Values, values: Values, watch: Watch | None) -> tuple[Any, ...]:
        condition, body = operation.blocks
        state = many(arguments["loop_vars"])
        while True:
            inner = {**values, **dict(zip((each.name for each in condition.inputs), state, strict=True))}
            self._run(condition, inner, None)
            if not flag(inner[condition.outputs[0]]):
                return state
            inner = {**values, **dict(zip((each.name for each in body.inputs), state, strict=True))}
            self._run(body, inner, watch)
            state = tuple(inner[name] for name in body.outputs)


@cache
def _parameters(function: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(function).parameters)


def _resolved(value: Any, values: Values) -> Any:
    if isinstance(value, Reference):
        if value.name not in values:
            raise MalformedError(f"{value.name} is read before anything gives it.")
        return values[value.name]
    if isinstance(value, tuple):
        return tuple(_resolved(each, values) for each in value)
    return value


def _wide(value: Any) -> Any:
    """Half floats as float32, in which they are computed with."""
    if isinstance(value, tuple):
        return tuple(_wide(each) for each in value)
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.float16 else value


def _rounded(value: Tensor, dtype: DType) -> Tensor:
    """A result in its declared type: floats rounded, to integers cut off, to truth values compared with 0."""
    if value.dtype == dtype.held and dtype.has_all_of_what_holds_it:
        return value
    if dtype.is_integer:
        whole = value.trunc() if value.is_floating_point() else value
        if whole.numel() and whole.dtype != torch.bool:
            least, most = whole.amin().item(), whole.amax().item()
            if not dtype.least <= least <= most <= dtype.most:
                raise UnpublishedError(f"values from {least} to {most} as {dtype.name}")
        return whole.to(dtype.held)
    return value != 0 if dtype.held == torch.bool else value.to(dtype.held)


def _fits(found: tuple[int, ...] | torch.Size, declared: tuple[int | None, ...]) -> bool:
    return len(found) == len(declared) and all(
        size is None or size == seen for seen, size in zip(found, declared, strict=True)
    )


def _outside(value: Any, declared: TensorType | None) -> Any:
    return value if declared is None else value.numpy().astype(declared.dtype.numpy)


def _classify(*, probabilities: Tensor, classes: Any) -> tuple[Any, dict[Any, float]]:
    names = [each.item() if isinstance(each, Tensor) else each for each in classes]
    shares = probabilities.reshape(-1).tolist()
    if len(names) != len(shares):
        raise MalformedError(f"{len(names)} classes for {len(shares)} probabilities.")
    return names[int(np.argmax(shares))], dict(zip(names, shares, strict=True))


def _read_by(operation: Operation) -> set[str]:
    names: set[str] = set()
    for value in operation.arguments.values():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Reference):
                names.add(each.name)
    for block in operation.blocks:
        for inner in block.operations:
            names |= _read_by(inner)
        names |= set(block.outputs)
    return names


def _last_uses(block: Block) -> dict[str, int]:
    """The last operation that reads each value; what the block gives back is read after all of them."""
    found = {name: index for index, operation in enumerate(block.operations) for name in _read_by(operation)}
    return {name: index for name, index in found.items() if name not in block.outputs}
