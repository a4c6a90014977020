"""Instructions of a network's run: the marks around it say what whole processes of more and fewer runs do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.runners.base import as_input
from tests.benchmark_packages import BENCHMARKS, bring
from tests.device.native.conftest import Small
from tests.device_tools import path_with_tools, tool

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="benchmarks are in a checkout, not in a wheel")

MOST_BETWEEN_PROCESSES = 1_000
"""Instructions of one run of the network in another process, of 16 to 18 millions: 3 were seen, which is where memory
lies."""

MOST_BESIDE_RUNS = 50_000
"""Instructions that a run adds to the process beside its own: its line is written, and hashed for the last one. 17,000
were seen."""


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    tool("aarch64-linux-gnu-g++")
    tool("qemu-aarch64-plugins")
    monkeypatch.setenv("PATH", path_with_tools())
    bring("arm_counting")


@pytest.mark.parametrize("target", ["executorch", "tflite"])
def test_the_marks_of_a_run_say_what_one_run_more_adds_to_the_process(
    target: str, small: Small, pixels: np.ndarray
) -> None:
    from arm_counting.running import count
    from arm_counting.tools import counter

    artifact = small(target, "static_wi8_ai8")

    def counted(cpu: str, runs: int):  # type: ignore[no-untyped-def]
        return count(counter(), bundle_for("linux-arm64", target), target, cpu, *_model(artifact, pixels), runs)

    two, three = counted("cortex-a76", 2), counted("cortex-a76", 3)
    last = three.runs[-1]
    assert [len(two.runs), len(three.runs)] == [2, 3]
    for other in (three.runs[1], two.runs[1]):
        assert abs(other["all"] - last["all"]) <= MOST_BETWEEN_PROCESSES
        assert {**other, "all": 0} == {**last, "all": 0}
    assert 0 <= three.whole["all"] - two.whole["all"] - last["all"] <= MOST_BESIDE_RUNS
    assert last["dot"] > 0
    assert last["matrix"] == 0
    assert counted("cortex-a710", 1).runs[0]["matrix"] > 0


def _model(artifact: Artifact, pixels: np.ndarray) -> tuple[Path, np.ndarray]:
    return artifact.folder / artifact.manifest.file, as_input(pixels[0], artifact.manifest)
