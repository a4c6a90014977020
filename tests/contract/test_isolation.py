"""In a child process an artifact gives the very same logits as in this one, and two of them can run in turn."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.profiling.race import race
from dvfl_mobile.runners.base import open_here, open_runner
from dvfl_mobile.runners.child.isolated import IsolatedRunner
from dvfl_mobile.runners.tracing import trace, trace_here
from dvfl_mobile.targets import target_named
from tests.conversions import Made, Make

pytestmark = pytest.mark.cold_children

RUN_HERE = pytest.mark.parametrize(
    ("target", "recipe"),
    [
        ("executorch", "fp32"),
        ("executorch", "static_wi8_ai8"),
        pytest.param("tflite", "fp32", marks=pytest.mark.installed),
        ("tflite", "static_wi8_ai8"),
    ],
)


def opened(made: Made) -> IsolatedRunner:
    runner = open_runner(made.artifact.folder, made.artifact.manifest)
    assert isinstance(runner, IsolatedRunner)
    return runner


@RUN_HERE
def test_the_same_logits_and_facts_as_in_this_process(made: Make, target: str, recipe: str) -> None:
    one = made(target, recipe)
    pixels = np.stack([clip.pixels for clip in moving_shapes(one.artifact.manifest.clip, 3)])
    here, there = open_here(one.artifact.folder, one.artifact.manifest), opened(one)
    assert there.facts == here.facts
    logits = there.run(pixels)
    assert logits.dtype == np.float32
    assert np.array_equal(logits, here.run(pixels))
    # Whatever is laid out otherwise in memory is the same clip.
    assert np.array_equal(there.run(np.asfortranarray(pixels)), logits)


@RUN_HERE
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts mapped memory")
def test_an_honest_artifact_is_far_from_its_limit(made: Make, target: str, recipe: str) -> None:
    one = made(target, recipe)
    runner = opened(one)
    runner.run(np.stack([clip.pixels for clip in moving_shapes(one.artifact.manifest.clip, 1)]))
    process = Path(f"/proc/{runner._child.pid}")
    limit = next(line for line in (process / "limits").read_text().splitlines() if line.startswith("Max address"))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    assert int(status["VmPeak"].split()[0]) * 1024 < int(limit.split()[3]) / 2


def test_artifacts_of_two_runtimes_race(made: Make) -> None:
    base, other = made("tflite", "fp32").artifact, made("executorch", "fp32").artifact
    [clip] = [drawn.pixels for drawn in moving_shapes(base.manifest.clip, 1)]
    ratios = race(base, other, clip, rounds=3)
    assert ratios.shape == (3,)
    assert (ratios > 0).all()


@pytest.mark.parametrize("target", ["coreml", "executorch", "tflite"])
def test_a_trace_is_the_same_too(made: Make, target: str) -> None:
    one = made(target, "static_wi8_ai8")
    folder, manifest = one.artifact.folder, one.artifact.manifest
    [clip] = [drawn.pixels for drawn in moving_shapes(manifest.clip, 1)]
    tracer = target_named(target).tracer
    assert tracer is not None
    there, here = trace(folder, manifest, clip), trace_here(tracer, folder / manifest.file, manifest, clip)
    assert (there.output, there.means, there.is_named) == (here.output, here.means, here.is_named)
    for found, expected in zip((there.input, *there.steps), (here.input, *here.steps), strict=True):
        # In a protobuf's maps nothing has an order that another process would repeat.
        assert sorted(found.reads) == sorted(expected.reads)
        assert replace(found, reads=(), values=0) == replace(expected, reads=(), values=0)
        assert found.values.dtype == expected.values.dtype
        assert np.array_equal(found.values, expected.values, equal_nan=expected.values.dtype.kind == "f")
