"""Trace the Core ML package in an ExecuTorch program by the executor: its own values, not those of Apple's kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.runners.coreml import tracing
from dvfl_mobile.runners.coreml.tracing import load_runtime as load_runtime
from dvfl_mobile.runners.executorch_coreml.package import opened_package
from dvfl_mobile.runners.traces import Trace
from dvfl_mobile.runners.values import Pixels


def trace_artifact(path: Path, manifest: Manifest, clip: Pixels) -> Trace:
    """The trace of the program at `path`. ExecuTorch renames the nodes before coremltools is given them."""
    with opened_package(path, manifest) as (package, named):
        return replace(tracing.trace_artifact(package, named, clip), is_named=False)
