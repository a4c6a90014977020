"""A foreign Core ML package in a child process: the child's side of `isolated`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.mil.errors import UnpublishedError
from dvfl_mobile.mil.executor import MilExecutor


class ServedPackage:
    """A package and the tensors that go in and out of it.

    Raises:
        ArtifactError: it can't be executed, or an input or output of it is no tensor.
    """

    def __init__(self, package: Path) -> None:
        self._executor = MilExecutor(package)
        self._given: dict[str, NDArray[Any]] = {}
        self._found: dict[str, NDArray[Any]] = {}
        named = (*self._executor.inputs, *self._executor.outputs)
        strange = [each.name for each in named if each.type is None]
        if strange:
            raise UnpublishedError(f"{package} takes or gives what is no tensor, {', '.join(strange)}")

    @property
    def facts(self) -> dict[str, Any]:
        """Names and shapes, and whether any of its operations gives half floats."""
        kinds = {
            output.type.dtype.name
            for operation in self._executor.operations
            for output in operation.outputs
            if output.type is not None and operation.kind != "const"
        }
        return {
            "inputs": {each.name: each.type.shape for each in self._executor.inputs if each.type is not None},
            "outputs": {each.name: each.type.shape for each in self._executor.outputs if each.type is not None},
            "is_half": "fp16" in kinds,
        }

    def give(self, name: str, values: NDArray[Any]) -> None:
        """An input for the next execution."""
        self._given[name] = values

    def execute(self) -> None:
        """Run it on what was given."""
        self._found = self._executor.run(self._given)

    def take(self, name: str) -> NDArray[Any]:
        """An output of the last execution, as int32 or float32."""
        values = self._found[name]
        is_whole = np.issubdtype(values.dtype, np.integer)
        return np.ascontiguousarray(values, np.int32 if is_whole else np.float32)
