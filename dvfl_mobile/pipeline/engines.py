"""The engines that one deploy tries its artifacts on: processors, each by its device, and why one is left out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.data.gather import ClipSet
from dvfl_mobile.devices import kinds
from dvfl_mobile.devices.base import Device, find_device
from dvfl_mobile.errors import DeviceError, DvflMobileError, MissingDependencyError
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.parity.thresholds import thresholds_for
from dvfl_mobile.pipeline.compare import compare, keep, not_compared
from dvfl_mobile.pipeline.summary import NotRun
from dvfl_mobile.progress import Step
from dvfl_mobile.runners.values import Logits
from dvfl_mobile.targets import Target, target_named
from dvfl_mobile.wording import either

ALL = "all"
WITHOUT_A_PHONE = (
    "host",
    "arm64:cortex-a53",
    "arm64:cortex-a76",
    "arm64:cortex-a710",
    "arm64:max",
    "gpu",
    "gpu:fp32",
    "htp",
)
"""What `all` means: this machine, and every processor of a phone that one without a phone can ask."""

MOST_CLIPS = 4
"""An emulator takes up to minutes for a clip."""

_OURS = ("host", "htp")
"""Those by which this machine runs whatever is made, with no device being named."""


@dataclass(frozen=True)
class Engines:
    """Where one deploy's artifacts are run.

    Attributes:
        names: of all that were asked for, but for those of `all` that aren't there.
        devices: those beside this machine's own runtimes.
        not_run: those of `all` that aren't there.
        most: clips that each engine is given where it may be an emulator, spread evenly over all.
    """

    names: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    not_run: tuple[NotRun, ...] = ()
    most: int = MOST_CLIPS

    def __bool__(self) -> bool:
        return bool(self.names or self.not_run)

    def idle(self, ran: Collection[str]) -> tuple[NotRun, ...]:
        """Those that nothing was run on, with the reason: they aren't there, or nothing was made for them."""
        made_for = {name: _targets_of(name) for name in self.names if name not in ran}
        return (
            *self.not_run,
            *(
                NotRun(engine=name, why=f"No artifact for {either(targets)} was made." if targets else "Nothing ran.")
                for name, targets in made_for.items()
            ),
        )


HERE = Engines()
"""This machine alone."""


def engines_named(names: Sequence[str], most: int = MOST_CLIPS) -> Engines:
    """The engines of these names, each that of a device, or `all`. This machine needs no naming.

    Of `all`, those that aren't there are left out, with the reason.

    Raises:
        UsageError, DeviceError, MissingDependencyError: there is no such device, or it isn't there.
    """
    found = {name: find_device(name) for name in names if name != ALL}
    not_run = []
    for name in WITHOUT_A_PHONE if ALL in names else ():
        try:
            found[name] = find_device(name)
        except (DeviceError, MissingDependencyError) as error:
            not_run.append(NotRun(engine=name, why=f"{error.problem} {error.hint}"))
    devices = tuple(device for name, device in found.items() if name not in _OURS)
    return Engines(tuple(found), devices, tuple(not_run), most)


def clips_here(engines: Engines, target: Target, clip_set: ClipSet) -> tuple[ClipSet, list[int]]:
    """The clips that this machine runs, and their places among all: few where it is an emulator that does it."""
    return clip_set.spread(engines.most if engines and target.slowness > 1 else len(clip_set.clips))


def run_on(engines: Engines, artifact: Artifact, clip_set: ClipSet, expected: Logits, step: Step) -> list[ParityReport]:
    """A report on the artifact for each engine that runs its target; also left in its folder.

    One that an engine can't run, or not in time, gives an inconclusive report: it takes nothing from the others.

    Args:
        expected: the reference's logits of all clips, `(N,K)`.
    """
    few, places = clip_set.spread(engines.most)
    family = target_named(artifact.manifest.target).family
    return [
        keep(artifact, _report(device, artifact, few, expected[places], step), device.facts.device)
        for device in engines.devices
        if family in (_targets_of(device.facts.device) or (family,))
    ]


def _report(device: Device, artifact: Artifact, clip_set: ClipSet, expected: Logits, step: Step) -> ParityReport:
    manifest = artifact.manifest
    thresholds = thresholds_for(manifest.recipe, device.facts.computes_in, manifest.target)
    try:
        return compare(artifact, clip_set, expected, step, thresholds, device=device)
    except DvflMobileError as error:
        return not_compared(artifact, clip_set, error, thresholds, device.facts.device)


def _targets_of(name: str) -> tuple[str, ...]:
    kind = kinds.kind_of(name)
    return kind.targets if kind is not None else ()
