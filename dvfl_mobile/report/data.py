"""Render a data set's check on the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.data.check import DataReport, SplitFacts
from dvfl_mobile.report.formats.terminal import grid, paragraph
from dvfl_mobile.spelling import option

_COLUMNS = ("split", "videos", "published", "classes", "videos of a class")
_NAMED = 10


def terminal(report: DataReport) -> RenderableType:
    """Where it is, its splits, what they share, and what is wrong."""
    state = ("whole", "bold green") if report.is_whole else ("not whole", "bold red")
    parts: list[RenderableType] = [
        Text.assemble((state[0].upper(), state[1]), "  ", f"{report.source}, in {report.place}"),
        Text(_counts(report)),
    ]
    if report.splits:
        parts += [Text(), grid(_COLUMNS, [_row(one) for one in report.splits], right={1, 2, 3})]
    damaged = [f"Damaged: {line}" for line in report.damaged[:_NAMED]]
    if len(report.damaged) > _NAMED:
        damaged.append(f"and {len(report.damaged) - _NAMED} more damaged videos; {option('json')} names all.")
    return Group(
        *parts,
        *paragraph([leak_sentence(report)] if len(report.splits) > 1 or report.leak else []),
        *paragraph(report.problems),
        *paragraph([*damaged, *report.notes]),
    )


def leak_sentence(report: DataReport) -> str:
    """What the splits share, as far as names and files tell."""
    if report.leak:
        return f"Training and test share {report.leak}: an accuracy on this test split is no claim about new videos."
    return "Training and test share no (class, group) pair and no file."


def _counts(report: DataReport) -> str:
    classes = _of(report.classes, report.expected_classes, "class", "classes")
    videos = _of(report.videos, report.expected_videos, "video", "videos")
    decoded = f", all decoded: {len(report.unreadable)} unreadable, {len(report.damaged)} damaged"
    return f"{classes}, {videos}{decoded if report.decoded else ''}."


def _of(found: int, expected: int | None, one: str, many: str) -> str:
    if expected is None:
        return f"{found:,} {one if found == 1 else many}"
    return f"{found:,} of {expected:,} {many}"


def _row(one: SplitFacts) -> tuple[str, ...]:
    spread = str(one.most) if one.fewest == one.most else f"{one.fewest} to {one.most}, median {one.median:g}"
    published = "-" if one.expected is None else f"{one.expected:,}"
    return (one.name, f"{one.videos:,}", published, str(one.classes), spread)
