"""Compare an artifact with the reference form on the same clips, as `check` and `deploy` do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.gather import ClipSet
from dvfl_mobile.devices.base import Device, have_programs
from dvfl_mobile.documents import leave
from dvfl_mobile.errors import DvflMobileError
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.report import ParityReport, SecondOpinion, decided, undecided
from dvfl_mobile.parity.second_opinion import compared
from dvfl_mobile.parity.thresholds import Thresholds, arithmetic_of, thresholds_for
from dvfl_mobile.progress import Step
from dvfl_mobile.runners.base import Runner, open_runner
from dvfl_mobile.runners.opinions import Opinion
from dvfl_mobile.runners.values import Logits
from dvfl_mobile.targets import Precision

if TYPE_CHECKING:
    from dvfl_mobile.model.student import Student

PARITY_NAME = "parity.json"
AT_ONCE = 8
"""Clips that a device is given at once: each start of the program there loads the model anew."""


def reference_logits(student: Student, clip_set: ClipSet, step: Step) -> Logits:
    """The reference form's logits of each clip, `(N,K)`."""
    from dvfl_mobile.model.lean.at_once import each
    from dvfl_mobile.runners.pytorch import TorchRunner

    runner = TorchRunner(student)
    with step("reference logits (PyTorch)", len(clip_set.clips)) as advance:
        return np.concatenate(each(lambda clip: runner.run(clip[None]), clip_set.pixels, advance))


def compare(
    artifact: Artifact,
    clip_set: ClipSet,
    expected: Logits,
    step: Step,
    thresholds: Thresholds | None = None,
    others: Sequence[Opinion] = (),
    device: Device | None = None,
) -> ParityReport:
    """The report on an artifact that runs on this machine, or on `device`; `expected` are the reference's logits."""
    manifest = artifact.manifest
    where = device.facts.device if device else manifest.target
    if device is not None:
        have_programs(device, manifest.target, step)
    with step(f"run on {where}", len(clip_set.clips)) as advance, _opened(artifact, device) as runner:
        found, facts = _run(runner, clip_set, advance, AT_ONCE if device else 1), runner.facts
    if device is not None:
        named = device.facts  # the runner knows the kind of device, and not always by which name it was asked for
        facts = {**facts, "device": named.device, "kind": named.kind, "model": named.model}
    thresholds = thresholds or thresholds_for(manifest.recipe)
    arithmetic = arithmetic_of(manifest.recipe, facts.get("delegate"), found)
    if arithmetic is not None:
        facts = {**facts, "arithmetic": arithmetic}
        thresholds = thresholds.in_half() if arithmetic == "float16" else thresholds
    names = [clip.name for clip in clip_set.clips]
    labels = [clip.label for clip in clip_set.clips]
    measurement = measure(expected, found, names, labels)
    second = [_second_opinion(opinion, artifact, clip_set, expected, found, step, arithmetic) for opinion in others]
    kind = manifest.weights.kind
    return decided(
        ArtifactFacts.of(artifact.manifest, artifact.folder),
        facts,
        clip_set.facts,
        kind,
        measurement,
        thresholds,
        second,
    )


def not_compared(
    artifact: Artifact,
    clip_set: ClipSet,
    error: DvflMobileError,
    thresholds: Thresholds | None = None,
    device: str | None = None,
) -> ParityReport:
    """The report on an artifact that nothing can run, or `device` can't, for the reason that `error` gives."""
    why = f"{error.problem} {error.hint}"
    kind = artifact.manifest.weights.kind
    facts = {} if device is None else {"device": device}
    return undecided(ArtifactFacts.of(artifact.manifest, artifact.folder), facts, clip_set.facts, kind, why, thresholds)


def keep(artifact: Artifact, report: ParityReport, device: str | None = None) -> ParityReport:
    """Leave the report in the artifact's folder too; that of a device beside that of this machine."""
    name = PARITY_NAME if device is None else f"parity-{re.sub('[^A-Za-z0-9.-]', '_', device)}.json"
    leave(report, artifact.folder / name)
    return report


def _second_opinion(
    opinion: Opinion,
    artifact: Artifact,
    clip_set: ClipSet,
    expected: Logits,
    first: Logits,
    step: Step,
    arithmetic: Precision | None,
) -> SecondOpinion:
    with step(f"run by {opinion.title}", len(clip_set.clips)) as advance:
        runner = open_runner(artifact.folder, artifact.manifest, opinion)
        other = _run(runner, clip_set, advance)
    names = [clip.name for clip in clip_set.clips]
    return compared(opinion, runner.facts, artifact.manifest.recipe, expected, first, other, names, arithmetic)


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
