"""A private folder on this machine: whole copies, bounded reads, and programs that end when their time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dvfl_mobile.devices.host_native import LocalPlace
from dvfl_mobile.errors import DeviceError


@pytest.fixture
def place() -> Iterator[LocalPlace]:
    with LocalPlace.opened("host:native") as opened:
        yield opened


def _put(place: LocalPlace, tmp_path: Path, text: str, name: str = "program") -> None:
    path = tmp_path / "source"
    path.write_text(text, encoding="utf-8")
    place.put(path, name, executable=True)


def test_lines_and_the_exit_status_come_as_the_program_gives_them(place: LocalPlace, tmp_path: Path) -> None:
    _put(place, tmp_path, '#!/bin/sh\necho "$1"; echo "in $(basename $PWD)" >&2; printf "a\\nb"; exit 3\n')
    said: list[str] = []
    assert place.run("program", ("two words; $(x)",), 20, said.append) == 3
    assert said == ["two words; $(x)", "a"], "what has no line feed is no line"


def test_a_signal_is_a_negative_status(place: LocalPlace, tmp_path: Path) -> None:
    _put(place, tmp_path, "#!/bin/sh\necho hello\nkill -KILL $$\n")
    assert place.run("program", (), 20, lambda _: None) == -9


def test_a_program_that_doesn_t_end_is_ended_with_all_that_it_started(place: LocalPlace, tmp_path: Path) -> None:
    _put(place, tmp_path, "#!/bin/sh\necho $$\nsleep 300 & echo $!\nwait\n")
    said: list[str] = []
    start = time.monotonic()
    with pytest.raises(DeviceError, match=r"host:native didn't run program within 0\.5 seconds"):
        place.run("program", (), 0.5, said.append)
    assert time.monotonic() - start < 10
    assert len(said) == 2
    until = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() and _runs(pid) for pid in said) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() and _runs(pid) for pid in said)


def _runs(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_program_that_can_t_start_says_why(place: LocalPlace, tmp_path: Path) -> None:
    _put(place, tmp_path, "#!/nowhere/sh\n")
    with pytest.raises(DeviceError, match=r"can't start program: .*No such file"):
        place.run("program", (), 20, lambda _: None)


def test_files_are_read_whole_or_not_at_all(place: LocalPlace, tmp_path: Path) -> None:
    _put(place, tmp_path, "0123456789", "data")
    assert place.get("data", 10) == b"0123456789"
    with pytest.raises(DeviceError, match="more than the 9 bytes"):
        place.get("data", 9)
    place.remove("data")
    place.remove("data")
    with pytest.raises(DeviceError, match="has no data to read"):
        place.get("data", 10)


def test_the_folder_goes_with_the_context(tmp_path: Path) -> None:
    with LocalPlace.opened("host:native") as place:
        _put(place, tmp_path, "x", "data")
        folder = place._folder
        assert sorted(path.name for path in folder.iterdir()) == ["data"]
        assert folder.stat().st_mode & 0o077 == 0, "nobody else reads it"
    assert not folder.exists()
