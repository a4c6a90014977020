"""Make the embedded default student from a distilled checkpoint: half-precision weights and measured figures.

    python benchmarks/pico.py STUDENT DATA --result TRAINING.json --teacher CHECKPOINT [--measure-only]

STUDENT is what `dvfl-mobile distill` left (last/student.safetensors where nothing was validated), and TRAINING.json
its report beside it; docs/distill.md has the command. DATA is in UCF's layout: calibration takes the training groups,
and every count is of the test groups, which neither the student nor its scales ever saw. Weights are rounded to half
precision first: what ships is what is counted. Everything is written into the package of this checkout
(dvfl_mobile/model/embedded); --measure-only counts what is there again and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from dvfl_mobile.cli.progress import steps
from dvfl_mobile.evaluation.evaluate import Question, evaluate
from dvfl_mobile.files import sha256_of, write_text
from dvfl_mobile.model.build import build_network, sha256_of_weights
from dvfl_mobile.model.card import ModelCard, RecordedScore, embedded_card
from dvfl_mobile.model.checkpoint.load import load_checkpoint
from dvfl_mobile.model.default import DEFAULT_NAME, default_student
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.model.student import METADATA_KEY, Student, StudentMetadata
from dvfl_mobile.pipeline import quantize as quantizing
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.pipeline.quantize_plan import plan_for_deploy
from dvfl_mobile.progress import Step
from dvfl_mobile.recipes import recipe_named
from dvfl_mobile.version import __version__

FOLDER = Path(__file__).parents[1] / "dvfl_mobile" / "model" / "embedded"
RECIPES = {
    "fp16": ("executorch", "tflite", "coreml"),
    "dynamic_wi8_afp32": ("executorch", "tflite"),
    "static_wi8_ai8": ("executorch", "tflite", "coreml"),
}
MOST_BYTES = 6_000_000


def write_half(student: Student, path: Path) -> Student:
    """Store a student in half precision, and return what that is when it is read again."""
    from safetensors.torch import save

    half = {key: value.half().contiguous() for key, value in student.network.state_dict().items()}
    whole = {key: value.float() for key, value in half.items()}
    source = WeightSource(
        kind="checkpoint",
        name=DEFAULT_NAME,
        sha256=sha256_of_weights(whole),
        size_bytes=sum(value.nbytes for value in whole.values()),
    )
    metadata = StudentMetadata(
        architecture=student.architecture,
        classes=student.classes,
        clip=student.clip,
        source=source,
        notes=(),
        weights_sha256=sha256_of_weights(half),
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(save(half, metadata={METADATA_KEY: metadata.model_dump_json()}))
    size = path.stat().st_size
    if size > MOST_BYTES:
        sys.exit(f"{path} has {size:,} bytes, and may have {MOST_BYTES:,}")
    return replace(student, network=build_network(student.architecture, whole), source=source, notes=())


def scores(student: Student, data: Path, step: Step) -> Iterator[RecordedScore]:
    """PyTorch's score, then each recipe's on each of its targets."""
    is_first = True
    with tempfile.TemporaryDirectory() as folder:
        for recipe, targets in RECIPES.items():
            model = _in_recipe(student, recipe, data, step)
            plan = make_plan(list(targets), recipe, Path(folder), None)
            for artifact in convert(model, plan, step):
                pooled = evaluate(artifact, Question(data), step=step).pooled
                assert pooled is not None
                if is_first:
                    top1 = pooled.reference.top1
                    yield RecordedScore(recipe="fp32", target=None, right=top1.right, videos=top1.videos)
                    is_first = False
                top1 = pooled.artifact.top1
                yield RecordedScore(
                    recipe=recipe, target=artifact.manifest.target, right=top1.right, videos=top1.videos
                )


def _in_recipe(student: Student, recipe: str, data: Path, step: Step) -> Student | quantizing.QuantizedForm:
    calibration = plan_for_deploy(
        recipe_named(recipe),
        str(data) if recipe_named(recipe).is_calibrated else None,
        data_root=None,
        samples=64,
    )
    return quantizing.calibrated(student, calibration, step)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("student", type=Path, nargs="?")
    parser.add_argument("data", type=Path)
    parser.add_argument("--result", type=Path)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--command", default="", help="the command line of the distillation")
    parser.add_argument("--measure-only", action="store_true")
    options = parser.parse_args()
    if options.measure_only:
        student, card = default_student(), embedded_card()
    else:
        student = write_half(load_checkpoint(options.student), FOLDER / "pico.safetensors")
        result = json.loads(options.result.read_text(encoding="utf-8"))
        card = None
    found = []
    with steps() as step:
        for score in scores(student, options.data, step):
            found.append(score)
            print(f"| {score.name} | {score.right} of {score.videos} | {score.share:.1%} |", flush=True)
    if card is not None:
        was = {score.name: score.right for score in card.scores}
        sys.exit(was != {score.name: score.right for score in found})
    made = ModelCard(
        weights_sha256=student.source.sha256,
        teacher=options.teacher.name,
        teacher_sha256=sha256_of(options.teacher),
        data=f"{options.data.name}: eight classes of UCF101, test groups 1 to 7",
        train_videos=result["videos"],
        command=options.command,
        measured_on=f"{platform.system()} {platform.machine()}, torch {torch.__version__}, dvfl-mobile {__version__}",
        scores=tuple(found),
    )
    write_text(FOLDER / "pico.json", made.model_dump_json(indent=2) + "\n")


if __name__ == "__main__":
    main()
