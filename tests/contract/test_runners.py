"""Every runner keeps one table of promises: logits of each clip by itself, and a time for each run asked for."""

from __future__ import annotations

import numpy as np
import pytest

from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.errors import InconclusiveError
from dvfl_mobile.runners.base import Runner, open_runner
from dvfl_mobile.runners.pytorch import TorchRunner
from tests.conversions import Make

CLIPS = 3


@pytest.fixture(params=["pytorch", "executorch", "tflite", "coreai"])
def runner(request: pytest.FixtureRequest, made: Make) -> Runner:
    if request.param == "pytorch":
        return TorchRunner(made("executorch", "fp32").student)
    artifact = made(request.param, "fp32").artifact
    return open_runner(artifact.folder, artifact.manifest)


@pytest.fixture
def pixels(made: Make) -> np.ndarray:
    spec = made("executorch", "fp32").artifact.manifest.clip
    return np.stack([clip.pixels for clip in moving_shapes(spec, CLIPS)])


def test_logits_are_those_of_each_clip_by_itself(runner: Runner, pixels: np.ndarray) -> None:
    together = runner.run(pixels)
    assert together.dtype == np.float32
    assert together.shape == (CLIPS, 5)
    assert len({row.tobytes() for row in together}) == CLIPS, "no clip's logits are another's, left in a buffer"
    # The same kernels on the same input: nothing may depend on what ran before.
    assert np.array_equal(together[::-1], runner.run(pixels[::-1]))


def test_there_is_a_time_for_each_run_and_none_for_the_warm_up(runner: Runner, pixels: np.ndarray) -> None:
    if runner.facts["runtime"] == "Core AI":
        pytest.skip("it refuses: see below")
    times = runner.time(pixels[0], warmup=2, runs=4)
    assert len(times) == 4
    assert all(isinstance(time_ns, int) and time_ns > 0 for time_ns in times)


def test_it_knows_what_it_is(runner: Runner) -> None:
    assert {"runtime", "version", "device", "delegate"} <= runner.facts.keys()
    assert runner.facts["device"] == "host"


def test_core_ai_s_reference_executor_is_never_timed(made: Make, pixels: np.ndarray) -> None:
    artifact = made("coreai", "fp32").artifact
    runner = open_runner(artifact.folder, artifact.manifest)
    with pytest.raises(InconclusiveError, match="reference executor") as caught:
        runner.time(pixels[0], warmup=0, runs=1)
    assert "on a device" in caught.value.hint
    assert len(runner.run(pixels[:1])) == 1, "it still runs"
