"""`dvfl-mobile check-package`: compare a Core ML package that was made elsewhere with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dvfl_mobile.cli.options import Because, Json, MinSqnr
from dvfl_mobile.cli.output import print_report

if TYPE_CHECKING:
    from dvfl_mobile.parity.mlpackage import PackageReport

Package = Annotated[
    Path, typer.Argument(metavar="PACKAGE", help="An ML program, as an .mlpackage folder.", show_default=False)
]
Answers = Annotated[
    Path,
    typer.Option(
        "--reference",
        metavar="FILE",
        help="An .npz with an array for each input and each output, by their names; samples along a new first axis.",
        show_default=False,
    ),
]


def check_package(
    package: Package, reference: Answers, min_sqnr: MinSqnr = None, because: Because = None, json: Json = False
) -> NoReturn:
    """Check that a Core ML package gives the outputs that it should, whoever made it.

    It is run on any system by our own executor, in a process of its own, and each output is held to the SQNR of the
    numbers that the program computes in.

    Ends with 0 (pass) or 5 (fail).
    """
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.parity.mlpackage import check_package as check
    from dvfl_mobile.parity.thresholds import check_change

    check_change(min_sqnr, because)
    with steps() as step:
        found = check(package, reference, min_sqnr, because, step)
    show_package(found, json=json)
    raise typer.Exit(found.verdict.exit_code)


def show_package(report: PackageReport, *, json: bool) -> None:
    """What a package that this project didn't make gives, beside what it should."""
    from dvfl_mobile.report import foreign

    print_report(report, foreign.terminal, (), json=json)
