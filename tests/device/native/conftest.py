"""Small artifacts for the native programs to run, and where what is built for them is kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.delegation import Operation
from dvfl_mobile.devices.harness.build import check_tools
from dvfl_mobile.devices.harness.bundle import RUNNER_VARIABLE
from dvfl_mobile.errors import DeviceError, MissingDependencyError
from dvfl_mobile.files import CACHE_VARIABLE
from tests.conversions import Make, shared_conversions
from tests.device_tools import PREFIX

CLIPS = 4

Small = Callable[[str, str], Artifact]


@pytest.fixture(autouse=True)
def _kept_builds(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Builds are kept beside the device tools, where those are; never among the user's own."""
    kept = PREFIX / "cache" if PREFIX.is_dir() else tmp_path_factory.getbasetemp() / "native-cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(kept))
    monkeypatch.delenv(RUNNER_VARIABLE, raising=False)


@pytest.fixture(autouse=True)
def _builds() -> None:
    """Skips where nothing can be built."""
    try:
        check_tools("host")
    except (DeviceError, MissingDependencyError) as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return shared_conversions(tmp_path_factory)


@pytest.fixture(scope="session")
def small(made: Make) -> Small:
    """A function that gives the small student's artifact for a target and a recipe."""
    return lambda target, recipe: made(target, recipe).artifact


@pytest.fixture(scope="session")
def operations(made: Make) -> Callable[[str, str], list[Operation]]:
    """A function that gives the operators of an artifact's graph in order, which its manifest lists in groups."""
    return lambda target, recipe: list(made(target, recipe).operations)


@pytest.fixture(scope="session")
def pixels(small: Small) -> np.ndarray:
    """Drawn clips of the small student, `(N,T,3,H,W)`."""
    return np.stack([clip.pixels for clip in moving_shapes(small("executorch", "fp32").manifest.clip, CLIPS)])
