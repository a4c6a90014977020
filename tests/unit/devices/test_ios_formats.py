"""What Python and Swift share: the app's own lines, by the protocol's rules, and numbers."""

from __future__ import annotations

import json

import pytest

from dvfl_mobile.devices.harness.protocol import Asked, Heard, Listener, TensorFacts
from dvfl_mobile.devices.ios.options import AppOptions
from dvfl_mobile.errors import DeviceError
from tests.formats.harness_vectors import PATH, vectors
from tests.formats.xcrun import FORMATS

TAKES = TensorFacts(shape=(1, 2, 3, 1, 2), dtype="float32")
TIMED = Asked("time", 2, 3, TAKES, warmup=2, runs=3)


def heard(name: str, asked: Asked, *, but: int | None = None) -> Heard:
    """What the app's lines in a shared file say, without the line `but`."""
    listener = Listener(asked, "ios:A")
    lines = (FORMATS / name).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if number != but:
            listener.hear(line)
    return listener.finish(0)


def test_timed_runs_of_the_app_are_understood() -> None:
    found = heard("ios_time.events", TIMED)
    assert [run.duration_ns for run in found.of_phase("timed")] == [6000, 8000, 10000]
    assert [run.duration_ns for run in found.of_phase("warmup")] == [2000, 4000]
    assert (found.load.load_ns, found.load.delegate, found.load.threads) == (123456, "cpuOnly", None)
    assert (found.device.runtime, found.device.version) == ("Core ML", "iOS 18.2.0")
    assert found.memory.peak_bytes == 48 * 2**20


def test_clips_that_the_app_ran_are_understood() -> None:
    found = heard("ios_run.events", Asked("run", 2, 3, TAKES))
    assert [run.index for run in found.of_phase("clip")] == [0, 1]
    assert found.output.shape == (2, 3)


@pytest.mark.parametrize("missing", range(10))
def test_of_the_apps_lines_none_may_be_missing(missing: int) -> None:
    assert len((FORMATS / "ios_time.events").read_text(encoding="utf-8").splitlines()) == 10
    with pytest.raises(DeviceError):
        heard("ios_time.events", TIMED, but=missing)


def test_the_app_says_why_it_gave_up() -> None:
    with pytest.raises(DeviceError, match=r"It failed as it was asked to\. \(runtime\)"):
        heard("ios_failed.events", TIMED)


def test_options_are_written_as_the_app_reads_them() -> None:
    shared = json.loads((FORMATS / "ios_options.json").read_text(encoding="utf-8"))
    options = AppOptions(mode=shared["mode"], work=shared["work"])
    assert json.loads(options.encoded()) == shared
    assert json.loads(AppOptions(mode="about").encoded()) == {"dvfl_mobile_options": 1, "mode": "about"}


def test_the_shared_numbers_are_pythons() -> None:
    assert json.loads(PATH.read_text(encoding="utf-8")) == vectors(), "python -P tests/formats/harness_vectors.py"
