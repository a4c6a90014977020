"""The native programs trust nothing: options, files and numbers that can't be meant end in a named error, cleanly.

Built with sanitizers, so that a read or a write out of bounds would be seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.devices.harness.build import built
from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.devices.harness.options import ProgramOptions, PushedFile
from dvfl_mobile.runners.base import as_input
from tests.device.native.conftest import Small

OPTIONS_STATUS, CHANGED_STATUS, MODEL_STATUS, DISK_STATUS, LISTENER_STATUS = 10, 11, 12, 14, 18
MUTATIONS = 150
SECONDS = 60


ONE_OF_BOTH = pytest.mark.parametrize("folder", ["tflite"], indirect=True)
"""One reader of options serves both programs."""


@dataclass(frozen=True)
class Folder:
    """A program in its folder, with all that it needs to run three clips."""

    path: Path
    program: str
    options: ProgramOptions

    def write(self, options: ProgramOptions | str) -> None:
        text = options if isinstance(options, str) else options.text()
        (self.path / "run.options").write_bytes(text.encode("utf-8", errors="surrogateescape"))

    def start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.path / self.program), *(arguments or ("run.options",))],
            cwd=self.path,
            env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )

    def refused(self, options: ProgramOptions | str, status: int) -> str:
        """The message with which it gives up over options; its status is the one that is expected."""
        self.write(options)
        ended = self.start()
        assert ended.returncode == status, ended
        last = json.loads(ended.stdout.splitlines()[-1])
        assert last["event"] == "error"
        return str(last["message"])


@pytest.fixture(params=["executorch", "tflite"])
def folder(request: pytest.FixtureRequest, small: Small, pixels: np.ndarray, tmp_path: Path) -> Folder:
    artifact, bundle = small(request.param, "fp32"), built("host-sanitized", request.param)
    for file in bundle.files(request.param):
        os.link(bundle.folder / file.name, tmp_path / file.name)
    data = b"".join(as_input(clip, artifact.manifest).tobytes() for clip in pixels[:3])
    shutil.copy(artifact.folder / artifact.manifest.file, tmp_path / "model.bin")
    (tmp_path / "input.bin").write_bytes(data)
    [model] = artifact.manifest.files
    options = ProgramOptions(
        mode="run",
        model=PushedFile("model.bin", model.size_bytes, model.sha256),
        input=PushedFile("input.bin", len(data), hashlib.sha256(data).hexdigest()),
        clips=3,
        output="output.bin",
        log="run.log",
    )
    return Folder(tmp_path, NATIVE[request.param].program, options)


def test_what_the_other_tests_damage_runs(folder: Folder) -> None:
    folder.write(folder.options)
    ended = folder.start()
    assert ended.returncode == 0
    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [event["event"] for event in events] == ["device", "load", *["run"] * 3, "output", "memory", "end"]
    said = "".join(f"{line}\n" for line in ended.stdout.splitlines()[:-1])
    assert events[-1]["lines_sha256"] == hashlib.sha256(said.encode()).hexdigest()
    assert events[-3]["sha256"] == hashlib.sha256((folder.path / "output.bin").read_bytes()).hexdigest()


def test_a_model_whose_bytes_changed_is_never_loaded(folder: Folder) -> None:
    data = bytearray((folder.path / "model.bin").read_bytes())
    data[len(data) // 2] ^= 1
    (folder.path / "model.bin").write_bytes(data)
    assert "model.bin isn't the file that the options name" in folder.refused(folder.options, CHANGED_STATUS)


def test_a_model_that_was_cut_is_never_loaded(folder: Folder) -> None:
    os.truncate(folder.path / "model.bin", folder.options.model.size_bytes - 1)
    assert "in place of" in folder.refused(folder.options, CHANGED_STATUS)


def test_an_input_whose_bytes_changed_is_never_run(folder: Folder) -> None:
    data = bytearray((folder.path / "input.bin").read_bytes())
    data[0] ^= 1
    (folder.path / "input.bin").write_bytes(data)
    assert "input.bin isn't the file that the options name" in folder.refused(folder.options, CHANGED_STATUS)


@pytest.mark.parametrize("clips", [1, 2, 4, 6])
def test_an_input_of_another_number_of_clips_is_never_run(clips: int, folder: Folder) -> None:
    message = folder.refused(replace(folder.options, clips=clips), CHANGED_STATUS)
    assert f"for {clips} clips, and the model takes 393216 for each" in message


def test_a_model_that_is_none_is_named_by_the_runtime_and_nothing_crashes(folder: Folder) -> None:
    data = random.Random(1).randbytes(5000)
    (folder.path / "model.bin").write_bytes(data)
    model = PushedFile("model.bin", len(data), hashlib.sha256(data).hexdigest())
    assert "can't load the model" in folder.refused(replace(folder.options, model=model), MODEL_STATUS)


@pytest.mark.parametrize("name", ["model.bin", "input.bin"])
def test_a_link_is_not_followed(name: str, folder: Folder) -> None:
    (folder.path / name).rename(folder.path / "elsewhere")
    (folder.path / name).symlink_to(folder.path / "elsewhere")
    assert "can't be read" in folder.refused(folder.options, DISK_STATUS)


@pytest.mark.parametrize("name", ["output.bin", "run.log"])
def test_nothing_is_written_through_a_link(name: str, folder: Folder) -> None:
    (folder.path / name).symlink_to(folder.path / "elsewhere")
    assert f"{name} can't be written" in folder.refused(folder.options, DISK_STATUS)
    assert not (folder.path / "elsewhere").exists()


def test_missing_files_are_named(folder: Folder) -> None:
    (folder.path / "input.bin").unlink()
    assert "input.bin can't be read: No such file" in folder.refused(folder.options, DISK_STATUS)


Edit = Callable[[str], str]

HOSTILE: dict[str, Edit] = {
    "nothing": lambda _: "",
    "no last line feed": lambda text: text[:-1],
    "another version": lambda text: text.replace("options 1", "options 2", 1),
    "no version": lambda text: text.split("\n", 1)[1],
    "an unknown key": lambda text: text + "hello world\n",
    "a key twice": lambda text: text + "clips 3\n",
    "a key alone": lambda text: text + "cores\n",
    "a missing key": lambda text: text.replace("clips 3\n", ""),
    "a NUL": lambda text: text.replace("clips 3", "clips 3\0"),
    "no number": lambda text: text.replace("clips 3", "clips three"),
    "an empty number": lambda text: text.replace("clips 3", "clips "),
    "a signed number": lambda text: text.replace("clips 3", "clips -3"),
    "a number with a sign": lambda text: text.replace("clips 3", "clips +3"),
    "a number in a space": lambda text: text.replace("clips 3", "clips  3"),
    "a huge number": lambda text: text.replace("clips 3", "clips " + "9" * 400),
    "2 to the 64th": lambda text: text.replace("clips 3", f"clips {2**64 + 3}"),
    "no clips": lambda text: text.replace("clips 3", "clips 0"),
    "clips that don't divide the input": lambda text: text.replace("clips 3", "clips 5"),
    "a path": lambda text: text.replace("output output.bin", "output ../output.bin"),
    "an absolute path": lambda text: text.replace("output output.bin", "output /tmp/output.bin"),
    "a hidden file": lambda text: text.replace("output output.bin", "output .output"),
    "a space in a name": lambda text: text.replace("output output.bin", "output out put"),
    "a shell's words": lambda text: text.replace("output output.bin", "output $(reboot)"),
    "bytes that aren't ASCII": lambda text: text.replace("output output.bin", "output \udcff\udcfe"),
    "a name without end": lambda text: text.replace("output output.bin", "output " + "x" * 50_000),
    "an empty name": lambda text: text.replace("output output.bin", "output "),
    "one name for two": lambda text: text.replace("output output.bin", "output model.bin"),
    "a log over the input": lambda text: text.replace("log run.log", "log input.bin"),
    "no hash": lambda text: text.replace("model_sha256 ", "model_sha256 x"),
    "a short hash": lambda text: text.replace("model_sha256 ", "model_sha256 0\nmodel_sha256 "),
    "another mode": lambda text: text.replace("mode run", "mode walk"),
    "runs without time": lambda text: text.replace("runs 0", "runs 3"),
    "cores that are none": lambda text: text + "cores 0,,1\n",
    "cores without end": lambda text: text + "cores " + ",".join(["0"] * 5000) + "\n",
    "a core beyond all": lambda text: text + "cores 1024\n",
    "no threads": lambda text: text + "threads 0\n",
    "threads beyond all": lambda text: text + "threads 1025\n",
    "too much of it": lambda text: text + "x" * 70_000 + "\n",
}


@ONE_OF_BOTH
@pytest.mark.parametrize("edit", HOSTILE)
def test_options_that_can_t_be_meant_are_refused_before_anything_is_done(edit: str, folder: Folder) -> None:
    folder.refused(HOSTILE[edit](folder.options.text()), OPTIONS_STATUS)
    assert not (folder.path / "run.log").exists()
    assert not (folder.path / "output.bin").exists()


@ONE_OF_BOTH
def test_one_argument_is_wanted(folder: Folder) -> None:
    assert folder.start("run.options", "more").returncode == OPTIONS_STATUS


@ONE_OF_BOTH
def test_mutated_options_end_in_an_error_or_in_the_right_logits(folder: Folder) -> None:
    folder.write(folder.options)
    assert folder.start().returncode == 0
    right, draw = (folder.path / "output.bin").read_bytes(), random.Random(4)
    statuses = set()
    for _ in range(MUTATIONS):
        data = bytearray(folder.options.text().encode())
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(data))
            data[at : at + draw.choice((0, 1, 5))] = draw.randbytes(draw.choice((0, 1, 3)))
        folder.write(data.decode("utf-8", errors="surrogateescape"))
        (folder.path / "output.bin").unlink(missing_ok=True)
        ended = folder.start()
        statuses.add(ended.returncode)
        assert ended.returncode in (0, *range(OPTIONS_STATUS, LISTENER_STATUS)), (bytes(data), ended)
        if ended.returncode == 0 and (folder.path / "output.bin").exists():
            assert (folder.path / "output.bin").read_bytes() == right
    assert OPTIONS_STATUS in statuses


def test_a_program_that_is_killed_says_no_end(folder: Folder) -> None:
    os.truncate(folder.path / "input.bin", 393216)
    one = hashlib.sha256((folder.path / "input.bin").read_bytes()).hexdigest()
    options = replace(folder.options, mode="time", clips=1, runs=1_000_000, input=PushedFile("input.bin", 393216, one))
    folder.write(options)
    process = subprocess.Popen(
        [str(folder.path / folder.program), "run.options"],
        cwd=folder.path,
        env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(5)]
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    assert process.wait(SECONDS) == -signal.SIGKILL
    assert json.loads(lines[0])["event"] == "device"
    assert '"end"' not in rest


def test_a_program_that_nobody_listens_to_ends(folder: Folder) -> None:
    folder.write(folder.options)
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [str(folder.path / folder.program), "run.options"],
        cwd=folder.path,
        env=os.environ | {"ASAN_OPTIONS": "detect_leaks=0"},
        stdout=write,
        restore_signals=False,  # Python ignores SIGPIPE, and so does what it starts then
    )
    os.close(write)
    assert process.wait(SECONDS) == LISTENER_STATUS
