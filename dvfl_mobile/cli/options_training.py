"""The options of train and distill, each declared once, and how they become a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.options import DataRoot, Json

if TYPE_CHECKING:
    from dvfl_mobile.training.choices import Choices
    from dvfl_mobile.training.initial_weights import Blocks
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
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="pico, nano, tiny, small, base, or another shape as focalnet-WIDTH-DEPTHS. Default: nano, or --config's.",
        show_default=False,
    ),
]
Teacher = Annotated[
    Path,
    typer.Option("--teacher", metavar="CHECKPOINT", help="The network to learn from.", show_default=False),
]
StudentModel = Annotated[
    str | None,
    typer.Option(
        "--student",
        metavar="MODEL",
        help="pico, nano, tiny, small, base, or another shape as focalnet-WIDTH-DEPTHS. Default: nano, or --config's.",
        show_default=False,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        "--temperature", min=0.01, metavar="T", help="Of teacher and student. Default: 10.", show_default=False
    ),
]
Alpha = Annotated[
    float | None,
    typer.Option(
        "--alpha",
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="The teacher's share of the loss; labels have the rest. Default: 0.2.",
        show_default=False,
    ),
]
KdLoss = Annotated[
    str | None,
    typer.Option(
        "--kd-loss",
        metavar="LOSS",
        help="forward_kl, or official: what the official code computes in its place. Default: forward_kl.",
        show_default=False,
    ),
]


@dataclass(frozen=True, kw_only=True)
class _DataOptions:
    out: Out
    data: Data = None
    data_root: DataRoot = None


@dataclass(frozen=True, kw_only=True)
class _LoopOptions:
    init: Init = None
    init_blocks: InitBlocks = "first"
    config: Config = None
    validate: Validate = "held-out"
    allow_leaks: AllowLeaks = False
    epochs: Epochs = None
    warmup_epochs: WarmupEpochs = None
    batch: Batch = None
    micro_batch: MicroBatch = None
    optimizer: OptimizerName = None
    learning_rate: LearningRate = None
    weight_decay: WeightDecay = None
    clip_gradient: ClipGradient = None
    drop_path: DropPath = None
    label_smoothing: LabelSmoothing = None
    mixup: Mixup = None
    cutmix: Cutmix = None
    flip: Flip = None
    jitter: Jitter = None
    crop_area: CropArea = None
    grey: Grey = None
    average: Average = None
    precision: PrecisionName = None
    patience: Patience = None
    frames: Frames = None
    size: Size = None
    seed: Seed = None
    workers: Workers = 2
    pth: Official = False
    tensorboard: Board = False
    json: Json = False


@dataclass(frozen=True, kw_only=True)
class _ModelOption:
    model: Model = None


@dataclass(frozen=True, kw_only=True)
class _TeacherOption:
    teacher: Teacher


@dataclass(frozen=True, kw_only=True)
class _StudentOptions:
    model: StudentModel = None
    temperature: Temperature = None
    alpha: Alpha = None
    kd_loss: KdLoss = None


# A dataclass has the fields of its last base first: so these read from the right, in the order of `--help`.
@dataclass(frozen=True, kw_only=True)
class TrainOptions(_LoopOptions, _ModelOption, _DataOptions):
    """The options of `train`."""


@dataclass(frozen=True, kw_only=True)
class DistillOptions(_LoopOptions, _StudentOptions, _DataOptions, _TeacherOption):
    """The options of `distill`."""


_BLOCKS: Mapping[str, Blocks] = MappingProxyType({"first": "first", "spread": "spread"})


def make_plan(options: TrainOptions | DistillOptions) -> TrainPlan:
    """The plan of a command line."""
    from dvfl_mobile.errors import UsageError
    from dvfl_mobile.training.choices import chosen_settings
    from dvfl_mobile.training.official.config import read_official_config
    from dvfl_mobile.training.process_group import process_count
    from dvfl_mobile.training.run import TrainPlan

    teacher = options.teacher if isinstance(options, DistillOptions) else None
    official = None if options.config is None else read_official_config(options.config)
    data = options.data or (official.data if official is not None else None)
    if data is None:
        raise UsageError("There is nothing to train on.", hint="Name a data set, a folder or a list with --data.")
    if options.init_blocks not in _BLOCKS:
        raise UsageError(f"There is no --init-blocks {options.init_blocks!r}.", hint="Choose first or spread.")
    # The shape of a model that is named beside a configuration is its own.
    shape = dict(official.architecture) if official is not None and options.model is None else {}
    chosen = options.model or (official.model if official is not None and official.model is not None else "nano")
    return TrainPlan(
        data=data,
        settings=chosen_settings(
            _choices(options), official, model=chosen, processes=process_count(), distils=teacher is not None
        ),
        model=chosen,
        architecture=shape,
        data_root=options.data_root,
        teacher=teacher,
        init=options.init,
        blocks=_BLOCKS[options.init_blocks],
        frames=options.frames or (official.frames if official is not None else None),
        size=options.size or (official.size if official is not None else None),
        frame_interval=official.frame_interval if official is not None else None,
        validate=options.validate,
        allow_leaks=options.allow_leaks,
        workers=options.workers,
        official=options.pth,
        board=options.tensorboard,
        notes=() if options.config is None or official is None else tuple(_unmapped(options.config, official)),
    )


def train_as_planned(options: TrainOptions | DistillOptions) -> None:
    """Train, draw the learning curve, and show what came of it; in the first process only."""
    from dvfl_mobile.cli.console import print_json, print_note, print_text
    from dvfl_mobile.cli.progress import quiet_vendors, steps
    from dvfl_mobile.errors import MissingDependencyError
    from dvfl_mobile.report.training import draw_learning_curve, summary_lines
    from dvfl_mobile.training.journal import read_journal
    from dvfl_mobile.training.process_group import is_first_process
    from dvfl_mobile.training.result import CURVE_NAME, JOURNAL_NAME
    from dvfl_mobile.training.run import BEST_NAME, run

    plan, out = make_plan(options), options.out
    with steps(quiet=not is_first_process()) as step:
        result = run(plan, out, step)
    if result is None:
        return
    for note in result.notes:
        print_note(note)
    try:
        with quiet_vendors():
            draw_learning_curve(read_journal(out / JOURNAL_NAME), out / CURVE_NAME)
    except MissingDependencyError as error:
        print_note(f"The learning curve wasn't drawn: {error.problem}")
    if options.json:
        print_json(result)
    else:
        print_text("\n".join(summary_lines(result, out / BEST_NAME)))


def _choices(options: TrainOptions | DistillOptions) -> Choices:
    from dvfl_mobile.training.choices import Choices

    choices = Choices(
        epochs=options.epochs,
        warmup_epochs=options.warmup_epochs,
        global_batch=options.batch,
        micro_batch=options.micro_batch,
        optimizer=options.optimizer,
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        clip_gradient=options.clip_gradient,
        drop_path=options.drop_path,
        average=options.average,
        patience=options.patience,
        precision=options.precision,
        seed=options.seed,
        crop_area=None if options.crop_area is None else (options.crop_area, 1.0),
        flip=options.flip,
        jitter=options.jitter,
        grey=options.grey,
        mixup=options.mixup,
        cutmix=options.cutmix,
        label_smoothing=options.label_smoothing,
    )
    if isinstance(options, DistillOptions):
        return replace(choices, temperature=options.temperature, weight=options.alpha, loss=options.kd_loss)
    return choices


def _unmapped(path: Path, official: OfficialConfig) -> list[str]:
    return [f"{path.name}: {key} has no counterpart: {reason}." for key, reason in official.unmapped]
