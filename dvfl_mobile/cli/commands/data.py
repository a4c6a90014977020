"""`dvfl-mobile data check`: check that a data set is complete, and list its splits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dvfl_mobile.cli.console import print_json, print_rich, print_text
from dvfl_mobile.cli.options import DataRoot, Json

if TYPE_CHECKING:
    from dvfl_mobile.data.check import DataReport


app = typer.Typer(rich_markup_mode=None, help="Look at data sets.")

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="ucf50, ucf101, hmdb51, ssv2, kinetics400, a folder, or a CSV of path,label; with :groups behind it, "
        "split by UCF's groups.",
        show_default=False,
    ),
]
Decode = Annotated[bool, typer.Option("--decode", help="Also decode every video from end to end.")]
Workers = Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Threads that decode.")]
AllowLeaks = Annotated[bool, typer.Option("--allow-leaks", help="Accept splits that share videos or groups.")]


@app.callback(invoke_without_command=True)
def _group(context: typer.Context) -> None:
    """Look at data sets."""
    if context.invoked_subcommand is None:
        print_text(context.get_help())


@app.command()
def check(
    source: Source,
    data_root: DataRoot = None,
    decode: Decode = False,
    workers: Workers = 2,
    allow_leaks: AllowLeaks = False,
    json: Json = False,
) -> None:
    """Say whether a data set is here and whole, what its splits are, and what they share.

    Ends with 0, 3 (it isn't here, or isn't whole) or 5 (its splits share videos or groups: no accuracy can be claimed).
    """
    from dvfl_mobile.cli.progress import steps
    from dvfl_mobile.data.check import check_data
    from dvfl_mobile.errors import CheckFailedError, VideoError
    from dvfl_mobile.report.data import leak_sentence

    with steps() as step:
        report = check_data(source, data_root, decode=decode, workers=workers, step=step)
    if json:
        print_json(report)
    else:
        show_data(report)
    if not report.is_whole:
        hint = report.hints[0] if report.hints else "Unpack or download what is missing."
        raise VideoError(f"{source} isn't whole: {report.problems[0]}", hint=hint)
    if report.leak and not allow_leaks:
        raise CheckFailedError(
            leak_sentence(report),
            hint=f"Split it by group instead: {source}:groups. Or --allow-leaks, where nothing is claimed from it.",
        )


def show_data(report: DataReport) -> None:
    """What was found of a data set."""
    from dvfl_mobile.report import data

    print_rich(data.terminal(report))
