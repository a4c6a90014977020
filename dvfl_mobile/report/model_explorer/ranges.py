"""Ranges as node data: the largest value of each operator of a `.tflite`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Hashable, Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path

from dvfl_mobile.gpu_delegate.graph import read_graph
from dvfl_mobile.model.ranges import MARGIN, MOST_HALF, OperatorRange, Ranges
from dvfl_mobile.report.model_explorer.node_data import BLUE, GREEN, ORANGE, RED, YELLOW, NodeData

LARGEST, INT8 = "model-explorer-ranges.json", "model-explorer-int8.json"
_MOST = 3.5e38  # above the largest float32
_IN_HALF = ((1.0, BLUE), (MOST_HALF / MARGIN, GREEN), (MOST_HALF, ORANGE), (_MOST, RED))
_IN_INT8 = ((1.0, GREEN), (1.25, YELLOW), (2.0, ORANGE), (_MOST, RED))
_KINDS = {
    "conv1d": "conv",
    "conv2d": "conv",
    "conv3d": "conv",
    "conv_2d": "conv",
    "depthwise_conv_2d": "conv",
    "fully_connected": "linear",
}


def node_data(ranges: Ranges, model: Path) -> tuple[tuple[str, NodeData], ...]:
    """For each file's name, what goes into it: the largest values; and of int8, by how much they exceed their scales.

    Orange is what half precision holds with less room than is wanted, red what it can't. Converters keep most
    operators, and their order: by that, their kind and their module, rows are found in the file. Operators that only
    move or convert values have none.

    Args:
        ranges: of a `.tflite` artifact.
        model: that file.

    Raises:
        ArtifactError: it can't be read.
    """
    operators = [(operator.module, _kind(operator.name)) for operator in read_graph(model).operators]
    found = _pairs(operators, [(row.module, _kind(row.operator)) for row in ranges.rows])
    largest = {operator: ranges.rows[row].largest for operator, row in found.items()}
    exceeding = {operator: _exceeding(ranges.rows, row) for operator, row in found.items()}
    in_int8 = {operator: ratio for operator, ratio in exceeding.items() if ratio is not None}
    half = (LARGEST, NodeData("largest absolute value", largest, _IN_HALF, {}))
    int8 = (INT8, NodeData("largest value / what its int8 scale holds", in_int8, _IN_INT8, {}))
    return (half, int8) if in_int8 else (half,)


def _kind(name: str) -> str:
    return _KINDS.get(name, name)


def _pairs(operators: Sequence[Hashable], rows: Sequence[Hashable]) -> Mapping[int, int]:
    """The place in `rows` for each place in `operators` that has one.

    What stands in the same order in both; then, of what is left over, what is there as often in one as in the other.
    """
    blocks = SequenceMatcher(None, operators, rows, autojunk=False).get_matching_blocks()
    found = {block.a + k: block.b + k for block in blocks for k in range(block.size)}
    left, waiting = _places(operators, found.keys()), _places(rows, set(found.values()))
    alike = [key for key in left if len(left[key]) == len(waiting.get(key, ()))]
    return found | {operator: row for key in alike for operator, row in zip(left[key], waiting[key], strict=True)}


def _places(items: Sequence[Hashable], taken: Container[int]) -> Mapping[Hashable, list[int]]:
    places = defaultdict[Hashable, list[int]](list)
    for place, item in enumerate(items):
        if place not in taken:
            places[item].append(place)
    return places


def _exceeding(rows: Sequence[OperatorRange], index: int) -> float | None:
    """An operator's largest value by the reach of the int8 scale that it is converted to, right behind it."""
    own, behind = rows[index], rows[min(index + 1, len(rows) - 1)]
    is_its_own = (behind.module, behind.largest) == (own.module, own.largest)
    return behind.largest / behind.reach if behind.reach and is_its_own else None
