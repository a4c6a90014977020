"""Parity: an artifact's logits against the reference form's, on the same clips, and the verdict.

Every metric is computed in float64. An undecided question is an inconclusive verdict, never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.errors import (
    ArtifactError,
    CheckFailedError,
    CheckpointError,
    InconclusiveError,
    InputError,
    UsageError,
)
from dvfl_mobile.metrics import Floats, cosine, kl_nats, sqnr_db, top5_overlap
from dvfl_mobile.version import __version__
from dvfl_mobile.wording import decibels, percent, plural, printable

SEEDED_NOTE = (
    "These weights are seeded, not trained: the figures say how closely the artifact computes what PyTorch "
    "computes, and nothing about accuracy."
)

EXECUTOR_NOTE = (
    "Run by a reference executor: it computes what the artifact says, operator by operator, and shows nothing of a "
    "device's own kernels, their roundings and their times."
)

EMULATED_NOTE = (
    "Run under an emulator: the numbers are those of the kernels that such a processor's features choose. How long it "
    "takes there means nothing."
)

_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_NAMED_AT_MOST = 5

Line = Annotated[str, BeforeValidator(printable)]
Decibels = Annotated[float, Field(ge=-np.inf)]


class Document(BaseModel):
    """What every part of a report is: frozen, closed, and valid JSON."""

    # An infinite SQNR is the string "Infinity" in JSON, which has no token for it; null: the logits were not finite.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Verdict(StrEnum):
    """What a comparison ended with."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_code(self) -> int:
        """0, 5 or 7."""
        codes = {Verdict.FAIL: CheckFailedError.exit_code, Verdict.INCONCLUSIVE: InconclusiveError.exit_code}
        return codes.get(self, 0)


def worst_of(verdicts: Sequence[Verdict]) -> Verdict:
    """Fail if any failed, else inconclusive if any is (or there are none at all), else pass."""
    if Verdict.FAIL in verdicts:
        return Verdict.FAIL
    if Verdict.INCONCLUSIVE in verdicts or not verdicts:
        return Verdict.INCONCLUSIVE
    return Verdict.PASS


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


class ClipMetrics(Document):
    """One clip. What can't be measured, because the candidate's logits aren't finite, is None.

    Attributes:
        label: the clip's true class, where known; no metric reads it.
        reference_top1, candidate_top1: classes.
        flip_margin: where these differ, how far the reference's own logits put the one above the other.
        non_finite: candidate values that are NaN, infinite or beyond float32.
    """

    name: Line
    label: int | None
    reference_top1: int
    candidate_top1: int | None
    flip_margin: FiniteFloat | None
    sqnr_db: Decibels | None
    max_abs_diff: FiniteFloat | None
    cosine: FiniteFloat | None
    kl_nats: FiniteFloat | None
    top5_overlap: FiniteFloat | None
    non_finite: int

    @property
    def agrees(self) -> bool:
        return self.candidate_top1 == self.reference_top1


class PooledMetrics(Document):
    """All clips' logits together: SQNR and cosine over every value, KL and top-5 overlap as means over clips.

    Attributes:
        agreeing: clips whose top-1 is the reference's, near ties not counted.
        reference_rms: root mean square of the reference's logits.
        worst_clip: the clip of lowest SQNR, or the first whose logits aren't finite.
    """

    clips: int = Field(ge=1)
    agreeing: int
    sqnr_db: Decibels | None
    max_abs_diff: FiniteFloat | None
    cosine: FiniteFloat | None
    kl_nats: FiniteFloat | None
    top5_overlap: FiniteFloat | None
    reference_rms: FiniteFloat
    non_finite: int
    worst_clip: Line
    worst_sqnr_db: Decibels | None

    @property
    def agreement(self) -> str:
        """`111 of 112`."""
        return f"{self.agreeing} of {self.clips}"


class Measurement(Document):
    """Every clip's metrics, in the order of the clips, and the pooled ones."""

    clips: tuple[ClipMetrics, ...]
    pooled: PooledMetrics


def measure(
    reference: ArrayLike, candidate: ArrayLike, names: Sequence[str], labels: Sequence[int | None] | None = None
) -> Measurement:
    """Compare logits, clip by clip and pooled.

    Args:
        reference: `(N,K)`, the reference form's.
        candidate: `(N,K)`, the artifact's.
        names: N names of clips.
        labels: N true classes, where they are known.

    Raises:
        InputError: there are no clips.
        CheckpointError: the reference's own logits aren't finite.
        ArtifactError: the artifact gave logits of another shape.
    """
    expected, actual = np.asarray(reference, np.float64), np.asarray(candidate, np.float64)
    _check_logits(expected, actual)
    labels = [None] * len(names) if labels is None else labels
    rows = [
        _clip_metrics(name, label, one, other)
        for name, label, one, other in zip(names, labels, expected, actual, strict=True)
    ]
    # A clip that can't be measured comes first, then the lowest SQNR.
    worst = min(rows, key=lambda row: (row.sqnr_db is not None, row.sqnr_db or 0.0))
    pooled = PooledMetrics(
        clips=len(rows),
        agreeing=sum(row.agrees for row in rows),
        reference_rms=float(np.sqrt(np.mean(expected**2))),
        worst_clip=worst.name,
        worst_sqnr_db=worst.sqnr_db,
        **_figures(expected, actual),
    )
    return Measurement(clips=tuple(rows), pooled=pooled)


def _check_logits(reference: Floats, candidate: Floats) -> None:
    if reference.ndim != 2 or reference.shape[1] == 0:
        raise ValueError(f"logits must be (N,K), not {reference.shape}")
    if len(reference) == 0:
        raise InputError("There are no clips to compare on.", hint="Name a video, or a folder of them, with --clips.")
    if candidate.shape != reference.shape:
        raise ArtifactError(
            f"The artifact gave logits of shape {candidate.shape}, the reference form {reference.shape}.",
            hint="Compare it with the checkpoint that it was made from, or convert that checkpoint again.",
        )
    if bad := _count_non_finite(reference):
        raise CheckpointError(
            f"{bad} of the reference form's own {reference.size} logits are not finite: nothing compares with those.",
            hint="The checkpoint's weights are damaged or have diverged; use another.",
        )


def _clip_metrics(name: str, label: int | None, reference: Floats, candidate: Floats) -> ClipMetrics:
    figures = _figures(reference, candidate)
    chosen = int(reference.argmax())
    answer = None if figures["non_finite"] else int(candidate.argmax())
    margin = None if answer in (None, chosen) else float(reference[chosen] - reference[answer])
    return ClipMetrics(
        name=name, label=label, reference_top1=chosen, candidate_top1=answer, flip_margin=margin, **figures
    )


def _figures(reference: Floats, candidate: Floats) -> dict[str, Any]:
    non_finite = _count_non_finite(candidate)
    if non_finite:
        names = ("sqnr_db", "max_abs_diff", "cosine", "kl_nats", "top5_overlap")
        return dict.fromkeys(names) | {"non_finite": non_finite}
    return {
        "sqnr_db": sqnr_db(reference, candidate),
        "max_abs_diff": float(np.abs(reference - candidate).max()),
        "cosine": cosine(reference, candidate),
        "kl_nats": kl_nats(reference, candidate),
        "top5_overlap": top5_overlap(reference, candidate),
        "non_finite": 0,
    }


def _count_non_finite(values: Floats) -> int:
    # NaN compares false. Values beyond float32 count too: their squares would overflow what follows.
    return int(np.count_nonzero(~(np.abs(values) <= _LARGEST_FLOAT32)))


class Check(Document):
    """One threshold held against what was measured.

    Attributes:
        name: `sqnr`, `top1` or `finite`.
        sentence: what was found, to be read alone.
    """

    name: str
    required: str
    measured: str
    verdict: Verdict
    sentence: Line


def judge(measurement: Measurement, thresholds: Thresholds) -> tuple[Check, ...]:
    """Hold a measurement against the thresholds of its recipe."""
    return (
        _judge_sqnr(measurement.pooled, thresholds),
        _judge_top1(measurement, thresholds),
        _judge_finite(measurement, thresholds),
    )


def near_ties(clips: Iterable[ClipMetrics], pooled: PooledMetrics, thresholds: Thresholds) -> tuple[ClipMetrics, ...]:
    """Clips whose top-1 flipped between classes that the reference itself puts within the recipe's near-tie width."""
    width = thresholds.near_tie_width(pooled.reference_rms)
    return tuple(row for row in clips if row.flip_margin is not None and row.flip_margin <= width)


def _judge_sqnr(pooled: PooledMetrics, thresholds: Thresholds) -> Check:
    required = thresholds.required["sqnr"]
    whose = thresholds.recipe if thresholds.recipe_sqnr_db is None else "changed"
    bound = f"{thresholds.min_sqnr_db:g} dB ({whose})"
    measured = decibels(pooled.sqnr_db)
    if pooled.sqnr_db is None:
        sentence = "SQNR can't be measured: some of the artifact's logits are not finite."
        return Check(name="sqnr", required=required, measured=measured, verdict=Verdict.FAIL, sentence=sentence)
    passed = pooled.sqnr_db >= thresholds.min_sqnr_db
    return Check(
        name="sqnr",
        required=required,
        measured=measured,
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        sentence=f"SQNR {measured} is {'at least' if passed else 'below'} {bound}.",
    )


def _judge_top1(measurement: Measurement, thresholds: Thresholds) -> Check:
    pooled = measurement.pooled
    ties = len(near_ties(measurement.clips, pooled, thresholds))
    passed = (pooled.agreeing + ties) / pooled.clips >= thresholds.min_top1
    excused = f" (and {plural(ties, 'near tie')})" if ties else ""
    return Check(
        name="top1",
        required=thresholds.required["top1"],
        measured=pooled.agreement + (f" + {plural(ties, 'near tie')}" if ties else ""),
        verdict=Verdict.PASS if passed else Verdict.FAIL,
        sentence=f"Top-1 agrees with the reference on {pooled.agreement} clips{excused}; "
        f"at least {percent(thresholds.min_top1)} must ({thresholds.recipe}).",
    )


def _judge_finite(measurement: Measurement, thresholds: Thresholds) -> Check:
    bad = [row.name for row in measurement.clips if row.non_finite]
    count = measurement.pooled.non_finite
    where = f"{plural(count, 'value')} in {plural(len(bad), 'clip')}"
    named = ", ".join(bad[:_NAMED_AT_MOST]) + (f" and {len(bad) - _NAMED_AT_MOST} more" if bad[_NAMED_AT_MOST:] else "")
    return Check(
        name="finite",
        required=thresholds.required["finite"],
        measured=f"all but {where}" if bad else "all",
        verdict=Verdict.FAIL if bad else Verdict.PASS,
        sentence=f"The artifact's logits are not finite: {where} ({named})."
        if bad
        else "All of the artifact's logits are finite.",
    )


class ArtifactFacts(Document):
    """Which artifact: `path` is its folder, `classes` the names of its K classes, where they are known."""

    model: Line
    target: str
    recipe: str
    path: Line
    classes: tuple[Line, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, folder: Path, classes: Sequence[str] | None = None) -> Self:
        """Those of the artifact in a folder; `classes` where it knows no names, and somebody else does."""
        return cls(
            model=manifest.model,
            target=manifest.target,
            recipe=manifest.recipe,
            path=str(folder),
            classes=manifest.classes if classes is None else tuple(classes),
        )

    def class_name(self, index: int | None) -> str:
        """The name of a class, or its number where no name is known; `-` for None."""
        if index is None:
            return "-"
        return self.classes[index] if 0 <= index < len(self.classes) else f"class {index}"


class ClipFacts(Document):
    """Which clips: how many, where from, and a sentence for each that was damaged."""

    count: int = Field(ge=0)
    source: Line
    notes: tuple[Line, ...] = ()


class SecondOpinion(Document):
    """The same file, run by another runtime on the same clips. Made by `opinions.compared`.

    Attributes:
        name: as on the command line.
        title: what it is, in words.
        runner: what the other runner knows of itself.
        pytorch: the other runner against the reference form.
        first: the other runner against the first one; None where the first one's logits aren't all finite.
        check: whether the two differ by no more than they may.
    """

    name: str
    title: str
    runner: dict[str, Line | int | bool | None]
    pytorch: PooledMetrics
    first: PooledMetrics | None
    check: Check


class ParityReport(Document):
    """One comparison with everything that it rests on. Made by `decided` or `undecided`.

    Attributes:
        runner: what the runner knows of itself: runtime, version, device, threads.
        weights: `seeded` weights show parity and say nothing about accuracy; `notes` then says so.
        reasons: a sentence for each check that did not pass.
        near_ties: names of clips whose top-1 flipped between classes too close to tell apart.
        pooled: None where nothing could be run.
        second_opinions: the same file under other runtimes, where they were asked for; their checks are among `checks`.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    verdict: Verdict
    reasons: tuple[Line, ...]
    artifact: ArtifactFacts
    weights: Literal["checkpoint", "seeded"]
    runner: dict[str, Line | int | bool | None]
    clips: ClipFacts
    thresholds: Thresholds
    checks: tuple[Check, ...]
    near_ties: tuple[Line, ...] = ()
    notes: tuple[Line, ...] = ()
    pooled: PooledMetrics | None = None
    rows: tuple[ClipMetrics, ...] = ()
    second_opinions: tuple[SecondOpinion, ...] = ()

    @model_validator(mode="after")
    def _verdict_follows(self) -> ParityReport:
        if self.verdict != worst_of([check.verdict for check in self.checks]):
            raise ValueError(f"the verdict {self.verdict.value} does not follow from the checks")
        if (self.verdict is Verdict.INCONCLUSIVE) != (self.pooled is None):
            raise ValueError("a report is inconclusive exactly where nothing was measured")
        return self


def decided(
    artifact: ArtifactFacts,
    runner: Mapping[str, str | int | bool | None],
    clips: ClipFacts,
    weights: Literal["checkpoint", "seeded"],
    measurement: Measurement,
    thresholds: Thresholds | None = None,
    opinions: Sequence[SecondOpinion] = (),
) -> ParityReport:
    """The report on an artifact that was run: pass or fail; by `thresholds`, or else the recipe's own.

    Raises:
        ArtifactError: no thresholds stand for the artifact's recipe.
    """
    thresholds = thresholds or thresholds_for(artifact.recipe)
    checks = (*judge(measurement, thresholds), *(opinion.check for opinion in opinions))
    return ParityReport(
        tool_version=__version__,
        verdict=worst_of([check.verdict for check in checks]),
        reasons=tuple(check.sentence for check in checks if check.verdict is not Verdict.PASS),
        artifact=artifact,
        weights=weights,
        runner=dict(runner),
        clips=clips,
        thresholds=thresholds,
        checks=checks,
        near_ties=tuple(row.name for row in near_ties(measurement.clips, measurement.pooled, thresholds)),
        notes=(*weights_notes(weights), *runner_notes(runner), *thresholds.notes),
        pooled=measurement.pooled,
        rows=measurement.clips,
        second_opinions=tuple(opinions),
    )


def undecided(
    artifact: ArtifactFacts,
    runner: Mapping[str, str | int | bool | None],
    clips: ClipFacts,
    weights: Literal["checkpoint", "seeded"],
    why: str,
    thresholds: Thresholds | None = None,
) -> ParityReport:
    """The report on an artifact that nothing here could run: inconclusive, for the reason that `why` gives.

    Raises:
        ArtifactError: no thresholds stand for the artifact's recipe.
    """
    thresholds = thresholds or thresholds_for(artifact.recipe)
    return ParityReport(
        tool_version=__version__,
        verdict=Verdict.INCONCLUSIVE,
        reasons=(why,),
        artifact=artifact,
        weights=weights,
        runner=dict(runner),
        clips=clips,
        thresholds=thresholds,
        checks=tuple(
            Check(name=name, required=required, measured="not measured", verdict=Verdict.INCONCLUSIVE, sentence=why)
            for name, required in thresholds.required.items()
        ),
        notes=(*weights_notes(weights), *thresholds.notes),
    )


def runner_notes(runner: Mapping[str, str | int | bool | None]) -> tuple[str, ...]:
    """What a reader must know of a runner by what it knows of itself."""
    executed = (EXECUTOR_NOTE,) if runner.get("executor") == "reference" else ()
    emulated = (EMULATED_NOTE,) if runner.get("kind") == "emulated" else ()
    return executed + emulated


def weights_notes(weights: str) -> tuple[str, ...]:
    """What a reader must know of weights of that kind."""
    return (SEEDED_NOTE,) if weights == "seeded" else ()
