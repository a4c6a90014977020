"""The split of every published layout, of anybody's folder and of a list; and what is said where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dvfl_mobile.data.datasets import DATA_SETS, Split, find_split
from dvfl_mobile.data.root import DATA_VARIABLE
from dvfl_mobile.errors import VideoError

UCF = [f"{name}/v_{name}_g{group:02}_c01.avi" for name in ("Archery", "Diving") for group in (1, 7, 8, 25)]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data sets but those that a test makes."""
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")


def _touch(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def _labels(split: Split) -> dict[str, tuple[int | None, str | None]]:
    return {ref.name: (ref.label, ref.class_name) for ref in split.refs}


def _both(source: str | Path, **options: object) -> tuple[Split, Split]:
    """Both splits, which share no file and give one class one label."""
    train, test = (find_split(source, split, **options) for split in ("train", "test"))  # type: ignore[arg-type]
    assert not {ref.path for ref in train.refs} & {ref.path for ref in test.refs}
    assert all(ref.path.is_file() for ref in train.refs + test.refs)
    assert train.classes == test.classes
    for ref in train.refs + test.refs:
        assert ref.label is None or train.classes[ref.label] == ref.class_name
    return train, test


def ucf50(root: Path) -> None:
    _touch(root / "UCF50", *UCF)


def ucf101(root: Path) -> None:
    _touch(root / "UCF-101", *UCF)
    lists = root / "ucfTrainTestlist"
    _write(lists / "classInd.txt", "1 Diving\r\n2 Archery\r\n")
    train = [f"{name} {1 + name.startswith('A')}" for name in UCF if "_g08" in name or "_g25" in name]
    _write(lists / "trainlist01.txt", "\r\n".join([*train, "Archery/v_Archery_g09_c01.avi 2", ""]))
    _write(lists / "testlist01.txt", "\n".join(name for name in UCF if "_g01" in name or "_g07" in name))


def hmdb51(root: Path) -> None:
    lists = root / "hmdb51_org" / "testTrainMulti_7030_splits"
    for name in ("wave", "brush_hair"):
        videos = ["a (1).avi", "b#2.avi", "c&d;e.avi"]
        _touch(root / "hmdb51_org", *(f"{name}/{video}" for video in videos))
        _write(
            lists / f"{name}_test_split1.txt",
            "".join(f"{video} {mark} \n" for video, mark in zip([*videos, "gone.avi"], (1, 2, 0, 1), strict=True)),
        )
        _write(lists / f"{name}_test_split2.txt", "not read")


def ssv2(root: Path) -> None:
    folder = root / "something-something-v2"
    _touch(folder / "20bn-something-something-v2", *(f"{index}.webm" for index in range(1, 5)))
    entries = [
        {"id": str(index), "label": "holding pen", "template": template, "placeholders": ["pen"]}
        for index, template in enumerate(["Holding [something]", "Putting [something] on [something]"] * 3, 1)
    ]
    _write(folder / "labels" / "train.json", json.dumps(entries[:2] + entries[4:]))
    _write(folder / "labels" / "validation.json", json.dumps(entries[2:4]))
    labels = {"Putting something on something": "0", "Holding something": "1"}
    _write(folder / "labels" / "labels.json", json.dumps(labels))


def kinetics400(root: Path) -> None:
    videos = ["a b/-0_x_000010_000020.mp4", "zoo/y.mp4"]
    _touch(root / "k400", *(f"train/{name}" for name in videos), "val/a b/v.mp4", "test/c.mp4", "annotations/x.txt")


def kinetics_lists(root: Path) -> None:
    folder = root / "kinetics_400"
    header = "label,youtube_id,time_start,time_end,split\n"
    _write(folder / "annotations/train.csv", f'{header}zoo,-0_x,10,20,train\n"eat, well",y,0,10,train\nzoo,z,1,2,train')
    _write(folder / "annotations/validate.csv", f'{header}"eat, well",v,100,110,val\n')
    _touch(folder, "train/-0_x_000010_000020.mp4", "train/y_000000_000010.mkv", "val/v_000100_000110.mp4")


MADE: dict[Callable[[Path], None], tuple[str, dict[str, tuple[int, str]], dict[str, tuple[int, str]]]] = {
    ucf50: (
        "ucf50",
        {name: (int(name > "B"), name.split("/")[0]) for name in UCF if "_g08" in name or "_g25" in name},
        {name: (int(name > "B"), name.split("/")[0]) for name in UCF if "_g01" in name or "_g07" in name},
    ),
    ucf101: (
        "ucf101",
        {name: (int(name < "B"), name.split("/")[0]) for name in UCF if "_g08" in name or "_g25" in name},
        {name: (int(name < "B"), name.split("/")[0]) for name in UCF if "_g01" in name or "_g07" in name},
    ),
    hmdb51: (
        "hmdb51",
        {"brush_hair/a (1).avi": (0, "brush_hair"), "wave/a (1).avi": (1, "wave")},
        {"brush_hair/b#2.avi": (0, "brush_hair"), "wave/b#2.avi": (1, "wave")},
    ),
    ssv2: (
        "ssv2",
        {
            "20bn-something-something-v2/1.webm": (1, "Holding something"),
            "20bn-something-something-v2/2.webm": (0, "Putting something on something"),
        },
        {
            "20bn-something-something-v2/3.webm": (1, "Holding something"),
            "20bn-something-something-v2/4.webm": (0, "Putting something on something"),
        },
    ),
    kinetics400: (
        "kinetics400",
        {"a b/-0_x_000010_000020.mp4": (0, "a b"), "zoo/y.mp4": (1, "zoo")},
        {"a b/v.mp4": (0, "a b")},
    ),
    kinetics_lists: (
        "kinetics400",
        {"train/-0_x_000010_000020.mp4": (1, "zoo"), "train/y_000000_000010.mkv": (0, "eat, well")},
        {"val/v_000100_000110.mp4": (0, "eat, well")},
    ),
}
made = pytest.mark.parametrize("make", MADE, ids=lambda make: make.__name__)


@made
def test_each_published_layout_gives_its_split(make: Callable[[Path], None], tmp_path: Path) -> None:
    name, in_train, in_test = MADE[make]
    make(tmp_path / "data")
    train, test = _both(name.upper(), data_root=tmp_path / "data")
    assert _labels(train) == in_train
    assert _labels(test) == in_test
    assert (train.source, test.source) == (f"{name}, training split", f"{name}, test split")
    assert train.is_split
    assert test.is_split


@made
def test_a_layout_is_known_by_its_folders_path_too(make: Callable[[Path], None], tmp_path: Path) -> None:
    _, in_train, in_test = MADE[make]
    make(tmp_path / "data")
    [folder] = (path for path in (tmp_path / "data").iterdir() if path.name != "ucfTrainTestlist")
    train, test = _both(folder)
    assert (_labels(train), _labels(test)) == (in_train, in_test)
    assert train.source == f"{folder}, training split"


@pytest.mark.parametrize("make", [hmdb51, ssv2, kinetics_lists], ids=lambda make: make.__name__)
def test_lists_inside_a_folder_of_any_name_count(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "data")
    [folder] = (tmp_path / "data").iterdir()
    train, test = _both(folder.rename(tmp_path / "mine"))
    assert _labels(train) == MADE[make][1]
    assert _labels(test) == MADE[make][2]


@pytest.mark.parametrize(
    ("make", "note"),
    [
        (ucf101, "1 of 5 videos that trainlist01.txt lists are missing: Archery/v_Archery_g09_c01.avi."),
        (
            hmdb51,
            "2 of 4 videos that testTrainMulti_7030_splits lists are missing: brush_hair/gone.avi, wave/gone.avi.",
        ),
        (ssv2, "2 of 4 videos that train.json lists are missing: 5, 6."),
        (kinetics_lists, "1 of 3 videos that train.csv lists are missing: z_000001_000002."),
    ],
)
def test_listed_videos_that_are_missing_are_counted(make: Callable[[Path], None], note: str, tmp_path: Path) -> None:
    make(tmp_path)
    assert find_split(MADE[make][0], "train", data_root=tmp_path).notes == (note,)


@pytest.mark.parametrize("make", [ucf101, hmdb51, ssv2, kinetics_lists], ids=lambda make: make.__name__)
def test_a_list_of_which_nothing_is_there_is_an_error(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path)
    for path in [*tmp_path.rglob("*.*")]:
        if path.suffix in (".avi", ".webm", ".mp4", ".mkv"):
            path.rename(path.with_stem(f"other{path.stem}"))
    with pytest.raises(VideoError, match=r"Not one of the \d videos that .* lists for this split is in "):
        find_split(MADE[make][0], "train", data_root=tmp_path)


@made
def test_the_models_classes_give_the_labels(make: Callable[[Path], None], tmp_path: Path) -> None:
    name, in_train, _ = MADE[make]
    make(tmp_path)
    own = find_split(name, "train", data_root=tmp_path).classes
    model = ["something else", *(name.upper().replace("_", " ") for name in reversed(own))]
    split = find_split(name, "train", data_root=tmp_path, classes=model)
    assert split.classes == tuple(model)
    expected = {name: (len(own) - label, model[len(own) - label]) for name, (label, _) in in_train.items()}
    assert _labels(split) == expected


@made
def test_classes_that_the_model_knows_none_of_leave_no_labels_and_say_so(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path)
    split = find_split(MADE[make][0], "train", data_root=tmp_path, classes=["juggling"])
    assert {ref.label for ref in split.refs} == {None}
    assert f"{MADE[make][0]} tells no class that the model knows" in split.notes[-1]


@pytest.mark.parametrize("spelling", ["UCF50", "ucf-50", "Ucf_50"])
def test_a_folder_is_found_however_it_is_spelled(
    spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _touch(tmp_path / "data" / spelling, *UCF)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    assert len(find_split("ucf50", "train").refs) == 4
    assert len(find_split(spelling, "test").refs) == 4
    with pytest.raises(VideoError, match=r"ucf50 isn't here"):
        find_split("ucf50", "train", data_root=tmp_path)


def test_a_word_that_is_a_data_set_and_a_path_is_the_path_where_the_data_set_is_not(tmp_path: Path) -> None:
    _touch(tmp_path / "cwd" / "ucf101", *UCF)
    assert find_split("ucf101", "test").source == "ucf101, test split"


def test_ucf101_without_its_lists_is_split_by_group_which_is_the_same(tmp_path: Path) -> None:
    ucf101(tmp_path)
    listed = _both("ucf101", data_root=tmp_path)
    shutil.rmtree(tmp_path / "ucfTrainTestlist")
    grouped = _both("ucf101", data_root=tmp_path)
    for one, other in zip(listed, grouped, strict=True):
        assert {ref.path for ref in one.refs} == {ref.path for ref in other.refs}
        assert "groups: 1 to 7 are for testing" in other.notes[0]


def test_lists_of_another_data_set_beside_a_folder_are_left_alone(tmp_path: Path) -> None:
    ucf101(tmp_path)
    ucf50(tmp_path)
    _touch(tmp_path / "mine", "x/v_x_g08_c01.avi")
    assert len(find_split(tmp_path / "UCF50", "train").refs) == 4
    assert len(find_split(tmp_path / "mine", "train").refs) == 1


def test_videos_may_lie_one_folder_deeper(tmp_path: Path) -> None:
    ucf101(tmp_path / "ucf101")
    (tmp_path / "ucf101" / "UCF-101").rename(tmp_path / "ucf101" / "videos")
    train, test = _both("ucf101", data_root=tmp_path)
    assert len(train.refs) == len(test.refs) == 4
    assert train.classes == ("Diving", "Archery")


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("ucf50", ["Archery/holiday.avi"]),
        ("hmdb51", ["wave/a.avi"]),
        ("ssv2", ["videos/1.webm", "labels/train.json", "labels/validation.json"]),
        ("kinetics400", ["train/a.mp4"]),
    ],
)
def test_a_data_set_that_is_not_whole_is_refused_with_a_drawing(name: str, files: list[str], tmp_path: Path) -> None:
    _touch(tmp_path / name, *files)
    with pytest.raises(VideoError, match=f"{name} doesn't look as {name} should, so its training split") as caught:
        find_split(name, "train", data_root=tmp_path)
    assert DATA_SETS[name].drawing in caught.value.hint
    assert DATA_SETS[name].page in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_data_set_that_is_not_there_names_every_place(tmp_path: Path) -> None:
    with pytest.raises(VideoError) as caught:
        find_split("hmdb51", "train", data_root=tmp_path)
    for place in (tmp_path / "HMDB51", tmp_path / "hmdb51_org", "./hmdb51"):
        assert str(place) in caught.value.problem
    assert "brush_hair" in caught.value.hint
    assert "https://serre-lab" in caught.value.hint
    with pytest.raises(VideoError, match="DVFL_MOBILE_DATA isn't set"):
        find_split("hmdb51", "train")


def test_a_word_that_is_nothing_lists_the_names() -> None:
    with pytest.raises(VideoError, match="ucf11 is neither") as caught:
        find_split("ucf11", "train")
    assert caught.value.hint == "Known names are ucf50, ucf101, hmdb51, ssv2, kinetics400."


@pytest.mark.parametrize(
    ("make", "path", "content", "message"),
    [
        (
            ucf101,
            "ucfTrainTestlist/trainlist01.txt",
            "a.avi 1",
            r"line 1: expected <Class>/<video>\.avi, found a\.avi 1",
        ),
        (ucf101, "ucfTrainTestlist/classInd.txt", "\nArchery 1", "line 2: expected <number> <Class>, found Archery 1"),
        (hmdb51, "hmdb51_org/testTrainMulti_7030_splits/wave_test_split1.txt", "a.avi 3", "line 1: expected"),
        (ssv2, "something-something-v2/labels/train.json", '[{"id": "1"}]', "entry 0: expected an object with"),
        (ssv2, "something-something-v2/labels/train.json", "[", "is not JSON"),
        (ssv2, "something-something-v2/labels/train.json", '[{"id":"1","template":"X [a]"}]', "'X a' is no class"),
        (ssv2, "something-something-v2/labels/labels.json", '{"a": "1"}', "from 0 on"),
        (ssv2, "something-something-v2/labels/labels.json", "[]", "from 0 on"),
        (kinetics_lists, "kinetics_400/annotations/train.csv", "label,youtube_id\na,b\n", "line 2: expected label"),
        (kinetics_lists, "kinetics_400/annotations/train.csv", "\x00", "doesn't look"),
    ],
)
def test_a_damaged_list_is_refused_with_its_place(
    make: Callable[[Path], None], path: str, content: str, message: str, tmp_path: Path
) -> None:
    make(tmp_path)
    (tmp_path / path).write_text(content)
    with pytest.raises(VideoError, match=message) as caught:
        find_split(MADE[make][0], "train", data_root=tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize("test_folder", ["test", "val", "Validation"])
def test_anybodys_train_and_test_folders(test_folder: str, tmp_path: Path) -> None:
    _touch(tmp_path / "mine", "train/walk/a.mp4", "train/run/b.mp4", f"{test_folder}/walk/c.mp4", "notes/readme.txt")
    train, test = _both(tmp_path / "mine")
    assert _labels(train) == {"run/b.mp4": (0, "run"), "walk/a.mp4": (1, "walk")}
    assert _labels(test) == {"walk/c.mp4": (1, "walk")}
    assert train.notes == test.notes == ()
    assert find_split(tmp_path / "mine", "test", classes=["walk", "run"]).refs[0].label == 0


def test_of_test_and_val_the_test_folder_is_taken_and_the_other_named(tmp_path: Path) -> None:
    _touch(tmp_path / "mine", "train/walk/a.mp4", "test/walk/b.mp4", "val/walk/c.mp4")
    train, test = _both(tmp_path / "mine")
    assert _labels(test) == {"walk/b.mp4": (0, "walk")}
    assert train.notes == test.notes == (f"Of {tmp_path / 'mine'}, this is used in neither split: val.",)


def test_train_and_test_folders_that_share_ucf_groups_are_noted(tmp_path: Path) -> None:
    _touch(tmp_path / "mine", "train/Archery/v_Archery_g01_c01.avi", "test/Archery/v_Archery_g01_c02.avi")
    for split in _both(tmp_path / "mine"):
        assert split.notes == ("Training and test share 1 (class, group) pair: clips cut from one video are in both.",)


def test_a_folder_without_a_split_is_taken_whole_and_says_so(tmp_path: Path) -> None:
    _touch(tmp_path / "mine", "walk/a.mp4", "run/b.mp4")
    for name in ("train", "test"):
        split = find_split(tmp_path / "mine", name)  # type: ignore[arg-type]
        assert not split.is_split
        assert split.source == str(tmp_path / "mine")
        assert split.classes == ("run", "walk")
        assert len(split.refs) == 2
        assert "gives no split: all of it, 2 videos, is taken for training and for testing alike" in split.notes[0]
    flat = find_split(_touch(tmp_path / "flat", "a.mp4"), "train")
    assert (flat.classes, flat.refs[0].label, flat.is_split) == ((), None, False)


def test_a_list_is_its_own_split(tmp_path: Path) -> None:
    _touch(tmp_path, "a.mp4", "b.mp4")
    _write(tmp_path / "list.csv", "a.mp4,walk\nb.mp4,run\n")
    split = find_split(tmp_path / "list.csv", "test")
    assert _labels(split) == {"a.mp4": (1, "walk"), "b.mp4": (0, "run")}
    assert (split.classes, split.source, split.is_split) == (("run", "walk"), str(tmp_path / "list.csv"), True)
    _write(tmp_path / "list.csv", "a.mp4,1\nb.mp4,0\n")
    assert find_split(tmp_path / "list.csv", "test").classes == ()
    with pytest.raises(VideoError, match="does not exist"):
        find_split(tmp_path / "gone.csv", "test")


def test_one_video_is_no_split(tmp_path: Path) -> None:
    split = find_split(_touch(tmp_path, "a.mp4") / "a.mp4", "test", classes=["walk"])
    assert [ref.name for ref in split.refs] == ["a.mp4"]
    assert not split.is_split


def test_a_split_without_a_video_is_an_error(tmp_path: Path) -> None:
    folder = _touch(tmp_path / "UCF50", "Archery/v_Archery_g08_c01.avi")
    assert len(find_split(folder, "train").refs) == 1
    with pytest.raises(VideoError, match="test split: not one video of it is in"):
        find_split("ucf50", "test", data_root=tmp_path)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.tuples(st.sampled_from("AB"), st.integers(1, 25), st.integers(1, 7)), min_size=1))
def test_no_class_and_group_is_on_both_sides(tmp_path: Path, videos: set[tuple[str, int, int]]) -> None:
    folder = tmp_path / "mine"
    shutil.rmtree(folder, ignore_errors=True)
    always = {("A", 1, 9), ("A", 25, 9)}
    _touch(folder, *(f"{name}/v_{name}_g{group:02}_c{clip:02}.avi" for name, group, clip in videos | always))
    train, test = _both(folder)
    pairs = [{(ref.class_name, ref.group) for ref in split.refs} for split in (train, test)]
    assert not pairs[0] & pairs[1]
    assert len(train.refs) + len(test.refs) == len(videos | always)


def test_the_real_clips(ucf8: Path) -> None:
    train, test = _both(ucf8)
    assert (len(train.refs), len(test.refs), len(train.classes)) == (176, 112, 8)
    assert train.classes[0] == "ApplyEyeMakeup"


def test_the_page_tells_every_data_set_as_it_is() -> None:
    page = Path(__file__).parents[3] / "docs" / "datasets.md"
    if not page.is_file():
        pytest.skip("docs are tested from a checkout, not from an installed wheel")
    text = page.read_text(encoding="utf-8")
    for name, known in DATA_SETS.items():
        folders = ", ".join(f"`{folder}`" for folder in known.folders)
        assert f"| `{name}` | {known.class_count} | {folders} | <{known.page}> |" in text
        assert f"```{known.drawing}\n```" in text
