"""This machine as a device: what it measures of a small artifact of each target that runs here, and what it refuses."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.clips import Clip
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.documents import Verdict
from dvfl_mobile.errors import ArtifactError, InconclusiveError, UsageError
from dvfl_mobile.profiling.plan import Plan
from dvfl_mobile.profiling.session import profile_device
from dvfl_mobile.profiling.subjects import subject_of
from tests.conversions import Made, Make

TIMED = ("tflite", "executorch")


@pytest.fixture(params=TIMED)
def timed(request: pytest.FixtureRequest, made: Make) -> Made:
    return made(request.param, "fp32")


def _clip(made: Made) -> np.ndarray:
    return moving_shapes(made.artifact.manifest.clip, 1)[0].pixels


def test_a_measurement_holds_what_was_asked_for(timed: Made) -> None:
    artifact, clip = timed.artifact, _clip(timed)
    with find_device("host").open(artifact.folder, artifact.manifest) as runner:
        found = runner.measure(clip, RunOptions(warmup=2, runs=5, threads=1))
        [logits] = runner.run(clip[None])
    assert len(found.warmup_ns) == 2
    assert len(found.duration_ns) == len(found.started_ns) == 5
    assert found.threads == 1
    assert min(found.load_ns, *found.warmup_ns, *found.duration_ns) > 0
    # Runs follow each other: each begins where the one before it ended, or later.
    ends = np.add(found.started_ns, found.duration_ns)
    assert np.all(np.array(found.started_ns[1:]) >= ends[:-1])
    assert found.output_sha256 == hashlib.sha256(logits.astype("<f4").tobytes()).hexdigest()
    if sys.platform == "linux":
        assert found.peak_memory_bytes is not None
        assert 20e6 < found.peak_memory_bytes < 4e9, "Python by itself has some 20 MB"


def test_each_measurement_is_a_process_of_its_own(timed: Made) -> None:
    artifact, clip = timed.artifact, _clip(timed)
    with find_device("host").open(artifact.folder, artifact.manifest) as runner:
        first, second = (runner.measure(clip, RunOptions(warmup=0, runs=1, threads=threads)) for threads in (1, 2))
    # ExecuTorch's threads belong to the process: a number that lasted would be seen in the second.
    assert (first.threads, second.threads) == (1, 2)
    assert first.started_ns[0] < second.started_ns[0], "by one clock"


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system doesn't let a program choose its cores")
def test_it_runs_on_the_cores_that_are_asked_for(timed: Made) -> None:
    artifact, clip = timed.artifact, _clip(timed)
    core = min(os.sched_getaffinity(0))
    with find_device("host").open(artifact.folder, artifact.manifest) as runner:
        assert runner.measure(clip, RunOptions(warmup=0, runs=1, cores=(core,))).threads == 1, "as many as cores"
        with pytest.raises(UsageError, match="no core 4095"):
            runner.measure(clip, RunOptions(warmup=0, runs=1, cores=(core, 4095)))


def test_a_profile_of_it_passes_and_holds_its_samples(timed: Made) -> None:
    artifact = timed.artifact
    [drawn] = moving_shapes(artifact.manifest.clip, 1)
    subject = subject_of(artifact, Clip(drawn.pixels, drawn.name))
    found = profile_device(find_device("host"), [subject], Plan(runs=6, warmup=1, threads=1))
    assert found.verdict is Verdict.PASS
    assert found.a.output.verdict is Verdict.PASS
    assert found.a.output.is_reproduced
    assert [len(each.duration_ns) for each in found.a.rounds] == [1] * 6
    assert found.device.model
    assert found.before.load is not None


def test_what_a_reference_executor_runs_is_never_timed(made: Make) -> None:
    if platform.system() == "Darwin":
        pytest.skip("Core ML itself runs it here")
    made_one = made("coreml", "fp32")
    artifact, clip = made_one.artifact, _clip(made_one)
    with find_device("host").open(artifact.folder, artifact.manifest) as runner:
        assert len(runner.run(clip[None])) == 1, "its numbers can be had"
        with pytest.raises(InconclusiveError, match="reference executor") as caught:
            runner.measure(clip, RunOptions())
    assert "`device=ios:UDID`" in caught.value.hint


def test_compute_units_are_core_mls(timed: Made) -> None:
    artifact, clip = timed.artifact, _clip(timed)
    with (
        find_device("host").open(artifact.folder, artifact.manifest) as runner,
        pytest.raises(UsageError, match="compute_units"),
    ):
        runner.measure(clip, RunOptions(compute_units="all"))


def test_changed_bytes_are_refused(timed: Made, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "changed"
    shutil.copytree(timed.artifact.folder, folder)
    with (folder / timed.artifact.manifest.file).open("r+b") as file:
        file.seek(2000)
        file.write(b"changed")
    with pytest.raises(ArtifactError, match="bytes changed"), find_device("host").open(folder, timed.artifact.manifest):
        pass


def test_there_is_no_other_host() -> None:
    with pytest.raises(UsageError, match="host:there"):
        find_device("host:there")
