"""The frame of the command line: every way of ending has its sentence and its exit code."""

from __future__ import annotations

import ast
import errno
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import dvfl_mobile
from dvfl_mobile import errors
from dvfl_mobile.cli import main as frame
from dvfl_mobile.cli.console import debugging, print_json
from dvfl_mobile.cli.progress import quiet_vendors, steps

pytestmark = pytest.mark.installed

Outcome = tuple[int, str, str]


@pytest.fixture
def ending_with(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command `work` that does what it is given; returns exit code, stdout and stderr."""

    def run(body: Callable[[], None], *arguments: str) -> Outcome:
        module = ModuleType("work_for_tests")
        module.work = lambda: body()  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(frame, "COMMANDS", {"work": "work_for_tests:work"})
        with pytest.raises(SystemExit) as end:
            frame.main([*arguments] if "work" in arguments else ["work", *arguments])
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        return end.value.code, out, err

    return run


def raising(error: BaseException) -> Callable[[], None]:
    def body() -> None:
        raise error

    return body


# design.md's exit codes, each by the error that ends with it.
ENDINGS = [
    (errors.DvflMobileError("the problem", hint="the next step"), 1),
    (errors.UsageError("the problem", hint="the next step"), 2),
    (errors.CheckpointError("the problem", hint="the next step"), 3),
    (errors.VideoError("the problem", hint="the next step"), 3),
    (errors.LabelError("the problem", hint="the next step"), 3),
    (errors.ArtifactError("the problem", hint="the next step"), 3),
    (errors.OutputError("the problem", hint="the next step"), 3),
    (errors.CheckFailedError("the problem", hint="the next step"), 5),
    (errors.DeviceError("the problem", hint="the next step"), 6),
    (errors.InconclusiveError("the problem", hint="the next step"), 7),
]


@pytest.mark.parametrize(("error", "code"), ENDINGS, ids=[type(error).__name__ for error, _ in ENDINGS])
def test_our_errors_end_with_problem_hint_and_code(
    ending_with: Callable[..., Outcome], error: errors.DvflMobileError, code: int
) -> None:
    assert ending_with(raising(error)) == (code, "", "error: the problem\nthe next step\n")


def test_a_missing_package_names_its_extra(ending_with: Callable[..., Outcome]) -> None:
    code, _, err = ending_with(raising(errors.MissingDependencyError("coremltools", extra="coreml")))
    assert code == 4
    assert "coremltools" in err
    assert "pip install 'dvfl-mobile[coreml]'" in err


def test_our_own_fault_is_called_so_and_hides_its_traceback(ending_with: Callable[..., Outcome]) -> None:
    code, out, err = ending_with(raising(ZeroDivisionError("by nought")))
    assert (code, out) == (1, "")
    assert "internal error (a fault of ours): ZeroDivisionError: by nought" in err
    assert "--debug" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", [("--debug", "work"), ("work", "--debug")], ids=["before", "after"])
def test_debug_shows_the_traceback_wherever_it_stands(
    ending_with: Callable[..., Outcome], arguments: tuple[str, ...]
) -> None:
    code, _, err = ending_with(raising(errors.VideoError("no frames")), *arguments)
    assert code == 3
    assert "Traceback" in err
    assert not debugging(), "it must not outlast the run"


def test_debug_can_be_set_in_the_environment(
    ending_with: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVFL_MOBILE_DEBUG", "1")
    assert "Traceback" in ending_with(raising(ValueError("x")))[2]
    monkeypatch.setenv("DVFL_MOBILE_DEBUG", "0")
    assert "Traceback" not in ending_with(raising(ValueError("x")))[2]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (MemoryError(), "ran out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"), "ran out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), "Can't write /some/file: the disk is full"),
        (OSError(errno.EROFS, "Read-only file system", "/some/file"), "the file system is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/some/file"), "No permission for /some/file"),
    ],
    ids=["memory", "torch-memory", "disk-full", "read-only", "permission"],
)
def test_what_the_machine_lacks_is_not_a_fault_of_ours(
    ending_with: Callable[..., Outcome], error: Exception, sentence: str
) -> None:
    code, _, err = ending_with(raising(error))
    assert code == 3
    assert sentence in err
    assert "internal" not in err


def test_too_many_open_files_are_called_that_whatever_was_made_of_them(ending_with: Callable[..., Outcome]) -> None:
    def read() -> None:
        try:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), "clip.avi")
        except OSError as error:
            raise errors.VideoError("clip.avi can't be read.", hint="Play it.") from error

    code, _, err = ending_with(read)
    assert (code, err.splitlines()[0]) == (3, "error: More files had to be open at once than may be.")
    assert "ulimit" in err


@pytest.mark.parametrize("arguments", [["nope"], ["doctor", "--nope"], ["--nope"], ["doctor", "--target"]])
def test_wrong_usage_ends_with_2_and_points_to_the_help(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        frame.main(arguments)
    out, err = capfd.readouterr()
    assert (end.value.code, out) == (2, "")
    assert err.startswith("error: ")
    assert "--help" in err


@pytest.mark.parametrize("name", ["-3Bxyz.mp4", "-o b.mp4", "--x.avi", "-o.mp4", "-v"])
def test_a_file_whose_name_begins_with_a_dash_goes_last(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-v").touch()
    with pytest.raises(SystemExit) as end:
        frame.main(["predict", name, "--artifact", "out"])
    assert end.value.code == 2
    assert f"goes last, behind --: … -- {shlex.quote(name)}\n" in capfd.readouterr().err
    with pytest.raises(SystemExit) as end:
        frame.main(["predict", "--artifact", "out", "--", name])
    assert end.value.code == 3, "it is taken there, and is no artifact's video"
    assert "behind --" not in capfd.readouterr().err


def test_other_wrong_usage_says_nothing_of_dashes(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in (["doctor", "--nope"], ["parity", "x", "--min-sqnr=a.b", "--nope"], ["doctor", "-3"]):
        with pytest.raises(SystemExit):
            frame.main(arguments)
        assert "behind --" not in capfd.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"], *([name, "--help"] for name in frame.COMMANDS)])
def test_help_is_there_for_the_tool_and_each_command(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        frame.main(arguments)
    out, err = capfd.readouterr()
    assert (end.value.code, err) == (0, "")
    assert "Usage: dvfl-mobile" in out
    if "--help" not in arguments or len(arguments) == 1:
        assert all(f"  {name} " in out for name in frame.COMMANDS)


def test_help_loads_nothing_heavy() -> None:
    script = """
        import sys
        from dvfl_mobile.cli.main import main
        try:
            main(["--help"])
        except SystemExit:
            pass
        heavy = "torch av executorch coremltools litert_torch ai_edge_litert safetensors numpy pydantic rich".split()
        print("LOADED", [name for name in heavy if name in sys.modules])
    """
    assert "LOADED []" in _python(script).stdout


def test_import_loads_nothing_heavy_and_every_public_name_is_there() -> None:
    script = """
        import sys
        import dvfl_mobile
        print("LOADED", [name for name in ("torch", "av", "numpy", "pydantic", "rich") if name in sys.modules])
        print("ABSENT", [name for name in dvfl_mobile.__all__ if not hasattr(dvfl_mobile, name)])
        print("SURPRISING", hasattr(dvfl_mobile, "nope"))
    """
    assert _python(script).stdout.splitlines() == ["LOADED []", "ABSENT []", "SURPRISING False"]


def test_type_checkers_see_every_public_name() -> None:
    stub = ast.parse(Path(dvfl_mobile.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    # A stub exports only what it imports under its own name once more.
    exported = [one.name for node in stub.body for one in node.names if one.name == one.asname]
    assert sorted(exported) == sorted([*dvfl_mobile.__all__, "__version__"])


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"schema_version": 1, "verdict": "pass"})
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "verdict": "pass"}


# Signals and pipes need a process of their own.


def _hear_all_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


PROGRAM = """
import sys, time, types
from pathlib import Path
from dvfl_mobile.cli import main as frame
from dvfl_mobile.cli.progress import steps
from dvfl_mobile.files import atomic_directory

def wait():
    # In short sleeps: a signal that comes right before the system's call doesn't end it.
    for _ in range(3000):
        time.sleep(0.1)

def work():
{body}

module = types.ModuleType("work_for_tests")
module.work = work
sys.modules[module.__name__] = module
frame.COMMANDS = {{"work": "work_for_tests:work"}}
frame.main(["work"])
"""


def _python(script: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(script)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, **options)  # type: ignore[call-overload,no-any-return]


def _start(body: str, folder: Path, **options: object) -> subprocess.Popen[str]:
    script = PROGRAM.format(body=textwrap.indent(textwrap.dedent(body), "    "))
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=folder,
        text=True,
        stderr=subprocess.PIPE,
        # Unbuffered, nothing would be left to fail when the run ends.
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        # A suite that runs in the background may ignore Ctrl-C, and would hand that down.
        # What a shell, nohup or a job runner ignores is ignored below it too.
        preexec_fn=_hear_all_signals,
        **options,  # type: ignore[call-overload]
    )


WRITES_SLOWLY = """
    with steps() as step, step("tflite fp32"), atomic_directory(Path("out/nano")) as partial:
        (partial / "model.tflite").write_bytes(b"half")
        Path("started").touch()
        wait()
"""
TIDIES_SLOWLY = """
    try:
        Path("started").touch()
        wait()
    finally:
        time.sleep(0.5)
        Path("tidied").touch()
"""
SWALLOWS = """
    try:
        Path("started").touch()
        wait()
    except BaseException as error:
        raise RuntimeError("conversion failed") from error
"""


def _until_started(process: subprocess.Popen[str], folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not (folder / "started").exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-c", "terminate", "hang-up"],
)
def test_an_interrupt_leaves_nothing_half_written(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = _start(WRITES_SLOWLY, tmp_path)
    _until_started(process, tmp_path)
    process.send_signal(number)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == code
    assert "interrupted; nothing half-written was left" in err
    assert "Traceback" not in err
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["out", "started"]


def test_a_second_interrupt_does_not_break_off_the_tidying(tmp_path: Path) -> None:
    process = _start(TIDIES_SLOWLY, tmp_path)
    _until_started(process, tmp_path)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert (tmp_path / "tidied").exists()


def test_an_interrupt_that_a_library_turned_into_an_error_is_still_one(tmp_path: Path) -> None:
    process = _start(SWALLOWS, tmp_path)
    _until_started(process, tmp_path)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "internal error" not in err


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    process = _start("for line in range(200_000): print(line)", tmp_path, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=120) == 141


def test_a_reader_that_left_before_the_end_is_no_error(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = _start("print('result')", tmp_path, stdout=writer)
    os.close(writer)
    assert process.communicate(timeout=120)[1] == ""
    assert process.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_under_stdout_is_said_plainly(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = _start("print('result')", tmp_path, stdout=full)
        err = process.communicate(timeout=120)[1]
    assert process.returncode == 3
    assert "the disk is full" in err
    assert "Exception ignored" not in err


# Progress.


def test_each_finished_step_is_one_line_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    with steps() as step:
        with step("executorch fp32"):
            pass
        with step("parity", total=2) as advance:
            advance()
            advance()
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"  executorch fp32 … \d+\.\d s\n  parity … \d+\.\d s\n", err)


def test_quiet_steps_say_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with steps(quiet=True) as step, step("executorch fp32"):
        _chatter()
    assert capfd.readouterr() == ("", "")


def test_a_failed_step_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="boom"), steps() as step, step("coreml fp16"):
        raise ValueError("boom")
    assert re.fullmatch(r"  coreml fp16 … failed after \d+\.\d s\n", capfd.readouterr().err)


def _chatter() -> None:
    os.write(1, b"from C++ to stdout\n")
    os.write(2, b"from C++ to stderr\n")
    subprocess.run(["echo", "from a child"], check=True)


def test_what_libraries_print_is_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_vendors():
        _chatter()
    print("after")
    sys.stdout.flush()
    assert capfd.readouterr() == ("after\n", "")


def test_what_libraries_printed_goes_with_the_error(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        _chatter()
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom") as raised, quiet_vendors():
        fail()
    assert capfd.readouterr() == ("", "")
    note = "\n".join(raised.value.__notes__)
    assert all(line in note for line in ("from C++ to stdout", "from C++ to stderr", "from a child"))


def test_debug_shows_what_libraries_print_and_keeps_stdout_clean(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVFL_MOBILE_DEBUG", "1")
    with quiet_vendors():
        _chatter()
    out, err = capfd.readouterr()
    assert out == ""
    assert all(line in err for line in ("from C++ to stdout", "from C++ to stderr", "from a child"))


def test_a_terminal_shows_the_running_step_and_none_of_the_chatter() -> None:
    script = """
        import os, time
        from dvfl_mobile.cli.progress import steps
        with steps() as step, step("tflite fp32", total=2) as advance:
            os.write(2, b"CHATTER")
            print("CHATTER", flush=True)
            advance()
            time.sleep(0.3)
    """
    shown = _on_a_terminal([sys.executable, "-c", textwrap.dedent(script)])
    assert "1/2" in shown
    assert shown.count("tflite fp32") >= 2
    assert re.search(r"tflite fp32 … \d+\.\d s", shown)
    assert "CHATTER" not in shown


def _on_a_terminal(command: list[str]) -> str:
    """What a program shows on a terminal of its own; read while it runs, because a terminal holds little."""
    terminal, end = pty.openpty()
    process = subprocess.Popen(command, stdout=end, stderr=end, env={**os.environ, "TERM": "xterm"})
    shown = b""
    while process.poll() is None or select.select([terminal], [], [], 0)[0]:
        if select.select([terminal], [], [], 0.05)[0]:
            shown += os.read(terminal, 65536)
    os.close(end)
    os.close(terminal)
    assert process.returncode == 0
    return shown.decode()
