"""Printing what commands found: results on stdout, as a table or as JSON, and files for CI."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dvfl_mobile.cli.console import print_json, print_note, print_warning

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import RenderableType

    from dvfl_mobile.artifacts.make import Artifact
    from dvfl_mobile.artifacts.manifest import Manifest
    from dvfl_mobile.data.check import DataReport
    from dvfl_mobile.evaluation.accuracy import AccuracyReport
    from dvfl_mobile.evaluation.document import EvaluationReport
    from dvfl_mobile.gpu_delegate.report import GpuDelegateReport
    from dvfl_mobile.locating.document import Location
    from dvfl_mobile.model.student import Student
    from dvfl_mobile.pack.judging.verdict import PackReport
    from dvfl_mobile.pack.making.build import BuiltPack
    from dvfl_mobile.parity.mlpackage import PackageReport
    from dvfl_mobile.parity.report import ParityReport
    from dvfl_mobile.pipeline.prediction import Prediction
    from dvfl_mobile.pipeline.quantize import Quantized
    from dvfl_mobile.pipeline.summary import DeploySummary
    from dvfl_mobile.quantization.mixed.sensitivity import Sensitivity

_Report = TypeVar("_Report", bound="BaseModel")


def show_student(student: Student, notes: Sequence[str] = ()) -> None:
    """Say what had to be assumed of a student, before the long work begins."""
    from dvfl_mobile.model.source import weights_notes

    for sentence in weights_notes(student.source.kind):
        print_warning(sentence)
    for sentence in (*student.notes, *notes):
        print_note(sentence)


def show_artifacts(made: Sequence[Artifact], *, json: bool) -> None:
    """A line for each artifact that was made."""
    from rich.table import Table

    from dvfl_mobile.report import contents

    if json:
        artifacts = [{"folder": str(a.folder), "manifest": a.manifest.model_dump(mode="json")} for a in made]
        print_json({"schema_version": 1, "artifacts": artifacts})
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("artifact", "size", "delegated", "to"):
        table.add_column(column, overflow="fold")
    for artifact in made:
        manifest = artifact.manifest
        delegation = manifest.delegation
        size = f"{manifest.size_bytes / 1e6:.1f} MB"
        table.add_row(str(artifact.folder), size, contents.share(delegation), delegation.delegate)
    _print(table)


def show_parity(
    report: ParityReport,
    *,
    verbose: bool,
    json: bool,
    junit: Path | None,
    markdown: Path | None,
    located: Location | None = None,
) -> None:
    """One comparison; as JSON, with where it goes wrong, where that was asked for."""
    from dvfl_mobile.report.formats import junit as junit_report
    from dvfl_mobile.report.formats import markdown as markdown_report
    from dvfl_mobile.report.formats import terminal

    files = ((junit, junit_report.parity), (markdown, markdown_report.parity))
    _show(report, lambda found: terminal.parity(found, verbose=verbose), files, json=json, located=located)


def show_location(located: Location, plot: Path, *, json: bool) -> None:
    """Where an artifact leaves its reference, with a picture at `plot`; JSON has been given with the comparison."""
    from dvfl_mobile.errors import MissingDependencyError
    from dvfl_mobile.report import location

    if not json:
        _print(location.terminal(located))
    try:
        location.plot(located, plot)
    except MissingDependencyError as error:
        print_note(f"There is no picture: {error.problem} {error.hint}")
    else:
        print_note(f"The picture is {plot}.")


def show_package(report: PackageReport, *, json: bool) -> None:
    """What a package that this project didn't make gives, beside what it should."""
    from dvfl_mobile.report import foreign

    _show(report, foreign.terminal, (), json=json)


def show_conformance(
    report: PackReport, *, verbose: bool, json: bool, junit: Path | None, markdown: Path | None
) -> None:
    """What an app made of its conformance pack."""
    from dvfl_mobile.report import conformance

    files = ((junit, conformance.junit), (markdown, conformance.markdown))
    _show(report, lambda found: conformance.terminal(found, verbose=verbose), files, json=json)


def show_pack(built: BuiltPack, path: Path, *, json: bool) -> None:
    """A conformance pack that was made."""
    from dvfl_mobile.report import conformance

    if json:
        made = {"path": str(path), "size_bytes": len(built.data), "notes": list(built.notes)}
        print_json({"schema_version": 1, **made, "pack": built.contents.model_dump(mode="json")})
    else:
        _print(conformance.pack_terminal(built, str(path)))


def show_annotations(report: ParityReport | PackReport) -> None:
    """What failed, for GitHub to show beside the code; it reads stderr as well as stdout."""
    from dvfl_mobile.report.formats import annotations

    title, file = annotations.subject(report)
    sys.stderr.write(annotations.github(report.verdict, title, report.reasons, file))


def show_evaluation(
    report: EvaluationReport, folder: Path, *, json: bool, junit: Path | None, markdown: Path | None
) -> None:
    """One evaluation, and the artifact's confusion matrix as a picture in its folder."""
    from dvfl_mobile.report import evaluation
    from dvfl_mobile.report.confusion import PICTURE_NAME

    files = ((junit, evaluation.junit), (markdown, evaluation.markdown))
    _show(report, evaluation.terminal, files, json=json)
    if report.rows:
        _draw(lambda path: evaluation.draw(report, path), folder / PICTURE_NAME)


def show_accuracy(report: AccuracyReport, out: Path | None, *, json: bool, markdown: Path | None) -> None:
    """A checkpoint's accuracy; report and confusion matrix also go into `out`."""
    from dvfl_mobile import documents as jsondoc
    from dvfl_mobile.files import write_text
    from dvfl_mobile.report import accuracy
    from dvfl_mobile.report.confusion import PICTURE_NAME

    _show(report, accuracy.terminal, ((markdown, accuracy.markdown),), json=json)
    if out is not None:
        write_text(out / "accuracy.json", jsondoc.text(report))
        _draw(lambda path: accuracy.draw(report, path), out / PICTURE_NAME)
    elif not json:
        print_note("-o FOLDER keeps this report, and the confusion matrix as a picture.")


def show_data(report: DataReport) -> None:
    """What was found of a data set."""
    from dvfl_mobile.report import data

    _print(data.terminal(report))


def show_summary(summary: DeploySummary, *, json: bool, junit: Path | None, markdown: Path | None) -> None:
    """All that one deploy made."""
    from dvfl_mobile.report.formats import junit as junit_report
    from dvfl_mobile.report.formats import markdown as markdown_report
    from dvfl_mobile.report.formats import terminal

    files = ((junit, junit_report.deploy), (markdown, markdown_report.deploy))
    _show(summary, terminal.deploy, files, json=json)


def show_quantized(made: Quantized, *, json: bool) -> None:
    """A quantized form, and for `auto` what was kept."""
    from dvfl_mobile.report import quantized, sensitivity

    if json:
        print_json(made.summary)
        return
    _print(quantized.terminal(made.summary))
    if made.mixed is not None:
        cost = made.cost
        latency, sizes = (cost.latency, cost.sizes) if cost else (None, None)
        _print(sensitivity.kept_terminal(made.mixed, latency=latency, sizes=sizes))


def show_sensitivity(found: Sensitivity, plot: Path, *, json: bool) -> None:
    """What quantizing each part alone costs: a table, and a picture at `plot`."""
    from dvfl_mobile.report import sensitivity

    try:
        sensitivity.plot(found, plot)
    finally:
        if json:
            print_json(found)
        else:
            _print(sensitivity.terminal(found))
    print_note(f"The picture is {plot}.")


def show_prediction(prediction: Prediction, *, json: bool) -> None:
    """What an artifact says of a video."""
    from dvfl_mobile.report.prediction import terminal

    if json:
        print_json(prediction)
    else:
        _print(terminal(prediction))


def show_manifest(
    manifest: Manifest, folder: Path, *, operators: bool, json: bool, gpu: GpuDelegateReport | None = None
) -> None:
    """What is in an artifact, and what a GPU delegate would take of it where that is known."""
    from dvfl_mobile.report import contents, gpu_delegate

    if json:
        print_json(manifest if gpu is None else _joined(manifest, "gpu_delegate", gpu))
        return
    _print(contents.terminal(manifest, folder, operators=operators))
    if gpu is not None:
        _print(gpu_delegate.terminal(gpu, operators=operators))


def _draw(draw: Callable[[Path], None], path: Path) -> None:
    """Draw a picture that nothing depends on: where it can't be drawn, or not there, that is said and no more."""
    from dvfl_mobile.errors import MissingDependencyError, OutputError

    try:
        draw(path)
    except (MissingDependencyError, OutputError) as error:
        print_note(f"The confusion matrix wasn't drawn: {error.problem}")
        return
    print_note(f"The confusion matrix is {path}.")


def _show(
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
            print_json(report if located is None else _joined(report, "locate", located))
        else:
            _print(render(report))


def _joined(report: BaseModel, name: str, more: BaseModel) -> dict[str, Any]:
    """A document with another in it."""
    from json import loads

    # By way of text, in which infinities are strings.
    return {**loads(report.model_dump_json()), name: loads(more.model_dump_json())}


def _print(renderable: RenderableType) -> None:
    from rich.console import Console

    Console(highlight=False).print(renderable)
