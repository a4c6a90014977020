"""`train`, on videos, from the command line: what it writes, what it refuses, and that a kill leaves no trace."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer

from dvfl_mobile import load_checkpoint
from dvfl_mobile.cli import main as frame
from dvfl_mobile.cli.options_training import DistillOptions, TrainOptions
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.model.checkpoint.torchfile import read_torch_file
from dvfl_mobile.training.journal import read_journal
from dvfl_mobile.training.result import TrainingResult
from tests.threads import threads
from tests.training import Ended, same

# A shape that no other is: the small network in two stages.
QUICK = ("--model", "focalnet-16-1_1", "--size", 32, "--frames", 4, "--batch", 4, "--micro-batch", 2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("train", "distill"):
        monkeypatch.setitem(frame.COMMANDS, name, f"dvfl_mobile.cli.commands.{name}:{name}")
    with threads(1):
        yield


@pytest.fixture
def run(run_command: Any) -> Any:
    """Runs the command line; the outcome by name."""
    return lambda *arguments: Ended(*run_command(*arguments))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video: Any) -> Path:
    """Two classes of ten groups as UCF names them: a bright stripe that goes down, or up."""
    folder = tmp_path_factory.mktemp("videos") / "two"
    for name, way in (("Down", 1), ("Up", -1)):
        (folder / name).mkdir(parents=True)
        for group in range(5, 12):
            pictures = np.full((12, 48, 64, 3), 16 * group, np.uint8)
            for place, picture in enumerate(pictures[::way]):
                picture[4 * place : 4 * place + 8] = 240
            write_video(folder / name / f"v_{name}_g{group:02}_c01.avi", pictures, codec="mpeg4")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, videos: Path) -> Path:
    """What one small training left."""
    out = tmp_path_factory.mktemp("made") / "teacher"
    with threads(1), pytest.MonkeyPatch.context() as patch:
        patch.setitem(frame.COMMANDS, "train", "dvfl_mobile.cli.commands.train:train")
        arguments = ["train", "--data", videos, *QUICK, "--epochs", 6, "--pth", "-o", out]
        with pytest.raises(SystemExit) as end:
            frame.main([str(argument) for argument in arguments])
    assert end.value.code == 0
    return out


def result_of(out: Path) -> TrainingResult:
    return TrainingResult.model_validate_json((out / "training.json").read_text())


def test_it_leaves_a_student_that_every_command_takes(made: Path) -> None:
    student = load_checkpoint(made / "best.safetensors")
    assert student.classes == ("Down", "Up")
    assert student.source.kind == "checkpoint"
    assert student.clip.shape == (4, 3, 32, 32)
    assert student.notes[0].startswith("trained on labels, on")
    assert load_checkpoint(made / "last" / "student.safetensors").architecture == student.architecture
    left = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert left - {"learning-curve.png"} == {
        "best.safetensors", "best.pth", "last/student.safetensors", "log.jsonl", "training.json",
    }  # fmt: skip


def test_it_says_what_it_did(made: Path) -> None:
    result = result_of(made)
    assert (result.kind, result.epochs, result.videos, result.start.kind) == ("train", 6, 6, "seed")
    assert result.best is not None
    assert result.best.videos == 2
    assert "2 videos held out" in result.best.on
    assert result.steps == 6
    steps = [line for line in read_journal(made / "log.jsonl") if line["event"] == "step"]
    assert [line["step"] for line in steps] == list(range(1, 7))


def test_the_official_file_is_read_by_torch_and_by_us(made: Path) -> None:
    official = torch.load(made / "best.pth", weights_only=True)
    assert {"model", "epoch", "max_accuracy", "config"} == official.keys()
    assert official["config"]["MODEL"]["FOCAL"]["DEPTHS"] == [1, 1]
    with CheckpointFile(made / "best.pth") as file:
        read_torch_file(file)
    ours, theirs = load_checkpoint(made / "best.safetensors"), load_checkpoint(made / "best.pth")
    assert same(ours.network.state_dict(), theirs.network.state_dict())
    assert (ours.architecture, ours.clip) == (theirs.architecture, theirs.clip)
    best = result_of(made).best
    assert best is not None
    assert official["max_accuracy"] == 100 * best.right / best.videos
    assert official["epoch"] == best.epoch - 1


def test_a_finished_training_is_not_written_over(made: Path, videos: Path, run: Any) -> None:
    before = (made / "best.safetensors").stat().st_mtime_ns
    outcome = run("train", "--data", videos, *QUICK, "-o", made)
    assert outcome.code == 3
    assert "finished training" in outcome.err
    assert (made / "best.safetensors").stat().st_mtime_ns == before


def test_results_go_to_stdout_and_all_else_to_stderr(videos: Path, tmp_path: Path, run: Any) -> None:
    outcome = run("train", "--data", videos, *QUICK, "--epochs", 1, "-o", tmp_path / "out", "--json")
    assert outcome.code == 0, outcome.err
    assert TrainingResult.model_validate(json.loads(outcome.out)).epochs == 1
    assert "Split by UCF's groups" in outcome.err


def test_it_goes_on_from_another_training(made: Path, videos: Path, tmp_path: Path, run: Any) -> None:
    begin = made / "best.safetensors"
    outcome = run(
        "train",
        "--data",
        videos,
        *QUICK,
        "--epochs",
        1,
        "--init",
        begin,
        "--learning-rate",
        1e-9,
        "-o",
        tmp_path / "out",
    )
    assert outcome.code == 0, outcome.err
    start = result_of(tmp_path / "out").start
    assert (start.kind, start.seeded, start.unused) == ("video", (), ())
    assert "from best.safetensors" in outcome.out


def test_validating_on_what_was_trained_on_is_refused_unless_allowed(videos: Path, tmp_path: Path, run: Any) -> None:
    listed = tmp_path / "all.csv"
    rows = [f"{path},{path.parent.name}" for path in sorted(videos.rglob("*.avi"))]
    listed.write_text("\n".join(rows) + "\n")
    command = ("train", "--data", listed, "--validate", "test", *QUICK, "--epochs", 1, "-o", tmp_path / "out")
    outcome = run(*command)
    assert outcome.code == 2
    assert "share 14 (class, group) pairs and 14 videos" in outcome.err
    outcome = run(*command, "--allow-leaks")
    assert outcome.code == 0, outcome.err
    assert any("says nothing" in note for note in result_of(tmp_path / "out").notes)


def test_the_test_split_may_choose_and_the_result_says_so(videos: Path, tmp_path: Path, run: Any) -> None:
    outcome = run("train", "--data", videos, "--validate", "test", *QUICK, "--epochs", 1, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    result = result_of(tmp_path / "out")
    assert (result.videos, result.best and result.best.videos) == (8, 6)
    assert any("no claim" in note for note in result.notes)


def test_videos_without_labels_are_no_training(tmp_path: Path, videos: Path, run: Any) -> None:
    for path in videos.rglob("*.avi"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / f"{path.stem[-9:]}.avi").symlink_to(path)
    outcome = run("train", "--data", tmp_path / "mine", *QUICK, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert "labels for 0 of" in outcome.err


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--model", "giant"], "no model 'giant'"),
        (["--model", "focalnet-16-"], "no model"),
        (["--init-blocks", "odd"], "--init-blocks"),
        (["--micro-batch", "3"], "even"),
        (["--optimizer", "lion"], "--optimizer"),
    ],
)
def test_what_cant_be_meant_is_wrong_usage(
    videos: Path, tmp_path: Path, run: Any, options: list[str], problem: str
) -> None:
    outcome = run("train", "--data", videos, *options, "-o", tmp_path / "out")
    assert outcome.code == 2
    assert problem in outcome.err


def test_a_configuration_gives_what_the_options_leave_open(videos: Path, tmp_path: Path, run: Any) -> None:
    pytest.importorskip("yaml", reason="PyYAML isn't installed")
    config = tmp_path / "nano.yaml"
    config.write_text(
        "DATA: {NUM_FRAMES: 4, INPUT_SIZE: 32, BATCH_SIZE: 2}\n"
        "MODEL: {TYPE: videofocalnet_nano, FOCAL: {EMBED_DIM: 16, DEPTHS: [1, 1], FOCAL_LEVELS: [2, 2],"
        " FOCAL_WINDOWS: [3, 3]}}\nKD: {BETA: 0.3}\nAUG: {FRAME_INTERVAL: 3}"
    )
    outcome = run("train", "--data", videos, "--config", config, "--epochs", 1, "-o", tmp_path / "out")
    assert outcome.code == 0, outcome.err
    assert "KD.BETA has no counterpart: the official code doesn't read it" in outcome.err
    result = result_of(tmp_path / "out")
    assert (result.model, result.settings.global_batch, result.settings.optimizer) == ("focalnet-16-1_1", 2, "adamw")
    assert (result.clip.frames, result.clip.frame_interval) == (4, 3)


# Kills itself after so many steps of a run, or never: the command itself, as a user would run it.
_COMMAND = """
import os, signal, sys
from dvfl_mobile.cli import main
from dvfl_mobile.training import loop, state
import torch
torch.set_num_threads(1)
state._SAVE_EVERY_S = 0.0
main.COMMANDS["train"] = "dvfl_mobile.cli.commands.train:train"
left = int(os.environ.get("STEPS", "-1"))
step = loop._Trainer.step
def counted(*arguments):
    global left
    done = step(*arguments)
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return done
loop._Trainer.step = counted
main.main()
"""


@pytest.mark.installed
def test_the_command_killed_for_real_goes_on_and_ends_as_if_nothing_had_been(
    made: Path, videos: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-W", "ignore", "-c", _COMMAND, "train", "--data", videos, *QUICK, "--epochs", 6]
    for steps in ("3", "2", ""):
        done = subprocess.run(
            [*map(str, command), "--pth", "-o", str(tmp_path / "out")],
            env={**os.environ, **({"STEPS": steps} if steps else {})},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == (-signal.SIGKILL if steps else 0), done.stderr
    for name in ("best.safetensors", "last/student.safetensors"):
        ours, whole = (load_checkpoint(folder / name).network.state_dict() for folder in (tmp_path / "out", made))
        assert same(ours, whole), name
    assert not list((tmp_path / "out").rglob("*.partial"))
    assert not (tmp_path / "out" / "last" / "state.safetensors").exists()


@pytest.mark.parametrize(("name", "options"), [("train", TrainOptions), ("distill", DistillOptions)])
def test_a_command_has_the_options_that_its_settings_object_declares(name: str, options: Any) -> None:
    command = typer.main.get_command(frame._app()).commands[name]  # type: ignore[attr-defined]
    assert [parameter.name for parameter in command.params] == [field.name for field in fields(options)]
    given = options(out=Path("out"), **({"teacher": Path("t.pth")} if name == "distill" else {}))
    with pytest.raises(FrozenInstanceError):
        given.out = Path("other")
