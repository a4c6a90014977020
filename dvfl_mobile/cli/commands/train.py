"""`dvfl-mobile train`: train a network on labelled videos, from a seed or from a checkpoint."""

from __future__ import annotations

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

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="pico, nano, tiny, small, base, or another shape as focalnet-WIDTH-DEPTHS. Default: nano, or --config's.",
        show_default=False,
    ),
]


def train(
    out: Out,
    data: Data = None,
    data_root: DataRoot = None,
    model: Model = None,
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
    """Train a network on labelled videos.

    Writes best.safetensors, which every other command takes, last/, log.jsonl, training.json and learning-curve.png.
    The same command goes on after a kill. Start it with torchrun for several processes.
    """
    given = {**locals(), "global_batch": batch}
    train_as_planned(make_plan(given, model, None), out, json=json)
