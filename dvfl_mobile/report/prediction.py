"""Render a prediction: the likeliest classes of one video."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dvfl_mobile.pipeline.prediction import Prediction

_BAR_WIDTH = 24


def terminal(prediction: Prediction) -> RenderableType:
    """What was asked of which artifact, a bar for each class, and the notes."""
    title = f"{prediction.video}, by {prediction.model}/{prediction.target}/{prediction.recipe}"
    table = Table.grid(padding=(0, 2))
    for entry in prediction.classes:
        bar = "█" * round(entry.probability * _BAR_WIDTH)
        table.add_row(Text(f"{entry.probability:6.1%}"), Text(entry.name), Text(bar, "cyan"))
    notes = [Text(), *(Text(note, "yellow") for note in prediction.notes)] if prediction.notes else []
    return Group(Text(title, "bold"), table, *notes)
