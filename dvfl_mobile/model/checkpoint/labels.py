"""Read class names from a file: the official `id,name` CSV, or one name a line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from dvfl_mobile.errors import LabelError
from dvfl_mobile.model.wording import brief
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import first_few

_MAX_BYTES = 16 * 2**20
_FORMAT = "Give a CSV of `id,name` lines, one for each class from 0 on, or a text file of one name a line."


def read_labels(path: Path, num_classes: int) -> tuple[str, ...]:
    """Read the names of `num_classes` classes, in the order of their logits.

    Two formats: CSV lines `id,name` in any order, with or without the header `id,name` (names with commas in
    quotes, as usual); or, in a `.txt`, one name a line. Empty lines are passed over.

    Raises:
        LabelError: the file can't be read, or ids or names have holes or repeat; it names the line.
    """
    text = _read(path)
    named = _plain_lines(text) if path.suffix.lower() == ".txt" and not _is_table(text) else _table(path, text)
    names: dict[int, tuple[str, int]] = {}
    lines: dict[str, int] = {}
    for line, index, name in named:
        if index in names:
            raise _error(path, line, f"id {index} was given before, on line {names[index][1]}")
        if name in lines:
            raise _error(path, line, f'the name "{brief(name)}" was given before, on line {lines[name]}')
        names[index], lines[name] = (name, line), line
    return _complete(path, names, num_classes)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise LabelError(
            f"There is no label file {path}.", hint=f"Check the path given with {option('labels')}."
        ) from error
    except IsADirectoryError as error:
        raise LabelError(f"{path} is a folder, not a label file.", hint=_FORMAT) from error
    except OSError as error:
        raise LabelError(f"Can't read {path}: {error.strerror}.", hint="Check the file and its permissions.") from error
    if not data.strip():
        raise LabelError(f"{path} is empty.", hint=_FORMAT)
    if len(data) > _MAX_BYTES or b"\0" in data:
        raise LabelError(f"{path} is not a text file.", hint=_FORMAT)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise _error(path, line, "it is not UTF-8 text", hint="Save the file as UTF-8.") from error


def _is_table(text: str) -> bool:
    first = next(line for line in text.splitlines() if line.strip())
    head, comma, _ = first.partition(",")
    return bool(comma) and (head.strip().lower() == "id" or _is_id(head.strip()))


def _plain_lines(text: str) -> Iterable[tuple[int, int, str]]:
    filled = [(line, name.strip()) for line, name in enumerate(text.splitlines(), 1) if name.strip()]
    return [(line, index, name) for index, (line, name) in enumerate(filled)]


def _table(path: Path, text: str) -> Iterable[tuple[int, int, str]]:
    rows = csv.reader(text.splitlines(keepends=True), strict=True)
    is_first = True
    try:
        for row in rows:
            cells = [cell.strip() for cell in row]
            if not any(cells) or (is_first and _is_header(cells)):
                is_first = is_first and not any(cells)
                continue
            is_first = False
            yield rows.line_num, *_entry(path, rows.line_num, cells)
    except csv.Error as error:
        raise _error(path, rows.line_num, f"it is not CSV ({error})", hint=_FORMAT) from error


def _is_header(cells: Sequence[str]) -> bool:
    return len(cells) == 2 and cells[0].lower() == "id"


def _entry(path: Path, line: int, cells: Sequence[str]) -> tuple[int, str]:
    if len(cells) != 2:
        hint = "Put a name that holds commas in double quotes." if len(cells) > 2 else _FORMAT
        raise _error(path, line, f"it has {len(cells)} fields where an id and a name are needed", hint=hint)
    identity, name = cells
    if not _is_id(identity):
        raise _error(path, line, f'"{brief(identity)}" is not a class id', hint=_FORMAT)
    if not name:
        raise _error(path, line, f"class {identity} has no name")
    return int(identity), name


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _complete(path: Path, names: dict[int, tuple[str, int]], num_classes: int) -> tuple[str, ...]:
    holes = [index for index in range(num_classes) if index not in names]
    surplus = sorted(index for index in names if index >= num_classes)
    if not names:
        raise LabelError(f"{path} names no class.", hint=_FORMAT)
    if holes and surplus and 0 in holes and max(surplus) == num_classes and len(names) == num_classes:
        raise LabelError(f"{path}: ids go from 1 to {num_classes}.", hint="Number the classes from 0 on.")
    if holes or surplus:
        parts = [f"names {len(names)} classes where the network has {num_classes}"]
        parts += [f"no name for {_ids(holes)}"] if holes else []
        parts += [f"line {names[surplus[0]][1]} names class {surplus[0]}, past the last"] if surplus else []
        raise LabelError(f"{path} {'; '.join(parts)}.", hint="Give the label file it was trained with.")
    return tuple(names[index][0] for index in range(num_classes))


def _ids(ids: Sequence[int]) -> str:
    return f"id{'s' if len(ids) > 1 else ''} {first_few(ids, 10)}"


def _error(path: Path, line: int, problem: str, hint: str = "") -> LabelError:
    return LabelError(f"{path}, line {line}: {problem}.", hint=hint or "Correct that line: each class once, from 0 on.")
