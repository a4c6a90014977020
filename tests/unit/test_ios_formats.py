"""What Python and Swift share: the app's own lines, by the protocol's rules; numbers; and what Xcode measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dvfl_mobile.devices.harness.protocol import Asked, Heard, Listener, TensorFacts
from dvfl_mobile.devices.ios.options import AppOptions
from dvfl_mobile.devices.xcresult import durations_ns, parse_metrics, read_metrics
from dvfl_mobile.errors import DeviceError, InputError
from tests.formats.harness_vectors import PATH, vectors
from tests.formats.xcrun import FORMATS, installed_xcrun

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


def sample() -> bytes:
    return (FORMATS / "xcresult_metrics.json").read_bytes()


def test_what_xcode_measured_is_read() -> None:
    [test] = parse_metrics(sample(), "a sample")
    assert test.test == "HarnessPerformanceTests/testPrediction()"
    [run] = test.runs
    assert run.device.device_name == "A phone"
    assert durations_ns(run) == [12_300_000, 12_100_000, 12_500_000, 12_200_000, 12_150_000]
    assert [metric.unit for metric in run.metrics] == ["s", "kB"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[{}]",
        sample()[:-20],
        sample().replace(b"measurements", b"numbers"),
        sample().replace(b"0.0123", b'"fast"'),
        sample().replace(b"0.0123", b"1e999"),
        sample().replace(b"testRuns", b"runs"),
        b"Error: no results",
    ],
)
def test_what_xcode_might_say_another_day_is_named(text: bytes) -> None:
    with pytest.raises(DeviceError, match="What xcresulttool says of a sample can't be understood"):
        parse_metrics(text, "a sample")


def test_no_bundle_without_metrics_is_an_error() -> None:
    assert parse_metrics(b"[]", "a sample") == ()


@pytest.mark.parametrize(("old", "new"), [(b"XCTMetric_Clock", b"XCTMetric_Watch"), (b'"s"', b'"fortnights"')])
def test_a_clock_that_wasnt_measured_is_named(old: bytes, new: bytes) -> None:
    [test] = parse_metrics(sample().replace(old, new), "a sample")
    with pytest.raises(DeviceError, match=r"[cC]lock"):
        durations_ns(test.runs[0])


def test_a_bundle_is_read_by_xcresulttool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    xcrun = installed_xcrun(tmp_path, monkeypatch)
    bundle = tmp_path / "Test.xcresult"
    with pytest.raises(InputError, match="does not exist"):
        read_metrics(bundle)
    bundle.mkdir()
    [test] = read_metrics(bundle)
    assert test.runs
    assert xcrun.calls[-1] == ["xcresulttool", "get", "test-results", "metrics", "--path", str(bundle), "--compact"]
    xcrun.play(faults={"xcresulttool": True})
    with pytest.raises(DeviceError, match="the bundle is broken"):
        read_metrics(bundle)
