"""Render the comparison of a foreign Core ML package on the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from dvfl_mobile.parity.mlpackage import PackageReport
from dvfl_mobile.report.formats.terminal import grid, headline, paragraph
from dvfl_mobile.wording import decibels, plural

_COLUMNS = ("output", "SQNR", "required", "largest difference", "cosine", "")


def terminal(report: PackageReport) -> RenderableType:
    """The verdict, and a row for each output."""
    rows = [
        (
            row.name,
            decibels(row.sqnr_db),
            f"at least {report.min_sqnr_db:g} dB",
            "-" if row.max_abs is None else f"{row.max_abs:.3g}",
            "-" if row.cosine is None else f"{row.cosine:.7f}",
            row.verdict.value,
        )
        for row in report.outputs
    ]
    source = (
        f"{plural(report.samples, 'sample')} from {report.reference}; the program computes in {report.computes_in}."
    )
    return Group(
        headline(report.verdict, report.package),
        Text(source),
        Text(),
        grid(_COLUMNS, rows, names={0}, right={1, 3, 4}, verdict=5),
        *paragraph(report.notes),
    )
