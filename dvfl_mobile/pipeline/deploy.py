"""Deploy a model: convert it to each target, check each artifact against PyTorch, summarize."""

from __future__ import annotations

import time
from pathlib import Path

from dvfl_mobile.artifacts.reference import save_reference
from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.errors import InconclusiveError
from dvfl_mobile.model.card import card_of
from dvfl_mobile.pipeline.check import MOST_CLIPS
from dvfl_mobile.pipeline.compare import compare, keep, not_compared, reference_logits
from dvfl_mobile.pipeline.convert import convert_one, range_warnings
from dvfl_mobile.pipeline.load import check_scales
from dvfl_mobile.pipeline.plan import Plan
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary, summarize
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.lowerable import Lowerable
from dvfl_mobile.runners.base import check_runs_here


def deploy(
    model: Lowerable,
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
    student = model.student
    clip_set = gather_clips(clips, student.clip, student.classes, step, most)
    reference = save_reference(student, plan.out)
    expected = reference_logits(student, clip_set, step)
    rows: list[DeployRow] = []
    warnings: list[str] = []
    for target in plan.targets:
        start = time.monotonic()
        artifact = convert_one(model, target, plan, reference, clip_set, step)
        warnings += range_warnings(artifact)
        try:
            check_runs_here(artifact.manifest)
            report = compare(artifact, clip_set, expected, step)
        except InconclusiveError as error:
            report = not_compared(artifact, clip_set, error)
        keep(artifact, report)
        rows.append(
            DeployRow.of(
                report,
                size_bytes=artifact.manifest.size_bytes,
                delegation=artifact.manifest.delegation,
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
        notes=(*student.notes, *plan.notes, *model.warnings, *warnings),
    )
