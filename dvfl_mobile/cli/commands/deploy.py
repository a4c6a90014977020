"""`dvfl-mobile deploy`: load a model, convert it to every target, check parity, and summarize."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.options import (
    DEFAULT_OUT,
    Calib,
    Checkpoint,
    Clips,
    DataRoot,
    Frames,
    Json,
    JUnit,
    Labels,
    Markdown,
    MaxCalls,
    MaxClips,
    MinDelegated,
    MinimumIos,
    NoToomCook,
    Out,
    Recipes,
    Samples,
    Size,
    Soc,
    Targets,
    Weights,
)
from dvfl_mobile.cli.output import print_report

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.pipeline.summary import DeploySummary


MOST_ON_ENGINES = 4
EngineNames = Annotated[
    list[str] | None,
    typer.Option(
        "--engines",
        metavar="ENGINE",
        help="Also run what is made on another processor, by the name of its device; may be given several times. all: "
        "every one that needs no phone, and every target, in fp32, fp16 and with --calib static int8 where no --recipe "
        "is given. See: dvfl-mobile devices",
        show_default=False,
    ),
]
EngineClips = Annotated[
    int,
    typer.Option(
        "--engine-clips",
        min=1,
        metavar="N",
        help="Clips that each of --engines is given, spread evenly: an emulator may take minutes for one.",
    ),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Also write all of it as one page: clips, engines, what runs where, ranges, and what wasn't exercised.",
        show_default=False,
    ),
]
Card = Annotated[
    Path | None,
    typer.Option(
        "--card",
        metavar="FILE",
        help="Also write a model card in Hugging Face's format: builds, sizes, worst parity, and those that failed.",
        show_default=False,
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="End with 7, not 0, where something could not be decided here.")]


def deploy(
    checkpoint: Checkpoint = None,
    targets: Targets = None,
    soc: Soc = None,
    recipes: Recipes = None,
    calib: Calib = None,
    data_root: DataRoot = None,
    samples: Samples = 64,
    clips: Clips = None,
    max_clips: MaxClips = 32,
    engines: EngineNames = None,
    engine_clips: EngineClips = MOST_ON_ENGINES,
    out: Out = DEFAULT_OUT,
    labels: Labels = None,
    frames: Frames = None,
    size: Size = None,
    weights: Weights = None,
    minimum_ios: MinimumIos = None,
    no_toom_cook: NoToomCook = False,
    min_delegated: MinDelegated = None,
    max_calls: MaxCalls = None,
    strict: Strict = False,
    json: Json = False,
    junit: JUnit = None,
    markdown: Markdown = None,
    html: Page = None,
    card: Card = None,
) -> None:
    """Convert to all targets, and check each against PyTorch.

    A recipe with static scales is quantized first, on the clips of --calib; clips without a recipe mean static int8.

    Ends with 0 when nothing failed, and names what could not be decided on this machine (--strict makes that 7).
    With 5 when an artifact failed, here or on one of --engines.
    """
    from dvfl_mobile.artifacts.make import folder_of, open_artifact
    from dvfl_mobile.cli.output import show_student
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.documents import Verdict
    from dvfl_mobile.model.checkpoint.opened import opened
    from dvfl_mobile.pipeline import quantize as quantizing
    from dvfl_mobile.pipeline.convert import check_delegated, check_ranges
    from dvfl_mobile.pipeline.deploy import deploy_each
    from dvfl_mobile.pipeline.engines import ALL, engines_named
    from dvfl_mobile.pipeline.load import load_model, recipes_of
    from dvfl_mobile.pipeline.plan import make_plan
    from dvfl_mobile.pipeline.quantize_plan import plans_for_deploy

    asked = engines or []
    with opened(checkpoint) as file:
        meant = recipes_of(file, recipes or [], has_clips=calib is not None, each_kind=ALL in asked)
        plan = partial(make_plan, toom_cook=not no_toom_cook, by_name_too=ALL in asked)
        plans = [plan(targets or [], name, out, minimum_ios, soc) for name in meant]
        calibrations = plans_for_deploy([plan.recipe for plan in plans], calib, data_root=data_root, samples=samples)
        places = engines_named(asked, engine_clips)
        with steps() as step:
            with step("load"):
                model = load_model(file, labels, frames, size, weights)
            show_student(model.student)
            works = [
                (quantizing.calibrated(model, calibration, step), plan)
                for plan, calibration in zip(plans, calibrations, strict=True)
            ]
            summary = deploy_each(works, clips, max_clips, step, places)
    folders = [folder_of(model.student, target, plan.recipe, out) for plan in plans for target in plan.targets]
    made = [open_artifact(folder) for folder in folders]
    show_summary(summary, made, json=json, junit=junit, markdown=markdown, html=html, card=card)
    if summary.verdict is not Verdict.FAIL:
        check_delegated(made, min_delegated, max_calls)
        check_ranges(made)
    raise typer.Exit(summary.exit_code(strict=strict))


def show_summary(
    summary: DeploySummary,
    made: Sequence[Artifact],
    *,
    json: bool,
    junit: Path | None,
    markdown: Path | None,
    html: Path | None,
    card: Path | None,
) -> None:
    """All that one deploy made."""
    from dvfl_mobile.report.deployed import card as model_card
    from dvfl_mobile.report.deployed import page, tables

    manifests = {f"{each.manifest.target}/{each.manifest.recipe}": each.manifest for each in made}
    files = (
        (junit, tables.junit),
        (markdown, tables.markdown),
        (html, lambda found: page.html(found, manifests)),
        (card, lambda found: model_card.card(found, manifests)),
    )
    print_report(summary, tables.terminal, files, json=json)
