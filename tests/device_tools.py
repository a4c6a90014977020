"""Where the tools are that tests of devices need: unpacked by `scripts/device-tools`, or on the PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

PREFIX = Path(
    os.environ.get("DVFL_MOBILE_DEVICE_TOOLS") or Path(__file__).resolve().parents[1] / "build" / "device-tools"
)
"""The folder that `scripts/device-tools` unpacked into."""

_GET_THEM = "make them with: scripts/device-tools build/device-tools"


def tool(name: str) -> str:
    """The path of a program, or the test is skipped."""
    unpacked = PREFIX / "bin" / name
    found = str(unpacked) if unpacked.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} ({_GET_THEM})")
    return found


def path_with_tools() -> str:
    """A PATH on which the unpacked tools come first."""
    return os.pathsep.join([str(PREFIX / "bin"), os.environ.get("PATH", os.defpath)])
