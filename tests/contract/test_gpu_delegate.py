"""The GPU-delegate report on converted artifacts: read by this project's own reader, and as the converter read them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from dvfl_mobile.cli.commands.inspect import inspect
from dvfl_mobile.gpu_delegate.report import NAME, NO_GPU, GpuDelegateReport, gpu_delegate_report
from dvfl_mobile.gpu_delegate.rules import Fate
from tests.conversions import Make

MODULATIONS = ("stage0.block0", "stage1.block0", "stage2.block0", "stage2.block1", "stage3.block0")


def counts(rows: Iterable[Any]) -> Counter[tuple[str, str, int]]:
    found: Counter[tuple[str, str, int]] = Counter()
    for row in rows:
        found[row.operator, row.module, 0] += row.count
        found[row.operator, row.module, 1] += row.multiply_adds
    return found


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "static_wi8_ai8"])
def test_the_latest_rules_take_all_of_it_and_the_earlier_refuse_the_gates(made: Make, recipe: str) -> None:
    artifact = made("tflite", recipe).artifact
    report = gpu_delegate_report(artifact.manifest, artifact.folder)
    latest, earlier = report.editions
    assert not latest.of(Fate.REFUSED, Fate.UNKNOWN, Fate.BREAKS)
    assert (latest.pieces, latest.share, latest.default_share) == (1, 1.0, 1.0)
    # A gate of one channel times a picture's mean, which has one place: neither holds the other.
    refused = {row.module: (row.operator, row.count) for row in earlier.of(Fate.REFUSED)}
    assert refused == {f"{block}.modulation": ("mul", 2) for block in MODULATIONS}
    assert earlier.pieces is not None
    assert earlier.pieces > len(MODULATIONS)
    assert earlier.default_share is not None
    assert 0.15 < earlier.default_share < 0.25  # a block of each stage of four, and two of the third
    assert report.notes[0] == NO_GPU
    assert len(report.notes) == (2 if recipe == "static_wi8_ai8" else 1)


@pytest.mark.parametrize("recipe", ["fp32", "static_wi8_ai8"])
def test_its_operators_modules_and_multiply_adds_are_those_that_litert_gave_the_converter(
    made: Make, recipe: str
) -> None:
    artifact = made("tflite", recipe).artifact
    listed = artifact.manifest.delegation.rows
    # A GELU of int8 is counted as one there, and is three operators in the file.
    tables = sum(row.count for row in listed if row.operator == "gelu" and row.is_int8)
    assert (tables > 0) == (recipe == "static_wi8_ai8")
    for rules in gpu_delegate_report(artifact.manifest, artifact.folder).editions:
        found, expected = counts(rules.rows), counts(listed)
        assert not expected - found
        more = Counter[str]()
        for (operator, _, _), count in (found - expected).items():
            more[operator] += count
        assert more == +Counter({"dequantize": tables, "quantize": tables})


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        ("weight_only_wi8_afp32", "constants of rank 2, where 4 is read"),
        ("weight_only_wi4_afp32", "constants in int4, which can't be unpacked"),
    ],
)
def test_weights_unpacked_for_products_break_the_program(made: Make, recipe: str, reason: str) -> None:
    artifact = made("tflite", recipe).artifact
    latest = gpu_delegate_report(artifact.manifest, artifact.folder).editions[0]
    broken = latest.of(Fate.BREAKS)
    assert {(row.operator, row.reason) for row in broken} == {("dequantize", reason)}
    assert sum(row.count for row in broken) == 46  # the products of the small network
    assert (latest.default_builds, latest.default_share) == (False, 0.0)


def test_inspect_shows_it_gives_it_as_json_and_leaves_it_beside_the_artifact(
    made: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    folder = tmp_path / "fp32"
    shutil.copytree(made("tflite", "fp32").artifact.folder, folder)
    inspect(folder)
    text = capsys.readouterr().out
    assert "LiteRT 2.2.0: takes all 390 operators, in 1 piece" in text
    assert "Refused by LiteRT before 1.1 and TensorFlow Lite:" in text
    left = (folder / NAME).read_text()
    inspect(folder, json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["gpu_delegate"] == json.loads(left)
    assert GpuDelegateReport.model_validate_json(left).editions[0].operators == 390
    inspect(folder)  # its own report makes the artifact no other


def test_inspect_of_what_is_no_tflite_says_so_and_shows_the_rest(
    made: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "fp32"
    shutil.copytree(made("tflite", "fp32").artifact.folder, folder)
    content = b"no model"
    (folder / "model.tflite").write_bytes(content)
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    document["files"][0] |= {"size_bytes": len(content), "sha256": sha256(content).hexdigest()}
    path.write_text(json.dumps(document))
    inspect(folder)
    found = capsys.readouterr()
    assert "There is no report on the GPU delegate" in found.err
    assert "multiply-adds" in found.out
    assert not (folder / NAME).exists()
