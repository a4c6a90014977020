"""Read a list of videos, `path,label` a line, and refuse what isn't one with its line and what to write instead."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

from dvfl_mobile.data.classes import composed, loosely
from dvfl_mobile.data.walk import FileId, file_id, has_ending
from dvfl_mobile.errors import VideoError

# First lines that are no video: a first cell such as these, or a second one such as those.
_PATH_HEADERS = frozenset({"path", "file", "filename", "filepath", "video", "videopath", "videofile", "videoname"})
_LABEL_HEADERS = frozenset(
    {"label", "labels", "class", "classname", "classid", "category", "directorynumber", "target"}
)
_SEPARATORS = {"\t": "a tab", ";": "a semicolon", "|": "a bar", " ": "a blank"}
_LOOKED_AT = 4096


@dataclass(frozen=True)
class ListRow:
    """A line of a list: its number, the video's path as given and as found, and the label as given."""

    line: int
    path: Path
    label: str
    text: str


def read_rows(source: Path) -> list[ListRow]:
    """The rows of a list; each video is there, and is listed once.

    Raises:
        VideoError: the list can't be read or lists nothing, or a line isn't `path,label`, names a video that isn't
            there, or one that another line names already.
    """
    rows = _rows(source)
    if not rows:
        raise VideoError(f"{source} lists no videos.", hint="Write one `path,label` a line.")
    _refuse_duplicates(source, rows)
    _refuse_missing(source, rows)
    return rows


def refuse_text(source: Path) -> None:
    """Refuse a text file where a video is expected: people's lists end in `.txt` and `.tsv` too.

    Raises:
        VideoError: it is text.
    """
    if has_ending(source) or not source.is_file():
        return
    with source.open("rb") as file:
        head = file.read(_LOOKED_AT)
    if head and _is_text(head):
        raise VideoError(
            f"{source} is text, not a video.",
            hint="A list of videos is a CSV, `path,label` a line, in a file that ends in .csv.",
        )


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:  # not a character that is cut off
            return False
        text = head[: error.start].decode("utf-8-sig")
    return all(char.isprintable() or char in "\t\r\n\f" for char in text)


def _rows(source: Path) -> list[ListRow]:
    rows: list[ListRow] = []
    is_first = True
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, skipinitialspace=True, strict=True)
            for cells in reader:
                if not any(cell.strip() for cell in cells):
                    continue
                if not (is_first and _is_header(source, cells)):
                    rows.append(_row(source, reader.line_num, cells))
                is_first = False
    except UnicodeDecodeError as error:
        raise VideoError(f"{source} is not UTF-8 text.", hint="Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise VideoError(f"{source}, line {reader.line_num}: {error}.", hint="Check its quotes.") from error
    except OSError as error:
        raise VideoError(f"{source} can't be read: {error.strerror}.", hint="Check its permissions.") from error
    return rows


def _is_header(source: Path, cells: list[str]) -> bool:
    text = cells[0].strip()
    if has_ending(Path(text)) or (source.parent / text).exists():
        return False
    return loosely(text) in _PATH_HEADERS or (len(cells) > 1 and loosely(cells[1]) in _LABEL_HEADERS)


def _row(source: Path, line: int, cells: list[str]) -> ListRow:
    if len(cells) != 2 or not all(cell.strip() for cell in cells):
        raise VideoError(
            f"{source}, line {line}: expected `path,label`, found {len(cells)} cells: {', '.join(cells)}.",
            hint=_how_to_divide(cells),
        )
    text, label = (cell.strip() for cell in cells)
    return ListRow(line, _found(source.parent / text), composed(label), text)


def _how_to_divide(cells: list[str]) -> str:
    if len(cells) > 2:
        return 'Put a path that holds a comma in double quotes: "a, b.avi",label'
    text = "".join(cells)
    written = next((called for mark, called in _SEPARATORS.items() if mark in text.strip()), None)
    if len(cells) == 2 or written is None:
        return "Give each video its label: path,label."
    return f"Write a comma between path and label, where there is {written}."


def _found(path: Path) -> Path:
    """The path as it lies there: its folders and its name may be in another Unicode form than they are listed in."""
    if path.exists():
        return path
    there = Path(path.anchor)
    for part in path.parts[1:] if path.anchor else path.parts:
        inner = there / part
        if not inner.exists() and there.is_dir():
            inner = next((other for other in there.iterdir() if composed(other.name) == composed(part)), inner)
        there = inner
    return there


def _refuse_duplicates(source: Path, rows: list[ListRow]) -> None:
    first: dict[FileId, int] = {}
    for row in rows:
        path = row.path if row.path.exists() else Path(os.path.normpath(row.path))
        line = first.setdefault(file_id(path), row.line)
        if line != row.line:
            raise VideoError(
                f"{source}, line {row.line}: {row.text} is listed already, in line {line}.",
                hint="A video counts once: remove one of the lines.",
            )


def _refuse_missing(source: Path, rows: list[ListRow]) -> None:
    missing = [row for row in rows if not row.path.is_file()]
    if not missing:
        return
    first = missing[0]
    more = f", and {len(missing) - 1} more listed videos are missing" if len(missing) > 1 else ""
    has_backslash = "\\" in first.text
    raise VideoError(
        f"{source}, line {first.line}: there is no file {first.path}{more}.",
        hint="Write / for \\ in paths." if has_backslash else "Paths are relative to the list's own folder.",
    )
