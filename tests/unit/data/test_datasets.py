"""Every source of videos, and every list that can't be meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dvfl_mobile.data.videos import VideoRef, by_group, find_videos
from dvfl_mobile.errors import VideoError

CLASSES = ["ApplyEyeMakeup", "Archery", "Basketball"]


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def _labels(refs: list[VideoRef]) -> dict[str, tuple[int | None, str | None]]:
    return {ref.name: (ref.label, ref.class_name) for ref in refs}


def test_one_video_is_unlabelled_whatever_its_ending(tmp_path: Path) -> None:
    path = _touch(tmp_path, "clip.bin") / "clip.bin"
    assert find_videos(path, CLASSES) == [VideoRef(path, name="clip.bin")]


def test_one_ucf_video_tells_its_class_and_group(tmp_path: Path) -> None:
    path = _touch(tmp_path, "v_Archery_g07_c02.avi") / "v_Archery_g07_c02.avi"
    assert find_videos(path, CLASSES) == [VideoRef(path, 1, "Archery", 7, "v_Archery_g07_c02.avi")]
    assert find_videos(path, ["walk", "run"]) == [VideoRef(path, None, None, 7, "v_Archery_g07_c02.avi")]


def test_a_folder_of_videos_is_unlabelled_and_in_order(tmp_path: Path) -> None:
    _touch(tmp_path, "b.mp4", "a.AVI", "notes.txt", ".hidden.mp4", "c.webm")
    assert _labels(find_videos(tmp_path, CLASSES)) == {
        "a.AVI": (None, None),
        "b.mp4": (None, None),
        "c.webm": (None, None),
    }
    assert [ref.name for ref in find_videos(tmp_path)] == ["a.AVI", "b.mp4", "c.webm"]


def test_each_folder_is_a_class(tmp_path: Path) -> None:
    _touch(
        tmp_path,
        "Archery/b.mp4",
        "Archery/._b.mp4",
        "Archery/deep/a.mp4",
        "apply_eye makeup/x.avi",
        "annotations/list.txt",
    )
    assert _labels(find_videos(tmp_path, CLASSES)) == {
        "Archery/b.mp4": (1, "Archery"),
        "Archery/deep/a.mp4": (1, "Archery"),
        "apply_eye makeup/x.avi": (0, "ApplyEyeMakeup"),
    }


def test_without_classes_the_folders_are_the_classes(tmp_path: Path) -> None:
    _touch(tmp_path, "walk/a.mp4", "run/b.mp4", "jump/c.mp4", "empty/list.txt")
    assert _labels(find_videos(tmp_path)) == {
        "jump/c.mp4": (0, "jump"),
        "run/b.mp4": (1, "run"),
        "walk/a.mp4": (2, "walk"),
    }


def test_somebody_elses_folders_are_unlabelled(tmp_path: Path) -> None:
    _touch(tmp_path, "2024/a.mp4", "2025/b.mp4")
    assert _labels(find_videos(tmp_path, CLASSES)) == {"2024/a.mp4": (None, None), "2025/b.mp4": (None, None)}
    _touch(tmp_path, "c.mp4")
    assert set(_labels(find_videos(tmp_path, CLASSES)).values()) == {(None, None)}
    assert len(find_videos(tmp_path)) == 3


def test_a_folder_that_is_no_class_among_some_that_are_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "Archery/a.mp4", "Curling/b.mp4")
    with pytest.raises(VideoError, match=r"doesn't know: Curling\. It knows ApplyEyeMakeup, Archery, Basketball"):
        find_videos(tmp_path, CLASSES)


def test_a_video_beside_class_folders_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "Archery/a.mp4", "stray.mp4")
    with pytest.raises(VideoError, match=r"stray\.mp4 lies beside"):
        find_videos(tmp_path, CLASSES)


def test_ucf_names_give_classes_and_groups_in_either_layout(tmp_path: Path) -> None:
    flat = _touch(tmp_path / "flat", "v_Archery_g01_c01.avi", "v_Basketball_g12_c03.avi")
    nested = _touch(tmp_path / "nested", "Archery/v_Archery_g01_c01.avi", "Basketball/v_Basketball_g12_c03.avi")
    for folder in (flat, nested):
        refs = find_videos(folder, CLASSES)
        assert [(ref.label, ref.class_name, ref.group) for ref in refs] == [(1, "Archery", 1), (2, "Basketball", 12)]
    _touch(flat, "holiday.mp4")
    assert set(_labels(find_videos(flat, CLASSES)).values()) == {(None, None)}


def test_names_alike_but_for_case_and_spaces_go_to_the_exact_one(tmp_path: Path) -> None:
    _touch(tmp_path, "hand stand/a.mp4", "HandStand/b.mp4")
    labels = _labels(find_videos(tmp_path, ["HandStand", "hand stand"]))
    assert labels == {"hand stand/a.mp4": (1, "hand stand"), "HandStand/b.mp4": (0, "HandStand")}
    _touch(tmp_path, "handstand/c.mp4")
    with pytest.raises(VideoError, match="doesn't know: handstand"):
        find_videos(tmp_path, ["HandStand", "hand stand"])


@pytest.mark.parametrize("header", ["", "path,label\n", "\ufeffVideo, Class\n"])
def test_a_list_of_names_indices_commas_and_spaces(header: str, tmp_path: Path) -> None:
    _touch(tmp_path / "videos", "a.mp4", "b, c.mp4", "d e.mp4", "v_Archery_g03_c01.avi")
    listed = tmp_path / "list.csv"
    listed.write_text(
        f'{header}videos/a.mp4,2\n"videos/b, c.mp4", "apply eye makeup"\n\nvideos/d e.mp4,archery\n'
        f"{tmp_path}/videos/v_Archery_g03_c01.avi,1\n",
        encoding="utf-8",
    )
    refs = find_videos(listed, CLASSES)
    assert [(ref.path.name, ref.label, ref.class_name, ref.group) for ref in refs] == [
        ("a.mp4", 2, "Basketball", None),
        ("b, c.mp4", 0, "ApplyEyeMakeup", None),
        ("d e.mp4", 1, "Archery", None),
        ("v_Archery_g03_c01.avi", 1, "Archery", 3),
    ]
    assert all(ref.path.exists() for ref in refs)


def test_a_list_without_classes_keeps_indices_or_orders_names(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4", "b.mp4")
    listed = tmp_path / "list.csv"
    listed.write_text("a.mp4,400\nb.mp4,7\n")
    assert [(ref.label, ref.class_name) for ref in find_videos(listed)] == [(400, None), (7, None)]
    listed.write_text("a.mp4,walk\nb.mp4,run\n")
    assert [(ref.label, ref.class_name) for ref in find_videos(listed)] == [(1, "walk"), (0, "run")]


WRONG_LISTS = {
    "": "lists no videos",
    "path,label\n": "lists no videos",
    "a.mp4,1\ngone.mp4,1\nlost.mp4,2\n": r"line 2: there is no file .*gone\.mp4, and 1 more",
    "a.mp4,1\nb.mp4,1\nsub/../a.mp4,2\n": r"line 3: sub/\.\./a\.mp4 is listed already, in line 1",
    "a.mp4,1\nb.mp4,3\n": "line 2: 3 is not one of the 3 classes",
    "a.mp4,1\nb.mp4,Curling\n": "line 2: Curling is not one of the 3 classes: ApplyEyeMakeup",
    "a.mp4,-1\n": "line 1: -1 is not one of",
    "a.mp4\n": "line 1: expected `path,label`, found 1 cells",
    "a.mp4,\n": "line 1: expected `path,label`",
    "a, b.mp4,1\n": "line 1: expected `path,label`, found 3 cells",
    'a.mp4,1\n"b.mp4,1\n': "line 2",
}


@pytest.mark.parametrize("text", WRONG_LISTS)
def test_a_list_that_cannot_be_meant_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4", "b.mp4")
    listed = tmp_path / "list.csv"
    listed.write_text(text)
    with pytest.raises(VideoError, match=WRONG_LISTS[text]) as caught:
        find_videos(listed, CLASSES)
    assert str(listed) in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"a.mp4,\xff\xfe\n", b"a.mp4,1\x00\n", b"\x89PNG\r\n\x1a\n\x00\x00"])
def test_a_list_that_is_no_text_is_refused(content: bytes, tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4")
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(VideoError, match=re.escape(str(tmp_path / "list.csv"))):
        find_videos(tmp_path / "list.csv", CLASSES)


def test_names_and_indices_mixed_without_classes_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "list.csv").write_text("a.mp4,walk\nb.mp4,1\n")
    with pytest.raises(VideoError, match="some labels as numbers and some as names"):
        find_videos(tmp_path / "list.csv")


def test_sources_with_nothing_in_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not exist"):
        find_videos(tmp_path / "gone")
    with pytest.raises(VideoError, match="holds no videos") as caught:
        find_videos(_touch(tmp_path / "empty", "notes.txt", "sub/list.txt"))
    assert ".mp4" in caught.value.hint


def test_a_folder_that_ends_like_a_video_is_no_video(tmp_path: Path) -> None:
    _touch(tmp_path, "clips.mp4/a.avi")
    assert [ref.name for ref in find_videos(tmp_path)] == ["clips.mp4/a.avi"]


def test_groups_go_whole_to_one_side(tmp_path: Path) -> None:
    names = [f"Archery/v_Archery_g{group:02}_c{clip:02}.avi" for group in range(1, 26) for clip in (1, 2)]
    train, test = by_group(find_videos(_touch(tmp_path, *names), CLASSES))
    assert {ref.group for ref in test} == set(range(1, 8))
    assert {ref.group for ref in train} == set(range(8, 26))
    assert len(train) + len(test) == 50
    with pytest.raises(VideoError, match="tells no group"):
        by_group([VideoRef(tmp_path / "a.mp4")])


def test_the_real_clips_split_as_their_manifest_says(ucf8: Path) -> None:
    import csv

    with (ucf8 / "manifest.csv").open(newline="") as file:
        split = {f"{row['class']}/{row['file']}": row["split"] for row in csv.DictReader(file)}
    refs = find_videos(ucf8)
    assert {ref.name for ref in refs} == set(split)
    assert len({ref.label for ref in refs}) == 8
    train, test = by_group(refs)
    assert len(test) == 112
    assert all(split[ref.name] == "train" for ref in train)
    assert all(split[ref.name] == "test" for ref in test)
