"""The result of a training as a document beside its weights (`training.json`). Free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import FiniteFloat

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.documents import Document
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.training.settings import TrainSettings
from dvfl_mobile.wording import plural

RESULT_NAME = "training.json"
JOURNAL_NAME = "log.jsonl"
CURVE_NAME = "learning-curve.png"


class InitialWeights(Document):
    """What a network began with.

    Attributes:
        source: the checkpoint's name; None where everything was left at its seed.
        kind: what the source is.
        taken: keys of the weights that came from it; `seeded`: those that were left at their seed.
        unused: keys of the source that the network has no place for.
        blocks: for each stage, which of the source's blocks became its blocks.
    """

    source: str | None = None
    sha256: str | None = None
    kind: Literal["seed", "image", "video"] = "seed"
    taken: tuple[str, ...] = ()
    seeded: tuple[str, ...]
    unused: tuple[str, ...] = ()
    blocks: tuple[tuple[int, ...], ...] = ()

    @property
    def sentence(self) -> str:
        """One line on what it began with."""
        total = len(self.taken) + len(self.seeded)
        if self.source is None:
            return f"all {total} weights drawn from the seed"
        what = {"image": "a FocalNet for pictures", "video": "a Video-FocalNet"}[self.kind]
        return (
            f"{len(self.taken)} of {plural(total, 'weight')} from {self.source}, {what}; "
            f"{len(self.seeded)} left at the seed; {len(self.unused)} of its own unused"
        )


class TeacherFacts(Document):
    """Who was followed."""

    name: str
    sha256: str
    model: str
    temperature: float
    weight: float
    loss: str


class BestScore(Document):
    """Of the weights that were kept as best.

    Attributes:
        epoch: counted from 1. on: the videos that they were chosen by.
    """

    epoch: int
    on: str
    videos: int
    right: int
    right_in_five: int
    loss: FiniteFloat


class TrainingResult(Document):
    """What a training came to.

    Attributes:
        kind: `train` on labels, or `distill` from a teacher.
        videos: that were trained on.
        processes: that trained it together in the end.
        best: None where nothing was validated: then the last weights are `best.safetensors`.
        notes: what a reader must know.
    """

    schema_version: Literal[1] = 1
    kind: Literal["train", "distill"]
    tool_version: str
    torch_version: str
    model: str
    parameters: int
    architecture: Architecture
    clip: ClipSpec
    classes: tuple[str, ...]
    data: str
    videos: int
    settings: TrainSettings
    precision: str
    start: InitialWeights
    teacher: TeacherFacts | None
    processes: int
    steps: int
    epochs: int
    best: BestScore | None
    notes: tuple[str, ...]
