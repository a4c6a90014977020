"""Run a Core ML artifact by the harness's app on a phone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.devices.harness.protocol import Asked, Heard, Listener, Mode, OutputEvent, TensorFacts
from dvfl_mobile.devices.ios.about import MOST_BYTES, PlannedOperation, placement, read_about
from dvfl_mobile.devices.ios.app import HarnessApp
from dvfl_mobile.devices.ios.options import (
    COMPUTE_UNITS,
    AppOptions,
    ComputeUnits,
    Package,
    PackagedFile,
    SentFile,
    Work,
    sent,
)
from dvfl_mobile.devices.ios.tools import LateError
from dvfl_mobile.devices.values import DeviceFacts, Measurement, RunOptions
from dvfl_mobile.errors import DeviceError, InconclusiveError, UsageError
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.child.limits import limits_for
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.spelling import option

_MOST_EVENT_BYTES = 256 * 2**20
_MOST_INPUT_BYTES = 256 * 2**20
_AGAIN = "Run it again; if that doesn't help, look at the cable, and at the phone's memory and disk."


class IosRunner:
    """Runs one Core ML package by the app.

    Args:
        app: it stays the caller's, who also has it remove what this puts there.
        device: facts of the phone; its name goes into errors.

    Attributes:
        plan: where Core ML meant to run each operation, once a measurement asked for operators.

    Raises:
        ArtifactError: the artifact's files aren't those of the manifest.
        DeviceError: the phone doesn't take them.
    """

    def __init__(self, app: HarnessApp, folder: Path, manifest: Manifest, device: DeviceFacts) -> None:
        verify(manifest, folder)
        self._app, self._device, self._manifest = app, device, manifest
        self._deadline_s = limits_for(manifest.size_bytes).deadline_s
        taken = manifest.inputs[0]
        self._takes = TensorFacts.model_validate({"shape": taken.shape, "dtype": taken.dtype})
        self._package = self._put_package(folder)
        self._clips: SentFile | None = None
        self.plan: tuple[PlannedOperation, ...] = ()
        self.facts: Facts = {
            "runtime": "Core ML",
            "version": device.system,
            "device": device.device,
            "delegate": "all",
        }

    def run(self, clips: Pixels) -> Logits:
        """Logits, `(N,K)`, of clips `(N,T,3,H,W)` of 0-255 pixels, each clip once."""
        most = max(1, _MOST_INPUT_BYTES // as_input(clips[0], self._manifest).nbytes)
        parts = [clips[start : start + most] for start in range(0, len(clips), most)]
        return np.concatenate([self._answer("run", part, RunOptions(warmup=0, runs=0))[1] for part in parts])

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        """Nanoseconds of each of `runs` runs of one clip, `(T,3,H,W)`, by the phone's own clock."""
        return list(self.measure(clip, RunOptions(warmup=warmup, runs=runs)).duration_ns)

    def measure(self, clip: Pixels, options: RunOptions) -> Measurement:
        """Load the artifact anew and run one clip, `(T,3,H,W)`, again and again, in a process of its own.

        `load_ns` is without compiling the package, which an app that ships with its model has behind it. Core ML times
        no operators: where they are asked for, `plan` tells where it meant to run each.

        Raises:
            DeviceError: the app did not do what it was asked, or did not end in time.
            InconclusiveError: threads or cores are asked for, which Core ML chooses itself.
            UsageError: there are no such compute units.
        """
        if options.threads is not None or options.cores:
            raise InconclusiveError(
                "Core ML chooses its threads and cores itself.",
                hint=f"Leave {option('threads')} and {option('cores')} out.",
            )
        heard, _ = self._answer("time", clip[None], options)
        return heard.measurement()

    def _put_package(self, folder: Path) -> Package:
        name = self._manifest.file
        files = []
        for number, entry in enumerate(self._manifest.files):
            part = f"model.{number}"
            self._app.put(folder / entry.path, part)
            files.append(PackagedFile(path=entry.path.removeprefix(f"{name}/"), file=sent(entry, self._app.name(part))))
        return Package(name=name, files=tuple(files))

    def _put_clips(self, clips: Pixels) -> SentFile:
        data = b"".join(as_input(clip, self._manifest).tobytes() for clip in clips)
        file = SentFile(name=self._app.name("input"), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        # Rounds of one profile run the same clip; that it still is the same, the app sees for itself.
        if file != self._clips:
            self._app.put_bytes(data, "input")
            self._clips = file
        return file

    def _answer(self, mode: Mode, clips: Pixels, options: RunOptions) -> tuple[Heard, Logits]:
        """Have the app run the clips, and believe what it says once its output is found to be what it wrote."""
        classes = len(self._manifest.classes)
        asked = Asked(mode, len(clips), classes, self._takes, options.warmup, options.runs)
        work = Work(
            model=self._package,
            input=self._put_clips(clips),
            shape=self._takes.shape,
            classes=classes,
            clips=len(clips),
            warmup=options.warmup,
            runs=options.runs,
            compute_units=_units(options.compute_units),
            plan=options.operators,
        )
        number = self._app.prepare(AppOptions(mode=mode, work=work))
        heard = self._heard(number, asked)
        logits = self._logits(number, heard.output)
        self._learn(number, heard)
        return heard, logits

    def _heard(self, number: int, asked: Asked) -> Heard:
        problem: DeviceError | None = None
        try:
            self._app.start(number, self._deadline_s * (1 + len(asked.phases)))
        except LateError:
            raise
        except DeviceError as error:
            problem = error
        try:
            data = self._app.get(f"{number}.events", _MOST_EVENT_BYTES)
        except DeviceError as error:
            raise problem or error from error
        listener = Listener(asked, self._device.device)
        for line in data.decode("utf-8", errors="replace").splitlines():
            listener.hear(line)
        try:
            # Whatever devicectl said of its console: the events, with their last line, came as a file, and whole.
            return listener.finish(0)
        except DeviceError as error:
            raise problem or error from error

    def _logits(self, number: int, output: OutputEvent) -> Logits:
        data = self._app.get(f"{number}.output", output.bytes)
        if len(data) != output.bytes or hashlib.sha256(data).hexdigest() != output.sha256:
            raise DeviceError(
                f"The logits that came from {self._device.device} aren't the bytes that its app wrote.", hint=_AGAIN
            )
        return np.frombuffer(data, "<f4").reshape(output.shape).astype(np.float32)

    def _learn(self, number: int, heard: Heard) -> None:
        """Take what the app says of the phone and of Core ML's plan."""
        about = read_about(self._app.get(f"{number}.about", MOST_BYTES), self._device.device)
        self.facts["version"] = about.system
        self.facts["delegate"] = heard.load.delegate
        if about.compile_ns is not None:
            self.facts["compile_ns"] = about.compile_ns
        if about.plan is not None:
            self.plan = about.plan
            self.facts["placement"] = placement(about.plan)


def _units(asked: str | None) -> ComputeUnits:
    for units in COMPUTE_UNITS:
        if units == (asked or "all"):
            return units
    raise UsageError(f"Core ML has no compute units {asked!r}.", hint=f"Choose one of: {', '.join(COMPUTE_UNITS)}.")
