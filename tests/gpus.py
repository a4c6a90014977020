"""The Vulkan driver that tests compute by: the unpacked one, or else the system's first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dvfl_mobile.devices import vulkan
from tests.device_tools import PREFIX


@contextmanager
def driver() -> Iterator[vulkan.Gpu]:
    """In this block `gpu` is a device; without any driver the test is skipped."""
    with pytest.MonkeyPatch.context() as patch:
        if (PREFIX / ".vulkan").exists():
            patch.setenv(vulkan.VULKAN_VARIABLE, str(PREFIX / "vulkan"))
        # Compiling the shaders of a network for a CPU takes minutes, and less for narrow vectors; a cache holds those
        # of one width, and all runs of the tests on a machine have it in common.
        patch.setenv("LP_NATIVE_VECTOR_WIDTH", "128")
        patch.setenv("MESA_SHADER_CACHE_DIR", str(Path.home() / ".cache" / "dvfl-mobile" / "shaders-128"))
        gpus = vulkan.found_gpus()
        if not gpus:
            pytest.skip(f"needs a Vulkan driver, such as this unpacks: scripts/device-tools {PREFIX} vulkan")
        yield gpus[0]
