"""The TFLite runner on a GPU: LiteRT's GPU accelerator, which computes by WebGPU on whatever Vulkan driver is there.

Only for a process that does nothing else and is killed in the end: drivers and the accelerator don't always survive
being taken down in order.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError, DeviceError, InconclusiveError, needs
from dvfl_mobile.runners.base import as_input, check_shapes, run_each, time_each
from dvfl_mobile.runners.tflite.flatbuffer import tripling
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.spelling import command

HALF, SINGLE = "float16", "float32"
PRECISIONS = (HALF, SINGLE)

_LEAST_STEP = 2.0**-12
"""1 and this much more is another number than 1 in float32, and none in float16."""

_ADAPTER = re.compile(r"Selected adapter: (?P<name>.*), arch=.*adapterType=(?P<type>.*)")
_PIECE = "Initializing WebGPU-based API from graph"
_COMPILING_S = 1800.0


class Compiled:
    """A model that LiteRT compiled for the GPU, with buffers for what it takes and gives.

    Args:
        path: of the `.tflite`; it has one signature.
        precision: what the GPU is asked to compute in; integers and their scales stay what they are.

    Attributes:
        said: what LiteRT printed while it compiled.
        is_whole: whether no operator is left to the CPU.
        outputs: shape and type of what it gives, in order.

    Raises:
        RuntimeError: it can't be compiled.
    """

    def __init__(self, path: Path, precision: str) -> None:
        from ai_edge_litert.compiled_model import CompiledModel, GpuOptions, HardwareAccelerator, Options

        options = Options(
            hardware_accelerators=HardwareAccelerator.GPU,
            gpu_options=GpuOptions(enforce_f32=precision == SINGLE),
        )
        with _overheard() as said:
            self._model = CompiledModel.from_file(str(path), options=options)
        self.said = said[0]
        self.is_whole: bool = self._model.is_fully_accelerated()
        signature = self._model.get_signature_by_index(0)
        self._taken = next(iter(self._model.get_input_tensor_details(signature["key"]).values()))
        given = self._model.get_output_tensor_details(signature["key"])
        self.outputs: list[dict[str, Any]] = [given[name] for name in signature["outputs"]]
        self._in, self._out = self._model.create_input_buffers(0), self._model.create_output_buffers(0)

    @property
    def takes(self) -> tuple[int, ...]:
        """The shape of what it takes."""
        return tuple(self._taken["shape"])

    @property
    def pieces(self) -> int | None:
        """Into how many pieces the graph falls on the GPU; None where LiteRT doesn't tell."""
        return self.said.count(_PIECE) or None

    @property
    def adapter(self) -> tuple[str, str] | None:
        """The name of what computes, and its kind in WebGPU's words; None where LiteRT doesn't tell."""
        found = _ADAPTER.search(self.said)
        return (found["name"].strip(), found["type"].strip()) if found else None

    def run(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """What it gives for some values, in the order of `outputs`.

        The first run has the driver compile every shader. LiteRT waits two minutes for what a run gives, which that can
        take, and never again for the same run: so it is run anew until the shaders are there.
        """
        self._in[0].write(np.ascontiguousarray(values))
        until = time.monotonic() + _COMPILING_S
        while True:
            self._model.run_by_index(0, self._in, self._out)
            try:
                return [self._read(place) for place in range(len(self._out))]
            except RuntimeError:
                if time.monotonic() > until:
                    raise
            self._out = self._model.create_output_buffers(0)

    def _read(self, place: int) -> NDArray[Any]:
        shape, dtype = tuple(self.outputs[place]["shape"]), np.dtype(self.outputs[place]["dtype"])
        return np.asarray(self._out[place].read(int(np.prod(shape)), dtype.type), dtype).reshape(shape)


class GpuRunner:
    """Runs one `.tflite` on the GPU.

    Args:
        precision: of `PRECISIONS`.

    Raises:
        ArtifactError: LiteRT can't compile it for the GPU.
        DeviceError: LiteRT can't compile anything for it.
        InconclusiveError: the driver computes in float32 where half precision is asked for.
    """

    def __init__(self, path: Path, manifest: Manifest, precision: str) -> None:
        found = measured(precision)
        if found.precision != precision:
            raise InconclusiveError(
                f"{found.adapter} was asked to compute in {precision}, and computes in {found.precision}: its logits "
                f"would say nothing of {precision}.",
                hint="Take a driver that has half precision, such as Mesa's lavapipe, or ask for fp32.",
            )
        try:
            self._compiled = Compiled(path, precision)
        except RuntimeError as error:
            raise ArtifactError(f"LiteRT can't compile {path} for the GPU: {error}.", hint="Convert again.") from error
        [given] = self._compiled.outputs
        check_shapes(path, manifest, self._compiled.takes, given["shape"])
        self._manifest = manifest
        self.facts: Facts = {
            "runtime": "LiteRT",
            "version": metadata.version("ai-edge-litert"),
            "device": "gpu",
            "delegate": "WebGPU",
            "adapter": found.adapter,
            "precision": found.precision,
            "whole": self._compiled.is_whole,
            "pieces": self._compiled.pieces,
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        values = as_input(clip, self._manifest)
        return time_each(lambda: self._compiled.run(values), warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        return self._compiled.run(as_input(clip, self._manifest))[0]


class Measured(NamedTuple):
    """What a GPU was seen to do.

    Attributes:
        adapter: its name.
        precision: what it computed in.
    """

    adapter: str
    precision: str


def measured(precision: str) -> Measured:
    """What this machine's GPU computes in if it is asked for a precision, by what it makes of a graph of one product.

    Raises:
        DeviceError: LiteRT can't compile or run it.
    """
    value = np.float32(1 + _LEAST_STEP)
    try:
        with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
            path = Path(folder, "probe.tflite")
            path.write_bytes(tripling())
            compiled = Compiled(path, precision)
            [given] = compiled.run(np.full(compiled.takes, value, np.float32))
    except RuntimeError as error:
        raise DeviceError(f"LiteRT can't compute on the GPU: {error}.", hint=_no_gpu()) from error
    if not compiled.is_whole:
        raise DeviceError("LiteRT leaves a product to the CPU in place of the GPU.", hint=_no_gpu())
    name = compiled.adapter[0] if compiled.adapter else "the GPU"
    factors = set(given.reshape(-1).tolist())
    known = {3.0: HALF, float(np.float32(3) * value): SINGLE}
    if len(factors) != 1 or not factors <= known.keys():
        raise DeviceError(f"{name} makes {sorted(factors)} of 3 times {value}.", hint=_no_gpu())
    return Measured(name, known[factors.pop()])


def load_runtime() -> None:
    """Import LiteRT's compiled models.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("ai-edge-litert", extra="tflite", why="to run a .tflite on a GPU"):
        import ai_edge_litert.compiled_model  # noqa: F401


def open_artifact(path: Path, manifest: Manifest, precision: str = HALF) -> GpuRunner:
    """A runner of the model at `path`."""
    return GpuRunner(path, manifest, precision)


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What is written to stderr in this block, by any library; in the end it is written there after all."""
    said: list[str] = []
    with tempfile.TemporaryFile() as file, _in_place_of_stderr(file.fileno()) as stderr:
        try:
            yield said
        finally:
            file.seek(0)
            data = file.read()
            said.append(data.decode("utf-8", errors="replace"))
            os.write(stderr, data)


@contextmanager
def _in_place_of_stderr(file: int) -> Iterator[int]:
    """Let a file take what goes to stderr, which is given."""
    sys.stderr.flush()
    before = os.dup(2)
    os.dup2(file, 2)
    try:
        yield before
    finally:
        os.dup2(before, 2)
        os.close(before)


def _no_gpu() -> str:
    return f"See what is there with: {command('devices')}"
