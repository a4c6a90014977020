"""A device with a clock of its own, for tests of what is concluded from times; nothing of it is this machine's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unittest import mock

import numpy as np

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.data.clips import Clip
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.devices.values import Core, DeviceFacts, DeviceKind, DeviceState, Measurement, OperatorTime, RunOptions
from dvfl_mobile.errors import DvflMobileError
from dvfl_mobile.profiling.subjects import Subject, subject_of
from dvfl_mobile.runners.values import Facts
from tests.checkpoints import TINY

MS = 1_000_000
PAUSE_NS = 500 * MS

Times = Callable[[Path, int, int], Sequence[int]]
"""Gives the nanoseconds of each run of a round: for the artifact's folder, the round's number and how many runs."""


def steady(_folder: Path, _round: int, runs: int) -> list[int]:
    """Ten milliseconds, and a little that differs from run to run."""
    return [10 * MS + 1000 * (run % 7) for run in range(runs)]


@dataclass
class FakeDevice:
    """A device that takes given times.

    Attributes:
        times: of runs.
        states: what `state` gives, one after the other; the last for ever.
        operators: what a round with operators gives.
        logits: what it computes; None: what the reference form does.
        fails_at: the round, over all artifacts, that raises `error`.
        times_operators: whether it says that it times them.
        known_as: what is the same of all its names; empty: its only name.
        open_now, most_open: artifacts that are there, now and at most.
    """

    name: str = "android:FAKE"
    kind: DeviceKind = "physical"
    times: Times = steady
    states: Sequence[DeviceState] = (DeviceState(),)
    operators: tuple[OperatorTime, ...] = ()
    times_operators: bool = True
    logits: np.ndarray | None = None
    sha256: str | None = None
    fails_at: int | None = None
    error: DvflMobileError | None = None
    cores: int = 8
    asked: list[RunOptions] = field(default_factory=list)
    known_as: str = ""
    open_now: int = 0
    most_open: int = 0
    clock_ns: int = 0
    rounds: int = 0
    _states: int = 0

    @property
    def facts(self) -> DeviceFacts:
        cores = tuple(Core(number=number) for number in range(self.cores))
        return DeviceFacts(
            device=self.name, kind=self.kind, model="Fake 1", system="Android 99", abi="arm64-v8a", cores=cores
        )

    @property
    def identity(self) -> str:
        return self.known_as or self.name

    def state(self) -> DeviceState:
        state = self.states[min(self._states, len(self.states) - 1)]
        self._states += 1
        return state

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[FakeRunner]:
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            yield FakeRunner(self, folder, manifest)
        finally:
            self.open_now -= 1


class FakeRunner:
    """One artifact on a fake device."""

    def __init__(self, device: FakeDevice, folder: Path, manifest: Manifest) -> None:
        self._device, self._folder, self._manifest = device, folder, manifest
        self._rounds = 0
        self.facts: Facts = {"runtime": "Fake", "version": "1", "device": device.name, "delegate": "XNNPACK"}

    def run(self, clips: np.ndarray) -> np.ndarray:
        if self._device.logits is not None:
            return np.stack([self._device.logits for _ in clips])
        return expected(self._folder)[None]

    def time(self, clip: np.ndarray, warmup: int, runs: int) -> list[int]:
        return list(self.measure(clip, RunOptions(warmup=warmup, runs=runs)).duration_ns)

    def measure(self, clip: np.ndarray, options: RunOptions) -> Measurement:
        device = self._device
        device.asked.append(options)
        if device.fails_at == device.rounds and device.error is not None:
            raise device.error
        device.rounds += 1
        durations = [int(each) for each in device.times(self._folder, self._rounds, options.runs)]
        self._rounds += 1
        device.clock_ns += PAUSE_NS
        started = []
        for duration in durations:
            started.append(device.clock_ns)
            device.clock_ns += duration
        return Measurement(
            load_ns=40 * MS,
            warmup_ns=(20 * MS,) * options.warmup,
            started_ns=tuple(started),
            duration_ns=tuple(durations),
            peak_memory_bytes=50_000_000,
            threads=options.threads or 4,
            output_sha256=device.sha256 or hashlib.sha256(self.run(clip[None])[0].tobytes()).hexdigest(),
            operators=device.operators if options.operators else (),
        )


def make_artifact(out: Path, target: str = "tflite", recipe: str = "fp32") -> Artifact:
    """An artifact of a student of one block whose file holds no model: for devices that don't look at it."""
    from dvfl_mobile.model.default import seeded_student
    from dvfl_mobile.pipeline.convert import convert
    from dvfl_mobile.pipeline.plan import make_plan
    from tests.conversions import skip_without
    from tests.faults import quick

    skip_without(target)
    with mock.patch("dvfl_mobile.artifacts.make.lower", quick.lower):
        [made] = convert(seeded_student(TINY), make_plan([target], recipe, out))
    return made


def make_subject(artifact: Artifact) -> Subject:
    """The artifact with a drawn clip."""
    [drawn] = moving_shapes(artifact.manifest.clip, 1)
    return subject_of(artifact, Clip(drawn.pixels, drawn.name))


@cache
def expected(folder: Path) -> np.ndarray:
    """The reference form's logits of the drawn clip, `(K,)`."""
    from dvfl_mobile.artifacts.make import open_artifact

    found = make_subject(open_artifact(folder)).expected
    assert found is not None
    return found
