"""The Core ML runner on the host: Core ML on macOS, the executor in `mil` elsewhere.

Apple ships Core ML nowhere else. `CoreMLRunner` isn't exercised by this project's own tests, which run on Linux.
"""

from __future__ import annotations

import platform
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import needs
from dvfl_mobile.runners.base import Runner, as_input, run_each, time_each
from dvfl_mobile.runners.child.lean import unimportable
from dvfl_mobile.runners.values import Facts, Logits, Pixels

_CONVERTED_FROM = (
    *("torch", "torchao", "torchaudio", "torchvision", "executorch", "transformers"),
    *("tensorflow", "sklearn", "xgboost", "libsvm", "scipy"),
)
"""What coremltools imports where it is there, and does without where it isn't."""


class CoreMLRunner:
    """Runs one `.mlpackage` on whichever of CPU, GPU and Neural Engine Core ML chooses."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        load_runtime()
        import coremltools as ct

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


def load_runtime() -> None:
    """Import coremltools.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("coremltools", extra="coreml", why="to run an .mlpackage"):
        import coremltools  # noqa: F401


def load_alone() -> None:
    """As `load_runtime`, in a process that converts nothing: without what coremltools converts from and compresses."""
    with unimportable(*_CONVERTED_FROM):
        load_runtime()
    if platform.system() != "Darwin":
        # It computes with torch, which takes memory: before a limit is put on that.
        from dvfl_mobile.runners.coreml import executor  # noqa: F401


def open_artifact(path: Path, manifest: Manifest) -> Runner:
    """A runner of the package at `path`: Core ML where it exists."""
    if platform.system() == "Darwin":
        return CoreMLRunner(path, manifest)
    from dvfl_mobile.runners.coreml.executor import ExecutedRunner

    return ExecutedRunner(path, manifest)
