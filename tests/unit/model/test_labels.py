"""Class names from files: what is read, and what is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvfl_mobile.errors import LabelError
from dvfl_mobile.model.checkpoint.labels import read_labels


def _write(folder: Path, content: str | bytes, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "id,name\n0,abseiling\n1,air drumming\n2,eating, nicely\n".replace("eating, nicely", '"eating, nicely"'),
        '0,abseiling\n1,air drumming\n2,"eating, nicely"',
        '\ufeffid,name\r\n0,abseiling\r\n\r\n1,air drumming\r\n2,"eating, nicely"\r\n\r\n',
        'ID, name\n2, "eating, nicely"\n'.replace(', "', ',"') + " 1 , air drumming \n0,abseiling\n",
    ],
    ids=["official", "no header", "windows", "any order"],
)
def test_official_csv(tmp_path: Path, content: str) -> None:
    assert read_labels(_write(tmp_path, content), 3) == ("abseiling", "air drumming", "eating, nicely")


def test_one_name_a_line(tmp_path: Path) -> None:
    path = _write(tmp_path, "abseiling\n\neating, nicely\nçalmak\n", "labels.txt")
    assert read_labels(path, 3) == ("abseiling", "eating, nicely", "çalmak")


@pytest.mark.parametrize("name", ["classInd.txt", "labels.lst"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_numbered_list_is_no_list_of_names_with_numbers(first: int, name: str, tmp_path: Path) -> None:
    lines = [f"{first + 1} Apply Lipstick", f"{first}\tApplyEyeMakeup", "", f"{first + 2}. Archery"]
    assert read_labels(_write(tmp_path, "\r\n".join(lines), name), 3) == (
        "ApplyEyeMakeup",
        "Apply Lipstick",
        "Archery",
    )


def test_names_of_which_not_all_are_numbered_are_names(tmp_path: Path) -> None:
    path = _write(tmp_path, "2 hands\nwalking\n1 on 1\n", "labels.txt")
    assert read_labels(path, 3) == ("2 hands", "walking", "1 on 1")


@pytest.mark.parametrize("header", ["id,name\n", ""])
def test_names_may_have_commas_as_they_are_published(header: str, tmp_path: Path) -> None:
    long = "Pushing a box so lightly that it does not, or almost does not, move"
    path = _write(tmp_path, f'{header}0,Approaching a cup\n1,{long}\n2,"Lifting a rod, then letting it drop"\n')
    assert read_labels(path, 3) == ("Approaching a cup", long, "Lifting a rod, then letting it drop")


def test_csv_in_a_txt_is_still_csv(tmp_path: Path) -> None:
    assert read_labels(_write(tmp_path, "id,name\n1,b\n0,a\n", "labels.txt"), 2) == ("a", "b")


def test_a_quoted_name_may_go_over_lines_and_later_lines_keep_their_number(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="line 4: id 0 was given before, on line 3"):
        read_labels(_write(tmp_path, 'id,name\n0,"a\nb"\n0,c\n'), 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        (" \n\n", "is empty"),
        ("id,name\n", "names no class"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not a text file"),
        ("0,a\n1,caf\xe9\n".encode("latin-1"), "line 2: it is not UTF-8"),
        ("0,a\n1,b\n1,c\n", "line 3: id 1 was given before, on line 2"),
        ("0,a\n1,b\n2,a\n", 'line 3: the name "a" was given before, on line 1'),
        ("0,a\n2,c\n", "names 2 classes where the network has 3; no name for id 1."),
        ("0,a\n", "no name for ids 1, 2"),
        ("0,a\n1,b\n2,c\n3,d\n", "line 4 names class 3, past the last"),
        ("1,a\n2,b\n3,c\n", "ids go from 1 to 3"),
        ("0,a,x\n1,b,c\n2,d,z\n", "line 1: it has 3 fields"),
        ('0,a\n1,"b, c",d\n2,d\n', "line 2: it has 3 fields"),
        ("1 a\n3 b\n4 c\n", "no name for ids 0, 2"),
        ("0,Caf\u00e9\n1,Cafe\u0301\n2,x\n", "was given before, on line 1"),
        ("0,a\n1\n2,d\n", "line 2: it has 1 fields"),
        ("0,a\nx,b\n2,d\n", 'line 2: "x" is not a class id'),
        ("0,a\n-1,b\n2,d\n", 'line 2: "-1" is not a class id'),
        ("0,a\n1,\n2,d\n", "line 2: class 1 has no name"),
        ('0,a\n1,"b\n2,c\n', "it is not CSV"),
        ("0,a,x\n1,b\x1b[31m\x1b[0m,x\n", "line 1: it has 3 fields"),
    ],
)
def test_refused(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(LabelError) as refused:
        read_labels(path, 3)
    assert said in refused.value.problem
    assert str(path) in refused.value.problem
    assert refused.value.hint
    assert refused.value.exit_code == 3


def test_holes_are_capped(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"no name for ids 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 989 more"):
        read_labels(_write(tmp_path, "0,a\n"), 1000)


def test_names_that_would_steer_a_terminal_are_shown_harmless(tmp_path: Path) -> None:
    with pytest.raises(LabelError) as refused:
        read_labels(_write(tmp_path, "0,a\x1b[2J\n1,a\x1b[2J\n"), 2)
    assert "\x1b" not in refused.value.problem


def test_missing_and_folder(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="There is no label file"):
        read_labels(tmp_path / "none.csv", 3)
    with pytest.raises(LabelError, match="is a folder"):
        read_labels(tmp_path, 3)
