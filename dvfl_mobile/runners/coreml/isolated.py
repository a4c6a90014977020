"""A foreign Core ML package in a child process: the parent's side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.runners.child.limits import limits_for
from dvfl_mobile.runners.child.process import Child
from dvfl_mobile.targets import target_named

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class PackageFacts:
    """What a package takes and gives, by name; `is_half`: whether its program computes in half precision."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]
    is_half: bool


class IsolatedPackage:
    """One `.mlpackage`, executed in a child process, which ends with this object.

    Raises:
        ArtifactError: it can't be executed, or the child crashed, took too long or needed too much memory.
        MissingDependencyError: coremltools isn't installed.
    """

    def __init__(self, package: Path) -> None:
        size = sum(path.lstat().st_size for path in package.rglob("*")) if package.is_dir() else 0
        limits = limits_for(size)
        self._deadline_s = limits.deadline_s
        self._child = Child(package)
        self._child.prepare(target_named("coreml").runner, limits)
        question = {"do": "package", "package": str(package), "memory_bytes": limits.memory_bytes}
        self.facts = self._facts(self._child.ask(question, limits.deadline_s).document)

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Outputs of one sample by name; integers as int32, all else as float32."""
        for name, values in inputs.items():
            self._child.ask({"do": "give", "name": name}, self._deadline_s, _sent(values))
        self._child.ask({"do": "execute"}, self._deadline_s)
        return {
            name: self._child.ask({"do": "take", "name": name}, self._deadline_s).array for name in self.facts.outputs
        }

    def close(self) -> None:
        """End the child now; otherwise it ends with this object."""
        self._child.close()

    def _facts(self, document: dict[str, Any]) -> PackageFacts:
        try:
            inputs, outputs = (
                {
                    str(name): tuple(None if side is None else int(side) for side in shape)
                    for name, shape in named.items()
                }
                for named in (document["inputs"], document["outputs"])
            )
            return PackageFacts(inputs, outputs, bool(document["is_half"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._child.nonsense("no facts") from error


def _sent(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.ascontiguousarray(values, np.int32 if np.issubdtype(values.dtype, np.integer) else np.float32)
