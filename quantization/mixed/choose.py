"""Mixed precision: which products stay float so that a quantized form keeps a promise, and the form that has them so.

The fewest multiply-adds that can be found so, not the fewest that there are:

1. Groups are ranked by the error that each brings alone, for each of its multiply-adds.
2. The shortest beginning of that ranking that keeps the promise when float is found by halving.
3. What turned out not to be needed becomes int8 again: the largest group first, each tried by itself.
4. Of the groups that are left, single products are tried in int8, the largest first. Each takes more tensors that
   are quantized and dequantized, so that only what saves `PAIR_WORTH` of the multiply-adds for each is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dvfl_mobile.documents import Document
from dvfl_mobile.errors import CheckFailedError, UsageError
from dvfl_mobile.metrics import Floats
from dvfl_mobile.progress import Step, silent
from dvfl_mobile.quantization.graph.forms import QuantizedForm
from dvfl_mobile.quantization.mixed.sensitivity import (
    DEFAULT_CLIPS,
    Figures,
    Sensitivity,
    check_measurable,
    figures_of,
    logits_alone,
    logits_of,
    noise_of,
)
from dvfl_mobile.quantization.mixed.units import Parts, Unit
from dvfl_mobile.quantization.settings import Promise, promised
from dvfl_mobile.wording import decibels, plural

PAIR_WORTH = 0.01
"""Share of the int8 multiply-adds that one more quantize or dequantize operator has to save."""

RECIPE = "auto"


class Trial(Document):
    """One choice that was tried.

    Attributes:
        what: in words.
        kept: names of the units that were float.
        multiply_adds: of what was float.
        is_enough: whether the promise was kept.
    """

    what: str
    kept: tuple[str, ...]
    multiply_adds: int
    figures: Figures
    is_enough: bool


class Mixed(Document):
    """What stays float, and what it costs.

    Attributes:
        clips: how many it was chosen on.
        ranked_on: how many of them the groups were ranked on.
        kept: exact paths of the products that stay float, in the network's order; what `keep` takes.
        units: the same as groups, or as operators where only a part of a group is kept.
        uniform: all products int8.
        reached: with `kept` float.
        multiply_adds: of all products that were int8, for one clip.
        kept_multiply_adds: of those that stay float.
        bytes_added: to the weights: four bytes in place of one.
        uniform_boundaries, boundaries: tensors that are quantized or dequantized, before and now.
        trials: all that was tried, in order.
    """

    schema_version: Literal[1] = 1
    promise: Promise
    clips: int
    ranked_on: int
    kept: tuple[str, ...]
    units: tuple[Unit, ...]
    uniform: Figures
    reached: Figures
    multiply_adds: int
    kept_multiply_adds: int
    bytes_added: int
    uniform_boundaries: int
    boundaries: int
    trials: tuple[Trial, ...]
    notes: tuple[str, ...] = ()

    @property
    def kept_share(self) -> float:
        """Share of the multiply-adds that stays float, 0 to 1."""
        return self.kept_multiply_adds / self.multiply_adds


def choose_kept(
    form: QuantizedForm,
    clips: NDArray[np.uint8],
    logits: Floats | None = None,
    *,
    min_agreement: float | None = None,
    min_sqnr_db: float | None = None,
    sensitivity: Sensitivity | None = None,
    step: Step = silent,
) -> Mixed:
    """Choose what stays float, as the module's text says.

    Args:
        clips: `(N,T,3,H,W)`, 0 to 255; not those of the calibration.
        logits: the reference's on them, `(N,K)`; by default the form's own without rounding.
        min_agreement: least share of the clips, 0 to 1, whose top-1 must be the reference's.
        min_sqnr_db: least SQNR of the logits.
        sensitivity: of this form, where it was measured; by default the groups are measured on some of the clips.

    Raises:
        UsageError: no promise is asked for, or one that can't be meant; nothing of the form is int8.
        InputError: there are no clips.
        CheckFailedError: the promise isn't kept even with all of it float.
    """
    promise = promised(min_agreement, min_sqnr_db)
    check_measurable(form, clips)
    parts = Parts(form)
    groups = parts.units("group")
    search = _Search(parts, clips, logits, promise, step)
    uniform = search.attempt("all int8", ())
    kept: tuple[Unit, ...] = ()
    ranked_on = 0
    if not uniform.is_enough:
        everything = search.attempt("all float", groups)
        if not everything.is_enough:
            reached = f"{_said(everything.figures)} of {plural(len(clips), 'clip')}"
            raise CheckFailedError(
                f"Even with every product float the promise isn't kept: {promise}; reached: {reached}.",
                hint="Ask for less, or look for what else differs from the reference.",
            )
        some = clips[np.linspace(0, len(clips) - 1, min(len(clips), DEFAULT_CLIPS)).round().astype(int)]
        noise, ranked_on = _noise(parts, groups, some, sensitivity, step)
        kept = search.prune(search.shortest(_ranked(groups, noise)))
        kept = search.refine(kept)
    paths = _paths(kept)
    chosen = tuple(product.path for product in parts.all.products if product.path in paths)
    return Mixed(
        promise=promise,
        clips=len(clips),
        ranked_on=ranked_on,
        kept=chosen,
        units=tuple(sorted(kept, key=lambda unit: chosen.index(unit.products[0]))),
        uniform=uniform.figures,
        reached=search.reached(kept).figures,
        multiply_adds=sum(parts.multiply_adds.values()),
        kept_multiply_adds=sum(unit.multiply_adds for unit in kept),
        bytes_added=sum(unit.float_bytes - unit.int8_bytes for unit in kept),
        uniform_boundaries=parts.all.boundaries,
        boundaries=parts.plan(chosen).boundaries,
        trials=search.trials,
        notes=_notes(form),
    )


def apply_kept(form: QuantizedForm, kept: Collection[str]) -> QuantizedForm:
    """The form with these products float and all else as it was; nothing is calibrated again.

    Their weights and biases are the student's own again; in a form of quantization-aware training, whose float
    weights nobody has, they stay what the integers stand for.

    Args:
        kept: exact paths of int8 products.

    Raises:
        UsageError: a path is none of an int8 product.
    """
    unknown = [path for path in kept if path not in form.settings.products]
    if unknown:
        raise UsageError(
            f"{unknown[0]!r} is no int8 product of this form.", hint="Name products as the table of sensitivity does."
        )
    parts = Parts(form)
    plan = parts.plan(kept)
    settings = form.settings.model_copy(
        update={
            "recipe": RECIPE,
            "keep": (*form.settings.keep, *(path for path in form.settings.products if path in kept)),
            "scales": dict(plan.scales),
            "products": {product.path: product.reads for product in plan.products},
        }
    )
    floats: dict[str, Tensor] = dict(form.floats)
    for path in kept:
        for name in (f"{path}.weight", f"{path}.bias"):
            if name in parts.floats:
                floats[name] = parts.floats[name].detach().clone()
    return QuantizedForm(
        student=form.student,
        settings=settings,
        integers={path: values for path, values in form.integers.items() if path not in kept},
        weight_scales={path: values for path, values in form.weight_scales.items() if path not in kept},
        floats=floats,
    )


class _Search:
    """Tries choices on the clips, none of them twice."""

    def __init__(
        self, parts: Parts, clips: NDArray[np.uint8], logits: Floats | None, promise: Promise, step: Step
    ) -> None:
        self._parts, self._clips, self._promise, self._step = parts, clips, promise, step
        self._operators = {unit.name: unit for unit in parts.units("operator")}
        self._tried: dict[frozenset[str], Trial] = {}
        self._known: dict[frozenset[str], Floats] = {}
        if logits is None:
            with step("run the float network", len(clips)) as advance:
                logits = logits_of(parts, parts.alone(()), _telling(clips, advance))
            self._known[frozenset(self._operators)] = logits
        self._reference = np.asarray(logits, np.float64)
        if len(self._reference) != len(clips):
            raise ValueError(f"{len(self._reference)} logits for {len(clips)} clips")

    @property
    def trials(self) -> tuple[Trial, ...]:
        return tuple(self._tried.values())

    def reached(self, kept: Sequence[Unit]) -> Trial:
        """What was found of a choice that was tried."""
        return self._tried[_paths(kept)]

    def attempt(self, what: str, kept: Sequence[Unit]) -> Trial:
        """Run the clips with `kept` float."""
        paths = _paths(kept)
        if paths not in self._tried:
            figures = figures_of(self._reference, self._logits(what, paths))
            self._tried[paths] = Trial(
                what=what,
                kept=tuple(unit.name for unit in kept),
                multiply_adds=sum(unit.multiply_adds for unit in kept),
                figures=figures,
                is_enough=self._promise.is_kept(figures, len(self._clips)),
            )
        return self._tried[paths]

    def _logits(self, what: str, paths: frozenset[str]) -> Floats:
        if paths in self._known:
            return self._known[paths]
        with self._step(f"try {what}", len(self._clips)) as advance:
            return logits_of(self._parts, self._parts.plan(paths), _telling(self._clips, advance))

    def shortest(self, ranked: Sequence[Unit]) -> tuple[Unit, ...]:
        """The shortest beginning of a ranking that is enough, by halving; all of it is known to be."""
        too_few, enough = 0, len(ranked)
        while enough - too_few > 1:
            middle = (too_few + enough) // 2
            if self.attempt(f"the {middle} that cost most float", ranked[:middle]).is_enough:
                enough = middle
            else:
                too_few = middle
        return tuple(ranked[:enough])

    def prune(self, kept: tuple[Unit, ...]) -> tuple[Unit, ...]:
        """What is left once each unit that isn't needed, the largest first, is int8 again."""
        for unit in sorted(kept, key=lambda unit: -unit.multiply_adds):
            without = tuple(other for other in kept if other is not unit)
            if self.attempt(f"{unit.name} in int8 again", without).is_enough:
                kept = without
        return kept

    def refine(self, kept: tuple[Unit, ...]) -> tuple[Unit, ...]:
        """The same for single products of the groups that are left, where that saves enough."""
        total = sum(self._parts.multiply_adds.values())
        joined = [self._operators[path] for unit in kept if len(unit.products) > 1 for path in unit.products]
        for operator in sorted(joined, key=lambda unit: -unit.multiply_adds):
            before = self._parts.plan(_paths(kept)).boundaries
            without = self._split(kept, operator)
            added = self._parts.plan(_paths(without)).boundaries - before
            if operator.multiply_adds < PAIR_WORTH * total * max(added, 0):
                continue
            if self.attempt(f"{operator.name} in int8 again", without).is_enough:
                kept = without
        return kept

    def _split(self, kept: Sequence[Unit], operator: Unit) -> tuple[Unit, ...]:
        """`kept` without one operator: the group that it was in becomes its other operators."""
        left: list[Unit] = []
        for unit in kept:
            if operator.name in unit.products:
                left += [self._operators[path] for path in unit.products if path != operator.name]
            else:
                left.append(unit)
        return tuple(left)


def _noise(
    parts: Parts, groups: Sequence[Unit], clips: NDArray[np.uint8], sensitivity: Sensitivity | None, step: Step
) -> tuple[Mapping[str, float], int]:
    """Error that each group brings alone, by its name; and on how many clips that was found."""
    if sensitivity is not None:
        return noise_of(sensitivity.groups), sensitivity.clips
    asked = {frozenset(group.products) for group in groups}
    with step("quantize each group alone", len(asked) * len(clips)) as advance:
        reference, logits = logits_alone(parts, asked, clips, advance)
    return {g.name: figures_of(reference, logits[frozenset(g.products)]).noise for g in groups}, len(clips)


def _ranked(groups: Sequence[Unit], noise: Mapping[str, float]) -> list[Unit]:
    return sorted(groups, key=lambda group: -noise[group.name] / max(group.multiply_adds, 1))


def _telling(clips: NDArray[np.uint8], advance: Callable[[], None]) -> Iterator[NDArray[np.uint8]]:
    """The clips, one by one; `advance` is called after each."""
    for clip in clips:
        yield clip
        advance()


def _paths(units: Sequence[Unit]) -> frozenset[str]:
    return frozenset(path for unit in units for path in unit.products)


def _said(figures: Figures) -> str:
    return f"{decibels(figures.sqnr_db)}, top-1 agrees on {figures.agreeing}"


def _notes(form: QuantizedForm) -> tuple[str, ...]:
    if form.settings.method != "qat":
        return ()
    return ("Products that stay float keep the weights that their integers stand for: no others are known of them.",)
