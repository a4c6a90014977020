"""Numbers, names and the order of classes: the same rule whatever the source is."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from dvfl_mobile.data.classes import ClassNames, in_order, is_almost_a_number, loosely, number_in, read_number
from dvfl_mobile.data.datasets import find_split
from dvfl_mobile.data.videos import find_videos
from dvfl_mobile.errors import VideoError
from dvfl_mobile.evaluation.videos import VideoSelection, choose
from dvfl_mobile.model.class_names import numbered_names
from dvfl_mobile.training.clips.sources import Sources, find_sources

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def _dvfl(folder: Path, train: dict[str, int], val: dict[str, int]) -> Path:
    """DVFL-Net's lists, one video for each class and its number."""
    for split, numbers in (("train", train), ("val", val)):
        _touch(folder, *(f"{split}/{name}/{split}.mp4" for name in numbers))
        lines = [f"{split}/{name}/{split}.mp4,{number}\n" for name, number in numbers.items()]
        (folder / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
    return folder


def _labels(source: Path, classes: list[str] | None = None) -> dict[str, int | None]:
    return {ref.path.parent.name: ref.label for ref in find_split(source, "train", classes=classes).refs}


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("007", 7), ("999999999", 999999999)])
def test_a_number_is_digits(text: str, number: int) -> None:
    assert read_number(text) == number
    assert not is_almost_a_number(text)


@pytest.mark.parametrize("text", ["0.0", "-1", "+1", "1e3", "nan", "inf", "٣", "1_0", "1234567890"])
def test_what_only_looks_like_a_number_is_none(text: str) -> None:
    assert read_number(text) is None
    assert is_almost_a_number(text)


def test_numbered_names_are_in_the_order_of_their_numbers() -> None:
    assert in_order(["class_10", "class_2", "class_0"]) == ("class_0", "class_2", "class_10")
    assert in_order(["10", "9", "1"]) == ("1", "9", "10")
    assert in_order(["10 Wave", "2 Run", "1 Walk"]) == ("1 Walk", "2 Run", "10 Wave")
    assert in_order(["run", "class_10", "class_2"]) == ("class_10", "class_2", "run")
    assert in_order(["2 hands", "02 feet"]) == ("02 feet", "2 hands")  # one number twice is no order
    assert [number_in(name) for name in ("class_7", "Class 7", "7", "7_x", "x7", "7x")] == [7, 7, 7, 7, None, None]


def test_folders_with_the_names_that_nobody_gave_have_their_own_numbers(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"class_{index}/a.mp4" for index in range(12)))
    assert _labels(tmp_path) == {f"class_{index}": index for index in range(12)}
    _touch(tmp_path / "split", *(f"{split}/{index}/a.mp4" for split in ("train", "test") for index in range(12)))
    assert _labels(tmp_path / "split") == {str(index): index for index in range(12)}


def test_a_name_is_the_same_in_any_unicode_form(tmp_path: Path) -> None:
    assert loosely(COMPOSED) == loosely(DECOMPOSED)
    assert ClassNames(["a", DECOMPOSED]).find(COMPOSED) == 1
    _touch(tmp_path / "folders", f"{DECOMPOSED}/a.mp4", f"{COMPOSED}/b.mp4", "Zoo/c.mp4")
    refs = find_videos(tmp_path / "folders")
    assert {ref.class_name for ref in refs} == {COMPOSED, "Zoo"}
    assert {ref.label for ref in find_videos(tmp_path / "folders", ["Zoo", COMPOSED])} == {0, 1}
    _touch(tmp_path, f"{DECOMPOSED}.mp4", "b.mp4")
    (tmp_path / "list.csv").write_text(f"{COMPOSED}.mp4,{COMPOSED}\nb.mp4,{DECOMPOSED}\n", encoding="utf-8")
    assert [ref.label for ref in find_videos(tmp_path / "list.csv")] == [0, 0]


def test_an_index_that_names_another_class_is_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4")
    (tmp_path / "list.csv").write_text("a.mp4,1\n", encoding="utf-8")
    assert find_videos(tmp_path / "list.csv", ["0", "1"])[0].label == 1
    with pytest.raises(VideoError, match="line 1: 1 is an index, and also the name of class 0"):
        find_videos(tmp_path / "list.csv", ["1", "2"])


@pytest.mark.parametrize("label", ["0.0", "-1", "nan"])
def test_a_label_that_only_looks_like_a_number_is_no_class(label: str, tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4")
    (tmp_path / "list.csv").write_text(f"a.mp4,{label}\n", encoding="utf-8")
    with pytest.raises(VideoError, match=f"line 1: {label} is neither an index nor a class's name"):
        find_videos(tmp_path / "list.csv")
    assert find_videos(tmp_path / "list.csv", [label])[0].label == 0
    _touch(tmp_path, "b.mp4")
    (tmp_path / "list.csv").write_text(f"b.mp4,0\na.mp4,{label}\n", encoding="utf-8")
    with pytest.raises(VideoError, match=f"line 2: {label} is neither an index nor a class's name"):
        find_videos(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("train", "val", "message"),
    [
        ({"Wave": 2, "Run": 3}, {"Wave": 2}, "numbers 2 classes up to 3 .Run., and none of them is 0"),
        ({"Wave": 1, "Run": 2}, {"Wave": 1}, "none of them is 0"),
        ({"Wave": 0, "Run": 2}, {"Wave": 0}, r"up to 2 \(Run\), and none of them is 1"),
        ({"Wave": 0, "Run": 1}, {"Wave": 1, "Run": 0}, "the class Wave has two numbers, 0 and 1"),
        ({"Wave": 0, "Run": 1}, {"wave": 1}, "the class Wave has two numbers, 0 and 1"),
        ({"Wave": 0, "Run": 0}, {"Wave": 0}, "Wave and Run are both class 0"),
    ],
)
def test_numbers_that_are_not_the_networks_are_refused(
    train: dict[str, int], val: dict[str, int], message: str, tmp_path: Path
) -> None:
    with pytest.raises(VideoError, match=message):
        find_split(_dvfl(tmp_path, train, val), "train")


def test_with_a_models_names_the_names_count_and_other_numbers_are_noted(tmp_path: Path) -> None:
    folder = _dvfl(tmp_path, {"Wave": 2, "Run": 3}, {"Wave": 2, "Run": 3})
    assert _labels(folder, ["Run", "Wave"]) == {"Run": 0, "Wave": 1}
    notes = find_split(folder, "train", classes=["Run", "Wave"]).notes
    assert "The lists number Wave 2, and for the model it is 1: names count." in notes
    assert not find_split(folder, "train", classes=["a", "b", "wave", "run"]).notes


def _ucf(folder: Path, index: str | None, train: str, test: str) -> Path:
    _touch(folder, *(f"{name}/{video}.avi" for name in ("Wave", "Run") for video in "ab"))
    lists = {"trainlist01.txt": train, "testlist01.txt": test} | ({"classInd.txt": index} if index else {})
    for name, text in lists.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


TRAIN, TEST = "Wave/a.avi 1\nRun/a.avi 2\n", "Wave/b.avi\nRun/b.avi\n"


@pytest.mark.parametrize("index", ["1 Wave\n2 Run\n", "0 Wave\n1 Run\n", None])
def test_ucfs_numbers_give_the_order(index: str | None, tmp_path: Path) -> None:
    train = TRAIN.replace("1", "0").replace("2", "1") if index and index.startswith("0") else TRAIN
    assert _labels(_ucf(tmp_path, index, train, TEST)) == {"Wave": 0, "Run": 1}


@pytest.mark.parametrize(
    ("index", "train", "message"),
    [
        ("1 Wave\n3 Run\n", TRAIN, "the class Run has two numbers"),
        ("1 Wave\n3 Run\n", TRAIN.replace("2", "3"), "none of them is 2"),
        ("1 Wave\n1 Run\n", TRAIN, "both class 1"),
        (None, "Wave/a.avi 1\n", "Run/b.avi is of the class Run, which is none"),
    ],
)
def test_ucfs_numbers_that_contradict_are_refused(index: str | None, train: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=message):
        find_split(_ucf(tmp_path, index, train, TEST), "test")


def _numbers(folder: Path, *labels: int) -> str:
    """A list of as many videos as there are labels."""
    _touch(folder, *(f"{index}.mp4" for index in range(len(labels))))
    lines = [f"{index}.mp4,{label}\n" for index, label in enumerate(labels)]
    (folder / "list.csv").write_text("".join(lines), encoding="utf-8")
    return str(folder / "list.csv")


def _sources(data: str, class_count: int | None = None) -> Sources:
    return find_sources(data, "none", data_root=None, classes=None, class_count=class_count, seed=0, allow_leaks=False)


def test_a_list_of_numbers_is_trained_on_under_the_names_that_nobody_gave(tmp_path: Path) -> None:
    found = _sources(_numbers(tmp_path, 2, 0, 1, 1))
    assert found.classes == ("class_0", "class_1", "class_2")
    assert [(ref.label, ref.class_name) for ref in found.train][:2] == [(2, "class_2"), (0, "class_0")]
    assert _sources(_numbers(tmp_path, 0, 3), class_count=5).classes == numbered_names(5)


@pytest.mark.parametrize(
    ("labels", "class_count", "message"),
    [
        ((1, 2, 3), None, "labels up to 3, and no video of class 0"),
        ((0, 2), None, "labels up to 2, and no video of class 1"),
        ((0, 4), 4, r"1\.mp4 has the label 4, and the teacher has 4 classes, 0 to 3"),
        ((400, 7), 8, r"0\.mp4 has the label 400"),
    ],
)
def test_numbers_that_are_no_classes_are_refused_before_training(
    labels: tuple[int, ...], class_count: int | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(VideoError, match=message):
        _sources(_numbers(tmp_path, *labels), class_count)


@pytest.mark.parametrize(
    ("names", "wrong"),
    [
        (("class_0", "class_1"), None),
        (("Run", "Wave"), None),
        (("class_1", "class_2"), "class_1 would be class 0"),
        (("0", "2"), "2 would be class 1"),
        (("1 Walk", "2 Run"), "1 Walk would be class 0"),
    ],
)
def test_a_network_without_names_takes_numbered_folders_by_their_numbers(
    names: tuple[str, ...], wrong: str | None, tmp_path: Path
) -> None:
    _touch(tmp_path, *(f"{name}/a.mp4" for name in names))
    selection = VideoSelection(tmp_path, "test", None, None, allow_leaks=False)
    if wrong is None:
        assert choose(numbered_names(2), selection, "checkpoint").classes == in_order(names)
    else:
        with pytest.raises(VideoError, match=wrong):
            choose(numbered_names(2), selection, "checkpoint")
