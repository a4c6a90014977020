"""Deploy a model: convert it to each target, check each artifact against PyTorch, summarize."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.reference import save_reference
from dvfl_mobile.data.gather import ClipSet, gather_clips
from dvfl_mobile.errors import ArtifactError, DeviceError, InconclusiveError
from dvfl_mobile.model.card import card_of
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.pipeline.check import MOST_CLIPS
from dvfl_mobile.pipeline.compare import compare, keep, not_compared, reference_logits
from dvfl_mobile.pipeline.convert import convert_one, range_warnings
from dvfl_mobile.pipeline.engines import HERE, Engines, clips_here, run_on
from dvfl_mobile.pipeline.load import check_scales
from dvfl_mobile.pipeline.plan import Plan
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary, summarize
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.runners.base import check_runs_here
from dvfl_mobile.runners.values import Logits
from dvfl_mobile.targets import Target


def deploy(
    model: Lowerable,
    plan: Plan,
    clips: Path | None = None,
    most: int = MOST_CLIPS,
    step: Step = silent,
    engines: Engines = HERE,
) -> DeploySummary:
    """All of it: lower the model to each target, check each artifact against the float student, sum up.

    Raises:
        UsageError: the recipe needs scales, and the model has none.
    """
    return deploy_each([(model, plan)], clips, most, step, engines)


def deploy_each(
    works: Sequence[tuple[Lowerable, Plan]],
    clips: Path | None = None,
    most: int = MOST_CLIPS,
    step: Step = silent,
    engines: Engines = HERE,
) -> DeploySummary:
    """As `deploy`, with several recipes of one student, each with what is lowered by it.

    Args:
        works: at least one; all of the same student.
    """
    for model, plan in works:
        check_scales(model, plan.recipe)
    student = works[0][0].student
    clip_set = gather_clips(clips, student.clip, student.classes, step, most)
    expected = reference_logits(student, clip_set, step)
    rows: list[DeployRow] = []
    warnings: list[str] = []
    for model, plan in works:
        reference = save_reference(student, plan.out)
        for target in plan.targets:
            start = time.monotonic()
            artifact = convert_one(model, target, plan, reference, clip_set, step)
            warnings += range_warnings(artifact)
            report = _run_here(engines, artifact, target, clip_set, expected, step)
            made = artifact.manifest
            row = partial(DeployRow.of, size_bytes=made.size_bytes, delegation=made.delegation)
            rows.append(row(report, seconds=time.monotonic() - start))
            rows += map(row, run_on(engines, artifact, clip_set, expected, step))
    notes = (*student.notes, *(note for model, plan in works for note in (*plan.notes, *model.warnings)), *warnings)
    return summarize(
        model=student.architecture.name,
        checkpoint=student.source.name,
        weights=student.source.kind,
        clips=clip_set.facts,
        rows=rows,
        card=card_of(student.source.sha256),
        notes=tuple(dict.fromkeys(notes)),
        not_run=engines.idle({row.engine for row in rows}),
    )


def _run_here(
    engines: Engines, artifact: Artifact, target: Target, clip_set: ClipSet, expected: Logits, step: Step
) -> ParityReport:
    """The report on this machine's run, which is also left in the artifact's folder."""
    clip_set, places = clips_here(engines, target, clip_set)
    try:
        check_runs_here(artifact.manifest)
        report = compare(artifact, clip_set, expected[places], step)
    except InconclusiveError as error:
        report = not_compared(artifact, clip_set, error)
    except (ArtifactError, DeviceError) as error:
        if not engines:
            raise
        report = not_compared(artifact, clip_set, error)  # takes nothing from hours on the other engines
    return keep(artifact, report)
