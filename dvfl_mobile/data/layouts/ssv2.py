"""Something-Something V2."""

from __future__ import annotations

from pathlib import Path

from dvfl_mobile.data.classes import ClassNames
from dvfl_mobile.data.layouts.files import first, json_of
from dvfl_mobile.data.layouts.request import Found, SplitRequest, validation_note
from dvfl_mobile.data.layouts.rows import Row, picked
from dvfl_mobile.errors import VideoError


def ssv2_lists(request: SplitRequest) -> Found | None:
    """Something-Something V2: `labels.json`, `train.json`, `validation.json`, and a video `<id>.webm` for each entry.

    An entry's class is its `template` without brackets, and `labels.json` gives the classes' numbers:
    https://www.qualcomm.com/developer/software/something-something-v-2-dataset and, in code,
    https://github.com/mit-han-lab/temporal-shift-module/blob/master/tools/gen_label_sthv2.py
    Testing is on the validation split: the published test split has no labels.
    """
    which = "train" if request.split == "train" else "validation"
    labels, listed = _ssv2_file(request, "labels"), _ssv2_file(request, which)
    if labels is None or listed is None:
        return None
    official = _ssv2_classes(labels)
    rows = {str(request.split): _ssv2_rows(listed, ClassNames(official))}
    return picked(request, listed, rows, official, validation_note(request), request.video_folder)


def _ssv2_file(request: SplitRequest, name: str) -> Path | None:
    folders = [place / "labels" for place in request.list_places] + [request.folder]
    spelled = (f"{name}.json", f"something-something-v2-{name}.json")
    return first(folder / file for folder in folders for file in spelled if (folder / file).is_file())


def _ssv2_classes(path: Path) -> tuple[str, ...]:
    content = json_of(path)
    if not isinstance(content, dict) or sorted(map(str, content.values())) != sorted(map(str, range(len(content)))):
        raise VideoError(
            f"{path} is not Something-Something's: it should map each class's name to its number, from 0 on.",
            hint="Take labels.json from the publisher's archive of labels.",
        )
    return tuple(sorted(content, key=lambda name: int(content[name])))


def _ssv2_rows(path: Path, classes: ClassNames) -> list[Row]:
    rows = []
    content = json_of(path)
    for number, entry in enumerate(content if isinstance(content, list) else [content]):
        try:
            row = Row(str(entry["id"]), entry["template"].replace("[", "").replace("]", ""), ".webm")
        except (TypeError, KeyError, AttributeError):
            raise VideoError(
                f"{path}, entry {number}: expected an object with `id` and `template`.",
                hint="Take the file from the publisher's archive of labels.",
            ) from None
        if classes.find(row.class_name) is None:
            raise VideoError(
                f"{path}, entry {number}: its template {row.class_name!r} is no class of labels.json.",
                hint="Take both files from the same archive.",
            )
        rows.append(row)
    return rows
