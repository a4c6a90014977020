"""Training settings: with data and initial weights, all that fixes the result; official defaults. Free of torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dvfl_mobile.documents import Document

OFFICIAL_BATCH = 512
"""Clips in the step that official learning rates are given for; they grow with the batch."""


class Augmentation(Document):
    """How a training clip is drawn and changed; every draw depends on seed, epoch and video alone.

    Attributes:
        crop_area, crop_ratio: share of the picture's area that is cut out, and its width over its height.
        flip: how often a clip is mirrored; 0 where left and right mean something, as in Something-Something V2.
        jitter: how often brightness, contrast, saturation and hue change; alike in all pictures of a clip.
        grey: how often a clip loses its colours.
        mixup, cutmix: parameter of the Beta distribution of how much of its neighbour a clip takes; 0 for never.
        cutmix_share: how often it is cutmix where both are on.
        label_smoothing: share of a label that goes to all classes alike.
    """

    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = Field(default=0.5, ge=0, le=1)
    jitter: float = Field(default=0.8, ge=0, le=1)
    grey: float = Field(default=0.2, ge=0, le=1)
    mixup: float = Field(default=0.8, ge=0, le=100)
    cutmix: float = Field(default=1.0, ge=0, le=100)
    cutmix_share: float = Field(default=0.5, ge=0, le=1)
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _in_order(self) -> Augmentation:
        if not 0 < self.crop_area[0] <= self.crop_area[1] <= 1 or not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError("crop_area and crop_ratio go from the least to the most, and no area is beyond 1")
        return self

    @property
    def is_mixing(self) -> bool:
        return self.mixup > 0 or self.cutmix > 0

    @classmethod
    def none(cls) -> Augmentation:
        """Clips as they are tested on, but for their place in time; labels as they are given."""
        return cls(crop_area=(1, 1), crop_ratio=(1, 1), flip=0, jitter=0, grey=0, mixup=0, cutmix=0, label_smoothing=0)


class Distillation(Document):
    """How a student follows its teacher.

    Attributes:
        temperature: T, of both softmaxes.
        weight: alpha, the teacher's share of the loss; the labels have the rest.
        loss: `forward_kl` is the formula, `official` what the official code computes in its place (`losses`).
    """

    temperature: float = Field(default=10.0, gt=0, le=1000)
    weight: float = Field(default=0.2, ge=0, le=1)
    loss: Literal["forward_kl", "official"] = "forward_kl"


class TrainSettings(Document):
    """How to train.

    Attributes:
        epochs, warmup_epochs: times over the training clips, and for how many of these the rate grows.
        global_batch: clips in a step, over all processes together.
        micro_batch: clips that go through the network at once; a step's gradients are their sum.
        learning_rate, warmup_learning_rate, min_learning_rate: the highest, the first and the last, for a step of
            `OFFICIAL_BATCH` clips: what is used is in proportion to `global_batch`.
        weight_decay: not of biases, norms and other vectors.
        momentum: of sgd, which is Nesterov's. betas, eps: of adamw.
        clip_gradient: longest gradient of all weights together; None for any.
        drop_path: drop-path rate of the last block, growing evenly from the first.
        average: decay of the weights' moving average, which is then what is validated and kept; 0 for none.
        patience: stop after so many epochs without a better score; None: never.
    """

    epochs: int = Field(default=120, ge=1, le=100_000)
    warmup_epochs: int = Field(default=20, ge=0)
    global_batch: int = Field(default=64, ge=1, le=2**20)
    micro_batch: int = Field(default=8, ge=1, le=2**16)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    warmup_learning_rate: float = Field(default=0.001, ge=0)
    min_learning_rate: float = Field(default=0.001, ge=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    clip_gradient: float | None = Field(default=5.0, gt=0)
    drop_path: float = Field(default=0.1, ge=0, lt=1)
    average: float = Field(default=0.0, ge=0, lt=1)
    patience: int | None = Field(default=None, ge=1)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "float32"
    seed: int = Field(default=0, ge=0, lt=2**32)
    augmentation: Augmentation = Augmentation()
    distillation: Distillation | None = None

    @model_validator(mode="after")
    def _fits(self) -> TrainSettings:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"{self.warmup_epochs} warm-up epochs leave nothing of {self.epochs}")
        if self.augmentation.is_mixing and self.micro_batch % 2:
            raise ValueError("clips are mixed in pairs: micro_batch must be even, or mixup and cutmix 0")
        return self


def official_adamw() -> dict[str, float | str]:
    """The official defaults where AdamW is asked for: they differ from those of SGD."""
    return {
        "optimizer": "adamw",
        "learning_rate": 5e-4,
        "warmup_learning_rate": 5e-7,
        "min_learning_rate": 5e-6,
        "weight_decay": 0.05,
    }
