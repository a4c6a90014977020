"""What the terminal and Markdown tables say, cell by cell, so that both say the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dvfl_mobile.artifacts.manifest import ArtifactFacts
from dvfl_mobile.documents import Verdict
from dvfl_mobile.evaluation.paired import wilson
from dvfl_mobile.model.card import RecordedScore
from dvfl_mobile.parity.measure import ClipMetrics, PooledMetrics
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary
from dvfl_mobile.wording import NOT_FINITE, decibels, percent, plural, rounded_down

CHECK_COLUMNS = ("", "measured", "required", "")
CLIP_COLUMNS = ("clip", "reference", "artifact", "SQNR")
RECORDED_COLUMNS = ("recorded of these weights", "right", "top-1", "95 % interval")
DEPLOY_COLUMNS = ("artifact", "size", "delegated", "SQNR", "top-1", "time", "verdict")

_CHECK_NAMES = {
    "sqnr": "SQNR",
    "top1": "top-1 agreement",
    "finite": "finite logits",
    "opinion_reference": "second opinion: reference",
    "opinion_tensorflow": "second opinion: tensorflow",
}
_WORST = 5
_RECORDED = "Right answers were recorded when these weights were made, not now"


def parity_title(report: ParityReport) -> str:
    """`nano/tflite/fp16`."""
    return artifact_title(report.artifact)


def artifact_title(artifact: ArtifactFacts) -> str:
    """`nano/tflite/fp16`."""
    return f"{artifact.model}/{artifact.target}/{artifact.recipe}"


def check_name(name: str) -> str:
    """What a check is called where a person reads it."""
    return _CHECK_NAMES[name]


def check_rows(report: ParityReport) -> list[tuple[str, str, str, str]]:
    """The checks, then the metrics that no threshold is set on."""
    checks = [(check_name(check.name), check.measured, check.required, check.verdict.value) for check in report.checks]
    return checks + [(name, value, "", "") for name, value in _other_metrics(report.pooled)]


def _other_metrics(pooled: PooledMetrics | None) -> list[tuple[str, str]]:
    if pooled is None:
        return []
    return [
        ("top-5 overlap", _shown(pooled.top5_overlap, percent)),
        ("largest difference", _shown(pooled.max_abs_diff, "{:.3g}".format)),
        ("cosine", _shown(pooled.cosine, lambda value: f"{rounded_down(value, 7):f}")),
        ("KL of the softmax", _shown(pooled.kl_nats, "{:.3g} nats".format)),
    ]


def _shown(value: float | None, write: Callable[[float], str]) -> str:
    return NOT_FINITE if value is None else write(value)


def worst_clip(report: ParityReport) -> list[str]:
    """The clip of lowest SQNR, in a sentence: its name is too long for a cell among figures."""
    pooled = report.pooled
    return [f"Worst clip: {decibels(pooled.worst_sqnr_db)}, {pooled.worst_clip}"] if pooled else []


def second_opinions(report: ParityReport) -> list[str]:
    """What each second opinion came to against PyTorch, and against the first runner, in a sentence each."""
    return [
        f"{opinion.title}, {runner_facts(opinion.runner)}: {_figures(opinion.pytorch)} against PyTorch"
        + (f"; {_figures(opinion.first)} against the first runner." if opinion.first else ".")
        for opinion in report.second_opinions
    ]


def _figures(pooled: PooledMetrics) -> str:
    return f"SQNR {decibels(pooled.sqnr_db)}, top-1 {pooled.agreement}"


def clip_title(report: ParityReport, *, verbose: bool) -> str:
    """What the table of clips shows: all of them, or the worst few."""
    shown = len(clip_rows(report, verbose=verbose))
    return "Every clip" if shown == len(report.rows) else f"The worst {shown} of {len(report.rows)} clips"


def clip_rows(report: ParityReport, *, verbose: bool) -> list[tuple[str, str, str, str]]:
    """A row for every clip in its order, or for the worst few: not finite, then flipped, then by SQNR."""
    rows = report.rows if verbose else sorted(report.rows, key=_badness)[:_WORST]
    name = report.artifact.class_name
    return [
        (
            row.name,
            name(row.reference_top1),
            name(row.candidate_top1),
            decibels(row.sqnr_db),
        )
        for row in rows
    ]


def _badness(row: ClipMetrics) -> tuple[bool, bool, float]:
    return (row.non_finite == 0, row.agrees, row.sqnr_db or 0.0)


def parity_remarks(report: ParityReport) -> list[str]:
    """The near ties, and what a reader must know of weights and clips."""
    ties = [f"Near tie: {name}: the reference puts both classes too close to tell apart." for name in report.near_ties]
    return [*ties, *report.notes, *report.clips.notes]


def parity_source(report: ParityReport) -> str:
    """What ran on what, in one sentence."""
    return f"{plural(report.clips.count, 'clip')} from: {report.clips.source}. Runner: {runner_facts(report.runner)}."


def runner_facts(runner: Mapping[str, str | int | bool | None]) -> str:
    """`LiteRT 2.3.0 (device host, threads 2)`, or `none` where nothing ran."""
    known = {key: str(value) for key, value in runner.items() if value is not None}
    runtime = " ".join(known.pop(key) for key in ("runtime", "version") if key in known)
    details = ", ".join(f"{key} {value}" for key, value in known.items())
    return f"{runtime} ({details})" if runtime and details else runtime or details or "none"


def deploy_rows(summary: DeploySummary) -> list[tuple[str, ...]]:
    """A row for each artifact."""
    return [_deploy_row(row) for row in summary.rows]


def _deploy_row(row: DeployRow) -> tuple[str, ...]:
    ran = row.clips is not None
    return (
        row.name,
        f"{row.size_bytes / 1e6:.1f} MB",
        "-" if row.delegated_share is None else percent(row.delegated_share),
        decibels(row.sqnr_db) if ran else "-",
        f"{row.agreeing} of {row.clips}" if ran else "-",
        f"{row.seconds:.0f} s",
        row.verdict.value,
    )


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


def deploy_headline(summary: DeploySummary) -> str:
    """What came of it, in one sentence."""
    failed = [row.name for row in summary.rows if row.verdict is Verdict.FAIL]
    parts = [f"failed: {', '.join(failed)}"] if failed else ["nothing failed"]
    if summary.undecided:
        parts.append(f"not decided here: {', '.join(summary.undecided)}")
    return f"{plural(len(summary.rows), 'artifact')}; {'; '.join(parts)}."


def deploy_places(summary: DeploySummary) -> str:
    """Where the artifacts are, in one sentence."""
    folders = dict.fromkeys(row.path.removesuffix(row.name) for row in summary.rows)
    return f"Written to {' and '.join(folders)}"


def deploy_remarks(summary: DeploySummary) -> list[str]:
    """What a reader must know of weights and clips, and of the artifacts besides."""
    recorded = [f"{_RECORDED}: {summary.recorded_on}."] if summary.recorded else []
    return [*recorded, *summary.notes, *summary.clips.notes]
