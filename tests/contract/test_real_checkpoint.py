"""A checkpoint that the official training code wrote, on real clips, at full size: the least that must hold in CI.

All targets, recipes and test clips: benchmarks/real_clips.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from dvfl_mobile.documents import Verdict
from dvfl_mobile.pipeline.deploy import deploy
from dvfl_mobile.pipeline.load import load_student
from dvfl_mobile.pipeline.plan import make_plan
from tests.conversions import skip_without

CLIPS = 4


@pytest.mark.parametrize(("target", "recipe", "most_megabytes"), [("executorch", "fp16", 45), ("tflite", "fp32", 112)])
def test_it_computes_what_pytorch_computes(
    target: str, recipe: str, most_megabytes: float, real_checkpoint: Path, ucf8: Path, tmp_path: Path
) -> None:
    skip_without(target)
    student = load_student(real_checkpoint)
    summary = deploy(student, make_plan([target], recipe, tmp_path), ucf8, CLIPS)
    [row] = summary.rows
    assert (row.verdict, row.clips, row.agreeing) == (Verdict.PASS, CLIPS, CLIPS), row.reasons
    assert row.delegated_share == 1
    assert row.size_bytes < most_megabytes * 1e6
