"""TFLite on the host, by LiteRT's interpreter and its XNNPACK delegate."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from dvfl_mobile.errors import ArtifactError, MissingDependencyError
from dvfl_mobile.manifest import Manifest
from dvfl_mobile.runners.base import Facts, Logits, Pixels, as_input, check_shapes, run_each, time_each


class TFLiteRunner:
    """Runs one `.tflite`."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingDependencyError("ai-edge-litert", extra="tflite", why="to run a .tflite") from error
        threads = os.cpu_count() or 1
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"LiteRT can't load {path}: {error}.", hint="Convert again.") from error
        taken, given = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        check_shapes(path, manifest, taken["shape"], given["shape"])
        self._input, self._output = taken["index"], given["index"]
        self._manifest = manifest
        self.facts: Facts = {
            "runtime": "LiteRT",
            "version": metadata.version("ai-edge-litert"),
            "device": "host",
            "delegate": manifest.delegation.delegate,
            "threads": threads,
        }

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        self._interpreter.set_tensor(self._input, as_input(clip, self._manifest))
        return time_each(self._interpreter.invoke, warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        self._interpreter.set_tensor(self._input, as_input(clip, self._manifest))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


def open_artifact(path: Path, manifest: Manifest) -> TFLiteRunner:
    """A runner of the model at `path`."""
    return TFLiteRunner(path, manifest)
