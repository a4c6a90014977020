"""What counts as data in a folder: hidden things, links, loops of links."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dvfl_mobile.data.check import check_data
from dvfl_mobile.data.datasets import find_split
from dvfl_mobile.data.videos import find_videos
from dvfl_mobile.data.walk import holds_videos, videos_below
from dvfl_mobile.errors import VideoError


def _write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def _below(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in videos_below(folder)]


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", ".git/deep", "__MACOSX", "@eaDir"])
def test_hidden_folders_hold_no_data_at_any_depth(hidden: str, tmp_path: Path) -> None:
    _write(
        tmp_path, "Wave/a.mp4", f"Wave/{hidden}/b.mp4", f"{hidden}/c.mp4", "Run/deep/d.mp4", f"Run/deep/{hidden}/e.mp4"
    )
    expected = ["Run/deep/d.mp4", "Wave/a.mp4"]
    assert _below(tmp_path) == expected
    assert sorted(ref.name for ref in find_videos(tmp_path)) == expected
    assert (check_data(str(tmp_path)).videos, check_data(str(tmp_path)).unlisted) == (2, 0)
    assert not holds_videos(_write(tmp_path / "none", f"{hidden}/a.mp4", "notes.txt"))


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    _write(tmp_path / "elsewhere", "Wave/a.mp4", "Run/b.mp4", "Dive/c.mp4", "one.mp4")
    folder = _write(tmp_path / "data", "Run/own.mp4")
    (folder / "Wave").symlink_to(tmp_path / "elsewhere/Wave")
    (folder / "Run/part").symlink_to(tmp_path / "elsewhere/Run")
    (folder / "Run/linked.mp4").symlink_to(tmp_path / "elsewhere/one.mp4")
    expected = {"Wave/a.mp4": "Wave", "Run/own.mp4": "Run", "Run/part/b.mp4": "Run", "Run/linked.mp4": "Run"}
    assert {ref.name: ref.class_name for ref in find_videos(folder)} == expected
    assert check_data(str(folder)).videos == 4
    train = _write(tmp_path / "split", "test/Wave/t.mp4")
    (train / "train").symlink_to(folder)
    assert len(find_split(train, "train").refs) == 4


def test_what_is_reached_twice_counts_once_by_its_own_name(tmp_path: Path) -> None:
    _write(tmp_path, "Wave/real/a.mp4", "Wave/b.mp4")
    (tmp_path / "Wave/again").symlink_to("real")
    (tmp_path / "Wave/a_link.mp4").symlink_to("b.mp4")
    os.link(tmp_path / "Wave/b.mp4", tmp_path / "Wave/c_hard.mp4")
    assert _below(tmp_path) == ["Wave/b.mp4", "Wave/real/a.mp4"]
    assert [ref.name for ref in find_videos(tmp_path)] == ["Wave/b.mp4", "Wave/real/a.mp4"]


@pytest.mark.parametrize("target", [".", "..", "../..", "../Wave"])
def test_loops_of_links_end_and_bring_in_no_other_class(target: str, tmp_path: Path) -> None:
    _write(tmp_path, "data/Wave/a.mp4", "data/Run/b.mp4")
    (tmp_path / "data/Wave/loop").symlink_to(target)
    (tmp_path / "data/Run/up").symlink_to("../Run")
    found = {ref.name: ref.class_name for ref in find_videos(tmp_path / "data")}
    assert found == {"Wave/a.mp4": "Wave", "Run/b.mp4": "Run"}


def test_ladders_of_links_take_no_time(tmp_path: Path) -> None:
    for step in range(40):
        _write(tmp_path, f"Wave/{step}/{step}.mp4")
        for side in "ab":
            (tmp_path / f"Wave/{step}/{side}").symlink_to(f"../{step + 1}")
    assert len(videos_below(tmp_path)) == 40


def test_a_file_in_two_classes_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "Wave/a.mp4", "Run/b.mp4")
    (tmp_path / "Run/all").symlink_to("../Wave")
    with pytest.raises(VideoError, match="are one file, and in two classes: Run and Wave"):
        find_videos(tmp_path)


def test_a_link_to_nothing_is_named_and_no_crash(tmp_path: Path) -> None:
    _write(tmp_path, "Wave/a.mp4")
    (tmp_path / "Wave/gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "Wave/loop.mp4").symlink_to("loop.mp4")
    report = check_data(str(tmp_path))
    assert not report.is_whole
    assert set(report.empty) == {"Wave/gone.mp4", "Wave/loop.mp4"}


def test_a_video_listed_by_two_paths_is_listed_twice(tmp_path: Path) -> None:
    _write(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").symlink_to("a.mp4")
    (tmp_path / "list.csv").write_text("a.mp4,0\nb.mp4,1\n", encoding="utf-8")
    with pytest.raises(VideoError, match=r"line 2: b\.mp4 is listed already, in line 1"):
        find_videos(tmp_path / "list.csv")
