"""Render a QuantizeSummary: the recipe, its distance to float, terminal and JSON."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dvfl_mobile.pipeline.quantized import QuantizeSummary
from dvfl_mobile.wording import decibels, plural


def terminal(summary: QuantizeSummary) -> RenderableType:
    """What was made, of what, and how near it is."""
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(summary):
        facts.add_row(Text(name, "dim"), Text(value))
    notes = [*summary.notes, *(summary.calibration.notes if summary.calibration else ())]
    return Group(Text(summary.path, "bold"), facts, *(Text(f"\n{note}", "yellow") for note in notes))


def _facts(summary: QuantizeSummary) -> Iterator[tuple[str, str]]:
    yield "model", f"{summary.model}, from {summary.checkpoint}"
    yield "recipe", f"{summary.recipe}{_METHODS[summary.method]}"
    if summary.calibration is None:
        yield "scales", "none to find: this recipe needs no calibration"
    else:
        calibration = summary.calibration
        classes = f" of {plural(calibration.classes, 'class', 'classes')}"
        over = classes if calibration.classes else ""
        yield "scales", f"on {plural(calibration.clips, 'clip')}{over}: {calibration.source}; {calibration.observer}"
    if summary.training is not None:
        training = summary.training
        yield (
            "training",
            f"{plural(training.epochs, 'epoch')} ({plural(training.steps, 'step')} of {training.global_batch}) on "
            f"{plural(training.clips, 'clip')}, {training.precision}, "
            f"{plural(training.processes, 'process', 'processes')}",
        )
    if summary.products:
        yield "int8", f"{plural(summary.products, 'product')}, and all between them that needn't be float"
    if summary.keep:
        yield "kept float", ", ".join(summary.keep)
    if summary.per_token_scaled:
        yield "scaled per token", ", ".join(summary.per_token_scaled)
    if summary.near is not None:
        near = summary.near
        yield (
            "near float",
            f"{decibels(near.sqnr_db)} SQNR, same top-1 on {near.agreement} {_unseen(summary)}",
        )
    elif summary.calibration is not None:
        yield "near float", "not measured: there are no clips that would tell"
    yield "file", f"{summary.size_bytes / 1e6:.1f} MB: the float student for parity, the integers, and the graph"


def _unseen(summary: QuantizeSummary) -> str:
    what = "clips of noise" if summary.calibration is not None and summary.calibration.is_noise else "clips"
    return f"{what} that {_UNSEEN[summary.method]}"


_UNSEEN = {"ptq": "calibration didn't see", "qat": "neither calibration nor training saw"}
_METHODS = {"none": "", "ptq": ", after training (PTQ)", "qat": ", in training (QAT)"}
