"""Set the number of threads of TFLite on the host."""

from __future__ import annotations

from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.runners.tflite.runner import TFLiteRunner, facts_of_litert


def open_artifact(path: Path, manifest: Manifest, threads: int | None) -> TFLiteRunner:
    """A runner of the model at `path`; None: as many threads as there are cores."""
    from ai_edge_litert.interpreter import Interpreter

    return TFLiteRunner(path, manifest, Interpreter, facts_of_litert(manifest.delegation.delegate), threads)
