"""Bytes that change between the phone and here: a named error, or the very result; never another one."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.artifacts.manifest import FileEntry, Manifest
from dvfl_mobile.devices.ios.app import HarnessApp
from dvfl_mobile.devices.ios.runner import IosRunner
from dvfl_mobile.devices.values import DeviceFacts, Measurement, RunOptions
from dvfl_mobile.errors import DeviceError
from tests.formats import xcrun_fake

CASES = 400
FACTS = DeviceFacts(device="ios:A", kind="physical", model="iPhone", system="iOS 18.2", abi="arm64")


class FolderApp(HarnessApp):
    """The fake's app, in this process; what is got of one of its files is changed on the way."""

    def __init__(self, folder: Path) -> None:
        super().__init__("A", "bundle")
        self._folder = folder
        self.change: Any = None

    def put(self, source: Path, part: str) -> None:
        shutil.copy(source, self._folder / self.name(part))

    def get(self, part: str, most_bytes: int) -> bytes:
        data = (self._folder / self.name(part)).read_bytes()
        assert len(data) <= most_bytes
        return self.change(part.rpartition(".")[2], data) if self.change else data

    def start(self, number: int, seconds: float) -> None:
        assert seconds > 0
        xcrun_fake.app(self.name(str(number)), {})


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A runner of a package of one file that takes (1,2,3,32,32) and gives three logits; and its app."""
    from dvfl_mobile.data.clips import ClipSpec
    from dvfl_mobile.files import sha256_of

    documents, folder = tmp_path / "documents", tmp_path / "artifact"
    documents.mkdir()
    (folder / "model.mlpackage").mkdir(parents=True)
    (folder / "model.mlpackage" / "part").write_bytes(b"part")
    monkeypatch.setattr(xcrun_fake, "DOCUMENTS", documents)
    part = folder / "model.mlpackage" / "part"
    entry = FileEntry(path="model.mlpackage/part", size_bytes=4, sha256=sha256_of(part))
    manifest = Manifest.model_construct(
        file="model.mlpackage",
        files=(entry,),
        classes=("a", "b", "c"),
        clip=ClipSpec(frames=2, size=32, short_side=32, pixels="raw"),
        inputs=(SimpleNamespace(shape=(1, 2, 3, 32, 32), dtype="float32", scale=None, zero_point=None),),
    )
    app = FolderApp(documents)
    return SimpleNamespace(runner=IosRunner(app, folder, manifest, FACTS), app=app)


def changed(data: bytes, chance: random.Random) -> bytes:
    """One byte flipped, lost or doubled, or the end cut off."""
    at = chance.randrange(len(data))
    kind = chance.randrange(4)
    if kind == 0:
        return data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :]
    return [data[:at] + data[at + 1 :], data[:at] + data[at : at + 1] + data[at:], data[:at]][kind - 1]


def test_what_changes_on_its_way_is_never_another_result(runner: SimpleNamespace) -> None:
    clip = np.random.RandomState(0).randint(0, 256, (2, 3, 32, 32)).astype(np.uint8)
    options = RunOptions(warmup=2, runs=5, operators=True)
    truth: Measurement = runner.runner.measure(clip, options)
    logits = runner.runner.run(clip[None])
    refused = {"events": 0, "output": 0, "about": 0}
    tried = dict.fromkeys(refused, 0)
    for case in range(CASES):
        chance = random.Random(case)
        wanted = chance.choice(list(refused))

        def change(part: str, data: bytes, chance: random.Random = chance, wanted: str = wanted) -> bytes:
            return changed(data, chance) if part == wanted else data

        tried[wanted] += 1
        runner.app.change = change
        try:
            if case % 2:
                assert runner.runner.measure(clip, options) == truth
            else:
                np.testing.assert_array_equal(runner.runner.run(clip[None]), logits)
        except DeviceError:
            refused[wanted] += 1
    assert refused["output"] == tried["output"] > CASES // 5
    # The last line feed may be lost, and nothing with it.
    assert refused["events"] >= tried["events"] - 2 > CASES // 5
    # What the phone says of itself isn't hashed: figures there may change, but never a time or a logit.
    assert refused["about"] > tried["about"] // 2
