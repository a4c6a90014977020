"""Core ML on the host: macOS only, since Apple ships its runtime nowhere else.

Not exercised by this project's own tests, which run on Linux: there it ends inconclusive.
"""

from __future__ import annotations

import platform
from pathlib import Path

from dvfl_mobile.errors import MissingDependencyError
from dvfl_mobile.manifest import Manifest
from dvfl_mobile.runners.base import Facts, Logits, Pixels, as_input, run_each, time_each


class CoreMLRunner:
    """Runs one `.mlpackage` on whichever of CPU, GPU and Neural Engine Core ML chooses."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        try:
            import coremltools as ct
        except ImportError as error:
            raise MissingDependencyError("coremltools", extra="coreml", why="to run an .mlpackage") from error
        self._model = ct.models.MLModel(str(path))
        self._input, self._output = manifest.inputs[0].name, manifest.outputs[0].name
        self._manifest = manifest
        self.facts: Facts = {
            "runtime": "Core ML",
            "version": f"macOS {platform.mac_ver()[0]}",
            "device": "host",
            "delegate": manifest.delegation.delegate,
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        inputs = {self._input: as_input(clip, self._manifest)}
        return time_each(lambda: self._model.predict(inputs), warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        return self._model.predict({self._input: as_input(clip, self._manifest)})[self._output]


def open_artifact(path: Path, manifest: Manifest) -> CoreMLRunner:
    """A runner of the package at `path`."""
    return CoreMLRunner(path, manifest)
