"""Node data for Model Explorer: its file, and that a number stands at the operator that it is of."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.cli.main import main
from dvfl_mobile.gpu_delegate.graph import Operator, read_graph
from dvfl_mobile.locating.document import Location
from dvfl_mobile.model.ranges import Ranges
from dvfl_mobile.report.model_explorer import location as located
from dvfl_mobile.report.model_explorer import ranges as ranged
from dvfl_mobile.report.model_explorer.node_data import RED
from tests.conversions import Made, Make


def left(path: Path) -> dict[int, dict[str, Any]]:
    """The results in a file, by operator."""
    [(graph, data)] = json.loads(path.read_text(encoding="utf-8")).items()
    assert graph == "main"
    assert set(data) == {"name", "results", "thresholds"}
    return {int(number): result for number, result in data["results"].items()}


@pytest.fixture
def copied(made: Make, tmp_path: Path) -> Any:
    def copied(recipe: str) -> tuple[Made, Path]:
        """An artifact, and a copy of its folder that may be written to, where its reference lies two folders above."""
        found = made("tflite", recipe)
        model = shutil.copytree(found.artifact.folder.parents[1], tmp_path / "model")
        return found, model / "tflite" / recipe

    return copied


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == 0


SAME = {"conv_2d": "conv2d", "depthwise_conv_2d": "conv2d", "fully_connected": "linear"}


def test_each_row_of_the_ranges_stands_at_one_operator_of_its_module_and_kind(copied: Any) -> None:
    made, folder = copied("fp32")
    run("inspect", folder, "--ranges")
    results = left(folder / ranged.LARGEST)
    operators, rows = read_graph(made.file).operators, made.artifact.manifest.ranges.rows
    waiting = defaultdict[tuple[str, str], list[float]](list)
    for row in rows:
        waiting[row.module, row.operator].append(row.largest)
    for number, result in sorted(results.items()):
        operator: Operator = operators[number]
        same = waiting[operator.module, SAME.get(operator.name, operator.name)]
        [least_off, *_] = sorted(same, key=lambda value: abs(value - result["value"]))
        same.remove(least_off)
        assert result == {"value": pytest.approx(least_off, rel=1e-3)}
    assert sum(map(len, waiting.values())) == 0
    assert not (folder / ranged.INT8).exists()


def test_what_exceeds_its_int8_scale_stands_at_the_operator_that_gave_it(copied: Any) -> None:
    made, _ = copied("static_wi8_ai8")
    rows = [
        row.model_copy(update={"reach": row.largest / 3})
        if row.reach and row.module == "stage1.downsample.proj"
        else row
        for row in made.artifact.manifest.ranges.rows
    ]
    ranges = Ranges(clips=1, source="drawn", rows=tuple(rows))
    [_, (name, data)] = ranged.node_data(ranges, made.file)
    assert name == ranged.INT8
    operators = read_graph(made.file).operators
    [number] = [number for number, value in data.values.items() if value == pytest.approx(3)]
    assert (operators[number].name, operators[number].module) == ("conv_2d", "stage1.downsample.proj")
    assert len(data.values) > 10


def test_locating_leaves_each_operator_s_errors_and_what_is_beyond_is_red(copied: Any) -> None:
    made, folder = copied("fp32")
    run("parity", folder, "--locate")
    location = Location.model_validate_json((folder / "locate.json").read_text(encoding="utf-8"))
    own, through = left(folder / located.OWN), left(folder / located.THROUGH)
    operators = read_graph(made.file).operators
    giver = {str(tensor): number for number, operator in enumerate(operators) for tensor in operator.gives}
    assert len(own) == len(through) == len(location.rows)
    for row in location.rows:
        number = giver[row.name]
        assert operators[number].name == row.operator
        assert own[number]["value"] == pytest.approx(min(row.own_db, 140), rel=1e-3)
        assert through[number]["value"] == pytest.approx(min(row.through_db, 140), rel=1e-3)
    last = location.rows[-1].model_copy(update={"own_db": None, "through_db": None, "is_beyond": True})
    found = located.node_data(location.model_copy(update={"rows": (*location.rows[:-1], last)}), made.file)
    for _, data in found:
        assert data.values[giver[last.name]] == 0  # not finite
        assert data.marked == {giver[last.name]: RED}


def test_other_targets_have_none(made: Make, tmp_path: Path) -> None:
    folder = shutil.copytree(made("executorch", "fp32").artifact.folder, tmp_path / "fp32")
    run("inspect", folder, "--ranges")
    assert list(folder.glob("model-explorer*")) == []
