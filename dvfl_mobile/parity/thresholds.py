"""The parity thresholds of each recipe, and the reason for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from dvfl_mobile import targets
from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import ArtifactError, UsageError
from dvfl_mobile.metrics import are_halves
from dvfl_mobile.recipes import RECIPES, Recipe
from dvfl_mobile.spelling import option
from dvfl_mobile.targets import Precision
from dvfl_mobile.wording import percent, printable

IN_HALF_DB, IN_HALF_TOP1 = 45.0, 0.99
_IN_HALF = (
    "The device computes in half precision, whatever the recipe says. An 11-bit significand rounds at about 66 dB; 21 "
    "dB are left for the roundings of every value on the way, which add up through the depth."
)
_IN_HALF_TOP1 = "As for fp16: more than one flip in a hundred that is no near tie is more than half precision explains."


class Thresholds(Document):
    """What a recipe must reach, and why that much.

    Attributes:
        min_sqnr_db: least SQNR over all clips' logits together.
        recipe_sqnr_db: the recipe's own, where somebody asked for another; `sqnr_reason` is then theirs.
        min_top1: least share of clips, 0 to 1, whose top-1 is the reference's or a near tie.
    """

    recipe: str
    min_sqnr_db: float
    sqnr_reason: Line
    min_top1: float = Field(ge=0, le=1)
    top1_reason: str
    recipe_sqnr_db: float | None = None

    def with_sqnr(self, min_sqnr_db: float, because: str) -> Thresholds:
        """These with another least SQNR, for a reason that every report then shows."""
        changed = {"min_sqnr_db": min_sqnr_db, "sqnr_reason": because, "recipe_sqnr_db": self.min_sqnr_db}
        return Thresholds.model_validate(self.model_dump() | changed)

    def in_half(self) -> Thresholds:
        """These for what XNNPACK computed in half precision, sums included; the same where somebody asked for others.

        Only of recipes that compute so.
        """
        known = RECIPES[self.recipe]
        if self.recipe_sqnr_db is not None:
            return self.model_copy(update={"recipe_sqnr_db": known.half_sqnr_db})
        return self.model_copy(update={"min_sqnr_db": known.half_sqnr_db, "sqnr_reason": known.half_reason})

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of a changed threshold."""
        if self.recipe_sqnr_db is None:
            return ()
        change = f"{self.min_sqnr_db:g} dB in place of the {self.recipe_sqnr_db:g} dB of {self.recipe}"
        return (f"The SQNR threshold was changed: {change}. Because: {self.sqnr_reason}",)

    @property
    def required(self) -> dict[str, str]:
        """What each check asks for, in words, by the check's name."""
        return {
            "sqnr": f"at least {self.min_sqnr_db:g} dB" + (" (changed)" if self.recipe_sqnr_db is not None else ""),
            "top1": f"at least {percent(self.min_top1)}",
            "finite": "every value",
        }

    def near_tie_width(self, reference_rms: float) -> float:
        """How close two reference logits must be for their order to mean nothing at this recipe, in logits.

        Twice the root-mean-square error that `min_sqnr_db` allows: each of the two logits off by that much, towards
        the other. The measured error must not enter: any flip at all needs an error of half the margin, so a width
        taken from it would excuse every flip, and the worse the artifact the more.
        """
        return float(2 * reference_rms * 10 ** (-self.min_sqnr_db / 20))


def thresholds_for(recipe: str, computes_in: Precision | None = None, target: str | None = None) -> Thresholds:
    """The thresholds of a recipe.

    Args:
        computes_in: what a device computes floats in, whatever the recipe says; None: as it says. In half precision no
            recipe can reach more than half precision allows.
        target: the artifact's, since one may compute what no other does; None: as everywhere.

    Raises:
        ArtifactError: no thresholds stand for it.
    """
    known = RECIPES.get(recipe)
    if known is None:
        raise ArtifactError(
            f"No parity thresholds stand for the recipe '{printable(recipe)}'.",
            hint=f"Convert the checkpoint with a recipe that can be judged: {', '.join(RECIPES)}.",
        )
    least, why = _least_sqnr(known, target)
    in_half = computes_in == "float16" and least > IN_HALF_DB
    return Thresholds(
        recipe=known.name,
        min_sqnr_db=IN_HALF_DB if in_half else least,
        sqnr_reason=_IN_HALF if in_half else why,
        min_top1=min(known.min_top1, IN_HALF_TOP1) if in_half else known.min_top1,
        top1_reason=_IN_HALF_TOP1 if in_half and known.min_top1 > IN_HALF_TOP1 else known.top1_reason,
    )


def arithmetic_of(recipe: str, delegate: object, logits: ArrayLike) -> Precision | None:
    """What XNNPACK computed logits in, for recipes that leave it the choice by the processor; None for all else.

    It shows in the logits. Where one operator has no kernel for half precision, all that follow are float32, the last
    one too: so if they are half, everything was.

    Args:
        delegate: who ran it.
        logits: `(N,K)`.
    """
    if delegate != "XNNPACK" or RECIPES[recipe].half_sqnr_db is None:
        return None
    return "float16" if are_halves(logits) else "float32"


def _least_sqnr(recipe: Recipe, target: str | None) -> tuple[float, str]:
    """The least SQNR of a recipe, and why that much: what its target says, where that says it."""
    made_for = targets.find(target) if target is not None else None
    meaning = made_for.meanings.get(recipe.name) if made_for else None
    if meaning is not None and meaning.min_sqnr_db is not None:
        return meaning.min_sqnr_db, meaning.sqnr_reason
    return recipe.min_sqnr_db, recipe.sqnr_reason


def asked_thresholds(
    recipe: str, min_sqnr_db: float | None = None, because: str | None = None, target: str | None = None
) -> Thresholds:
    """The thresholds of a recipe, on a target, with another least SQNR where one is asked for.

    Raises:
        UsageError: see `check_change`.
        ArtifactError: no thresholds stand for the recipe.
    """
    check_change(min_sqnr_db, because)
    thresholds = thresholds_for(recipe, target=target)
    return thresholds if min_sqnr_db is None else thresholds.with_sqnr(min_sqnr_db, str(because).strip())


def check_change(min_sqnr_db: float | None, because: str | None) -> None:
    """Check that a threshold isn't changed without a reason.

    Raises:
        UsageError: it is, or there is a reason and no threshold, or the threshold is no number.
    """
    if min_sqnr_db is None and because is None:
        return
    if min_sqnr_db is None:
        raise UsageError(
            f"{option('because')} gives a reason, and no threshold is changed.",
            hint=f"Add {option('min_sqnr_db', 'DB')}.",
        )
    if not np.isfinite(min_sqnr_db):
        raise UsageError(f"{option('min_sqnr_db', min_sqnr_db)} is no threshold.", hint="Give a number of decibels.")
    if not (because or "").strip():
        raise UsageError(
            f"{option('min_sqnr_db')} changes a threshold, and no reason is given.",
            hint=f"Say why with {option('because', 'TEXT')}; every report then shows it.",
        )
