"""Trace a `.pte`: read XNNPACK's graph from it, and compute it node by node with torch.

The whole network is one call of XNNPACK, which gives nothing away of what happens inside. So its payload is read from
the file's own bytes, constants, scales and all, and computed here: the artifact's numbers, by other kernels. Whoever
uses the trace can hold its last value against what the runtime gives.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError, needs
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.tracing import MOVE, ROUND, Step, Trace
from dvfl_mobile.runners.values import Pixels

_NONE = 0xFFFFFFFF
_TRANSPOSED = 1
_INPUTS = ("input_id", "input1_id", "input2_id", "input3_id", "input4_id", "input5_id")
_KINDS = {
    "XNNFullyConnected": "linear",
    "XNNConv2d": "conv",
    "XNNDepthwiseConv2d": "conv",
    "XNNGelu": "gelu",
    "XNNAdd": "add",
    "XNNSubtract": "sub",
    "XNNMultiply": "mul",
    "XNNGlobalAvgPooling2d": "mean",
    "XNNReciprocalSquareRoot": "rsqrt",
    "XNNAbs": "abs",
    "XNNConvert": ROUND,
}
_SIMPLE: Mapping[str, Callable[..., Tensor]] = {
    "XNNGelu": functional.gelu,
    "XNNAdd": torch.add,
    "XNNSubtract": torch.sub,
    "XNNMultiply": torch.mul,
    "XNNDiv": torch.div,
    "XNNAbs": torch.abs,
    "XNNReciprocalSquareRoot": torch.rsqrt,
    "XNNSquareRoot": torch.sqrt,
    "XNNSquare": torch.square,
    "XNNSigmoid": torch.sigmoid,
    "XNNTanh": torch.tanh,
    "XNNExp": torch.exp,
    "XNNMinimum": torch.minimum,
    "XNNMaximum": torch.maximum,
    "XNNConvert": torch.clone,
    "XNNCopy": torch.clone,
}
_NUMPY = {"fp32": np.float32, "fp16": np.float16, "qint8": np.int8, "qcint8": np.int8, "qcint32": np.int32}
_SCALARS = {6: np.float32, 5: np.float16, 3: np.int32, 1: np.int8}
"""ExecuTorch's numbers for types of tensors."""


@dataclass(frozen=True)
class _Value:
    """A value of XNNPACK's graph: `dtype` without its prefix, and its scales, by channel for constants."""

    dtype: str
    dims: tuple[int, ...]
    buffer: int
    quantized: Mapping[str, Any] | None


def load_runtime() -> None:
    """Import what reads programs and XNNPACK's graphs in them.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("executorch", extra="executorch", why="to read a .pte"):
        import executorch.backends.xnnpack.serialization.xnnpack_graph_serialize
        import executorch.exir._serialize._program  # noqa: F401


def trace_artifact(path: Path, manifest: Manifest, clip: Pixels) -> Trace:
    """The trace of the program at `path`.

    Raises:
        ArtifactError: it can't be read, or has operators that aren't known here.
    """
    load_runtime()
    try:
        with torch.no_grad():
            return _Program(path).trace(as_input(clip, manifest))
    except ArtifactError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ArtifactError(f"XNNPACK's graph in {path} can't be computed: {error}.", hint="Convert again.") from error


class _Program:
    """A program whose operators are all XNNPACK's."""

    def __init__(self, path: Path) -> None:
        from executorch.exir._serialize._program import deserialize_pte_binary

        self._path = path
        self._file = deserialize_pte_binary(path.read_bytes())
        self._plan = next(plan for plan in self._file.program.execution_plan if plan.name == "forward")

    def trace(self, clip: np.ndarray) -> Trace:
        taken, given = self._plan.inputs[0], self._plan.outputs[0]
        values: dict[int, Tensor] = {taken: torch.from_numpy(np.asarray(clip, np.float32))}
        names, steps = {taken: "clip"}, []
        for chain in self._plan.chains:
            for instruction in chain.instructions:
                call = instruction.instr_args
                if type(call).__name__ == "DelegateCall":
                    steps += self._delegated(call, values, names)
                elif type(call).__name__ != "FreeCall":
                    raise ArtifactError(
                        f"{self._path} has operators outside of XNNPACK, and those aren't traced here.",
                        hint="Locate in an artifact of another target, or of a recipe that XNNPACK takes whole.",
                    )
        first = Step(ROUND, "", "clip", (), np.asarray(clip))
        means = "XNNPACK's graph as it stands in the file, computed node by node with torch"
        return Trace(first, tuple(steps), names[given], False, True, means)

    def _delegated(self, call: Any, values: dict[int, Tensor], names: dict[int, str]) -> list[Step]:
        """Compute one call, and put what it gives into the program's values."""
        graph = _Graph(self._payload(call.delegate_index), self._file.named_data, f"{call.delegate_index}.")
        arguments = list(call.args)
        inputs = [self._argument(index, values) for index in arguments[: len(graph.inputs)]]
        known = {inner: names[index] for inner, index in zip(graph.inputs, arguments, strict=False) if index in names}
        steps, outputs, given = graph.run(inputs, known)
        for index, value, name in zip(arguments[len(inputs) :], outputs, given, strict=True):
            values[index], names[index] = value, name
        return steps

    def _argument(self, index: int, values: Mapping[int, Tensor]) -> Tensor:
        if index in values:
            return values[index]
        tensor = self._plan.values[index].val
        data = bytes(self._file.program.constant_buffer[tensor.data_buffer_idx].storage)
        array = np.frombuffer(data, _SCALARS[int(tensor.scalar_type)])
        return torch.from_numpy(array[: int(np.prod(tensor.sizes))].astype(np.float32)).reshape(list(tensor.sizes))

    def _payload(self, index: int) -> dict[str, Any]:
        """XNNPACK's graph of a delegate, as its own schema spells it."""
        from executorch.backends.xnnpack.serialization import xnnpack_graph_serialize as serialization
        from executorch.exir._serialize._flatbuffer import _flatc_decompile

        processed = self._plan.delegates[index].processed
        data = bytes(self._file.program.backend_delegate_data[processed.index].data)
        header = serialization.XNNHeader.from_bytes(data[: serialization.XNNHeader.EXPECTED_LENGTH])
        start = header.flatbuffer_offset
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "schema.fbs").write_bytes(serialization._get_schema_bytes())
            (folder / "graph.bin").write_bytes(data[start : start + header.flatbuffer_size])
            _flatc_decompile(name, str(folder / "schema.fbs"), str(folder / "graph.bin"))
            document: dict[str, Any] = json.loads((folder / "graph.json").read_text(encoding="utf-8"))
            return document


class _Graph:
    """One graph of XNNPACK.

    Attributes:
        inputs: numbers of what it takes, in order.
    """

    def __init__(self, document: dict[str, Any], store: Any, prefix: str) -> None:
        self._nodes = document["xnodes"]
        self._values = dict(map(_value, document["xvalues"]))
        self._constants, self._store, self._prefix = document["constant_data"], store, prefix
        self.inputs: list[int] = list(document["input_ids"])
        self._outputs: list[int] = list(document["output_ids"])

    def run(self, inputs: Sequence[Tensor], known: Mapping[int, str]) -> tuple[list[Step], list[Tensor], list[str]]:
        """The steps, and what the graph gives with its names.

        Args:
            inputs: in the order of `inputs`.
            known: names of those that aren't constants, by number.
        """
        held = dict(zip(self.inputs, inputs, strict=True))
        names, steps = dict(known), []
        for node in self._nodes:
            kind, about = node["xnode_union_type"], node["xnode_union"]
            read = [about[name] for name in _INPUTS if about.get(name, _NONE) != _NONE]
            output = about["output_id"]
            result = self._clamped(self._computed(kind, about, [self._get(each, held) for each in read]), node)
            integers, scale, zero_point = self._rounded(result, self._values[output])
            held[output] = integers if scale is None else (integers - zero_point) * scale
            reads = tuple(names[each] for each in read if each in names)
            if not reads:  # it computes with constants alone
                continue
            names[output] = f"{self._prefix}{output}"
            array = (integers.to(torch.int8) if scale is not None else held[output]).contiguous().numpy()
            operator = kind.removeprefix("XNN").lower()
            steps.append(Step(_KINDS.get(kind, MOVE), operator, names[output], reads, array, scale, zero_point))
        return steps, [held[each] for each in self._outputs], [names[each] for each in self._outputs]

    def _get(self, number: int, held: dict[int, Tensor]) -> Tensor:
        if number not in held:
            held[number] = self._constant(self._values[number])
        return held[number]

    def _constant(self, value: _Value) -> Tensor:
        array = np.frombuffer(self._data(value.buffer), _NUMPY[value.dtype]).reshape(value.dims)
        tensor = torch.from_numpy(array.astype(np.float32))
        if value.quantized is None:
            return tensor
        if "channel_dim" not in value.quantized:
            return (tensor - value.quantized.get("zero_point", 0)) * value.quantized["scale"]
        scales = value.quantized.get("scale") or np.frombuffer(
            self._data(value.quantized["scale_buffer_idx"]), np.float32
        )
        sides = [1] * len(value.dims)
        sides[value.quantized["channel_dim"]] = -1
        return tensor * torch.tensor(np.array(scales, np.float32)).reshape(sides)

    def _data(self, buffer: int) -> bytes:
        entry = self._constants[buffer]
        return bytes(self._store.buffers[self._store.pte_data[entry["named_key"]].buffer_index])

    def _computed(self, kind: str, about: dict[str, Any], given: list[Tensor]) -> Tensor:
        if kind in _SIMPLE:
            return _SIMPLE[kind](*given)
        if kind == "XNNFullyConnected":
            weight = self._get(about["filter_id"], {})
            weight = weight.T if about["flags"] & _TRANSPOSED else weight
            return functional.linear(given[0], weight, self._bias(about))
        if kind in ("XNNConv2d", "XNNDepthwiseConv2d"):
            return self._convolved(kind, about, given[0])
        if kind == "XNNGlobalAvgPooling2d":
            return given[0].mean((1, 2), keepdim=True)
        if kind == "XNNStaticTranspose":
            return given[0].permute(about["perm"])
        if kind == "XNNStaticReshape":
            return given[0].reshape([side or -1 for side in about["new_shape"]])  # 0: what is left
        if kind == "XNNStaticSlice":
            bounds = zip(about["offsets"], about["sizes"], strict=True)
            return given[0][tuple(slice(start, start + size) for start, size in bounds)]
        if kind.startswith("XNNConcatenate"):
            return torch.cat(given, about.get("axis", 0))
        if kind == "XNNClamp":
            return given[0]
        raise ArtifactError(
            f"XNNPACK's {kind} isn't known here, and the graph can't be computed without it.",
            hint="Locate in an artifact of another target.",
        )

    def _convolved(self, kind: str, about: dict[str, Any], pictures: Tensor) -> Tensor:
        filters = self._get(about["filter_id"], {})
        # Filters are (out,h,w,in), and of depthwise convolutions (1,h,w,out).
        axes = (3, 0, 1, 2) if kind == "XNNDepthwiseConv2d" else (0, 3, 1, 2)
        padding = (about["padding_left"], about["padding_right"], about["padding_top"], about["padding_bottom"])
        result = functional.conv2d(
            functional.pad(pictures.permute(0, 3, 1, 2), padding),
            filters.permute(axes),
            self._bias(about),
            (about["subsampling_height"], about["subsampling_width"]),
            0,
            (about["dilation_height"], about["dilation_width"]),
            about["groups"],
        )
        return result.permute(0, 2, 3, 1)

    def _bias(self, about: dict[str, Any]) -> Tensor | None:
        return None if about["bias_id"] == _NONE else self._get(about["bias_id"], {}).reshape(-1)

    def _clamped(self, values: Tensor, node: dict[str, Any]) -> Tensor:
        bounds = node.get("output_min_max")
        return values if bounds is None else values.clamp(bounds.get("output_min"), bounds.get("output_max"))

    def _rounded(self, values: Tensor, value: _Value) -> tuple[Tensor, float | None, int]:
        """Integers of a value, and what they stand for; a scale of None where it holds floats."""
        if value.dtype == "qdint8":
            return _by_token(values), None, 0
        if value.quantized is None:
            return values, None, 0
        scale, zero_point = float(value.quantized["scale"]), int(value.quantized.get("zero_point", 0))
        return (values / scale).round().add(zero_point).clamp(-128, 127), scale, zero_point


def _by_token(values: Tensor) -> Tensor:
    """Values rounded to 256 steps between the least and greatest of each token, zero among them."""
    low, high = values.amin(-1, keepdim=True).clamp_max(0), values.amax(-1, keepdim=True).clamp_min(0)
    scale = ((high - low) / 255).clamp_min(1e-30)
    zero = (-128 - low / scale).round()
    return ((values / scale + zero).round().clamp(-128, 127) - zero) * scale


def _value(entry: dict[str, Any]) -> tuple[int, _Value]:
    union = entry["xvalue_union"]
    tensor = union.get("tensor_value", union)
    quantized = union.get("quant_params") if "tensor_value" in union else None
    dtype = tensor["datatype"].removeprefix("xnn_datatype_")
    dims = tuple(tensor.get("dims", ()))
    return tensor["id_out"], _Value(dtype, dims, tensor["constant_buffer_idx"], quantized)
