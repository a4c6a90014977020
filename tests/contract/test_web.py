"""Artifacts in a real browser, without a window: what they compute there by WebAssembly and on WebGPU."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.artifacts.make import Artifact
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.devices.base import find_device, found_devices
from dvfl_mobile.devices.values import RunOptions
from dvfl_mobile.devices.web import browser as browsers
from dvfl_mobile.devices.web import place
from dvfl_mobile.devices.web.browser import Browser
from dvfl_mobile.devices.web.certificate import Certificate
from dvfl_mobile.devices.web.device import Web
from dvfl_mobile.devices.web.server import Server
from dvfl_mobile.devices.web.session import Session
from dvfl_mobile.errors import DeviceError, InconclusiveError, UsageError
from dvfl_mobile.gpu_delegate.graph import read_graph
from dvfl_mobile.metrics import logits_sqnr_db
from dvfl_mobile.profiling.session import check_is_physical
from dvfl_mobile.runners.base import open_runner
from dvfl_mobile.runners.tflite.flatbuffer import with_float_input, with_float_weights, with_outputs
from tests.browsers import chromium
from tests.conversions import Make

CLIPS = 2


@pytest.fixture(scope="module", autouse=True)
def program() -> Iterator[Path]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    found = find_device("web")
    assert isinstance(found, Web)
    yield found
    found.close()


def clips_of(artifact: Artifact) -> np.ndarray:
    spec = artifact.manifest.clip
    return np.stack([clip.pixels for clip in moving_shapes(spec, CLIPS)])


def against_native(device: Web, artifact: Artifact) -> float:
    """The SQNR of what a browser gives against what this machine's LiteRT gives, in decibels."""
    clips = clips_of(artifact)
    with device.open(artifact.folder, artifact.manifest) as runner:
        given = runner.run(clips)
    native = open_runner(artifact.folder, artifact.manifest)
    return logits_sqnr_db(native.run(clips), given) or -np.inf


@pytest.mark.parametrize(("recipe", "least_db"), [("fp32", 110), ("fp16", 110), ("static_wi8_ai8", 20)])
def test_webassembly_computes_what_litert_does(web: Web, made: Make, recipe: str, least_db: float) -> None:
    artifact = made("tflite", recipe).artifact
    assert against_native(web, artifact) >= least_db
    assert web.facts.kind == "physical"


def test_float32_in_place_of_float16_weights_is_exact(made: Make, tmp_path: Path) -> None:
    artifact = made("tflite", "fp16").artifact
    path, changed = artifact.folder / artifact.manifest.file, tmp_path / "float.tflite"
    changed.write_bytes(with_float_weights(path.read_bytes()))
    packed, held = read_graph(path), read_graph(changed)
    assert "dequantize" in {operator.name for operator in packed.operators}
    assert "dequantize" not in {operator.name for operator in held.operators}
    values = clips_of(artifact)[0].astype(np.float32)[None].reshape(artifact.manifest.inputs[0].shape)
    np.testing.assert_array_equal(_run(changed, values), _run(path, values))


def test_values_can_be_added_to_a_file_that_keeps_constants_behind_its_flatbuffer(made: Make, tmp_path: Path) -> None:
    artifact = made("tflite", "fp16").artifact
    path, changed = artifact.folder / artifact.manifest.file, tmp_path / "more.tflite"
    [*_, before_last, _] = read_graph(path).operators
    changed.write_bytes(with_outputs(path.read_bytes(), before_last.gives))
    values = clips_of(artifact)[0].astype(np.float32).reshape(artifact.manifest.inputs[0].shape)
    np.testing.assert_array_equal(_run(changed, values), _run(path, values))


def test_a_page_times_and_gives_the_same_logits(web: Web, made: Make) -> None:
    artifact = made("tflite", "fp32").artifact
    clip = clips_of(artifact)[0]
    with web.open(artifact.folder, artifact.manifest) as runner:
        first = runner.measure(clip, RunOptions(warmup=1, runs=3))
        again = runner.measure(clip, RunOptions(warmup=1, runs=3, threads=1))
        assert runner.facts["threads"] == 1
        with pytest.raises(UsageError, match="no choice of cores"):
            runner.measure(clip, RunOptions(cores=(0,)))
        with pytest.raises(DeviceError, match=r"gave up: .* \(threads\)"):
            runner.measure(clip, RunOptions(warmup=0, runs=1, threads=500))
    assert (len(first.duration_ns), len(first.warmup_ns), min(first.duration_ns) > 0) == (3, 1, True)
    assert first.load_ns > 0
    assert len(again.output_sha256) == 64


def test_webgpu_computes_it_in_float32(made: Make) -> None:
    gpu = find_device("web:webgpu-fp32")
    assert isinstance(gpu, Web)
    try:
        artifact = made("tflite", "fp32").artifact
        spec = artifact.manifest.clip
        clips = np.stack([clip.pixels for clip in moving_shapes(spec, 1)])
        with gpu.open(artifact.folder, artifact.manifest) as runner:
            given = runner.run(clips)
            assert (runner.facts["whole"], runner.facts["pieces"], runner.facts["delegate"]) == (True, 1, "WebGPU")
        assert (logits_sqnr_db(open_runner(artifact.folder, artifact.manifest).run(clips), given) or 0) >= 100
        if gpu.facts.kind == "emulated":
            with pytest.raises(UsageError, match="how long it takes says nothing"):
                check_is_physical(gpu)
    finally:
        gpu.close()


def test_a_browser_without_webgpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsers, "_WEBGPU", ("--disable-features=WebGPU",))
    monkeypatch.setattr(browsers, "_SOFTWARE", ())
    with pytest.raises(DeviceError, match="has no WebGPU"):
        find_device("web:webgpu")


def test_a_killed_browser_ends_the_run(made: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = made("tflite", "fp32").artifact
    started: list[Browser] = []
    begin = Browser.__init__

    def remembering(self: Browser, program: str, address: str, *, webgpu: bool, software: bool) -> None:
        begin(self, program, address, webgpu=webgpu, software=software)
        started.append(self)

    monkeypatch.setattr(Browser, "__init__", remembering)
    device = find_device("web")
    assert isinstance(device, Web)
    clip = clips_of(artifact)[0]
    with device.open(artifact.folder, artifact.manifest) as runner:
        os.killpg(started[0]._process.pid, signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(DeviceError, match=r"is gone|was closed"):
            runner.time(clip, 0, 1)
        assert time.monotonic() - began < 10
    device.close()


def test_a_page_in_the_background_gives_up(made: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    artifact = made("tflite", "fp32").artifact
    files = place.page_files()
    hidden = tmp_path / "page.js"
    script = files["page.js"].read_text(encoding="utf-8")
    hidden.write_text(f'Object.defineProperty(document, "hidden", {{ value: true }});\n{script}', encoding="utf-8")
    monkeypatch.setattr(place, "page_files", lambda: {**files, "page.js": hidden})
    device = find_device("web")
    assert isinstance(device, Web)
    with device.open(artifact.folder, artifact.manifest) as runner, pytest.raises(DeviceError, match="the background"):
        runner.time(clips_of(artifact)[0], 0, 1)
    device.close()


def test_another_target_is_inconclusive(web: Web, made: Make) -> None:
    artifact = made("tflite", "fp32").artifact
    other = artifact.manifest.model_copy(update={"target": "executorch"})
    with pytest.raises(InconclusiveError, match="No page runs"), web.open(artifact.folder, other):
        pass


def test_it_is_among_the_devices() -> None:
    [found] = [each for each in found_devices() if each.device == "web"]
    assert (found.is_ready, "Chromium" in found.model) == (True, True)


def test_no_request_leaves_the_machine(program: Path, tmp_path: Path) -> None:
    """A page that tries to reach another address of this machine gets nowhere, though a server listens there."""
    page = tmp_path / "index.html"
    script = tmp_path / "page.js"
    other = Server(Session("other"), {})
    page.write_text('<!doctype html><script type="module" src="page.js"></script>')
    script.write_text(
        f"""const tried = await fetch("{other.address}", {{mode: "no-cors"}}).then(() => "reached", () => "refused");
        await fetch("attend", {{method: "POST", body: JSON.stringify({{page: "0".repeat(32), agent: tried, platform: "",
        cores: 1, isolated: crossOriginIsolated, adapter: null}})}});"""
    )
    session = Session("web")
    server = Server(session, {"index.html": page, "page.js": script})
    browser = Browser(str(program), server.address, webgpu=False, software=False)
    try:
        hello = session.hello(30, browser.problem)
    finally:
        browser.close()
        server.close()
        other.close()
    assert (hello.agent, hello.isolated) == ("refused", True)


def test_a_page_over_tls_may_have_threads(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browsers, "_OPTIONS", (*browsers._OPTIONS, "--ignore-certificate-errors"))
    session = Session("web")
    server = Server(session, place.page_files(), tls=Certificate("127.0.0.1").context)
    browser = Browser(str(program), server.address, webgpu=False, software=False)
    try:
        assert server.address.startswith("https://")
        assert session.hello(60, browser.problem).isolated
    finally:
        browser.close()
        server.close()


def test_float32_at_the_door_is_exact(made: Make, tmp_path: Path) -> None:
    artifact = made("tflite", "static_wi8_ai8").artifact
    path = artifact.folder / artifact.manifest.file
    [taken] = artifact.manifest.inputs
    assert taken.scale is not None
    assert taken.zero_point is not None
    changed = tmp_path / "float.tflite"
    changed.write_bytes(with_float_input(path.read_bytes()))
    quantized = np.random.default_rng(0).integers(-128, 128, taken.shape).astype(np.int8)
    values = (quantized.astype(np.float32) - taken.zero_point) * np.float32(taken.scale)
    np.testing.assert_array_equal(_run(changed, values), _run(path, quantized))


def _run(path: Path, values: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], values)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
