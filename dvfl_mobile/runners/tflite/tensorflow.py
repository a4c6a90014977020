"""TensorFlow's interpreter and kernels, as a second opinion on a `.tflite`.

Without the XNNPACK that TensorFlow brings too: it is the same library as LiteRT's, and gives the same bits.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import needs
from dvfl_mobile.runners.tflite.runner import TFLiteRunner
from dvfl_mobile.runners.values import Facts


def load_runtime() -> None:
    """Import TensorFlow.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    with needs("tensorflow", extra="tensorflow", why="for a second opinion"):
        import tensorflow  # noqa: F401


def open_artifact(path: Path, manifest: Manifest) -> TFLiteRunner:
    """A runner of the model at `path`, without any delegate."""
    from tensorflow import lite

    def make_interpreter(model: str, num_threads: int) -> Any:
        own = lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        return lite.Interpreter(model, num_threads=num_threads, experimental_op_resolver_type=own)

    version = metadata.version("tensorflow")
    facts: Facts = {"runtime": "TensorFlow", "version": version, "device": "host", "delegate": None}
    return TFLiteRunner(path, manifest, make_interpreter, facts)
