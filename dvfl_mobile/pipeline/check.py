"""Check an artifact against the reference form: parity, and the operator at which it differs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import verify
from dvfl_mobile.artifacts.reference import reference_student
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.gpu import Gpu
from dvfl_mobile.documents import leave
from dvfl_mobile.errors import CheckFailedError, InconclusiveError, UsageError
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.parity.thresholds import Thresholds, thresholds_for
from dvfl_mobile.pipeline.compare import compare, keep, not_compared, reference_logits
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import check_runs_here, open_runner
from dvfl_mobile.runners.opinions import opinions_named
from dvfl_mobile.spelling import command, option
from dvfl_mobile.wording import plural, printable

if TYPE_CHECKING:
    from dvfl_mobile.locating.document import Location

LOCATION_NAME = "locate.json"
MOST_CLIPS = 32


def check(
    artifact: Artifact,
    clips: Path | None = None,
    reference: Path | None = None,
    most: int = MOST_CLIPS,
    step: Step = silent,
    thresholds: Thresholds | None = None,
    second_opinions: Sequence[str] = (),
    device: str | None = None,
) -> ParityReport:
    """Hold an artifact against the reference form, on the same clips; the report also goes into its folder.

    Args:
        clips: videos in any of the known layouts; None: drawn moving shapes.
        reference: the checkpoint to compare with, in place of the one stored with the artifact.
        most: take no more clips than this.
        thresholds: what to reach, in place of what the recipe must on that device.
        second_opinions: names of other runtimes to run the same file by, and to hold against the first.
        device: where to run it, such as `android:SERIAL`; None: this machine.

    Raises:
        UsageError: there is no such second opinion on artifacts of this target, or no such device.
        DeviceError: the device isn't there, or did not do what it was asked.
        MissingDependencyError: the artifact's runtime, or that of a second opinion, isn't installed.
    """
    manifest = artifact.manifest
    place = find_device(device) if device is not None else None
    others = opinions_named(second_opinions, manifest.target)
    computes_in = place.facts.computes_in if place else None
    thresholds = thresholds or thresholds_for(manifest.recipe, computes_in, manifest.target)
    clip_set = gather_clips(clips, manifest.clip, manifest.classes, step, most)
    try:
        if place is None:
            check_runs_here(manifest)
        expected = reference_logits(reference_student(artifact, reference), clip_set, step)
        report = compare(artifact, clip_set, expected, step, thresholds, others, place)
    except InconclusiveError as error:
        verify(manifest, artifact.folder)
        report = not_compared(artifact, clip_set, error, thresholds)
    return keep(artifact, report, device)


def check_taken(report: ParityReport, least: float | None, max_calls: int | None) -> None:
    """Check what share of an artifact's multiply-adds a device took in the run that a report is of, and in how many
    pieces.

    Args:
        least: the smallest share that will do, 0 to 1; None: don't ask.
        max_calls: the most pieces that the graph may fall into; None: don't ask.

    Raises:
        CheckFailedError: it falls into more pieces.
        InconclusiveError: the device doesn't tell.
    """
    name, device = report.artifact.path, report.runner.get("device")
    pieces = report.runner.get("pieces")
    if least and not report.runner.get("whole"):
        raise InconclusiveError(
            f"Not all of {name} was taken by {device}, and it doesn't tell which share of the multiply-adds was.",
            hint=f"What the delegate's published rules refuse: {command('inspect', name)}",
        )
    if max_calls is None:
        return
    if not isinstance(pieces, int):
        raise InconclusiveError(
            f"In how many pieces {name} was taken by {device} is unknown.", hint=f"Leave {option('max_calls')} out."
        )
    if pieces > max_calls:
        raise CheckFailedError(
            f"{name} falls into {plural(pieces, 'piece')} on {device}, above {max_calls}.",
            hint=f"What the delegate's published rules refuse: {command('inspect', name)}",
        )


def locate(
    artifact: Artifact,
    report: ParityReport,
    clips: Path | None = None,
    reference: Path | None = None,
    most: int = MOST_CLIPS,
    step: Step = silent,
    device: str | None = None,
) -> Location:
    """Find the operator at which an artifact first leaves its reference, on the worst clip of a parity report.

    The result is left in the artifact's folder, as `locate.json`.

    Args:
        report: what `check` said of the artifact, with these very clips and this reference.
        device: where it ran, `gpu` or `gpu:fp32`; None: this machine.

    Raises:
        ArtifactError: there is no stored reference, or the artifact can't be traced.
        UsageError: this target's operators can't be watched.
    """
    manifest = artifact.manifest
    chosen = gather_clips(clips, manifest.clip, manifest.classes, silent, most).clips
    worst = report.pooled.worst_clip if report.pooled else None
    clip = next((clip for clip in chosen if printable(clip.name) == worst), chosen[0])
    with step("hold each operator against the reference"):
        from dvfl_mobile.locating.locate import locate as find

        gpu = _gpu_named(device)
        folder = artifact.folder
        with nullcontext(open_runner(folder, manifest)) if gpu is None else gpu.open(folder, manifest) as runner:
            logits = runner.run(clip.pixels[None])[0] if report.pooled else None
        location = find(artifact, clip.pixels, clip.name, report.artifact, reference, logits, gpu)
    leave(location, artifact.folder / LOCATION_NAME)
    return location


def _gpu_named(device: str | None) -> Gpu | None:
    """The GPU of a device's name, of all devices the one on which values inside of an artifact can be had."""
    if device is None:
        return None
    place = find_device(device)
    if not isinstance(place, Gpu):
        raise UsageError(
            f"Operators of an artifact can't be watched on {device}.",
            hint=f"Leave {option('device')} out, or name gpu.",
        )
    return place
