"""Model Explorer's node data: a number and a colour for operators of a graph, as a JSON file that its page loads.

The format is that of `model_explorer.node_data_builder` (ai-edge-model-explorer 0.1.34): graphs by their id, nodes by
theirs. Its reader of `.tflite` calls the only graph `main`, and each operator by its number in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvfl_mobile.files import write_text

_GRAPH = "main"

RED, ORANGE, YELLOW, GREEN, BLUE = "#d64545", "#e8913a", "#efd25c", "#8cc084", "#7fb2d9"


@dataclass(frozen=True)
class NodeData:
    """Numbers of one kind, by the number of their operator.

    Attributes:
        name: what they are, and their unit; a column's head in Model Explorer.
        values: by operator.
        thresholds: a colour for all values up to each of these, least first.
        marked: operators that stand out, in a colour of their own.
    """

    name: str
    values: Mapping[int, float]
    thresholds: Sequence[tuple[float, str]]
    marked: Mapping[int, str]

    def write(self, path: Path) -> None:
        """Write it as Model Explorer reads it.

        Raises:
            OutputError: it can't be written.
        """
        results = {str(number): self._result(number) for number in sorted(self.values)}
        thresholds = [{"value": value, "bgColor": colour} for value, colour in self.thresholds]
        graph = {"name": self.name, "results": results, "thresholds": thresholds}
        write_text(path, json.dumps({_GRAPH: graph}, indent=1, allow_nan=False) + "\n")

    def _result(self, number: int) -> dict[str, Any]:
        marked = {"bgColor": self.marked[number]} if number in self.marked else {}
        return {"value": float(f"{self.values[number]:.4g}"), **marked}
