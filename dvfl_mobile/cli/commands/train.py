"""`dvfl-mobile train`: a network on labelled videos, from a seed or from a checkpoint."""

from __future__ import annotations

from dvfl_mobile.cli.options_training import TrainOptions, train_as_planned
from dvfl_mobile.cli.signature import takes


@takes(TrainOptions)
def train(options: TrainOptions) -> None:
    """Train a network on labelled videos.

    Writes best.safetensors, which every other command takes, last/, log.jsonl, training.json and learning-curve.png.
    The same command goes on after a kill. Start it with torchrun for several processes.
    """
    train_as_planned(options)
