"""Trace a TFLite model: LiteRT's kernels without a delegate, all tensors kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.tflite.runner import load_runtime
from dvfl_mobile.runners.tracing import MOVE, ROUND, Step, Trace
from dvfl_mobile.runners.values import Pixels

_KINDS = {
    "FULLY_CONNECTED": "linear",
    "CONV_2D": "conv",
    "DEPTHWISE_CONV_2D": "conv",
    "GELU": "gelu",
    "ADD": "add",
    "SUB": "sub",
    "MUL": "mul",
    "MEAN": "mean",
    "RSQRT": "rsqrt",
    "ABS": "abs",
    "QUANTIZE": ROUND,
    "DEQUANTIZE": ROUND,
}


def trace_artifact(path: Path, manifest: Manifest, clip: Pixels) -> Trace:
    """The trace of the model at `path`."""
    load_runtime()
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            str(path),
            num_threads=os.cpu_count() or 1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
        taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        interpreter.set_tensor(taken["index"], as_input(clip, manifest))
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        raise ArtifactError(f"LiteRT can't run {path}: {error}.", hint="Convert again.") from error
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    first = _step(interpreter, tensors[taken["index"]], ROUND, "", ())
    known, steps = {first.name}, []
    for details in interpreter._get_ops_details():
        reads = tuple(name for name in (_name(index) for index in details["inputs"]) if name in known)
        output = tensors.get(int(details["outputs"][0]))
        # Without anything read, it unpacks a constant.
        if output is None or not reads:
            continue
        kind = _KINDS.get(details["op_name"], MOVE)
        steps.append(_step(interpreter, output, kind, details["op_name"].lower(), reads))
        known.add(steps[-1].name)
    return Trace(
        first, tuple(steps), _name(given["index"]), False, True, "LiteRT's own kernels, without the XNNPACK delegate"
    )


def _step(interpreter: Any, tensor: dict[str, Any], kind: str, operator: str, reads: tuple[str, ...]) -> Step:
    scale, zero_point = tensor["quantization"]
    is_integer = np.issubdtype(tensor["dtype"], np.integer) and scale
    values = interpreter.get_tensor(tensor["index"])
    name = _name(tensor["index"])
    return Step(kind, operator, name, reads, values, float(scale) if is_integer else None, int(zero_point))


def _name(index: int) -> str:
    """Tensors' own names come twice at times: the number is what tells them apart."""
    return str(int(index))
