"""Check an artifact against the reference form: parity, and the operator at which it differs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import verify
from dvfl_mobile.artifacts.reference import reference_student
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.documents import leave
from dvfl_mobile.errors import InconclusiveError
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.parity.thresholds import Thresholds, thresholds_for
from dvfl_mobile.pipeline.compare import compare, keep, not_compared, reference_logits
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import check_runs_here, open_runner
from dvfl_mobile.runners.opinions import opinions_named
from dvfl_mobile.wording import printable

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
        thresholds: what to reach, in place of what the recipe must.
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
    thresholds = thresholds or thresholds_for(manifest.recipe)
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


def locate(
    artifact: Artifact,
    report: ParityReport,
    clips: Path | None = None,
    reference: Path | None = None,
    most: int = MOST_CLIPS,
    step: Step = silent,
) -> Location:
    """Find the operator at which an artifact first leaves its reference, on the worst clip of a parity report.

    The result is left in the artifact's folder, as `locate.json`.

    Args:
        report: what `check` said of the artifact, with these very clips and this reference.

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

        logits = open_runner(artifact.folder, manifest).run(clip.pixels[None])[0] if report.pooled else None
        location = find(artifact, clip.pixels, clip.name, report.artifact, reference, logits)
    leave(location, artifact.folder / LOCATION_NAME)
    return location
