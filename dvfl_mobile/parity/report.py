"""ParityReport: an artifact's logits against the reference form's on the same clips, with the verdict.

Every metric is computed in float64. An undecided question is an inconclusive verdict, never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import model_validator

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.documents import Document, Line, Verdict, worst_of
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.parity.judge import Check, judge, near_ties
from dvfl_mobile.parity.measure import ClipMetrics, Measurement, PooledMetrics
from dvfl_mobile.parity.thresholds import Thresholds, thresholds_for
from dvfl_mobile.runners.values import runner_notes
from dvfl_mobile.version import __version__


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
        pooled: None where nothing could be run; without an SQNR where the clips left nothing to compare.
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
        if (self.pooled is None) and self.verdict is not Verdict.INCONCLUSIVE:
            raise ValueError("a report is inconclusive where nothing was measured")
        if self.verdict is Verdict.PASS and self.pooled is not None and self.pooled.sqnr_db is None:
            raise ValueError("a report can't pass without an SQNR")
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
    thresholds = thresholds or thresholds_for(artifact.recipe, target=artifact.target)
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
        notes=(
            *weights_notes(weights),
            *runner_notes(runner),
            *_about_classes(measurement.pooled),
            *thresholds.notes,
        ),
        pooled=measurement.pooled,
        rows=measurement.clips,
        second_opinions=tuple(opinions),
    )


def _about_classes(pooled: PooledMetrics) -> tuple[str, ...]:
    """Which classes the figures say nothing of."""
    known, total = pooled.compared_classes, pooled.classes
    if known is None or total is None or known in (0, total):
        return ()
    return (
        f"{known} of {total} classes were compared: the others are in nobody's top five on these clips. Clips of every "
        "class compare every class.",
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
    thresholds = thresholds or thresholds_for(artifact.recipe, target=artifact.target)
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
