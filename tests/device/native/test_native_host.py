"""`host:native`: the harness's own programs on this machine, held against the same runtimes driven from Python."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.delegation import Operation
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.harness.build import built
from dvfl_mobile.devices.harness.operator_modules import KINDS as XNNPACK_KINDS
from dvfl_mobile.devices.harness.operator_modules import is_part, modules_of
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.host_native import LocalPlace
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.errors import ArtifactError, DeviceError, InconclusiveError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.quantization.calibrate import ptq
from dvfl_mobile.runners.base import open_runner
from tests.checkpoints import TWO_STAGES
from tests.device.native.conftest import Small
from tests.quantized import facts

KINDS = ("Fully Connected ", "GELU ", "Add ", "Multiply ", "Slice ")
TARGETS, RECIPES = ("executorch", "tflite"), ("fp32", "static_wi8_ai8")


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("target", TARGETS)
def test_logits_are_those_of_the_same_runtime_driven_from_python(
    target: str, recipe: str, small: Small, pixels: np.ndarray
) -> None:
    artifact = small(target, recipe)
    with find_device("host:native").open(artifact.folder, artifact.manifest) as runner:
        found = runner.run(pixels)
        assert runner.facts["device"] == "host:native"
        assert {"runtime", "version", "delegate"} <= runner.facts.keys()
    wanted = open_runner(artifact.folder, artifact.manifest).run(pixels)
    # One library, one model, one input, one CPU: only the number of threads may differ, and with it how XNNPACK cuts
    # its work, never the order of a sum.
    assert np.array_equal(found, wanted)
    assert len({row.tobytes() for row in found}) == len(pixels), "no clip's logits are another's"


@pytest.mark.parametrize("target", TARGETS)
def test_a_measurement_holds_every_run_and_the_logits_of_the_clip(
    target: str, small: Small, pixels: np.ndarray
) -> None:
    artifact = small(target, "fp32")
    with find_device("host:native").open(artifact.folder, artifact.manifest) as runner:
        measured = runner.measure(pixels[1], RunOptions(warmup=2, runs=7, threads=1, cores=(0,)))
        logits = runner.run(pixels[1:2])
    assert (len(measured.warmup_ns), len(measured.started_ns), len(measured.duration_ns)) == (2, 7, 7)
    assert min(measured.duration_ns) > 0
    assert measured.load_ns > 0
    assert measured.threads == 1
    assert measured.peak_memory_bytes is not None
    assert measured.peak_memory_bytes > artifact.manifest.size_bytes
    ends = [start + took for start, took in zip(measured.started_ns, measured.duration_ns, strict=True)]
    assert all(end <= start for end, start in zip(ends[:-1], measured.started_ns[1:], strict=True))
    assert measured.output_sha256 == hashlib.sha256(logits.tobytes()).hexdigest()
    assert measured.operators == ()


@pytest.mark.parametrize("target", TARGETS)
def test_operators_of_a_graph_in_one_piece_are_timed_by_module(target: str, small: Small, pixels: np.ndarray) -> None:
    artifact = small(target, "fp32")
    with find_device("host:native").open(artifact.folder, artifact.manifest) as runner:
        measured = runner.measure(pixels[0], RunOptions(warmup=1, runs=3, threads=1, operators=True))
    names = Counter(operator.module for operator in measured.operators if operator.name.startswith("Convolution "))
    rows = [row for row in artifact.manifest.delegation.rows if "conv" in row.operator]
    assert names == Counter({row.module: row.count for row in rows})
    assert all(operator.delegated for operator in measured.operators)
    assert all(
        operator.module for operator in measured.operators if operator.name.startswith(("Fully ", "GELU", "Add "))
    )
    # What XNNPACK moves and reshapes, it renames, merges and drops: that has no module.
    assert not any(operator.module for operator in measured.operators if operator.name.startswith("Static Reshape"))
    assert sum(operator.duration_ns for operator in measured.operators) > 0


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("target", TARGETS)
def test_the_modules_that_a_manifest_still_tells_in_order_are_those_of_the_graph(
    target: str, recipe: str, small: Small, operations: Callable[[str, str], list[Operation]]
) -> None:
    """A manifest lists operators in groups; what is said of their order must be true, and mostly as exact as can be."""
    delegation = small(target, recipe).manifest.delegation
    exact = []
    for kind in XNNPACK_KINDS:
        graph = [one.module for one in operations(target, recipe) if one.operator in kind.manifest and one.delegated]
        named = modules_of(delegation, kind.manifest, True)
        assert len(named) == len(graph)
        assert all(one == true or is_part(true, one) for one, true in zip(named, graph, strict=True)), kind
        exact += [one == true for one, true in zip(named, graph, strict=True)]
    assert sum(exact) > 0.8 * len(exact)


def test_operators_that_the_delegate_left_are_timed_by_module_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As artifacts were made before: XNNPACK is handed no GELU of int8.
    monkeypatch.setattr("dvfl_mobile.converters.tflite.spell_out_lookups", lambda _path: None)
    student = seeded_student(TWO_STAGES)
    clips = np.stack([clip.pixels for clip in moving_shapes(student.clip, 2)])
    form = ptq.quantize(student, "static_wi8_ai8", clips, facts(clips))
    [artifact] = convert(form, make_plan(["tflite"], "static_wi8_ai8", tmp_path))
    with find_device("host:native").open(artifact.folder, artifact.manifest) as runner:
        measured = runner.measure(clips[0], RunOptions(warmup=1, runs=3, threads=1, operators=True))
    own = [operator for operator in measured.operators if operator.delegated is False]
    rows = [row for row in artifact.manifest.delegation.rows if row.delegated is False]
    assert rows, "XNNPACK has no int8 GELU; if it has one now, this test says nothing"
    assert Counter(operator.module for operator in own) == Counter({row.module: row.count for row in rows})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (RunOptions(runs=1, cores=(1000,)), r"doesn't let it run there.*\(cores\)"),
        (RunOptions(runs=1, cores=(0, 1000)), r"gives 1 of the 2 cores.*\(cores\)"),
        (RunOptions(runs=1, cores=(5000,)), r"cores is no number from 0 to 1023.*\(options\)"),
        (RunOptions(runs=1, threads=100_000), r"threads is no number from 1 to 1024.*\(options\)"),
        (RunOptions(runs=0), r"\(options\)"),
    ],
)
def test_options_that_can_t_be_met_are_named(options: RunOptions, words: str, small: Small, pixels: np.ndarray) -> None:
    artifact = small("tflite", "fp32")
    with (
        find_device("host:native").open(artifact.folder, artifact.manifest) as runner,
        pytest.raises(DeviceError, match=words),
    ):
        runner.measure(pixels[0], options)


def test_compute_units_are_core_ml_s(small: Small, pixels: np.ndarray) -> None:
    artifact = small("tflite", "fp32")
    with (
        find_device("host:native").open(artifact.folder, artifact.manifest) as runner,
        pytest.raises(InconclusiveError, match="no compute units"),
    ):
        runner.measure(pixels[0], RunOptions(compute_units="cpuOnly"))


def test_an_artifact_whose_bytes_changed_is_not_even_pushed(small: Small, tmp_path: Path) -> None:
    artifact, device = small("tflite", "fp32"), find_device("host:native")
    data = bytearray((artifact.folder / artifact.manifest.file).read_bytes())
    data[-1] ^= 1
    (tmp_path / artifact.manifest.file).write_bytes(data)
    with pytest.raises(ArtifactError, match="bytes changed"), device.open(tmp_path, artifact.manifest):
        pytest.fail("it was opened")


def test_the_programs_say_the_same_under_sanitizers(small: Small, pixels: np.ndarray) -> None:
    """The programs' own code, that is; the runtimes' libraries aren't built so."""
    for target in TARGETS:
        artifact = small(target, "static_wi8_ai8")
        bundle = built("host-sanitized", target)
        device = find_device("host:native").facts
        with LocalPlace.opened(device.device, ("env", *SANITIZERS)) as place:
            runner = NativeRunner(place, bundle, artifact.folder, artifact.manifest, device)
            found = runner.run(pixels)
            runner.measure(pixels[0], RunOptions(warmup=1, runs=2, operators=True))
        assert np.array_equal(found, open_runner(artifact.folder, artifact.manifest).run(pixels))


SANITIZERS = ("ASAN_OPTIONS=detect_leaks=0", "UBSAN_OPTIONS=print_stacktrace=1")
"""Leaks aren't looked for: the programs end with the model still loaded, and by _exit where something went wrong."""
