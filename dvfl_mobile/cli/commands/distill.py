"""`dvfl-mobile distill`: a small network that learns from a large one's answers, and from labels."""

from __future__ import annotations

from dvfl_mobile.cli.options_training import DistillOptions, train_as_planned
from dvfl_mobile.cli.signature import takes


@takes(DistillOptions)
def distill(options: DistillOptions) -> None:
    """Distil a student from a teacher, by forward KL at a temperature and by labels.

    Writes best.safetensors, which every other command takes, last/, log.jsonl, training.json and learning-curve.png.
    The same command goes on after a kill. Start it with torchrun for several processes.
    """
    train_as_planned(options)
