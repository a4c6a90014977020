"""Artifacts for Qualcomm's NPU: compiled by LiteRT, and judged by the compiled bytes on Qualcomm's emulator.

Skipped, with the reason, where the extra isn't installed or its licence isn't accepted: docs/qualcomm.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts import manifest as manifests
from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.cli.main import main
from dvfl_mobile.converters import qualcomm_compiler
from dvfl_mobile.converters.qualcomm_compiler import compiled
from dvfl_mobile.data import gather
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.documents import Verdict
from dvfl_mobile.errors import ArtifactError, DvflMobileError, UnfitDependencyError
from dvfl_mobile.pipeline.check import check
from dvfl_mobile.quantization.graph.forms import deploy_form
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.values import EMULATED_NOTE
from tests.contract import test_artifacts as promises
from tests.conversions import Made, Make, skip_without
from tests.planting import Fault, enlarge_last_norm, planted
from tests.quantized import drawn, small_form

SOC = "SM8750"
NAME = f"qualcomm-{SOC}"
PROMISED = (
    promises.test_stands_where_its_names_say,
    promises.test_manifest_lists_every_file_as_it_is,
    promises.test_manifest_says_what_was_made_of_what,
    promises.test_reference_stands_beside_it,
    promises.test_classes_and_clip_are_inside_the_file,
    promises.test_inputs_and_outputs_are_those_of_the_file,
    promises.test_computes_what_pytorch_computes,
    promises.test_the_report_lies_beside_the_file,
    promises.test_multiply_adds_are_those_of_a_hand_count,
    promises.test_operators_carry_the_deploy_form_s_modules,
)
EACH_RECIPE = pytest.mark.parametrize("recipe", ["fp16", "static_wi8_ai8"])

pytestmark = pytest.mark.cold_children


@pytest.fixture(scope="module", autouse=True)
def _there() -> None:
    skip_without(NAME)


@EACH_RECIPE
@pytest.mark.parametrize("promise", PROMISED, ids=lambda promise: promise.__name__)
def test_it_keeps_what_every_target_promises(made: Make, recipe: str, promise: Callable[..., None]) -> None:
    promise(made, NAME, recipe)


@EACH_RECIPE
def test_all_of_it_is_compiled_into_one_piece(made: Make, recipe: str) -> None:
    delegation = made(NAME, recipe).artifact.manifest.delegation
    assert (delegation.delegate, delegation.calls, delegation.share, delegation.outside) == ("Hexagon", 1, 1.0, 0)
    assert sum(row.count for row in delegation.rows) > 100


@EACH_RECIPE
def test_its_report_says_that_an_emulator_ran_it(made: Make, recipe: str) -> None:
    report = made(NAME, recipe).report
    assert (report.runner["device"], report.runner["kind"]) == ("htp", "emulated")
    assert EMULATED_NOTE in report.notes


def test_it_has_the_scales_of_every_target(made: Make) -> None:
    quantization = made(NAME, "static_wi8_ai8").artifact.manifest.quantization
    assert quantization is not None
    assert quantization.scales == small_form().settings.scales
    share = made(NAME, "static_wi8_ai8").artifact.manifest.delegation.int8_share
    assert share == made("tflite", "static_wi8_ai8").artifact.manifest.delegation.int8_share


def test_half_precision_is_what_it_computes_in(made: Make) -> None:
    pooled = made(NAME, "fp16").report.pooled
    assert pooled is not None
    assert pooled.sqnr_db is not None
    assert pooled.sqnr_db < 80, "in float32 it would be above 110 dB"


def test_the_device_gives_what_it_is_run_on_by_itself(made: Make) -> None:
    artifact = made(NAME, "static_wi8_ai8").artifact
    clips = drawn(1, 7)
    with find_device("htp").open(artifact.folder, artifact.manifest) as runner:
        found = runner.run(clips)
    assert np.array_equal(found, open_runner(artifact.folder, artifact.manifest).run(clips))


def test_changed_bytes_are_not_run(made: Make, tmp_path: Path) -> None:
    artifact = copied(made(NAME, "fp16").artifact, tmp_path)
    path = artifact.folder / artifact.manifest.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ArtifactError, match="its bytes changed"):
        check(artifact)


def test_a_context_that_is_none_ends_the_child_alone(made: Make, tmp_path: Path) -> None:
    artifact = copied(made(NAME, "fp16").artifact, tmp_path)
    data = (artifact.folder / artifact.manifest.file).read_bytes()
    broken = with_file(artifact, data[:2048] + bytes(len(data) // 2) + data[2048 + len(data) // 2 :])
    with pytest.raises(ArtifactError):
        open_runner(broken.folder, broken.manifest).run(drawn(1, 7))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("parity", NAME, "--locate"), 2, "can't be watched"),
        (("profile", NAME, "--device", "htp"), 2, "htp is emulated"),
        (("profile", NAME), 7, "Qualcomm's emulator runs it here"),
        (("parity", "tflite", "--device", "htp"), 7, "htp runs what was compiled for Qualcomm's NPU"),
        (("parity", NAME, "--device", "htp:SM8750"), 2, "There is no device 'htp:SM8750'"),
    ],
)
def test_what_can_not_be_had_is_refused(
    made: Make, capfd: pytest.CaptureFixture[str], arguments: Sequence[str], code: int, says: str
) -> None:
    artifact = made(arguments[1], "fp16").artifact
    with pytest.raises(SystemExit) as end:
        main([arguments[0], str(artifact.folder), *arguments[2:]])
    said = capfd.readouterr()
    assert end.value.code == code
    assert says in " ".join((said.out + said.err).split())


FAULTS = (
    ("static_wi8_ai8", "clipped scale", "stage0.block0.mlp.fc1"),
    ("static_wi8_ai8", "overflow", "head.standardize"),
    ("fp16", "overflow", "head.standardize"),
    ("fp16", "swapped axes", "stage0.block0.modulation.query"),
    ("fp16", "scaled weight", "stage2.block1.modulation.h"),
)


@pytest.mark.parametrize(("recipe", "kind", "module"), FAULTS)
def test_a_planted_fault_fails(
    made: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str, kind: str, module: str
) -> None:
    """The fault is in the graph that is compiled, so that it is in the compiled bytes."""
    source = made("tflite", "fp32" if recipe == "fp16" else recipe)
    faulty = overflowing(source, tmp_path) if kind == "overflow" else plant(source, kind, module, tmp_path)
    work = tmp_path / "work"
    work.mkdir()
    artifact = with_file(
        copied(made(NAME, recipe).artifact, tmp_path), compiled(faulty.folder / faulty.manifest.file, SOC, work)
    )
    # Two clips show it: each takes a second of the emulator's.
    monkeypatch.setattr(gather, "DRAWN_CLIPS", 2)
    report = check(artifact)
    assert report.verdict is Verdict.FAIL, report.pooled
    if kind == "overflow":
        # The very graph passes where floats are floats.
        assert check(faulty).verdict is Verdict.PASS


def plant(found: Made, kind: str, module: str, out: Path) -> Artifact:
    """A copy of a `.tflite` artifact with a fault in it."""
    quantization = found.artifact.manifest.quantization
    form = deploy_form(found.student, quantization.per_token_scaled if quantization else (), "means")
    weights = {name: value.detach().numpy() for name, value in form.named_parameters()}
    scale = quantization.scales[f"{module}:out"].scale if quantization else 0.0
    fault = Fault("tflite", kind, module)
    return planted(fault, found.artifact, weights.get(f"{module}.weight"), -1, "", scale, out)


def overflowing(found: Made, out: Path) -> Artifact:
    """A copy of a `.tflite` artifact that computes the same in float32, and leaves half precision on the way."""
    artifact = copied(found.artifact, out / "overflowing")
    path = artifact.folder / artifact.manifest.file
    enlarge_last_norm(path)
    return with_file(artifact, path.read_bytes())


def copied(artifact: Artifact, out: Path) -> Artifact:
    """A copy of an artifact, with the reference beside it."""
    folder = out.joinpath(*artifact.folder.parts[-3:])
    shutil.copytree(artifact.folder, folder)
    reference = manifests.reference_path(artifact.manifest, artifact.folder)
    shutil.copy(reference, folder.parents[1] / reference.name)
    return open_artifact(folder)


def with_file(artifact: Artifact, data: bytes) -> Artifact:
    """The artifact, in its place, with another file that its manifest takes for its own."""
    (artifact.folder / artifact.manifest.file).write_bytes(data)
    files = manifests.entries(artifact.folder, artifact.manifest.file)
    manifests.write(artifact.manifest.model_copy(update={"files": files}), artifact.folder)
    return open_artifact(artifact.folder)


def test_a_release_that_lacks_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qualcomm_compiler, "_LIBRARIES", ("libQnnNew.so",))
    with pytest.raises(UnfitDependencyError, match=r"onnxruntime-qnn .* has no libQnnNew\.so") as caught:
        compiled(tmp_path / "none", SOC, tmp_path)
    assert "dvfl-mobile[qualcomm]" in caught.value.hint


def test_a_chip_that_can_not_hold_it_is_named_with_the_reason(made: Make, tmp_path: Path) -> None:
    with pytest.raises(DvflMobileError, match=r"made nothing for SM8350: no properties registered for .*Gelu\."):
        compiled(made("tflite", "fp32").file, "SM8350", tmp_path)


def test_a_compiler_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"no model")
    with pytest.raises(DvflMobileError, match=f"LiteRT's compiler made nothing for {SOC}"):
        compiled(tmp_path / "model.tflite", SOC, tmp_path)


def test_the_same_graph_gives_the_same_bytes(made: Make, tmp_path: Path) -> None:
    source = made("tflite", "fp32").file
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert compiled(source, SOC, tmp_path / "a") == compiled(source, SOC, tmp_path / "b")
