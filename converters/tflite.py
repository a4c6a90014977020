"""TFLite converter: one `.tflite` for LiteRT, by litert-torch (formerly ai-edge-torch)."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dvfl_mobile.converters.base import Lowered, Request
from dvfl_mobile.converters.tflite_by_token import quantize_by_token
from dvfl_mobile.converters.tflite_lookups import lookups, spell_out_lookups
from dvfl_mobile.converters.tflite_passes import traced_by_the_lowering_alone
from dvfl_mobile.delegation import Delegation, Operation, module_of_operator
from dvfl_mobile.recipes import RECIPES, Recipe, WeightRule

METADATA_FILE = "dvfl_mobile.json"
"""The associated file that holds classes and ClipSpec. TFLite's associated files are a ZIP archive after the model's
last byte, which the runtime passes over and every unzip reads."""

_IN_HALF = ("reduced_precision_support", b"fp16accfp16")
"""Name and text of the metadata for that: the names of TensorFlow's converter."""


def lower(request: Request, path: Path) -> Lowered:
    """Convert the deploy form and write it to `path`."""
    recipe = RECIPES[request.recipe]
    write(request, path)
    if recipe.is_calibrated:
        with rewriting(path) as model:
            quantize_by_token(model, request.by_token)
            spell_out_lookups(model)
    attach(path, request.metadata)
    return _lowered(path, is_static=recipe.is_calibrated)


def write(request: Request, path: Path) -> None:
    """Convert the deploy form to a `.tflite` without metadata, in operators that any reader of it would choose."""
    import litert_torch
    import torch

    recipe = RECIPES[request.recipe]
    with traced_by_the_lowering_alone():
        model = litert_torch.convert(
            request.form, sample_kwargs={"clip": torch.zeros(request.shape)}, quant_config=_quantized(recipe)
        )
    # Not by its own export: where the disk is full, LLVM ends the process on the spot.
    path.write_bytes(model.model_content())
    if request.recipe == "fp16":
        _allow_half(path)
    if recipe.weight_rules:
        _quantize_weights(path, recipe.weight_rules)


@contextmanager
def rewriting(path: Path) -> Iterator[Any]:
    """A `.tflite` as objects, which is written back as the block leaves it; not where that raises."""
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(path)
    yield model
    path.write_bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def input_scale(path: Path) -> tuple[float, int] | None:
    """Scale and zero point of a model's input; None of floats."""
    from ai_edge_litert.interpreter import Interpreter

    return _input_scale(Interpreter(str(path), num_threads=1))


def _input_scale(interpreter: Any) -> tuple[float, int] | None:
    scale, zero_point = interpreter.get_input_details()[0]["quantization"]
    return (float(scale), int(zero_point)) if scale else None


def attach(path: Path, metadata: str) -> None:
    """Put the associated file with classes and ClipSpec, a JSON document, behind a model."""
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date: the same checkpoint gives the same bytes.
        archive.writestr(zipfile.ZipInfo(METADATA_FILE, (1980, 1, 1, 0, 0, 0)), metadata)


def operations(path: Path, *, is_static: bool) -> Iterator[tuple[str, Operation]]:
    """Every operator of a model as it stands there, no delegate asked; each with the name of the tensor that it gives.

    Args:
        is_static: whether activations are quantized.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=plain)
    yield from _operations(interpreter, interpreter._get_ops_details(), frozenset(), is_static=is_static)


def _quantized(recipe: Recipe) -> Any:
    """What litert-torch must know of a graph that holds quantize operators; without it they stay float, silently."""
    if not recipe.is_calibrated:
        return None
    from litert_torch.quantize import pt2e_quantizer, quant_config

    # Its own quantizer is only asked whether it is dynamic: the annotations are in the graph already.
    static = pt2e_quantizer.get_symmetric_quantization_config(is_per_channel=True)
    return quant_config.QuantConfig(pt2e_quantizer=pt2e_quantizer.PT2EQuantizer().set_global(static))


def _allow_half(path: Path) -> None:
    """Say in the file that it may be computed in half precision, sums included.

    XNNPACK's delegate then does so on processors that have it, and nowhere else; other readers pass over it.
    """
    from ai_edge_litert import schema_py_generated as schema

    with rewriting(path) as model:
        model.buffers.append(schema.BufferT(data=np.frombuffer(_IN_HALF[1], np.uint8)))
        model.metadata.append(schema.MetadataT(name=_IN_HALF[0], buffer=len(model.buffers) - 1))


def _quantize_weights(path: Path, rules: Sequence[WeightRule]) -> None:
    """Store weights in fewer bits, by ai-edge-quantizer."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    work = quantizer.Quantizer(str(path))
    for rule in rules:
        kind = qtyping.TensorDataType.FLOAT if rule.bits == 16 else qtyping.TensorDataType.INT
        weights = qtyping.TensorQuantizationConfig(
            num_bits=rule.bits, dtype=kind, symmetric=True, granularity=qtyping.QuantGranularity.CHANNELWISE
        )
        names = algorithm_manager.AlgorithmName
        work.update_quantization_recipe(
            regex=".*",
            operation_name=getattr(qtyping.TFLOperationName, rule.operator),
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=weights,
                compute_precision=(
                    qtyping.ComputePrecision.INTEGER if rule.is_dynamic else qtyping.ComputePrecision.FLOAT
                ),
                explicit_dequantize=not rule.is_dynamic,
            ),
            algorithm_key=names.FLOAT_CASTING if rule.bits == 16 else names.MIN_MAX_UNIFORM_QUANT,
        )
    work.quantize().export_model(str(path), overwrite=True)


def _lowered(path: Path, *, is_static: bool) -> Lowered:
    """Ask the interpreter, with XNNPACK applied as apps get it by default."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    outputs = [output["index"] for output in interpreter.get_output_details()]
    delegates = [step for step in details if step["op_name"] == "DELEGATE"]
    inside = {step["index"] for step in details} - _outside(details, outputs)
    found = _operations(interpreter, details, inside, is_static=is_static)
    delegation = Delegation.of("XNNPACK", len(delegates), (operation for _, operation in found))
    return Lowered(delegation, _input_scale(interpreter))


def _operations(
    interpreter: Any, details: Sequence[dict[str, Any]], inside: Collection[int], *, is_static: bool
) -> Iterator[tuple[str, Operation]]:
    """Every operator of `details`, each with the name of the tensor that it gives; `inside` are those of a delegate.

    A GELU of int8 is one, though it is spelled out in three.
    """
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    of_int8, around = lookups(details)
    for step in details:
        if step["op_name"] == "DELEGATE" or step["index"] in around:
            continue
        operation = _operation(step, tensors, delegated=step["index"] in inside, is_static=is_static)
        if step["index"] in of_int8:
            operation = operation._replace(is_int8=True)
        yield tensors[int(step["outputs"][0])]["name"], operation


def _outside(details: Sequence[dict[str, Any]], outputs: Sequence[int]) -> set[int]:
    """The operators that no call of the delegate took over.

    The interpreter lists both the original operators and the delegate's calls that replace some of them. What
    still runs is what the outputs need, walking back, where a delegate's call takes precedence.
    """
    makers = {int(out): step for step in details for out in step["outputs"] if step["op_name"] != "DELEGATE"}
    makers |= {int(out): step for step in details for out in step["outputs"] if step["op_name"] == "DELEGATE"}
    needed, seen, running = list(outputs), set(), set()
    while needed:
        tensor = needed.pop()
        if tensor in seen or tensor not in makers:
            continue
        seen.add(tensor)
        step = makers[tensor]
        needed.extend(int(index) for index in step["inputs"])
        if step["op_name"] != "DELEGATE":
            running.add(step["index"])
    return running


def _operation(step: dict[str, Any], tensors: dict[int, Any], *, delegated: bool, is_static: bool) -> Operation:
    operator, output = step["op_name"].lower(), tensors[int(step["outputs"][0])]
    weight = tensors.get(int(step["inputs"][1]), {}) if len(step["inputs"]) > 1 else {}
    outputs = math.prod(int(side) for side in output["shape"])
    values = [int(side) for side in weight.get("shape", ())]
    if operator in ("fully_connected", "conv_2d"):
        work = outputs * math.prod(values[1:])
    elif operator == "depthwise_conv_2d":
        work = outputs * math.prod(values[:-1])
    else:
        work = 0
    module = module_of_operator(operator, output["name"], weight.get("name", ""))
    # One that gives floats nevertheless reads int8 where its weights are: it quantizes each token by itself.
    is_int8 = output["dtype"] == np.int8 or (operator == "fully_connected" and weight["dtype"] == np.int8)
    return Operation(operator, module, delegated, work, is_int8 if is_static else None)
