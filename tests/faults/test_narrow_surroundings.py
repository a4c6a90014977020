"""Every command in surroundings narrower than a developer's: no internal error, and the exit codes of the docs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from dvfl_mobile.cli.main import COMMANDS
from dvfl_mobile.cli.main import main as command_line
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.model.student import save_student
from tests import warm
from tests.conftest import WriteVideo
from tests.conversions import skip_without
from tests.faults import narrow, quick

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked from a warm one")

TINY = Architecture(embed_dim=16, depths=(1,), focal_levels=(1,), focal_windows=(3,), num_classes=2, img_size=32)
TRAINING = ("--size", 32, "--frames", 2, "--batch", 4, "--micro-batch", 4, "--epochs", 1, "--workers", 1, "-o", "out")
USAGE, INPUT, UNDECIDED, LEFT = 2, 3, 7, 141
# How those of `_commands` end that can't end well in a moment.
ENDS = {
    "check-package": INPUT,
    "check-app": INPUT,
    "kit": INPUT,
    "live": INPUT,
    "profile": INPUT,
    "evaluate": UNDECIDED,
    "nope": USAGE,
}
# Seconds each: in surroundings where files of their own are what may fail.
HEAVY = {"train", "distill", "quantize", "pack", "evaluate"}
WITH_HEAVY = {"full temporary folder", "few descriptors"}


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> Iterator[SimpleNamespace]:
    """What commands are given: a checkpoint, labelled videos, an artifact, a pack and what an app made of it."""
    skip_without("tflite")
    folder = tmp_path_factory.mktemp("narrow")
    videos = folder / "videos"
    for name in ("Down", "Up"):
        (videos / name).mkdir(parents=True)
        for group in range(6, 10):
            pictures = np.full((4, 32, 32, 3), 20 * group, np.uint8)
            write_video(videos / name / f"v_{name}_g{group:02}_c01.avi", pictures)
    checkpoint = folder / "tiny.safetensors"
    save_student(seeded_student(TINY), checkpoint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
        patch.chdir(folder)
        with pytest.raises(SystemExit):
            command_line(["convert", str(checkpoint), "--target", "tflite", "--frames", "2"])
    [manifest] = folder.rglob("manifest.json")
    full = folder / "full"
    full.mkdir()
    mounted = _mount(full)
    try:
        yield SimpleNamespace(folder=folder, videos=videos, checkpoint=checkpoint, artifact=manifest.parent, full=full)
    finally:
        if mounted:
            subprocess.run(["umount", str(full)], check=True)


def _mount(folder: Path) -> bool:
    """A file system without a byte of room, where one may be mounted."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "full-disk", str(folder)]
    try:
        if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
            return False
    except OSError:
        return False
    (folder / "filling").write_bytes(bytes(8192))
    return True


def _commands(things: SimpleNamespace) -> dict[str, tuple[object, ...]]:
    """Of each command one that is done in a moment, and ends well in usual surroundings where it can so quickly."""
    video = things.videos / "Up" / "v_Up_g06_c01.avi"
    data = ("--data", things.videos)
    return {
        "data": ("data", "check", things.videos),
        "train": ("train", *data, "--model", "focalnet-16-1", *TRAINING),
        "distill": ("distill", *data, "--teacher", things.checkpoint, *TRAINING),
        "deploy": ("deploy", things.checkpoint, "--target", "tflite", "--frames", 2),
        "quantize": ("quantize", things.checkpoint, "--calib", "noise", "--frames", 2, "--num-calibration-samples", 8),
        "convert": ("convert", things.checkpoint, "--target", "tflite", "--frames", 2),
        "parity": ("parity", things.artifact),
        "check-package": ("check-package", things.folder / "none.mlpackage", "--reference", things.folder / "none.npz"),
        "evaluate": ("evaluate", things.artifact, *data),
        "profile": ("profile", "--history", things.artifact),
        "devices": ("devices",),
        "pack": ("pack", things.artifact, "--clips", video),
        "check-app": ("check-app", things.folder / "none.json"),
        "kit": ("kit", things.folder / "none", "-o", "kit.zip"),
        "live": ("live", things.folder / "none"),
        "predict": ("predict", video, "--artifact", things.artifact),
        "stream": ("stream", video, "--artifact", things.artifact),
        "inspect": ("inspect", things.artifact),
        "doctor": ("doctor",),
    }


def _run(
    things: SimpleNamespace, folder: Path, surrounding: str, commands: Mapping[str, Sequence[object]]
) -> dict[str, tuple[int, str]]:
    """The exit code of each command line, and what it printed to stdout and stderr."""
    environment = os.environ | {"DVFL_MOBILE_CACHE": str(folder / "cache"), "FULL": str(things.full)}
    environment.pop("DVFL_MOBILE_DEBUG", None)
    asked = folder / "asked.json"
    asked.write_text(json.dumps([(name, surrounding, list(map(str, line))) for name, line in commands.items()]))
    assert warm.started([narrow.__file__, asked], environment, folder / "log").wait(500) == 0, (
        folder / "log"
    ).read_text()
    return {
        name: (
            int((folder / f"{name}.code").read_text()),
            (folder / f"{name}.log").read_text(encoding="utf-8", errors="replace"),
        )
        for name in commands
    }


def test_every_command_is_in_the_table(things: SimpleNamespace) -> None:
    assert _commands(things).keys() == COMMANDS.keys()


@pytest.mark.parametrize("surrounding", narrow.SURROUNDINGS)
def test_every_command_ends_as_promised(things: SimpleNamespace, tmp_path: Path, surrounding: str) -> None:
    if surrounding == "full temporary folder" and not things.full.is_mount():
        pytest.skip("no file system may be mounted here, so none can be full")
    commands = {
        "help": ("--help",),
        "nope": ("doctor", "--nope"),
        **{name: line for name, line in _commands(things).items() if name not in HEAVY or surrounding in WITH_HEAVY},
    }
    outcomes = _run(things, tmp_path, surrounding, commands)
    if {code for code, _ in outcomes.values()} == {narrow.UNABLE}:
        pytest.skip("no other user can be had here")
    faults = (tmp_path / "fault.txt").read_text(encoding="utf-8") if (tmp_path / "fault.txt").exists() else ""
    assert faults == ""
    for name, (code, said) in outcomes.items():
        assert not any(word in said for word in ("internal error", "Traceback", "Exception ignored")), (name, said)
        assert code == _promised(surrounding, name, said), (name, said)
        if surrounding == "C":
            assert said.isascii(), name


def _promised(surrounding: str, name: str, said: str) -> int:
    usual = ENDS.get(name, 0)
    if surrounding == "broken pipe" and usual in (0, UNDECIDED):
        return LEFT
    if surrounding == "full temporary folder" and name == "pack":
        assert "Can't write to the temporary folder" in said
        assert "TMPDIR" in said
        return INPUT
    if surrounding == "few descriptors" and "More files had to be open at once than may be" in said:
        return INPUT
    return usual


@pytest.mark.parametrize("name", ["LC_ALL=en_US.ISO-8859-1", "LC_ALL=C", "HOME="])
@pytest.mark.parametrize("line", [("doctor",), ("doctor", "--json"), ("--help",), ("doctor", "--nope")], ids=" ".join)
def test_a_new_process_ends_as_promised_too(tmp_path: Path, name: str, line: Sequence[str]) -> None:
    """What is settled when Python starts, the others above only look like."""
    variable, _, value = name.partition("=")
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", variable: value}
    if variable == "HOME":
        del environment["HOME"]
    elif "." in value:
        environment["LOCPATH"] = _made_locale(tmp_path, value.removeprefix("LC_ALL="))
    command = [sys.executable, "-P", "-m", "dvfl_mobile", *line]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=100)
    assert done.returncode == (USAGE if "--nope" in line else 0)
    assert b"Traceback" not in done.stderr
    assert b"internal error" not in done.stderr
    if line == ("doctor", "--json"):
        assert json.loads(done.stdout)["schema_version"] == 1


def _made_locale(folder: Path, name: str) -> str:
    """A folder with a locale that this system may not have; where it can't be made, Python falls back to C's."""
    language, _, encoding = name.partition(".")
    with suppress(OSError):
        make = ["localedef", "-i", language, "-f", encoding, str(folder / name)]
        subprocess.run(make, capture_output=True, check=False)
    return str(folder)
