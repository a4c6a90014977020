"""Run the default student and checkpoints on every engine that needs no phone, and write docs/status.md's tables.

    python benchmarks/engines.py DATA [CHECKPOINT...] [--soc SM8750] [--clips 8] [--engine-clips 2]
    python benchmarks/engines.py --read out/pico out/nano

DATA is in UCF's layout: scales are found on its clips, and --clips of its videos are compared. Each run is
`dvfl-mobile deploy --engines all`, below build/engines. With --read nothing is run: the reports that runs left in the
folders of a network's artifacts are written down, of each engine the last. What an emulator takes says nothing of a
device, so that there is no time in any table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pages import write_between

from dvfl_mobile import targets
from dvfl_mobile.artifacts.make import open_artifact
from dvfl_mobile.documents import Verdict
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.pipeline.engines import WITHOUT_A_PHONE
from dvfl_mobile.pipeline.summary import DeployRow
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.wording import decibels

ROOT = Path(__file__).parents[1]
PAGE, KEPT = ROOT / "docs" / "status.md", ROOT / "build" / "engines"
BEGIN, END = "<!-- written by benchmarks/engines.py -->", "<!-- until here -->"


def run(data: Path, checkpoint: Path | None, options: argparse.Namespace) -> None:
    """One deploy to everything that is here; its reports stay in the artifacts' folders."""
    command = [str(Path(sys.executable).with_name("dvfl-mobile")), "deploy", *([str(checkpoint)] if checkpoint else [])]
    command += ["--engines", "all", "--soc", options.soc, "--calib", str(data), "--clips", str(data)]
    command += ["--max-clips", str(options.clips), "--engine-clips", str(options.engine_clips), "--out", str(KEPT)]
    print(" ".join(command), file=sys.stderr)
    subprocess.run(command, check=False)  # what failed is in the reports too


def rows_of(model: Path) -> list[DeployRow]:
    """A row for each report in the folders of a network's artifacts, `out/MODEL`."""
    rows = []
    for path in sorted(model.glob("*/*/parity*.json")):
        manifest = open_artifact(path.parent).manifest
        report = ParityReport.model_validate_json(path.read_text(encoding="utf-8"))
        rows.append(DeployRow.of(report, size_bytes=manifest.size_bytes, delegation=manifest.delegation))
    return sorted(rows, key=_order)


def _order(row: DeployRow) -> tuple[int, ...]:
    family = targets.target_named(row.target).family
    return (
        [*WITHOUT_A_PHONE, row.engine].index(row.engine),
        [*targets.TARGETS].index(family),
        [*RECIPES].index(row.recipe),
    )


def tables(model: Path) -> str:
    """The section on one network, whose artifacts are in `model`."""
    rows = rows_of(model)
    recipes = [name for name in RECIPES if any(row.recipe == name for row in rows)]
    absent = [name for name in WITHOUT_A_PHONE if name not in {row.engine for row in rows}]
    said = [
        *(f"Failed: {row.place}. {' '.join(row.reasons)}" for row in rows if row.verdict is Verdict.FAIL),
        *(f"Not run: {row.place}. {' '.join(row.reasons)}" for row in rows if row.clips is None),
        *(f"Not run: {name}, for this table." for name in absent),
    ]
    return md.document(
        [
            f"### {model.name.capitalize()}",
            md.table(("engine", "target", *recipes), _by_engine(rows, recipes)),
            md.table(("size", *recipes), _sizes(rows, recipes)),
            md.bullets(said),
        ]
    )


def _by_engine(rows: Sequence[DeployRow], recipes: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for engine, target in dict.fromkeys((row.engine, row.target) for row in rows):
        found = {row.recipe: row for row in rows if (row.engine, row.target) == (engine, target)}
        run_by = next((row.run_by for row in found.values() if row.run_by), None)
        place = engine if engine != "host" or run_by is None else f"{engine}: {run_by}"
        yield place, target, *(_cell(found.get(recipe)) for recipe in recipes)


def _cell(row: DeployRow | None) -> str:
    """SQNR, that of the worst clip, agreement and pieces; empty where there is no such artifact."""
    if row is None:
        return ""
    if row.clips is None:
        return "not run"
    pieces = "-" if row.delegate_calls is None else str(row.delegate_calls)
    mark = "" if row.verdict is Verdict.PASS else f" {row.verdict.value}"
    worst = decibels(row.worst_sqnr_db).removesuffix(" dB")
    return f"{decibels(row.sqnr_db)} ({worst}), {row.agreeing}/{row.clips}, {pieces}{mark}"


def _sizes(rows: Sequence[DeployRow], recipes: Sequence[str]) -> Iterable[tuple[str, ...]]:
    for target in dict.fromkeys(row.target for row in rows):
        sizes = {row.recipe: f"{row.size_bytes / 1e6:.1f} MB" for row in rows if row.target == target}
        yield target, *(sizes.get(recipe, "") for recipe in recipes)


def write(models: Sequence[Path]) -> None:
    """Put the tables of all networks into the page, between its two marks."""
    sections = "\n".join(map(tables, models))
    write_between(PAGE, BEGIN, f"\n\n{sections}\n", END)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", metavar="DATA [CHECKPOINT...]")
    parser.add_argument("--read", action="store_true", help="the paths are folders of networks, out/MODEL")
    parser.add_argument("--soc", default="SM8750")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--engine-clips", type=int, default=8)
    options = parser.parse_args()
    if options.read:
        write(options.paths)
        return
    data, *checkpoints = options.paths
    for checkpoint in (None, *checkpoints):
        run(data, checkpoint, options)
    write(sorted(folder for folder in KEPT.iterdir() if folder.is_dir()))


if __name__ == "__main__":
    main()
