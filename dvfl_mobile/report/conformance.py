"""Render a conformance report: terminal, Markdown and JUnit XML, from the same cells."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.documents import Verdict
from dvfl_mobile.pack.judging.verdict import STAGES, PackReport, StageCheck
from dvfl_mobile.pack.making.build import BuiltPack
from dvfl_mobile.pack.turns import UPRIGHT
from dvfl_mobile.report.formats import junit as xml
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.report.formats.terminal import grid, headline, paragraph

_STAGE_COLUMNS = ("stage", "of", "worst", "required", "")
_CHECK_COLUMNS = ("stage", "what", "measured", "required", "")
_BADNESS = (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL)


def pack_terminal(built: BuiltPack, path: str) -> RenderableType:
    """A pack that was made: its size, its videos, and what to know of it."""
    columns = ("golden video", "from", "frames", "size", "clip")
    rows = [
        (
            video.name,
            video.source,
            str(len(video.frames)),
            f"{video.width}x{video.height}" + ("" if video.stored_turn == UPRIGHT else f", stored {video.stored_turn}"),
            "whole" if video.clip else "samples",
        )
        for video in built.contents.videos
    ]
    return Group(
        Text(f"{path}, {len(built.data) / 1e6:.1f} MB, {len(built.contents.members) + 1} files", "bold"),
        Text(),
        grid(columns, rows, folding={0, 1, 3}, right={2}),
        *paragraph(built.notes),
    )


def terminal(report: PackReport, *, verbose: bool = False) -> RenderableType:
    """The verdict, the first fault and its cause, and a row for each stage; with `verbose`, for each check."""
    rows = check_rows(report) if verbose else stage_rows(report)
    columns = _CHECK_COLUMNS if verbose else _STAGE_COLUMNS
    return Group(
        headline(report.verdict, title(report)),
        Text(source(report)),
        *paragraph(first_fault(report)),
        *paragraph(report.reasons),
        Text(),
        grid(columns, rows, folding={1, 2, 3}, verdict=4),
        *paragraph(evidence(report)),
        *paragraph(report.notes),
    )


def markdown(report: PackReport) -> str:
    """The same, for the summary of a CI job."""
    return md.document(
        [
            f"### Conformance of {md.escape(title(report))}: **{report.verdict.value}**",
            md.escape(source(report)),
            *(f"**{md.escape(sentence)}**" for sentence in first_fault(report)),
            md.bullets(report.reasons),
            md.table(_STAGE_COLUMNS, stage_rows(report)),
            *map(md.escape, evidence(report)),
            md.bullets(report.notes),
        ]
    )


def junit(report: PackReport) -> str:
    """One suite: a case for each check. What was left out is skipped, with its reason."""
    name = f"{report.artifact.title}.conformance"
    suite = xml.open_suite(
        name,
        {
            "verdict": report.verdict.value,
            "pack": report.pack,
            "results": report.results,
            "app": report.app,
            "device": report.device,
            "weights": report.weights,
            "dvfl-mobile": report.tool_version,
        },
        report.notes,
    )
    for case, check in zip(xml.distinct(check.subject for check in report.checks), report.checks, strict=True):
        xml.add_case(suite, f"{name}.{check.stage}", case, check.verdict, sentence(check), kind="conformance")
    return xml.document([suite])


def title(report: PackReport) -> str:
    """`a phone app on Pixel 8 against nano/tflite/fp16`."""
    return f"{report.app} on {report.device} against {report.artifact.title}"


def source(report: PackReport) -> str:
    """What was judged by what."""
    return f"{report.results}, by {report.pack}."


def first_fault(report: PackReport) -> list[str]:
    """The first stage that is off, and what that looks like, in a few words; nothing where none is."""
    if report.first is None:
        return []
    named = " and ".join(report.first.cause.faults) if report.first.cause else "no known fault fits"
    return [f"First off: {report.first.stage}: {named}"]


def sentence(check: StageCheck) -> str:
    """What was found, with its cause or what it follows from."""
    if check.follows is not None:
        return f"{check.sentence} It may only follow from: {check.follows}."
    if check.cause is None:
        return check.sentence
    return f"{check.sentence} {' and '.join(check.cause.faults)}: {check.cause.sentence} {check.cause.evidence}"


def evidence(report: PackReport) -> list[str]:
    """What speaks for the cause of the first fault, or that none is known."""
    if report.first is None:
        return []
    if report.first.cause is None:
        return [f"What {report.first.stage} looks like isn't known: none of the known faults comes near."]
    return [f"Why: {report.first.cause.evidence}"]


def stage_rows(report: PackReport) -> list[tuple[str, str, str, str, str]]:
    """A row for each stage: its worst check, and on how many it is as bad."""
    rows = []
    for stage in STAGES:
        checks = [check for check in report.checks if check.stage == stage]
        if not checks:
            continue
        worst = max(checks, key=lambda check: _BADNESS.index(check.verdict))
        passed = sum(check.verdict is Verdict.PASS for check in checks)
        follows = worst.verdict is Verdict.FAIL and all(
            check.follows for check in checks if check.verdict is Verdict.FAIL
        )
        measured = f"{worst.measured} ({worst.subject})" if worst.verdict is not Verdict.PASS else _measured(checks)
        measured += "; may follow" if follows else ""
        required = worst.required if len({check.required for check in checks}) == 1 else "each its own"
        rows.append((stage, f"{passed} of {len(checks)}", measured, required, worst.verdict.value))
    return rows


def _measured(checks: list[StageCheck]) -> str:
    """One figure for checks that all passed: the one that isn't `identical`, if there is any."""
    if len({check.required for check in checks}) > 1:
        return "as required"
    others = [check.measured for check in checks if check.measured != "identical"]
    return max(others, key=_leading_number) if others else "identical"


def _leading_number(text: str) -> float:
    try:
        return float(text.split()[0])
    except ValueError:
        return 0.0


def check_rows(report: PackReport) -> list[tuple[str, str, str, str, str]]:
    """A row for each check."""
    return [
        (check.stage, check.subject, check.measured, check.required, check.verdict.value) for check in report.checks
    ]
