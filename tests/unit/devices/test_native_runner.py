"""What comes back from a place counts only if it is what the program there says that it wrote."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.delegation import Delegation
from dvfl_mobile.devices.harness import runner as native
from dvfl_mobile.devices.harness.bundle import Bundle
from dvfl_mobile.devices.harness.protocol import Asked, TensorFacts
from dvfl_mobile.devices.harness.runner import NativeRunner
from dvfl_mobile.devices.values import DeviceFacts, RunOptions
from dvfl_mobile.errors import DeviceError
from tests.transcripts import events_of, lines_of
from tests.unit.devices.test_bundle import PROGRAM, write_bundle

CLASSES, SIDE, FRAMES = 5, 32, 2
FACTS = DeviceFacts(device="android:1", kind="physical", model="Phone", system="Android 14", abi="arm64-v8a")
CLIPS = np.zeros((3, FRAMES, 3, SIDE, SIDE), np.uint8)

Answer = Callable[[dict[str, str]], tuple[bytes, list[str], int]]


class FakePlace:
    """A place whose program answers what a test says; written for these tests, it is no device's."""

    def __init__(self, answer: Answer) -> None:
        self.files: dict[str, bytes] = {}
        self.programs: list[str] = []
        self.runs: list[float] = []
        self.starters: list[tuple[str, ...]] = []
        self._answer = answer

    def put(self, source: Path, name: str, *, executable: bool = False) -> None:
        self.files[name] = source.read_bytes()
        if executable:
            self.programs.append(name)

    def run(
        self,
        program: str,
        arguments: tuple[str, ...],
        seconds: float,
        on_line: Callable[[str], None],
        starter: tuple[str, ...] = (),
    ) -> int:
        assert program in self.programs
        self.starters.append(starter)
        self.runs.append(seconds)
        options = dict(line.split(" ", 1) for line in self.files[arguments[0]].decode().splitlines())
        output, lines, status = self._answer(options)
        self.files["output.bin"] = output
        for line in lines:
            on_line(line)
        return status

    def get(self, name: str, most_bytes: int) -> bytes:
        if name not in self.files or len(self.files[name]) > most_bytes:
            raise DeviceError(f"{name} isn't there, or is larger.")
        return self.files[name]

    def remove(self, name: str) -> None:
        self.files.pop(name, None)


def _honest(options: dict[str, str]) -> tuple[bytes, list[str], int]:
    asked = Asked(
        mode="time" if options["mode"] == "time" else "run",
        clips=int(options["clips"]),
        classes=CLASSES,
        input=TensorFacts(shape=(FRAMES, 3, SIDE, SIDE), dtype="float32"),
        warmup=int(options["warmup"]),
        runs=int(options["runs"]),
    )
    output = np.arange(asked.output_shape[0] * CLASSES, dtype="<f4").tobytes()
    return output, lines_of(asked, events_of(asked, output)), 0


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], tuple[NativeRunner, FakePlace]]:
    model = b"a model"
    (tmp_path / "model.tflite").write_bytes(model)
    monkeypatch.setattr(native, "verify", lambda *_: None)
    entry = SimpleNamespace(size_bytes=len(model), sha256=hashlib.sha256(model).hexdigest())
    taken = SimpleNamespace(shape=(FRAMES, 3, SIDE, SIDE), dtype="float32", scale=None, zero_point=None)
    manifest: Any = SimpleNamespace(
        target="tflite",
        file="model.tflite",
        files=(entry,),
        inputs=(taken,),
        classes=("a",) * CLASSES,
        clip=ClipSpec(frames=FRAMES, size=SIDE, pixels="raw"),
        size_bytes=len(model),
        delegation=Delegation.of("XNNPACK", 1, ()),
    )
    write_bundle(tmp_path)

    def open_it(answer: Answer) -> tuple[NativeRunner, FakePlace]:
        place = FakePlace(answer)
        return NativeRunner(place, Bundle(tmp_path), tmp_path, manifest, FACTS), place

    return open_it


Opened = Callable[[Answer], tuple[NativeRunner, FakePlace]]


def test_an_honest_program_is_believed(opened: Opened) -> None:
    runner, place = opened(_honest)
    assert runner.run(CLIPS).tolist() == np.arange(15, dtype=np.float32).reshape(3, 5).tolist()
    measured = runner.measure(CLIPS[0], RunOptions(warmup=2, runs=6))
    assert (measured.warmup_ns, len(measured.duration_ns)) == ((60, 61), 6)
    assert measured.peak_memory_bytes == 12345
    assert [operator.delegated for operator in measured.operators] == [True, False]
    assert runner.time(CLIPS[0], 1, 2) == [61, 62]
    runner.close()
    assert place.files == {}


def test_a_bundle_s_own_loader_starts_the_program(opened: Opened, tmp_path: Path) -> None:
    loader, program = "ld-linux-aarch64.so.1", "dvfl-mobile-run-litert"
    (tmp_path / loader).write_bytes(PROGRAM)
    entry = {"sha256": hashlib.sha256(PROGRAM).hexdigest(), "targets": ["tflite"]}
    write_bundle(tmp_path, loader=loader, files=[{"name": name, **entry} for name in (loader, program)])
    runner, place = opened(_honest)
    runner.run(CLIPS)
    assert place.starters == [(loader, "--inhibit-cache", "--library-path", ".")]
    assert place.programs == [loader, program]


def test_every_run_more_gives_it_more_time(opened: Opened) -> None:
    runner, place = opened(_honest)
    runner.time(CLIPS[0], 0, 1)
    runner.time(CLIPS[0], 0, 11)
    assert place.runs[1] - place.runs[0] == pytest.approx(10 * place.runs[0] / 2)


def test_many_clips_go_in_parts_and_come_back_in_order(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "MOST_INPUT_BYTES", 2 * CLIPS[0].size * 4)
    runner, place = opened(_honest)
    found = runner.run(CLIPS)
    assert len(place.runs) == 2
    assert found.tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [0, 1, 2, 3, 4]]


LIES: dict[str, tuple[Callable[[bytes, list[str], int], tuple[bytes, list[str], int]], str]] = {
    "other bytes": (lambda output, lines, status: (b"\1" + output[1:], lines, status), "aren't the bytes"),
    "fewer bytes": (lambda output, lines, status: (output[:-1], lines, status), "aren't the bytes"),
    "more bytes": (lambda output, lines, status: (output + b"\0", lines, status), "is larger"),
    "no end": (lambda output, lines, status: (output, lines[:-1], status), "before its end"),
    "a failing status": (lambda output, lines, _: (output, lines, 3), "status 3 after its last line"),
    "nothing at all": (lambda output, _, status: (output, [], status), "nothing was heard"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_no_result(lie: str, opened: Opened) -> None:
    change, words = LIES[lie]
    runner, _ = opened(lambda options: change(*_honest(options)))
    with pytest.raises(DeviceError, match=words):
        runner.run(CLIPS)


def test_what_an_earlier_start_left_is_never_taken_for_this_one_s(opened: Opened) -> None:
    runner, place = opened(_honest)
    runner.run(CLIPS)
    right = place.files["output.bin"]

    def without_output(options: dict[str, str]) -> tuple[bytes, list[str], int]:
        assert "output.bin" not in place.files
        return b"", _honest(options)[1], 0

    place._answer = without_output
    with pytest.raises(DeviceError, match="aren't the bytes"):
        runner.run(CLIPS)
    assert right


def test_what_the_runtime_printed_goes_with_the_error(opened: Opened) -> None:
    def failing(_: dict[str, str]) -> tuple[bytes, list[str], int]:
        place.files["run.log"] = b"INFO: hello\n\x1b[2JERROR: no such kernel\n"
        return b"", [json.dumps({"event": "error", "code": "model", "message": "status 3"})], 12

    runner, place = opened(failing)
    with pytest.raises(DeviceError, match=r"status 3 \(model\)") as caught:
        runner.run(CLIPS)
    [note] = caught.value.__notes__
    assert "no such kernel" in note
    assert "\x1b" not in note


def test_the_first_thing_that_went_wrong_is_reported_though_the_place_fails_later(opened: Opened) -> None:
    runner, place = opened(_honest)

    def run(_program: str, _arguments: object, _seconds: float, on_line: Callable[[str], None], _: object) -> int:
        on_line("nonsense")
        raise DeviceError("The deadline passed.")

    place.run = run  # type: ignore[method-assign]
    with pytest.raises(DeviceError, match="no line of its protocol"):
        runner.run(CLIPS)
