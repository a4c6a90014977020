"""`dvfl-mobile quantize`: quantize a checkpoint, with one set of scales for all targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_note, print_rich
from dvfl_mobile.cli.options import (
    DEFAULT_OUT,
    Calib,
    Checkpoint,
    DataRoot,
    Frames,
    Json,
    Labels,
    Observer,
    Samples,
    Seed,
    Size,
    Weights,
)
from dvfl_mobile.errors import UsageError

if TYPE_CHECKING:
    from dvfl_mobile.pipeline.quantize import Quantized
    from dvfl_mobile.quantization.mixed.sensitivity import Sensitivity


Recipe = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="RECIPE",
        help="How numbers are stored and computed. Default: static_wi8_ai8, or auto with a promise to keep.",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Option("--out", "-o", metavar="FOLDER", help="The folder to write to: FOLDER/MODEL-RECIPE.pt2.")
]
Keep = Annotated[
    list[str] | None,
    typer.Option(
        "--keep",
        metavar="PATTERN",
        help="Keep modules of this path in float, such as 'stage3.*'; may be given several times.",
        show_default=False,
    ),
]
Method = Annotated[
    str, typer.Option("--method", metavar="METHOD", help="ptq: after training; qat: train on with rounding in place.")
]
Epochs = Annotated[int, typer.Option("--epochs", min=1, metavar="N", help="For qat: times over the training clips.")]
Batch = Annotated[
    int, typer.Option("--batch", min=1, metavar="N", help="For qat: clips in a step, over all processes together.")
]
LearningRate = Annotated[
    float, typer.Option("--learning-rate", min=1e-12, metavar="RATE", help="For qat: the highest of the schedule.")
]
TrainingSamples = Annotated[
    int, typer.Option("--num-training-samples", min=8, metavar="N", help="For qat: train on no more clips than this.")
]
SensitivityOnly = Annotated[
    bool,
    typer.Option(
        "--sensitivity", help="Measure what quantizing each block and operator alone costs, draw it, and do no more."
    ),
]
MinAgreement = Annotated[
    float | None,
    typer.Option(
        "--min-agreement",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Keep as little in float as makes this share of clips have the top-1 of float, 0 to 1.",
        show_default=False,
    ),
]
MinSqnr = Annotated[
    float | None,
    typer.Option("--min-sqnr", metavar="DB", help="Keep as little in float as reaches this SQNR.", show_default=False),
]


def quantize(
    checkpoint: Checkpoint = None,
    calib: Calib = None,
    recipe: Recipe = None,
    out: Out = DEFAULT_OUT,
    data_root: DataRoot = None,
    samples: Samples = 64,
    observer: Observer = "percentile",
    seed: Seed = 0,
    keep: Keep = None,
    method: Method = "ptq",
    epochs: Epochs = 3,
    batch: Batch = 8,
    learning_rate: LearningRate = 1e-5,
    training_samples: TrainingSamples = 512,
    sensitivity: SensitivityOnly = False,
    min_agreement: MinAgreement = None,
    min_sqnr: MinSqnr = None,
    labels: Labels = None,
    frames: Frames = None,
    size: Size = None,
    weights: Weights = None,
    json: Json = False,
) -> None:
    """Quantize a checkpoint once, for all targets.

    Finds the scales of every int8 tensor on clips of a training split, and writes a quantized form that convert
    lowers to any target. --method qat then trains on with rounding in place; start it with torchrun for several
    processes. With --min-agreement or --min-sqnr as little as possible stays float.

    Ends with 0, or with 5 where no mixture keeps the promise.
    """
    from dvfl_mobile.cli.output import show_student
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.pipeline import quantize as quantizing
    from dvfl_mobile.pipeline import quantize_plan as planning
    from dvfl_mobile.pipeline.load import load_student
    from dvfl_mobile.quantization.settings import QatSettings, promised
    from dvfl_mobile.training.process_group import is_first_process

    if method not in ("ptq", "qat"):
        raise UsageError(f"There is no method {method!r}.", hint="Choose ptq or qat.")
    promise = None if (min_agreement, min_sqnr) == (None, None) else promised(min_agreement, min_sqnr)
    qat = QatSettings(epochs=epochs, global_batch=batch, learning_rate=learning_rate, seed=seed)
    plan = planning.QuantizePlan(
        recipe=planning.default_recipe(recipe, promises=promise is not None),
        calibration=None if calib is None else planning.Calibration(calib, data_root, samples, observer, seed),
        keep=tuple(keep or ()),
        training=planning.Training(qat, training_samples) if method == "qat" else None,
        promise=promise,
    )
    planning.check_plan(plan)
    with steps(quiet=not is_first_process()) as step:
        with step("load"):
            student = load_student(checkpoint, labels, frames, size, weights)
        if is_first_process():
            show_student(student)
        if sensitivity:
            found = quantizing.sensitivity(student, plan, step)
            show_sensitivity(found, out / quantizing.plot_name(student), json=json)
            return
        made = quantizing.make(student, plan, out, step)
    if made is not None:
        show_quantized(made, json=json)


def show_quantized(made: Quantized, *, json: bool) -> None:
    """A quantized form, and for `auto` what was kept."""
    from dvfl_mobile.report import quantized, sensitivity

    if json:
        print_json(made.summary)
        return
    print_rich(quantized.terminal(made.summary))
    if made.mixed is not None:
        cost = made.cost
        latency, sizes = (cost.latency, cost.sizes) if cost else (None, None)
        print_rich(sensitivity.kept_terminal(made.mixed, latency=latency, sizes=sizes))


def show_sensitivity(found: Sensitivity, plot: Path, *, json: bool) -> None:
    """What quantizing each part alone costs: a table, and a picture at `plot`."""
    from dvfl_mobile.cli.progress import quiet_vendors
    from dvfl_mobile.report import sensitivity

    try:
        with quiet_vendors():
            sensitivity.plot(found, plot)
    finally:
        if json:
            print_json(found)
        else:
            print_rich(sensitivity.terminal(found))
    print_note(f"The picture is {plot}.")
