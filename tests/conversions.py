"""What conversions of small students give to tests: the artifact, its report, and the graphs on the way."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.converters.base import versions
from dvfl_mobile.errors import MissingDependencyError
from dvfl_mobile.model.student import Student
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.targets import TARGETS


@dataclass(frozen=True)
class Made:
    """An artifact of the small student, and its parity report on drawn clips.

    Attributes:
        graphs: ExecuTorch only: XNNPACK's graphs as they were serialized.
    """

    student: Student
    artifact: Artifact
    report: ParityReport
    graphs: tuple[Any, ...]

    @property
    def file(self) -> Path:
        return self.artifact.folder / self.artifact.manifest.file


Make = Callable[[str, str], Made]


def skip_without(target: str) -> None:
    """Skip the test where the packages of `target` aren't installed."""
    try:
        versions(TARGETS[target])
    except MissingDependencyError as error:
        pytest.skip(str(error))


@contextmanager
def recorded_graphs(target: str) -> Any:
    """The graphs that ExecuTorch serializes in this block, after whatever was done to them."""
    graphs: list[Any] = []
    if target != "executorch":
        yield graphs
        return
    from executorch.backends.xnnpack import xnnpack_preprocess

    serialize = xnnpack_preprocess.serialize_xnnpack_binary

    def recording(graph: Any, constant_data: Any) -> Any:
        graphs.append(deepcopy(graph))
        return serialize(graph, constant_data)

    with mock.patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", recording):
        yield graphs
