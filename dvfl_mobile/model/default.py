"""The embedded default student: a nano with seeded weights, for when no checkpoint is at hand.

It shows that conversion, parity and timing work. It was never trained: what it predicts says nothing about
accuracy, and `Student.is_trained` is False so that every place can say so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.clips import ClipSpec
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network, sha256_of_weights, weight_shapes
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.model.student import Student
from dvfl_mobile.shapes import SHAPE_CLASSES

DEFAULT_NAME = "embedded default (seeded weights)"

_NORMS = ("norm", "norm1", "norm2", "ln")


def default_student() -> Student:
    """The nano at 8x224x224 with seeded weights and a logit for each of `SHAPE_CLASSES`. Never trained."""
    return seeded_student(Architecture.variant("nano", len(SHAPE_CLASSES)), SHAPE_CLASSES, name=DEFAULT_NAME)


def seeded_student(
    architecture: Architecture, classes: Sequence[str] | None = None, *, seed: int = 0, name: str = "seeded weights"
) -> Student:
    """A student of any architecture with seeded weights, the same to the bit on every machine. Never trained.

    Args:
        classes: a name for each logit; `class_0`, `class_1`, … where none are given.
    """
    weights = _seeded_weights(architecture, seed)
    return Student(
        network=build_network(architecture, weights),
        architecture=architecture,
        classes=tuple(classes or (f"class_{index}" for index in range(architecture.num_classes))),
        clip=ClipSpec.official(architecture.num_frames, architecture.img_size),
        source=WeightSource(
            kind="seeded",
            name=name,
            sha256=sha256_of_weights(weights),
            size_bytes=sum(value.nbytes for value in weights.values()),
        ),
    )


def _seeded_weights(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """Weights that keep activations near unit variance, so that every layer has something to say.

    Uniform, with the variance that suits each kind of tensor. They are made of integers from MT19937's raw stream
    (frozen by numpy) and single correctly rounded float32 products, so no math library can change a bit of them.
    """
    stream = np.random.RandomState(seed)
    return {
        key: torch.from_numpy(_seeded_tensor(stream, key, shape))
        for key, shape in sorted(weight_shapes(architecture).items())
    }


def _seeded_tensor(stream: np.random.RandomState, key: str, shape: tuple[int, ...]) -> np.ndarray:
    integers = np.frombuffer(stream.bytes(2 * int(np.prod(shape))), dtype="<i2").reshape(shape)
    unit = integers.astype(np.float32) * np.float32(3**0.5 / 2**15)
    layer, _, kind = key.rpartition(".")
    if kind == "weight" and layer.rpartition(".")[2] in _NORMS:
        return np.float32(1) + np.float32(0.1) * unit
    if len(shape) == 1:
        return np.float32(0.1) * unit
    return unit / np.sqrt(np.float32(np.prod(shape[1:])))
