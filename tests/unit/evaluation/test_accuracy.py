"""A checkpoint's accuracy by itself: counts, costs, confusions, and the same in two processes as in one."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from dvfl_mobile.cli.main import main
from dvfl_mobile.data.clips import normalize, views
from dvfl_mobile.data.video import read_views
from dvfl_mobile.errors import CheckpointError, VideoError
from dvfl_mobile.evaluation.accuracy import AccuracyReport, measure
from dvfl_mobile.evaluation.confusion import confused_classes, confusion_matrix
from dvfl_mobile.evaluation.evaluate import Question
from dvfl_mobile.evaluation.paired import wilson
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network
from dvfl_mobile.model.costs import PUBLISHED, count_costs, published_costs
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import Student, save_student
from dvfl_mobile.report import accuracy as reports
from dvfl_mobile.report import confusion as pictures

CLASSES = ("Archery", "Basketball", "Punch", "a|b", "Rowing", "Skiing", "Tai chi")
SMALL = Architecture(embed_dim=8, img_size=32, num_frames=2, num_classes=len(CLASSES))
PER_CLASS = 2


@pytest.fixture(scope="module")
def student() -> Student:
    return seeded_student(SMALL, CLASSES, seed=3)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, write_video) -> Path:
    """Two videos of noise, of other brightness, in a folder for each class."""
    folder = tmp_path_factory.mktemp("videos")
    stream = np.random.RandomState(0)
    for place, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for index in range(PER_CLASS):
            pictures = stream.randint(0, 60 + 25 * place, (9 + index, 40, 48, 3)).astype(np.uint8)
            write_video(folder / name / f"{index}.mp4", pictures)
    return folder


@pytest.fixture(scope="module")
def report(student: Student, videos: Path) -> AccuracyReport:
    return measure(student, Question(videos, views=2, crops=3))


def test_counts_are_those_of_the_mean_of_softmaxes_over_the_views(
    report: AccuracyReport, student: Student, videos: Path
) -> None:
    names, right, in_five = [], 0, 0
    for label, name in enumerate(sorted(CLASSES)):
        for path in sorted((videos / name).iterdir()):
            clips = read_views(path, student.clip, views(2, 3), label)
            pixels = torch.from_numpy(normalize(np.stack([clip.pixels for clip in clips]), student.clip))
            with torch.inference_mode():
                ranked = student.network(pixels).softmax(-1).mean(0).argsort(descending=True).tolist()
            expected = CLASSES.index(name)
            names.append(f"{name}/{path.name}")
            right += ranked[0] == expected
            in_five += expected in ranked[:5]
    assert [row.name for row in report.rows] == names
    assert (report.accuracy.top1.right, report.accuracy.top5.right) == (right, in_five)
    assert 0 < in_five < len(names)  # or the counts would prove little
    assert report.accuracy.top5.low == wilson(in_five, len(names), 0.95).low
    assert sum(one.right for one in report.classes) == right
    assert sum(one.right_in_five for one in report.classes) == in_five
    assert sum(pair.videos for pair in report.confused) == len(names) - right
    assert {one.videos for one in report.classes} == {PER_CLASS}


@pytest.mark.installed
def test_two_processes_count_as_one_does(student: Student, videos: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "small.safetensors"
    save_student(student, checkpoint)
    found = {}
    clean = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    for count in (1, 2):
        command = [sys.executable, "-W", "ignore"]
        if count > 1:
            command += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        done = subprocess.run(
            [*command, "-m", "dvfl_mobile", "evaluate", str(checkpoint), "--data", str(videos), "--json"],
            env={**clean, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        found[count] = json.loads(done.stdout)
    assert (found[1].pop("processes"), found[2].pop("processes")) == (1, 2)
    assert found[1] == found[2]
    assert len(found[1]["rows"]) == PER_CLASS * len(CLASSES)


def test_costs_of_the_nano_are_the_papers() -> None:
    nano = Architecture.variant("nano", 400)
    costs, published = count_costs(nano), published_costs(nano)
    assert published == PUBLISHED["nano"]
    # The paper rounds to whole millions and giga: 22 and 27 may be anything within half of one.
    assert abs(costs.parameters - 22e6) <= 0.5e6
    assert costs.multiply_adds is not None
    assert abs(costs.multiply_adds - 27e9) <= 0.5e9
    assert published_costs(nano.model_copy(update={"img_size": 112})) is None
    assert published_costs(Architecture.variant("pico")) is None


def test_costs_of_a_small_network_counted_by_hand() -> None:
    """One stage of one block at width 4, on 2 pictures of 32 x 32: 8 x 8 tokens of each."""
    one = Architecture(
        embed_dim=4, depths=(1,), focal_levels=(1,), focal_windows=(3,), num_frames=2, img_size=32, num_classes=5
    )
    tokens, width = 2 * 8 * 8, 4
    products = width * (2 * width + 2)  # query, context, and a gate for each of two levels
    products_in_time = width * (width + 2)  # context and gates
    depthwise, in_time = width * 9, width * width * 3  # over time, all channels meet
    mixing = 3 * width * width  # h of both branches, and the projection
    mlp = 2 * width * 4 * width
    stem, head = 3 * 16 * width, width * 5
    expected = tokens * (stem + products + products_in_time + depthwise + in_time + mixing + mlp) + head
    assert count_costs(one).multiply_adds == expected
    assert count_costs(one).parameters == sum(
        values.numel() for values in seeded_student(one).network.state_dict().values()
    )


def test_logits_that_are_not_finite_are_refused(student: Student, videos: Path) -> None:
    weights = {key: value.clone() for key, value in student.network.state_dict().items()}
    weights["head.bias"][0] = float("nan")
    broken = replace(student, network=build_network(student.architecture, weights))
    with pytest.raises(CheckpointError, match="not finite"):
        measure(broken, Question(videos))


def test_what_can_not_be_read_does_not_count(student: Student, videos: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(videos, copy)
    (copy / "Punch/1.mp4").write_bytes(b"no video")
    found = measure(student, Question(copy))
    assert found.videos.count == PER_CLASS * len(CLASSES) - 1
    assert any("Punch/1.mp4" in note for note in found.videos.notes)
    shutil.rmtree(copy / "Punch")
    shutil.copytree(copy / "Archery", copy / "Fencing")
    with pytest.raises(VideoError, match=r"classes that the model doesn't know: Fencing"):
        measure(student, Question(copy))


def test_confusions_are_counted_by_class_and_answer() -> None:
    pairs = [(0, 0), (0, 1), (0, 1), (1, 2), (2, None)]
    assert confusion_matrix(pairs, 3).tolist() == [[1, 2, 0], [0, 0, 1], [0, 0, 0]]
    found = [(one.label, one.answer, one.videos, one.of) for one in confused_classes(pairs, "abc")]
    assert found == [("a", "b", 2, 3), ("b", "c", 1, 1)]


def test_the_reports_say_the_same(report: AccuracyReport) -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(reports.terminal(report))
    text, markdown = console.export_text(), reports.markdown(report)
    top1 = report.accuracy.top1
    for shown in (text, markdown):
        assert f"{top1.right} of {top1.videos}" in shown
        assert "2 clips x 3 crops of each" in shown
        assert "seeded" in shown
    assert r"a\|b" in markdown


@pytest.mark.parametrize("count", [8, 51, 400])
def test_the_picture_is_one_at_any_number_of_classes(count: int, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    names = [f"class ${index}$_" for index in range(count)]
    pictures.draw(np.eye(count, dtype=np.int64) * 3, names, "nano on $x", tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--max-drop", "0.1"), 2, "--max-drop: such options go with an artifact"),
        (("--junit", "x.xml"), 2, "--junit: such options go with an artifact"),
        (("--crops", "2"), 2, "2 crops"),
        (("--data", "nowhere"), 3, "nowhere"),
    ],
)
def test_what_does_not_go_together_is_refused(
    options: tuple[str, ...],
    code: int,
    says: str,
    student: Student,
    videos: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = tmp_path / "small.safetensors"
    save_student(student, checkpoint)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(checkpoint), "--data", str(videos), *options])
    assert ended.value.code == code
    assert says in capsys.readouterr().err


def test_a_bare_checkpoint_is_evaluated_at_the_size_that_is_said(
    student: Student, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it doesn't say itself is assumed as published, with a note that names the options: they have to be there."""
    bare, whole = tmp_path / "bare.pth", tmp_path / "whole.safetensors"
    torch.save(student.network.state_dict(), bare)
    save_student(student, whole)

    def report(*arguments: object) -> AccuracyReport:
        with pytest.raises(SystemExit) as ended:
            main(["evaluate", *map(str, arguments), "--data", str(videos), "--json"])
        out, err = capsys.readouterr()
        assert ended.value.code == 0, err
        return AccuracyReport.model_validate_json(out)

    said, known = report(bare, "--size", 32, "--frames", 2, "--max-clips", 4), report(whole, "--max-clips", 4)
    assert {row.name: row.top1 for row in said.rows} == {row.name: row.top1 for row in known.rows}
    assert said.costs == known.costs
    assert not any("assumed; say otherwise" in note for note in said.notes)
    assumed = [note for note in report(bare, "--max-clips", 1).notes if "assumed; say otherwise" in note]
    assert [note.rsplit(" ", 1)[1] for note in assumed] == ["--frames", "--size"]


def test_a_moving_average_beside_the_weights_can_be_evaluated(
    student: Student, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = student.network.state_dict()
    path = tmp_path / "two.pth"
    torch.save({"model": weights, "model_ema": {key: value / 2 for key, value in weights.items()}}, path)
    command = ["evaluate", str(path), "--data", str(videos), "--size", "32", "--frames", "2", "--max-clips", "1"]
    notes = []
    for options in ([], ["--weights", "model_ema"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, *options, "--json"])
        assert ended.value.code == 0
        report = AccuracyReport.model_validate_json(capsys.readouterr().out)
        notes.append([note for note in report.notes if " taken" in note])
    assert notes == [["the weights 'model' taken; --weights model_ema takes the moving average 'model_ema'"], []]


def test_an_artifact_has_its_own_size(tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(tmp_path), "--data", str(videos), "--size", "64"])
    assert ended.value.code == 2
    assert "--size: such options go with a checkpoint" in capsys.readouterr().err


def test_the_command_leaves_a_report_and_a_picture_where_it_is_asked_to(
    student: Student, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    checkpoint = tmp_path / "small.safetensors"
    save_student(student, checkpoint)
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", str(checkpoint), "--data", str(videos), "-o", str(tmp_path / "out")])
    assert ended.value.code == 0
    assert "confusion.png" in capsys.readouterr().err
    stored = AccuracyReport.model_validate_json((tmp_path / "out/accuracy.json").read_text(encoding="utf-8"))
    assert stored.videos.count == PER_CLASS * len(CLASSES)
    assert (tmp_path / "out/confusion.png").is_file()
