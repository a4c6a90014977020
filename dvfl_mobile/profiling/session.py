"""A profiling session on one device: rounds of one artifact, of two in turn, or sustained for minutes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from threading import Event

import numpy as np

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.devices.base import Device, DeviceRunner, have_programs
from dvfl_mobile.devices.values import Measurement, OperatorTime, RunOptions
from dvfl_mobile.errors import DeviceError, UsageError
from dvfl_mobile.profiling.comparing import compare, noise_of
from dvfl_mobile.profiling.document import ArtifactProfile, DeviceProfile, OutputCheck, Round, verdict_of
from dvfl_mobile.profiling.findings import Evidence, find
from dvfl_mobile.profiling.operators import operator_rows, undelegated
from dvfl_mobile.profiling.output import check_output
from dvfl_mobile.profiling.plan import Plan
from dvfl_mobile.profiling.subjects import Subject, sha256_of_artifact
from dvfl_mobile.profiling.summary import summarize
from dvfl_mobile.profiling.sustained import sustained_curve
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.spelling import command, option

_CHUNK_S = 30.0
_OPERATOR_RUNS = 5


class StoppedError(Exception):
    """The session was asked to end early, and gives nothing."""


class _Session:
    """Measures subjects on a device, and counts the rounds."""

    def __init__(
        self, device: Device, subjects: Sequence[Subject], runners: Sequence[DeviceRunner], stop: Event
    ) -> None:
        self._device, self._subjects, self._runners, self._stop = device, subjects, runners, stop
        self._rounds: list[list[Round]] = [[] for _ in subjects]
        self._place = 0

    def measure(self, index: int, options: RunOptions) -> Round:
        """One round of a subject, kept with the others."""
        if self._stop.is_set():
            raise StoppedError
        found = self._runners[index].measure(self._subjects[index].clip.pixels, options)
        self._check(found, options)
        made = Round(
            place=self._place,
            state=self._device.state(),
            **found.model_dump(exclude={"operators"}),
        )
        self._place += 1
        self._rounds[index].append(made)
        return made

    def operators(self, index: int, plan: Plan) -> tuple[OperatorTime, ...]:
        """What each operator takes, in a process apart; none where nothing on this device times them."""
        if not plan.operators or self._stop.is_set():
            return ()
        options = plan.options(_OPERATOR_RUNS, operators=True)
        return self._runners[index].measure(self._subjects[index].clip.pixels, options).operators

    def output(self, index: int, plan: Plan) -> OutputCheck:
        subject = self._subjects[index]
        [logits] = self._runners[index].run(subject.clip.pixels[None])
        same = (plan.threads, plan.cores, plan.compute_units) == (None, (), None)
        computes_in = self._device.facts.computes_in
        return check_output(subject, logits, self._rounds[index], same_options=same, computes_in=computes_in)

    def rounds(self, index: int) -> tuple[Round, ...]:
        return tuple(self._rounds[index])

    def _check(self, found: Measurement, options: RunOptions) -> None:
        """Hold a measurement against what was asked for: a figure from fewer runs would go unseen."""
        counts = (len(found.duration_ns), len(found.started_ns), len(found.warmup_ns))
        if counts != (options.runs, options.runs, options.warmup) or min(found.duration_ns, default=0) <= 0:
            raise DeviceError(
                f"{self._device.facts.device} timed {counts[0]} runs and {counts[2]} for warm-up; "
                f"{options.runs} and {options.warmup} were asked for.",
                hint=f"Run it again; if that doesn't help, report it with what {option('debug')} adds.",
            )


def profile_device(
    device: Device,
    subjects: Sequence[Subject],
    plan: Plan,
    step: Step = silent,
    *,
    bound: float | None = None,
    stop: Event | None = None,
) -> DeviceProfile:
    """Profile one artifact, or two against each other, on one device.

    Args:
        subjects: one or two.
        bound: what the second one's time over the first one's must not exceed.
        stop: ends the session after the round that is under way.

    Raises:
        UsageError: the device is emulated, or the plan can't be meant.
        DeviceError: the device, or the program on it, did not do what it was asked.
        InconclusiveError: nothing on this kind of device runs the artifact, or its times say nothing.
        StoppedError: it was stopped.
    """
    check_is_physical(device)
    plan.check_takes(len(subjects))
    before = device.state()
    with ExitStack() as stack:
        for each in subjects:
            have_programs(device, each.artifact.manifest.target, step)
        with step(f"open on {device.facts.device}"):
            opened = [device.open(each.artifact.folder, each.artifact.manifest) for each in subjects]
            runners = [stack.enter_context(each) for each in opened]
        session = _Session(device, subjects, runners, stop or Event())
        name = f"profile on {device.facts.device}"
        if plan.sustained_s is not None:
            with step(name, max(1, round(plan.sustained_s))) as advance:
                _sustain(session, plan, advance)
        else:
            with step(name, plan.rounds * len(subjects)) as advance:
                _take_turns(session, plan, len(subjects), advance)
        with step(f"check outputs on {device.facts.device}"):
            profiles = [_profile(session, index, each, runners[index], plan) for index, each in enumerate(subjects)]
    curve = sustained_curve(session.rounds(0), plan.sustained_s) if plan.sustained_s is not None else None
    rounds = tuple(session.rounds(index) for index in range(len(subjects)))
    noise = noise_of(*rounds) if curve is None else None
    comparison = compare(rounds[0], rounds[1], noise, plan.order(), bound) if len(rounds) > 1 else None
    return DeviceProfile(
        verdict=verdict_of([each.output for each in profiles], comparison),
        device=device.facts,
        before=before,
        a=profiles[0],
        b=profiles[1] if len(profiles) > 1 else None,
        noise=noise,
        comparison=comparison,
        sustained=curve,
        findings=find(Evidence(device.facts, before, rounds, curve)),
    )


def check_is_physical(device: Device) -> None:
    """Refuse to time what has no time.

    Raises:
        UsageError: the device is emulated.
    """
    if device.facts.kind == "emulated":
        raise UsageError(
            f"{device.facts.device} is emulated: how long it takes says nothing of any phone, and isn't shown as "
            "latency.",
            hint=f"What it computes can be checked: {command('parity', 'ARTIFACT', device=device.facts.device)}",
        )


def _take_turns(session: _Session, plan: Plan, subjects: int, advance: Callable[[], None]) -> None:
    for order in plan.order():
        for index in order[:subjects] if subjects > 1 else (0,):
            session.measure(index, plan.options())
            advance()


def _sustain(session: _Session, plan: Plan, advance: Callable[[], None]) -> None:
    """Rounds end to end until the time is over, each of half a minute by the pace of the one before.

    One process for all of it would tell nothing until its end, and lose all if it failed; loading anew takes a second
    or so in each half minute, and how busy the device was is in the result.
    """
    assert plan.sustained_s is not None
    began, shown_s = time.monotonic(), 0
    runs = max(5, plan.warmup)
    while (left := plan.sustained_s - (time.monotonic() - began)) > 0:
        found = session.measure(0, plan.options(runs))
        pace_s = float(np.median(found.duration_ns)) / 1e9
        left = plan.sustained_s - (time.monotonic() - began)
        runs = max(1, round(min(_CHUNK_S, max(left, pace_s)) / pace_s))
        done = min(round(plan.sustained_s), round(time.monotonic() - began))
        for _ in range(done - shown_s):
            advance()
        shown_s = done


def _profile(session: _Session, index: int, subject: Subject, runner: DeviceRunner, plan: Plan) -> ArtifactProfile:
    manifest, folder = subject.artifact.manifest, subject.artifact.folder
    output = session.output(index, plan)
    times = session.operators(index, plan)
    rounds = session.rounds(index)
    return ArtifactProfile(
        artifact=ArtifactFacts.of(manifest, folder),
        sha256=sha256_of_artifact(manifest),
        size_bytes=manifest.size_bytes,
        runner=runner.facts,
        summary=summarize(rounds, manifest.clip),
        output=output,
        rounds=rounds,
        operator_times=times,
        operators=operator_rows(times, manifest.delegation),
        undelegated=undelegated(manifest.delegation),
    )
