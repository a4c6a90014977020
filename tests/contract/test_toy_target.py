"""The door for a new target: with one entry in the table and one module, every part of the program sees it."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import dvfl_mobile
from dvfl_mobile import converters, quantization, targets
from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.cli.main import main
from dvfl_mobile.cli.options import target_help
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.devices.base import find_device
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.errors import UsageError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.runners.tracing import trace
from dvfl_mobile.targets import Meaning, Target
from tests.checkpoints import SMALL
from tests.unit.project import test_docs_tables

ROOT = Path(__file__).parents[2]
TOY = Target(
    name="toy",
    title="Toy",
    file="model.pt2",
    converter="tests.toy_target",
    runner="tests.toy_target",
    packages=("torch",),
    runtime_package="torch",
    extra="toy",
    purpose="convert to a toy, and run it",
    minimum_os="none",
    normalizer="native",
    folds_weights=True,
    meanings={"fp32": Meaning("float32 weights and arithmetic, by torch itself")},
)

Run = Callable[..., Any]

# A child that was forked from one with the runtimes imported knows no module of these tests.
pytestmark = pytest.mark.cold_children


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table with one entry more; a child that runs artifacts finds its module as an installed one would be."""
    monkeypatch.setattr(targets, "TARGETS", MappingProxyType({**targets.TARGETS, TOY.name: TOY}))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process; gives the exit code, and what it printed as JSON or, of a failure, said."""

    def run(*arguments: object) -> Any:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in (*arguments, "--json")])
        out, err = capfd.readouterr()
        return end.value.code, json.loads(out) if out else err

    return run


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "small.safetensors"
    save_student(seeded_student(SMALL), path)
    return path


def test_it_is_converted_inspected_and_judged(run: Run, checkpoint: Path, tmp_path: Path) -> None:
    code, made = run("convert", checkpoint, "--target", "toy", "--min-delegated", 1, "-o", tmp_path / "out")
    assert code == 0, made
    [artifact] = made["artifacts"]
    folder = Path(artifact["folder"])
    assert folder.parts[-2:] == ("toy", "fp32")
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.pt2"]

    code, manifest = run("inspect", folder)
    assert (code, manifest) == (0, artifact["manifest"])
    assert manifest["recipe_meaning"] == "float32 weights and arithmetic, by torch itself"
    assert manifest["minimum_os"] == "none"
    assert manifest["tools"].keys() == {"dvfl-mobile", "python", "torch"}

    code, report = run("parity", folder, "--max-clips", 2)
    assert code == 0, report
    assert (report["verdict"], report["runner"]["runtime"]) == ("pass", "toy")

    opened = open_artifact(folder)
    [clip] = [drawn.pixels for drawn in moving_shapes(opened.manifest.clip, 1)]
    with find_device("host").open(folder, opened.manifest) as runner:
        measured = runner.measure(clip, RunOptions(warmup=1, runs=2))
        assert len(measured.duration_ns) == 2
        assert np.isfinite(runner.run(clip[None])).all()
    with pytest.raises(UsageError, match="an artifact for toy can't be watched"):
        trace(folder, opened.manifest, clip)


def test_it_is_planned_for_without_being_named_where_it_carries_the_recipe(tmp_path: Path) -> None:
    assert make_plan([], "fp32", tmp_path).targets[-1] is TOY
    plan = make_plan([], "fp16", tmp_path)
    assert TOY not in plan.targets
    assert any(note.startswith("toy was left out: fp16 can't be made for toy") for note in plan.notes)


def test_a_recipe_that_it_does_not_tell_of_is_refused(run: Run, checkpoint: Path) -> None:
    code, said = run("convert", checkpoint, "--target", "toy", "--recipe", "fp16")
    assert code == 2
    assert "fp16 can't be made for toy: no such numbers are made for Toy." in said
    assert "Use --recipe fp32 there." in said


def test_doctor_shows_it(run: Run) -> None:
    code, found = run("doctor", "--target", "toy")
    assert code == 0
    [state] = [target for target in found["targets"] if target["name"] == "toy"]
    assert state == {"name": "toy", "converts": True, "runs": True, "why_not_run": "", "run_by": "", "socs": []}
    assert next(extra["purpose"] for extra in found["extras"] if extra["name"] == "toy") == TOY.purpose


def test_help_names_it() -> None:
    assert target_help() == (
        "executorch, coreml, tflite, toy, executorch-coreml, coreai or qualcomm; may be given several times. Default: "
        "all of the first four that are installed."
    )


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="docs are tested from a checkout")
def test_the_docs_are_found_to_lack_it() -> None:
    with pytest.raises(AssertionError, match="toy"):
        test_docs_tables.test_targets()


def test_nobody_keeps_a_copy_of_the_table() -> None:
    """Else it would see no entry that the table gains; `targets` is asked by its functions."""
    folders = [Path(module.__file__ or "").parent for module in (dvfl_mobile, converters, quantization)]
    importing = [
        path
        for folder in folders
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module == "dvfl_mobile.targets"
        if "TARGETS" in {alias.name for alias in node.names}
    ]
    assert importing == []
