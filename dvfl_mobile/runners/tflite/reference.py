"""LiteRT's reference kernels, as a second opinion on a `.tflite`: plain loops in place of XNNPACK."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.runners.tflite.runner import TFLiteRunner, facts_of_litert, load_runtime

__all__ = ["load_runtime", "open_artifact"]


def open_artifact(path: Path, manifest: Manifest) -> TFLiteRunner:
    """A runner of the model at `path`, without any delegate."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def make_interpreter(model: str, num_threads: int) -> Any:
        return Interpreter(model, num_threads=num_threads, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)

    return TFLiteRunner(path, manifest, make_interpreter, {**facts_of_litert(None), "kernels": "reference"}, threads=1)
