"""Lists as people and other tools write them: read, or refused with what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvfl_mobile.cli.main import main
from dvfl_mobile.data.check import check_data
from dvfl_mobile.data.datasets import find_split
from dvfl_mobile.data.videos import find_videos
from dvfl_mobile.errors import VideoError


def _list(folder: Path, text: str, name: str = "list.csv") -> Path:
    """A list beside `Dive/a.mp4`, `Run/a.mp4` and `Wave/a.mp4`."""
    for of_class in ("Dive", "Run", "Wave"):
        (folder / of_class).mkdir()
        (folder / of_class / "a.mp4").write_bytes(of_class.encode())
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.mark.parametrize("name", ["list.txt", "list.tsv", "videos.lst", "LIST"])
def test_a_text_file_is_no_video(name: str, tmp_path: Path) -> None:
    path = _list(tmp_path, "Dive/a.mp4 0\nRun/a.mp4 1\n", name)
    with pytest.raises(VideoError, match="is text, not a video") as caught:
        find_videos(path)
    assert ".csv" in caught.value.hint
    assert not check_data(str(path)).is_whole


@pytest.mark.parametrize(
    "header",
    ["path,label", "Video Path,Directory Number", "filename,class", "clip,label", "FILE; x,category", "a,LABEL"],
)
def test_a_header_is_no_video(header: str, tmp_path: Path) -> None:
    assert len(find_videos(_list(tmp_path, f"{header}\nDive/a.mp4,0\nRun/a.mp4,1\n"))) == 2


@pytest.mark.parametrize("first", ["gone.mp4,label", "label.avi,0", "Dive,0"])
def test_a_first_line_that_may_be_a_video_is_no_header(first: str, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="line 1"):
        find_videos(_list(tmp_path, f"{first}\nDive/a.mp4,0\n"))


@pytest.mark.parametrize(("mark", "called"), [("\t", "a tab"), (";", "a semicolon"), (" ", "a blank"), ("|", "a bar")])
def test_another_mark_between_path_and_label_is_named(mark: str, called: str, tmp_path: Path) -> None:
    path = _list(tmp_path, f"Dive/a.mp4{mark}0\nRun/a.mp4{mark}1\n")
    with pytest.raises(VideoError, match="line 1: expected `path,label`, found 1 cells") as caught:
        find_videos(path)
    assert caught.value.hint == f"Write a comma between path and label, where there is {called}."


def test_backslashes_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _list(tmp_path, "Dive\\a.mp4,0\r\nRun\\a.mp4,1\r\n")
    with pytest.raises(VideoError, match="line 1: there is no file") as caught:
        find_videos(path)
    assert caught.value.hint == "Write / for \\ in paths."
    with pytest.raises(SystemExit) as ended:
        main(["data", "check", str(path)])
    assert ended.value.code == 3
    shown = capsys.readouterr().err
    assert "Write / for \\ in paths." in shown
    assert "Unpack or download" not in shown


def test_labels_that_count_from_1_are_noted_where_the_folders_say_otherwise(tmp_path: Path) -> None:
    path = _list(tmp_path, "Dive/a.mp4,1\nRun/a.mp4,2\nWave/a.mp4,3\n")
    [note] = find_split(path, "test", classes=["Dive", "Run", "Wave", "Zip"]).notes
    assert note == "Dive/a.mp4 lies in Dive, which is class 0, and its label is 1 (Run): labels count from 0."
    [note] = find_split(path, "test").notes
    assert note == "Labels go from 1 to 3, and no video has 0: labels count from 0."
    path.write_text("Dive/a.mp4,0\nRun/a.mp4,1\nWave/a.mp4,2\n", encoding="utf-8")
    assert find_split(path, "test", classes=["Dive", "Run", "Wave", "Zip"]).notes == ()
    assert find_split(path, "test").notes == ()
