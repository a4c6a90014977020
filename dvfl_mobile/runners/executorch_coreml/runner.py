"""The runner of Core ML inside of ExecuTorch: on macOS ExecuTorch with its Core ML delegate, the executor elsewhere.

Apple ships Core ML nowhere else. What runs on macOS isn't exercised by this project's own tests, which run on Linux.
"""

from __future__ import annotations

import platform
from pathlib import Path

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.runners.base import Runner
from dvfl_mobile.runners.coreml.runner import load_alone as load_coreml_alone
from dvfl_mobile.runners.executorch.runner import ExecuTorchRunner
from dvfl_mobile.runners.executorch.runner import load_alone as load_executorch_alone
from dvfl_mobile.runners.executorch.runner import load_runtime as load_executorch


def load_runtime() -> None:
    """Import what runs it here.

    Raises:
        MissingDependencyError: it isn't installed.
    """
    if platform.system() == "Darwin":
        load_executorch()
    else:
        from dvfl_mobile.mil.program import load_runtime as load_reader

        load_reader()


def load_alone() -> None:
    """As `load_runtime`, in a process that converts nothing."""
    if platform.system() == "Darwin":
        load_executorch_alone()
    else:
        load_coreml_alone()


def open_artifact(path: Path, manifest: Manifest) -> Runner:
    """A runner of the program at `path`: ExecuTorch where Core ML exists, else the executor on the package in it.

    Raises:
        ArtifactError: it does more than one call of Core ML, or what lies in it can't be executed.
    """
    if platform.system() == "Darwin":
        return ExecuTorchRunner(path, manifest)
    return _executed(path, manifest)


def _executed(path: Path, manifest: Manifest) -> Runner:
    from dvfl_mobile.runners.coreml.executor import ExecutedRunner
    from dvfl_mobile.runners.executorch_coreml.package import opened_package

    # The executor has read all of a package once it has opened it.
    with opened_package(path, manifest) as (package, named):
        return ExecutedRunner(package, named)
