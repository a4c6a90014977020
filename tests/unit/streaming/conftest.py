"""An artifact whose runner knows dark from bright, and videos of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts import manifest as manifests
from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.artifacts.manifest import Manifest, TensorEntry
from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.delegation import Delegation
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.runners.values import Facts, Logits, Pixels
from dvfl_mobile.streaming import stream

SPEC = ClipSpec(frames=4, size=32, short_side=32, frame_interval=2)
CLASSES = ("Dark", "Bright", "Never")
DARK, BRIGHT, GREY = 10, 240, 125


class DarkOrBright:
    """A runner that answers by the mean of a clip: 4 to 0 for what it is, 0 to 0 for grey."""

    facts: Facts = {"runtime": "Script", "version": "1", "device": "host"}  # noqa: RUF012 (of the protocol)

    def run(self, clips: Pixels) -> Logits:
        means = clips.reshape(len(clips), -1).mean(1)
        return np.stack([(GREY - means) / 25, (means - GREY) / 25, np.full(len(clips), -3.0)], 1).astype(np.float32)

    def time(self, clip: Pixels, warmup: int, runs: int) -> list[int]:
        raise NotImplementedError


@pytest.fixture
def artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Artifact:
    folder = tmp_path / "out" / "nano" / "tflite" / "fp16"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(b"model")
    made = Manifest(
        model="nano",
        target="tflite",
        recipe="fp16",
        recipe_meaning="small",
        file="model.tflite",
        files=manifests.entries(folder, "model.tflite"),
        architecture=Architecture(num_classes=len(CLASSES)),
        classes=CLASSES,
        clip=SPEC,
        inputs=(TensorEntry(name="clip", shape=SPEC.shape, dtype="float32"),),
        outputs=(TensorEntry(name="logits", shape=(1, len(CLASSES)), dtype="float32"),),
        weights=WeightSource(kind="checkpoint", name="a.pth", sha256="0" * 64, size_bytes=1),
        reference=manifests.entry_of(folder / "model.tflite", "model.tflite"),
        minimum_os="any",
        delegation=Delegation.of("XNNPACK", 1, []),
        tools={},
        command="dvfl-mobile convert",
    )
    manifests.write(made, folder)
    monkeypatch.setattr(stream, "open_runner", lambda *_: DarkOrBright())
    return Artifact(folder, made)


@pytest.fixture
def film(write_video: Callable[..., Path]) -> Callable[..., Path]:
    """A function that writes a video of so many frames of each grey, 30 a second."""

    def write(path: Path, *parts: tuple[int, int]) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        greys = np.concatenate([np.full(count, grey, np.uint8) for count, grey in parts])
        pictures = np.broadcast_to(greys[:, None, None, None], (len(greys), 32, 48, 3)).copy()
        return write_video(path, pictures, rate=30)

    return write
