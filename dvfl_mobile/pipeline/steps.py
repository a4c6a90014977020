"""The life of a model: load, lower to each target, hold each artifact against PyTorch, sum up."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dvfl_mobile import documents as jsondoc
from dvfl_mobile.artifacts import make as artifacts
from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import verify
from dvfl_mobile.converters.base import TARGETS, Target, target_named, versions
from dvfl_mobile.data.gather import ClipSet, gather_clips
from dvfl_mobile.devices.base import Device, find_device
from dvfl_mobile.errors import (
    CheckFailedError,
    DvflMobileError,
    InconclusiveError,
    MissingDependencyError,
    UsageError,
)
from dvfl_mobile.model.card import card_of
from dvfl_mobile.parity import report as parity
from dvfl_mobile.parity import second_opinion as opinions
from dvfl_mobile.parity.report import ArtifactFacts, ParityReport, SecondOpinion, Thresholds
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary, summarize
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.recipes import Recipe, check_carried, recipe_named
from dvfl_mobile.report.prediction import Prediction, make_prediction
from dvfl_mobile.runners.base import Runner, check_runs_here, open_runner
from dvfl_mobile.runners.opinions import Opinion, opinions_named
from dvfl_mobile.runners.values import Logits
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
_DEFAULT_RECIPE, _CALIBRATED_RECIPE = "fp32", "static_wi8_ai8"
_IOS, _USUAL_IOS = (16, 17, 18), 17


@dataclass(frozen=True)
class Plan:
    """What to make of a student.

    Attributes:
        targets: in the order in which they are made.
        recipe: for all of them.
        out: results go to `out/<model>/<target>/<recipe>/`.
        minimum_ios: 16, 17 or 18: the oldest iOS that a Core ML package is to run on.
        notes: what was left out of the plan, and why.
    """

    targets: tuple[Target, ...]
    recipe: Recipe
    out: Path
    minimum_ios: int = 17
    notes: tuple[str, ...] = ()


def make_plan(targets: Sequence[str], recipe: str, out: Path, minimum_ios: int | None = None) -> Plan:
    """Resolve names, before any work.

    With no target named, every target is taken that carries the recipe and whose packages are installed, but for
    those that are only made by name; the others go into the notes.

    Args:
        minimum_ios: None: 17, or the oldest that has what the recipe needs.

    Raises:
        UsageError: there is no such target or recipe, or a named target can't carry the recipe.
        MissingDependencyError: a named target's packages aren't installed, or those of all targets.
    """
    kind = recipe_named(recipe)
    chosen, notes = [target_named(name) for name in dict.fromkeys(targets)], []
    check_carried(kind, [target.name for target in chosen])
    oldest = _minimum_ios(kind, minimum_ios)
    if chosen:
        for target in chosen:
            versions(target)
    else:
        left_out: dict[str, DvflMobileError] = {}
        for target in (target for target in TARGETS.values() if not target.only_by_name):
            try:
                check_carried(kind, [target.name])
                versions(target)
                chosen.append(target)
            except (MissingDependencyError, UsageError) as error:
                left_out[target.name] = error
        if not chosen:
            raise next(error for error in left_out.values() if isinstance(error, MissingDependencyError))
        notes = [f"{name} was left out: {error.problem} {error.hint}" for name, error in left_out.items()]
    return Plan(tuple(chosen), kind, out, oldest, tuple(notes))


def _minimum_ios(recipe: Recipe, asked: int | None) -> int:
    if asked is None:
        return max(_USUAL_IOS, recipe.least_ios)
    if asked not in _IOS:
        raise UsageError(f"Core ML packages can't be made for iOS {asked}.", hint="Choose 16, 17 or 18.")
    if asked < recipe.least_ios:
        raise UsageError(
            f"{recipe.name} needs iOS {recipe.least_ios}, and {asked} was asked for.",
            hint=f"Use --minimum-ios {recipe.least_ios}.",
        )
    return asked


def recipe_of(checkpoint: Path | None, recipe: str | None, *, has_clips: bool = False) -> str:
    """The recipe that is meant: the one asked for, else a quantized form's own, else `fp32`.

    Args:
        has_clips: whether clips to calibrate on were named: then static int8 is meant where no recipe is told.

    Raises:
        UsageError: a quantized form was made by another recipe than the one asked for, or one is asked for that has
            to be calibrated, of a checkpoint that isn't.
    """
    from dvfl_mobile.quantization.archive import is_form

    asked = None if recipe is None else recipe_named(recipe)
    if checkpoint is not None and is_form(checkpoint):
        from dvfl_mobile.quantization.graph import stored

        made = stored.read_settings(checkpoint).recipe
        if asked is not None and asked.name != made:
            raise UsageError(
                f"{checkpoint} was quantized as {made}, and {asked.name} was asked for.",
                hint="Leave --recipe out, or quantize the checkpoint again.",
            )
        return made
    if asked is not None:
        return asked.name
    return _CALIBRATED_RECIPE if has_clips else _DEFAULT_RECIPE


def check_scales(model: Student | QuantizedForm, recipe: Recipe) -> None:
    """Check that a model has the scales that a recipe needs.

    Raises:
        UsageError: it has none.
    """
    from dvfl_mobile.model.student import Student

    if recipe.is_calibrated and isinstance(model, Student):
        raise UsageError(
            f"{recipe.name} needs scales, and {model.source.name} has none.",
            hint="Name clips to find them on with --calib, or make a quantized form first with: dvfl-mobile quantize",
        )


def load_model(
    checkpoint: Path | None, labels: Path | None = None, frames: int | None = None, size: int | None = None
) -> Student | QuantizedForm:
    """The student of a checkpoint, a quantized form, or the embedded default student.

    Raises:
        UsageError: options are given that only a checkpoint can use.
        CheckpointError, LabelError: see `load_checkpoint` and `load_form`.
    """
    from dvfl_mobile.quantization.archive import is_form

    if checkpoint is None or not is_form(checkpoint):
        return load_student(checkpoint, labels, frames, size)
    if (labels, frames, size) != (None, None, None):
        raise UsageError(
            "--labels, --frames and --size go with a checkpoint; a quantized form has its own.",
            hint="Give them to: dvfl-mobile quantize",
        )
    from dvfl_mobile.quantization.graph import stored

    return stored.load_form(checkpoint)


def load_student(
    checkpoint: Path | None, labels: Path | None = None, frames: int | None = None, size: int | None = None
) -> Student:
    """The student of a checkpoint, or the embedded default one.

    Raises:
        UsageError: options are given that only a checkpoint can use.
        CheckpointError, LabelError: see `load_checkpoint`.
    """
    from dvfl_mobile.model.checkpoint.load import load_checkpoint
    from dvfl_mobile.model.default import default_student

    if checkpoint is not None:
        return load_checkpoint(checkpoint, labels, frames=frames, size=size)
    if (labels, frames, size) != (None, None, None):
        raise UsageError("--labels, --frames and --size go with a checkpoint.", hint="Name the checkpoint first.")
    return default_student()


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
    thresholds = thresholds or parity.thresholds_for(manifest.recipe)
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
    minimum_os = f"iOS {plan.minimum_ios}" if target.name == "coreml" else target.minimum_os
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
            f"What share of {artifact.folder} is delegated can't be told here: {delegation.undecided}",
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
    measurement = parity.measure(expected, found, names, labels)
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
