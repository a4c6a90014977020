"""`quantize` and what it changes in `convert` and `deploy`: what is refused before any work, and one whole way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from dvfl_mobile.cli.main import main
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.quantized import QuantizeSummary, summarize_form
from dvfl_mobile.quantization.graph import stored
from tests.checkpoints import TINY
from tests.conversions import skip_without
from tests.quantized import small_form

pytestmark = pytest.mark.usefixtures("remembered_exports")

MODEL = "focalnet-16-1"


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_student(seeded_student(TINY), path)
    return path


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DVFL_MOBILE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DVFL_MOBILE_DATA", raising=False)


@pytest.mark.parametrize(
    ("arguments", "code", "parts"),
    [
        (("quantize",), 2, ("has to be calibrated", "--calib")),
        (("quantize", "--calib", "noise", "--recipe", "int3"), 2, ("'int3'", "static_wi8_ai8")),
        (("quantize", "--calib", "noise", "--recipe", "auto"), 2, ("promise", "--min-agreement")),
        (("quantize", "--calib", "noise", "--recipe", "w8a8", "--min-sqnr", "30"), 2, ("go with --recipe auto",)),
        (("quantize", "--calib", "noise", "--observer", "magic"), 2, ("'magic'", "percentile")),
        (("quantize", "--calib", "noise", "--method", "magic"), 2, ("'magic'", "qat")),
        (("quantize", "--calib", "noise", "--method", "qat"), 2, ("on video",)),
        (("quantize", "--calib", "ucf50"), 3, ("ucf50", "DVFL_MOBILE_DATA", "crcv.ucf.edu")),
        (("quantize", "--calib", "no/such/folder"), 3, ("no/such/folder", "hmdb51")),
        (("convert", "--recipe", "w8a8", "--target", "tflite"), 2, ("needs scales", "dvfl-mobile quantize")),
        (("convert", "--recipe", "dynamic", "--target", "coreml"), 2, ("coreml", "weight_only_wi8_afp32")),
        (("convert", "--recipe", "w4", "--target", "coreml", "--minimum-ios", "17"), 2, ("iOS 18",)),
        (("deploy", "--recipe", "fp16", "--calib", "noise"), 2, ("isn't calibrated", "static_wi8_ai8")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and value and value[0][0].islower() else None,
)
def test_what_cannot_be_is_refused_with_a_next_step(
    arguments: tuple[str, ...], code: int, parts: tuple[str, ...], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(*arguments, "-o", tmp_path / "out") == code
    error = " ".join(capfd.readouterr().err.split())
    for part in parts:
        assert part in error
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").rglob("*.pt2"))


def test_a_form_keeps_its_own_recipe(written_form: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("convert", written_form, "--recipe", "fp16", "-o", tmp_path) == 2
    assert "was quantized as static_wi8_ai8" in capfd.readouterr().err
    assert run("convert", written_form, "--size", "64", "-o", tmp_path) == 2
    assert run("deploy", written_form, "--calib", "noise", "-o", tmp_path) == 2
    assert "has its scales already" in capfd.readouterr().err


def test_noise_marks_form_and_summary(checkpoint: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    command = ("quantize", checkpoint, "--calib", "noise", "--num-calibration-samples", 8, "-o", tmp_path)
    assert run(*command, "--json") == 0
    document = json.loads(capfd.readouterr().out)
    path = tmp_path / f"{MODEL}-static_wi8_ai8.pt2"
    assert (document["path"], document["size_bytes"]) == (str(path), path.stat().st_size)
    assert document["calibration"]["is_noise"] is True
    assert any("Calibrated on noise" in note for note in document["notes"])
    assert document["near"]["clips"] == 16
    assert stored.load_form(path).settings.warnings
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name or "training" in file.name] == []


def test_a_summary_of_schema_version_1_is_read() -> None:
    """It called the per-token scaled layers `levels`."""
    summary = summarize_form(small_form(), None)
    document = summary.model_dump(mode="json")
    assert document["schema_version"] == 2
    del document["per_token_scaled"]
    old = QuantizeSummary.model_validate_json(json.dumps(document | {"schema_version": 1, "levels": ["stem.proj"]}))
    assert old == summary.model_copy(update={"per_token_scaled": ("stem.proj",)})
    with pytest.raises(ValidationError, match="levels"):
        QuantizeSummary.model_validate_json(json.dumps(document | {"levels": ["stem.proj"]}))


def test_a_recipe_without_scales_needs_no_clips(
    checkpoint: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run("quantize", checkpoint, "--recipe", "dynamic", "-o", tmp_path) == 0
    assert "needs no calibration" in capfd.readouterr().out
    assert stored.load_form(tmp_path / f"{MODEL}-dynamic_wi8_afp32.pt2").settings.method == "none"


@pytest.mark.usefixtures("warm_children")
def test_deploy_quantizes_first_and_inspect_says_what_stayed_float(
    checkpoint: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    skip_without("executorch")
    command = ("deploy", checkpoint, "--calib", "noise", "--num-calibration-samples", 8, "--target", "executorch")
    code = run(*command, "-o", tmp_path)  # clips without a recipe mean static int8
    printed = capfd.readouterr().out
    assert code in (0, 5), "noise may well be too far from drawn clips"
    assert "Calibrated on noise" in " ".join(printed.split())
    assert run("inspect", tmp_path / TINY.name / "executorch" / "static_wi8_ai8") == 0
    printed = " ".join(capfd.readouterr().out.split())
    for part in ("of the multiply-adds in int8", "gates", "residual sums", "head", "found on 8 clips: noise"):
        assert part in printed
    assert "though the recipe asks for int8" not in printed
