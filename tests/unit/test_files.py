"""Writing that is whole or absent: files, folders, locks, and what the operating system says of failures."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dvfl_mobile.errors import OutputError
from dvfl_mobile.files import (
    atomic_directory,
    atomic_file,
    directory_lock,
    files_below,
    sha256_of,
    write_text,
    writing_to,
)


class BrokenError(Exception):
    """What a test raises in the middle of a write."""


def write_half(path: Path) -> None:
    with atomic_file(path) as partial:
        partial.write_text("half")
        raise BrokenError


def make_half(path: Path) -> None:
    with atomic_directory(path) as partial:
        (partial / "new").write_text("")
        raise BrokenError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_there_only_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.json"
    with atomic_file(path) as partial:
        partial.write_text("half")
        assert not path.exists()
        partial.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["report.json"]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_text(path, "old")
    with pytest.raises(BrokenError):
        write_half(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def test_a_file_has_ordinary_permissions(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text(tmp_path / "report.json", "")
    finally:
        os.umask(before)
    assert (tmp_path / "report.json").stat().st_mode & 0o777 == 0o644


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "fp32"
    for content in ("first", "second"):
        with atomic_directory(path) as partial:
            (partial / content).write_text(content)
    assert names(path) == ["second"]
    assert names(tmp_path) == ["fp32"]


def test_a_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "fp32"
    with atomic_directory(path) as partial:
        (partial / "old").write_text("")
    with pytest.raises(BrokenError):
        make_half(path)
    assert names(path) == ["old"]
    assert names(tmp_path) == ["fp32"]


def test_a_folder_does_not_take_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "fp32").write_text("mine")
    with pytest.raises(OutputError, match="fp32"), atomic_directory(tmp_path / "fp32"):
        pass
    assert (tmp_path / "fp32").read_text() == "mine"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG])
def test_what_the_system_says_becomes_a_sentence(tmp_path: Path, number: int) -> None:
    with pytest.raises(OutputError) as caught, writing_to(tmp_path / "out"):
        raise OSError(number, "as the system says")
    assert str(tmp_path / "out") in caught.value.problem
    assert caught.value.hint


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), writing_to(tmp_path):
        raise ConnectionResetError(errno.ECONNRESET, "")


def test_a_second_run_learns_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "fp32"
    with directory_lock(path), pytest.raises(OutputError, match="another run"), directory_lock(path):
        pass
    with directory_lock(tmp_path / "fp32"):
        pass


def test_a_run_that_waits_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    order = []

    def second() -> None:
        with directory_lock(tmp_path / "reference", wait=True):
            order.append("second")

    with directory_lock(tmp_path / "reference"):
        waiting = threading.Thread(target=second)
        waiting.start()
        time.sleep(0.2)
        order.append("first")
    waiting.join(timeout=10)
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_run_is_free_and_its_leftovers_go(tmp_path: Path) -> None:
    script = f"""
import os, pathlib, signal
from dvfl_mobile.files import directory_lock
path = pathlib.Path({str(tmp_path / "fp32")!r})
with directory_lock(path):
    (path.parent / ".fp32.x.partial").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert ".fp32.x.partial" in names(tmp_path)
    with directory_lock(tmp_path / "fp32"):
        assert ".fp32.x.partial" not in names(tmp_path)


def test_files_below_are_listed_and_links_are_not(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("c")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a" / "b" / "c.txt")
    assert files_below(tmp_path) == [Path("a/b/c.txt")]


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
