"""ProfileReport: the document `profile.json`, with every sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, FiniteFloat, model_validator

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.devices.values import DeviceFacts, DeviceState, OperatorTime
from dvfl_mobile.documents import Decibels, Document, Line, Verdict, worst_of

Interval = tuple[FiniteFloat, FiniteFloat]


class Round(Document):
    """One process: it loaded the artifact, warmed up and ran one clip again and again.

    Attributes:
        place: the round's number in the session, over both artifacts.
        warmup_ns: of runs that don't count; the first is the first inference.
        started_ns: when each run that counts began, by the device's monotonic clock.
        state: of the device, read right after.
    """

    place: int = Field(ge=0)
    load_ns: int = Field(ge=0)
    warmup_ns: tuple[int, ...]
    started_ns: tuple[int, ...]
    duration_ns: tuple[int, ...] = Field(min_length=1)
    peak_memory_bytes: int | None
    threads: int | None
    output_sha256: str
    state: DeviceState


class Summary(Document):
    """Figures of the runs that count; times in nanoseconds.

    Attributes:
        p90_ns, p99_ns: None below 20 and 200 runs.
        variation: the standard deviation of all runs, as a share of their mean.
        median_interval_ns: 95 %, over rounds; None below six.
        load_ns, first_ns: medians over rounds, of loading and of the first inference after it.
        clips_per_s, frames_per_s: at the median.
        real_time_factor: clips analysed in the time that one spans at 30 frames a second, `summary.clip_span_s`.
        peak_memory_bytes: the most of any round.
    """

    runs: int
    rounds: int
    p50_ns: FiniteFloat
    p90_ns: FiniteFloat | None
    p99_ns: FiniteFloat | None
    least_ns: int
    most_ns: int
    mean_ns: FiniteFloat
    deviation_ns: FiniteFloat
    variation: FiniteFloat
    median_interval_ns: Interval | None
    load_ns: FiniteFloat
    first_ns: FiniteFloat | None
    clips_per_s: FiniteFloat
    frames_per_s: FiniteFloat
    real_time_factor: FiniteFloat
    peak_memory_bytes: int | None
    threads: int | None


class OutputCheck(Document):
    """Whether what was timed computed the right thing.

    Attributes:
        sha256: of the logits that the device gave for the clip.
        is_reproduced: whether every timed process ended with those very logits.
        sqnr_db: these logits against the reference form's; None where that couldn't be had, or they aren't finite.
        required_db: what they have to reach.
        sentence: what was found, to be read alone.
    """

    sha256: str
    is_reproduced: bool
    sqnr_db: Decibels | None
    required_db: FiniteFloat
    verdict: Verdict
    sentence: Line


class OperatorRow(Document):
    """What one module's operators of a kind take.

    Attributes:
        module: its path; empty where it isn't known.
        block: the part of the path that names a stage or a block.
        delegated: None where neither the runtime nor the manifest tells.
        share: of the time of all operators, 0 to 1.
    """

    name: Line
    module: Line
    block: Line
    delegated: bool | None
    count: int
    duration_ns: int
    share: FiniteFloat


class Finding(Document):
    """Something about a measurement that its reader must know: what it is, and what shows it."""

    kind: Literal[
        "background",
        "bimodal",
        "browser",
        "bursts",
        "charging",
        "drift",
        "few_samples",
        "frequency",
        "hot",
        "low_battery",
        "low_power",
        "noise",
        "throttling",
        "warm_up",
    ]
    sentence: Line
    evidence: Line


class Window(Document):
    """A stretch of a sustained run: seconds from its beginning, and the median of the runs that began in it."""

    start_s: FiniteFloat
    runs: int
    median_ns: FiniteFloat


class Sustained(Document):
    """Running for a long time without a pause but for loading.

    Attributes:
        asked_s: how long it was to run.
        busy: the share of the time in which a clip was run.
        first_ns: the median of the first window.
        steady_ns, steady_from_s: of the windows from which on nothing changes; None where that was never so.
        slowdown: steady over first; last over first where nothing was steady.
    """

    asked_s: FiniteFloat
    busy: FiniteFloat
    windows: tuple[Window, ...]
    first_ns: FiniteFloat
    steady_ns: FiniteFloat | None
    steady_from_s: FiniteFloat | None
    slowdown: FiniteFloat


class ArtifactProfile(Document):
    """One artifact on one device.

    Attributes:
        sha256: of the artifact; see `subjects.sha256_of_artifact`.
        runner: what the runner knows of itself.
        operators: empty where they weren't asked for, or nothing times them there.
        undelegated: operators that the manifest says fall back, whether they were timed or not.
    """

    artifact: ArtifactFacts
    sha256: str
    size_bytes: int
    runner: dict[str, Line | int | bool | None]
    summary: Summary
    output: OutputCheck
    rounds: tuple[Round, ...]
    operator_times: tuple[OperatorTime, ...] = ()
    operators: tuple[OperatorRow, ...] = ()
    undelegated: tuple[Line, ...] = ()


class Noise(Document):
    """What one artifact's own rounds differ by: an A/A comparison.

    Attributes:
        ratio, interval: of rounds of odd and of even place, in pairs, as if they were two artifacts.
        floor: the ratio that chance alone stays below in 99 of 100 comparisons of so many pairs; above 1. Of the two
            artifacts of a comparison, by the noisier one's own rounds.
        pairs: of a comparison that the floor is for.
    """

    ratio: FiniteFloat
    interval: Interval | None
    floor: FiniteFloat
    pairs: int


class Comparison(Document):
    """B's time over A's, from interleaved pairs of rounds.

    Attributes:
        ratio: above 1: B is slower.
        interval: 95 %; None below six pairs.
        order: which was first in each pair, such as `AB BA AB`.
        result: `no difference` where the interval holds 1 or the ratio lies within the noise floor.
        bound: what the ratio must not exceed, where one was asked for.
        verdict: of the bound; pass where none was asked for.
    """

    ratio: FiniteFloat
    interval: Interval | None
    order: str
    result: Literal["faster", "slower", "no difference", "too few rounds"]
    bound: FiniteFloat | None = None
    verdict: Verdict = Verdict.PASS
    sentence: Line


class DeviceProfile(Document):
    """One session on one device: one artifact, or two in turn.

    Attributes:
        verdict: fail where an output is wrong or a bound surely exceeded; inconclusive where a bound is undecided.
        before: the device's state before anything ran.
        noise: None where there are too few rounds for any, or the run was a sustained one.
    """

    verdict: Verdict
    device: DeviceFacts
    before: DeviceState
    a: ArtifactProfile
    b: ArtifactProfile | None = None
    noise: Noise | None = None
    comparison: Comparison | None = None
    sustained: Sustained | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def artifacts(self) -> tuple[ArtifactProfile, ...]:
        return (self.a,) if self.b is None else (self.a, self.b)

    @model_validator(mode="after")
    def _verdict_follows(self) -> DeviceProfile:
        if self.verdict != verdict_of([each.output for each in self.artifacts], self.comparison):
            raise ValueError(f"the verdict {self.verdict.value} does not follow from the outputs and the comparison")
        return self


def verdict_of(outputs: Sequence[OutputCheck], comparison: Comparison | None) -> Verdict:
    """Fail where an output is wrong or a bound surely exceeded; inconclusive where a bound is undecided."""
    # Without a reference there is nothing to hold an output against: the profile stands, with a sentence.
    wrong = [output.verdict for output in outputs if output.verdict is Verdict.FAIL]
    return worst_of([*wrong, comparison.verdict if comparison else Verdict.PASS])


class Failure(Document):
    """A device that gave no profile: why, what to do, and the exit code that the error has."""

    device: Line
    problem: Line
    hint: Line
    exit_code: int


class Asked(Document):
    """What was asked for, of every device; `clip` is the name of the clip that was run."""

    runs: int
    warmup: int
    threads: int | None
    cores: tuple[int, ...]
    compute_units: str | None
    seed: int
    clip: Line


class ProfileReport(Document):
    """One `profile`: what was asked, and what each device gave.

    Attributes:
        when: UTC, as `2026-11-25T12:34:56Z`.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    when: str
    asked: Asked
    devices: tuple[DeviceProfile, ...]
    failures: tuple[Failure, ...] = ()

    @property
    def exit_code(self) -> int:
        """That of a wrong output or an exceeded bound, else of a device that failed, else of an undecided bound."""
        verdict = worst_of([profile.verdict for profile in self.devices]) if self.devices else Verdict.PASS
        if verdict is Verdict.FAIL:
            return verdict.exit_code
        failed = [failure.exit_code for failure in self.failures]
        return max(failed, key=_gravity) if failed else verdict.exit_code


def _gravity(exit_code: int) -> bool:
    """A device that failed weighs more than one on which nothing runs such an artifact."""
    return exit_code != Verdict.INCONCLUSIVE.exit_code
