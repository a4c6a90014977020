"""`dvfl-mobile convert`: convert a checkpoint to artifacts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_rich, print_warning
from dvfl_mobile.cli.options import (
    DEFAULT_OUT,
    Calib,
    Checkpoint,
    DataRoot,
    Frames,
    Json,
    Labels,
    MaxCalls,
    MinDelegated,
    MinimumIos,
    NoToomCook,
    Out,
    Recipe,
    Samples,
    Size,
    Soc,
    Targets,
    Weights,
)

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact


Reuse = Annotated[
    bool,
    typer.Option(
        "--reuse", help="Leave an artifact alone that stands already, if the same weights, recipe and tools made it."
    ),
]


def convert(
    checkpoint: Checkpoint = None,
    targets: Targets = None,
    soc: Soc = None,
    recipe: Recipe = None,
    calib: Calib = None,
    data_root: DataRoot = None,
    samples: Samples = 64,
    out: Out = DEFAULT_OUT,
    labels: Labels = None,
    frames: Frames = None,
    size: Size = None,
    weights: Weights = None,
    minimum_ios: MinimumIos = None,
    no_toom_cook: NoToomCook = False,
    min_delegated: MinDelegated = None,
    max_calls: MaxCalls = None,
    reuse: Reuse = False,
    json: Json = False,
) -> None:
    """Convert a checkpoint, or a quantized form, to ExecuTorch, Core ML and TFLite.

    A recipe with static scales is quantized first, on the clips of --calib; clips without a recipe mean static int8.

    Each artifact goes to FOLDER/MODEL/TARGET/RECIPE with a manifest, once it is whole. Nothing is compared with
    PyTorch yet: that is what parity does, and deploy does both.
    """
    from dvfl_mobile.cli.output import show_notes, show_student
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.model.checkpoint.opened import opened
    from dvfl_mobile.pipeline import quantize as quantizing
    from dvfl_mobile.pipeline.convert import check_delegated, check_ranges, convert, range_warnings
    from dvfl_mobile.pipeline.load import load_model, recipe_of
    from dvfl_mobile.pipeline.plan import make_plan
    from dvfl_mobile.pipeline.quantize_plan import plan_for_deploy

    with opened(checkpoint) as file:
        meant = recipe_of(file, recipe, has_clips=calib is not None)
        plan = make_plan(targets or [], meant, out, minimum_ios, soc, toom_cook=not no_toom_cook)
        calibration = plan_for_deploy(plan.recipe, calib, data_root=data_root, samples=samples)
        with steps() as step:
            with step("load"):
                model = load_model(file, labels, frames, size, weights)
            show_student(model.student, (*plan.notes, *model.warnings))
            if calibration is not None:
                model = quantizing.calibrated(model, calibration, step)
                show_notes(model.warnings)
            made = convert(model, plan, step, reuse=reuse)
    show_artifacts(made, json=json)
    for artifact in made:
        for warning in range_warnings(artifact):
            print_warning(warning)
    check_delegated(made, min_delegated, max_calls)
    check_ranges(made)


def show_artifacts(made: Sequence[Artifact], *, json: bool) -> None:
    """A line for each artifact that was made."""
    from dvfl_mobile.report import contents
    from dvfl_mobile.report.formats.terminal import NamedTable

    if json:
        artifacts = [{"folder": str(a.folder), "manifest": a.manifest.model_dump(mode="json")} for a in made]
        print_json({"schema_version": 1, "artifacts": artifacts})
        return
    table = NamedTable(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.names = (0,)
    for column in ("artifact", "size", "delegated", "calls", "outside", "to"):
        table.add_column(column, overflow="fold")
    for artifact in made:
        manifest = artifact.manifest
        delegation = manifest.delegation
        size = f"{manifest.size_bytes / 1e6:.1f} MB"
        table.add_row(str(artifact.folder), size, *contents.delegated(delegation), delegation.delegate)
    print_rich(table)
