"""`dvfl-mobile convert`: a checkpoint to artifacts."""

from __future__ import annotations

from typing import Annotated

import typer

from dvfl_mobile.cli.options import (
    DEFAULT_OUT,
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

Reuse = Annotated[
    bool,
    typer.Option(
        "--reuse", help="Leave an artifact alone that stands already, if the same weights, recipe and tools made it."
    ),
]


def convert(
    checkpoint: Checkpoint = None,
    targets: Targets = None,
    recipe: Recipe = None,
    out: Out = DEFAULT_OUT,
    labels: Labels = None,
    frames: Frames = None,
    size: Size = None,
    minimum_ios: MinimumIos = None,
    min_delegated: MinDelegated = None,
    reuse: Reuse = False,
    json: Json = False,
) -> None:
    """Convert a checkpoint, or a quantized form, to ExecuTorch, Core ML and TFLite.

    Each artifact goes to FOLDER/MODEL/TARGET/RECIPE with a manifest, once it is whole. Nothing is compared with
    PyTorch yet: that is what parity does, and deploy does both.
    """
    from dvfl_mobile.artifacts import make as artifacts
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.cli.show import show_artifacts, show_student
    from dvfl_mobile.pipeline import steps as pipeline
    from dvfl_mobile.pipeline.load import load_model, recipe_of
    from dvfl_mobile.pipeline.plan import make_plan

    plan = make_plan(targets or [], recipe_of(checkpoint, recipe), out, minimum_ios)
    with steps() as step:
        with step("load"):
            model = load_model(checkpoint, labels, frames, size)
        show_student(artifacts.student_of(model), (*plan.notes, *artifacts.warnings_of(model)))
        made = pipeline.convert(model, plan, step, reuse=reuse)
    show_artifacts(made, json=json)
    pipeline.check_delegated(made, min_delegated)
