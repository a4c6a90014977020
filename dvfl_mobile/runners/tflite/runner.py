"""The TFLite runner on the host: LiteRT's interpreter with XNNPACK."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import ArtifactError, needs
from dvfl_mobile.runners.base import as_input, check_shapes, run_each, time_each
from dvfl_mobile.runners.values import Facts, Logits, Pixels


class TFLiteRunner:
    """Runs one `.tflite`, by LiteRT's interpreter or one of the same interface.

    Args:
        make_interpreter: gives an interpreter for a path and a number of threads.
        facts: what is known of it: runtime, version, device, delegate.
        threads: how many it may use; None: as many as there are cores.
    """

    def __init__(
        self,
        path: Path,
        manifest: Manifest,
        make_interpreter: Callable[..., Any],
        facts: Facts,
        threads: int | None = None,
    ) -> None:
        threads = threads or os.cpu_count() or 1
        try:
            self._interpreter = make_interpreter(str(path), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ArtifactError(f"{facts['runtime']} can't load {path}: {error}.", hint="Convert again.") from error
        taken, given = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        check_shapes(path, manifest, taken["shape"], given["shape"])
        self._input, self._output = taken["index"], given["index"]
        self._manifest = manifest
        self.facts: Facts = {**facts, "threads": threads}

    def run(self, clips: Pixels) -> Logits:
        return run_each(self._run_one, clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        self._interpreter.set_tensor(self._input, as_input(clip, self._manifest))
        return time_each(self._interpreter.invoke, warmup, runs)

    def _run_one(self, clip: Pixels) -> Logits:
        self._interpreter.set_tensor(self._input, as_input(clip, self._manifest))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output)


def load_runtime() -> None:
    """Import LiteRT's interpreter.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("ai-edge-litert", extra="tflite", why="to run a .tflite"):
        import ai_edge_litert.interpreter  # noqa: F401


def open_artifact(path: Path, manifest: Manifest) -> TFLiteRunner:
    """A runner of the model at `path`."""
    load_runtime()
    from ai_edge_litert.interpreter import Interpreter

    return TFLiteRunner(path, manifest, Interpreter, facts_of_litert(manifest.delegation.delegate))


def facts_of_litert(delegate: str | None) -> Facts:
    """What is known of LiteRT, with the delegate that takes part."""
    version = metadata.version("ai-edge-litert")
    return {"runtime": "LiteRT", "version": version, "device": "host", "delegate": delegate}
