"""Classify one video with an artifact."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.runners.base import open_runner

_TOP = 5


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


def predict(artifact: Artifact, video: Path) -> Prediction:
    """Classify one video, drawn as a single view.

    Raises:
        VideoError: the video can't be read, or is a folder or a list of them.
        InconclusiveError: nothing on this machine runs the artifact.
    """
    from dvfl_mobile.data.video import read_clip

    manifest = artifact.manifest
    clip = read_clip(video, manifest.clip)
    logits = open_runner(artifact.folder, manifest).run(clip.pixels[None])[0]
    return make_prediction(str(video), manifest, logits, [clip.damage] if clip.damage else ())


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
