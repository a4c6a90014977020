"""The command line on bad input, on a bad machine and broken off: a sentence, a next step, and nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dvfl_mobile import targets
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from tests.checkpoints import TINY
from tests.faults import quick

pytestmark = pytest.mark.installed

TUBELETS = TINY.model_copy(update={"tubelet_size": 8})
Outcome = tuple[int, str, str]
Run = Callable[..., Outcome]
WriteVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    save_student(seeded_student(TINY), path)
    return path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, run_command: Callable[..., Outcome], tmp_path: Path) -> Run:
    """Run the command line in this process, with quick converters, in an empty folder."""
    monkeypatch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
    monkeypatch.setattr("dvfl_mobile.pipeline.compare.open_runner", quick.open_runner)
    monkeypatch.setattr("dvfl_mobile.pipeline.prediction.open_runner", quick.open_runner)
    monkeypatch.chdir(tmp_path)
    return run_command


@pytest.fixture
def artifact(run: Run, checkpoint: Path, tmp_path: Path) -> Path:
    """A folder with a quick artifact."""
    assert run("convert", checkpoint, "--target", "tflite")[0] == 0
    return tmp_path / "out" / TINY.name / "tflite" / "fp32"


def start(event: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """The command line in a process of its own; see `quick`."""
    return subprocess.Popen(
        [sys.executable, quick.__file__, event, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
    )


def ended(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def refused(outcome: Outcome, code: int, *sentences: str) -> None:
    """The exit code, a message with the sentences and a next step, nothing on stdout, and no traceback."""
    found, out, err = outcome
    assert found == code, err
    assert out == ""
    assert "Traceback" not in err
    assert "internal error" not in err
    message = err[err.index("error: ") :].strip().splitlines()
    assert len(message) >= 2, f"no next step: {err}"
    for sentence in sentences:
        assert sentence in err


def left_in(folder: Path) -> list[str]:
    """Every file below a folder but locks, which hold nothing."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"
    )


# Checkpoints and labels


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda _: None, "There is no checkpoint"),
        (Path.touch, "is empty"),
        (Path.mkdir, "is a folder"),
        (lambda path: path.write_bytes(b"\x80\x02" + bytes(100)), "bad.pth"),
    ],
    ids=["missing", "empty", "folder", "garbage"],
)
def test_a_checkpoint_that_is_none(run: Run, tmp_path: Path, make: Callable[[Path], object], sentence: str) -> None:
    path = tmp_path / "bad.pth"
    make(path)
    refused(run("convert", path), 3, sentence, str(path))
    assert not (tmp_path / "out").exists()


def test_a_truncated_checkpoint(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(checkpoint.read_bytes()[:-1000])
    refused(run("convert", path), 3, str(path), "damaged")


class _Hostile:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("command", ["convert", "deploy"])
def test_a_hostile_checkpoint_runs_nothing(run: Run, tmp_path: Path, command: str) -> None:
    path, marker = tmp_path / "hostile.pth", tmp_path / "it-ran"
    path.write_bytes(pickle.dumps({"model": _Hostile(marker)}, protocol=2))
    refused(run(command, path), 3, str(path), "mkdir")
    assert not marker.exists()


def test_frames_that_are_none_are_wrong_usage(run: Run, checkpoint: Path) -> None:
    refused(run("convert", checkpoint, "--frames", "0"), 2, "--frames")


def test_frames_that_the_network_cannot_join(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "tubelets.safetensors"
    save_student(seeded_student(TUBELETS), path)
    refused(run("convert", path, "--frames", "12"), 3, str(path), "12 frames can't be joined by tubelets of 8")


@pytest.mark.parametrize("options", [("--frames", "16"), ("--size", "64"), ("--labels", "classes.csv")])
def test_options_of_a_checkpoint_without_one(run: Run, options: tuple[str, str]) -> None:
    refused(run("deploy", *options), 2, options[0], "Name the checkpoint")


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["0,a", "1,b", "3,d", "4,e"], "no name for id 2"),
        (["0,a", "1,b", "1,c", "2,d", "3,e", "4,f"], "line 3"),
        (["0,a", "1,b", "2,c", "3,d", "4,e", "5,f"], "names 6 classes where the network has 5"),
        ([], "is empty"),
    ],
    ids=["hole", "twice", "too many", "none"],
)
def test_labels_that_do_not_fit(run: Run, tmp_path: Path, checkpoint: Path, lines: list[str], sentence: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(lines))
    refused(run("convert", checkpoint, "--labels", path), 3, str(path), sentence)
    assert not (tmp_path / "out").exists()


# Names, shares and extras


@pytest.mark.parametrize("command", ["convert", "deploy"])
@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (("--target", "onnx"), ("'onnx'", "executorch, coreml, tflite")),
        (("--recipe", "int3"), ("'int3'", "fp32, fp16")),
        (("--minimum-ios", "12"), ("iOS 12", "16, 17 or 18")),
        (("--min-delegated", "2"), ("--min-delegated",)),
        (("--max-calls", "0"), ("--max-calls",)),
    ],
    ids=["target", "recipe", "iOS", "share", "calls"],
)
def test_what_there_is_not_is_wrong_usage(
    run: Run, checkpoint: Path, command: str, options: tuple[str, str], sentences: tuple[str, ...]
) -> None:
    refused(run(command, checkpoint, *options), 2, *sentences)


def test_a_moving_average_beside_the_weights_is_named_and_can_be_taken(run: Run, tmp_path: Path) -> None:
    weights = seeded_student(TINY).network.state_dict()
    path = tmp_path / "two.pth"
    torch.save({"model": weights, "model_ema": {key: value / 2 for key, value in weights.items()}}, path)
    command = ("convert", path, "--size", "64", "--target", "tflite")
    code, _, err = run(*command)
    assert code == 0
    assert "--weights model_ema takes the moving average 'model_ema'" in " ".join(err.split())
    code, out, err = run(*command, "--weights", "model_ema", "--json")
    assert code == 0
    assert " taken" not in err
    assert json.loads(out)["artifacts"][0]["manifest"]["weights"]["name"] == "two.pth (model_ema)"
    refused(run(*command, "--weights", "ema"), 3, "no weights by the name ema", "model, model_ema", "--weights")
    refused(run("convert", "--weights", "ema"), 2, "--weights", "go with a checkpoint")


@pytest.mark.parametrize("command", ["convert", "deploy"])
def test_less_delegated_than_asked_for_fails(run: Run, checkpoint: Path, command: str) -> None:
    code, out, err = run(command, checkpoint, "--target", "tflite", "--min-delegated", "0.9")
    assert "tflite/fp32" in out, "what was made is shown all the same"
    refused((code, "", err), 5, "75.0%", "below 90.0%", "slow in stage1.block0", "dvfl-mobile inspect")
    assert run(command, checkpoint, "--target", "tflite", "--min-delegated", "0.75")[0] == 0


@pytest.mark.parametrize("command", ["convert", "deploy"])
def test_more_calls_than_allowed_fail(
    run: Run, checkpoint: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(command, checkpoint, "--target", "tflite", "--max-calls", "1")[0] == 0
    monkeypatch.setattr(quick, "CALLS", 16)
    code, out, err = run(command, checkpoint, "--target", "tflite", "--max-calls", "8", "--min-delegated", "0.75")
    assert "tflite/fp32" in out, "what was made is shown all the same"
    parts = ("16 calls of XNNPACK, above 8", "1 operator outside", "slow in stage1.block0", "dvfl-mobile inspect")
    refused((code, "", err), 5, *parts)
    assert run(command, checkpoint, "--target", "tflite", "--max-calls", "16")[0] == 0


@pytest.mark.parametrize("command", ["convert", "deploy"])
@pytest.mark.parametrize("bound", [("--min-delegated", "0.1"), ("--max-calls", "1")], ids=["share", "calls"])
def test_what_only_a_device_knows_is_inconclusive(
    run: Run, checkpoint: Path, command: str, bound: tuple[str, str]
) -> None:
    code, out, err = run(command, checkpoint, "--target", "coreml", "--target", "tflite", *bound)
    assert "coreml/fp32" in out
    assert "tflite/fp32" in out, "what comes after it is made too"
    refused((code, "", err), 7, "is unknown here")


def test_a_known_failure_counts_for_more_than_an_unknown_share(run: Run, checkpoint: Path) -> None:
    targets = ["--target", "coreml", "--target", "tflite"]
    assert run("convert", checkpoint, *targets, "--min-delegated", "0.9")[0] == 5
    assert run("convert", checkpoint, *targets, "--min-delegated", "0.9", "--max-calls", "9")[0] == 5


@pytest.fixture
def without_coremltools(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def missing(name: str) -> str:
        if name == "coremltools":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", missing)


@pytest.mark.usefixtures("without_coremltools")
@pytest.mark.parametrize("command", ["convert", "deploy"])
def test_a_missing_extra_is_named(run: Run, checkpoint: Path, tmp_path: Path, command: str) -> None:
    outcome = run(command, checkpoint, "--target", "tflite", "--target", "coreml")
    refused(outcome, 4, "coremltools isn't installed", "pip install 'dvfl-mobile[coreml]'")
    assert not (tmp_path / "out").exists(), "it was known before any work"


@pytest.mark.usefixtures("without_coremltools")
@pytest.mark.parametrize("command", ["convert", "deploy"])
def test_a_target_that_nobody_named_is_left_out_aloud(run: Run, checkpoint: Path, tmp_path: Path, command: str) -> None:
    code, out, err = run(command, checkpoint)
    assert code == 0, err
    assert "coreml was left out: coremltools isn't installed" in " ".join((out + err).split())
    made = sorted(path.parts[-3] for path in (tmp_path / "out").rglob("manifest.json"))
    assert made == ["executorch", "tflite"]


# Where results go


@pytest.mark.parametrize("command", ["convert", "deploy"])
@pytest.mark.parametrize(
    ("out", "sentence"),
    [
        ("file/below", "is a file, not a folder"),
        ("file", "a file"),
        ("/proc/nothing-goes-here", "Can't write /proc/nothing-goes-here"),
        ("x" * 300, "the path is too long"),
    ],
    ids=["below a file", "a file", "no permission", "too long"],
)
def test_a_place_that_cannot_be_written(
    run: Run, tmp_path: Path, checkpoint: Path, command: str, out: str, sentence: str
) -> None:
    (tmp_path / "file").write_text("mine")
    refused(run(command, checkpoint, "--target", "tflite", "-o", out), 3, out.split("/")[-1], sentence)
    assert left_in(tmp_path) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_a_file_where_the_artifact_goes(run: Run, tmp_path: Path, checkpoint: Path) -> None:
    place = tmp_path / "out" / TINY.name / "tflite" / "fp32"
    place.parent.mkdir(parents=True)
    place.write_text("mine")
    refused(run("convert", checkpoint, "--target", "tflite"), 3, str(place.relative_to(tmp_path)), "a file stands")
    assert place.read_text() == "mine"


@pytest.mark.parametrize("option", ["--junit", "--markdown"])
@pytest.mark.parametrize("command", ["parity", "deploy"])
def test_a_report_that_cannot_be_written_takes_nothing_from_the_result(
    run: Run, artifact: Path, checkpoint: Path, command: str, option: str
) -> None:
    subject = [artifact] if command == "parity" else [checkpoint, "--target", "tflite"]
    code, out, err = run(command, *subject, option, checkpoint / "report")
    assert code == 3
    assert f"Can't write {checkpoint / 'report'}: a file stands where a folder is needed" in err
    assert "Traceback" not in err
    assert "pass" in out.lower(), "what was found is still shown"


@pytest.mark.parametrize("step", ["load", "convert"])
def test_a_full_disk_leaves_nothing(tmp_path: Path, checkpoint: Path, step: str) -> None:
    out = tmp_path / "out"
    outcome = ended(start(f"{step}:full", "convert", checkpoint, "--target", "tflite", "-o", out))
    refused(outcome, 3, "Can't write", str(out), "takes no file of that size", "Write elsewhere with -o")
    reference = [f"{TINY.name}/{name.name}" for name in (out / TINY.name).glob("reference-*")]
    assert left_in(out) == (reference if step == "convert" else [])


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system that the reference alone is too large for."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "small-disk", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount here: {error}")
    if done.returncode:
        pytest.skip(f"not allowed to mount a small disk: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("command", ["convert", "deploy"])
def test_a_disk_that_is_full(run: Run, small_disk: Path, checkpoint: Path, command: str) -> None:
    outcome = run(command, checkpoint, "--target", "tflite", "-o", small_disk / "out")
    refused(outcome, 3, f"Can't write {small_disk / 'out'}", "the disk is full", "Free some space")
    assert left_in(small_disk) == []


# Two at once, and runs that are broken off


@pytest.fixture
def busy(tmp_path: Path, artifact: Path, checkpoint: Path) -> Iterator[subprocess.Popen[str]]:
    """Another run, in the middle of converting into the folder where an artifact stands already."""
    waiting = tmp_path / "waiting"
    arguments = ("convert", checkpoint, "--target", "tflite", "-o", artifact.parents[2])
    process = start("convert:wait", *arguments, QUICK_WAITING=str(waiting))
    deadline = time.monotonic() + 100
    while not waiting.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    process.kill()
    process.communicate()


def test_of_two_runs_the_second_is_refused(
    run: Run, busy: subprocess.Popen[str], artifact: Path, checkpoint: Path
) -> None:
    before = left_in(artifact.parent)
    assert any(".partial" in name for name in before), "the first is at work"
    outcome = run("convert", checkpoint, "--target", "tflite")
    refused(outcome, 3, str(artifact.relative_to(artifact.parents[3])), "is being written by another run")
    assert left_in(artifact.parent) == before
    assert busy.poll() is None
    assert run("convert", checkpoint, "--target", "executorch")[0] == 0, "elsewhere there is room"


def test_what_a_killed_run_left_goes_with_the_next(
    run: Run, busy: subprocess.Popen[str], artifact: Path, checkpoint: Path
) -> None:
    whole = {path: path.read_bytes() for path in artifact.iterdir()}
    busy.send_signal(signal.SIGKILL)
    busy.wait()
    assert {path: path.read_bytes() for path in artifact.iterdir()} == whole
    assert run("inspect", artifact)[0] == 0
    assert any(".partial" in name for name in left_in(artifact.parent))
    assert run("convert", checkpoint, "--target", "tflite")[0] == 0
    assert left_in(artifact.parent) == ["fp32/manifest.json", "fp32/model.tflite"]


def test_what_a_run_killed_while_storing_the_reference_left_goes_too(
    run: Run, tmp_path: Path, checkpoint: Path
) -> None:
    waiting = tmp_path / "waiting"
    out = tmp_path / "out"
    process = start("reference:wait", "convert", checkpoint, "-o", out, QUICK_WAITING=str(waiting))
    while not waiting.exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.communicate()
    assert left_in(out), "it left something"
    assert run("convert", checkpoint, "--target", "tflite")[0] == 0
    [reference] = (out / TINY.name).glob("reference-*")
    assert left_in(out / TINY.name) == [reference.name, "tflite/fp32/manifest.json", "tflite/fp32/model.tflite"]


@pytest.mark.parametrize("step", ["load", "reference", "convert", "parity"])
def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, checkpoint: Path, step: str) -> None:
    out = tmp_path / "out"
    code, shown, err = ended(start(f"{step}:interrupt", "deploy", checkpoint, "--target", "tflite", "-o", out))
    assert code == 130, err
    assert shown == ""
    assert "interrupted; nothing half-written was left" in err
    assert "Traceback" not in err
    left = left_in(out) if out.exists() else []
    assert not any("partial" in name for name in left)
    # The reference is whole once it has its name; an artifact stands with its manifest, or not at all.
    made = [name for name in left if "/reference-" not in name]
    whole = [f"{TINY.name}/tflite/fp32/{name}" for name in ("manifest.json", "model.tflite")]
    assert made == (whole if step == "parity" else [])
    assert len(left) - len(made) == (1 if step in ("convert", "parity") else 0)


def test_debug_shows_the_traceback(run: Run, tmp_path: Path) -> None:
    code, _, err = run("convert", tmp_path / "none.pth", "--debug")
    assert code == 3
    assert "Traceback" in err


# What goes to stdout


def test_json_is_one_document_and_nothing_else(run: Run, artifact: Path, checkpoint: Path, video: Path) -> None:
    commands: list[tuple[object, ...]] = [
        ("convert", checkpoint),
        ("deploy", checkpoint),
        ("parity", artifact),
        ("inspect", artifact),
        ("predict", video, "--artifact", artifact),
    ]
    for command in commands:
        code, out, err = run(*command, "--json")
        assert code == 0, err
        assert json.loads(out)["schema_version"] == 1, command


def test_strict_makes_what_was_not_decided_fail(run: Run, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tflite = replace(targets.target_named("tflite"), systems=("Solaris",))
    monkeypatch.setattr(targets, "TARGETS", {**targets.TARGETS, "tflite": tflite})
    code, out, _ = run("deploy", checkpoint, "--target", "tflite")
    assert code == 0
    assert "exists on Solaris only" in out
    assert run("deploy", checkpoint, "--target", "tflite", "--strict")[0] == 7


# Videos


@pytest.fixture
def video(tmp_path: Path, write_video: WriteVideo) -> Path:
    return write_video(tmp_path / "whole.avi", 20)


def test_predict_on_one_frame(run: Run, artifact: Path, tmp_path: Path, write_video: WriteVideo) -> None:
    code, out, err = run("predict", write_video(tmp_path / "one.avi", 1), "--artifact", artifact)
    assert code == 0, err
    assert "class_" in out
    assert "decoded 1 frame; a clip takes" in out


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda _: None, "does not exist"),
        (Path.touch, "is empty"),
        (Path.mkdir, "is a folder"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "can't be read as a video"),
    ],
    ids=["missing", "empty", "folder", "garbage"],
)
def test_predict_on_what_is_no_video(
    run: Run, artifact: Path, tmp_path: Path, make: Callable[[Path], object], sentence: str
) -> None:
    path = tmp_path / "bad.avi"
    make(path)
    refused(run("predict", path, "--artifact", artifact), 3, str(path), sentence)


def test_predict_does_not_take_one_of_a_folder(run: Run, artifact: Path, video: Path) -> None:
    refused(run("predict", video.parent, "--artifact", artifact), 3, f"{video.parent} is a folder")


def test_a_video_without_frames(run: Run, artifact: Path, tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "none.avi", np.zeros((0, 64, 96, 3), np.uint8))
    for command in (("predict", path, "--artifact", artifact), ("parity", artifact, "--clips", path)):
        refused(run(*command), 3, str(path))


def test_clips_that_are_none(run: Run, artifact: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    refused(run("parity", artifact, "--clips", folder), 3, str(folder))
    folder.mkdir()
    refused(run("parity", artifact, "--clips", folder), 3, f"{folder} holds no videos")
    for name in "ab":
        (folder / f"{name}.avi").write_bytes(b"no video")
    refused(run("parity", artifact, "--clips", folder), 3, "None of the 2 videos", str(folder / "a.avi"))


def test_damaged_clips_among_good_ones_are_noted(run: Run, artifact: Path, video: Path) -> None:
    folder = video.parent / "clips"
    folder.mkdir()
    data = video.read_bytes()
    (folder / "good.avi").write_bytes(data)
    (folder / "cut.avi").write_bytes(data[: len(data) * 3 // 4])
    (folder / "none.avi").write_bytes(b"no video")
    code, out, err = run("parity", artifact, "--clips", folder, "--json")
    assert code == 0, err
    clips = json.loads(out)["clips"]
    notes = "\n".join(clips["notes"])
    assert clips["count"] == 2
    assert f"Not read: {folder / 'none.avi'}" in notes
    assert "cut.avi: " in notes
    assert "good.avi" not in notes
