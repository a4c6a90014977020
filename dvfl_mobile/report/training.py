"""Render a finished training: summary lines, and the learning curve as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dvfl_mobile.report.formats import plots
from dvfl_mobile.training.result import TrainingResult
from dvfl_mobile.wording import percent, plural, printable


def summary_lines(result: TrainingResult, best: Path) -> list[str]:
    """What a reader wants to know, most important first."""
    lines = [f"{best}  {result.model}, {result.parameters:,} parameters, {len(result.classes)} classes"]
    if result.best is not None:
        score = result.best
        lines.append(
            f"  right: {score.right} of {plural(score.videos, 'video')}, {percent(score.right / max(score.videos, 1))} "
            f"(among the first five: {score.right_in_five}), in epoch {score.epoch}"
        )
        lines.append(f"  chosen on: {printable(score.on)}")
    lines.append(
        f"  trained on: {printable(result.data)}, {plural(result.videos, 'video')}, {plural(result.epochs, 'epoch')}, "
        f"{plural(result.steps, 'step')} of {plural(result.settings.global_batch, 'clip')}"
    )
    if result.teacher is not None:
        lines.append(f"  teacher: {printable(result.teacher.name)}, {result.teacher.model}")
    lines.append(f"  began with: {printable(result.start.sentence)}")
    return lines


def draw_learning_curve(journal: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw loss by step, and accuracy by epoch where anything was validated.

    Raises:
        MissingDependencyError: matplotlib isn't installed.
        OutputError: the place can't be written.
    """
    steps = [line for line in journal if line.get("event") == "step" and line.get("loss") is not None]
    epochs = [line for line in journal if line.get("event") == "epoch" and line.get("videos")]
    figure = plots.new_figure(7, 4.5 if epochs else 3)
    above, *below = figure.subplots(2 if epochs else 1, 1, sharex=True, squeeze=False)[:, 0]
    above.plot([line["step"] for line in steps], [line["loss"] for line in steps], color=plots.FAINT, linewidth=0.8)
    smooth = _smoothed([line["loss"] for line in steps])
    above.plot([line["step"] for line in steps], smooth, color=plots.INK, linewidth=1.4)
    above.set_ylabel("loss")
    for axes in below:
        shares = [line["right"] / line["videos"] for line in epochs]
        axes.plot([line["step"] for line in epochs], shares, color=plots.INK, marker="o", markersize=3)
        axes.set_ylim(0, 1)
        axes.set_ylabel("right, validation")
    (below[-1] if below else above).set_xlabel("step")
    figure.tight_layout()
    plots.write(figure, path)


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean over about a twentieth of all steps."""
    keep = 1 - min(1.0, 20 / max(len(values), 20))
    smooth: list[float] = []
    for value in values:
        smooth.append(value if not smooth else keep * smooth[-1] + (1 - keep) * value)
    return smooth
