"""A child that crashes, hangs, takes memory or lies: the tool says so, names the file, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact, open_artifact
from dvfl_mobile.cli.main import main
from dvfl_mobile.cli.spelling import COMMAND_LINE
from dvfl_mobile.errors import ArtifactError, DvflMobileError, InconclusiveError, MissingDependencyError
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.child import process
from dvfl_mobile.runners.child.isolated import IsolatedRunner
from dvfl_mobile.runners.child.limits import DEADLINE_VARIABLE, MEMORY_VARIABLE
from dvfl_mobile.spelling import speaking
from tests.checkpoints import TINY
from tests.conversions import skip_without
from tests.faults import quick

pytestmark = pytest.mark.installed

ROOT = Path(__file__).parents[2]
Open = Callable[[str], IsolatedRunner]

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Something in an artifact's place."""
    skip_without("tflite")
    out = tmp_path_factory.mktemp("unruly")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dvfl_mobile.artifacts.make.lower", quick.lower)
        [made] = convert(seeded_student(TINY), make_plan(["tflite"], "fp32", out))
    return open_artifact(made.folder)


@pytest.fixture
def opened(artifact: Artifact, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Open]:
    """Open the artifact in a child that misbehaves as asked; see `unruly`."""
    left = set(tmp_path.iterdir())
    monkeypatch.setattr(process, "_MODULE", "tests.faults.unruly")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv(DEADLINE_VARIABLE, "20")
    runners = []

    def start(deed: str) -> IsolatedRunner:
        monkeypatch.setenv("UNRULY", deed)
        runner = open_runner(artifact.folder, artifact.manifest)
        assert isinstance(runner, IsolatedRunner)
        runners.append(runner)
        return runner

    yield start
    for runner in runners:
        runner.close()
        assert has_ended(runner._child.pid)
    assert set(tmp_path.iterdir()) == left, "a file was left behind"


def clip() -> np.ndarray:
    return np.zeros((8, 3, 64, 64), np.uint8)


def do(runner: IsolatedRunner, step: str) -> object:
    return runner.time(clip(), 1, 2) if step == "time" else runner.run(clip()[None])


def failure(opened: Open, step: str, deed: str) -> DvflMobileError:
    """The error that a deed at a step becomes."""
    with pytest.raises(DvflMobileError) as caught:
        do(opened(f"{step}:{deed}"), step)
    return caught.value


def has_ended(pid: int) -> bool:
    """Whether a process is gone, and no zombie of it is left."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for_end(pid: int, seconds: float = 30) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if has_ended(pid):
            return True
        time.sleep(0.05)
    return False


def test_it_behaves(opened: Open) -> None:
    runner = opened("run:behave")
    assert runner.facts == {"runtime": "unruly", "threads": 1}
    assert runner.run(np.stack([clip()] * 3)).shape == (3, 5)
    assert runner.time(clip(), 1, 4) == [1, 1, 1, 1]


# How a child ends


@pytest.mark.parametrize(
    ("deed", "how"),
    [
        ("crash", "its process crashed (SIGSEGV)"),
        ("abort", "its process crashed (SIGABRT)"),
        ("killed", "its process was killed (SIGKILL)"),
        ("cpu", "its process computed for too long and was ended (SIGXCPU)"),
        ("exit", "its process ended with exit code 3"),
    ],
)
@pytest.mark.parametrize(("step", "verb"), [("open", "load"), ("run", "run"), ("time", "run")])
def test_a_child_that_ends(opened: Open, artifact: Artifact, step: str, verb: str, deed: str, how: str) -> None:
    error = failure(opened, step, deed)
    assert type(error) is ArtifactError
    assert error.exit_code == 3
    assert error.problem == f"The runtime can't {verb} {artifact.folder / 'model.tflite'}: {how}."
    assert error.hint


@pytest.mark.parametrize("deed", ["sleep", "spin"])
def test_a_child_that_is_stuck(opened: Open, artifact: Artifact, deed: str) -> None:
    runner = opened(f"run:{deed}")
    runner._deadline_s = 1
    start = time.monotonic()
    with pytest.raises(ArtifactError) as caught:
        runner.run(clip()[None])
    assert time.monotonic() - start < 10
    path = artifact.folder / "model.tflite"
    assert caught.value.problem == f"The runtime can't run {path}: it took longer than 1 seconds and was ended."
    assert DEADLINE_VARIABLE in caught.value.hint
    assert has_ended(runner._child.pid)


def test_a_child_that_is_stuck_in_loading(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEADLINE_VARIABLE, "12")
    assert "can't load" in (problem := failure(opened, "open", "sleep").problem)
    assert "it took longer than 12 seconds" in problem


def test_a_child_that_takes_no_question(opened: Open) -> None:
    """More than the connection holds while nobody reads it."""
    runner = opened("run:behave")
    runner._deadline_s = 1
    os.kill(runner._child.pid, signal.SIGSTOP)
    with pytest.raises(ArtifactError, match="took longer than 1 seconds"):
        runner.run(np.zeros((1, 8, 3, 512, 512), np.uint8))


@on_linux
def test_a_child_that_takes_memory(opened: Open, artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "200")
    error = failure(opened, "open", "memory")
    assert type(error) is ArtifactError
    assert error.problem == f"{artifact.folder / 'model.tflite'} needs more memory than it may have."
    assert MEMORY_VARIABLE in error.hint


@on_linux
def test_a_runtime_that_does_not_say_that_memory_is_what_it_lacks(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEMORY_VARIABLE, "200")
    error = failure(opened, "open", "short of memory")
    assert error.problem.endswith("RuntimeError: it failed to prepare.")
    assert error.hint.startswith("It had taken most of the memory that it may have.")
    assert MEMORY_VARIABLE in error.hint


def test_a_child_writes_no_large_file(opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "large"
    monkeypatch.setenv("UNRULY_FILE", str(file))
    assert "File too large" in failure(opened, "open", "disk").problem
    assert file.stat().st_size <= 65 * 2**20
    file.unlink()


@pytest.mark.parametrize("step", ["open", "run"])
@pytest.mark.parametrize(("deed", "how"), [("crash", "its process crashed (SIGSEGV)"), ("sleep", "took longer than")])
@pytest.mark.usefixtures("opened")
def test_the_command_line_says_so(
    artifact: Artifact,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    step: str,
    deed: str,
    how: str,
) -> None:
    monkeypatch.setenv("UNRULY", f"{step}:{deed}")
    monkeypatch.setenv(DEADLINE_VARIABLE, "12")
    with pytest.raises(SystemExit) as end:
        main(["parity", str(artifact.folder)])
    out, err = capfd.readouterr()
    assert end.value.code == 3
    assert out == ""
    assert f"{artifact.folder / 'model.tflite'}: it" in err
    assert how in err
    assert "Traceback" not in err
    assert not (artifact.folder / "parity.json").exists()


def test_after_its_end_every_question_gets_the_same_answer(opened: Open) -> None:
    runner = opened("run:crash")
    problems = []
    for _ in range(2):
        with pytest.raises(ArtifactError) as caught:
            runner.run(clip()[None])
        problems.append(caught.value.problem)
    assert problems[0] == problems[1]
    runner.close()
    with pytest.raises(ArtifactError, match="SIGSEGV"):
        runner.run(clip()[None])


def test_a_closed_runner_says_so(opened: Open) -> None:
    runner = opened("run:behave")
    runner.close()
    with pytest.raises(ArtifactError, match="was closed"):
        runner.run(clip()[None])


def test_a_child_that_cannot_start_is_no_fault_of_the_artifact(opened: Open) -> None:
    error = failure(opened, "start", "exit")
    assert type(error) is DvflMobileError
    assert error.exit_code == 1
    assert "can't get ready: its process ended with exit code 3" in error.problem


# What a child says


@pytest.mark.parametrize("step", ["prepare", "open", "run"])
def test_an_error_comes_over_as_it_is(opened: Open, step: str) -> None:
    error = failure(opened, step, "missing")
    assert type(error) is MissingDependencyError
    assert (error.package, error.extra, error.exit_code) == ("abacus", "tflite", 4)
    assert error.problem == "abacus isn't installed, and this step needs it (to count)."
    assert error.hint == "Install it with: pip install 'dvfl-mobile[tflite]'"
    error = failure(opened, step, "undecided")
    assert (type(error), error.problem, error.hint) == (InconclusiveError, "Nobody knows.", "Ask a Mac.")


def test_it_speaks_as_its_parent_does(opened: Open) -> None:
    assert failure(opened, "open", "advises").hint == "Leave `threads=` out."
    with speaking(COMMAND_LINE):
        assert failure(opened, "open", "advises").hint == "Leave --threads out."


def test_after_an_error_the_child_still_serves(opened: Open) -> None:
    runner = opened("run:refused")
    for _ in range(2):
        with pytest.raises(ArtifactError, match="model can't be"):
            runner.run(clip()[None])
    assert runner.time(clip(), 0, 1) == [1]


@pytest.mark.parametrize(("step", "verb"), [("open", "load"), ("run", "run")])
def test_whatever_a_runtime_raises_is_the_artifact_s_doing(opened: Open, step: str, verb: str) -> None:
    error = failure(opened, step, "raise")
    assert type(error) is ArtifactError
    assert f"The runtime can't {verb}" in error.problem
    assert "IndexError: list index out of range" in error.problem
    assert any("in deed" in note for note in error.__notes__), "--debug shows where"


def test_what_fails_before_the_artifact_is_read_is_a_fault_of_ours(opened: Open) -> None:
    error = failure(opened, "prepare", "raise")
    assert type(error) is DvflMobileError
    assert "can't get ready: IndexError" in error.problem


def test_words_cannot_disturb_a_terminal(opened: Open) -> None:
    assert "\\x1b[2Jcleared\nsecond line" in failure(opened, "open", "terminal").problem


@pytest.mark.parametrize(
    ("step", "deed"),
    [
        *(("run", deed) for deed in ("bytes", "short", "list", "nothing", "wide", "flat", "bits")),
        *(("time", deed) for deed in ("bytes", "list", "nothing", "text")),
        *(("open", deed) for deed in ("bytes", "nothing", "text")),
    ],
)
def test_an_answer_that_cannot_be(opened: Open, artifact: Artifact, step: str, deed: str) -> None:
    error = failure(opened, step, deed)
    assert type(error) is ArtifactError
    assert f"{artifact.folder / 'model.tflite'}: the process that runs it answered" in error.problem


def test_an_error_that_is_none_is_one_all_the_same(opened: Open) -> None:
    assert type(failure(opened, "run", "error")) is ArtifactError


def test_what_a_runtime_prints_is_no_answer(opened: Open, capfd: pytest.CaptureFixture[str]) -> None:
    assert opened("open:stdout").run(clip()[None]).shape == (1, 5)
    out, err = capfd.readouterr()
    assert out == "", "stdout is for results"
    assert "said on stdout" in err
    assert "said by print" in err


# Ends of the parent


def test_a_runner_that_is_let_go_takes_its_child_along(opened: Open, artifact: Artifact) -> None:
    runner = opened("run:behave")
    child = process.Child(artifact.folder)
    pid = child.pid
    assert not has_ended(pid)
    del child
    assert has_ended(pid)
    assert not has_ended(runner._child.pid), "another's is left alone"


def test_a_fork_does_not_take_it_along(opened: Open) -> None:
    runner = opened("run:behave")
    fork = os.fork()
    if not fork:
        runner.close()
        os._exit(0)
    os.waitpid(fork, 0)
    assert runner.run(clip()[None]).shape == (1, 5)


SCRIPT = """
import signal, sys, threading
from pathlib import Path
from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.cli.interrupts import raising_interrupts
from dvfl_mobile.runners.child import process
from dvfl_mobile.runners.base import open_runner
import numpy as np

# What a shell starts in the background ignores it, and all that it starts in turn.
signal.signal(signal.SIGINT, signal.default_int_handler)
process._MODULE = "tests.faults.unruly"
artifact = open_artifact(Path(sys.argv[1]))
with raising_interrupts() as interrupts:
    try:
        runner = open_runner(artifact.folder, artifact.manifest)
        print(runner._child.pid, flush=True)
        if sys.argv[2] == "idle":
            sys.stdin.read()
        runner.run(np.zeros((1, 8, 3, 64, 64), np.uint8))
    except BaseException:
        sys.exit(interrupts.exit_code)
"""


@pytest.mark.parametrize("busy", ["idle", "sleep", "spin"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_child_ends_with_its_parent(
    artifact: Artifact, monkeypatch: pytest.MonkeyPatch, busy: str, number: signal.Signals
) -> None:
    if busy != "idle" and number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a busy process that its parent was killed")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("UNRULY", f"run:{busy}")
    with subprocess.Popen(
        [sys.executable, "-P", "-c", SCRIPT, str(artifact.folder), busy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        time.sleep(0.5)
        # To the whole group, as a terminal does; the child is in a group of its own.
        os.killpg(parent.pid, number)
        code = parent.wait(60)
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    assert wait_for_end(child)


def test_a_runner_outlives_the_thread_that_opened_it(opened: Open) -> None:
    found: list[IsolatedRunner] = []
    thread = threading.Thread(target=lambda: found.append(opened("run:behave")))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert found[0].run(clip()[None]).shape == (1, 5)
