"""Core ML converter: one `.mlpackage`, an ML program for iOS 16 and later."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from dvfl_mobile.converters.base import Lowered, Request
from dvfl_mobile.delegation import Delegation, Operation, module_path
from dvfl_mobile.errors import UsageError
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import target_named

METADATA_PREFIX = "dvfl_mobile."
"""The package's user-defined metadata hold each part of classes and ClipSpec under this prefix."""

_BLOCK, _GROUP = 32, 32
_SMALL = 37_000  # weights of fewer values stay float16: a twentieth of the nano, and its first layers


def lower(request: Request, path: Path) -> Lowered:
    """Convert the deploy form and write the package to `path`.

    Raises:
        UsageError: `request.minimum_os` is none of the target's choices.
    """
    import coremltools as ct
    import torch

    target, recipe = target_named("coreml"), RECIPES[request.recipe]
    choices = [f"iOS {oldest}" for oldest in target.ios]
    if request.minimum_os not in choices:
        raise UsageError(
            f"Core ML has no minimum {request.minimum_os!r}.", hint=f"Choose one of: {', '.join(choices)}."
        )
    is_half = recipe.computes_in("coreml") == "float16"
    program = torch.export.export(request.form, (torch.zeros(request.shape),)).run_decompositions({})
    with seldom_validated():
        model = ct.convert(
            program,
            convert_to="mlprogram",
            # Named, since coremltools would make both float16 where it computes in it: apps see one interface.
            inputs=[ct.TensorType(name="clip", shape=request.shape, dtype=np.float32)],
            outputs=[ct.TensorType(name="logits", dtype=np.float32)],
            minimum_deployment_target=getattr(ct.target, request.minimum_os.replace(" ", "")),
            compute_precision=ct.precision.FLOAT16 if is_half else ct.precision.FLOAT32,
            skip_model_load=True,
        )
    operations = list(_operations(model._mil_program, _modules(program), is_static=recipe.is_calibrated))
    model = _compressed(model, request)
    for key, value in json.loads(request.metadata).items():
        model.user_defined_metadata[METADATA_PREFIX + key] = json.dumps(value, ensure_ascii=False)
    model.save(str(path))
    _tidy(path)
    return Lowered(Delegation.of("Core ML", None, operations, target.undecided))


@contextmanager
def seldom_validated() -> Iterator[None]:
    """Within the block, a program is validated where dead code was just eliminated, not after each of some 90 passes.

    Written against coremltools 9: a fifth of a conversion's time.
    """
    from coremltools.converters.mil.mil.program import Program

    validate = Program.validate

    def after_elimination(program: Any, check_essential_scope: bool | None = False) -> None:
        if check_essential_scope:
            validate(program, check_essential_scope=True)

    with mock.patch.object(Program, "validate", after_elimination):
        yield


def _compressed(model: Any, request: Request) -> Any:
    """Store the weights as the recipe says, by coremltools; Core ML unpacks them."""
    from coremltools.optimize import coreml as optimize

    if request.recipe == "palettized_wi4_afp16":
        palette = optimize.OpPalettizerConfig(
            mode="kmeans", nbits=4, granularity="per_grouped_channel", group_size=_GROUP, weight_threshold=_SMALL
        )
        return optimize.palettize_weights(model, optimize.OptimizationConfig(global_config=palette))
    if request.recipe == "weight_only_wi8_afp32":
        rule = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", dtype="int8", granularity="per_channel")
    elif request.recipe == "weight_only_wi4_afp32":
        rule = optimize.OpLinearQuantizerConfig(
            mode="linear_symmetric", dtype="int4", granularity="per_block", block_size=_BLOCK
        )
    else:
        return model
    return optimize.linear_quantize_weights(model, optimize.OptimizationConfig(global_config=rule))


def _tidy(package: Path) -> None:
    """Drop what coremltools leaves beside the listed files, and give all of them ordinary permissions."""
    (package / "executorch_debug_handle_mapping.json").unlink(missing_ok=True)
    for file in package.rglob("*"):
        file.chmod(0o755 if file.is_dir() else 0o644)


def _modules(program: Any) -> dict[str, str]:
    """The module path of each operator, by the name that its output has in the package."""
    nodes = [node for node in program.graph.nodes if node.op == "call_function"]
    return {node.name: module_path(node) for node in nodes} | {"logits": module_path(nodes[-1])}


def _operations(program: Any, modules: Mapping[str, str], *, is_static: bool) -> Iterator[Operation]:
    for operation in program.functions["main"].operations:
        if operation.op_type != "const":
            name = operation.outputs[0].name.removesuffix("_cast_fp16")
            # coremltools may call the first of its kind `linear_0` where torch calls it `linear`.
            module = modules.get(name) or modules.get(name.removesuffix("_0"), "")
            is_int8 = _is_int8(operation) if is_static else None
            yield Operation(operation.op_type, module, None, _multiply_adds(operation), is_int8)


def _is_int8(operation: Any) -> bool:
    """Whether it reads what was dequantized and gives what is quantized: Core ML may then run it on the integers."""
    given = operation.inputs.values()
    read = [value.op for value in given if getattr(value, "op", None) is not None and value.op.op_type != "const"]
    gives = [user.op_type for output in operation.outputs for user in output.child_ops]
    return (
        bool(read)
        and all(op.op_type in ("dequantize", "constexpr_affine_dequantize") for op in read)
        and all(kind == "quantize" for kind in gives)
    )


def _multiply_adds(operation: Any) -> int:
    if operation.op_type not in ("linear", "conv"):
        return 0
    return math.prod(operation.outputs[0].shape) * math.prod(operation.inputs["weight"].shape[1:])
