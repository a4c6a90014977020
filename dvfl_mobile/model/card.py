"""The card of the embedded default student: its training data and measured accuracy.

`embedded/pico.json` beside the weights; `embedded/pico.md` says the same to a reader. `benchmarks/pico.py` measures
and writes both figures and weights, so that neither is ever of another network.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Literal

from pydantic import Field, model_validator

from dvfl_mobile.documents import Document

EMBEDDED = files("dvfl_mobile.model") / "embedded"
WEIGHTS = EMBEDDED / "pico.safetensors"
CARD = EMBEDDED / "pico.json"


class RecordedScore(Document):
    """How many test videos were answered rightly by the same weights in one recipe.

    Attributes:
        target: None for PyTorch.
    """

    recipe: str
    target: str | None
    right: int = Field(ge=0)
    videos: int = Field(ge=1)

    @model_validator(mode="after")
    def _possible(self) -> RecordedScore:
        if self.right > self.videos:
            raise ValueError(f"{self.right} of {self.videos} can't be right")
        return self

    @property
    def name(self) -> str:
        """`tflite/static_wi8_ai8`, or `PyTorch`."""
        return "PyTorch" if self.target is None else f"{self.target}/{self.recipe}"

    @property
    def share(self) -> float:
        return self.right / self.videos


class ModelCard(Document):
    """What is known of the embedded student.

    Attributes:
        weights_sha256: of its source, as every manifest of it names it.
        teacher, teacher_sha256: the checkpoint that it was distilled from.
        data: where training and test videos are from, and how they were split.
        train_videos: it never saw the test's, nor others of their groups.
        command: that distilled it.
        measured_on: system and versions.
        scores: PyTorch's first.
    """

    schema_version: Literal[1] = 1
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    teacher: str
    teacher_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    data: str
    train_videos: int
    command: str
    measured_on: str
    scores: tuple[RecordedScore, ...] = Field(min_length=1)


def embedded_card() -> ModelCard:
    """The card of the student that this package brings."""
    return ModelCard.model_validate_json(CARD.read_text(encoding="utf-8"))


def card_of(sha256: str) -> ModelCard | None:
    """The card of the weights of this `WeightSource.sha256`; None for any but the embedded ones."""
    card = embedded_card()
    return card if card.weights_sha256 == sha256 else None
