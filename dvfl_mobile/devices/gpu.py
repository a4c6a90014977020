"""This machine's GPU as a device, or a CPU in its place: `gpu` computes in half precision, `gpu:fp32` in float32.

LiteRT's GPU accelerator runs the artifact, by the Vulkan driver that is there. Mesa's lavapipe is one that computes on
the CPU: what it computes are a GPU's operators and roundings, how long it takes says nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.devices.host_state import host_facts, host_state
from dvfl_mobile.devices.values import GPU_PRECISIONS, DeviceFacts, DeviceState, FoundDevice, Measurement, RunOptions
from dvfl_mobile.devices.vulkan import SLOWNESS, environment, first_gpu, found_gpus, kind_of, model_of
from dvfl_mobile.errors import InconclusiveError, MissingDriverError, UsageError
from dvfl_mobile.runners.child.engine import Engine
from dvfl_mobile.runners.child.isolated import IsolatedRunner
from dvfl_mobile.runners.child.isolated_trace import traced_by_child
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.spelling import option
from dvfl_mobile.targets import Precision

DEFAULT = "fp16"

_RUNTIME = "dvfl_mobile.runners.tflite.gpu"
_TRACER = "dvfl_mobile.runners.tflite.gpu_tracing"
_TARGET = "tflite"


class GpuRunner:
    """One artifact on the GPU. Close it to end the process that runs it.

    Raises:
        ArtifactError: LiteRT can't compile it for the GPU.
        DeviceError: LiteRT can't compute on the GPU at all.
        InconclusiveError: the driver doesn't compute in the precision that it was asked for.
        MissingDependencyError: LiteRT isn't installed.
    """

    def __init__(self, folder: Path, manifest: Manifest, engine: Engine) -> None:
        self._folder, self._manifest, self._engine = folder, manifest, engine
        self._runner = IsolatedRunner(folder, manifest, _RUNTIME, engine=engine)
        self.facts: Facts = self._runner.facts

    def run(self, clips: Pixels) -> Logits:
        return self._runner.run(clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        return self._runner.time(clip, warmup, runs)

    def measure(self, clip: Pixels, options: RunOptions) -> Measurement:
        """Load the artifact in a new process and run one clip, `(T,3,H,W)`, again and again.

        Each run ends with its logits here: what was only handed to a GPU has taken no time yet.

        Raises:
            UsageError: threads, cores or compute units are chosen, which a GPU has none of.
        """
        if options.threads or options.cores or options.compute_units:
            raise UsageError(
                "A GPU takes no choice of threads, cores or compute units.",
                hint=f"Leave out {option('threads')}, {option('cores')} and {option('compute_units')}.",
            )
        start = time.perf_counter_ns()
        runner = IsolatedRunner(self._folder, self._manifest, _RUNTIME, engine=self._engine)
        load_ns = time.perf_counter_ns() - start
        try:
            timed = runner.timed(clip, options.warmup + options.runs)
            logits = runner.run(clip[None])
        finally:
            runner.close()
        return Measurement(
            load_ns=load_ns,
            warmup_ns=timed.duration_ns[: options.warmup],
            started_ns=timed.started_ns[options.warmup :],
            duration_ns=timed.duration_ns[options.warmup :],
            peak_memory_bytes=timed.peak_memory_bytes,
            threads=None,
            output_sha256=hashlib.sha256(np.ascontiguousarray(logits, "<f4").tobytes()).hexdigest(),
        )

    def close(self) -> None:
        """End the process that runs the artifact."""
        self._runner.close()


class Gpu:
    """What the first Vulkan driver here computes on.

    Args:
        precision: of `GPU_PRECISIONS`.

    Attributes:
        engine: how a child process comes to compute on it.

    Raises:
        MissingDriverError: there is no Vulkan driver.
    """

    times_operators = False

    def __init__(self, precision: str) -> None:
        adapter = first_gpu()
        host = host_facts("gpu")
        self.engine: Engine = engine_for(GPU_PRECISIONS[precision])
        self.facts: DeviceFacts = DeviceFacts(
            device=_name(precision),
            kind=kind_of(adapter),
            model=model_of(adapter),
            system=host.system,
            abi=host.abi,
            memory_bytes=host.memory_bytes,
            computes_in=GPU_PRECISIONS[precision],
        )
        self.identity: str = self.facts.device

    def state(self) -> DeviceState:
        """This machine's."""
        return host_state()

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[GpuRunner]:
        """The artifact in `folder`, where it lies; see `GpuRunner` for what it raises.

        Raises:
            ArtifactError: its files aren't those of the manifest.
            InconclusiveError: it is for another target than LiteRT's.
        """
        if manifest.target != _TARGET:
            raise InconclusiveError(
                f"Nothing here runs an artifact for {manifest.target} on a GPU.",
                hint=f"LiteRT runs those for {_TARGET}.",
            )
        verify(manifest, folder)
        runner = GpuRunner(folder, manifest, self.engine)
        try:
            yield runner
        finally:
            runner.close()


def values_on(
    gpu: Gpu, folder: Path, manifest: Manifest, clip: Pixels, names: Sequence[str]
) -> tuple[Logits, dict[str, NDArray[Any]]]:
    """What the artifact in `folder` gives on a GPU for a clip, `(T,3,H,W)`, as `(1,K)`, and some of its tensors.

    Args:
        names: the numbers of the tensors in its graph, which a copy of it gives too.

    Raises:
        ArtifactError: it can't be run so.
    """
    engine = replace(gpu.engine, settings={**gpu.engine.settings, "tensors": ",".join(names)})
    traced = traced_by_child(_RUNTIME, _TRACER, folder, manifest, clip, engine)
    values = {step.name: step.values for step in traced.steps}
    return values.pop(traced.output), values


def engine_for(precision: Precision) -> Engine:
    """How a child process comes to compute on the GPU, in a precision."""
    # Mesa's lavapipe ends with SIGBUS where its memory can't grow.
    settings = {"precision": precision}
    return Engine(settings, environment(), slowness=SLOWNESS, keeps_memory_in_files=True)


def find(argument: str) -> Gpu:
    """The GPU in half precision, or in that which `argument` names.

    Raises:
        MissingDriverError: there is no Vulkan driver.
        UsageError: there is no such precision.
    """
    if argument and argument not in GPU_PRECISIONS:
        raise UsageError(
            f"There is no device 'gpu:{argument}'.",
            hint=f"It is gpu, or gpu:PRECISION of: {', '.join(GPU_PRECISIONS)}.",
        )
    return Gpu(argument or DEFAULT)


def found() -> Sequence[FoundDevice]:
    """The GPU that is used; that it can also be had as `gpu:fp32` needs no line of its own."""
    try:
        gpus = found_gpus()
    except MissingDriverError:
        return ()
    return [FoundDevice(device="gpu", kind=kind_of(gpu), model=model_of(gpu), status="ready") for gpu in gpus[:1]]


def _name(precision: str) -> str:
    return "gpu" if precision == DEFAULT else f"gpu:{precision}"
