"""`arm64:CPU`: the kernels that phones use, under qemu; and what says that it computes wrongly is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.devices import emulated
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.emulated import CPUS, QEMU_VARIABLE
from dvfl_mobile.devices.harness.build import bundle_for
from dvfl_mobile.devices.host_native import LocalPlace
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.errors import DeviceError
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.parity.thresholds import arithmetic_of, thresholds_for
from dvfl_mobile.quantization.graph.graphs import in_double, run_clips
from dvfl_mobile.recipes import recipe_named
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.pytorch import TorchRunner
from dvfl_mobile.targets import target_named
from tests.device.native.conftest import Small
from tests.device_tools import path_with_tools, tool
from tests.quantized import small_form, small_student

LEAST_DB = 110
"""Of float32 against PyTorch: sums in another order, and nothing else, leave 117 dB of these clips."""

ARM_AGAINST_X86_DB = 30
"""Of int8 on Arm against the same file on x86: where a value lies halfway between two steps, some kernels round it to
the other one, and the scale of a token that is quantized by its own range has a last bit of the processor's. That
leaves 33.9 to 40.4 dB of these clips; a qemu that multiplies wrongly left 0.7."""

AS_NEAR_DB = 2
"""How much further from the graph in float64 Arm may be than x86: each rounds otherwise here and there. ExecuTorch's
leave 32.3 and 32.5 dB of these clips with floats in float32, TFLite's 32.5 and 33.3."""

IN_HALF_DB = 3
"""How much further from PyTorch int8 may be with half floats between the integers than the graph in float64: as many
integers again rounded to the next one, which is as good a rounding where a value lies near the middle. ExecuTorch's
are 0.5 to 2.4 dB further, TFLite's, by last bits of float32, 0.8 to 1.6."""


@pytest.fixture(autouse=True)
def _tools(monkeypatch: pytest.MonkeyPatch) -> None:
    tool("aarch64-linux-gnu-g++")
    monkeypatch.setenv(QEMU_VARIABLE, tool("qemu-aarch64"))
    monkeypatch.setenv("PATH", path_with_tools())


@pytest.fixture(scope="module")
def reference(pixels: np.ndarray) -> np.ndarray:
    return TorchRunner(small_student()).run(pixels)


@pytest.fixture(scope="module")
def rounded_logits(pixels: np.ndarray) -> Callable[[str], np.ndarray]:
    """What a target's fake-quantized graph gives, in float64, where sums of integers are exact."""

    @cache
    def find(name: str) -> np.ndarray:
        target = target_named(name)
        graph = small_form().graph(target.normalizer_of("static_wi8_ai8"), target.token_scaling)
        return np.asarray(run_clips(in_double(graph), pixels))

    return find


@pytest.mark.parametrize("target", ["executorch", "tflite"])
@pytest.mark.parametrize("cpu", CPUS)
def test_float_artifacts_agree_with_pytorch(
    cpu: str, target: str, small: Small, pixels: np.ndarray, reference: np.ndarray
) -> None:
    artifact = small(target, "fp32")
    # On SME's kernels, which qemu is slow at, the numbers of one clip: half a minute each otherwise.
    clips = slice(1 if cpu == "max" else None)
    with find_device(f"arm64:{cpu}").open(artifact.folder, artifact.manifest) as runner:
        found = runner.run(pixels[clips])
        assert runner.facts["device"] == f"arm64:{cpu}"
    assert sqnr_db(reference[clips].astype(np.float64), found.astype(np.float64)) >= LEAST_DB


@pytest.mark.parametrize("target", ["executorch", "tflite"])
@pytest.mark.parametrize("cpu", CPUS)
def test_int8_artifacts_say_the_same_class(
    cpu: str,
    target: str,
    small: Small,
    pixels: np.ndarray,
    reference: np.ndarray,
    rounded_logits: Callable[[str], np.ndarray],
) -> None:
    artifact = small(target, "static_wi8_ai8")
    with find_device(f"arm64:{cpu}").open(artifact.folder, artifact.manifest) as runner:
        found = runner.run(pixels)
    assert np.array_equal(found.argmax(1), reference.argmax(1))
    found, exact = found.astype(np.float64), rounded_logits(target)
    if recipe_named("static_wi8_ai8").computes_in(target) == "float16":
        assert sqnr_db(reference, found) >= sqnr_db(reference, exact) - IN_HALF_DB
        return
    here = open_runner(artifact.folder, artifact.manifest).run(pixels).astype(np.float64)
    assert sqnr_db(here, found) >= ARM_AGAINST_X86_DB
    assert sqnr_db(exact, found) >= sqnr_db(exact, here) - AS_NEAR_DB


COMPUTING = ("Convolution ", "Fully Connected ")


def test_half_precision_is_computed_by_half_kernels_alone(small: Small, pixels: np.ndarray) -> None:
    artifact = small("tflite", "fp16")
    with find_device("arm64:cortex-a76").open(artifact.folder, artifact.manifest) as runner:
        measured = runner.measure(pixels[0], RunOptions(warmup=0, runs=1, threads=1, operators=True))
    assert artifact.manifest.delegation.calls == 1
    assert all(operator.delegated for operator in measured.operators)
    kernels = {operator.name for operator in measured.operators if operator.name.startswith(COMPUTING)}
    assert len(kernels) == 3
    assert all("F16" in kernel for kernel in kernels), kernels


@pytest.mark.parametrize("target", ["executorch", "tflite"])
@pytest.mark.parametrize(("cpu", "arithmetic"), [("cortex-a53", "float32"), ("cortex-a76", "float16")])
def test_half_precision_is_computed_where_the_core_has_it(
    cpu: str, arithmetic: str, target: str, small: Small, pixels: np.ndarray, reference: np.ndarray
) -> None:
    """By the logits: an operator without a half kernel would make all after it float32, and them too."""
    artifact = small(target, "fp16")
    with find_device(f"arm64:{cpu}").open(artifact.folder, artifact.manifest) as runner:
        found, facts = runner.run(pixels[:1]), runner.facts
    assert arithmetic_of("fp16", facts["delegate"], found) == arithmetic
    bar = thresholds_for("fp16").in_half() if arithmetic == "float16" else thresholds_for("fp16")
    assert sqnr_db(reference[:1].astype(np.float64), found.astype(np.float64)) >= bar.min_sqnr_db
    assert found.argmax() == reference[0].argmax()


@pytest.mark.parametrize(
    ("cpu", "has", "lacks"),
    [
        ("cortex-a53", {"asimd"}, {"asimddp", "i8mm", "sve2"}),
        ("cortex-a76", {"asimddp", "asimdhp"}, {"i8mm", "sve2"}),
        ("cortex-a710", {"asimddp", "i8mm", "sve2"}, {"sme"}),
        ("max", {"asimddp", "i8mm", "sve2", "sme"}, set()),
    ],
)
def test_each_cpu_has_the_features_that_its_facts_tell_and_picks_kernels_by(
    cpu: str, has: set[str], lacks: set[str], tmp_path: Path
) -> None:
    """The program's own words: what it read from the kernel, which here is the emulator."""
    device = find_device(f"arm64:{cpu}")
    assert set(device.facts.features) <= has | {"asimd"}
    bundle, said = bundle_for("linux-arm64", "tflite"), []
    options = tmp_path / "run.options"
    options.write_text(OPTIONS, encoding="ascii")
    with LocalPlace.opened(device.facts.device, device._launcher) as place:
        for file in bundle.files("tflite"):
            place.put(bundle.folder / file.name, file.name, executable=True)
        place.put(options, "run.options")
        place.run("dvfl-mobile-run-litert", ("run.options",), 120, said.append, bundle.starter)
    [features] = [line for line in said if '"event":"device"' in line]
    assert all(f'"{feature}"' in features for feature in has)
    assert not any(f'"{feature}"' in features for feature in lacks)
    assert device.facts.kind == "emulated"


OPTIONS = f"""dvfl-mobile-options 1
mode run
model model.bin
model_bytes 1
model_sha256 {"0" * 64}
input input.bin
input_bytes 1
input_sha256 {"0" * 64}
clips 1
output output.bin
log run.log
warmup 0
runs 0
"""


def test_it_can_be_measured_for_its_operators_though_its_times_are_nobody_s(small: Small, pixels: np.ndarray) -> None:
    artifact = small("executorch", "static_wi8_ai8")
    with find_device("arm64:cortex-a710").open(artifact.folder, artifact.manifest) as runner:
        measured = runner.measure(pixels[0], RunOptions(warmup=0, runs=1, threads=1, operators=True))
    # ETDump that an Arm program wrote, read on this machine.
    assert any("QS8" in operator.name for operator in measured.operators)
    assert len(measured.duration_ns) == 1


def test_a_qemu_that_computes_wrongly_is_refused_by_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(QEMU_VARIABLE, tool("qemu-aarch64-7.2"))
    with pytest.raises(DeviceError, match=r"is qemu 7\.2\S*, which computes wrong int8 products"):
        find_device("arm64:max")
    assert {device.status for device in emulated.found()} == {"refused"}


def test_a_qemu_that_computes_wrongly_is_refused_by_what_it_computes(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would be if a later version had such a fault again."""
    monkeypatch.setenv(QEMU_VARIABLE, tool("qemu-aarch64-7.2"))
    monkeypatch.setattr(emulated, "LEAST_QEMU", (7, 0))
    artifact = small("executorch", "static_wi8_ai8")
    device = find_device("arm64:max")
    with (
        pytest.raises(DeviceError, match=r"wrong int8 products \(smopa\)"),
        device.open(artifact.folder, artifact.manifest),
    ):
        pytest.fail("it was opened")
