"""What each recipe must reach to pass parity, and why that much."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from pydantic import Field

from dvfl_mobile.documents import Document, Line
from dvfl_mobile.errors import ArtifactError, UsageError
from dvfl_mobile.wording import percent, printable


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

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of a changed threshold."""
        if self.recipe_sqnr_db is None:
            return ()
        told = f"{self.min_sqnr_db:g} dB in place of the {self.recipe_sqnr_db:g} dB of {self.recipe}"
        return (f"The SQNR threshold was changed: {told}. Because: {self.sqnr_reason}",)

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


THRESHOLDS: Mapping[str, Thresholds] = MappingProxyType(
    {
        each.recipe: each
        for each in (
            Thresholds(
                recipe="fp32",
                min_sqnr_db=110,
                sqnr_reason="A 24-bit significand rounds at about 144 dB; 34 dB are left for sums taken in another "
                "order through the depth. An approximated function or a wrong operator lands far below.",
                min_top1=1,
                top1_reason="The same arithmetic has to choose the same class on every clip.",
            ),
            Thresholds(
                recipe="fp16",
                min_sqnr_db=45,
                sqnr_reason="An 11-bit significand rounds at about 66 dB; 21 dB are left for the roundings that add up "
                "through the depth, as much as some 125 independent ones.",
                min_top1=0.99,
                top1_reason="A rare clip's own error may exceed the average; more than one flip in a hundred that is "
                "no near tie is more than half precision explains.",
            ),
            Thresholds(
                recipe="dynamic_wi8_afp32",
                min_sqnr_db=22,
                sqnr_reason="Eight bits round at about 40 dB in a token of ordinary shape; 18 dB are left for the "
                "roundings of weights and activations that add up through some fifty products.",
                min_top1=0.985,
                top1_reason="Scales follow each row, so that no clip meets a range that it wasn't made for: flips stay "
                "near ties.",
            ),
            Thresholds(
                recipe="static_wi8_ai8",
                min_sqnr_db=20,
                sqnr_reason="Eight bits and one scale for all tokens leave about 36 dB at an edge; 16 dB are left for "
                "the hundred edges that add up through the depth. Below it, a tenth of the logits' size is noise.",
                min_top1=0.97,
                top1_reason="Three flips in a hundred that are no near tie cost more accuracy than int8 is worth.",
            ),
            Thresholds(
                recipe="weight_only_wi8_afp32",
                min_sqnr_db=26,
                sqnr_reason="Weights of eight bits round at about 40 dB by channel, and activations not at all; 14 dB "
                "are left for what adds up through the depth.",
                min_top1=0.985,
                top1_reason="As for dynamic quantization, with less to round.",
            ),
            Thresholds(
                recipe="weight_only_wi4_afp32",
                min_sqnr_db=8,
                sqnr_reason="Weights of four bits round at about 17 dB: such a network is another one, and only a "
                "test of its accuracy says whether it will do.",
                min_top1=0.85,
                top1_reason="Sixteen values for a weight change what near decisions come to; evaluate says what that "
                "costs.",
            ),
            Thresholds(
                recipe="palettized_wi4_afp16",
                min_sqnr_db=10,
                sqnr_reason="Sixteen values placed by k-means round a weight at about 20 dB, 3 dB better than evenly "
                "spaced ones.",
                min_top1=0.95,
                top1_reason="As for four-bit weights, with values placed where the weights are.",
            ),
            Thresholds(
                recipe="auto",
                min_sqnr_db=20,
                sqnr_reason="Static int8, but for what costs most.",
                min_top1=0.97,
                top1_reason="As for static int8: what is kept in float only helps.",
            ),
        )
    }
)


def thresholds_for(recipe: str) -> Thresholds:
    """The thresholds of a recipe.

    Raises:
        ArtifactError: no thresholds stand for it.
    """
    if recipe not in THRESHOLDS:
        raise ArtifactError(
            f"No parity thresholds stand for the recipe '{printable(recipe)}'.",
            hint=f"Convert the checkpoint with a recipe that can be judged: {', '.join(THRESHOLDS)}.",
        )
    return THRESHOLDS[recipe]


def asked_thresholds(recipe: str, min_sqnr_db: float | None = None, because: str | None = None) -> Thresholds:
    """The thresholds of a recipe, with another least SQNR where one is asked for.

    Raises:
        UsageError: see `check_change`.
        ArtifactError: no thresholds stand for the recipe.
    """
    check_change(min_sqnr_db, because)
    thresholds = thresholds_for(recipe)
    return thresholds if min_sqnr_db is None else thresholds.with_sqnr(min_sqnr_db, str(because).strip())


def check_change(min_sqnr_db: float | None, because: str | None) -> None:
    """Check that a threshold isn't changed without a reason.

    Raises:
        UsageError: it is, or there is a reason and no threshold, or the threshold is no number.
    """
    if min_sqnr_db is None and because is None:
        return
    if min_sqnr_db is None:
        raise UsageError("--because gives a reason, and no threshold is changed.", hint="Add --min-sqnr DB.")
    if not np.isfinite(min_sqnr_db):
        raise UsageError(f"--min-sqnr {min_sqnr_db} is no threshold.", hint="Give a number of decibels.")
    if not (because or "").strip():
        raise UsageError(
            "--min-sqnr changes a threshold, and no reason is given.",
            hint="Say why with --because TEXT; every report then shows it.",
        )
