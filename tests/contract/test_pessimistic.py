"""Core ML's fp16 package where a device rounds to half precision inside of its operations too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from dvfl_mobile.data.gather import gather_clips
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.mil.executor import MilExecutor
from dvfl_mobile.model.default import default_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.progress import silent
from tests.conversions import skip_without

PROMISED_DB = 45.0  # of an fp16 package as it is declared: docs/parity.md


def test_the_pico_keeps_its_promise_on_real_clips(ucf8: Path, tmp_path: Path) -> None:
    skip_without("coreml")
    student = default_student()
    clips = gather_clips(ucf8, student.clip, student.classes, silent, 4).pixels
    form = student.form("native")
    with torch.no_grad():
        expected = torch.cat([form(torch.from_numpy(clip).float()) for clip in clips]).double().numpy()
    [artifact] = convert(student, make_plan(["coreml"], "fp16", tmp_path))
    taken, given = artifact.manifest.inputs[0].name, artifact.manifest.outputs[0].name
    for pessimistic in (False, True):
        executor = MilExecutor(artifact.folder / artifact.manifest.file, pessimistic=pessimistic)
        found = np.concatenate([executor.run({taken: clip.astype(np.float32)})[given] for clip in clips])
        assert sqnr_db(expected, found.astype(np.float64)) >= PROMISED_DB, pessimistic
