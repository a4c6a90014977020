"""How to quantize, as one frozen plan with presets, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dvfl_mobile.errors import UsageError
from dvfl_mobile.quantization.settings import Promise, QatSettings, promised
from dvfl_mobile.recipes import Recipe, recipe_named
from dvfl_mobile.spelling import option


@dataclass(frozen=True)
class Calibration:
    """The clips that scales are found on, and how ranges are chosen from them.

    Attributes:
        source: a data set's name, a folder, a CSV or `noise`.
        data_root: the folder that data sets are found in by name.
        samples: how many clips.
        observer: one of `OBSERVERS`.
        seed: of the choice of clips.
    """

    source: str
    data_root: Path | None = None
    samples: int = 64
    observer: str = "percentile"
    seed: int = 0


@dataclass(frozen=True)
class Training:
    """Quantization-aware training, on clips of the calibration's source.

    Attributes:
        samples: train on no more clips than this.
    """

    settings: QatSettings = field(default_factory=QatSettings)
    samples: int = 512


@dataclass(frozen=True)
class QuantizePlan:
    """How to quantize; made by one of the presets, or field by field.

    Attributes:
        calibration: None only for recipes that aren't calibrated.
        keep: patterns of modules that stay float.
        training: train on with rounding in place (QAT); None: quantize after training (PTQ).
        promise: what `auto` has to keep, and no other recipe has.
    """

    recipe: Recipe
    calibration: Calibration | None = None
    keep: tuple[str, ...] = ()
    training: Training | None = None
    promise: Promise | None = None

    @property
    def method(self) -> Literal["ptq", "qat"]:
        return "ptq" if self.training is None else "qat"

    @classmethod
    def ptq(cls, calibration: Calibration, keep: tuple[str, ...] = ()) -> QuantizePlan:
        """Static int8, quantized after training."""
        return cls(recipe_named("static_wi8_ai8"), calibration, keep)

    @classmethod
    def qat(cls, calibration: Calibration, training: Training | None = None) -> QuantizePlan:
        """Static int8, trained on with rounding in place."""
        return cls(recipe_named("static_wi8_ai8"), calibration, training=training or Training())

    @classmethod
    def auto(
        cls, calibration: Calibration, *, min_agreement: float | None = None, min_sqnr_db: float | None = None
    ) -> QuantizePlan:
        """Static int8, with as little kept float as keeps the promise.

        Raises:
            UsageError: nothing is promised, or what can't be meant.
        """
        return cls(recipe_named("auto"), calibration, promise=promised(min_agreement, min_sqnr_db))


def check_plan(plan: QuantizePlan) -> None:
    """Refuse, before any work, what doesn't go together.

    Raises:
        UsageError: there is no such observer, clips are missing, or a promise is asked of a recipe that keeps none.
    """
    from dvfl_mobile.quantization.calibrate.calibration import NOISE
    from dvfl_mobile.quantization.calibrate.observers import observer_exists

    name = plan.recipe.name
    if plan.calibration is not None:
        observer_exists(plan.calibration.observer)
    if plan.promise is not None and name != "auto":
        raise UsageError(
            f"{option('min_agreement')} and {option('min_sqnr_db')} go with {option('recipe', 'auto')}, and {name} was "
            "asked for.",
            hint=f"Leave {option('recipe')} out.",
        )
    if name == "auto" and plan.promise is None:
        raise UsageError(
            "auto needs a promise to keep.", hint=f"Give {option('min_agreement')} or {option('min_sqnr_db')}."
        )
    if plan.recipe.is_calibrated and plan.calibration is None:
        raise UsageError(
            f"{name} has to be calibrated on clips.",
            hint=f"Name a data set, a folder or a list with {option('calib')}; {option('calib', 'noise')} takes none, "
            "and marks the result.",
        )
    is_noise = plan.calibration is not None and plan.calibration.source == NOISE
    if plan.training is not None and (name != "static_wi8_ai8" or is_noise):
        raise UsageError(
            "qat trains static_wi8_ai8, on video.",
            hint=f"Leave {option('recipe')} out, and name clips with {option('calib')}.",
        )


def default_recipe(recipe: str | None, *, promises: bool) -> Recipe:
    """The recipe that is meant: the one asked for, else `auto` where there is a promise to keep, else static int8.

    Raises:
        UsageError: there is none of that name.
    """
    return recipe_named(recipe or ("auto" if promises else "static_wi8_ai8"))


def plan_for_deploy(recipe: Recipe, calib: str | None, *, data_root: Path | None, samples: int) -> QuantizePlan | None:
    """How deploy quantizes first; None where no clips were named.

    Raises:
        UsageError: clips were named, and the recipe takes none.
    """
    if calib is None:
        return None
    if not recipe.is_calibrated:
        raise UsageError(
            f"{recipe.name} isn't calibrated: {option('calib')} goes with static_wi8_ai8.",
            hint=f"Add {option('recipe', 'static_wi8_ai8')}.",
        )
    return QuantizePlan(recipe, Calibration(calib, data_root, samples))


def plans_for_deploy(
    recipes: Sequence[Recipe], calib: str | None, *, data_root: Path | None, samples: int
) -> list[QuantizePlan | None]:
    """As `plan_for_deploy`, for each recipe of one deploy: the clips are for those that are calibrated.

    Raises:
        UsageError: clips were named, and none of the recipes takes any.
    """
    takes = [recipe for recipe in recipes if recipe.is_calibrated] or recipes
    return [
        plan_for_deploy(recipe, calib if recipe in takes else None, data_root=data_root, samples=samples)
        for recipe in recipes
    ]
