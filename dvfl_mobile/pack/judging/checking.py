"""Build a stage's check: passed, failed with a cause, or missing."""

from __future__ import annotations

from collections.abc import Callable

from dvfl_mobile.documents import Verdict
from dvfl_mobile.pack.judging import faults
from dvfl_mobile.pack.judging.verdict import Cause, StageCheck

IDENTICAL = "identical"
Why = Callable[[], Cause | None]


def passed(stage: str, subject: str, measured: str, required: str) -> StageCheck:
    """A stage within its tolerance."""
    return StageCheck(
        stage=stage, subject=subject, measured=measured, required=required, verdict=Verdict.PASS, sentence=""
    )


def failed(
    stage: str,
    subject: str,
    measured: str,
    required: str,
    sentence: str,
    why: Why = lambda: None,
    follows: str | None = None,
) -> StageCheck:
    """A stage that is off.

    Args:
        why: finds the cause; asked only where the failure is the stage's own.
        follows: the stage that it may only follow from.
    """
    return StageCheck(
        stage=stage,
        subject=subject,
        measured=measured,
        required=required,
        verdict=Verdict.FAIL,
        sentence=sentence,
        cause=why() if follows is None else None,
        follows=follows,
    )


def missing(stage: str, subject: str, required: str, why: str = "The app's results don't have it") -> StageCheck:
    """A stage that the app didn't give."""
    return StageCheck(
        stage=stage,
        subject=subject,
        measured="-",
        required=required,
        verdict=Verdict.INCONCLUSIVE,
        sentence=f"{why}.",
    )


def known(fault: str, evidence: str) -> Cause:
    """A cause that needs no looking for."""
    return Cause(faults=(fault,), sentence=faults.meaning((fault,)), evidence=evidence)


def within(levels: float) -> str:
    """`within 4 levels`."""
    return f"within {levels:g} level{'' if levels == 1 else 's'}"
