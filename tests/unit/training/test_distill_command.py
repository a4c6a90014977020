"""`distill`, from the command line: a student of a teacher's classes, with labels and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile import load_checkpoint
from dvfl_mobile.cli import main as frame
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from dvfl_mobile.training.journal import read_journal
from dvfl_mobile.training.result import TrainingResult
from tests.threads import threads
from tests.training import Ended

TEACHER = Architecture(
    embed_dim=24, img_size=32, num_frames=4, num_classes=2, depths=(1, 1), focal_levels=(2, 2), focal_windows=(3, 3)
)
QUICK = ("--student", "focalnet-16-1_1", "--batch", 4, "--micro-batch", 2, "--epochs", 2)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(frame.COMMANDS, "distill", "dvfl_mobile.cli.commands.distill:distill")
    with threads(1):
        yield


@pytest.fixture
def run(run_command: Any) -> Any:
    """Runs the command line; the outcome by name."""
    return lambda *arguments: Ended(*run_command(*arguments))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video: Any) -> Path:
    folder = tmp_path_factory.mktemp("videos") / "two"
    for name, grey in (("Dark", 60), ("Light", 180)):
        (folder / name).mkdir(parents=True)
        for group in range(8, 12):
            pictures = np.full((10, 40, 48, 3), grey + group, np.uint8)
            write_video(folder / name / f"v_{name}_g{group:02}_c01.avi", pictures, codec="mpeg4")
    return folder


def teacher(folder: Path, *classes: str) -> Path:
    path = folder / "teacher.safetensors"
    save_student(seeded_student(TEACHER.model_copy(update={"num_classes": len(classes)}), classes), path)
    return path


def distil(run: Any, data: Path, by: Path, out: Path, *more: object) -> Any:
    return run("distill", "--teacher", by, "--data", data, *QUICK, "-o", out, *more)


def test_a_student_has_its_teachers_classes_in_their_order(tmp_path: Path, videos: Path, run: Any) -> None:
    out = tmp_path / "student"
    outcome = distil(run, videos, teacher(tmp_path, "light", "dark"), out, "--alpha", 0.4)
    assert outcome.code == 0, outcome.err
    student = load_checkpoint(out / "best.safetensors")
    assert student.classes == ("light", "dark")
    assert student.clip.shape == (4, 3, 32, 32), "the teacher's"
    result = TrainingResult.model_validate_json((out / "training.json").read_text())
    assert (result.kind, result.model) == ("distill", "focalnet-16-1_1")
    assert result.teacher is not None
    assert (result.teacher.weight, result.teacher.temperature, result.teacher.loss) == (0.4, 10, "forward_kl")
    for line in read_journal(out / "log.jsonl"):
        if line["event"] == "step":
            assert line["loss"] == pytest.approx(0.4 * line["teacher_loss"] + 0.6 * line["label_loss"], rel=1e-5)


def test_the_official_loss_is_there_by_name(tmp_path: Path, videos: Path, run: Any) -> None:
    out = tmp_path / "student"
    outcome = distil(run, videos, teacher(tmp_path, "Dark", "Light"), out, "--kd-loss", "official")
    assert outcome.code == 0, outcome.err
    [first] = [line for line in read_journal(out / "log.jsonl") if line["step"] == 1 and line["event"] == "step"]
    # T² Σ p (log p - q) is below 0 whatever the student says: a divergence never is.
    assert first["teacher_loss"] < -50


def test_videos_without_labels_teach_by_the_teachers_answer_alone(tmp_path: Path, videos: Path, run: Any) -> None:
    (tmp_path / "mine").mkdir()
    for index, path in enumerate(sorted(videos.rglob("*.avi"))):
        (tmp_path / "mine" / f"{index}.avi").symlink_to(path)
    out = tmp_path / "student"
    outcome = distil(run, tmp_path / "mine", teacher(tmp_path, "Dark", "Light"), out)
    assert outcome.code == 0, outcome.err
    assert "Nothing is validated" in outcome.err
    assert "teacher's answer alone" in outcome.err
    assert {line["label_loss"] for line in read_journal(out / "log.jsonl")} == {0.0}
    assert load_checkpoint(out / "best.safetensors").classes == ("Dark", "Light")


def test_a_teacher_of_another_number_of_classes_is_refused(tmp_path: Path, videos: Path, run: Any) -> None:
    by = teacher(tmp_path, "class_0", "class_1", "class_2")
    outcome = distil(run, videos, by, tmp_path / "student")
    assert outcome.code == 2
    assert "tells 3 classes apart" in outcome.err


def test_a_teacher_that_knows_some_of_the_classes_is_refused(tmp_path: Path, videos: Path, run: Any) -> None:
    outcome = distil(run, videos, teacher(tmp_path, "Dark", "Green"), tmp_path / "student")
    assert outcome.code == 3
    assert "Light" in outcome.err


@pytest.mark.parametrize("names", [("class_0", "class_1"), ("Dark", "Light")])
def test_labels_beyond_the_teachers_classes_are_refused_before_the_first_step(
    names: tuple[str, ...], tmp_path: Path, videos: Path, run: Any
) -> None:
    lines = [f"{path},{index % 3}\n" for index, path in enumerate(sorted(videos.rglob("*.avi")))]
    (tmp_path / "list.csv").write_text("".join(lines), encoding="utf-8")
    outcome = distil(run, tmp_path / "list.csv", teacher(tmp_path, *names), tmp_path / "student")
    assert outcome.code == 3
    assert "2" in outcome.err
    assert not (tmp_path / "student" / "log.jsonl").exists()
