"""`dvfl-mobile distill`: train a student on a teacher's logits and on labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dvfl_mobile.cli.options import DataRoot, Json
from dvfl_mobile.cli.options_training import (
    AllowLeaks,
    Average,
    Batch,
    Board,
    ClipGradient,
    Config,
    CropArea,
    Cutmix,
    Data,
    DropPath,
    Epochs,
    Flip,
    Frames,
    Grey,
    Init,
    InitBlocks,
    Jitter,
    LabelSmoothing,
    LearningRate,
    MicroBatch,
    Mixup,
    Official,
    OptimizerName,
    Out,
    Patience,
    PrecisionName,
    Seed,
    Size,
    Validate,
    WarmupEpochs,
    WeightDecay,
    Workers,
    make_plan,
    train_as_planned,
)

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


def distill(
    teacher: Teacher,
    out: Out,
    data: Data = None,
    data_root: DataRoot = None,
    student: StudentModel = None,
    temperature: Temperature = None,
    alpha: Alpha = None,
    kd_loss: KdLoss = None,
    init: Init = None,
    init_blocks: InitBlocks = "first",
    config: Config = None,
    validate: Validate = "held-out",
    allow_leaks: AllowLeaks = False,
    epochs: Epochs = None,
    warmup_epochs: WarmupEpochs = None,
    batch: Batch = None,
    micro_batch: MicroBatch = None,
    optimizer: OptimizerName = None,
    learning_rate: LearningRate = None,
    weight_decay: WeightDecay = None,
    clip_gradient: ClipGradient = None,
    drop_path: DropPath = None,
    label_smoothing: LabelSmoothing = None,
    mixup: Mixup = None,
    cutmix: Cutmix = None,
    flip: Flip = None,
    jitter: Jitter = None,
    crop_area: CropArea = None,
    grey: Grey = None,
    average: Average = None,
    precision: PrecisionName = None,
    patience: Patience = None,
    frames: Frames = None,
    size: Size = None,
    seed: Seed = None,
    workers: Workers = 2,
    pth: Official = False,
    tensorboard: Board = False,
    json: Json = False,
) -> None:
    """Distil a student from a teacher, by forward KL at a temperature and by labels.

    Writes best.safetensors, which every other command takes, last/, log.jsonl, training.json and learning-curve.png.
    The same command goes on after a kill. Start it with torchrun for several processes.
    """
    given = {**locals(), "global_batch": batch, "weight": alpha, "loss": kd_loss}
    train_as_planned(make_plan(given, student, teacher), out, json=json)
