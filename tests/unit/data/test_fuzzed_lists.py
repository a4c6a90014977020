"""Mutated lists of every layout: each video is labelled as a second reading of the list does, or the list is refused.

DVFL_MOBILE_FUZZED_LISTS sets how many lists are tried; 10,000 is the figure that is claimed:

    DVFL_MOBILE_FUZZED_LISTS=10000 python -P -m pytest -q tests/unit/data/test_fuzzed_lists.py
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dvfl_mobile.data.datasets import Split, find_split
from dvfl_mobile.errors import VideoError

LISTS = int(os.environ.get("DVFL_MOBILE_FUZZED_LISTS", "600"))
CLASSES = ("Café", "Dive", "Hand stand", "Run")
Line = tuple[str, str]  # a video as a list names it, and its class or the class's number


@dataclass(frozen=True)
class Layout:
    """One layout: its folder's maker, the file that is mutated, and the second reading of all its lists.

    `read` gives the training list's lines and the classes in the order of their labels.
    """

    make: Callable[[Path], None]
    mutated: tuple[str, ...]
    read: Callable[[Path], tuple[list[Line], list[str]]]
    source: str = ""


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _videos(folder: Path, *names: str) -> None:
    for name in names:
        _write(folder / name, name)


def _lines(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8-sig")
    return [line.strip() for line in text.splitlines() if line.strip()]


def _make_ucf(folder: Path) -> None:
    _videos(folder, *(f"{name}/00{index}.avi" for name in CLASSES for index in (1, 2, 3)))
    _write(folder / "classInd.txt", "".join(f"{index} {name}\n" for index, name in enumerate(CLASSES[::-1], 1)))
    numbers = {name: index for index, name in enumerate(CLASSES[::-1], 1)}
    train = [f"{name}/00{index}.avi {numbers[name]}\n" for name in CLASSES for index in (1, 2)]
    _write(folder / "trainlist01.txt", "".join(train))
    _write(folder / "testlist01.txt", "".join(f"{name}/003.avi\n" for name in CLASSES))


def _read_ucf(folder: Path) -> tuple[list[Line], list[str]]:
    rows = [re.fullmatch(r"(.+?)(?:\s* +([0-9]+))?", line) for line in _lines(folder / "trainlist01.txt")]
    numbered = [line.split(None, 1) for line in _lines(folder / "classInd.txt")]
    names = {int(number): name for number, name in numbered}
    names = {int(row[2]): row[1].split("/")[-2] for row in rows if row and row[2]} | names
    first = min(names)
    return [(row[1], row[1].split("/")[-2]) for row in rows if row], [names[first + at] for at in range(len(names))]


def _make_dvfl(folder: Path) -> None:
    for split, clips in (("train", (1, 2)), ("val", (1,))):
        names = [f"{split}/{name}/00{clip}.mp4" for name in CLASSES for clip in clips]
        _videos(folder, *names)
        _write(folder / f"{split}.csv", "".join(f"{name},{CLASSES.index(name.split('/')[1])}\n" for name in names))


def _read_dvfl(folder: Path) -> tuple[list[Line], list[str]]:
    rows = {
        split: [re.fullmatch(r"(.+?)\s*[, ]\s*([0-9]+)", line) for line in _lines(folder / f"{split}.csv")]
        for split in ("train", "val")
    }
    numbers = {int(row[2]): row[1].strip().split("/")[-2] for split in ("val", "train") for row in rows[split] if row}
    train = [(row[1].strip(), row[2]) for row in rows["train"] if row]
    return train, [numbers[index] for index in range(len(numbers))]


def _make_hmdb(folder: Path) -> None:
    for name in CLASSES:
        _videos(folder, *(f"{name}/00{index}.avi" for index in (1, 2, 3)))
        text = "".join(f"00{index}.avi {index % 3}\n" for index in (1, 2, 3))
        _write(folder / f"splits/{name}_test_split1.txt", text)


def _read_hmdb(folder: Path) -> tuple[list[Line], list[str]]:
    names = sorted(path.name.split("_test_split1")[0] for path in (folder / "splits").iterdir())
    rows = []
    for name in names:
        for line in _lines(folder / f"splits/{name}_test_split1.txt"):
            *video, mark = line.split()
            rows += [(f"{name}/{' '.join(video)}", name)] if mark == "1" else []
    return rows, names


def _make_ssv2(folder: Path) -> None:
    _videos(folder, *(f"videos/{index}.webm" for index in range(1, 9)))
    entries = [{"id": str(index), "template": f"{CLASSES[index % 4]} [something]"} for index in range(1, 7)]
    for name in ("train", "validation"):
        _write(folder / f"labels/{name}.json", json.dumps(entries, indent=0, ensure_ascii=False))
    labels = {f"{name} something": str(index) for index, name in enumerate(CLASSES[::-1])}
    _write(folder / "labels/labels.json", json.dumps(labels, indent=0, ensure_ascii=False))


def _read_ssv2(folder: Path) -> tuple[list[Line], list[str]]:
    labels = json.loads((folder / "labels/labels.json").read_text("utf-8-sig"))
    entries = json.loads((folder / "labels/train.json").read_text("utf-8-sig"))
    rows = [(f"videos/{entry['id']}", re.sub(r"[\[\]]", "", entry["template"])) for entry in entries]
    return rows, sorted(labels, key=lambda name: int(labels[name]))


def _make_kinetics(folder: Path) -> None:
    for split, clips in (("train", (10, 20)), ("val", (30,))):
        lines = ["label,youtube_id,time_start,time_end,split"]
        for name in CLASSES:
            for start in clips:
                _videos(folder, f"{split}/{name[:2]}{start}_{start:06}_{start + 10:06}.mp4")
                lines.append(f"{name},{name[:2]}{start},{start},{start + 10},{split}")
        _write(folder / f"annotations/{split}.csv", "\n".join(lines))


def _read_kinetics(folder: Path) -> tuple[list[Line], list[str]]:
    rows, names = [], set()
    for split in ("train", "val"):
        header, *lines = list(csv.reader(_lines(folder / f"annotations/{split}.csv")))
        for line in lines if "youtube_id" in header else ():
            cells = dict(zip(header, line, strict=False))
            names.add(unicodedata.normalize("NFC", cells["label"].strip()))
            start, end = int(float(cells["time_start"])), int(float(cells["time_end"]))
            if split == "train":
                rows.append((f"train/{cells['youtube_id'].strip()}_{start:06d}_{end:06d}", cells["label"].strip()))
    return rows, sorted(names)


def _make_csv(folder: Path, labels: tuple[str, ...] = CLASSES) -> None:
    names = [f"{name}/00{index}.mp4" for name in CLASSES for index in (1, 2)]
    _videos(folder, *names)
    _write(
        folder / "list.csv",
        "path,label\n" + "".join(f"{name},{labels[CLASSES.index(name.split('/')[0])]}\n" for name in names),
    )


def _read_csv(folder: Path) -> tuple[list[Line], list[str]]:
    rows = [[cell.strip() for cell in row] for row in csv.reader(_lines(folder / "list.csv"), skipinitialspace=True)]
    rows = [row for row in rows if (folder / _there(folder, row[0])).is_file()]
    names = {unicodedata.normalize("NFC", label) for _, label in rows if not label.isdecimal()}
    return [(path, label) for path, label in rows], sorted(names)


def _there(folder: Path, path: str) -> str:
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    return next((form for form in forms if (folder / form).is_file()), path)


LAYOUTS = {
    "ucf": Layout(_make_ucf, ("trainlist01.txt", "classInd.txt"), _read_ucf),
    "dvfl": Layout(_make_dvfl, ("train.csv", "val.csv"), _read_dvfl),
    "hmdb": Layout(_make_hmdb, tuple(f"splits/{name}_test_split1.txt" for name in CLASSES), _read_hmdb),
    "ssv2": Layout(_make_ssv2, ("labels/train.json", "labels/labels.json"), _read_ssv2),
    "kinetics": Layout(_make_kinetics, ("annotations/train.csv", "annotations/val.csv"), _read_kinetics),
    "csv": Layout(_make_csv, ("list.csv",), _read_csv, "list.csv"),
    "csv of numbers": Layout(
        lambda folder: _make_csv(folder, ("0", "1", "2", "3")), ("list.csv",), _read_csv, "list.csv"
    ),
}


def _mutated(text: str, stream: random.Random) -> str:
    """A text with one to three things changed, as people and tools change lists."""
    for _ in range(stream.randint(1, 3)):
        lines = text.split("\n")
        at, other = stream.randrange(len(lines)), stream.randrange(len(lines))
        kind = stream.randrange(12)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, lines[other])
        elif kind == 2:
            lines[at], lines[other] = lines[other], lines[at]
        elif kind == 3:
            lines[at] = re.sub(r"\d", lambda _: str(stream.randrange(10)), lines[at], count=stream.randint(1, 2))
        elif kind == 4:
            lines[at] = lines[at].replace(stream.choice(CLASSES), stream.choice(CLASSES))
        elif kind == 5:
            lines[at] = lines[at].replace(
                *stream.choice([(",", " "), (",", ";"), (" ", "\t"), ("/", "\\"), (" ", ",")])
            )
        elif kind == 6:
            lines[at] = unicodedata.normalize("NFD", lines[at])
        elif kind == 7:
            lines[at] = re.sub(r"\.\w+", stream.choice([".mp4", ".avi", ".mkv", ""]), lines[at])
        elif kind == 8:
            place = stream.randrange(len(lines[at]) + 1)
            lines[at] = lines[at][:place] + stream.choice(list("0a/., _-\"'é[]{}:\t")) + lines[at][place:]
        elif kind == 9 and lines[at]:
            place = stream.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + lines[at][place + 1 :]
        elif kind == 10:
            lines[at] = stream.choice([str.upper, str.lower, str.swapcase])(lines[at])
        else:
            lines[at] += stream.choice([" ", "\r", ".0", " 1", ",1", "\ufeff"])
        text = "\n".join(lines)
    return text


def _alike(name: str) -> str:
    return re.sub(r"[\s_-]", "", unicodedata.normalize("NFC", name)).casefold()


def _names(listed: str, video: Path, folder: Path) -> bool:
    """Whether a listed path means a video: its class's folder and its name are the same, whatever its ending."""
    ending = re.compile(r"\.(avi|mp4|mkv|webm)$", re.IGNORECASE)
    one, other = (
        [part for part in ending.sub("", path.rstrip("/")).split("/") if part not in ("", ".")]
        for path in (unicodedata.normalize("NFC", name) for name in (listed, video.relative_to(folder).as_posix()))
    )
    splits = [{part for part in parts[:-2]} & {"train", "val"} for parts in (one, other)]
    is_other_split = all(splits) and splits[0] != splits[1]
    same = [_alike(part) for part in one[-2:-1]] == [_alike(part) for part in other[-2:-1]]
    return min(len(one), len(other)) > 1 and same and one[-1] == other[-1] and not is_other_split


def _wrong(split: Split, layout: Layout, folder: Path) -> str | None:
    """What a split says that the second reading doesn't."""
    rows, classes = layout.read(folder)
    for ref in split.refs:
        if ref.label is None:  # it goes unlabelled, which whoever needs a label refuses
            continue
        meant = {label for path, label in rows if _names(path, ref.path, folder)}
        numbers = {int(label) if label.isdecimal() else _index(classes, label) for label in meant}
        if numbers != {ref.label}:
            return f"{ref.name} is {ref.label}, and by the list {numbers}"
    found = {ref.path for ref in split.refs}
    for path, _ in rows:
        exact = folder / _there(folder, path)
        if exact.is_file() and exact not in found and path not in split.missing:
            return f"{path} is there, and left out"
    return None


def _index(classes: list[str], name: str) -> int | None:
    places = [index for index, known in enumerate(classes) if _alike(known) == _alike(name)]
    exact = [
        index for index in places if unicodedata.normalize("NFC", classes[index]) == unicodedata.normalize("NFC", name)
    ]
    return (exact or places or [None])[0]


@pytest.mark.parametrize("name", LAYOUTS)
def test_mutated_lists_are_read_as_a_second_reader_reads_them_or_refused(name: str, tmp_path: Path) -> None:
    layout, stream = LAYOUTS[name], random.Random(f"lists of {name}")
    layout.make(tmp_path)
    whole = {path: (tmp_path / path).read_text(encoding="utf-8") for path in layout.mutated}
    assert _wrong(find_split(tmp_path / layout.source, "train"), layout, tmp_path) is None
    outcomes = {"read": 0, "refused": 0}
    for number in range(-(-LISTS // len(LAYOUTS))):
        path = stream.choice(layout.mutated)
        text = _mutated(whole[path], stream)
        (tmp_path / path).write_text(text, encoding="utf-8", newline="")
        try:
            split = find_split(tmp_path / layout.source, "train")
        except VideoError:
            outcomes["refused"] += 1
        else:
            assert split.is_split, (number, text)
            wrong = _wrong(split, layout, tmp_path)
            assert wrong is None, f"list {number}, {path}: {wrong}\n{text}"
            outcomes["read"] += 1
        (tmp_path / path).write_text(whole[path], encoding="utf-8")
    assert min(outcomes.values()) > 0, outcomes
