"""Settings of a quantized form: all that, with its weights, fixes it. Free of torch: manifests hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pydantic import Field, model_validator

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import UsageError
from dvfl_mobile.quantization.scales import Scale
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import first_few, percent, plural

_SCALE_OF_NO_RANGE = 2.0**-23  # float32's epsilon, which torchao's observers put in the place of zero


def upgraded(document: Any) -> Any:
    """A document of schema version 1, which called the per-token scaled layers `levels`, as one of version 2."""
    if not isinstance(document, Mapping) or document.get("schema_version") != 1:
        return document
    renamed = {"per_token_scaled" if name == "levels" else name: value for name, value in document.items()}
    return {**renamed, "schema_version": 2}


class CalibrationFacts(Document):
    """On what the scales were found.

    Attributes:
        source: a data set's name, a folder or a list; `noise` where no video was used.
        is_noise: the scales were found on random pixels: nobody should ship them.
        clips: how many.
        classes: how many classes they are balanced over; 0 where the source names none.
        seed: of the choice of videos.
        observer: how ranges were chosen.
        sha256: of all clips' pixels in their order.
        degenerate: each way in which all the clips are alike, so that their ranges are no others'.
        notes: what a reader must know: videos that couldn't be read, a source without a split.
    """

    source: str
    is_noise: bool = False
    clips: int = Field(ge=1)
    classes: int = Field(ge=0)
    seed: int
    observer: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    degenerate: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class QatSettings(Document):
    """How to train on with rounding in place.

    Attributes:
        epochs: times over all training clips.
        global_batch: clips in a step, over all processes together.
        learning_rate: the highest of the schedule.
        temperature: of the distillation, both softmaxes; 10 in the official configurations of DVFL-Net.
        label_weight: of the cross entropy of labels, where there are any, beside the distillation.
        freeze_ranges_after: share of all steps after which ranges stand still, 0 to 1.
        precision: `auto` takes bfloat16 where the processor has it.
    """

    epochs: int = Field(default=3, ge=1)
    global_batch: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-5, gt=0)
    temperature: float = Field(default=10.0, gt=0)
    label_weight: float = Field(default=0.1, ge=0)
    freeze_ranges_after: float = Field(default=0.2, ge=0, le=1)
    seed: int = Field(default=0, ge=0, lt=2**32)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"


class TrainingFacts(Document):
    """How the weights were trained on with rounding in place (quantization-aware training)."""

    epochs: int
    steps: int
    global_batch: int
    learning_rate: float
    temperature: float
    label_weight: float
    processes: int
    precision: Literal["float32", "bfloat16"]
    source: str
    clips: int


class Quantization(Document):
    """How a model is quantized, without its weights.

    Attributes:
        recipe: its name.
        method: `ptq` after training, `qat` in training, `none` for recipes without scales of activations.
        keep: patterns of modules that stay float, by request or by `auto`.
        per_token_scaled: linear layers that bring their tokens to one size (`rewrites.PerTokenScaledLinear`); `levels`
            in schema version 1.
        scales: of every int8 tensor, by the edge's name; one set for all targets.
        products: the int8 products by their modules' paths, in order, each with the edge that it reads.
        calibration: on what these were found.
        training: how the weights were trained on; None for `ptq`.
    """

    schema_version: Literal[2] = 2
    recipe: str
    method: Literal["none", "ptq", "qat"]
    keep: tuple[str, ...] = ()
    per_token_scaled: tuple[str, ...] = ()
    scales: dict[str, Scale] = Field(default_factory=dict)
    products: dict[str, str] = Field(default_factory=dict)
    calibration: CalibrationFacts | None = None
    training: TrainingFacts | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, document: Any) -> Any:
        return upgraded(document)

    @property
    def degenerate(self) -> tuple[str, ...]:
        """What is wrong with the clips of calibration or the ranges found on them; empty where nothing is."""
        if self.calibration is None:
            return ()
        empty = [name for name, scale in self.scales.items() if scale.scale <= _SCALE_OF_NO_RANGE]
        said = (f"{plural(len(empty), 'int8 tensor')} had a range of zero: {first_few(empty)}",) if empty else ()
        return (*self.calibration.degenerate, *said)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What whoever ships it must know."""
        found = []
        if self.calibration is not None and self.calibration.is_noise:
            found.append(
                "Calibrated on noise, not on video: the scales fit nothing, and no artifact of them should be shipped."
            )
        if self.degenerate:
            found.append(
                f"Degenerate calibration: {'; '.join(self.degenerate)}. The scales fit such clips and no others, and "
                "no figure on such clips decides anything."
            )
        return tuple(found)


class Compared(Protocol):
    """Logits of some clips compared with the float network's."""

    @property
    def sqnr_db(self) -> float:
        """Over every logit."""

    @property
    def agreeing(self) -> int:
        """Clips whose top-1 is the float network's."""


class Promise(Document):
    """What the mixed network must reach on the clips that it is chosen on; at least one of the two.

    Attributes:
        min_agreement: least share of clips, 0 to 1, whose top-1 is the reference's.
        min_sqnr_db: least SQNR of all logits together.
    """

    min_agreement: float | None = Field(default=None, ge=0, le=1)
    min_sqnr_db: float | None = Field(default=None, allow_inf_nan=False)

    def is_kept(self, figures: Compared, clips: int) -> bool:
        """Whether so many clips' figures reach it."""
        agrees = self.min_agreement is None or figures.agreeing / clips >= self.min_agreement
        return agrees and (self.min_sqnr_db is None or figures.sqnr_db >= self.min_sqnr_db)

    def __str__(self) -> str:
        said = []
        if self.min_agreement is not None:
            said.append(f"top-1 agreement of at least {percent(self.min_agreement)}")
        if self.min_sqnr_db is not None:
            said.append(f"SQNR of at least {self.min_sqnr_db:g} dB")
        return " and ".join(said)


def promised(min_agreement: float | None = None, min_sqnr_db: float | None = None) -> Promise:
    """The promise of at least one of the two.

    Raises:
        UsageError: neither is asked for, or one that can't be meant.
    """
    if min_agreement is None and min_sqnr_db is None:
        raise UsageError(
            "Nothing is promised.", hint=f"Give {option('min_agreement')}, {option('min_sqnr_db')}, or both."
        )
    if min_agreement is not None and not 0 <= min_agreement <= 1:
        raise UsageError(
            f"An agreement of {min_agreement:g} can't be.", hint="Give a share: 0.98 is 98 % of the clips."
        )
    if min_sqnr_db is not None and not math.isfinite(min_sqnr_db):
        raise UsageError(f"An SQNR of {min_sqnr_db:g} dB can't be asked for.", hint="Give decibels, such as 25.")
    return Promise(min_agreement=min_agreement, min_sqnr_db=min_sqnr_db)
