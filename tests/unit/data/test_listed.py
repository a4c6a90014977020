"""Listed videos are found one for one: by their paths, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dvfl_mobile.data.check import check_data
from dvfl_mobile.data.datasets import find_split
from dvfl_mobile.errors import VideoError

CLASSES = ("Archery", "Diving")


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


def _found(folder: Path, split: str = "train") -> dict[str, str | None]:
    return {ref.name: ref.class_name for ref in find_split(folder, split).refs}  # type: ignore[arg-type]


def _ucf(folder: Path, train: str, test: str) -> Path:
    lists = folder / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    (lists / "classInd.txt").write_text("1 Archery\n2 Diving\n")
    (lists / "trainlist01.txt").write_text(train)
    (lists / "testlist01.txt").write_text(test)
    return folder


def _dvfl(folder: Path, train: str, val: str) -> Path:
    (folder / "train.csv").write_text(train)
    (folder / "val.csv").write_text(val)
    return folder


UCF_LISTS = "Archery/001.mp4 1\nDiving/001.mp4 2\n", "Archery/002.mp4\nDiving/002.mp4\n"


def test_files_of_one_name_in_several_classes_are_each_of_their_own(tmp_path: Path) -> None:
    _touch(_ucf(tmp_path, *UCF_LISTS), *(f"{name}/00{index}.mp4" for name in CLASSES for index in (1, 2)))
    assert _found(tmp_path) == {"Archery/001.mp4": "Archery", "Diving/001.mp4": "Diving"}
    assert check_data(str(tmp_path)).is_whole


def test_another_classs_file_stands_in_for_none_that_is_missing(tmp_path: Path) -> None:
    _touch(_ucf(tmp_path, *UCF_LISTS), "Diving/001.mp4", "Archery/002.mp4", "Diving/002.mp4", "001.mp4")
    split = find_split(tmp_path, "train")
    assert [ref.name for ref in split.refs] == ["Diving/001.mp4"]
    assert split.missing == ("Archery/001.mp4",)
    assert not check_data(str(tmp_path)).is_whole


def test_a_second_match_is_refused(tmp_path: Path) -> None:
    _touch(_ucf(tmp_path, *UCF_LISTS), "a/Archery/001.mp4", "b/Archery/001.mp4")
    with pytest.raises(VideoError, match=r"Archery/001\.mp4, which could be a/Archery/001\.mp4 or b/Archery/001\.mp4"):
        find_split(tmp_path, "train")


def test_the_listed_ending_decides_between_two_and_else_neither(tmp_path: Path) -> None:
    _touch(_ucf(tmp_path, *UCF_LISTS), "Archery/001.mp4", "Archery/001.avi", "Diving/001.webm")
    assert _found(tmp_path) == {"Archery/001.mp4": "Archery", "Diving/001.webm": "Diving"}
    _touch(tmp_path, "Diving/001.mkv")
    with pytest.raises(VideoError, match=r"Diving/001\.mp4, which could be"):
        find_split(tmp_path, "train")


@pytest.mark.parametrize("inner", ["", "videos/", "UCF-101/"])
@pytest.mark.parametrize("name", ["Archery", "archery"])
def test_videos_may_lie_deeper_or_in_folders_spelled_otherwise(inner: str, name: str, tmp_path: Path) -> None:
    _touch(_ucf(tmp_path, *UCF_LISTS), f"{inner}{name}/001.avi")
    assert _found(tmp_path) == {f"{inner}{name}/001.avi": "Archery"}


@pytest.mark.parametrize("folder", ["", "elsewhere/"])
def test_ucfs_own_names_tell_the_class_wherever_they_lie(folder: str, tmp_path: Path) -> None:
    name = "v_Archery_g08_c01.avi"
    _touch(_ucf(tmp_path, f"Archery/{name} 1\nDiving/v_Diving_g08_c01.avi 2\n", ""), folder + name)
    assert _found(tmp_path) == {folder + name: "Archery"}


def test_a_path_may_have_blanks_and_one_that_has_backslashes_is_named(tmp_path: Path) -> None:
    _touch(_ucf(tmp_path, "Archery/my own video.mp4 1\nDiving/001.mp4 2", ""), "Archery/my own video.mp4")
    assert _found(tmp_path) == {"Archery/my own video.mp4": "Archery"}
    (tmp_path / "ucfTrainTestlist/trainlist01.txt").write_text("Archery\\a.mp4 1\n")
    with pytest.raises(VideoError, match="line 1: expected") as caught:
        find_split(tmp_path, "train")
    assert caught.value.hint == "Write / for \\ in paths."


DVFL_LISTS = (
    "train/Archery/001.mp4,0\ntrain/Diving/001.mp4,1\n",
    "val/Archery/001.mp4,0\nval/Diving/001.mp4,1\n",
)


def test_a_test_video_is_never_trained_on_in_anothers_place(tmp_path: Path) -> None:
    _touch(_dvfl(tmp_path, *DVFL_LISTS), *(f"{split}/{name}/001.mp4" for split in ("train", "val") for name in CLASSES))
    assert _found(tmp_path) == {"train/Archery/001.mp4": "Archery", "train/Diving/001.mp4": "Diving"}
    assert _found(tmp_path, "test") == {"val/Archery/001.mp4": "Archery", "val/Diving/001.mp4": "Diving"}
    (tmp_path / "train/Archery/001.mp4").unlink()
    assert find_split(tmp_path, "train").missing == ("train/Archery/001.mp4",)
    assert _found(tmp_path) == {"train/Diving/001.mp4": "Diving"}


def test_one_file_can_not_be_two_listed_videos(tmp_path: Path) -> None:
    _touch(_dvfl(tmp_path, *DVFL_LISTS), "Archery/001.mp4", "Diving/001.mp4")
    with pytest.raises(VideoError, match=r"train/Archery/001\.mp4 and val/Archery/001\.mp4 would both be the one file"):
        find_split(tmp_path, "train")


@pytest.mark.parametrize("before", ["/home/somebody/UCF50/", "./data/UCF50/train/", "../"])
def test_paths_from_elsewhere_are_found_by_what_they_end_in(before: str, tmp_path: Path) -> None:
    train = f"{before}Archery/001.mp4,0\n{before}Diving/002.mp4,1\n"
    _touch(_dvfl(tmp_path, train, f"{before}Archery/003.mp4,0"), "videos/Archery/001.mp4", "videos/Diving/002.mp4")
    assert _found(tmp_path) == {"videos/Archery/001.mp4": "Archery", "videos/Diving/002.mp4": "Diving"}


def test_a_first_line_that_names_a_video_is_no_header(tmp_path: Path) -> None:
    _touch(_dvfl(tmp_path, "train/Archery/001.mp4,zero\n", "val/Archery/001.mp4,0\n"), "train/Archery/001.mp4")
    with pytest.raises(VideoError, match=r"train\.csv, line 1: expected"):
        find_split(tmp_path, "train")


def test_a_video_listed_twice_counts_once_and_not_in_two_classes(tmp_path: Path) -> None:
    _touch(_ucf(tmp_path, UCF_LISTS[0] + "Archery/001.mp4 1\n", ""), "Archery/001.mp4", "Diving/001.mp4")
    split = find_split(tmp_path, "train")
    assert len(split.refs) == 2
    assert "1 line of trainlist01.txt name a video a second time: it counts once." in split.notes
    folder = tmp_path / "ssv2"
    _touch(folder, "videos/1.webm", "videos/2.webm")
    (folder / "labels").mkdir()
    (folder / "labels/labels.json").write_text('{"A": "0", "B": "1"}')
    entries = [{"id": number, "template": name} for number, name in (("1", "A"), ("2", "B"), ("1", "B"))]
    for name in ("train", "validation"):
        (folder / f"labels/{name}.json").write_text(json.dumps(entries))
    with pytest.raises(VideoError, match="1 is listed as A and as B"):
        find_split(folder, "train")


def test_two_copies_of_a_video_that_is_listed_without_ending_are_one_too_many(tmp_path: Path) -> None:
    header = "label,youtube_id,time_start,time_end,split\n"
    (tmp_path / "train.csv").write_text(f"{header}zoo,x,10,20,train\n")
    _touch(tmp_path, "train/x_000010_000020.mp4", "train/x_000010_000020.mkv")
    assert [ref.path.suffix for ref in find_split(tmp_path, "train").refs] == [".mp4"]
    (tmp_path / "train/x_000010_000020.mp4").rename(tmp_path / "train/x_000010_000020.webm")
    with pytest.raises(VideoError, match="which could be"):
        find_split(tmp_path, "train")
