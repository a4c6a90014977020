"""Print a command's results to stdout, as a table or as JSON, and write files for CI."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dvfl_mobile.cli.console import print_json, print_note, print_rich, print_warning

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dvfl_mobile.documents import Document
    from dvfl_mobile.errors import DvflMobileError
    from dvfl_mobile.locating.document import Location
    from dvfl_mobile.model.student import Student
    from dvfl_mobile.pack.judging.verdict import PackReport
    from dvfl_mobile.parity.report import ParityReport
    from dvfl_mobile.report.model_explorer.node_data import NodeData


_Report = TypeVar("_Report", bound="Document")


def show_student(student: Student, notes: Sequence[str] = ()) -> None:
    """Say what had to be assumed of a student, before the long work begins."""
    from dvfl_mobile.model.source import weights_notes

    for sentence in weights_notes(student.source.kind):
        print_warning(sentence)
    show_notes((*student.notes, *notes))


def show_notes(notes: Sequence[str]) -> None:
    """A line for each."""
    for sentence in notes:
        print_note(sentence)


def print_report(
    report: _Report,
    render: Callable[[_Report], RenderableType],
    files: Sequence[tuple[Path | None, Callable[[_Report], str]]],
    *,
    json: bool,
    located: Location | None = None,
) -> None:
    """Write the files that were asked for, and print the report."""
    from dvfl_mobile.files import write_text

    try:
        for path, render_file in files:
            if path is not None:
                write_text(path, render_file(report))
    finally:  # a file that can't be written takes nothing from what was found
        if json:
            print_json(report if located is None else joined(report, "locate", located))
        else:
            print_rich(render(report))


def joined(report: Document, name: str, more: Document) -> dict[str, Any]:
    """A document with another in it."""
    from json import loads

    # By way of text, in which infinities are strings.
    return {**loads(report.model_dump_json()), name: loads(more.model_dump_json())}


def show_picture(path: Path, draw: Callable[[Path], None]) -> None:
    """Draw a picture and say where it is, or why there is none."""
    error = why_not_drawn(path, draw)
    print_note(f"The picture is {path}." if error is None else f"There is no picture: {error.problem} {error.hint}")


def show_node_data(model: Path, make: Callable[[Path], Iterable[tuple[str, NodeData]]]) -> None:
    """Leave node data for Model Explorer beside a model that its own reader takes, and say where; nothing of others."""
    from dvfl_mobile.errors import ArtifactError, OutputError

    if model.suffix != ".tflite":
        return
    try:
        found = [(model.parent / name, data) for name, data in make(model) if data.values]
        for path, data in found:
            data.write(path)
    except (ArtifactError, OutputError) as error:
        print_note(f"There is no node data for Model Explorer: {error.problem} {error.hint}")
        return
    if found:
        print_note(f"Node data for Model Explorer: {', '.join(str(path) for path, _ in found)}.")


def why_not_drawn(path: Path, draw: Callable[[Path], None]) -> DvflMobileError | None:
    """Draw a picture that nothing depends on; why it can't be drawn, or not there, or None."""
    from dvfl_mobile.cli.progress import quiet_vendors
    from dvfl_mobile.errors import MissingDependencyError, OutputError

    try:
        with quiet_vendors():
            draw(path)
    except (MissingDependencyError, OutputError) as error:
        return error
    return None


def show_annotations(report: ParityReport | PackReport) -> None:
    """What failed, for GitHub to show beside the code; it reads stderr as well as stdout."""
    from dvfl_mobile.report.formats import annotations

    title, file = annotations.subject(report)
    with suppress(OSError):
        sys.stderr.write(annotations.github(report.verdict, title, report.reasons, file))
