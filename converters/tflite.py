"""TFLite: one `.tflite` for LiteRT, by litert-torch (the new name of ai-edge-torch)."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dvfl_mobile.converters.base import Request
from dvfl_mobile.delegation import Delegation, Operation

METADATA_FILE = "dvfl_mobile.json"
"""The associated file that holds classes and ClipSpec. TFLite's associated files are a ZIP archive after the model's
last byte, which the runtime passes over and every unzip reads."""


def lower(request: Request, path: Path) -> Delegation:
    """Convert the deploy form and write it to `path`."""
    import litert_torch
    import torch

    model = litert_torch.convert(request.form, sample_kwargs={"clip": torch.zeros(request.shape)})
    # Not by its own export: where the disk is full, LLVM ends the process on the spot.
    path.write_bytes(model.model_content())
    if request.half:
        _halve_weights(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date: the same checkpoint gives the same bytes.
        archive.writestr(zipfile.ZipInfo(METADATA_FILE, (1980, 1, 1, 0, 0, 0)), request.metadata)
    return _delegation(path)


def _halve_weights(path: Path) -> None:
    """Store the weights of products and convolutions as float16; each is read through a dequantize."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    rules = quantizer.Quantizer(str(path))
    rules.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        ),
        algorithm_key=algorithm_manager.AlgorithmName.FLOAT_CASTING,
    )
    rules.quantize().export_model(str(path), overwrite=True)


def _delegation(path: Path) -> Delegation:
    """Ask the interpreter, with XNNPACK applied as apps get it by default."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    details = interpreter._get_ops_details()
    tensors = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    outputs = [output["index"] for output in interpreter.get_output_details()]
    delegates = [step for step in details if step["op_name"] == "DELEGATE"]
    outside = _outside(details, outputs)
    operations = (
        _operation(step, tensors, delegated=step["index"] not in outside) for step in details if step not in delegates
    )
    return Delegation.of("XNNPACK", len(delegates), operations)


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


def _operation(step: dict[str, Any], tensors: dict[int, Any], *, delegated: bool) -> Operation:
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
    # The model's own output is named by its signature: its filter still tells where it comes from.
    module = _module_path(output["name"]) or _module_path(weight.get("name", ""))
    return Operation(operator, module, delegated, work)


def _module_path(tensor_name: str) -> str:
    return ".".join(_module_steps(tensor_name))


def _module_steps(tensor_name: str) -> Iterator[str]:
    """The module path in a tensor's name.

    litert-torch writes `package.DeployForm/package.Stem_stem/torch.nn.Conv2d_proj;3`: a step for each module,
    its class and then its name. Fused operators join several with `;`; the first stands for all.
    """
    for step in tensor_name.split(";")[0].split("/")[1:]:
        yield step.rsplit(".", 1)[-1].partition("_")[2]
