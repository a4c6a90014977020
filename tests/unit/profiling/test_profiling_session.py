"""A session on a device that takes given times: rounds, turns, outputs, what is refused and what is kept."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.values import DeviceState, FoundDevice, OperatorTime
from dvfl_mobile.documents import Verdict
from dvfl_mobile.errors import DeviceError, InconclusiveError, UsageError
from dvfl_mobile.profiling.document import DeviceProfile, ProfileReport
from dvfl_mobile.profiling.fleet import profile_fleet, ready_devices
from dvfl_mobile.profiling.plan import Plan, cores_of, seconds_of
from dvfl_mobile.profiling.session import profile_device
from dvfl_mobile.profiling.subjects import Subject, sha256_of_artifact
from dvfl_mobile.profiling.sustained import elapsed_s
from dvfl_mobile.progress import silent
from tests.fake_device import MS, FakeDevice, expected, make_artifact, make_subject


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return make_artifact(tmp_path_factory.mktemp("a") / "out")


@pytest.fixture(scope="module")
def subject(artifact: Artifact) -> Subject:
    return make_subject(artifact)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(make_artifact(tmp_path_factory.mktemp("b") / "out", recipe="fp16"))


def test_runs_are_spread_over_rounds_and_all_kept(subject: Subject) -> None:
    device = FakeDevice()
    found = profile_device(device, [subject], Plan(runs=200, warmup=2, threads=3))
    assert len(found.a.rounds) == 12
    assert found.a.summary.runs == 12 * 17, "as many in each round, and no fewer than were asked for"
    assert {(asked.runs, asked.warmup, asked.threads) for asked in device.asked} == {(17, 2, 3)}
    assert [each.place for each in found.a.rounds] == list(range(12))
    assert found.a.summary.load_ns == 40 * MS
    assert found.a.summary.first_ns == 20 * MS
    assert found.a.summary.p99_ns is not None, "204 runs are enough for it"
    assert DeviceProfile.model_validate_json(found.model_dump_json()) == found


def test_figures_are_those_of_the_runs(subject: Subject) -> None:
    device = FakeDevice(times=lambda _folder, _round, runs: [(10 + run) * MS for run in range(runs)])
    summary = profile_device(device, [subject], Plan(runs=120)).a.summary
    assert summary.p50_ns == 14.5 * MS
    assert (summary.least_ns, summary.most_ns) == (10 * MS, 19 * MS)
    assert summary.mean_ns == 14.5 * MS
    assert summary.median_interval_ns == (14.5 * MS, 14.5 * MS)
    assert summary.p90_ns == pytest.approx(18.1 * MS)  # between the 108th run and the 109th
    assert summary.p99_ns is None, "120 runs have one beyond it"
    assert summary.clips_per_s == pytest.approx(1000 / 14.5)
    assert summary.frames_per_s == pytest.approx(8 * 1000 / 14.5)
    # A clip of 8 frames, one of every 4 of a 30-fps camera's, spans 32 / 30 s.
    assert summary.real_time_factor == pytest.approx(32 / 30 / 0.0145)


def test_two_artifacts_take_turns_in_an_order_that_coins_decide(subject: Subject, other: Subject) -> None:
    device = FakeDevice()
    found = profile_device(device, [subject, other], Plan(runs=12, seed=1))
    assert found.b is not None
    assert found.comparison is not None
    turns = found.comparison.order.split()
    assert set(turns) == {"AB", "BA"}
    whose = ["A" if place in {each.place for each in found.a.rounds} else "B" for place in range(24)]
    assert ["".join(whose[pair : pair + 2]) for pair in range(0, 24, 2)] == turns
    assert device.most_open == 2
    assert device.open_now == 0
    again = profile_device(FakeDevice(), [subject, other], Plan(runs=12, seed=1))
    assert again.comparison is not None
    assert again.comparison.order == found.comparison.order


def test_a_slower_artifact_is_called_slower_and_by_how_much(subject: Subject, other: Subject) -> None:
    stream = np.random.default_rng(0)

    def times(folder: Path, _round: int, runs: int) -> list[int]:
        base = 12 if folder == other.artifact.folder else 10
        return [int(base * MS * np.exp(stream.normal(0, 0.01))) for _ in range(runs)]

    found = profile_device(FakeDevice(times=times), [subject, other], Plan(), bound=1.1)
    assert found.comparison is not None
    assert found.comparison.result == "slower"
    assert found.comparison.ratio == pytest.approx(1.2, abs=0.01)
    assert found.comparison.verdict is Verdict.FAIL
    assert found.verdict is Verdict.FAIL


def test_no_difference_is_called_none_and_an_undecided_bound_is_neither(subject: Subject, other: Subject) -> None:
    stream = np.random.default_rng(0)

    def times(_folder: Path, _round: int, runs: int) -> list[int]:
        return [int(10 * MS * np.exp(level + stream.normal(0, 0.01))) for level in [stream.normal(0, 0.1)] * runs]

    found = profile_device(FakeDevice(times=times), [subject, other], Plan(), bound=1.0)
    assert found.comparison is not None
    assert found.comparison.result == "no difference"
    assert "none can be measured here" in found.comparison.sentence
    assert found.verdict is Verdict.INCONCLUSIVE
    asked_more = profile_device(FakeDevice(times=times), [subject, other], Plan(), bound=2.0)
    assert asked_more.verdict is Verdict.PASS


def test_few_rounds_tell_nothing(subject: Subject, other: Subject) -> None:
    found = profile_device(FakeDevice(), [subject, other], Plan(runs=5), bound=1.05)
    assert found.comparison is not None
    assert found.comparison.result == "too few rounds"
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "few_samples" in {finding.kind for finding in found.findings}


def test_a_machine_that_makes_differences_raises_the_floor(subject: Subject) -> None:
    # Each pair's second round is slower than its first, and no slower than the next: that is no noise of coins.
    device = FakeDevice(times=lambda _folder, place, runs: [(10 + (place + 1) // 2) * MS] * runs)
    noise = profile_device(device, [subject], Plan()).noise
    assert noise is not None
    assert noise.interval is not None
    assert noise.interval[0] > 1
    assert noise.floor == noise.ratio > 1.07


def test_a_ratio_within_the_noise_floor_is_no_difference(subject: Subject, other: Subject) -> None:
    # Whole pairs are slow or fast: within a pair B takes 2 % more to the digit, and A's own rounds differ by far more.
    def times(folder: Path, place: int, runs: int) -> list[int]:
        return [int((10 + 5 * (place % 2)) * MS * (1.02 if folder == other.artifact.folder else 1))] * runs

    comparison = profile_device(FakeDevice(times=times), [subject, other], Plan()).comparison
    assert comparison is not None
    assert comparison.interval is not None
    assert comparison.interval[0] > 1
    assert comparison.result == "no difference"
    assert "noise alone gives up to" in comparison.sentence


def test_the_right_output_passes(subject: Subject) -> None:
    output = profile_device(FakeDevice(), [subject], Plan(runs=12)).a.output
    assert output.verdict is Verdict.PASS
    assert output.is_reproduced
    assert output.sqnr_db == float("inf")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda logits: logits * np.linspace(0.9, 1, len(logits), dtype=np.float32), "104 dB is the least"),
        (lambda logits: np.full_like(logits, np.nan), "not finite"),
        (lambda logits: logits[:-1], "another shape"),
    ],
)
def test_a_wrong_output_fails(subject: Subject, change: object, said: str) -> None:
    right = expected(subject.artifact.folder)
    device = FakeDevice(logits=change(right))  # type: ignore[operator]
    found = profile_device(device, [subject], Plan(runs=12))
    assert found.a.output.verdict is Verdict.FAIL
    assert said in found.a.output.sentence
    assert found.verdict is Verdict.FAIL


def test_timed_runs_that_gave_other_logits_fail(subject: Subject) -> None:
    found = profile_device(FakeDevice(sha256="0" * 64), [subject], Plan(runs=12))
    assert found.a.output.verdict is Verdict.FAIL
    assert not found.a.output.is_reproduced
    # With threads of one's own it may be the order of sums: then nothing is known.
    found = profile_device(FakeDevice(sha256="0" * 64), [subject], Plan(runs=12, threads=2))
    assert found.a.output.verdict is Verdict.INCONCLUSIVE
    assert found.verdict is Verdict.PASS


def test_without_a_reference_the_figures_stand_and_it_is_said(subject: Subject) -> None:
    without = Subject(subject.artifact, subject.clip, None, "The reference is missing.")
    found = profile_device(FakeDevice(), [without], Plan(runs=12))
    assert found.a.output.sentence == "Whether the output is right wasn't checked: The reference is missing."
    assert found.verdict is Verdict.PASS


def test_an_emulated_device_is_never_timed(subject: Subject) -> None:
    device = FakeDevice(name="arm64:cortex-a76", kind="emulated")
    with pytest.raises(UsageError, match="emulated") as caught:
        profile_device(device, [subject], Plan())
    assert "check(ARTIFACT, device=arm64:cortex-a76)" in caught.value.hint
    assert device.rounds == 0
    assert device.most_open == 0


def test_a_device_that_times_fewer_runs_than_asked_is_not_believed(subject: Subject) -> None:
    device = FakeDevice(times=lambda _folder, _round, runs: [10 * MS] * (runs - 1))
    with pytest.raises(DeviceError, match="timed 9 runs"):
        profile_device(device, [subject], Plan())
    assert device.open_now == 0, "it is tidied up"


def test_operators_are_timed_apart_and_joined_with_the_manifest(subject: Subject) -> None:
    times = (
        OperatorTime(index=0, name="fully connected", module="stage0", duration_ns=600),
        OperatorTime(index=1, name="fully connected", module="stage0", duration_ns=200),
        OperatorTime(index=2, name="slow", module="stage1.block0", duration_ns=100),
        OperatorTime(index=3, name="copy", duration_ns=100),
    )
    device = FakeDevice(operators=times)
    found = profile_device(device, [subject], Plan(runs=12, operators=True))
    assert [asked.operators for asked in device.asked] == [False] * 12 + [True], "in runs apart"
    rows = [(row.name, row.module, row.delegated, row.count, row.share) for row in found.a.operators]
    # What `slow` is, only the manifest tells; what isn't delegated comes first.
    assert rows == [
        ("slow", "stage1.block0", False, 1, 0.1),
        ("fully connected", "stage0", True, 2, 0.8),
        ("copy", "", None, 1, 0.1),
    ]
    assert found.a.undelegated == ("1 slow in stage1.block0",)


def _warming(steady_at: int) -> FakeDevice:
    """A device whose runs become slower for so many of its first seconds, to half as slow again."""
    device = FakeDevice()

    def times(_folder: Path, _round: int, runs: int) -> list[int]:
        clock, found = device.clock_ns, []
        for _ in range(runs):
            found.append(int(100 * MS * (1 + 0.5 * min(1.0, clock / 1e9 / steady_at))))
            clock += found[-1]
        return found

    device.times = times
    return device


def test_a_device_that_throttles_is_found_to_and_where_it_settles(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = _warming(steady_at=60)
    monkeypatch.setattr("dvfl_mobile.profiling.session.time.monotonic", lambda: device.clock_ns / 1e9)
    found = profile_device(device, [subject], Plan(sustained_s=300.0))
    curve = found.sustained
    assert curve is not None
    assert curve.steady_ns == pytest.approx(150 * MS, rel=0.01)
    assert curve.steady_from_s is not None
    assert 45 <= curve.steady_from_s <= 70
    assert curve.slowdown == pytest.approx(1.5, abs=0.05)
    assert curve.busy > 0.95
    assert "throttling" in {finding.kind for finding in found.findings}
    assert sum(each.duration_ns[-1] > 0 for each in found.a.rounds) == len(found.a.rounds) >= 10
    assert elapsed_s(found.a.rounds)[-1] == pytest.approx(300, abs=3)
    assert found.noise is None, "rounds of a device that warms are no A/A"


def test_a_device_that_never_settles_is_said_not_to(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    device = _warming(steady_at=1000)
    monkeypatch.setattr("dvfl_mobile.profiling.session.time.monotonic", lambda: device.clock_ns / 1e9)
    curve = profile_device(device, [subject], Plan(sustained_s=300.0)).sustained
    assert curve is not None
    assert curve.steady_ns is None
    assert curve.slowdown > 1.1


def test_a_sustained_run_has_no_rival(subject: Subject, other: Subject) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        profile_device(FakeDevice(), [subject, other], Plan(sustained_s=60.0))


def test_rounds_without_a_common_clock_are_laid_end_to_end(subject: Subject) -> None:
    rounds = profile_device(FakeDevice(), [subject], Plan(runs=24)).a.rounds
    reset = [each.model_copy(update={"started_ns": rounds[0].started_ns}) for each in rounds]
    elapsed = elapsed_s(reset)
    assert np.all(np.diff(elapsed) > 0)
    assert elapsed[-1] == pytest.approx(23 * 0.01, rel=0.01)


def _fleet(devices: list[FakeDevice], subject: Subject, plan: Plan | None = None) -> ProfileReport:
    by_name = {device.name: device for device in devices}
    return profile_fleet(list(by_name), [subject], plan or Plan(runs=12), lambda _: silent, find=by_name.__getitem__)


def test_one_device_that_fails_takes_nothing_from_the_others(subject: Subject) -> None:
    failing = FakeDevice("android:B", fails_at=3, error=DeviceError("android:B is gone.", hint="Plug it in."))
    report = _fleet([FakeDevice("android:A"), failing, FakeDevice("ios:C")], subject)
    assert [profile.device.device for profile in report.devices] == ["android:A", "ios:C"]
    assert [(each.device, each.problem, each.hint) for each in report.failures] == [
        ("android:B", "android:B is gone.", "Plug it in.")
    ]
    assert report.exit_code == 6
    assert failing.open_now == 0


def test_one_device_by_two_names_is_profiled_once(subject: Subject) -> None:
    by_mdns, by_address = FakeDevice("android:A", known_as="1"), FakeDevice("android:192.0.2.7:5", known_as="1")
    report = _fleet([by_mdns, FakeDevice("android:B"), by_address], subject)
    assert [profile.device.device for profile in report.devices] == ["android:A", "android:B"]
    assert not by_address.asked
    assert report.failures == ()
    assert len(_fleet([by_mdns, by_address], subject).devices) == 1


def test_a_fault_of_ours_on_one_device_is_called_that(subject: Subject) -> None:
    broken = FakeDevice("android:B", times=lambda *_: [1 // 0])
    report = _fleet([FakeDevice("android:A"), broken], subject)
    assert "A fault of ours: ZeroDivisionError" in report.failures[0].problem
    assert report.exit_code == 1
    assert len(report.devices) == 1


def test_a_wrong_output_weighs_more_than_a_failed_device(subject: Subject) -> None:
    wrong = FakeDevice("android:A", logits=expected(subject.artifact.folder) * 2)
    failing = FakeDevice("android:B", fails_at=0, error=DeviceError("It is gone."))
    assert _fleet([wrong, failing], subject).exit_code == 5


def test_a_device_that_failed_weighs_more_than_one_that_runs_no_such_artifact(subject: Subject) -> None:
    unable = FakeDevice("ios:A", fails_at=0, error=InconclusiveError("Nothing there runs it."))
    assert _fleet([FakeDevice("android:B"), unable], subject).exit_code == 7
    failing = FakeDevice("android:C", fails_at=0, error=DeviceError("It is gone."))
    assert _fleet([unable, failing], subject).exit_code == 6


def test_a_single_devices_failure_is_raised(subject: Subject) -> None:
    failing = FakeDevice(fails_at=0, error=DeviceError("It is gone."))
    with pytest.raises(DeviceError, match="It is gone"):
        _fleet([failing], subject)


def test_devices_run_at_once_but_one_machine_only_one_at_a_time(subject: Subject) -> None:
    both = threading.Barrier(2, timeout=20)

    def meet(_folder: Path, place: int, runs: int) -> list[int]:
        if place == 0:
            both.wait()  # a time-out here: they weren't at work together
        return [10 * MS] * runs

    report = _fleet([FakeDevice("android:A", times=meet), FakeDevice("android:B", times=meet)], subject)
    assert len(report.devices) == 2

    busy = threading.Lock()

    def alone(_folder: Path, _round: int, runs: int) -> list[int]:
        assert busy.acquire(blocking=False), "host and host:native are one machine"
        time.sleep(0.01)  # long enough for the other to run into it
        busy.release()
        return [10 * MS] * runs

    report = _fleet([FakeDevice("host", times=alone), FakeDevice("host:native", times=alone)], subject)
    assert [profile.device.device for profile in report.devices] == ["host", "host:native"]


def test_all_are_the_physical_ones_that_are_ready() -> None:
    def found(name: str, status: str = "ready", kind: str = "physical") -> FoundDevice:
        return FoundDevice.model_validate({"device": name, "kind": kind, "model": "", "status": status})

    several = [found("host"), found("android:A", "unauthorized"), found("arm64:max", kind="emulated"), found("ios:B")]
    assert ready_devices(several) == ["host", "ios:B"]
    with pytest.raises(DeviceError, match="No device is ready"):
        ready_devices(several[1:3])


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1h", 3600), ("30", 30), ("1.5m", 90)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "5s", "10 minutes", "-1m", "25h", "nan", "1e3"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no time"):
        seconds_of(text)


def test_cores_are_read() -> None:
    assert cores_of("4,5") == (4, 5)
    assert cores_of(None) == ()
    for text in ("", "a", "1,1", "1,", "-1", "99999"):
        with pytest.raises(UsageError, match="is no list of cores"):
            cores_of(text)


def test_a_version_is_known_by_the_bytes_of_its_file(artifact: Artifact) -> None:
    manifest = artifact.manifest
    assert sha256_of_artifact(manifest) == manifest.files[0].sha256
    twice = manifest.model_copy(update={"files": manifest.files * 2})
    assert sha256_of_artifact(twice) != manifest.files[0].sha256


def test_a_states_reading_is_kept_with_each_round(subject: Subject) -> None:
    states = [DeviceState(load=float(index)) for index in range(13)]
    found = profile_device(FakeDevice(states=states), [subject], Plan(runs=12))
    assert found.before.load == 0
    assert [each.state.load for each in found.a.rounds] == list(range(1, 13))
