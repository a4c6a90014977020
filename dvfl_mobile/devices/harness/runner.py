"""Run an artifact by the native program, on any machine with a Place."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.devices.harness.operator_modules import Timed, with_modules
from dvfl_mobile.devices.harness.options import (
    INPUT,
    LOG,
    MODEL,
    OPTIONS,
    OUTPUT,
    TRACE,
    ProgramOptions,
    PushedFile,
)
from dvfl_mobile.devices.harness.place import Place
from dvfl_mobile.devices.harness.protocol import Asked, Heard, Listener, Mode, OutputEvent, TensorFacts
from dvfl_mobile.devices.values import GPU_PRECISIONS, DeviceFacts, Measurement, RunOptions
from dvfl_mobile.errors import DeviceError, InconclusiveError
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.child.limits import limits_for
from dvfl_mobile.runners.executorch.etdump import read_operators
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import printable

MOST_LOG_BYTES = 2**20
MOST_TRACE_BYTES = 256 * 2**20
MOST_INPUT_BYTES = 256 * 2**20
_MOST_SHOWN = 600
_AGAIN = "Run it again; if that doesn't help, look at the cable, and at the device's memory and disk."


@dataclass(frozen=True)
class _Answer:
    heard: Heard
    logits: Logits
    trace: bytes | None


class NativeRunner:
    """Runs one artifact by the program of a bundle, in a place that holds nothing else.

    Args:
        place: where; it stays the caller's to close.
        bundle: programs for that machine.
        device: facts of the machine; its name goes into errors.
        slowness: how many times longer than a machine of its own everything may take; an emulator's.
        gpu: the precision that the machine's GPU is to compute in, `fp16` or `fp32`; None: its CPU computes.

    Raises:
        ArtifactError: the artifact's files aren't those of the manifest.
        DeviceError: the place doesn't take them.
        InconclusiveError: the bundle has no program for the target.
    """

    def __init__(
        self,
        place: Place,
        bundle: Bundle,
        folder: Path,
        manifest: Manifest,
        device: DeviceFacts,
        slowness: float = 1.0,
        gpu: str | None = None,
    ) -> None:
        self._place, self._device, self._manifest, self._gpu = place, device, manifest, gpu
        self._program, self._starter = bundle.program(manifest.target), bundle.starter
        verify(manifest, folder)
        self._model = _as_pushed(manifest, MODEL)
        taken = manifest.inputs[0]
        self._takes = TensorFacts.model_validate({"shape": taken.shape, "dtype": taken.dtype})
        self._deadline_s = limits_for(manifest.size_bytes).deadline_s * slowness
        self._files = [file.name for file in bundle.files(manifest.target)]
        if gpu is not None:
            self._files += bundle.accelerators(manifest.target)
        for name in self._files:
            place.put(bundle.folder / name, name, executable=name in (self._program, *self._starter[:1]))
        place.put(folder / manifest.file, MODEL)
        self.facts: Facts = {
            "runtime": NATIVE[manifest.target].runtime,
            "version": bundle.runtimes.get(manifest.target),
            "device": device.device,
            "delegate": manifest.delegation.delegate if gpu is None else "GPU",
            **({} if gpu is None else {"asked_precision": GPU_PRECISIONS[gpu]}),
        }

    def run(self, clips: Pixels) -> Logits:
        """Logits, `(N,K)`, of clips `(N,T,3,H,W)` of 0-255 pixels, each clip once."""
        each_bytes = as_input(clips[0], self._manifest).nbytes
        most = max(1, MOST_INPUT_BYTES // each_bytes)
        parts = [clips[start : start + most] for start in range(0, len(clips), most)]
        return np.concatenate([self._answer("run", part, RunOptions(warmup=0, runs=0)).logits for part in parts])

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        """Nanoseconds of each of `runs` runs of one clip, `(T,3,H,W)`, by the device's own clock."""
        return list(self.measure(clip, RunOptions(warmup=warmup, runs=runs)).duration_ns)

    def measure(self, clip: Pixels, options: RunOptions) -> Measurement:
        """Load the artifact anew and run one clip, `(T,3,H,W)`, again and again, in a process of its own.

        Raises:
            DeviceError: the program did not do what it was asked, or did not end in time.
            InconclusiveError: compute units are asked for, which only Core ML has.
        """
        if options.compute_units is not None:
            raise InconclusiveError(
                f"{self.facts['runtime']} has no compute units to choose from: {options.compute_units!r}.",
                hint=f"Leave {option('compute_units')} out; it goes with Core ML.",
            )
        answer = self._answer("time", clip[None], options)
        return answer.heard.measurement(with_modules(_timed(answer), self._manifest.delegation))

    def close(self) -> None:
        """Remove what was put there."""
        for name in (*self._files, MODEL, INPUT, OUTPUT, OPTIONS, LOG, TRACE):
            with suppress(DeviceError):
                self._place.remove(name)

    def _answer(self, mode: Mode, clips: Pixels, options: RunOptions) -> _Answer:
        """Have the program run the clips, and believe what it says once its output is found to be what it wrote."""
        asked = Asked(mode, len(clips), len(self._manifest.classes), self._takes, options.warmup, options.runs)
        program = ProgramOptions(
            mode=mode,
            model=self._model,
            input=put_bytes(self._place, INPUT, b"".join(as_input(clip, self._manifest).tobytes() for clip in clips)),
            clips=len(clips),
            output=OUTPUT,
            log=LOG,
            warmup=options.warmup,
            runs=options.runs,
            threads=options.threads,
            cores=options.cores,
            trace=TRACE if options.operators else None,
            gpu=self._gpu,
        )
        put_bytes(self._place, OPTIONS, program.text().encode("ascii"))
        # What an earlier start left could be taken for this one's.
        for name in (OUTPUT, LOG, TRACE):
            self._place.remove(name)
        heard = self._heard(asked)
        return _Answer(heard, self._logits(heard.output), self._trace(heard))

    def _heard(self, asked: Asked) -> Heard:
        listener = Listener(asked, self._device.device)
        refused: list[DeviceError] = []

        def on_line(line: str) -> None:
            if refused:
                return
            try:
                listener.hear(line)
            except DeviceError as error:
                refused.append(error)

        seconds = self._deadline_s * (1 + len(asked.phases))
        try:
            status = self._place.run(self._program, (OPTIONS,), seconds, on_line, self._starter)
            if not refused:
                return listener.finish(status)
        except DeviceError as error:
            refused.append(error)
        # The first that went wrong is why the rest did.
        raise self._with_log(refused[0])

    def _logits(self, output: OutputEvent) -> Logits:
        data = self._place.get(OUTPUT, output.bytes)
        self._hold(data, output.bytes, output.sha256, "logits")
        return np.frombuffer(data, "<f4").reshape(output.shape).astype(np.float32)

    def _trace(self, heard: Heard) -> bytes | None:
        if heard.trace is None:
            return None
        if heard.trace.bytes > MOST_TRACE_BYTES:
            raise DeviceError(f"The record of operators on {self._device.device} is larger than any.", hint=_AGAIN)
        data = self._place.get(TRACE, heard.trace.bytes)
        self._hold(data, heard.trace.bytes, heard.trace.sha256, "record of operators")
        return data

    def _hold(self, data: bytes, size_bytes: int, sha256: str, what: str) -> None:
        """Hold what came from the device against what its program says that it wrote."""
        if len(data) != size_bytes or hashlib.sha256(data).hexdigest() != sha256:
            raise DeviceError(
                f"The {what} that came from {self._device.device} aren't the bytes that its program wrote.", hint=_AGAIN
            )

    def _with_log(self, error: DeviceError) -> DeviceError:
        """The error, with the end of what the runtime printed, which often says more."""
        with suppress(DeviceError):
            text = self._place.get(LOG, MOST_LOG_BYTES).decode("utf-8", errors="replace")
            lines = [printable(line) for line in text[-_MOST_SHOWN:].splitlines()]
            if lines:
                error.add_note("The end of what it printed:\n" + "\n".join(lines))
        return error


def _timed(answer: _Answer) -> list[Timed]:
    if answer.trace is not None:
        return [Timed(*operator) for operator in read_operators(answer.trace)]
    return [Timed(each.name, each.delegated, each.duration_ns, each.node) for each in answer.heard.operators]


def put_bytes(place: Place, name: str, data: bytes) -> PushedFile:
    """Put a file into the program's folder."""
    with tempfile.TemporaryDirectory(prefix="dvfl-mobile-") as folder:
        path = Path(folder, name)
        path.write_bytes(data)
        place.put(path, name)
    return PushedFile(name, len(data), hashlib.sha256(data).hexdigest())


def _as_pushed(manifest: Manifest, name: str) -> PushedFile:
    [entry] = manifest.files
    return PushedFile(name, entry.size_bytes, entry.sha256)
