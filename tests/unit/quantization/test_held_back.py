"""Some clips are always held back from calibration for its figures, and clips that say nothing decide nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from dvfl_mobile.cli.main import main
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline import quantize as quantizing
from dvfl_mobile.pipeline.quantize_plan import Calibration, QuantizePlan
from dvfl_mobile.quantization.calibrate.calibration import gather
from dvfl_mobile.quantization.scales import Scale
from dvfl_mobile.quantization.settings import Quantization
from tests.checkpoints import TINY
from tests.conftest import WriteVideo
from tests.quantized import drawn, facts

SPEC = ClipSpec.official(4, 32)
Listed = Callable[..., Path]


@pytest.fixture
def listed(tmp_path: Path, write_video: WriteVideo) -> Listed:
    """A list of videos of these pictures `(T,h,w,3)`, in classes in turn."""

    def write(videos: Sequence[Any], classes: Sequence[str] = ("Dance", "Jump")) -> Path:
        rows = []
        for index, pictures in enumerate(videos):
            write_video(tmp_path / f"{index:02d}.avi", pictures)
            rows.append(f"{index:02d}.avi,{classes[index % len(classes)]}\n")
        (tmp_path / "list.csv").write_text("".join(rows))
        return tmp_path / "list.csv"

    return write


def textured(seed: int) -> Any:
    coarse = np.random.RandomState(seed).randint(0, 256, (6, 6, 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def of_colour(*colour: int) -> Any:
    return np.full((6, 48, 64, 3), colour, np.uint8)


@pytest.mark.parametrize(
    ("there", "samples", "held_out", "expected"),
    [(12, 64, 16, (9, 3)), (8, 64, 16, (6, 2)), (9, 8, 16, (7, 2)), (12, 8, 16, (8, 4)), (12, 8, 2, (8, 2))],
)
def test_some_clips_are_always_held_back(
    there: int, samples: int, held_out: int, expected: tuple[int, int], listed: Listed
) -> None:
    source = listed([textured(seed) for seed in range(there)])
    found = gather(str(source), SPEC, "mse", samples, held_out=held_out)
    assert (len(found.pixels), len(found.held_out)) == expected
    assert found.facts.clips == len(found.pixels)
    mine = {clip.tobytes() for clip in found.pixels}
    assert not any(clip.tobytes() in mine for clip in found.held_out)
    if samples == 64:
        [note] = [note for note in found.facts.notes if "asked for" in note]
        assert f"has {there}, of which {expected[1]} are held back" in note


def test_a_copy_of_a_clip_that_calibration_saw_is_not_held_back(listed: Listed) -> None:
    source = listed([textured(seed % 6) for seed in range(12)])
    found = gather(str(source), SPEC, "mse", 8, held_out=4)
    mine = {clip.tobytes() for clip in found.pixels}
    assert len(found.held_out) == 1
    assert found.held_out[0].tobytes() not in mine
    assert len(mine) == 5
    assert "3 of 8 clips are copies of others, pixel for pixel." in found.facts.notes


def test_of_two_clips_one_is_held_back_and_of_one_none(listed: Listed) -> None:
    two = gather(str(listed([textured(seed % 2) for seed in range(8)])), SPEC, "mse", 8, held_out=4)
    assert len(two.held_out) == 1
    one = gather(str(listed([textured(0)] * 8)), SPEC, "mse", 8, held_out=4)
    assert len(one.held_out) == 0
    for found in (two, one):
        assert any("are the same, pixel for pixel" in said for said in found.facts.degenerate)


def test_training_is_given_none_of_the_clips_that_were_held_back(listed: Listed) -> None:
    source = str(listed([textured(seed) for seed in range(12)]))
    held_back = gather(source, SPEC, "mse", 8, held_out=4).held_out
    training = gather(source, SPEC, "mse", 512, leave_out=held_back)
    assert len(training.pixels) == 8
    assert not {clip.tobytes() for clip in training.pixels} & {clip.tobytes() for clip in held_back}


@pytest.mark.parametrize(
    ("videos", "said"),
    [
        ([of_colour(0, 0, 0)] * 8, ("of one colour", "are the same")),
        ([of_colour(255, 255, 255)] * 8, ("of one colour", "are the same")),
        ([of_colour(200, 20, 20)] * 8, ("of one colour", "are the same")),
        ([of_colour(20 * index, 20 * index, 20 * index) for index in range(8)], ("of one colour",)),
        ([np.concatenate([of_colour(30 * index, 0, 0)[:1], of_colour(0, 0, 0)]) for index in range(8)], ("colour",)),
        ([textured(3)] * 8, ("are the same",)),
        ([textured(seed) for seed in range(8)], ()),
    ],
    ids=["black", "white", "red", "greys", "flicker", "copies", "fine"],
)
def test_clips_that_are_all_alike_are_named(videos: list[Any], said: tuple[str, ...], listed: Listed) -> None:
    found = gather(str(listed(videos)), SPEC, "mse", 8, held_out=4)
    assert len(found.facts.degenerate) == len(said)
    for part, sentence in zip(said, found.facts.degenerate, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    ("classes", "ours", "is_named"),
    [
        (("Jump",), ("Dance", "Jump"), True),
        (("0",), ("Dance", "Jump"), True),
        (("Jump",), ("class_0", "class_1"), True),
        (("mine",), ("Dance", "Jump"), False),
        (("Jump",), ("Jump",), False),
        (("Dance", "Jump"), ("Dance", "Jump"), False),
    ],
)
def test_one_class_of_several_is_named(
    classes: tuple[str, ...], ours: tuple[str, ...], is_named: bool, listed: Listed
) -> None:
    source = listed([textured(seed) for seed in range(8)], classes)
    found = gather(str(source), SPEC, "mse", 8, classes=ours, held_out=2)
    assert [f"of one class of several, {classes[0]}" in said for said in found.facts.degenerate] == [True] * is_named


def test_black_clips_beside_others_are_noted_and_not_held_back(listed: Listed) -> None:
    source = listed([textured(seed) if seed < 9 else of_colour(seed, 0, 0) for seed in range(12)])
    for seed in range(4):
        found = gather(str(source), SPEC, "mse", 64, held_out=16, seed=seed)
        assert found.facts.degenerate == ()
        assert all(clip.std() > 20 for clip in found.held_out)
        assert len(found.held_out) == 2
        assert any("3 clips of 10 hold one colour a picture: " in note for note in found.facts.notes)


def test_a_range_of_zero_is_named() -> None:
    scales = {"stem:out": Scale(scale=2.0**-23, zero_point=0), "head:in": Scale(scale=0.1, zero_point=0)}
    settings = Quantization(
        recipe="static_wi8_ai8", method="ptq", scales=scales, calibration=facts(drawn()).model_copy()
    )
    assert settings.degenerate == ("1 int8 tensor had a range of zero: stem:out",)
    [warning] = settings.warnings
    assert "decides" in warning


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVFL_MOBILE_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "tiny.safetensors"
    save_student(seeded_student(TINY), path)
    return path


@pytest.mark.parametrize("promise", [("--min-sqnr", 36), ("--min-agreement", 0.9)])
def test_no_promise_is_kept_on_degenerate_clips(
    promise: tuple[object, ...], checkpoint: Path, listed: Listed, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = listed([of_colour(0, 0, 0)] * 12)
    assert run("quantize", checkpoint, "--calib", source, *promise, "-o", tmp_path / "out") == 3
    error = " ".join(capfd.readouterr().err.split())
    assert "can't decide what stays float: every picture of all 12 clips is of one colour" in error
    assert not list(tmp_path.rglob("*.pt2"))


@pytest.mark.usefixtures("remembered_exports")
def test_the_figure_is_of_clips_that_were_held_back_or_left_out(
    checkpoint: Path, listed: Listed, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize = ("quantize", checkpoint, "-o", tmp_path, "--observer", "minmax")
    seen: dict[str, list[bytes]] = {}

    def remember(form: Any, clips: Any, step: Any) -> Any:
        seen["calibrated"] = [clip.tobytes() for clip in clips.pixels]
        return looked_at(form, clips, step)

    looked_at = quantizing._looked_at
    monkeypatch.setattr(quantizing, "_looked_at", remember)
    assert run(*quantize, "--calib", listed([textured(seed) for seed in range(12)]), "--json") == 0
    document = json.loads(capfd.readouterr().out)
    assert (document["calibration"]["clips"], document["near"]["clips"]) == (9, 3)
    assert len(seen["calibrated"]) == 9
    assert run(*quantize, "--calib", listed([of_colour(0, 0, 0)] * 12)) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "near float not measured" in printed
    assert "Degenerate calibration: every picture of all 12 clips is of one colour" in printed
    assert "SQNR" not in printed


def test_a_form_on_the_way_to_artifacts_is_not_looked_at(listed: Listed, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = mock.Mock(return_value=None)
    monkeypatch.setattr(quantizing, "_looked_at", looked_at)
    plan = QuantizePlan.ptq(Calibration(str(listed([textured(seed) for seed in range(12)]))))
    form = quantizing.calibrated(seeded_student(TINY), plan)
    assert form.quantization is not None
    looked_at.assert_not_called()  # parity measures the artifacts themselves
    quantizing.quantize(seeded_student(TINY), plan)
    looked_at.assert_called_once()
