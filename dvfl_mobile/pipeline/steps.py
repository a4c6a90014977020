"""The life of a model: load, lower to each target, hold each artifact against PyTorch, sum up."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvfl_mobile import documents as jsondoc
from dvfl_mobile.artifacts import make as artifacts
from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import ArtifactFacts, verify
from dvfl_mobile.data.gather import ClipSet, gather_clips
from dvfl_mobile.devices.base import Device, find_device
from dvfl_mobile.errors import CheckFailedError, InconclusiveError, UsageError
from dvfl_mobile.model.card import card_of
from dvfl_mobile.parity import report as parity
from dvfl_mobile.parity import second_opinion as opinions
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import ParityReport, SecondOpinion
from dvfl_mobile.parity.thresholds import Thresholds, thresholds_for
from dvfl_mobile.pipeline.load import check_scales, load_model
from dvfl_mobile.pipeline.plan import Plan
from dvfl_mobile.pipeline.prediction import Prediction, make_prediction
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary, summarize
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.runners.base import Runner, check_runs_here, open_runner
from dvfl_mobile.runners.opinions import Opinion, opinions_named
from dvfl_mobile.runners.values import Logits
from dvfl_mobile.targets import Target
from dvfl_mobile.wording import printable

if TYPE_CHECKING:
    from dvfl_mobile.locating.document import Location
    from dvfl_mobile.model.student import Student
    from dvfl_mobile.quantization.graph.forms import QuantizedForm


PARITY_NAME = "parity.json"
LOCATION_NAME = "locate.json"
MOST_CLIPS = 32
_AT_ONCE = 8
"""Clips that a device is given at once: each start of the program there loads the model anew."""


def convert(model: Student | QuantizedForm, plan: Plan, step: Step = silent, *, reuse: bool = False) -> list[Artifact]:
    """Make each artifact of the plan.

    Args:
        reuse: leave one alone that stands already, whole, and made of the same by the same tools.

    Raises:
        UsageError: the recipe needs scales, and the model has none.
    """
    check_scales(model, plan.recipe)
    reference = artifacts.save_reference(artifacts.student_of(model), plan.out)
    return [_convert_one(model, target, plan, reference, step, reuse=reuse) for target in plan.targets]


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
        student = artifacts.student_of(load_model(reference)) if reference else artifacts.reference_of(artifact)
        _check_fits(student, artifact)
        expected = _reference_logits(student, clip_set, step)
        report = _compare(artifact, clip_set, expected, step, thresholds, others, place)
    except InconclusiveError as error:
        verify(manifest, artifact.folder)
        report = _undecided(artifact, clip_set, error, thresholds)
    return _store(artifact, report, device)


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
    jsondoc.leave(location, artifact.folder / LOCATION_NAME)
    return location


def deploy(
    model: Student | QuantizedForm,
    plan: Plan,
    clips: Path | None = None,
    most: int = MOST_CLIPS,
    step: Step = silent,
) -> DeploySummary:
    """All of it: lower the model to each target, check each artifact against the float student, sum up.

    Raises:
        UsageError: the recipe needs scales, and the model has none.
    """
    check_scales(model, plan.recipe)
    student = artifacts.student_of(model)
    clip_set = gather_clips(clips, student.clip, student.classes, step, most)
    reference = artifacts.save_reference(student, plan.out)
    expected = _reference_logits(student, clip_set, step)
    rows = []
    for target in plan.targets:
        start = time.monotonic()
        artifact = _convert_one(model, target, plan, reference, step)
        try:
            check_runs_here(artifact.manifest)
            report = _compare(artifact, clip_set, expected, step)
        except InconclusiveError as error:
            report = _undecided(artifact, clip_set, error)
        _store(artifact, report)
        rows.append(
            DeployRow.of(
                report,
                size_bytes=artifact.manifest.size_bytes,
                delegated_share=artifact.manifest.delegation.share,
                seconds=time.monotonic() - start,
            )
        )
    return summarize(
        model=student.architecture.name,
        checkpoint=student.source.name,
        weights=student.source.kind,
        clips=clip_set.facts,
        rows=rows,
        card=card_of(student.source.sha256),
        notes=(*student.notes, *plan.notes, *artifacts.warnings_of(model)),
    )


def check_delegated(made: Sequence[Artifact], least: float | None) -> None:
    """Check what share of each artifact's multiply-adds is delegated.

    Args:
        least: the smallest share that will do, 0 to 1; None: don't ask.

    Raises:
        CheckFailedError: less of one is delegated.
        InconclusiveError: none is known to fail, and of one only the device knows.
    """
    if least is None:
        return
    for artifact in sorted(made, key=lambda artifact: artifact.manifest.delegation.share is None):
        _check_delegated(artifact, least)


def predict(artifact: Artifact, video: Path) -> Prediction:
    """Classify one video, drawn as a single view.

    Raises:
        VideoError: the video can't be read, or is a folder or a list of them.
        InconclusiveError: nothing on this machine runs the artifact.
    """
    from dvfl_mobile.data.video import read_clip

    manifest = artifact.manifest
    clip = read_clip(video, manifest.clip)
    logits = open_runner(artifact.folder, manifest).run(clip.pixels[None])[0]
    return make_prediction(str(video), manifest, logits, [clip.damage] if clip.damage else ())


def _convert_one(
    model: Student | QuantizedForm, target: Target, plan: Plan, reference: Path, step: Step, *, reuse: bool = False
) -> Artifact:
    minimum_os = f"iOS {plan.minimum_ios}" if target.ios else target.minimum_os
    if reuse:
        with step(f"look for {target.name} {plan.recipe.name}"):
            found = artifacts.standing(model, target, plan.recipe, plan.out, reference, minimum_os)
        if found is not None:
            return found
    with step(f"convert to {target.name} {plan.recipe.name}"):
        return artifacts.convert(model, target, plan.recipe, plan.out, reference, minimum_os)


def _check_delegated(artifact: Artifact, least: float) -> None:
    delegation = artifact.manifest.delegation
    if delegation.share is None:
        raise InconclusiveError(
            f"What share of {artifact.folder} is delegated is unknown here: {delegation.undecided}",
            hint="Leave --min-delegated out for this target, or profile it on a device.",
        )
    if delegation.share < least:
        worst = ", ".join(f"{row.operator} in {row.module or 'the graph'}" for row in delegation.fallbacks[:3])
        raise CheckFailedError(
            f"{artifact.folder} has {delegation.share:.1%} of its multiply-adds delegated, below {least:.1%}: {worst}.",
            hint=f"See all that fell back with: dvfl-mobile inspect {artifact.folder}",
        )


def _check_fits(student: Student, artifact: Artifact) -> None:
    manifest = artifact.manifest
    if (student.architecture.num_classes, student.clip.shape) != (len(manifest.classes), manifest.clip.shape):
        raise UsageError(
            f"{student.source.name} has {student.architecture.num_classes} classes for clips of {student.clip.shape}; "
            f"{artifact.folder} has {len(manifest.classes)} for {manifest.clip.shape}.",
            hint="Name the checkpoint that the artifact was converted from.",
        )


def _reference_logits(student: Student, clip_set: ClipSet, step: Step) -> Logits:
    from dvfl_mobile.runners.pytorch import TorchRunner

    with step("reference logits (PyTorch)", len(clip_set.clips)) as advance:
        return _run(TorchRunner(student), clip_set, advance)


def _compare(
    artifact: Artifact,
    clip_set: ClipSet,
    expected: Logits,
    step: Step,
    thresholds: Thresholds | None = None,
    others: Sequence[Opinion] = (),
    device: Device | None = None,
) -> ParityReport:
    manifest = artifact.manifest
    where = device.facts.device if device else manifest.target
    with step(f"run on {where}", len(clip_set.clips)) as advance, _opened(artifact, device) as runner:
        found, facts = _run(runner, clip_set, advance, _AT_ONCE if device else 1), runner.facts
    if device is not None:
        facts = {**facts, "kind": device.facts.kind, "model": device.facts.model}
    names = [clip.name for clip in clip_set.clips]
    labels = [clip.label for clip in clip_set.clips]
    measurement = measure(expected, found, names, labels)
    second = [_second_opinion(opinion, artifact, clip_set, expected, found, step) for opinion in others]
    kind = manifest.weights.kind
    return parity.decided(
        ArtifactFacts.of(artifact.manifest, artifact.folder),
        facts,
        clip_set.facts,
        kind,
        measurement,
        thresholds,
        second,
    )


def _second_opinion(
    opinion: Opinion, artifact: Artifact, clip_set: ClipSet, expected: Logits, first: Logits, step: Step
) -> SecondOpinion:
    with step(f"run by {opinion.title}", len(clip_set.clips)) as advance:
        runner = open_runner(artifact.folder, artifact.manifest, opinion)
        other = _run(runner, clip_set, advance)
    names = [clip.name for clip in clip_set.clips]
    return opinions.compared(opinion, runner.facts, artifact.manifest.recipe, expected, first, other, names)


def _undecided(
    artifact: Artifact, clip_set: ClipSet, error: InconclusiveError, thresholds: Thresholds | None = None
) -> ParityReport:
    why = f"{error.problem} {error.hint}"
    kind = artifact.manifest.weights.kind
    return parity.undecided(
        ArtifactFacts.of(artifact.manifest, artifact.folder), {}, clip_set.facts, kind, why, thresholds
    )


def _opened(artifact: Artifact, device: Device | None) -> AbstractContextManager[Runner]:
    if device is None:
        return nullcontext(open_runner(artifact.folder, artifact.manifest))
    return device.open(artifact.folder, artifact.manifest)


def _run(runner: Runner, clip_set: ClipSet, advance: Callable[[], None], at_once: int = 1) -> Logits:
    pixels, logits = clip_set.pixels, []
    for start in range(0, len(pixels), at_once):
        clips = pixels[start : start + at_once]
        logits.append(runner.run(clips))
        for _ in clips:
            advance()
    return np.concatenate(logits)


def _store(artifact: Artifact, report: ParityReport, device: str | None = None) -> ParityReport:
    """Leave the report in the artifact's folder too; that of a device beside that of this machine."""
    name = PARITY_NAME if device is None else f"parity-{re.sub('[^A-Za-z0-9.-]', '_', device)}.json"
    jsondoc.leave(report, artifact.folder / name)
    return report
