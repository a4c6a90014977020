"""`dvfl-mobile deploy`: load, lower to all targets, check each, sum up."""

from __future__ import annotations

from typing import Annotated

import typer

from dvfl_mobile.cli.options import (
    DEFAULT_OUT,
    DEFAULT_RECIPE,
    Checkpoint,
    Clips,
    Frames,
    Json,
    JUnit,
    Labels,
    Markdown,
    MaxClips,
    MinDelegated,
    MinimumIos,
    Out,
    Recipe,
    Size,
    Targets,
)

Strict = Annotated[bool, typer.Option("--strict", help="End with 7, not 0, where something could not be decided here.")]


def deploy(
    checkpoint: Checkpoint = None,
    targets: Targets = None,
    recipe: Recipe = DEFAULT_RECIPE,
    clips: Clips = None,
    max_clips: MaxClips = 32,
    out: Out = DEFAULT_OUT,
    labels: Labels = None,
    frames: Frames = None,
    size: Size = None,
    minimum_ios: MinimumIos = 17,
    min_delegated: MinDelegated = None,
    strict: Strict = False,
    json: Json = False,
    junit: JUnit = None,
    markdown: Markdown = None,
) -> None:
    """Convert to all targets, and check each against PyTorch.

    Ends with 0 when nothing failed, and names what could not be decided on this machine (--strict makes that 7).
    With 5 when an artifact failed.
    """
    from dvfl_mobile import artifacts, pipeline
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.cli.show import show_student, show_summary
    from dvfl_mobile.parity import Verdict

    plan = pipeline.make_plan(targets or [], recipe, out, minimum_ios)
    with steps() as step:
        with step("load"):
            student = pipeline.load_student(checkpoint, labels, frames, size)
        show_student(student)
        summary = pipeline.deploy(student, plan, clips, max_clips, step)
    show_summary(summary, json=json, junit=junit, markdown=markdown)
    if summary.verdict is not Verdict.FAIL:
        folders = [artifacts.folder_of(student, target, plan.recipe, out) for target in plan.targets]
        pipeline.check_delegated([artifacts.open_artifact(folder) for folder in folders], min_delegated)
    raise typer.Exit(summary.exit_code(strict=strict))
