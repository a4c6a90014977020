"""A process that holds one program and runs it when asked; any environment with numpy and the program's engine runs it.

    python worker.py ENGINE MODEL --threads N [--clock wall] [--no-amx] [--clips FILE.npy]

ENGINE is one of `ENGINES`. With clips, `(N,…)` as the program takes them, one after the other, it gives logits;
without, it fills what the program takes with numbers drawn once. It writes one JSON object a line: first what it is and
the logits, `(N,K)` or null; then, for each line with a number on its stdin, so many run times in nanoseconds, after a
run that doesn't count. It ends with its stdin. What the engine itself prints goes to stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Program(NamedTuple):
    """A loaded program.

    Attributes:
        version: of its engine.
        taken: shape and type of each input.
        give: puts inputs where the engine reads them.
        invoke: runs it on these; what is timed.
        output: its first output, after a run.
    """

    version: str
    taken: list[tuple[tuple[int, ...], np.dtype[Any]]]
    give: Callable[[Sequence[Any]], None]
    invoke: Callable[[], object]
    output: Callable[[], Any]


def open_tflite(path: str, threads: int) -> Program:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path, num_threads=threads)
    interpreter.allocate_tensors()
    inputs, [first, *_] = interpreter.get_input_details(), interpreter.get_output_details()

    def give(values: Sequence[Any]) -> None:
        for detail, value in zip(inputs, values, strict=True):
            interpreter.set_tensor(detail["index"], value)

    return Program(
        f"LiteRT {metadata.version('ai-edge-litert')}",
        [(tuple(map(int, detail["shape"])), np.dtype(detail["dtype"])) for detail in inputs],
        give,
        interpreter.invoke,
        lambda: interpreter.get_tensor(first["index"]),
    )


def open_executorch(path: str, threads: int) -> Program:
    import torch
    from executorch.runtime import Runtime, Verification

    from dvfl_mobile.runners.executorch.threads import set_threads

    set_threads(threads)
    program = Runtime.get().load_program(path, verification=Verification.Minimal)
    method = program.load_method("forward")
    taken = [method.metadata.input_tensor_meta(index) for index in range(method.metadata.num_inputs())]
    numpy_of = {6: np.dtype(np.float32), 1: np.dtype(np.int8)}  # by ScalarType
    held: dict[str, Any] = {"program": program}

    def give(values: Sequence[Any]) -> None:
        held["inputs"] = [torch.from_numpy(value) for value in values]

    def invoke() -> None:
        # Its own `execute` copies all outputs, which for the bare products are most of what moves.
        held["outputs"] = method._method(held["inputs"], False)

    return Program(
        f"ExecuTorch {metadata.version('executorch')}",
        [(tuple(meta.sizes()), numpy_of[meta.dtype()]) for meta in taken],
        give,
        invoke,
        lambda: held["outputs"][0].numpy(),
    )


def open_onnxruntime(path: str, threads: int) -> Program:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    held: dict[str, Any] = {}

    def give(values: Sequence[Any]) -> None:
        held["inputs"] = dict(zip(names, values, strict=True))

    def invoke() -> None:
        held["outputs"] = session.run(None, held["inputs"])

    taken = [(tuple(value.shape), np.dtype(np.float32)) for value in session.get_inputs()]
    version = f"ONNX Runtime {metadata.version('onnxruntime')}"
    return Program(version, taken, give, invoke, lambda: held["outputs"][0])


def openvino_settings(threads: int) -> dict[str, Any]:
    return {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}


def open_openvino(path: str, threads: int) -> Program:
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", openvino_settings(threads))
    request = compiled.create_infer_request()

    def give(values: Sequence[Any]) -> None:
        for index, value in enumerate(values):
            request.set_input_tensor(index, openvino.Tensor(value, shared_memory=True))
        request.held = values  # the tensors are views of them

    return Program(
        f"OpenVINO {metadata.version('openvino')}",
        [(tuple(value.shape), np.dtype(np.float32)) for value in compiled.inputs],
        give,
        request.infer,
        lambda: request.get_output_tensor(0).data,
    )


def open_mnn(path: str, threads: int) -> Program:
    import MNN

    interpreter = MNN.Interpreter(path)
    session = interpreter.createSession({"backend": "CPU", "numThread": threads, "precision": "high"})
    inputs = list(interpreter.getSessionInputAll(session).values())
    [output] = interpreter.getSessionOutputAll(session).values()

    def host(tensor: Any, value: Any) -> Any:
        return MNN.Tensor(tensor.getShape(), MNN.Halide_Type_Float, value, MNN.Tensor_DimensionType_Caffe)

    def give(values: Sequence[Any]) -> None:
        for tensor, value in zip(inputs, values, strict=True):
            tensor.copyFrom(host(tensor, value))

    def read() -> Any:
        into = host(output, np.zeros(output.getShape(), np.float32))
        output.copyToHostTensor(into)
        return np.array(into.getData(), np.float32)

    return Program(
        f"MNN {metadata.version('MNN')}",
        [(tuple(tensor.getShape()), np.dtype(np.float32)) for tensor in inputs],
        give,
        lambda: interpreter.runSession(session),
        read,
    )


ENGINES: dict[str, Callable[[str, int], Program]] = {
    "tflite": open_tflite,
    "executorch": open_executorch,
    "onnxruntime": open_onnxruntime,
    "openvino": open_openvino,
    "mnn": open_mnn,
}


def drawn(taken: Sequence[tuple[tuple[int, ...], np.dtype[Any]]]) -> list[Any]:
    """Numbers for a program to read: normal ones, or any int8."""
    stream = np.random.default_rng(0)
    return [
        stream.integers(-128, 128, shape, np.int8) if kind == np.int8 else stream.standard_normal(shape, np.float32)
        for shape, kind in taken
    ]


def logits_of(program: Program, clips: Any) -> list[list[float]]:
    """What it gives for each clip."""
    found = []
    for clip in clips:
        program.give([np.ascontiguousarray(clip)])
        program.invoke()
        found.append([float(value) for value in np.asarray(program.output()).reshape(-1)])
    return found


CLOCKS: dict[str, Callable[[], int]] = {"wall": time.perf_counter_ns, "cpu": time.process_time_ns}
"""What passed, or what all threads of this process took of the processor."""


def times(program: Program, runs: int, clock: Callable[[], int]) -> list[int]:
    """Nanoseconds of each run, after one that doesn't count."""
    program.invoke()
    found = []
    for _ in range(runs):
        start = clock()
        program.invoke()
        found.append(clock() - start)
    return found


def serve(
    program: Program, clips: Any | None, clock: str, asked: Iterable[str], answer: Callable[[object], None]
) -> None:
    """Say what the program is, then time it as often as is asked for."""
    logits = None if clips is None else logits_of(program, clips)
    if clips is None:
        program.give(drawn(program.taken))
        program.invoke()
    answer({"version": program.version, "logits": logits})
    for line in asked:
        answer({"times_ns": times(program, int(line), CLOCKS[clock])})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--no-amx", action="store_true")
    parser.add_argument("--clips")
    options = parser.parse_args()
    own = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # engines print as they please

    def answer(document: object) -> None:
        print(json.dumps(document), file=own, flush=True)

    clips = None if options.clips is None else np.load(options.clips)
    if options.no_amx:
        # At the end of the path: names in this folder are those of engines too.
        sys.path.append(str(Path(__file__).parents[1]))
        from peer_programs import amx

        amx.refuse()
    program = ENGINES[options.engine](options.model, options.threads)
    serve(program, clips, options.clock, sys.stdin, answer)


if __name__ == "__main__":
    main()
