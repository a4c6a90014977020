"""`dvfl-mobile check-app`: judge what an app made of its conformance pack, stage by stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dvfl_mobile.cli.options import Annotations, Because, Json, JUnit, Markdown, MinSqnr
from dvfl_mobile.cli.output import print_report, show_annotations

if TYPE_CHECKING:
    from dvfl_mobile.pack.judging.verdict import PackReport

_DEFAULT_PACK = "pack.zip"

Results = Annotated[
    Path, typer.Argument(metavar="RESULTS", help="The pack-results.json that the app wrote.", show_default=False)
]
PackFile = Annotated[
    Path | None,
    typer.Option(
        "--pack",
        metavar="FILE",
        help="The pack that the results are of. Default: pack.zip beside them.",
        show_default=False,
    ),
]
EveryCheck = Annotated[bool, typer.Option("--verbose", "-v", help="Show every check, not a row for each stage.")]


def check_app(
    results: Results,
    pack: PackFile = None,
    min_sqnr: MinSqnr = None,
    because: Because = None,
    verbose: EveryCheck = False,
    json: Json = False,
    junit: JUnit = None,
    markdown: Markdown = None,
    annotations: Annotations = None,
) -> NoReturn:
    """Check that an app does what its conformance pack says, from the file to the logits.

    Its results are judged stage by stage, and the first stage that is off is named with its likely cause.

    Ends with 0 (pass), 5 (fail) or 7 (stages are missing).
    """
    from dvfl_mobile.cli.progress import quiet_vendors
    from dvfl_mobile.parity.thresholds import check_change

    check_change(min_sqnr, because)
    with quiet_vendors():
        report = judge_results(results, pack, min_sqnr, because)
    show_conformance(report, verbose=verbose, json=json, junit=junit, markdown=markdown)
    if annotations is not None:
        show_annotations(report)
    raise typer.Exit(report.verdict.exit_code)


def judge_results(
    path: Path, pack_path: Path | None = None, min_sqnr_db: float | None = None, because: str | None = None
) -> PackReport:
    """Judge what an app made of a pack; without `pack_path`, of the pack.zip beside it.

    Raises:
        InputError: results or pack can't be understood, or don't belong together.
    """
    from dvfl_mobile.pack import archive, results
    from dvfl_mobile.pack.judging import judge
    from dvfl_mobile.parity.thresholds import asked_thresholds

    where = pack_path or path.parent / _DEFAULT_PACK
    found = results.read(path)
    opened = archive.read(where)
    results.check_belongs(found, path, opened.contents, opened.sha256, where)
    thresholds = asked_thresholds(opened.contents.artifact.recipe, min_sqnr_db, because)
    return judge.judge(opened, found, where, path, thresholds)


def show_conformance(
    report: PackReport, *, verbose: bool, json: bool, junit: Path | None, markdown: Path | None
) -> None:
    """What an app made of its conformance pack."""
    from dvfl_mobile.report import conformance

    files = ((junit, conformance.junit), (markdown, conformance.markdown))
    print_report(report, lambda found: conformance.terminal(found, verbose=verbose), files, json=json)
