"""The native programs: which runtimes they are made for, and where each one's libraries lie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Native:
    """What runs the artifacts of a target without Python.

    Attributes:
        program: its name.
        runtime: what people call the runtime in it.
        distribution: the package that brings the runtime's libraries.
        folder: of that package, among the installed ones.
        parts: what of its wheel is needed, by the files' names.
        variable: by which CMake is given the folder.
    """

    program: str
    runtime: str
    distribution: str
    folder: str
    parts: re.Pattern[str]
    variable: str


NATIVE: Mapping[str, Native] = MappingProxyType(
    {
        "executorch": Native(
            program="dvfl-mobile-run-executorch",
            runtime="ExecuTorch",
            distribution="executorch",
            folder="executorch",
            parts=re.compile(r"executorch/(lib/.*|include/.*|share/cmake/.*|version\.py)"),
            variable="DVFL_EXECUTORCH",
        ),
        "tflite": Native(
            program="dvfl-mobile-run-litert",
            runtime="LiteRT",
            distribution="ai-edge-litert",
            folder="ai_edge_litert",
            parts=re.compile(r"ai_edge_litert/libLiteRt(\w*GpuAccelerator)?\.so"),
            variable="DVFL_LITERT",
        ),
    }
)
"""By target; one that isn't here has no native program."""
