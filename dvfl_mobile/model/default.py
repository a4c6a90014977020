"""The embedded default student, for when no checkpoint is at hand; and students of seeded weights, for tests and races.

The embedded one is trained: `card` says on what, and how often it is right. Seeded weights show that conversion,
parity and timing work and say nothing about accuracy; `WeightSource.kind` says which a student has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import as_file

import numpy as np
import torch
from torch import Tensor

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network, sha256_of_weights, weight_shapes
from dvfl_mobile.model.card import WEIGHTS
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.class_names import numbered_names
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.model.student import Student

DEFAULT_NAME = "embedded default (pico)"

_NORMS = ("norm", "norm1", "norm2", "ln")


def default_student() -> Student:
    """The pico that this package brings: 8x112x112, eight classes of UCF101, distilled; `card` tells the rest.

    Raises:
        MissingDependencyError: safetensors isn't installed.
    """
    with as_file(WEIGHTS) as path:
        student = load_checkpoint(path)
    # That they are stored in half precision is a fact of the file, and nothing was lost when it was read.
    return replace(student, notes=())


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
        classes=tuple(classes or numbered_names(architecture.num_classes)),
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
