"""`dvfl-mobile convert`: a checkpoint to artifacts."""

from __future__ import annotations

from dvfl_mobile.cli.options import (
    DEFAULT_OUT,
    DEFAULT_RECIPE,
    Checkpoint,
    Frames,
    Json,
    Labels,
    MinDelegated,
    MinimumIos,
    Out,
    Recipe,
    Size,
    Targets,
)


def convert(
    checkpoint: Checkpoint = None,
    targets: Targets = None,
    recipe: Recipe = DEFAULT_RECIPE,
    out: Out = DEFAULT_OUT,
    labels: Labels = None,
    frames: Frames = None,
    size: Size = None,
    minimum_ios: MinimumIos = 17,
    min_delegated: MinDelegated = None,
    json: Json = False,
) -> None:
    """Convert a checkpoint to ExecuTorch, Core ML and TFLite.

    Each artifact goes to FOLDER/MODEL/TARGET/RECIPE with a manifest, once it is whole. Nothing is compared with
    PyTorch yet: that is what parity does, and deploy does both.
    """
    from dvfl_mobile import pipeline
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.cli.show import show_artifacts, show_student

    plan = pipeline.make_plan(targets or [], recipe, out, minimum_ios)
    with steps() as step:
        with step("load"):
            student = pipeline.load_student(checkpoint, labels, frames, size)
        show_student(student, plan.notes)
        made = pipeline.convert(student, plan, step)
    show_artifacts(made, json=json)
    pipeline.check_delegated(made, min_delegated)
