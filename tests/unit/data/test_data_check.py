"""`data check`: what is there, what is missing, what splits share; and splits by group whatever lists say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dvfl_mobile.cli.main import main
from dvfl_mobile.data.check import check_data
from dvfl_mobile.data.datasets import find_split
from dvfl_mobile.data.leaks import LINKS_NAME, Leak, read_links, shared
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.errors import UsageError, VideoError
from dvfl_mobile.evaluation.accuracy import measure
from dvfl_mobile.evaluation.evaluate import Question
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.default import seeded_student

CLASSES = ("Archery", "Diving")
# Groups 1 to 3 are wholly in train, 5 and 6 in val, and 4 in both.
TRAIN, VALIDATION = ((1, 1), (1, 2), (2, 1), (3, 1), (4, 1), (9, 1)), ((4, 2), (5, 1), (6, 1))


def clip_name(name: str, group: int, clip: int) -> str:
    return f"v_{name}_g{group:02}_c{clip:02}.avi"


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """UCF50 in miniature, with lists as DVFL-Net's code brings them."""
    folder = tmp_path / "UCF50"
    for split, clips in (("train", TRAIN), ("val", VALIDATION)):
        lines = []
        for number, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for group, clip in clips:
                path = Path(split, name, clip_name(name, group, clip))
                (folder / path).write_bytes(b"x")
                lines.append(f"{path.as_posix()},{number}\n")
        (folder / f"{split}.csv").write_text("".join(lines), encoding="utf-8")
    return folder


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_official_lists_are_read_and_what_they_share_is_counted(leaking: Path) -> None:
    train, test = (find_split(leaking, name) for name in ("train", "test"))
    assert (len(train.refs), len(test.refs), train.classes) == (12, 6, CLASSES)
    assert {ref.label for ref in train.refs} == {0, 1}
    assert train.leak == test.leak == Leak(groups=2, videos=0)
    report = check_data(str(leaking))
    assert (report.shared_groups, report.shared_videos, report.unlisted) == (2, 0, 0)
    assert [(one.name, one.videos, one.fewest, one.most) for one in report.splits] == [
        ("train", 12, 6, 6),
        ("test", 6, 3, 3),
    ]


def test_by_group_nothing_is_shared(leaking: Path) -> None:
    source = f"{leaking}:groups"
    train, test = (find_split(source, name) for name in ("train", "test"))
    assert {ref.group for ref in train.refs} == {9}
    assert {ref.group for ref in test.refs} == {1, 2, 3, 4, 5, 6}
    assert train.classes == test.classes == CLASSES
    assert [ref.class_name for ref in train.refs] == list(CLASSES)
    report = check_data(source)
    assert not report.leak
    assert report.unlisted == 0
    assert "Split by UCF's groups: 1 to 7 are for testing, the others for training." in report.notes


def test_linked_groups_count_as_one(leaking: Path) -> None:
    (leaking / LINKS_NAME).write_text("Seen by eye:\nArchery: {g09,g02} {g01,g05}\n", encoding="utf-8")
    # Group 1 was trained on, and 5, which shows the same footage, is tested on: one more pair than before.
    assert find_split(leaking, "test").leak.groups == 3
    train = find_split(f"{leaking}:groups", "train")
    assert [ref.class_name for ref in train.refs] == ["Diving"]
    assert any("1 video in neither split: linked to a group that is tested on." in note for note in train.notes)


def test_links_and_leaks_by_hand(tmp_path: Path) -> None:
    (tmp_path / LINKS_NAME).write_text("BasketballDunk: {g01,g10,g11}\nnothing: here\n", encoding="utf-8")
    links = read_links(tmp_path)
    one, other = (
        VideoRef(Path(f"v_BasketballDunk_g{group:02}_c01.avi"), group=group, class_name="x") for group in (10, 11)
    )
    assert not shared([one], [other])
    assert shared([one], [other], links) == Leak(1, 0)
    assert shared([one], [one], links) == Leak(1, 1)
    (tmp_path / LINKS_NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(VideoError, match="can't be read"):
        read_links(tmp_path)


def test_links_that_share_a_group_are_one(tmp_path: Path) -> None:
    (tmp_path / LINKS_NAME).write_text("A: {g08,g09} {g01,g02}\nA: {g02,g09}\n", encoding="utf-8")
    links = read_links(tmp_path)
    footage = {links.of(VideoRef(Path(clip_name("A", group, 1)), group=group)) for group in (1, 2, 8, 9)}
    assert footage == {("a", 1)}


@pytest.mark.parametrize("line", ["A: {g01,g08", "A: {g01 g08}", "A: [g01,g08]", "{g01,g08}", "A: {g01,g08} g09"])
def test_a_link_that_would_be_misread_is_refused(line: str, tmp_path: Path) -> None:
    (tmp_path / LINKS_NAME).write_text(f"Groups that show the same footage:\n{line}\n", encoding="utf-8")
    with pytest.raises(VideoError, match=r"linked_groups\.txt, line 2: expected"):
        read_links(tmp_path)


def test_lists_without_their_videos_still_tell_what_they_share(leaking: Path) -> None:
    for split in ("train", "val"):
        shutil.rmtree(leaking / split)
    report = check_data(str(leaking))
    assert (report.shared_groups, report.shared_videos, report.is_whole) == (2, 0, False)


def test_what_is_not_whole_is_named(leaking: Path) -> None:
    (leaking / "val/Diving" / clip_name("Diving", 6, 1)).unlink()
    (leaking / "train/Diving" / clip_name("Diving", 3, 1)).write_bytes(b"")
    (leaking / "train/Archery/extra.avi").write_bytes(b"x")
    report = check_data("ucf50", leaking.parent)
    text = " ".join(report.problems)
    assert "1 of 6 listed videos are missing, such as val/Diving/v_Diving_g06_c01.avi." in text
    assert "2 of its 50 classes are there." in text
    assert "18 of its 6,681 videos are there." in text
    assert "1 file without a byte." in text
    assert "1 video in no split: train/Archery/extra.avi" in report.notes
    assert not report.is_whole


def test_decoding_finds_what_the_names_do_not_tell(tmp_path: Path, write_video) -> None:
    for name in CLASSES:
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "a.mp4", 12)
    (tmp_path / "Diving/b.mp4").write_bytes(b"no video")
    cut = (tmp_path / "Archery/a.mp4").read_bytes()
    (tmp_path / "Archery/b.mp4").write_bytes(cut[: len(cut) // 2])
    assert check_data(str(tmp_path)).is_whole
    report = check_data(str(tmp_path), decode=True)
    assert report.decoded
    assert not report.is_whole
    assert any("Diving/b.mp4" in line for line in report.unreadable)
    assert any("Archery/b.mp4" in line for line in (*report.unreadable, *report.damaged))


def test_a_list_is_checked_too(tmp_path: Path) -> None:
    (tmp_path / "a.avi").write_bytes(b"x")
    (tmp_path / "list.csv").write_text("a.avi,0\n", encoding="utf-8")
    report = check_data(str(tmp_path / "list.csv"))
    assert (report.videos, report.classes, report.leak, report.is_whole) == (1, 1, Leak(), True)
    assert [(one.name, one.videos) for one in report.splits] == [("all", 1)]


def test_exit_codes(leaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("data", "check", leaking) == 5
    shown = capsys.readouterr()
    assert "2 (class, group) pairs" in shown.out
    assert f"{leaking}:groups" in shown.err
    assert run("data", "check", leaking, "--allow-leaks") == 0
    assert run("data", "check", f"{leaking}:groups", "--json") == 0
    capsys.readouterr()
    assert run("data", "check", "ucf50", "--data-root", leaking.parent, "--json") == 3
    assert json.loads(capsys.readouterr().out)["problems"][0] == "2 of its 50 classes are there."
    assert run("data", "check", "hmdb51", "--data-root", leaking.parent) == 3
    assert "serre-lab" in capsys.readouterr().err
    assert run("data", "check", leaking / "nowhere") == 3
    assert run("data") == 0
    assert "check" in capsys.readouterr().out


def test_a_source_of_other_names_can_not_be_split_by_group(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    (tmp_path / "walk/a.avi").write_bytes(b"x")
    with pytest.raises(VideoError, match="can't be split by group"):
        find_split(f"{tmp_path}:groups", "train")


def test_an_accuracy_on_a_split_that_leaks_is_refused(leaking: Path) -> None:
    student = seeded_student(Architecture(embed_dim=8, img_size=32, num_frames=2, num_classes=2), CLASSES)
    with pytest.raises(UsageError, match=r"shares 2 \(class, group\) pairs with the training split") as refused:
        measure(student, Question(leaking))
    assert "`allow_leaks=`" in refused.value.hint
    with pytest.raises(VideoError, match="could be read"):  # as far as reading them: they are no videos
        measure(student, Question(leaking, allow_leaks=True))


@pytest.mark.parametrize("line", ["train/Archery/a.avi", "a.avi,0", "train/Archery/a.avi,one"])
def test_a_list_that_can_not_be_read_is_named_by_line(leaking: Path, line: str) -> None:
    with (leaking / "train.csv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    with pytest.raises(VideoError, match=r"train\.csv, line 13"):
        find_split(leaking, "train")


def test_lists_may_have_a_header_and_spaces(leaking: Path) -> None:
    text = (leaking / "val.csv").read_text(encoding="utf-8").replace(",", " ")
    (leaking / "val.csv").write_text("Video Path,Directory Number\n" + text, encoding="utf-8")
    assert len(find_split(leaking, "test").refs) == 6
    shutil.rmtree(leaking / "val")
    with pytest.raises(VideoError, match="Not one of the 6 videos"):
        find_split(leaking, "test")
