"""This machine as a device: artifacts run by the runtimes' Python packages, each measurement in a new process.

`host:native` is the same machine, with artifacts run by the harness's own programs.
"""

from __future__ import annotations

import hashlib
import importlib
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvfl_mobile.artifacts.manifest import Manifest, verify
from dvfl_mobile.devices.host_state import host_facts, host_state
from dvfl_mobile.devices.values import DeviceFacts, DeviceState, FoundDevice, Measurement, RunOptions
from dvfl_mobile.errors import InconclusiveError, UsageError
from dvfl_mobile.runners.base import check_runs_here, open_runner
from dvfl_mobile.runners.child.isolated import MeasuredRunner
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.spelling import option
from dvfl_mobile.targets import target_named

if TYPE_CHECKING:
    from dvfl_mobile.devices.base import Device


class HostRunner:
    """One artifact on this machine. Close it to end the process that runs it.

    Raises:
        ArtifactError: the artifact's files aren't those of the manifest, or its runtime can't load it.
        MissingDependencyError: the runtime isn't installed.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._folder, self._manifest = folder, manifest
        self._runner = open_runner(folder, manifest)
        self.facts: Facts = self._runner.facts

    def run(self, clips: Pixels) -> Logits:
        return self._runner.run(clips)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        _check_times_mean_something(self._manifest)
        return self._runner.time(clip, warmup, runs)

    def measure(self, clip: Pixels, options: RunOptions) -> Measurement:
        """Load the artifact in a new process and run one clip, `(T,3,H,W)`, again and again.

        The logits are those of one more run, after those that are timed: a runtime's timing loop keeps none. The
        process holds Python and its packages, which are in its peak memory too.

        Raises:
            InconclusiveError: a reference executor runs such artifacts here, whose times say nothing.
            UsageError: the runtime or the system can't do what the options say.
        """
        _check_times_mean_something(self._manifest)
        if options.compute_units is not None:
            raise UsageError(
                f"{option('compute_units')} is for Core ML on an iPhone or iPad.",
                hint=f"Leave it out, or name one with {option('device')}.",
            )
        # As many threads as cores to run on: more would only wait for each other.
        threads = options.threads or len(options.cores) or None
        runner = MeasuredRunner(self._folder, self._manifest, threads, options.cores)
        try:
            timed = runner.timed(clip, options.warmup + options.runs)
            logits = runner.run(clip[None])
        finally:
            runner.close()
        known = runner.facts.get("threads")
        return Measurement(
            load_ns=runner.load_ns,
            warmup_ns=timed.duration_ns[: options.warmup],
            started_ns=timed.started_ns[options.warmup :],
            duration_ns=timed.duration_ns[options.warmup :],
            peak_memory_bytes=timed.peak_memory_bytes,
            threads=known if isinstance(known, int) else threads,
            output_sha256=hashlib.sha256(np.ascontiguousarray(logits, "<f4").tobytes()).hexdigest(),
        )

    def close(self) -> None:
        """End the process that runs the artifact."""
        close = getattr(self._runner, "close", None)
        if close is not None:
            close()


class Host:
    """This machine."""

    # The runtimes' Python packages record no times of operators.
    times_operators = False

    def __init__(self) -> None:
        self.facts: DeviceFacts = host_facts("host")
        self.identity: str = self.facts.device

    def state(self) -> DeviceState:
        return host_state()

    @contextmanager
    def open(self, folder: Path, manifest: Manifest) -> Iterator[HostRunner]:
        """The artifact in `folder`, where it lies; see `HostRunner` for what it raises."""
        check_runs_here(manifest)
        verify(manifest, folder)
        with opened(folder, manifest) as runner:
            yield runner


@contextmanager
def opened(folder: Path, manifest: Manifest) -> Iterator[HostRunner]:
    """A `HostRunner`, which see for what it raises, closed at the end."""
    runner = HostRunner(folder, manifest)
    try:
        yield runner
    finally:
        runner.close()


def find(argument: str) -> Device:
    """`host`, or with `native` the host by the harness's own programs.

    Raises:
        UsageError: there is no other.
    """
    if not argument:
        return Host()
    if argument != "native":
        raise UsageError(f"There is no device 'host:{argument}'.", hint="It is host, or host:native.")
    local = importlib.import_module("dvfl_mobile.devices.host_native")
    native: Device = local.NativeHost()
    return native


def found() -> Sequence[FoundDevice]:
    """This machine; that it can also be had as `host:native` needs no line of its own."""
    return [FoundDevice(device="host", kind="physical", model=host_facts("host").model, status="ready")]


def _check_times_mean_something(manifest: Manifest) -> None:
    target = target_named(manifest.target)
    runs_it = target.run_by.partition(":")[0]
    if target.is_executed_on(platform.system()):
        raise InconclusiveError(
            f"An artifact for {manifest.target} isn't timed on {platform.system()}: {runs_it} runs it here, "
            "made to compute the right numbers and not to be fast.",
            hint=f"Profile one for coreml on an iPhone or iPad, from a Mac, with {option('device', 'ios:UDID')}."
            if "Darwin" in target.own_runtime_on
            else "Time it on a phone with that chip.",
        )
