"""EvaluationReport: every video's answers, both runners' accuracy, and the interval of their difference."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, FiniteFloat, model_validator

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.documents import Document, Line, Verdict
from dvfl_mobile.evaluation import paired
from dvfl_mobile.evaluation.confusion import Confused


class VideoOutcome(Document):
    """What both said of one video.

    Attributes:
        artifact_top1: None where its logits aren't finite, which counts as wrong.
        reference_in_top5, artifact_in_top5: whether the label is among the five likeliest classes.
        agree: whether both chose the same class, right or wrong.
    """

    name: Line
    label: int
    reference_top1: int
    artifact_top1: int | None
    reference_in_top5: bool
    artifact_in_top5: bool
    agree: bool

    @property
    def reference_right(self) -> bool:
        return self.reference_top1 == self.label

    @property
    def artifact_right(self) -> bool:
        return self.artifact_top1 == self.label


class Score(Document):
    """How many videos were answered rightly; `low` and `high` are Wilson's interval of the share."""

    right: int
    videos: int
    share: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat

    @classmethod
    def of(cls, right: int, videos: int, confidence: float) -> Score:
        """The score of so many right answers."""
        interval = paired.wilson(right, videos, confidence)
        return cls(right=right, videos=videos, share=right / videos, low=interval.low, high=interval.high)


class Accuracy(Document):
    """Of one of the two."""

    top1: Score
    top5: Score


class PairedFigures(Document):
    """Both on the same videos; shares are of all of them.

    Attributes:
        lost: videos that only the reference got right; `gained`: that only the artifact did.
        agreeing: videos on which both chose the same class, right or wrong.
        mcnemar_p: exact, two-sided.
        drop: the reference's top-1 accuracy minus the artifact's.
        drop_at_least, drop_at_most: its bounds, each by itself at the confidence asked; the verdict rests on them.
        bootstrap_low, bootstrap_high: its two-sided percentile interval at that confidence, for comparison.
    """

    videos: int = Field(ge=1)
    both_right: int
    lost: int
    gained: int
    both_wrong: int
    agreeing: int
    mcnemar_p: FiniteFloat
    drop: FiniteFloat
    drop_at_least: FiniteFloat
    drop_at_most: FiniteFloat
    bootstrap_low: FiniteFloat
    bootstrap_high: FiniteFloat
    reference: Accuracy
    artifact: Accuracy


class ClassFigures(Document):
    """The videos of one class: how many each of the two got right, and how many changed each way."""

    name: Line
    videos: int
    reference_right: int
    artifact_right: int
    lost: int
    gained: int

    @property
    def drop(self) -> float:
        """The share of its videos that the artifact gets right, below the reference's."""
        return (self.lost - self.gained) / self.videos


class EvaluationReport(Document):
    """One evaluation with everything that it rests on. Made by `decided` or `undecided`.

    Attributes:
        reason: what was found, in sentences to be read alone.
        runner, reference: what each of the two runners knows of itself; `reference` also names the weights.
        videos: how many were answered, where they are from, and what was wrong with which.
        split: `train` or `test`, or `all` where the source gives no split.
        max_drop, confidence: as asked; `videos_to_decide` would, by about even chance, at the rates of flips seen.
        pooled: None where nothing could be run.
        classes: those that the videos have, in the order of the model's.
        class_names: the model's, all of them. confused: which the artifact took for which.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    verdict: Verdict
    reason: Line
    artifact: ArtifactFacts
    weights: Literal["checkpoint", "seeded"]
    runner: dict[str, Line | int | bool | None]
    reference: dict[str, Line | int | bool | None]
    videos: ClipFacts
    split: Line
    views: int
    crops: int
    max_drop: float
    confidence: float
    videos_to_decide: int | None = None
    notes: tuple[Line, ...] = ()
    pooled: PairedFigures | None = None
    classes: tuple[ClassFigures, ...] = ()
    class_names: tuple[Line, ...] = ()
    confused: tuple[Confused, ...] = ()
    rows: tuple[VideoOutcome, ...] = ()

    @model_validator(mode="after")
    def _verdict_follows(self) -> EvaluationReport:
        if self.verdict is not judge(self.pooled, self.max_drop):
            raise ValueError(f"the verdict {self.verdict.value} does not follow from the bounds of the drop")
        return self


def judge(pooled: PairedFigures | None, max_drop: float) -> Verdict:
    """Pass if the drop is surely below `max_drop`, fail if it is surely above, else inconclusive."""
    if pooled is None:
        return Verdict.INCONCLUSIVE
    if pooled.drop_at_most < max_drop:
        return Verdict.PASS
    return Verdict.FAIL if pooled.drop_at_least > max_drop else Verdict.INCONCLUSIVE
