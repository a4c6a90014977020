"""Render the summary of a deploy: terminal, Markdown and JUnit XML, from the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.documents import Verdict
from dvfl_mobile.evaluation.paired import wilson
from dvfl_mobile.model.card import RecordedScore
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary
from dvfl_mobile.report.formats import junit as xml
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.report.formats.terminal import grid, headline, paragraph
from dvfl_mobile.wording import decibels, percent, plural

COLUMNS = ("artifact", "size", "delegated", "SQNR", "top-1", "time", "verdict")
DELEGATED_COLUMNS = ("in the delegate", "multiply-adds", "calls", "operators outside")
ENGINE_COLUMNS = ("engine", "artifact", "SQNR", "worst clip", "top-1", "pieces", "verdict")
NOT_RUN_COLUMNS = ("not run", "why")
RECORDED_COLUMNS = ("recorded of these weights", "right", "top-1", "95 % interval")
_RECORDED = "Right answers were recorded when these weights were made, not now"


def terminal(summary: DeploySummary) -> RenderableType:
    """The verdict, a row for each artifact, and what was recorded of these weights."""
    recorded: list[RenderableType] = []
    if summary.recorded:
        recorded = [Text(), grid(RECORDED_COLUMNS, recorded_rows(summary), folding={0}, right={1, 2})]
    return Group(
        headline(summary.verdict, f"{summary.model} from {summary.checkpoint}: {headline_of(summary)}"),
        Text(),
        grid(COLUMNS, rows(summary), folding={0}, right={1, 2, 3, 4, 5}, verdict=6),
        Text(),
        grid(DELEGATED_COLUMNS, _delegated_rows(summary), folding={0}, right={1, 2, 3}),
        *_engines(summary),
        *paragraph([_places(summary)]),
        *recorded,
        *paragraph(summary.reasons),
        *paragraph(remarks(summary)),
    )


def markdown(summary: DeploySummary) -> str:
    """The same, for the summary of a CI job."""
    return md.document(
        [
            f"### Deploy of {md.escape(summary.model)}: **{summary.verdict.value}**",
            md.escape(f"From {summary.checkpoint}. {headline_of(summary)}"),
            md.table(COLUMNS, rows(summary)),
            md.table(DELEGATED_COLUMNS, _delegated_rows(summary)),
            *([md.table(ENGINE_COLUMNS, engine_rows(summary.rows))] if has_engines(summary) else []),
            *([md.table(NOT_RUN_COLUMNS, not_run_rows(summary))] if summary.not_run else []),
            md.escape(_places(summary)),
            *([md.table(RECORDED_COLUMNS, recorded_rows(summary))] if summary.recorded else []),
            md.bullets(summary.reasons),
            md.bullets(remarks(summary)),
        ]
    )


def junit(summary: DeploySummary) -> str:
    """A suite for each artifact, with one case: its parity."""
    return xml.document(_suite(summary, row) for row in summary.rows)


def _suite(summary: DeploySummary, row: DeployRow) -> ET.Element:
    title = f"{summary.model}/{row.place}"
    suite = xml.open_suite(
        title,
        {
            "verdict": row.verdict.value,
            "artifact": row.path,
            "size_bytes": str(row.size_bytes),
            **_delegated_properties(row),
            "checkpoint": summary.checkpoint,
            "weights": summary.weights,
            "clips": summary.clips.source,
            "dvfl-mobile": summary.tool_version,
        },
        [*summary.notes, *summary.clips.notes],
    )
    case = xml.add_case(suite, title, "parity", row.verdict, " ".join(row.reasons))
    if row.seconds is not None:
        case.set("time", f"{row.seconds:.3f}")
    return suite


def rows(summary: DeploySummary) -> list[tuple[str, ...]]:
    """A row for each artifact, as this machine ran it."""
    return [_row(row) for row in _here(summary)]


def engine_rows(rows: Sequence[DeployRow]) -> list[tuple[str, ...]]:
    """A row for each artifact on each engine, those of an engine together, in the order of `ENGINE_COLUMNS`."""
    order = {name: place for place, name in enumerate(dict.fromkeys(row.engine for row in rows))}
    return [
        (
            row.engine,
            row.name,
            *_figures(row),
            _count(row.delegate_calls),
            row.verdict.value,
        )
        for row in sorted(rows, key=lambda row: order[row.engine])
    ]


def _figures(row: DeployRow) -> tuple[str, str, str]:
    """SQNR, that of the worst clip, and how many clips agree."""
    if row.clips is None:
        return "-", "-", "-"
    return decibels(row.sqnr_db), decibels(row.worst_sqnr_db), f"{row.agreeing} of {row.clips}"


def has_engines(summary: DeploySummary) -> bool:
    """Whether there is more to say of engines than of this machine."""
    return bool(summary.not_run) or any(row.engine != "host" for row in summary.rows)


def not_run_rows(summary: DeploySummary) -> list[tuple[str, str]]:
    """A row for each engine that nothing was run on."""
    return [(row.engine, row.why) for row in summary.not_run]


def _engines(summary: DeploySummary) -> list[RenderableType]:
    """What each processor made of each artifact, and those that weren't asked."""
    if not has_engines(summary):
        return []
    table = grid(ENGINE_COLUMNS, engine_rows(summary.rows), folding={1}, right={2, 3, 4, 5}, verdict=6)
    if not summary.not_run:
        return [Text(), table]
    return [Text(), table, Text(), grid(NOT_RUN_COLUMNS, not_run_rows(summary), folding={1})]


def _row(row: DeployRow) -> tuple[str, ...]:
    ran = row.clips is not None
    return (
        row.name,
        f"{row.size_bytes / 1e6:.1f} MB",
        _share(row),
        decibels(row.sqnr_db) if ran and row.verdict is not Verdict.INCONCLUSIVE else "-",
        f"{row.agreeing} of {row.clips}" if ran else "-",
        f"{row.seconds or 0:.0f} s",
        row.verdict.value,
    )


def _delegated_rows(summary: DeploySummary) -> list[tuple[str, str, str, str]]:
    """What of each artifact runs in its delegate, in how many calls, and how many operators beside it."""
    return [
        (
            row.name,
            _share(row),
            _count(row.delegate_calls),
            _count(row.operators_outside),
        )
        for row in _here(summary)
    ]


def _here(summary: DeploySummary) -> list[DeployRow]:
    """The rows of this machine."""
    return [row for row in summary.rows if row.seconds is not None]


def _count(count: int | None) -> str:
    return "-" if count is None else str(count)


def _share(row: DeployRow) -> str:
    return "-" if row.delegated_share is None else percent(row.delegated_share)


def _delegated_properties(row: DeployRow) -> dict[str, str]:
    known = {
        "delegated_share": row.delegated_share,
        "delegate_calls": row.delegate_calls,
        "operators_outside": row.operators_outside,
    }
    return {name: str(value) for name, value in known.items() if value is not None}


def recorded_rows(summary: DeploySummary) -> list[tuple[str, ...]]:
    """A row for each recipe and target that these weights were counted in."""
    return [_recorded_row(score) for score in summary.recorded]


def _recorded_row(score: RecordedScore) -> tuple[str, ...]:
    interval = wilson(score.right, score.videos, 0.95)
    return (
        score.name,
        f"{score.right} of {score.videos}",
        percent(score.share),
        f"{percent(interval.low)} to {percent(interval.high)}",
    )


def headline_of(summary: DeploySummary) -> str:
    """What came of it, in one sentence."""
    failed = [row.place for row in summary.rows if row.verdict is Verdict.FAIL]
    parts = [f"failed: {', '.join(failed)}"] if failed else ["nothing failed"]
    if summary.undecided:
        parts.append(f"not decided here: {', '.join(summary.undecided)}")
    return f"{plural(len(_here(summary)), 'artifact')}; {'; '.join(parts)}."


def _places(summary: DeploySummary) -> str:
    """Where the artifacts are, in one sentence."""
    folders = dict.fromkeys(row.path.removesuffix(row.name) for row in summary.rows)
    return f"Written to {' and '.join(folders)}"


def remarks(summary: DeploySummary) -> list[str]:
    """What a reader must know of weights and clips, and of the artifacts besides."""
    recorded = [f"{_RECORDED}: {summary.recorded_on}."] if summary.recorded else []
    return [*recorded, *summary.notes, *summary.clips.notes]
