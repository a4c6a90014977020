"""Writing that is whole or absent: files, folders, locks, and what the operating system says of failures."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from dvfl_mobile import files
from dvfl_mobile.cli.spelling import spelling_of
from dvfl_mobile.errors import OutputError
from dvfl_mobile.files import (
    CACHE_VARIABLE,
    atomic_directory,
    atomic_file,
    cache_folder,
    directory_lock,
    files_below,
    sha256_of,
    write_text,
    writing_to,
)
from dvfl_mobile.spelling import speaking


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


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def refused(path: Path, error: OSError) -> tuple[str, str]:
    with pytest.raises(OutputError) as raised, writing_to(path):
        raise error
    return raised.value.problem, raised.value.hint


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_of_a_temporary_file_the_temporary_folder_is_blamed(temporary: Path, tmp_path: Path, number: int) -> None:
    error = OSError(number, os.strerror(number), str(temporary / "tmpx1" / "held"))
    problem, hint = refused(tmp_path / "out" / "model", error)
    assert problem.startswith(f"Can't write to the temporary folder {temporary}: ")
    assert hint.endswith("rite elsewhere with TMPDIR.")


def test_what_people_put_into_the_temporary_folder_is_theirs(temporary: Path) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary / "mine" / "model"))
    assert refused(temporary / "mine", error)[0] == f"Can't write {temporary / 'mine'}: the disk is full."
    assert refused(temporary / "tmpx1" / "out", OSError(errno.ENOSPC, "", str(temporary / "tmpx1" / "out")))[0] == (
        f"Can't write {temporary / 'tmpx1' / 'out'}: the disk is full."
    )


@pytest.mark.parametrize(("free", "blamed"), [(0, True), (10**15, False)])
def test_of_a_full_disk_without_a_name_the_fuller_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, blamed: bool
) -> None:
    elsewhere = next((place for place in (Path("/dev/shm"), Path("/run")) if place.is_dir()), tmp_path)
    if elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one file system here")
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    free_bytes = files._free_bytes
    monkeypatch.setattr(files, "_free_bytes", lambda place: free if place == elsewhere else free_bytes(place))
    problem, _ = refused(tmp_path / "new" / "model", OSError(errno.ENOSPC, "No space left on device"))
    assert (problem == f"Can't write to the temporary folder {elsewhere}: the disk is full.") == blamed
    assert (problem == f"Can't write {tmp_path / 'new' / 'model'}: the disk is full.") != blamed


def test_without_any_temporary_folder_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with pytest.raises(OutputError, match="There is no temporary folder") as raised, writing_to(tmp_path / "out"):
        tempfile.mkdtemp()
    assert "TMPDIR" in raised.value.hint


def test_what_is_kept_for_later_goes_elsewhere_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OutputError) as raised:
        write_text(cache_folder() / "scales" / "x", "")
    assert raised.value.hint == "Write elsewhere with DVFL_MOBILE_CACHE."


@pytest.mark.parametrize(("flags", "hint"), [({"-o"}, "Write elsewhere with -o."), ({"--json"}, "Write elsewhere.")])
def test_an_option_is_hinted_at_where_the_command_has_it(tmp_path: Path, flags: set[str], hint: str) -> None:
    with speaking(spelling_of(flags)):
        assert refused(tmp_path / "x", OSError(errno.EROFS, "read-only"))[1] == hint


def test_a_user_without_a_home_learns_what_to_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (CACHE_VARIABLE, "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    with pytest.raises(OutputError, match="no home folder") as raised:
        cache_folder()
    assert CACHE_VARIABLE in raised.value.hint
    monkeypatch.setenv(CACHE_VARIABLE, "/kept")
    assert cache_folder() == Path("/kept")


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
