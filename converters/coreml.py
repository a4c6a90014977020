"""Core ML: one `.mlpackage`, an ML program for iOS 16 and later."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dvfl_mobile.converters.base import Request, module_path
from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.errors import UsageError

METADATA_PREFIX = "dvfl_mobile."
"""The package's user-defined metadata hold each part of classes and ClipSpec under this prefix."""

MINIMUM_OS = ("iOS 16", "iOS 17", "iOS 18")

_UNDECIDED = "Core ML decides on the device which of CPU, GPU and Neural Engine runs each operator."


def lower(request: Request, path: Path) -> Delegation:
    """Convert the deploy form and write the package to `path`.

    Raises:
        UsageError: `request.minimum_os` is none of `MINIMUM_OS`.
    """
    import coremltools as ct
    import torch

    if request.minimum_os not in MINIMUM_OS:
        raise UsageError(
            f"Core ML has no minimum {request.minimum_os!r}.", hint=f"Choose one of: {', '.join(MINIMUM_OS)}."
        )
    program = torch.export.export(request.form, (torch.zeros(request.shape),)).run_decompositions({})
    model = ct.convert(
        program,
        convert_to="mlprogram",
        # Named, since coremltools would make both float16 where it computes in it: apps see one interface.
        inputs=[ct.TensorType(name="clip", shape=request.shape, dtype=np.float32)],
        outputs=[ct.TensorType(name="logits", dtype=np.float32)],
        minimum_deployment_target=getattr(ct.target, request.minimum_os.replace(" ", "")),
        compute_precision=ct.precision.FLOAT16 if request.half else ct.precision.FLOAT32,
        skip_model_load=True,
    )
    for key, value in json.loads(request.metadata).items():
        model.user_defined_metadata[METADATA_PREFIX + key] = json.dumps(value, ensure_ascii=False)
    model.save(str(path))
    _tidy(path)
    return Delegation.of("Core ML", None, _operations(model._mil_program, _modules(program)), _UNDECIDED)


def _tidy(package: Path) -> None:
    """Drop what coremltools leaves beside the listed files, and give all of them ordinary permissions."""
    (package / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    for file in package.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)


def _modules(program: Any) -> dict[str, str]:
    """The module path of each operator, by the name that its output has in the package."""
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    return {node.name: module_path(node) for node in nodes} | {"logits": module_path(nodes[-1])}


def _operations(program: Any, modules: Mapping[str, str]) -> Iterator[Operation]:
    for operation in program.functions["main"].operations:
        if operation.op_type != "const":
            name = operation.outputs[0].name.removesuffix("_cast_fp16")
            # coremltools may call the first of its kind `linear_0` where torch calls it `linear`.
            module = modules.get(name) or modules.get(name.removesuffix("_0"), "")
            yield Operation(operation.op_type, module, None, _multiply_adds(operation))


def _multiply_adds(operation: Any) -> int:
    if operation.op_type not in ("linear", "conv"):
        return 0
    return math.prod(operation.outputs[0].shape) * math.prod(operation.inputs["weight"].shape[1:])
