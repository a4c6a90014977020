"""A trained checkpoint on real clips, through every target and recipe: parity, size, and how many are right.

    python benchmarks/real_clips.py CHECKPOINT DATA [--recipes fp32 fp16] [--out FOLDER] [--markdown FILE]

DATA is a folder in UCF's layout; the clips of its groups 1 to 7 are used, as UCF101's official list 1 tests on. The
classes of the checkpoint are the folders' names in alphabetical order.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dvfl_mobile.cli.progress import steps
from dvfl_mobile.data.videos import VideoRef, by_group, find_videos
from dvfl_mobile.documents import Verdict
from dvfl_mobile.parity.report import ParityReport
from dvfl_mobile.pipeline.compare import PARITY_NAME
from dvfl_mobile.pipeline.deploy import deploy
from dvfl_mobile.pipeline.load import load_student
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.pipeline.summary import DeployRow
from dvfl_mobile.progress import Step
from dvfl_mobile.wording import decibels


def write_lists(data: Path, folder: Path) -> tuple[Path, Path, int]:
    """The test clips as a `path,label` list and the classes as an `id,name` file; and how many clips there are."""
    found = find_videos(data)
    classes = sorted({ref.class_name for ref in found if ref.class_name})
    _, test = by_group(found)
    clips, labels = folder / "clips.csv", folder / "labels.csv"
    _write(clips, ["path", "label"], [(ref.path.resolve(), _class_of(ref, classes)) for ref in test])
    _write(labels, ["id", "name"], list(enumerate(classes)))
    return clips, labels, len(test)


def _class_of(ref: VideoRef, classes: Sequence[str]) -> int:
    assert ref.class_name is not None
    return classes.index(ref.class_name)


def _write(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([head, *rows])


def line(row: DeployRow) -> list[str]:
    """A line of the table, from the summary's row and the report that stands beside the artifact."""
    report = ParityReport.model_validate_json((Path(row.path) / PARITY_NAME).read_text(encoding="utf-8"))
    size = f"{row.size_bytes / 1e6:.1f} MB"
    if report.pooled is None:
        return [row.target, row.recipe, size, "not run here", "", "", ""]
    worst = min(clip.sqnr_db for clip in report.rows if clip.sqnr_db is not None)
    right = sum(clip.candidate_top1 == clip.label for clip in report.rows)
    reference = sum(clip.reference_top1 == clip.label for clip in report.rows)
    agreement = report.pooled.agreement
    return [
        row.target,
        row.recipe,
        size,
        decibels(report.pooled.sqnr_db),
        decibels(worst),
        agreement,
        f"{right} of {len(report.rows)} (reference: {reference})",
    ]


def run(checkpoint: Path, data: Path, recipes: Sequence[str], out: Path, step: Step) -> tuple[list[list[str]], bool]:
    """The lines of the table, and whether nothing failed."""
    with tempfile.TemporaryDirectory() as folder:
        clips, labels, count = write_lists(data, Path(folder))
        student = load_student(checkpoint, labels)
        lines, good = [], True
        for recipe in recipes:
            summary = deploy(student, make_plan([], recipe, out), clips, count, step)
            lines += [line(row) for row in summary.rows]
            good = good and summary.verdict is not Verdict.FAIL
    return lines, good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--recipes", nargs="+", default=["fp32", "fp16"])
    parser.add_argument("--out", type=Path, default=Path("out"))
    parser.add_argument("--markdown", type=Path, help="also write the table here")
    options = parser.parse_args()
    with steps() as step:
        lines, good = run(options.checkpoint, options.data, options.recipes, options.out, step)
    head = ["target", "recipe", "size", "SQNR, all clips", "SQNR, worst clip", "top-1 as reference", "top-1 right"]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n", encoding="utf-8")
    return 0 if good else 5


if __name__ == "__main__":
    sys.exit(main())
