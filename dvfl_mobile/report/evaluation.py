"""Render evaluations: terminal, Markdown and JUnit XML, from the same cells."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.documents import Verdict
from dvfl_mobile.evaluation.confusion import confusion_matrix
from dvfl_mobile.evaluation.document import ClassFigures, EvaluationReport, PairedFigures, Score
from dvfl_mobile.evaluation.figures import points, points_up
from dvfl_mobile.report import confusion
from dvfl_mobile.report.formats import junit as xml
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.report.formats.terminal import grid, headline, paragraph
from dvfl_mobile.runners.values import runner_in_words
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import percent, plural

_ACCURACY_COLUMNS = ("", "reference", "artifact")
_PAIRED_COLUMNS = ("on the same videos", "")
_CLASS_COLUMNS = ("class", "videos", "reference", "artifact", "lost", "gained")
# More classes than this would push the verdict out of sight; JSON and JUnit have all of them.
_MOST_CLASSES = 30


def terminal(report: EvaluationReport) -> RenderableType:
    """The verdict and why, both accuracies, how they differ, and the classes."""
    title = f"{report.artifact.title} on {report.videos.source}"
    parts: list[RenderableType] = [
        headline(report.verdict, title),
        Text(_what_ran(report)),
        *paragraph([report.reason]),
    ]
    if report.pooled is not None:
        parts += [
            Text(),
            grid(_ACCURACY_COLUMNS, _accuracy_rows(report, report.pooled)),
            Text(),
            grid(_PAIRED_COLUMNS, _paired_rows(report, report.pooled)),
            Text(f"\n{_class_title(report)}"),
            grid(_CLASS_COLUMNS, _class_rows(report), folding={0}, right={1, 2, 3, 4, 5}),
        ]
        if report.confused:
            rows = confusion.rows(report.confused)
            parts += [
                Text("\nThe artifact's confusions"),
                grid(confusion.COLUMNS, rows, folding={0, 1}, right={2}),
            ]
    return Group(*parts, *paragraph(_remarks(report)))


def markdown(report: EvaluationReport) -> str:
    """The same, for the summary of a CI job."""
    parts = [
        f"### Evaluation of {md.escape(report.artifact.title)}: **{report.verdict.value}**",
        md.escape(_what_ran(report)),
        md.escape(report.reason),
    ]
    if report.pooled is not None:
        parts += [
            md.table(_ACCURACY_COLUMNS, _accuracy_rows(report, report.pooled)),
            md.table(_PAIRED_COLUMNS, _paired_rows(report, report.pooled)),
            f"{_class_title(report)}:",
            md.table(_CLASS_COLUMNS, _class_rows(report)),
        ]
        if report.confused:
            parts.append(md.table(confusion.COLUMNS, confusion.rows(report.confused)))
    return md.document([*parts, md.bullets(_remarks(report))])


def draw(report: EvaluationReport, path: Path) -> None:
    """The artifact's confusion matrix as a picture. Raises what `confusion.draw` does."""
    matrix = confusion_matrix([(row.label, row.artifact_top1) for row in report.rows], len(report.class_names))
    title = f"{report.artifact.title} on {report.videos.source}"
    confusion.draw(matrix, report.class_names, title, path)


def junit(report: EvaluationReport) -> str:
    """One suite: a case for the verdict, and one for each class."""
    title = f"{report.artifact.title}.evaluation"
    facts = {f"runner.{key}": value for key, value in report.runner.items()}
    facts |= {f"reference.{key}": value for key, value in report.reference.items()}
    suite = xml.open_suite(
        title,
        {
            "verdict": report.verdict.value,
            "artifact": report.artifact.path,
            "weights": report.weights,
            "videos": report.videos.source,
            "split": report.split,
            "views": str(report.views),
            "crops": str(report.crops),
            "max_drop": str(report.max_drop),
            "confidence": str(report.confidence),
            "dvfl-mobile": report.tool_version,
            **{key: str(value) for key, value in facts.items() if value is not None},
        },
        _remarks(report),
    )
    xml.add_case(suite, title, "verdict", report.verdict, report.reason, kind="accuracy")
    for name, figures in zip(xml.distinct(one.name for one in report.classes), report.classes, strict=True):
        verdict = _class_verdict(report, figures)
        xml.add_case(suite, f"{title}.classes", name, verdict, _class_sentence(figures), kind="accuracy")
    return xml.document([suite])


def _class_verdict(report: EvaluationReport, figures: ClassFigures) -> Verdict:
    """A class is too few videos to be judged by itself: it only shows where a failure lies."""
    if report.verdict is Verdict.FAIL and figures.drop <= report.max_drop:
        return Verdict.PASS
    return report.verdict


def _class_sentence(figures: ClassFigures) -> str:
    return (
        f"Right of {plural(figures.videos, 'video')}: reference {figures.reference_right}, artifact "
        f"{figures.artifact_right}; {figures.lost} lost, {figures.gained} gained."
    )


def _what_ran(report: EvaluationReport) -> str:
    crops = f" x {report.crops} crops" if report.crops > 1 else ""
    if report.pooled is None:
        return f"No video from {report.videos.source} was run."
    return (
        f"{plural(report.videos.count, 'video')}, {plural(report.views, 'clip')}{crops} of each. "
        f"Runner: {runner_in_words(report.runner)}. Reference: {runner_in_words(report.reference)}."
    )


def _accuracy_rows(report: EvaluationReport, pooled: PairedFigures) -> list[tuple[str, str, str]]:
    sure = f"  {percent(report.confidence)} interval"
    rows = []
    for name, one, other in (
        ("top-1 right", pooled.reference.top1, pooled.artifact.top1),
        ("top-5 right", pooled.reference.top5, pooled.artifact.top5),
    ):
        rows += [(name, _share(one), _share(other)), (sure, _interval(one), _interval(other))]
    return rows


def _share(score: Score) -> str:
    return f"{score.right} of {score.videos}, {percent(score.share)}"


def _interval(score: Score) -> str:
    return f"{100 * score.low:.1f} to {100 * score.high:.1f} %"


def _paired_rows(report: EvaluationReport, pooled: PairedFigures) -> list[tuple[str, str]]:
    sure = percent(report.confidence)
    resampled = f"{points_up(pooled.bootstrap_low).split()[0]} to {points(pooled.bootstrap_high)}"
    return [
        ("same class chosen", f"{pooled.agreeing} of {pooled.videos}"),
        ("lost: right in the reference, wrong in the artifact", str(pooled.lost)),
        ("gained: wrong in the reference, right in the artifact", str(pooled.gained)),
        ("exact McNemar p", f"{pooled.mcnemar_p:.3g}"),
        ("drop in top-1", points(pooled.drop)),
        (f"  at least, at {sure}", points_up(pooled.drop_at_least)),
        (f"  at most, at {sure}", points(pooled.drop_at_most)),
        (f"  bootstrap, {sure} interval", resampled),
        (f"  allowed ({option('max_drop')})", points(report.max_drop)),
    ]


def _class_title(report: EvaluationReport) -> str:
    shown, count = len(_shown_classes(report)), len(report.classes)
    return "Right, by class" if shown == count else f"Right, by class: the {shown} of {count} that dropped most"


def _shown_classes(report: EvaluationReport) -> list[ClassFigures]:
    if len(report.classes) <= _MOST_CLASSES:
        return list(report.classes)
    return sorted(report.classes, key=lambda figures: -figures.drop)[:_MOST_CLASSES]


def _class_rows(report: EvaluationReport) -> list[tuple[str, ...]]:
    return [
        (
            figures.name,
            *map(
                str,
                (figures.videos, figures.reference_right, figures.artifact_right, figures.lost, figures.gained),
            ),
        )
        for figures in _shown_classes(report)
    ]


def _remarks(report: EvaluationReport) -> list[str]:
    return [*report.notes, *report.videos.notes]
