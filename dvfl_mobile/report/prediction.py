"""Prediction: the classes that an artifact finds likeliest in one video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.parity.report import Document, Line, weights_notes

_TOP = 5
_BAR_WIDTH = 24


class ClassProbability(Document):
    """A class and its probability by the softmax of the logits, 0 to 1."""

    name: Line
    probability: float


class Prediction(Document):
    """What an artifact says of one video: its likeliest classes first."""

    schema_version: Literal[1] = 1
    video: Line
    model: Line
    target: str
    recipe: str
    classes: tuple[ClassProbability, ...]
    notes: tuple[Line, ...]


def make_prediction(
    video: str, manifest: Manifest, logits: NDArray[np.float32], notes: Sequence[str] = ()
) -> Prediction:
    """The likeliest classes by `logits`, `(K,)`; `notes` are what a reader must know of the clip."""
    odds = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = odds / odds.sum()
    best = np.argsort(-probabilities, kind="stable")[:_TOP]
    return Prediction(
        video=video,
        model=manifest.model,
        target=manifest.target,
        recipe=manifest.recipe,
        classes=tuple(
            ClassProbability(name=manifest.classes[index], probability=float(probabilities[index])) for index in best
        ),
        notes=(*weights_notes(manifest.weights.kind), *notes),
    )


def terminal(prediction: Prediction) -> RenderableType:
    """What was asked of which artifact, a bar for each class, and the notes."""
    title = f"{prediction.video}, by {prediction.model}/{prediction.target}/{prediction.recipe}"
    table = Table.grid(padding=(0, 2))
    for entry in prediction.classes:
        bar = "█" * round(entry.probability * _BAR_WIDTH)
        table.add_row(Text(f"{entry.probability:6.1%}"), Text(entry.name), Text(bar, "cyan"))
    notes = [Text(), *(Text(note, "yellow") for note in prediction.notes)] if prediction.notes else []
    return Group(Text(title, "bold"), table, *notes)
