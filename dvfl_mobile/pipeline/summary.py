"""DeploySummary: a row for every artifact of one `deploy`, and one verdict over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from dvfl_mobile.data.clips import ClipFacts
from dvfl_mobile.delegation import Delegation
from dvfl_mobile.documents import Decibels, Document, Line, Verdict, worst_of
from dvfl_mobile.model.card import ModelCard, RecordedScore
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.version import __version__


class NotRun(Document):
    """An engine that nothing was run on, and why."""

    engine: Line
    why: Line


class ClipFigure(Document):
    """One clip of a row: its SQNR, and whether the artifact chose the reference's class."""

    name: Line
    sqnr_db: Decibels | None
    agrees: bool


class DeployRow(Document):
    """One artifact on one engine.

    Attributes:
        engine: the name of the device that ran it, as `--device` takes it.
        run_by: the runtime, or what stood for it; None where nothing could be run.
        is_emulated: an emulator ran it.
        delegated_share: share of the multiply-adds that run in the target's delegate, 0 to 1; None where unknown.
        delegate_calls: pieces that the graph falls into on the delegate; None where unknown.
        operators_outside: operators that run outside of it, whatever their work; None where unknown.
        sqnr_db, agreeing, clips: as in the artifact's parity report; None where nothing could be run.
        worst_sqnr_db: of the clip that is worst; None as above.
        least_sqnr_db: what the artifact has to reach there; None in documents of before it was kept.
        by_clip: a figure for each clip.
        seconds: time taken by conversion and parity together; None on another engine than this machine, where the
            artifact had been converted, and may have been emulated.
    """

    engine: Line = "host"
    run_by: Line | None = None
    is_emulated: bool = False
    target: str
    recipe: str
    path: Line
    size_bytes: int = Field(ge=0)
    delegated_share: float | None = Field(ge=0, le=1)
    delegate_calls: int | None = Field(default=None, ge=0)
    operators_outside: int | None = Field(default=None, ge=0)
    sqnr_db: Decibels | None
    worst_sqnr_db: Decibels | None = None
    least_sqnr_db: float | None = None
    by_clip: tuple[ClipFigure, ...] = ()
    agreeing: int | None
    clips: int | None
    verdict: Verdict
    reasons: tuple[Line, ...]
    seconds: float | None = Field(ge=0)

    @property
    def name(self) -> str:
        """`tflite/fp16`."""
        return f"{self.target}/{self.recipe}"

    @property
    def place(self) -> str:
        """`tflite/fp16`, or `tflite/fp16 on gpu`."""
        return self.name if self.engine == "host" else f"{self.name} on {self.engine}"

    @classmethod
    def of(
        cls, report: ParityReport, *, size_bytes: int, delegation: Delegation, seconds: float | None = None
    ) -> DeployRow:
        """The row of an artifact whose parity report stands."""
        pooled, runner = report.pooled, report.runner
        share, calls, outside = _delegated(delegation, runner)
        return cls(
            engine=str(runner.get("device") or "host"),
            run_by=None if pooled is None else _run_by(runner),
            is_emulated=runner.get("kind") == "emulated",
            target=report.artifact.target,
            recipe=report.artifact.recipe,
            path=report.artifact.path,
            size_bytes=size_bytes,
            delegated_share=share,
            delegate_calls=calls,
            operators_outside=outside,
            sqnr_db=pooled.sqnr_db if pooled else None,
            worst_sqnr_db=pooled.worst_sqnr_db if pooled else None,
            least_sqnr_db=report.thresholds.min_sqnr_db,
            by_clip=tuple(ClipFigure(name=c.name, sqnr_db=c.sqnr_db, agrees=c.agrees) for c in report.rows),
            agreeing=pooled.agreeing if pooled else None,
            clips=pooled.clips if pooled else None,
            verdict=report.verdict,
            reasons=report.reasons,
            seconds=seconds,
        )


def _run_by(runner: Mapping[str, str | int | bool | None]) -> str:
    """`LiteRT 2.3.0`, and what it ran on, where that has a name."""
    words = [str(runner[key]) for key in ("runtime", "version") if runner.get(key)]
    return " ".join(words) + (f" on {runner['model']}" if runner.get("model") else "")


def _delegated(
    delegation: Delegation, runner: Mapping[str, str | int | bool | None]
) -> tuple[float | None, int | None, int | None]:
    """Share, calls and operators outside: as the device counted them, where one did, else as conversion did."""
    if "whole" not in runner:
        return delegation.share, delegation.calls, delegation.outside
    pieces = runner.get("pieces")
    calls = pieces if isinstance(pieces, int) else None
    return (1.0, calls, 0) if runner["whole"] else (None, calls, None)


class DeploySummary(Document):
    """What `deploy` ended with. Made by `summarize`.

    Attributes:
        checkpoint: the name of the weights' file, or of the default student.
        verdict: fail if any row failed, else inconclusive if any could not be decided here, else pass.
        reasons: a sentence for each row's check that did not pass, beginning with the row's name.
        not_run: engines that nothing was run on, and why.
        recorded: how often these weights are right, where that came with them; nothing of it was measured now.
        recorded_on: the videos that it was counted on; None where nothing was.
    """

    schema_version: Literal[1] = 1
    tool_version: str
    verdict: Verdict
    reasons: tuple[Line, ...]
    model: Line
    checkpoint: Line
    weights: Literal["checkpoint", "seeded"]
    clips: ClipFacts
    rows: tuple[DeployRow, ...] = Field(min_length=1)
    not_run: tuple[NotRun, ...] = ()
    recorded: tuple[RecordedScore, ...] = ()
    recorded_on: Line | None = None
    notes: tuple[Line, ...]

    @property
    def undecided(self) -> tuple[str, ...]:
        """Names of the rows that nothing here could run."""
        return tuple(row.place for row in self.rows if row.verdict is Verdict.INCONCLUSIVE)

    def exit_code(self, *, strict: bool = False) -> int:
        """5 if anything failed; 7 if `strict` and something could not be decided; else 0."""
        if self.verdict is Verdict.INCONCLUSIVE and not strict:
            return Verdict.PASS.exit_code
        return self.verdict.exit_code


def summarize(
    model: str,
    checkpoint: str,
    weights: Literal["checkpoint", "seeded"],
    clips: ClipFacts,
    rows: Sequence[DeployRow],
    notes: Sequence[str] = (),
    card: ModelCard | None = None,
    not_run: Sequence[NotRun] = (),
) -> DeploySummary:
    """Join the rows of one `deploy`; `notes` are what a reader must know besides, `card` is the weights'."""
    return DeploySummary(
        tool_version=__version__,
        verdict=worst_of([row.verdict for row in rows]),
        reasons=tuple(f"{row.place}: {reason}" for row in rows for reason in row.reasons),
        model=model,
        checkpoint=checkpoint,
        weights=weights,
        clips=clips,
        rows=tuple(rows),
        not_run=tuple(not_run),
        recorded=card.scores if card else (),
        recorded_on=card.data if card else None,
        notes=(*weights_notes(weights), *notes),
    )
