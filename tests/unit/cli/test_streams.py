"""Streams that are closed, can't encode what is written, can't take it, or that nobody reads."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dvfl_mobile.cli import streams

# What a command does with its streams: a step with a library's chatter, a result with a bar in it, a warning.
PROGRAM = """
import os, subprocess, sys, types
from dvfl_mobile.cli import main as frame
from dvfl_mobile.cli.console import print_json, print_rich, print_warning
from dvfl_mobile.cli.progress import steps

def work():
    with open("mine", "w") as mine, steps() as step, step("a step …"):
        os.write(1, b"chatter")
        os.write(2, b"chatter")
        subprocess.run(["echo", "chatter"], check=True)
    print_warning("a warning …")
    if "json" in os.environ["SHOWN"]:
        print_json({"bar": "█ é \\udcff"})
    else:
        print_rich(os.environ["SHOWN"])

module = types.ModuleType("work_for_tests")
module.work = work
sys.modules[module.__name__] = module
frame.COMMANDS = {"work": "work_for_tests:work"}
frame.main(["work"])
"""


def _run(
    folder: Path, shown: str = "a bar: █▃ é", closed: tuple[int, ...] = (), **options: object
) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "SHOWN": shown, **options.pop("env", {})}  # type: ignore[dict-item]
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        check=False,
        timeout=120,
        env=environment,
        preexec_fn=lambda: [os.close(number) for number in closed],
        **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )


@pytest.mark.parametrize("closed", [(1,), (2,), (1, 2), (0,), (0, 1, 2)], ids=str)
def test_a_closed_stream_is_the_null_device(tmp_path: Path, closed: tuple[int, ...]) -> None:
    done = _run(tmp_path, closed=closed)
    assert done.returncode == 0
    assert ("a bar" in done.stdout.decode()) == (1 not in closed)
    assert ("a warning" in done.stderr.decode()) == (2 not in closed)
    assert "Traceback" not in done.stderr.decode()
    assert (tmp_path / "mine").read_bytes() == b"", "no stream's number was given to a file"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("ascii", "a bar: #3 \\xe9"), ("latin-1", "a bar: #3 é"), ("cp437", "a bar: █3 é"), ("utf-8", "a bar: █▃ é")],
)
def test_what_a_terminal_cannot_encode_is_written_plainly(tmp_path: Path, encoding: str, shown: str) -> None:
    done = _run(tmp_path, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0
    assert done.stdout.decode(encoding).strip() == shown
    lines = done.stderr.decode(encoding).splitlines()
    mark = "…" if encoding == "utf-8" else "..."
    assert lines[0].startswith(f"  a step {mark} {mark} 0.")
    assert lines[1] == f"warning: a warning {mark}"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_stays_json_whatever_the_encoding(tmp_path: Path, encoding: str) -> None:
    done = _run(tmp_path, "json", env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0
    assert json.loads(done.stdout.decode(encoding)) == {"bar": "█ é \udcff"}


def test_json_of_a_model_is_escaped_as_far_as_it_has_to_be() -> None:
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert streams.json_for('"é 𝄞 \udcff"', ascii_only) == '"\\u00e9 \\ud834\\udd1e \\udcff"'
    assert streams.json_for('"é 𝄞 \udcff"', sys.__stdout__ or ascii_only) == '"é 𝄞 \\udcff"'


def test_what_no_encoding_has_is_escaped(tmp_path: Path) -> None:
    """As a file's name that isn't UTF-8."""
    done = _run(tmp_path, shown=os.fsdecode(b"x\xff"))
    assert (done.returncode, done.stdout) == (0, b"x\\udcff\n")


def test_a_result_that_nobody_reads_ends_with_141(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _run(tmp_path, stdout=writer)
    os.close(writer)
    assert done.returncode == 141
    assert done.stderr.decode().splitlines()[1:] == ["warning: a warning …"]


def test_messages_that_nobody_reads_end_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = _run(tmp_path, stderr=writer)
    os.close(writer)
    assert (done.returncode, done.stdout.decode()) == (0, "a bar: █▃ é\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_below_a_stream(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        results = _run(tmp_path, stdout=full)
        messages = _run(tmp_path, stderr=full)
    assert results.returncode == 3
    assert "error: Can't write the result to stdout: the disk is full.\nSend it somewhere else.\n" in (
        results.stderr.decode()
    )
    assert messages.returncode == 0, "messages are nothing to end for"


def test_every_sign_that_our_results_are_drawn_with_has_a_plain_one() -> None:
    from dvfl_mobile.report.profile import unicode

    for char in unicode._EIGHTHS + unicode._HEIGHTS:
        assert len(char.encode("ascii", streams.PLAINLY)) == 1
