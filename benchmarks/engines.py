"""Run the default student and checkpoints on every engine that needs no phone, and write docs/status.md's tables.

    python benchmarks/engines.py DATA [CHECKPOINT...] [--soc SM8750] [--clips 8] [--engine-clips 2]
    python benchmarks/engines.py --read build/engines/*.json

DATA is in UCF's layout: scales are found on its clips, and --clips of its videos are compared. Each run is
`dvfl-mobile deploy --engines all --json`, and stays in build/engines: with --read they are only written down again,
and several runs of one network become one table, of which the later ones count. What an emulator takes says nothing of
a device, so that there is no time in any table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from dvfl_mobile.documents import Verdict
from dvfl_mobile.files import write_text
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary
from dvfl_mobile.report.formats import markdown as md
from dvfl_mobile.wording import decibels

ROOT = Path(__file__).parents[1]
PAGE, KEPT = ROOT / "docs" / "status.md", ROOT / "build" / "engines"
BEGIN, END = "<!-- written by benchmarks/engines.py -->", "<!-- until here -->"


def run(data: Path, checkpoint: Path | None, options: argparse.Namespace) -> Path:
    """One deploy to everything that is here; its document's path."""
    name = checkpoint.stem if checkpoint else "default"
    command = [str(Path(sys.executable).with_name("dvfl-mobile")), "deploy", *([str(checkpoint)] if checkpoint else [])]
    command += ["--engines", "all", "--soc", options.soc, "--calib", str(data), "--clips", str(data)]
    command += ["--max-clips", str(options.clips), "--engine-clips", str(options.engine_clips)]
    command += ["--out", str(KEPT / "out"), "--json"]
    print(" ".join(command), file=sys.stderr)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    path = KEPT / f"{name}.json"
    write_text(path, done.stdout)
    return path


def tables(summaries: Sequence[DeploySummary]) -> str:
    """The section on one network."""
    rows = list({(row.engine, row.name): row for summary in summaries for row in summary.rows}.values())
    recipes = list(dict.fromkeys(row.recipe for row in rows))
    first = summaries[0]
    ran = {row.engine for row in rows}
    absent = {entry.engine: entry.why for summary in summaries for entry in summary.not_run if entry.engine not in ran}
    undecided = [row for row in rows if row.verdict is Verdict.INCONCLUSIVE]
    notes = [note for summary in summaries for note in summary.notes if " was left out: " in note]
    return md.document(
        [
            f"### {first.model.capitalize()}: {first.checkpoint}",
            md.table(("engine", "target", *recipes), _by_engine(rows, recipes)),
            md.table(("size", *recipes), _sizes(rows, recipes)),
            md.bullets(
                [
                    *(f"Failed: {row.place}. {' '.join(row.reasons)}" for row in rows if row.verdict is Verdict.FAIL),
                    *(f"Not run: {row.place}. {' '.join(row.reasons)}" for row in undecided),
                    *(f"Not run: {engine}. {why}" for engine, why in absent.items()),
                    *(f"Not made: {note}" for note in dict.fromkeys(notes)),
                ]
            ),
        ]
    )


def _by_engine(rows: Sequence[DeployRow], recipes: Sequence[str]) -> Iterable[tuple[str, ...]]:
    order = {name: place for place, name in enumerate(dict.fromkeys(row.engine for row in rows))}
    pairs = dict.fromkeys((row.engine, row.target) for row in sorted(rows, key=lambda row: order[row.engine]))
    for engine, target in pairs:
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


def write(paths: Sequence[Path]) -> None:
    """Put the tables of all documents into the page, between its two marks."""
    by_model: dict[str, list[DeploySummary]] = {}
    for path in paths:
        summary = DeploySummary.model_validate_json(path.read_text(encoding="utf-8"))
        by_model.setdefault(f"{summary.model}, {summary.checkpoint}", []).append(summary)
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        sys.exit(f"{PAGE} has no place for the tables: {BEGIN} and {END}")
    sections = "\n".join(map(tables, by_model.values()))
    write_text(PAGE, f"{before}{BEGIN}\n\n{sections}\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="+", metavar="DATA [CHECKPOINT...]")
    parser.add_argument("--read", action="store_true", help="the paths are documents of earlier runs")
    parser.add_argument("--soc", default="SM8750")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--engine-clips", type=int, default=8)
    options = parser.parse_args()
    if options.read:
        write(options.paths)
        return
    data, *checkpoints = options.paths
    write([run(data, checkpoint, options) for checkpoint in [None, *checkpoints]])


if __name__ == "__main__":
    main()
