"""Core AI converter: one `.aimodel` for iOS 27 and macOS 27, by Apple's coreai-torch."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from dvfl_mobile.converters.base import Lowered, Request
from dvfl_mobile.delegation import Delegation, Operation, module_path
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import target_named

METADATA_PREFIX = "dvfl_mobile."
"""The asset's metadata, in its `metadata.json`, hold each part of classes and ClipSpec under this prefix."""

_MOVES = ("transpose", "reshape", "slice", "pad")
_GRAPH_BYTES = 4 * 2**20  # what an asset has besides weights: a quarter of a MB for the five blocks of a nano in int8
_WITHOUT_WORK = ("coreai.constant", "coreai.output")


def lower(request: Request, path: Path) -> Lowered:
    """Convert the deploy form, or the quantized graph of it, and write the asset to `path`."""
    import torch
    from coreai.authoring import OSVersion
    from coreai.runtime import AIModelAssetMetadata
    from coreai_torch import TorchConverter, get_decomp_table
    from coreai_torch.debugging.debug_info import strip_debug_info

    is_half = RECIPES[request.recipe].computes_in("coreai") == "float16"
    form = _Half(request.form) if is_half else request.form
    exported = torch.export.export(form, (torch.zeros(request.shape),)).run_decompositions(get_decomp_table())
    # Whole debug info, since it alone tells which module an operator comes from.
    converter = TorchConverter(mode=TorchConverter.Mode.DEBUG)
    _register_lowerings(converter)
    program = converter.add_exported_program(exported, input_names=["clip"], output_names=["logits"]).to_coreai()
    operations = list(_operations(program, _modules(exported), is_static=RECIPES[request.recipe].is_calibrated))
    # It also holds the paths of this machine's files.
    strip_debug_info(program)
    metadata = AIModelAssetMetadata()
    for key, value in json.loads(request.metadata).items():
        metadata.set_custom(METADATA_PREFIX + key, json.dumps(value, ensure_ascii=False))
    _check_room(exported, path)
    program.save_asset(path, metadata, minimum_os=OSVersion.v27)
    return Lowered(Delegation.of("Core AI", None, operations, target_named("coreai").undecided))


def _check_room(exported: Any, path: Path) -> None:
    """Raise where the asset won't fit on the disk: there, LLVM would end the process on the spot.

    Raises:
        OSError: the disk is full.
    """
    weights = sum(tensor.nbytes for tensor in (*exported.state_dict.values(), *exported.constants.values()))
    trial = path.with_suffix(".trial")
    try:
        trial.write_bytes(bytes(weights + _GRAPH_BYTES))
    finally:
        trial.unlink(missing_ok=True)


class _Half(nn.Module):
    """A form that computes in float16 throughout, between floats: `(T,3,H,W)` to `(1,K)`, both float32."""

    def __init__(self, form: nn.Module) -> None:
        super().__init__()
        self.form = copy.deepcopy(form).half()

    def forward(self, clip: Tensor) -> Tensor:
        return self.form(clip.half()).float()


def _register_lowerings(converter: Any) -> None:
    """Teach coreai-torch the operators of a quantized graph, which are torchao's and not its own.

    Apple calls the dialect below private, and names no other way to write a lowering: coreai-torch is pinned.
    """
    from coreai._compiler.dialects import coreai

    def constant(value: Any, kind: type) -> Any:
        return coreai.constant(np.array(value, dtype=kind))

    def per_tensor(values: Mapping[str, Any], node: Any) -> tuple[Any, ...]:
        given, scale, zero_point = node.args[:3]
        offsets = constant(zero_point, np.int8), constant(0, np.float32)
        return values[given.name], constant(scale, np.float32), *offsets, constant(0, np.int32)

    def quantize(values: Mapping[str, Any], node: Any, loc: Any) -> Any:
        return coreai.quantize(*per_tensor(values, node), loc=loc)

    def dequantize(values: Mapping[str, Any], node: Any, loc: Any) -> Any:
        return coreai.dequantize(*per_tensor(values, node), loc=loc)

    def dequantize_weight(values: Mapping[str, Any], node: Any, loc: Any) -> Any:
        weight, scales, _, axis = node.args[:4]
        # Weights are rounded symmetrically: their zero points are all zero.
        zeros = np.zeros(node.meta["val"].shape[axis])
        offsets = constant(zeros, np.int8), constant(zeros, np.float32)
        return coreai.dequantize(values[weight.name], values[scales.name], *offsets, constant(axis, np.int32), loc=loc)

    lowerings = {
        "quantize_per_tensor": quantize,
        "dequantize_per_tensor": dequantize,
        "dequantize_per_channel": dequantize_weight,
    }
    for name, lowering in lowerings.items():
        converter.register_torch_lowering(f"quantized_decomposed::{name}.default")(lowering)


def _modules(exported: Any) -> dict[str, str]:
    """The module path of each operator of the exported program, by its name there."""
    nodes = (node for node in exported.graph.nodes if node.op == "call_function")
    return {node.name: module_path(node).removeprefix("form.") for node in nodes}


def _operations(program: Any, modules: Mapping[str, str], *, is_static: bool) -> Iterator[Operation]:
    graphs = program._module._mlir_module.body.operations
    [main] = [graph for graph in graphs if graph.attributes["sym_name"].value == "main"]
    for found in main.regions[0].blocks[0].operations:
        if found.operation.name not in _WITHOUT_WORK:
            name, operation = _name(found), found.operation
            module = modules.get(_source(operation), "")
            is_int8 = _is_int8(operation) if is_static else None
            yield Operation(name, module, None, _multiply_adds(name, operation), is_int8)


def _name(found: Any) -> str:
    """`batch_matmul` of `coreai.decomposable.broadcasting_batch_matmul`; what a call calls of `coreai.invoke`."""
    if found.operation.name == "coreai.invoke":
        # `@layer_norm_` and eight letters drawn at random.
        called = re.search(r"@(\w+)_[a-z]{8}\b", str(found.operation.attributes["callee"]))
        assert called is not None, str(found.operation.attributes["callee"])
        return called[1]
    return str(found.operation.name).split(".")[-1].removeprefix("broadcasting_")


def _source(operation: Any) -> str:
    """The name of the exported program's operator that an operator is made of; empty if it is of none."""
    match = re.search(r'identifiers = \["([^"]+)"', str(operation.location))
    return match[1] if match else ""


def _is_int8(operation: Any) -> bool:
    """Whether it reads what was dequantized and gives what is quantized: Core AI may then run it on the integers."""
    reads, gives = list(_makers(operation)), list(_users(operation))
    return (
        bool(reads)
        and all(name == "coreai.dequantize" for name in reads)
        and all(name == "coreai.quantize" for name in gives)
    )


def _makers(operation: Any) -> Iterator[str]:
    """The operators whose results it reads, across those that only move values and those of the same product."""
    for value in operation.operands:
        maker = value.owner
        if not hasattr(maker, "operands"):  # the block, whose argument is the clip
            yield "clip"
        elif _is_passed_over(maker, operation):
            yield from _makers(maker)
        elif maker.name != "coreai.constant":
            yield maker.name


def _users(operation: Any) -> Iterator[str]:
    for use in operation.results[0].uses:
        user = use.owner.operation
        if _is_passed_over(user, operation):
            yield from _users(user)
        else:
            yield user.name


def _is_passed_over(other: Any, operation: Any) -> bool:
    """A product's padding and its bias are operators of their own here."""
    return other.name.split(".")[-1] in _MOVES or (bool(_source(other)) and _source(other) == _source(operation))


def _multiply_adds(name: str, operation: Any) -> int:
    if name not in ("conv2d", "batch_matmul"):
        return 0
    weight = operation.operands[1].type.shape
    outputs = math.prod(operation.results[0].type.shape)
    return outputs * (weight[-2] if name == "batch_matmul" else math.prod(weight[1:]))
