"""Options that train and distill share, and how they become a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from dvfl_mobile.training.official.config import OfficialConfig
    from dvfl_mobile.training.run import TrainPlan

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="Videos to train on: ucf50, ucf101, hmdb51, ssv2, kinetics400, a folder, or a CSV of path,label. Default: "
        "the data set that --config names.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="The folder to write to.", show_default=False)]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="An official training configuration (.yaml) to begin from; options given beside it win.",
        show_default=False,
    ),
]
Init = Annotated[
    Path | None,
    typer.Option(
        "--init",
        metavar="CHECKPOINT",
        help="Begin with what fits of this: a FocalNet for pictures, a Video-FocalNet or a DVFL-Net of any depth. "
        "Default: the seed.",
        show_default=False,
    ),
]
InitBlocks = Annotated[
    str,
    typer.Option(
        "--init-blocks",
        metavar="WHICH",
        help="Of a deeper checkpoint, take of each stage its first blocks, or blocks spread over it: first or spread.",
    ),
]
Validate = Annotated[
    str,
    typer.Option(
        "--validate",
        metavar="SOURCE",
        help="What the best weights are chosen by: held-out (a tenth of the training split, by whole groups), test, "
        "none, or another source.",
    ),
]
AllowLeaks = Annotated[
    bool, typer.Option("--allow-leaks", help="Train although the validation shares videos or groups with it.")
]
Epochs = Annotated[
    int | None,
    typer.Option("--epochs", min=1, metavar="N", help="Times over all videos. Default: 120.", show_default=False),
]
WarmupEpochs = Annotated[
    int | None,
    typer.Option(
        "--warmup-epochs",
        min=0,
        metavar="N",
        help="Epochs in which the learning rate grows. Default: a sixth of all.",
        show_default=False,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=1,
        metavar="N",
        help="Clips in a step, over all processes together. Default: 64.",
        show_default=False,
    ),
]
MicroBatch = Annotated[
    int | None,
    typer.Option(
        "--micro-batch",
        min=1,
        metavar="N",
        help="Clips that go through the network at once; a step adds up their gradients. Default: 8.",
        show_default=False,
    ),
]
OptimizerName = Annotated[
    str | None,
    typer.Option("--optimizer", metavar="NAME", help="sgd or adamw. Default: sgd.", show_default=False),
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate",
        min=1e-12,
        metavar="RATE",
        help="The highest of the schedule, for a batch of 512; used in proportion to --batch. Default: 0.1, or 0.0005 "
        "for adamw.",
        show_default=False,
    ),
]
WeightDecay = Annotated[
    float | None,
    typer.Option(
        "--weight-decay",
        min=0.0,
        metavar="SHARE",
        help="Not of biases and norms. Default: 0.0001, or 0.05 for adamw.",
        show_default=False,
    ),
]
ClipGradient = Annotated[
    float | None,
    typer.Option(
        "--clip-gradient", min=0.0, metavar="NORM", help="Longest gradient; 0 for any. Default: 5.", show_default=False
    ),
]
DropPath = Annotated[
    float | None,
    typer.Option(
        "--drop-path",
        min=0.0,
        max=0.99,
        metavar="SHARE",
        help="Stochastic depth of the last block. Default: 0.1 for nano, 0.2 tiny, 0.3 small, 0.5 base.",
        show_default=False,
    ),
]
LabelSmoothing = Annotated[
    float | None,
    typer.Option(
        "--label-smoothing",
        min=0.0,
        max=0.99,
        metavar="SHARE",
        help="Share of a label that goes to all classes alike. Default: 0.1.",
        show_default=False,
    ),
]
Mixup = Annotated[
    float | None,
    typer.Option("--mixup", min=0.0, metavar="ALPHA", help="0 for none. Default: 0.8.", show_default=False),
]
Cutmix = Annotated[
    float | None,
    typer.Option("--cutmix", min=0.0, metavar="ALPHA", help="0 for none. Default: 1.", show_default=False),
]
Flip = Annotated[
    float | None,
    typer.Option(
        "--flip",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="How often a clip is mirrored. Default: 0.5, and never for ssv2.",
        show_default=False,
    ),
]
Jitter = Annotated[
    float | None,
    typer.Option(
        "--jitter",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="How often a clip's colours are changed. Default: 0.8.",
        show_default=False,
    ),
]
CropArea = Annotated[
    float | None,
    typer.Option(
        "--crop-area",
        min=0.01,
        max=1.0,
        metavar="SHARE",
        help="Least share of the picture's area that a training clip shows. Default: 0.08.",
        show_default=False,
    ),
]
Grey = Annotated[
    float | None,
    typer.Option(
        "--grey",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="How often a clip loses its colours. Default: 0.2.",
        show_default=False,
    ),
]
Average = Annotated[
    float | None,
    typer.Option(
        "--average",
        min=0.0,
        max=0.999999,
        metavar="DECAY",
        help="Keep a moving average of the weights with this decay (EMA). Default: none.",
        show_default=False,
    ),
]
PrecisionName = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="NUMBERS",
        help="What products are computed in: float32, bfloat16, float16, or auto (bfloat16 where it is fast). Default: "
        "float32.",
        show_default=False,
    ),
]
Patience = Annotated[
    int | None,
    typer.Option(
        "--patience",
        min=1,
        metavar="N",
        help="End after N epochs without a better score. Default: never.",
        show_default=False,
    ),
]
Frames = Annotated[
    int | None,
    typer.Option(
        "--frames",
        min=1,
        metavar="N",
        help="Pictures in a clip. Default: the teacher's, or 8.",
        show_default=False,
    ),
]
Size = Annotated[
    int | None,
    typer.Option(
        "--size",
        min=32,
        metavar="PIXELS",
        help="Height and width of a clip. Default: the teacher's, or 224.",
        show_default=False,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, metavar="N", help="Of every random draw. Default: 0.", show_default=False),
]
Workers = Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Threads that decode, in each process.")]
Official = Annotated[bool, typer.Option("--pth", help="Also write best.pth, as the official training script saves it.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Also write TensorBoard's files.")]


def make_plan(given: dict[str, Any], model: str | None, teacher: Path | None) -> TrainPlan:
    """The plan of a command line.

    Args:
        given: the command's options by the names of its parameters, `model` and `teacher` apart.
    """
    from dvfl_mobile.errors import UsageError
    from dvfl_mobile.training.choices import chosen_settings
    from dvfl_mobile.training.official.config import read_official_config
    from dvfl_mobile.training.process_group import process_count
    from dvfl_mobile.training.run import TrainPlan

    if given["crop_area"] is not None:
        given = {**given, "crop_area": (given["crop_area"], 1.0)}
    official = None if given["config"] is None else read_official_config(given["config"])
    data = given["data"] or (official.data if official is not None else None)
    if data is None:
        raise UsageError("There is nothing to train on.", hint="Name a data set, a folder or a list with --data.")
    if given["init_blocks"] not in ("first", "spread"):
        raise UsageError(f"There is no --init-blocks {given['init_blocks']!r}.", hint="Choose first or spread.")
    # The shape of a model that is named beside a configuration is its own.
    shape = dict(official.architecture) if official is not None and model is None else {}
    chosen = model or (official.model if official is not None and official.model is not None else "nano")
    return TrainPlan(
        data=data,
        settings=chosen_settings(given, official, model=chosen, processes=process_count(), distils=teacher is not None),
        model=chosen,
        architecture=shape,
        data_root=given["data_root"],
        teacher=teacher,
        init=given["init"],
        blocks=given["init_blocks"],
        frames=given["frames"] or (official.frames if official is not None else None),
        size=given["size"] or (official.size if official is not None else None),
        frame_interval=official.frame_interval if official is not None else None,
        validate=given["validate"],
        allow_leaks=given["allow_leaks"],
        workers=given["workers"],
        official=given["pth"],
        board=given["tensorboard"],
        notes=() if official is None else tuple(_unmapped(given["config"], official)),
    )


def train_as_planned(plan: TrainPlan, out: Path, *, json: bool) -> None:
    """Train, draw the learning curve, and show what came of it; in the first process only."""
    from dvfl_mobile.cli.console import print_json, print_note
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.errors import MissingDependencyError
    from dvfl_mobile.report.training import draw_learning_curve, summary_lines
    from dvfl_mobile.training.journal import read_journal
    from dvfl_mobile.training.process_group import is_first_process
    from dvfl_mobile.training.result import CURVE_NAME, JOURNAL_NAME
    from dvfl_mobile.training.run import BEST_NAME, run

    with steps(quiet=not is_first_process()) as step:
        result = run(plan, out, step)
    if result is None:
        return
    for note in result.notes:
        print_note(note)
    try:
        draw_learning_curve(read_journal(out / JOURNAL_NAME), out / CURVE_NAME)
    except MissingDependencyError as error:
        print_note(f"The learning curve wasn't drawn: {error.problem}")
    if json:
        print_json(result)
    else:
        print("\n".join(summary_lines(result, out / BEST_NAME)))


def _unmapped(path: Path, official: OfficialConfig) -> list[str]:
    return [f"{path.name}: {key} has no counterpart: {reason}." for key, reason in official.unmapped]
