"""Sensitivity analysis: the error of quantizing each part of the network alone, all else float, on the same clips."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import CheckpointError, InputError, UsageError
from dvfl_mobile.metrics import Floats, compared, kl_nats, non_finite
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.graph.forms import QuantizedForm
from dvfl_mobile.quantization.mixed.units import Parts, Plan, Unit
from dvfl_mobile.spelling import option

DEFAULT_CLIPS = 4

_QAT_NOTE = (
    "This form was trained with rounding in place, and its weights are known in int8 alone: the float network of the "
    "comparison has these weights too, so that only the rounding of activations is measured."
)


class Figures(Document):
    """Logits held against the float network's, all clips together.

    Attributes:
        sqnr_db: over every logit; `inf` where all are identical, `-inf` where some aren't finite.
        agreeing: clips whose top-1 is the float network's.
        kl_nats: of the softmaxes, mean over clips.
    """

    sqnr_db: float = Field(ge=-np.inf)
    agreeing: int
    kl_nats: float = Field(ge=0)

    @property
    def noise(self) -> float:
        """Error's power as a share of the logits' own."""
        return float(10 ** (-self.sqnr_db / 10))


class UnitCost(Document):
    """A unit, and how far quantizing it alone takes the logits from the float network's."""

    unit: Unit
    figures: Figures


class Sensitivity(Document):
    """What each part costs.

    Attributes:
        method: `ptq` or `qat`, of the form that was measured.
        clips: how many.
        multiply_adds: of all int8 products, for one clip.
        whole: all of them int8.
        blocks, groups, operators: each alone, in the network's order.
    """

    schema_version: Literal[1] = 1
    method: Literal["ptq", "qat"]
    clips: int = Field(ge=1)
    multiply_adds: int
    whole: Figures
    blocks: tuple[UnitCost, ...]
    groups: tuple[UnitCost, ...]
    operators: tuple[UnitCost, ...]
    notes: tuple[str, ...] = ()

    def share(self, unit: Unit) -> float:
        """Its share of the int8 products' multiply-adds, 0 to 1."""
        return unit.multiply_adds / self.multiply_adds if self.multiply_adds else 0.0


def measure_sensitivity(
    form: QuantizedForm, clips: NDArray[np.uint8], step: Step = silent, parts: Parts | None = None
) -> Sensitivity:
    """Quantize each block, group and operator alone, and compare with the float network.

    Args:
        clips: `(N,T,3,H,W)`, 0 to 255; `DEFAULT_CLIPS` of them are enough to see which parts cost most.
        step: a unit's every clip is a part of the step.
        parts: of `form`, where they are at hand.

    Raises:
        InputError: there are no clips.
        UsageError: nothing of the form is int8.
        CheckpointError: the float network's logits aren't finite.
    """
    check_measurable(form, clips)
    parts = Parts(form) if parts is None else parts
    units = {kind: parts.units(kind) for kind in ("block", "group", "operator")}
    everything = frozenset(product.path for product in parts.all.products)
    asked = {frozenset(unit.products) for kind in units.values() for unit in kind} | {everything}
    with step("quantize each part alone", len(asked) * len(clips)) as advance:
        reference, logits = logits_alone(parts, asked, clips, advance)
    figures = {products: figures_of(reference, found) for products, found in logits.items()}
    costs = {
        kind: tuple(UnitCost(unit=unit, figures=figures[frozenset(unit.products)]) for unit in found)
        for kind, found in units.items()
    }
    is_qat = form.settings.method == "qat"
    return Sensitivity(
        method="qat" if is_qat else "ptq",
        clips=len(clips),
        multiply_adds=sum(parts.multiply_adds.values()),
        whole=figures[everything],
        blocks=costs["block"],
        groups=costs["group"],
        operators=costs["operator"],
        notes=(_QAT_NOTE,) if is_qat else (),
    )


def check_measurable(form: QuantizedForm, clips: NDArray[np.uint8]) -> None:
    """Refuse what can't be measured, before any work.

    Raises:
        InputError: there are no clips.
        UsageError: nothing of the form is int8.
    """
    if len(clips) == 0:
        raise InputError("There are no clips to measure on.", hint=f"Name videos with {option('calib')}.")
    if not form.settings.products:
        raise UsageError(
            f"{form.settings.recipe} has no int8 products: there is nothing to measure.",
            hint=f"Use {option('recipe', 'static_wi8_ai8')}.",
        )


def logits_alone(
    parts: Parts,
    asked: Collection[frozenset[str]],
    clips: NDArray[np.uint8],
    advance: Callable[[], None] = lambda: None,
) -> tuple[Floats, dict[frozenset[str], Floats]]:
    """Logits, `(N,K)`, of the float network, and with each set of products int8 by itself.

    Up to where a set begins, the network is float: that much is run once for all of them. A clip is done with all
    sets before the next, so that the values of one clip alone are held.
    """
    nothing = parts.alone(())
    plans = sorted(((parts.alone(products), products) for products in asked), key=lambda p: parts.start_of(p[0]))
    reference: list[Floats] = []
    found: dict[frozenset[str], list[Floats]] = {products: [] for products in asked}
    for clip in clips:
        run = parts.begin(clip)
        for plan, products in plans:
            run = parts.advance(nothing, run, parts.start_of(plan))
            found[products].append(_numbers(parts.run(plan, run)))
            advance()
        reference.append(_numbers(parts.run(nothing, run)))
    together = np.concatenate(reference)
    if non_finite(together).any():
        raise CheckpointError(
            "The float network's own logits are not finite: nothing compares with those.",
            hint="The checkpoint's weights are damaged or have diverged; use another.",
        )
    return together, {products: np.concatenate(logits) for products, logits in found.items()}


def logits_of(parts: Parts, plan: Plan, clips: Iterable[NDArray[np.uint8]]) -> Floats:
    """Logits, `(N,K)`, of one plan."""
    return np.concatenate([_numbers(parts.logits(plan, clip)) for clip in clips])


def figures_of(reference: Floats, logits: Floats) -> Figures:
    """How far `logits`, `(N,K)`, lie from the reference's."""
    finite = ~non_finite(logits, reference).any(axis=1)
    agreeing = int(np.count_nonzero(finite & (reference.argmax(1) == logits.argmax(1))))
    if not finite.all():
        return Figures(sqnr_db=float("-inf"), agreeing=agreeing, kl_nats=float("inf"))
    left = compared(reference, logits)
    if left.sqnr_db is None:
        raise InputError(
            "On every clip one and the same class has all the probability: what quantization costs can't be measured.",
            hint="Give clips of several classes, which the network tells apart.",
        )
    return Figures(sqnr_db=left.sqnr_db, agreeing=agreeing, kl_nats=kl_nats(left.reference, left.candidate))


def noise_of(costs: Iterable[UnitCost]) -> Mapping[str, float]:
    """Error's power that each unit brings by itself, by its name."""
    return {cost.unit.name: cost.figures.noise for cost in costs}


def _numbers(logits: torch.Tensor) -> Floats:
    return logits.numpy().astype(np.float64)
