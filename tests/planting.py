"""Faults planted in artifacts: copies of the small student's, each with one thing wrong in its bytes."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dvfl_mobile.artifacts import manifest
from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.model.deploy import SHRINK

FACTOR, CLIP = 1.5, 0.25
# Of layer norms, and a wrong one: of tokens as they are, of shrunk ones, and the root of that where each is scaled.
_SHRUNK = 1e-5 * SHRINK**2
_EPSILONS_OF = {1e-5: 3e-2, _SHRUNK: 3e-2 * SHRINK**2, _SHRUNK**0.5: (3e-2 * SHRINK**2) ** 0.5}
_WRONG = {np.float32(right).tobytes(): np.float32(wrong).tobytes() for right, wrong in _EPSILONS_OF.items()}


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        kind: `scaled weight`, `swapped axes`, `clipped scale` or `wrong epsilon`.
        module: where, by the deploy form's path.
    """

    target: str
    kind: str
    module: str

    @property
    def recipe(self) -> str:
        return "static_wi8_ai8" if self.kind == "clipped scale" else "fp32"


def planted(
    fault: Fault, artifact: Artifact, weight: np.ndarray | None, nth: int, node: str, scale: float, out: Path
) -> Artifact:
    """A copy of an artifact with a fault in it; its manifest says that the bytes are as they should be.

    Args:
        weight: of the module, `(out,in)` or `(out,in,h,w)`, for faults of weights.
        nth: how many norms come before the module's own, for faults of epsilons.
        node: the name of the module's product in the graph, for faults of scales.
        scale: of the int8 tensor that the module gives, for faults of scales.
        out: an empty place of the same depth as the artifact's folder.
    """
    name = f"{fault.target}-{fault.kind}-{fault.module}".replace(" ", "_")
    folder = out / name / artifact.folder.parts[-3] / artifact.folder.parts[-2] / artifact.folder.parts[-1]
    shutil.copytree(artifact.folder, folder)
    reference = manifest.reference_path(artifact.manifest, artifact.folder)
    shutil.copy(reference, folder.parents[1] / reference.name)
    path = folder / artifact.manifest.file
    if fault.kind in ("scaled weight", "swapped axes"):
        assert weight is not None
        _edit_weight(fault, path, weight)
    elif fault.kind == "clipped scale":
        _SCALES[fault.target](path, node, scale)
    else:
        _EPSILONS[fault.target](path, nth)
    changed = artifact.manifest.model_copy(update={"files": manifest.entries(folder, artifact.manifest.file)})
    manifest.write(changed, folder)
    return open_artifact(folder)


def _edit_weight(fault: Fault, path: Path, weight: np.ndarray) -> None:
    """Find the bytes of a weight, and put wrong ones there."""
    file = path / "Data/com.apple.CoreML/weights/weight.bin" if fault.target == "coreml" else path
    changed = weight * np.float32(FACTOR) if fault.kind == "scaled weight" else np.swapaxes(weight, -1, -2)
    held, wrong = (_as_held(fault.target, values).tobytes() for values in (weight, changed))
    data = file.read_bytes()
    assert data.count(held) == 1, "the weight stands in the file once"
    file.write_bytes(data.replace(held, wrong))


def _as_held(target: str, weight: np.ndarray) -> np.ndarray:
    if weight.ndim == 4 and target != "coreml":
        # Dense filters are (out,h,w,in), depthwise ones (1,h,w,out).
        weight = weight.transpose(1, 2, 3, 0) if weight.shape[1] == 1 else weight.transpose(0, 2, 3, 1)
    return np.ascontiguousarray(weight, "<f4")


def _tflite_scale(path: Path, _node: str, scale: float) -> None:
    def edit(model: Any) -> None:
        tensors = [
            tensor
            for tensor in model.subgraphs[0].tensors
            if tensor.quantization is not None
            and tensor.quantization.scale is not None
            and len(tensor.quantization.scale) == 1
            and np.float32(tensor.quantization.scale[0]) == np.float32(scale)
        ]
        assert tensors
        for tensor in tensors:
            tensor.quantization.scale = [scale * CLIP]

    edit_tflite(path, edit)


def _tflite_epsilon(path: Path, nth: int) -> None:
    def edit(model: Any) -> None:
        graph = model.subgraphs[0]

        def value(index: int) -> np.ndarray:
            data = model.buffers[graph.tensors[index].buffer].data
            return np.zeros(0, np.uint8) if data is None else np.asarray(data, np.uint8)

        def wrong(index: int) -> bytes | None:
            return _WRONG.get(value(index).tobytes())

        operator = [op for op in graph.operators if any(map(wrong, op.inputs))][nth]
        place, epsilon = next((k, wrong(i)) for k, i in enumerate(operator.inputs) if wrong(i))
        tensor = copy.deepcopy(graph.tensors[operator.inputs[place]])
        buffer = copy.deepcopy(model.buffers[tensor.buffer])
        buffer.data = np.frombuffer(epsilon, np.uint8)
        tensor.buffer, tensor.name = len(model.buffers), b"another epsilon"
        model.buffers.append(buffer)
        operator.inputs[place] = len(graph.tensors)
        graph.tensors.append(tensor)

    edit_tflite(path, edit)


def enlarge_last_norm(path: Path, factor: float = 2.0**14) -> None:
    """Have a `.tflite`'s last norm square values that are `factor` times as large: the same in float32, since a power
    of two costs no bit, and beyond half precision."""

    def edit(model: Any) -> None:
        from ai_edge_litert.schema_py_generated import BuiltinOperator as Kind

        graph = model.subgraphs[0]
        operators = list(graph.operators)
        kinds = [model.operatorCodes[operator.opcodeIndex].builtinCode for operator in operators]
        makers = {int(output): operator for operator in operators for output in operator.outputs}

        def added(like: int, name: bytes, value: float | None = None) -> int:
            tensor = copy.deepcopy(graph.tensors[like])
            tensor.name = name
            if value is not None:
                tensor.shape, tensor.shapeSignature, tensor.buffer = [], None, len(model.buffers)
                model.buffers.append(type(model.buffers[0])())
                model.buffers[-1].data = np.frombuffer(np.float32(value).tobytes(), np.uint8)
            graph.tensors.append(tensor)
            return len(graph.tensors) - 1

        # rsqrt(mean(centred · centred) + least · least), with least = size · root of eps
        root = operators[max(index for index, kind in enumerate(kinds) if kind == Kind.RSQRT)]
        mean, square = (makers[int(index)] for index in makers[int(root.inputs[0])].inputs)
        centred = int(makers[int(mean.inputs[0])].inputs[0])
        least = makers[int(square.inputs[0])]
        [epsilon] = [int(index) for index in least.inputs if int(index) not in makers]
        [held] = np.frombuffer(bytes(model.buffers[graph.tensors[epsilon].buffer].data), np.float32)

        larger = added(centred, b"larger")
        for operator in operators:
            operator.inputs = [larger if index == centred else index for index in operator.inputs]
        other = added(epsilon, b"another epsilon", float(held) * factor)
        least.inputs = [other if index == epsilon else index for index in least.inputs]
        multiply = copy.deepcopy(operators[kinds.index(Kind.MUL)])
        multiply.inputs, multiply.outputs = [centred, added(epsilon, b"factor", factor)], [larger]
        graph.operators.insert(operators.index(makers[centred]) + 1, multiply)

    edit_tflite(path, edit)


def edit_tflite(path: Path, edit: Callable[[Any], None]) -> None:
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(str(path))
    edit(model)
    flatbuffers.write_model(model, str(path))


def _executorch_scale(path: Path, _node: str, scale: float) -> None:
    held, wrong = (np.float32(value).tobytes() for value in (scale, scale * CLIP))
    data = path.read_bytes()
    assert held in data
    path.write_bytes(data.replace(held, wrong))


def _executorch_epsilon(path: Path, nth: int) -> None:
    from executorch.exir._serialize._program import deserialize_pte_binary, serialize_pte_binary
    from executorch.exir.schema import Buffer

    file = deserialize_pte_binary(path.read_bytes())
    plan, constants = file.program.execution_plan[0], file.program.constant_buffer
    call = plan.chains[0].instructions[0].instr_args
    read = [plan.values[index].val for index in call.args]
    readers = [
        (tensor, _WRONG[held])
        for tensor in read
        if (held := bytes(constants[tensor.data_buffer_idx].storage)[:4]) in _WRONG
    ]
    tensor, epsilon = readers[nth]
    tensor.data_buffer_idx = len(constants)
    constants.append(Buffer(storage=epsilon))
    path.write_bytes(bytes(serialize_pte_binary(file, extract_delegate_segments=True)))


def _coreml_scale(path: Path, node: str, _scale: float) -> None:
    def edit(operations: dict[str, Any]) -> None:
        def readers(name: str, kind: str) -> list[Any]:
            return [
                op
                for op in operations.values()
                if op.type == kind and any(a.name == name for a in op.inputs["input"].arguments)
            ]

        [quantize] = readers(f"{node}_cast_fp16", "quantize")
        rounds = [quantize, *readers(quantize.outputs[0].name, "dequantize")]
        assert len(rounds) > 1
        for name in {op.inputs["scale"].arguments[0].name for op in rounds}:
            held = _value(operations[name]).bytes
            held.values = (np.frombuffer(held.values, np.float16) * np.float16(CLIP)).tobytes()

    _edit_coreml(path, edit)


def _coreml_epsilon(path: Path, nth: int) -> None:
    def edit(operations: dict[str, Any]) -> None:
        constants = {name for name, op in operations.items() if op.type == "const"}
        held = [
            _value(operations[argument.name]).floats.values
            for op in operations.values()
            for name in ("epsilon", "y")
            if op.type in ("layer_norm", "mul") and name in op.inputs  # to ask for another one would add it
            for argument in op.inputs[name].arguments
            if argument.name in constants
        ]
        found = [values for values in held if len(values) == 1 and np.float32(values[0]).tobytes() in _WRONG]
        found[nth][0] = np.frombuffer(_WRONG[np.float32(found[nth][0]).tobytes()], np.float32)[0]

    _edit_coreml(path, edit)


def _value(const: Any) -> Any:
    return const.attributes["val"].immediateValue.tensor


def _edit_coreml(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    from coremltools.proto import Model_pb2

    file = path / "Data/com.apple.CoreML/model.mlmodel"
    spec = Model_pb2.Model()
    spec.ParseFromString(file.read_bytes())
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    edit({op.outputs[0].name: op for op in block.operations})
    file.write_bytes(spec.SerializeToString())


_SCALES: dict[str, Callable[[Path, str, float], None]] = {
    "tflite": _tflite_scale,
    "executorch": _executorch_scale,
    "coreml": _coreml_scale,
}
_EPSILONS: dict[str, Callable[[Path, int], None]] = {
    "tflite": _tflite_epsilon,
    "executorch": _executorch_epsilon,
    "coreml": _coreml_epsilon,
}
