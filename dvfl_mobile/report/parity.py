"""Render parity reports: terminal, Markdown and JUnit XML, from the same cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.documents import Verdict
from dvfl_mobile.parity.judge import near_ties
from dvfl_mobile.parity.measure import ClipMetrics, PooledMetrics
from dvfl_mobile.parity.report import ParityReport, SecondOpinion
from dvfl_mobile.report.formats import junit as xml
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.report.formats.terminal import grid, headline, paragraph
from dvfl_mobile.runners.values import runner_in_words
from dvfl_mobile.wording import NOT_FINITE, percent, plural, rounded_down

_CHECK_COLUMNS = ("", "measured", "required", "")
_CLIP_COLUMNS = ("clip", "reference", "artifact", "SQNR")
_CHECK_NAMES = {
    "sqnr": "SQNR",
    "top1": "top-1 agreement",
    "finite": "finite logits",
    "opinion_reference": "second opinion: reference",
    "opinion_tensorflow": "second opinion: tensorflow",
}
_WORST = 5


def terminal(report: ParityReport, *, verbose: bool = False) -> RenderableType:
    """The verdict, the checks, and the worst few clips, or with `verbose` every one."""
    parts: list[RenderableType] = [
        headline(report.verdict, report.artifact.title),
        Text(_source(report)),
        *paragraph(report.reasons),
        Text(),
        grid(_CHECK_COLUMNS, _check_rows(report), folding={1}, verdict=3),
        *paragraph(_worst_clip(report)),
        *paragraph(_second_opinions(report)),
    ]
    if report.rows:
        parts += [
            Text(f"\n{_clip_title(report, verbose=verbose)}"),
            grid(_CLIP_COLUMNS, _clip_rows(report, verbose=verbose), folding={0, 1, 2}, right={3}),
        ]
    return Group(*parts, *paragraph(_remarks(report)))


def markdown(report: ParityReport) -> str:
    """The same with the worst few clips, for the summary of a CI job."""
    parts = [
        f"### Parity of {md.escape(report.artifact.title)}: **{report.verdict.value}**",
        md.escape(_source(report)),
        md.bullets(report.reasons),
        md.table(_CHECK_COLUMNS, _check_rows(report)),
        *map(md.escape, _worst_clip(report)),
        md.bullets(_second_opinions(report)),
    ]
    if report.rows:
        parts += [
            _clip_title(report, verbose=False) + ":",
            md.table(_CLIP_COLUMNS, _clip_rows(report, verbose=False)),
        ]
    return md.document([*parts, md.bullets(_remarks(report))])


def junit(report: ParityReport) -> str:
    """One suite: a case for each threshold, and one for each clip that was run."""
    artifact = report.artifact
    title = artifact.title
    suite = xml.open_suite(
        title,
        {
            "verdict": report.verdict.value,
            "artifact": artifact.path,
            "model": artifact.model,
            "target": artifact.target,
            "recipe": artifact.recipe,
            "weights": report.weights,
            "clips": report.clips.source,
            "dvfl-mobile": report.tool_version,
            **_facts("runner", report.runner),
            **{key: value for opinion in report.second_opinions for key, value in _opinion_properties(opinion)},
        },
        [*report.notes, *report.clips.notes],
    )
    for check in report.checks:
        xml.add_case(suite, f"{title}.thresholds", _CHECK_NAMES[check.name], check.verdict, check.sentence)
    failing = _failing_clips(report)
    for name, row in zip(xml.distinct(row.name for row in report.rows), report.rows, strict=True):
        verdict = Verdict.FAIL if row in failing else Verdict.PASS
        xml.add_case(suite, f"{title}.clips", name, verdict, _clip_sentence(row, report))
    return xml.document([suite])


def _facts(name: str, runner: Mapping[str, str | int | bool | None]) -> dict[str, str]:
    return {f"{name}.{key}": str(value) for key, value in runner.items() if value is not None}


def _opinion_properties(opinion: SecondOpinion) -> Iterator[tuple[str, str]]:
    name = f"second_opinion.{opinion.name}"
    yield from _facts(name, opinion.runner).items()
    yield f"{name}.sqnr", opinion.pytorch.sqnr
    yield f"{name}.sqnr_to_first", opinion.first.sqnr if opinion.first else "not measured"


def _failing_clips(report: ParityReport) -> list[ClipMetrics]:
    if report.pooled is None:
        return []
    # A flip within what the recipe allows must not turn a build red that the verdict lets pass.
    flips_count = any(check.name == "top1" and check.verdict is Verdict.FAIL for check in report.checks)
    excused = near_ties(report.rows, report.pooled, report.thresholds)
    return [row for row in report.rows if row.non_finite or (flips_count and not row.agrees and row not in excused)]


def _clip_sentence(row: ClipMetrics, report: ParityReport) -> str:
    if row.non_finite:
        return f"{row.non_finite} of the artifact's logits {'is' if row.non_finite == 1 else 'are'} not finite."
    name = report.artifact.class_name
    answers = f"reference {name(row.reference_top1)}, artifact {name(row.candidate_top1)}"
    return f"Top-1: {answers}. SQNR: {row.sqnr}."


def _check_rows(report: ParityReport) -> list[tuple[str, str, str, str]]:
    """The checks, then the metrics that no threshold is set on."""
    checks = [
        (_CHECK_NAMES[check.name], check.measured, check.required, check.verdict.value) for check in report.checks
    ]
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


def _worst_clip(report: ParityReport) -> list[str]:
    """The clip of lowest SQNR, in a sentence: its name is too long for a cell among figures."""
    worst = report.pooled and next(row for row in report.rows if row.name == report.pooled.worst_clip)
    return [f"Worst clip: {worst.sqnr}, {worst.name}"] if worst else []


def _second_opinions(report: ParityReport) -> list[str]:
    """What each second opinion came to against PyTorch, and against the first runner, in a sentence each."""
    return [
        f"{opinion.title}, {runner_in_words(opinion.runner)}: {_figures(opinion.pytorch)} against PyTorch"
        + (f"; {_figures(opinion.first)} against the first runner." if opinion.first else ".")
        for opinion in report.second_opinions
    ]


def _figures(pooled: PooledMetrics) -> str:
    return f"SQNR {pooled.sqnr}, top-1 {pooled.agreement}"


def _clip_title(report: ParityReport, *, verbose: bool) -> str:
    """What the table of clips shows: all of them, or the worst few."""
    shown = len(_clip_rows(report, verbose=verbose))
    return "Every clip" if shown == len(report.rows) else f"The worst {shown} of {len(report.rows)} clips"


def _clip_rows(report: ParityReport, *, verbose: bool) -> list[tuple[str, str, str, str]]:
    """A row for every clip in its order, or for the worst few: not finite, then flipped, then by SQNR."""
    rows = report.rows if verbose else sorted(report.rows, key=_badness)[:_WORST]
    name = report.artifact.class_name
    return [
        (
            row.name,
            name(row.reference_top1),
            name(row.candidate_top1),
            row.sqnr,
        )
        for row in rows
    ]


def _badness(row: ClipMetrics) -> tuple[bool, bool, float]:
    return (row.non_finite == 0, row.agrees, row.sqnr_db or 0.0)


def _remarks(report: ParityReport) -> list[str]:
    """The near ties, and what a reader must know of weights and clips."""
    ties = [f"Near tie: {name}: the reference puts both classes too close to tell apart." for name in report.near_ties]
    return [*ties, *report.notes, *report.clips.notes]


def _source(report: ParityReport) -> str:
    """What ran on what, in one sentence."""
    return (
        f"{plural(report.clips.count, 'clip')} from: {report.clips.source}. Runner: {runner_in_words(report.runner)}."
    )
