"""Trace a Core ML package by the executor: the program's own values, not those of Apple's kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.mil.executor import MilExecutor
from dvfl_mobile.mil.program import Operation, Reference
from dvfl_mobile.mil.program import load_runtime as load_runtime
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.tracing import MOVE, ROUND, Step, Trace
from dvfl_mobile.runners.values import Pixels

_KINDS = {
    **{kind: kind for kind in ("linear", "conv", "gelu", "add", "sub", "mul", "rsqrt", "layer_norm", "abs")},
    **{kind: ROUND for kind in ("quantize", "dequantize", "cast")},
    "reduce_mean": "mean",
}


def trace_artifact(path: Path, manifest: Manifest, clip: Pixels) -> Trace:
    """The trace of the package at `path`; a name is that of the node that coremltools was given."""
    executor = MilExecutor(path)
    constants = {each.name: each.arguments.get("val") for each in executor.operations if each.kind == "const"}
    taken, given = manifest.inputs[0].name, manifest.outputs[0].name
    first = Step(ROUND, "", taken, (), as_input(clip, manifest))
    grids: dict[str, tuple[float | None, int]] = {taken: (None, 0)}
    steps: list[Step] = []

    def watch(operation: Operation, outputs: tuple[Any, ...]) -> None:
        if operation.kind.startswith("constexpr_") or not isinstance(outputs[0], Tensor):
            return
        name = operation.outputs[0].name
        reads = tuple(each for each in _references(operation) if each in grids)
        kind = _KINDS.get(operation.kind, MOVE)
        # Integers that are moved stand for what they stood for.
        is_moved = kind == MOVE and reads and not outputs[0].is_floating_point()
        grids[name] = grids[reads[0]] if is_moved else _grid(operation, constants)
        steps.append(Step(kind, operation.kind, name, reads, outputs[0].numpy(), *grids[name]))

    executor.run({taken: first.values}, watch)
    return Trace(first, tuple(steps), given, True, None, "dvfl-mobile's executor for Core ML, on torch kernels")


def _references(operation: Operation) -> Iterator[str]:
    for value in operation.arguments.values():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Reference):
                yield each.name


def _grid(operation: Operation, constants: dict[str, Any]) -> tuple[float | None, int]:
    """What the integers that an operation gives stand for."""
    if operation.kind != "quantize":
        return None, 0
    values = (operation.arguments.get(key) for key in ("scale", "zero_point"))
    found = [constants.get(each.name) if isinstance(each, Reference) else each for each in values]
    scale, zero_point = (0.0 if each is None else float(np.asarray(each).reshape(-1)[0]) for each in found)
    return scale, int(zero_point)
