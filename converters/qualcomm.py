"""Qualcomm converter: a `.tflite` whose graph LiteRT has compiled for one chip's Hexagon, ahead of time.

The graph is TFLite's own, by our own scales; the compiler and its libraries are others', see `qualcomm_compiler`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from dvfl_mobile.converters import tflite
from dvfl_mobile.converters.base import Lowered, Request
from dvfl_mobile.converters.qualcomm_compiler import compiled
from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.recipes import RECIPES

DELEGATE = "Hexagon"
DISPATCH = b"DISPATCH_OP"
"""The custom operator that stands for a piece of the graph that was compiled."""


def lower(request: Request, path: Path) -> Lowered:
    """Convert the deploy form, or the quantized graph of it, to a `.tflite`, and that to one for `request.soc`.

    Raises:
        UnfitDependencyError: the compiler and the libraries are of releases that don't fit.
    """
    assert request.soc is not None, "a plan names the chip"
    is_static = RECIPES[request.recipe].is_calibrated
    with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as work:
        source = Path(work, "model.tflite")
        # Hexagon computes floats in half precision, whichever way they are stored; stored whole, nothing unpacks them.
        tflite.write(replace(request, recipe=request.recipe if is_static else "fp32"), source)
        path.write_bytes(compiled(source, request.soc, Path(work)))
        tflite.attach(path, request.metadata)
        return Lowered(_delegation(source, path, is_static=is_static), tflite.input_scale(source))


def _delegation(source: Path, path: Path, *, is_static: bool) -> Delegation:
    """Which operators of the graph became part of a compiled piece: those that the compiled file has no more."""
    left, calls = _left(path)
    operations = (
        Operation(*operation[:2], name not in left, *operation[3:])
        for name, operation in tflite.operations(source, is_static=is_static)
    )
    return Delegation.of(DELEGATE, calls, operations)


def _left(path: Path) -> tuple[set[str], int]:
    """The names of what the operators of a compiled file give that weren't compiled; and how many pieces were."""
    calls, left = 0, set()
    for custom, outputs in _operators(path):
        if custom == DISPATCH:
            calls += 1
        else:
            left.update(outputs)
    return left, calls


def _operators(path: Path) -> Iterator[tuple[bytes | None, list[str]]]:
    """Of each operator of a `.tflite`, the custom operator's name, and the names of the tensors that it gives."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    for graph in model.subgraphs:
        for operator in graph.operators:
            names = [graph.tensors[index].name.decode() for index in operator.outputs]
            yield model.operatorCodes[operator.opcodeIndex].customCode, names
