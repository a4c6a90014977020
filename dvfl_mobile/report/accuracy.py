"""Render a checkpoint's accuracy: terminal and Markdown, from the same cells."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.evaluation.accuracy import AccuracyReport, ClassScore
from dvfl_mobile.evaluation.confusion import confusion_matrix
from dvfl_mobile.evaluation.document import Score
from dvfl_mobile.model.costs import Costs
from dvfl_mobile.report import confusion
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.runners.values import runner_in_words
from dvfl_mobile.wording import percent, plural

_COST_COLUMNS = ("of one clip", "this", "the paper's")
_CLASS_COLUMNS = ("class", "videos", "right", "in five")
# More classes than this would push the accuracy out of sight; JSON has all of them.
_MOST_CLASSES = 30


def terminal(report: AccuracyReport) -> RenderableType:
    """Both accuracies, what the network costs, the classes, and which are taken for which."""
    parts: list[RenderableType] = [
        Text(_title(report)),
        Text(_what_ran(report)),
        Text(),
        grid(_score_columns(report), _score_rows(report), right={1, 2}),
        Text(),
        grid(_COST_COLUMNS, _cost_rows(report), right={1, 2}),
        Text(f"\n{_class_title(report)}"),
        grid(_CLASS_COLUMNS, _class_rows(report), folding={0}, right={1, 2, 3}),
    ]
    if report.confused:
        parts += [Text(), grid(confusion.COLUMNS, confusion.rows(report.confused), folding={0, 1}, right={2})]
    return Group(*parts, *paragraph(_remarks(report)))


def markdown(report: AccuracyReport) -> str:
    """The same, for the summary of a CI job."""
    return md.document(
        [
            f"### Accuracy of {md.escape(_title(report))}",
            md.escape(_what_ran(report)),
            md.table(_score_columns(report), _score_rows(report)),
            md.table(_COST_COLUMNS, _cost_rows(report)),
            f"{_class_title(report)}:",
            md.table(_CLASS_COLUMNS, _class_rows(report)),
            *([md.table(confusion.COLUMNS, confusion.rows(report.confused))] if report.confused else []),
            md.bullets(_remarks(report)),
        ]
    )


def draw(report: AccuracyReport, path: Path) -> None:
    """The confusion matrix as a picture. Raises what `confusion.draw` does."""
    matrix = confusion_matrix([(row.label, row.top1) for row in report.rows], len(report.class_names))
    confusion.draw(matrix, report.class_names, _title(report), path)


def _title(report: AccuracyReport) -> str:
    return f"{report.model} from {report.checkpoint} on {report.videos.source}"


def _what_ran(report: AccuracyReport) -> str:
    crops = f" x {report.crops} crops" if report.crops > 1 else ""
    shared = f" in {report.processes} processes" if report.processes > 1 else ""
    return (
        f"{plural(report.videos.count, 'video')}, {plural(report.views, 'clip')}{crops} of each{shared}. "
        f"Runner: {runner_in_words(report.runner)}."
    )


def _score_columns(report: AccuracyReport) -> tuple[str, ...]:
    return ("", "right", "share", f"{percent(report.confidence)} interval")


def _score_rows(report: AccuracyReport) -> list[tuple[str, ...]]:
    return [
        (name, f"{score.right} of {score.videos}", percent(score.share), _interval(score))
        for name, score in (("top-1", report.accuracy.top1), ("top-5", report.accuracy.top5))
    ]


def _interval(score: Score) -> str:
    return f"{100 * score.low:.1f} to {100 * score.high:.1f} %"


def _cost_rows(report: AccuracyReport) -> list[tuple[str, ...]]:
    published = report.published
    return [
        ("parameters", _millions(report.costs), _millions(published) if published else "-"),
        ("multiply-adds", _giga(report.costs), _giga(published) if published else "-"),
    ]


def _millions(costs: Costs) -> str:
    return f"{costs.parameters / 1e6:.1f} M"


def _giga(costs: Costs) -> str:
    return "-" if costs.multiply_adds is None else f"{costs.multiply_adds / 1e9:.1f} G"


def _class_title(report: AccuracyReport) -> str:
    shown, count = len(_shown_classes(report)), len(report.classes)
    return "Right, by class" if shown == count else f"Right, by class: the {shown} worst of {count}"


def _shown_classes(report: AccuracyReport) -> list[ClassScore]:
    if len(report.classes) <= _MOST_CLASSES:
        return list(report.classes)
    return sorted(report.classes, key=lambda one: one.right / one.videos)[:_MOST_CLASSES]


def _class_rows(report: AccuracyReport) -> list[tuple[str, ...]]:
    return [(one.name, str(one.videos), str(one.right), str(one.right_in_five)) for one in _shown_classes(report)]


def _remarks(report: AccuracyReport) -> list[str]:
    return list(dict.fromkeys((*report.notes, *report.videos.notes)))
