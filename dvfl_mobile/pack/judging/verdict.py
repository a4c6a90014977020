"""PackReport: a check for each stage and subject, and the first fault by name."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.documents import Document, Line, Verdict, worst_of


class Cause(Document):
    """What a deviation looks like.

    Attributes:
        faults: short names, such as `channels swapped`; several where they only fit together.
        sentence: what that means, and what to do.
        evidence: the figures that speak for it.
    """

    faults: tuple[str, ...]
    sentence: Line
    evidence: Line


class StageCheck(Document):
    """One stage of one video, picture or clip.

    Attributes:
        stage: a name of `STAGES`.
        subject: which video, picture or clip; what of all of them.
        follows: the stage whose failure this one may only follow from; then no cause is looked for.
    """

    stage: str
    subject: Line
    measured: Line
    required: Line
    verdict: Verdict
    sentence: Line
    cause: Cause | None = None
    follows: str | None = None


class PackReport(Document):
    """One app's results, judged against its pack.

    Attributes:
        first: the first check that failed of its own, by the order of the stages; None where none did.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    verdict: Verdict
    reasons: tuple[Line, ...]
    first: StageCheck | None
    artifact: ArtifactFacts
    weights: Literal["checkpoint", "seeded"]
    app: Line
    device: Line
    pack: Line
    results: Line
    checks: tuple[StageCheck, ...]
    notes: tuple[Line, ...] = ()

    @model_validator(mode="after")
    def _verdict_follows(self) -> PackReport:
        if self.verdict != worst_of([check.verdict for check in self.checks]):
            raise ValueError(f"the verdict {self.verdict.value} does not follow from the checks")
        return self


# In the order in which an app goes through them.
STAGES = (
    "model file",
    "frame count",
    "drawn frames",
    "decoded frames",
    "resize and crop",
    "clip pixels",
    "input tensor",
    "logits",
    "logits of videos",
)
