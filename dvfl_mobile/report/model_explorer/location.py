"""What locating found, as node data: each operator's own error, and how far its value is from the reference's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dvfl_mobile.gpu_delegate.graph import read_graph
from dvfl_mobile.locating.document import Location, OperatorDeviation
from dvfl_mobile.report.model_explorer.node_data import BLUE, GREEN, ORANGE, RED, YELLOW, NodeData

OWN, THROUGH = "model-explorer-own.json", "model-explorer-through.json"
_MOST_DB = 140.0
_COLOURS = ((20.0, RED), (30.0, ORANGE), (40.0, YELLOW), (60.0, GREEN), (_MOST_DB, BLUE))


def node_data(location: Location, model: Path) -> tuple[tuple[str, NodeData], ...]:
    """For each file's name, what goes into it; red is what is beyond tolerance or isn't finite.

    Args:
        location: of a `.tflite`, whose operators' values it calls by the numbers of their tensors.
        model: that file.

    Raises:
        ArtifactError: it can't be read.
    """
    giver = {str(tensor): n for n, operator in enumerate(read_graph(model).operators) for tensor in operator.gives}
    rows = {giver[row.name]: row for row in location.rows if row.name in giver}
    beyond = {number: RED for number, row in rows.items() if row.is_beyond}
    return (
        (OWN, NodeData("own error, SQNR in dB", _decibels(rows, lambda row: row.own_db), _COLOURS, beyond)),
        (THROUGH, NodeData("value, SQNR in dB", _decibels(rows, lambda row: row.through_db), _COLOURS, beyond)),
    )


def _decibels(rows: dict[int, OperatorDeviation], db: Callable[[OperatorDeviation], float | None]) -> dict[int, float]:
    """What isn't finite counts as 0 dB, and what is exact as `_MOST_DB`."""
    return {number: min(max(db(row) or 0.0, 0.0), _MOST_DB) for number, row in rows.items()}
