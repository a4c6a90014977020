"""A shell script that speaks the programs' protocol, and an artifact that it can be said to run.

The logits of a clip are the first values of its input, so that no clip's can be taken for another's.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from unittest import mock

import numpy as np

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.devices.harness import protocol
from dvfl_mobile.devices.harness.bundle import NAME, Bundle
from dvfl_mobile.devices.harness.native import NATIVE
from dvfl_mobile.devices.values import DeviceFacts
from dvfl_mobile.files import sha256_of
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.pipeline.convert import convert
from dvfl_mobile.pipeline.plan import make_plan
from dvfl_mobile.runners.base import as_input
from dvfl_mobile.runners.values import Logits, Pixels
from tests.checkpoints import SMALL
from tests.conversions import skip_without
from tests.faults import quick

_SCRIPT = Path(__file__).with_name("speaking.sh")


FACTS = DeviceFacts(device="android:test", kind="emulated", model="none", system="none", abi="none")


def speaking_bundle(folder: Path, manifest: Manifest, pause_s: float = 0.0, without: str = "") -> Bundle:
    """A bundle whose program for an artifact is the script.

    Args:
        pause_s: how long it waits after each run.
        without: the event that it leaves out.
    """
    taken = manifest.inputs[0]
    words = {
        "@VERSION@": str(protocol.VERSION),
        "@INPUT@": json.dumps({"shape": taken.shape, "dtype": taken.dtype}),
        "@CLIP_BYTES@": str(4 * math.prod(taken.shape)),
        "@CLASSES@": str(len(manifest.classes)),
        "@PAUSE@": str(pause_s),
    }
    script = _SCRIPT.read_text(encoding="utf-8")
    for word, value in words.items():
        script = script.replace(word, value)
    if without:
        script = script.replace(f'say \'{{"event":"{without}"', ": '")
    program = folder / NATIVE[manifest.target].program
    program.write_text(script, encoding="utf-8")
    file = {"name": program.name, "sha256": sha256_of(program), "targets": [manifest.target]}
    contents = {
        "schema_version": 1,
        "protocol": protocol.VERSION,
        "preset": "script",
        "compiler": "none",
        "runtimes": {manifest.target: "0"},
        "files": [file],
    }
    (folder / NAME).write_text(json.dumps(contents), encoding="utf-8")
    return Bundle(folder)


def small_artifact(out: Path) -> Artifact:
    """An artifact of the small student, whole but for its model, which is none."""
    skip_without("tflite")
    with mock.patch("dvfl_mobile.artifacts.make.lower", quick.lower):
        [artifact] = convert(seeded_student(SMALL), make_plan(["tflite"], "fp32", out))
    return artifact


def drawn_clips(manifest: Manifest, count: int, seed: int = 0) -> Pixels:
    """Clips, `(N,T,3,H,W)`, of which no two begin alike."""
    shape = (count, *manifest.clip.shape[-4:])
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def right_logits(manifest: Manifest, clips: Pixels) -> Logits:
    """What the script gives for clips."""
    classes = len(manifest.classes)
    return np.stack([as_input(clip, manifest).reshape(-1)[:classes] for clip in clips]).astype(np.float32)
