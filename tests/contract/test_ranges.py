"""How large values become: measured at conversion, shown by `inspect`, and held against half precision."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.cli.main import main
from dvfl_mobile.converters.ranges import measure_ranges
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.errors import CheckFailedError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.lean.at_once import pixels_of
from dvfl_mobile.model.ranges import MARGIN, MOST_HALF, Ranges
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.convert import check_ranges, range_warnings
from dvfl_mobile.targets import every, target_named
from tests.checkpoints import SMALL
from tests.conversions import Make
from tests.quantized import small_form, small_student

Run = Callable[..., Any]

PLACES = (
    "stem.proj",
    "stage0.block0.modulation.query",
    "stage0.block0.modulation.focal0",
    "stage0.downsample.proj",
    "stage1.block0.modulation.h",
    "stage1.block0.mlp.fc1",
    "stage2.block0.modulation.focal_temporal0",
    "stage2.block1.mlp.fc2",
    "stage3.block0.modulation.proj",
    "head.head",
)
"""Where an overflow is planted, one at a time: products and convolutions in every part of the network."""


def clips(count: int = 2) -> np.ndarray:
    return np.stack([clip.pixels for clip in moving_shapes(small_student().raw_clip, count)])


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; gives the exit code, what it printed on stdout, and what on stderr."""

    def run(*arguments: object) -> Any:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        return end.value.code, *capfd.readouterr()

    return run


@pytest.mark.parametrize("normalizer", sorted({target.normalizer for target in every()}))
def test_every_operator_that_computes_has_the_largest_of_its_values(normalizer: Any) -> None:
    form = small_student().form(normalizer)
    found = measure_ranges(form, clips(), "drawn")
    assert (found.clips, found.source, found.overflowing) == (2, "drawn", ())
    by_hand: dict[str, float] = {}
    for path, module in form.named_modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.register_forward_hook(
                lambda _module, _given, out, path=path: by_hand.update(
                    {path: max(by_hand.get(path, 0.0), float(out.abs().max()))}
                )
            )
    with torch.no_grad():
        for clip in clips():
            form(pixels_of(clip))  # as it lies where ranges are measured: elsewhere kernels sum in another order
    measured: dict[str, float] = {}
    for row in found.rows:
        if row.operator in ("linear", "conv2d"):
            measured[row.module] = max(row.largest, measured.get(row.module, 0.0))
    assert measured == pytest.approx(by_hand, rel=1e-6)
    # A layer norm that is spelled out has each of its steps: squares are what overflows first.
    steps = [row.operator for row in found.rows if row.module.startswith("stage3.block0.mlp.standardize")]
    assert "mul" in steps


def test_the_graph_of_a_quantized_form_has_the_same_ranges_and_says_where_int8_ends() -> None:
    form, target = small_form(), target_named("tflite")
    found = measure_ranges(form.to_lower(target, "static_wi8_ai8"), clips(), "drawn")
    rounded = [row for row in found.rows if row.reach is not None]
    assert rounded
    reaches = [each.scale * max(127 - each.zero_point, each.zero_point + 128) for each in form.settings.scales.values()]
    assert all(min(abs(row.reach - reach) for reach in reaches) <= 1e-5 * row.reach for row in rounded if row.reach)
    # The scale of what fc1 reads a hundred times too small.
    name = "stage1.block0.mlp.fc1:in"
    scales = dict(form.settings.scales)
    scales[name] = scales[name].model_copy(update={"scale": scales[name].scale / 100})
    worse = replace(form, settings=form.settings.model_copy(update={"scales": scales})).to_lower(
        target, "static_wi8_ai8"
    )
    saturated = measure_ranges(worse, clips(), "drawn").saturated
    assert [row.module for row in saturated if row.largest > 20 * (row.reach or 0)] == ["stage1.block0.mlp.standardize"]


def planted(module: str, normalizer: Any) -> DeployForm:
    """The small student's deploy form with weights so large that one layer's values leave half precision."""
    form = small_student().form(normalizer)
    layer = form.get_submodule(module)
    row = next(row for row in measure_ranges(form, clips(1), "drawn").rows if row.module == module)
    with torch.no_grad():
        layer.weight.mul_(4 * MOST_HALF / row.largest)
        if layer.bias is not None:
            layer.bias.mul_(4 * MOST_HALF / row.largest)
    return form


@pytest.mark.parametrize("module", PLACES)
def test_an_overflow_is_named_where_it_was_planted(module: str) -> None:
    found = measure_ranges(planted(module, "means"), clips(1), "drawn")
    first = found.overflowing[0]
    assert first.module == module
    assert 3 < first.largest / MOST_HALF < 5


def test_an_infinity_and_a_nan_count_as_the_largest_float() -> None:
    for value in (float("inf"), float("nan")):
        form = small_student().form("native")
        with torch.no_grad():
            form.get_submodule("stage1.block0.mlp.fc1").bias[0] = value
        found = measure_ranges(form, clips(1), "drawn")
        assert found.overflowing[0].module.startswith("stage1.block0.mlp")
        assert Ranges.model_validate_json(found.model_dump_json()) == found


def test_a_manifest_holds_them(made: Make) -> None:
    for target, recipe in (("tflite", "fp32"), ("executorch", "static_wi8_ai8"), ("coreml", "fp16")):
        ranges = made(target, recipe).artifact.manifest.ranges
        assert ranges is not None
        assert (ranges.clips, ranges.source) == (4, "moving shapes, drawn")
        assert ranges.overflowing == ()
        assert bool(any(row.reach for row in ranges.rows)) is (recipe == "static_wi8_ai8")


def with_ranges(artifact: Artifact, factor: float) -> Artifact:
    """The artifact as if its values had been so many times larger."""
    ranges = artifact.manifest.ranges
    assert ranges is not None
    rows = tuple(row.model_copy(update={"largest": row.largest * factor}) for row in ranges.rows)
    update = {"ranges": ranges.model_copy(update={"rows": rows})}
    return Artifact(artifact.folder, artifact.manifest.model_copy(update=update))


def test_what_computes_in_half_fails_and_what_may_be_run_in_half_is_warned_of(made: Make) -> None:
    half, whole = made("coreml", "fp16").artifact, made("tflite", "fp32").artifact
    for artifact in (half, whole):
        assert artifact.manifest.ranges is not None
        assert artifact.manifest.ranges.largest is not None
        check_ranges([artifact])
        assert range_warnings(artifact) == ()
        to_the_end = MOST_HALF / artifact.manifest.ranges.largest.largest
        [said] = range_warnings(with_ranges(artifact, to_the_end / MARGIN * 1.5))
        assert "come within 16 times of 65,504" in said
    with pytest.raises(CheckFailedError, match=r"computes in half precision, which ends at 65,504, and \d+ operators"):
        check_ranges([with_ranges(half, to_the_end * 100)])
    check_ranges([with_ranges(whole, to_the_end * 100)])
    assert "GPU or NPU" in range_warnings(with_ranges(whole, to_the_end * 100))[0]


def test_convert_ends_with_5_and_inspect_shows_where(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("coremltools")
    student = seeded_student(SMALL)
    with torch.no_grad():
        layer = student.network.get_submodule("layers.2.blocks.1.mlp.fc2")
        layer.weight.mul_(1e7)
    checkpoint = tmp_path / "large.safetensors"
    save_student(student, checkpoint)
    code, _, said = run("convert", checkpoint, "--target", "coreml", "--recipe", "fp16", "-o", tmp_path / "out")
    assert code == 5
    assert "stage2.block1" in said
    [folder] = (tmp_path / "out").glob("*/coreml/fp16")
    code, shown, said = run("inspect", folder, "--ranges")
    assert code == 5
    assert "leave half precision, which ends at 65,504" in shown
    assert (folder / "ranges.png").read_bytes().startswith(b"\x89PNG")
    code, shown, _ = run("inspect", folder, "--ranges", "--json")
    assert code == 5
    assert json.loads(shown)["rows"]
    code, _, said = run("inspect", folder, "--clips", tmp_path)
    assert code == 2
    assert "Clips are for --ranges" in said
