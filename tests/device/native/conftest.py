"""Small artifacts for the native programs to run, and where what is built for them is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact, folder_of, open_artifact
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.delegation import Delegation, Operation
from dvfl_mobile.devices.harness.build import check_tools
from dvfl_mobile.devices.harness.bundle import RUNNER_VARIABLE
from dvfl_mobile.errors import DeviceError, MissingDependencyError
from dvfl_mobile.files import CACHE_VARIABLE, directory_lock
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import TARGETS
from tests.conversions import skip_without
from tests.device_tools import PREFIX
from tests.quantized import small_form, small_student

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
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A function that gives the small student's artifact for a target and a recipe; workers of xdist share them."""
    own = tmp_path_factory.mktemp("native")
    out = own.parents[1] / "native-artifacts" if "PYTEST_XDIST_WORKER" in os.environ else own

    @cache
    def make(target: str, recipe: str) -> Artifact:
        skip_without(target)
        plan = make_plan([target], recipe, out)
        folder = folder_of(small_student(), TARGETS[target], RECIPES[recipe], out)
        with directory_lock(out / f"{target}-{recipe}", wait=True):
            if not (folder / "manifest.json").exists():
                with _recorded_operations(out / f"{target}-{recipe}.json"):
                    convert(small_student() if recipe == "fp32" else small_form(recipe=recipe), plan)
        return open_artifact(folder)

    return make


@contextmanager
def _recorded_operations(path: Path) -> Iterator[None]:
    """The operators that the converter finds in this block, one by one and in order, go to a file: see `operations`."""
    found = Delegation.of

    def recording(delegate: str, calls: int | None, operations: Iterable[Operation], undecided: str = "") -> Delegation:
        listed = list(operations)
        path.write_text(json.dumps([operation[:3] for operation in listed]), encoding="utf-8")
        return found(delegate, calls, listed, undecided)

    with mock.patch.object(Delegation, "of", recording):
        yield


@pytest.fixture(scope="session")
def operations(small: Small) -> Callable[[str, str], list[Operation]]:
    """A function that gives the operators of an artifact's graph in order, which its manifest lists in groups."""

    def read(target: str, recipe: str) -> list[Operation]:
        out = small(target, recipe).folder.parents[2]
        return [Operation(*each) for each in json.loads((out / f"{target}-{recipe}.json").read_text(encoding="utf-8"))]

    return read


@pytest.fixture(scope="session")
def pixels(small: Small) -> np.ndarray:
    """Drawn clips of the small student, `(N,T,3,H,W)`."""
    return np.stack([clip.pixels for clip in moving_shapes(small("executorch", "fp32").manifest.clip, CLIPS)])
