"""Read class names from a file: the official `id,name` CSV, UCF's numbered list, or one name a line."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from dvfl_mobile.data.classes import composed, read_number
from dvfl_mobile.errors import LabelError
from dvfl_mobile.model.wording import brief
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import first_few

_NUMBERED = re.compile(r"(?P<number>[0-9]{1,9})[.:)]?\s+(?P<name>.+)")
_MAX_BYTES = 16 * 2**20
_FORMAT = "Give a CSV of `id,name` lines, one for each class from 0 on, or a text file of one name a line."


def read_labels(path: Path, num_classes: int) -> tuple[str, ...]:
    """Read the names of `num_classes` classes, in the order of their logits.

    Three formats: CSV lines `id,name` in any order, with or without the header `id,name` (names with commas in quotes,
    or, as some are published, without); `<number> <name>` a line, the numbers from 0 on or, as UCF's, from 1; or, in a
    `.txt`, one name a line. Empty lines are passed over.

    Raises:
        LabelError: the file can't be read, or ids or names have holes or repeat; it names the line.
    """
    text = _read(path)
    named = _table(path, text)
    if not _is_table(text):
        named = _numbered_lines(text) or (_plain_lines(text) if path.suffix.lower() == ".txt" else named)
    names: dict[int, tuple[str, int]] = {}
    lines: dict[str, int] = {}
    for line, index, given in named:
        name = composed(given)
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
    return [(line, index, name) for index, (line, name) in enumerate(_filled(text))]


def _numbered_lines(text: str) -> list[tuple[int, int, str]]:
    """`<number> <name>` a line, as UCF's `classInd.txt`, numbers from 0; empty where a line isn't so."""
    found = [(line, _NUMBERED.fullmatch(written)) for line, written in _filled(text)]
    numbered = [(line, int(one["number"]), one["name"]) for line, one in found if one is not None]
    if len(numbered) < len(found):
        return []
    first = int(sorted(number for _, number, _ in numbered) == list(range(1, len(numbered) + 1)))
    return [(line, number - first, name) for line, number, name in numbered]


def _filled(text: str) -> list[tuple[int, str]]:
    return [(line, written.strip()) for line, written in enumerate(text.splitlines(), 1) if written.strip()]


def _table(path: Path, text: str) -> Iterable[tuple[int, int, str]]:
    lines = text.splitlines(keepends=True)
    reader = csv.reader(lines, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise _error(path, reader.line_num, f"it is not CSV ({error})", hint=_FORMAT) from error
    # With more fields in each line there are more columns; where some lines have two, a name has commas.
    has_two_columns = any(len(cells) == 2 for _, cells in rows)
    for line, cells in rows[1:] if rows and _is_header(rows[0][1]) else rows:
        whole = lines[line - 1]
        has_commas = has_two_columns and len(cells) > 2 and '"' not in whole
        yield line, *_entry(path, line, [cells[0], whole.partition(",")[2].strip()] if has_commas else cells)


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
    return read_number(text) is not None


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
