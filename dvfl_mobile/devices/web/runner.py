"""Runs one artifact in the page of a browser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.devices.harness.protocol import Asked, Heard, Mode, TensorFacts
from dvfl_mobile.devices.values import GPU_PRECISIONS, DeviceFacts, Measurement, RunOptions
from dvfl_mobile.devices.web.library import VERSION
from dvfl_mobile.devices.web.place import Page
from dvfl_mobile.devices.web.session import Work
from dvfl_mobile.errors import InconclusiveError, UsageError
from dvfl_mobile.recipes import recipe_named
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.child.limits import limits_for
from dvfl_mobile.runners.tflite.flatbuffer import with_float_input, with_float_weights
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.spelling import option

MOST_INPUT_BYTES = 32 * 2**20
"""Of clips in one job: a page holds them twice, and a phone's browser gives it little."""

_TARGET = "tflite"


class WebRunner:
    """Runs one artifact in a page, each time in one that is loaded anew.

    Args:
        page: where.
        device: its facts.
        precision: what WebGPU is asked to compute in, `fp16` or `fp32`; None: WebAssembly computes.
        slowness: how many times the usual seconds it may take.

    Raises:
        ArtifactError: the artifact's files aren't those of the manifest.
        InconclusiveError: no page runs artifacts for its target.
    """

    def __init__(
        self,
        page: Page,
        folder: Path,
        manifest: Manifest,
        device: DeviceFacts,
        precision: str | None,
        slowness: float = 1.0,
    ) -> None:
        if manifest.target != _TARGET:
            raise InconclusiveError(
                f"No page runs an artifact for {manifest.target}.", hint=f"LiteRT.js runs those for {_TARGET}."
            )
        verify(manifest, folder)
        self._page, self._manifest, self._precision = page, manifest, precision
        data = (folder / manifest.file).read_bytes()
        [taken] = manifest.inputs
        self._model = for_page(data, manifest)
        self._takes = TensorFacts.model_validate({"shape": taken.shape, "dtype": "float32"})
        self._idle_s = limits_for(manifest.size_bytes).deadline_s * slowness
        self.facts: Facts = {
            "runtime": "LiteRT.js",
            "version": VERSION,
            "device": device.device,
            "delegate": "XNNPACK" if precision is None else "WebGPU",
            "engine": "WebAssembly" if precision is None else "WebGPU",
            **({} if precision is None else {"asked_precision": GPU_PRECISIONS[precision]}),
        }

    def run(self, clips: Pixels) -> Logits:
        """Logits, `(N,K)`, of clips `(N,T,3,H,W)` of 0-255 pixels, each clip once."""
        most = max(1, MOST_INPUT_BYTES // (4 * clips[0].size))
        parts = [clips[start : start + most] for start in range(0, len(clips), most)]
        return np.concatenate([self._answer("run", part, RunOptions(warmup=0, runs=0))[1] for part in parts])

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        """Nanoseconds of each of `runs` runs of one clip, `(T,3,H,W)`, by the page's own clock."""
        return list(self.measure(clip, RunOptions(warmup=warmup, runs=runs)).duration_ns)

    def measure(self, clip: Pixels, options: RunOptions) -> Measurement:
        """Run one clip, `(T,3,H,W)`, again and again, in a page that is loaded anew.

        Raises:
            DeviceError: the page did not do what it was asked, or did not go on in time.
            UsageError: a browser has no such choice.
        """
        if options.cores or options.compute_units:
            raise UsageError(
                "A browser takes no choice of cores or compute units.",
                hint=f"Leave out {option('cores')} and {option('compute_units')}.",
            )
        if options.threads and self._precision is not None:
            raise UsageError("A GPU takes no choice of threads.", hint=f"Leave out {option('threads')}.")
        heard, _ = self._answer("time", clip[None], options)
        return heard.measurement()

    def _answer(self, mode: Mode, clips: Pixels, options: RunOptions) -> tuple[Heard, Logits]:
        asked = Asked(mode, len(clips), len(self._manifest.classes), self._takes, options.warmup, options.runs)
        settings = {
            "version": VERSION,
            "accelerator": "wasm" if self._precision is None else "webgpu",
            "precision": self._precision,
            "threads": options.threads,
        }
        clip_bytes = b"".join(page_values(clip, self._manifest).astype("<f4").tobytes() for clip in clips)
        heard, data = self._page.perform(
            Work(asked, {"model": self._model, "input": clip_bytes}, settings), self._idle_s
        )
        self.facts |= {"threads": heard.load.threads, "whole": heard.load.whole, "pieces": heard.load.pieces}
        return heard, np.frombuffer(data, "<f4").reshape(asked.output_shape).astype(np.float32)


def for_page(data: bytes, manifest: Manifest) -> bytes:
    """A `.tflite` file as a page runs it: LiteRT.js takes no int8, and unpacks float16 weights at each run."""
    if takes_int8(manifest):
        data = with_float_input(data)
    return with_float_weights(data) if holds_float16(manifest) else data


def takes_int8(manifest: Manifest) -> bool:
    """Whether an artifact's input is int8."""
    [taken] = manifest.inputs
    return taken.dtype == "int8"


def holds_float16(manifest: Manifest) -> bool:
    """Whether an artifact's weights are float16."""
    return recipe_named(manifest.recipe).weights == "float16"


def page_values(clip: Pixels, manifest: Manifest) -> NDArray[np.float32]:
    """A clip, `(T,3,H,W)`, as float32, of which an int8 artifact's door makes exactly its own int8."""
    values, [taken] = as_input(clip, manifest), manifest.inputs
    if taken.scale is None or taken.zero_point is None:
        return values.astype(np.float32)
    whole = values.astype(np.int32) - taken.zero_point
    return (whole.astype(np.float32) * np.float32(taken.scale)).astype(np.float32)
