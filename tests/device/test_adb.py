"""Places behind a real adb, on real adbd daemons, when nothing goes wrong; and what a crash leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.devices.android.claims import MOST_AGE_S, OWNER, PREFIX
from dvfl_mobile.devices.android.place import AdbPlace
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.errors import DeviceError
from tests.device.adbd import Phone, System, World
from tests.device.speaking import FACTS, drawn_clips, right_logits, small_artifact, speaking_bundle

pytestmark = pytest.mark.usefixtures("own_claims")


@pytest.fixture(params=["phone", "arm64_phone"], ids=["x86", "arm64"])
def either(request: pytest.FixtureRequest) -> Phone:
    """A phone of this machine's kind, and one of 64-bit Arm."""
    made: Phone = request.getfixturevalue(request.param)
    return made


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """An artifact that a script can be said to run."""
    return small_artifact(tmp_path_factory.mktemp("artifact") / "out")


def _folders(phone: Phone) -> list[str]:
    return sorted(path.name for path in phone.folder.iterdir())


@contextmanager
def _runner(phone: Phone, artifact: Artifact, folder: Path, pause_s: float = 0.0) -> Iterator[NativeRunner]:
    bundle = speaking_bundle(folder, artifact.manifest, pause_s)
    with AdbPlace.opened(phone.adb()) as place:
        yield NativeRunner(place, bundle, artifact.folder, artifact.manifest, FACTS)


def _program(folder: Path, text: str) -> Path:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    return path


def test_files_come_back_as_they_went_and_nothing_stays(either: Phone, tmp_path: Path) -> None:
    source = tmp_path / "a name with 'quotes' and error: in it"
    source.write_bytes(os.urandom(300_000))
    with AdbPlace.opened(either.adb()) as place:
        place.put(source, "model.bin")
        [folder] = _folders(either)
        assert sorted(path.name for path in (either.folder / folder).iterdir()) == ["model.bin", OWNER]
        assert place.get("model.bin", 300_000) == source.read_bytes()
        with pytest.raises(DeviceError, match=r"holds a model\.bin of 300000 bytes, more than the 299999"):
            place.get("model.bin", 299_999)
        place.remove("model.bin")
        place.remove("model.bin")
        with pytest.raises(DeviceError, match=r"has no model\.bin to read"):
            place.get("model.bin", 300_000)
    assert _folders(either) == []


def test_a_program_gets_its_words_as_they_are_and_its_lines_come_in_order(either: Phone, tmp_path: Path) -> None:
    script = _program(
        tmp_path, 'printf "%s\\n" "$@"; echo; echo "$LD_LIBRARY_PATH"; pwd; echo no >&2; printf end; exit 7'
    )
    words = ("a b", "$(touch /tmp/no)", "'", '"; exit', "*", "ü")
    lines: list[str] = []
    with AdbPlace.opened(either.adb()) as place:
        place.put(script, "program", executable=True)
        status = place.run("program", words, 20, lines.append)
        [folder] = _folders(either)
    there = f"/data/local/tmp/{folder}"
    assert (status, lines) == (7, [*words, "", there, there, "end"])


def test_lines_come_while_the_program_runs(phone: Phone, tmp_path: Path) -> None:
    script = _program(tmp_path, "echo first; while [ ! -e go ]; do sleep 0.05; done; echo last")
    lines: list[str] = []

    def hear(line: str) -> None:
        lines.append(line)
        if line == "first":
            [folder] = phone.folder.iterdir()
            (folder / "go").touch()

    with AdbPlace.opened(phone.adb()) as place:
        place.put(script, "program", executable=True)
        assert place.run("program", (), 20, hear) == 0
    assert lines == ["first", "last"]


def test_a_program_that_a_signal_ended_says_so(phone: Phone, tmp_path: Path) -> None:
    with AdbPlace.opened(phone.adb()) as place:
        place.put(_program(tmp_path, "echo one; kill -9 $$"), "program", executable=True)
        assert place.run("program", (), 20, lambda _: None) == -signal.SIGKILL


def test_a_program_that_cannot_start_is_named_with_the_reason(phone: Phone, tmp_path: Path) -> None:
    path = tmp_path / "program"
    path.write_text("#!/no/such/interpreter\n", encoding="ascii")
    with AdbPlace.opened(phone.adb()) as place:
        place.put(path, "program", executable=True)
        with pytest.raises(DeviceError, match=r"can't start program: .*not found"):
            place.run("program", (), 20, lambda _: None)


def test_a_program_that_takes_too_long_is_ended_there(phone: Phone, tmp_path: Path) -> None:
    with AdbPlace.opened(phone.adb()) as place:
        place.put(_program(tmp_path, "echo $$; exec sleep 1000"), "program", executable=True)
        lines: list[str] = []
        with pytest.raises(DeviceError, match="didn't end program within 1 second"):
            place.run("program", (), 1, lines.append)
        assert _is_gone(lines[0], phone)
        # It was the program that was slow: the device is asked again.
        place.remove("program")


def test_what_a_listener_raises_ends_the_program(phone: Phone, tmp_path: Path) -> None:
    lines: list[str] = []

    def refuse(line: str) -> None:
        lines.append(line)
        raise KeyboardInterrupt

    with AdbPlace.opened(phone.adb()) as place:
        place.put(_program(tmp_path, "echo $$; exec sleep 1000"), "program", executable=True)
        with pytest.raises(KeyboardInterrupt):
            place.run("program", (), 20, refuse)
        assert _is_gone(lines[0], phone)


def test_a_number_that_has_gone_to_another_process_is_left_alone(phone: Phone, tmp_path: Path) -> None:
    with AdbPlace.opened(phone.adb()) as place:
        place.put(_program(tmp_path, "echo done"), "program", executable=True)
        # It has another working directory, as a process of somebody's has.
        status, other = phone.adb().shell("cd /; sleep 1000 >/dev/null 2>&1 & echo $!", "starting")
        assert status == 0
        assert place.run("program", (), 20, lambda _: None) == 0
        [file] = phone.folder.glob("*/program.pid")
        file.write_text(f"{other}\n", encoding="ascii")
    assert not _is_gone(other, phone)
    phone.adb().shell(f"kill {other}", "cleaning up")


def _is_gone(pid: str, phone: Phone) -> bool:
    status, _ = phone.adb().shell(f"[ -e /proc/{pid}/exe ] && readlink /proc/{pid}/exe", "looking")
    return status != 0


def test_an_artifact_is_run_and_timed(either: Phone, artifact: Artifact, tmp_path: Path) -> None:
    clips = drawn_clips(artifact.manifest, 3)
    with _runner(either, artifact, tmp_path) as runner:
        assert np.array_equal(runner.run(clips), right_logits(artifact.manifest, clips))
        measured = runner.measure(clips[1], RunOptions(warmup=2, runs=5))
    assert (len(measured.warmup_ns), len(measured.duration_ns)) == (2, 5)
    assert _folders(either) == []


def test_several_phones_at_once_and_a_phone_several_times(
    world: World, x86_system: System, artifact: Artifact, tmp_path: Path
) -> None:
    phones = [world.phone(x86_system) for _ in range(2)]

    def logits(seed: int) -> bool:
        clips = drawn_clips(artifact.manifest, 4, seed)
        (tmp_path / str(seed)).mkdir()
        with _runner(phones[seed % 2], artifact, tmp_path / str(seed), pause_s=0.1) as runner:
            return np.array_equal(runner.run(clips), right_logits(artifact.manifest, clips))

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(logits, range(6))) == [True] * 6
    for phone in phones:
        assert _folders(phone) == []
        phone.leave()


_CRASHING = """
import sys
from pathlib import Path
from dvfl_mobile.devices.android.adb import Adb
from dvfl_mobile.devices.android.place import AdbPlace

adb, serial, program = sys.argv[1:]
with AdbPlace.opened(Adb(adb, serial)) as place:
    place.put(Path(program), "program", executable=True)
    place.run("program", (), 100, lambda line: print(line, flush=True))
"""


@pytest.fixture
def running(world: World, phone: Phone, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process of ours that runs a program on the phone, and that program's number there."""
    program = _program(tmp_path, "echo $$; exec sleep 1000")
    process = subprocess.Popen(
        [sys.executable, "-c", _CRASHING, str(world.adb_path), phone.serial, str(program)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield process, process.stdout.readline().strip()
    process.kill()
    process.communicate()


def test_what_a_crash_left_is_removed_by_the_next_who_comes(
    phone: Phone, running: tuple[subprocess.Popen[str], str]
) -> None:
    process, program = running
    [left] = _folders(phone)
    with AdbPlace.opened(phone.adb()):
        # Its owner lives: it is left alone.
        assert left in _folders(phone)
        assert not _is_gone(program, phone)
    process.kill()
    process.wait()
    assert _folders(phone) == [left]
    with AdbPlace.opened(phone.adb()):
        assert left not in _folders(phone)
        assert _is_gone(program, phone)
    assert _folders(phone) == []


@pytest.mark.parametrize(
    ("name", "owner", "age_s", "stays"),
    [
        (f"{PREFIX}{'0' * 16}", "f" * 32, 60, True),
        (f"{PREFIX}{'0' * 16}", "f" * 32, MOST_AGE_S + 60, False),
        (f"{PREFIX}{'0' * 16}", "", 60, True),
        (f"{PREFIX}{'0' * 16}", "", MOST_AGE_S + 60, False),
        (f"{PREFIX}somebody", "f" * 32, MOST_AGE_S + 60, True),
        ("somebody-s", "f" * 32, MOST_AGE_S + 60, True),
    ],
    ids=["another host's", "old", "nobody's", "old nobody's", "another name", "another program's"],
)
def test_only_what_is_surely_abandoned_is_removed(phone: Phone, name: str, owner: str, age_s: int, stays: bool) -> None:
    folder = phone.folder / name
    folder.mkdir()
    marked = folder / OWNER if owner else folder
    if owner:
        (folder / OWNER).write_text(owner + "\n", encoding="ascii")
    then = time.time() - age_s
    os.utime(marked, (then, then))
    try:
        with AdbPlace.opened(phone.adb()):
            assert folder.exists() is stays
    finally:
        phone.adb().shell(f"rm -rf /data/local/tmp/{name}", "cleaning up")


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-rf", "a b", "a\nb", "$(x)"])
def test_a_name_that_is_none_is_a_fault_of_the_callers(name: str) -> None:
    place = AdbPlace.__new__(AdbPlace)
    place._folder = "/data/local/tmp/x"
    with pytest.raises(ValueError, match="no name for a file"):
        place._path(name)
