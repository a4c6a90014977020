"""The live page's rules, run in a real browser: the conformance pack's pixels to the bit, and the same frames."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.data.camera import Camera
from dvfl_mobile.data.clips import ClipSpec, prepare
from dvfl_mobile.data.video import pictures_at
from dvfl_mobile.devices.web.server import Server
from dvfl_mobile.pack.making.drawn import formula_pictures
from dvfl_mobile.streaming.site import live_folder
from tests.device_tools import tool
from tests.devtools import Devtools, devtools

_SETUP = """
Promise.all(["./pixels.js", "./camera.js"].map((name) => import(name))).then(([pixels, camera]) => {
  const bytes = (text) => Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  window.prepared = (width, height, pictures, spec) =>
    pictures.map((data) => btoa(Array.from(
      pixels.prepare({ width, height, data: bytes(data) }, spec), (each) => String.fromCharCode(each)).join("")));
  window.clips = (times, spec, every) => {
    const made = new camera.Camera(spec, every, (frame) => frame);
    const due = times.flatMap((time, frame) => made.add(time, frame));
    return [...due, ...made.end()].map(({ tick, frames }) => [tick, frames]);
  };
  return true;
})
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devtools]:
    index = tmp_path_factory.mktemp("page") / "index.html"
    index.write_text("<!doctype html><title>rules</title>", encoding="utf-8")
    rules = {name: live_folder() / name for name in ("pixels.js", "camera.js")}
    server = Server(None, {"index.html": index, **rules})
    with devtools(Path(tool("chromium"))) as tab:
        tab.open(server.address)
        assert tab.get(_SETUP)
        yield tab
    server.close()


def in_the_page(page: Devtools, pictures: np.ndarray, spec: ClipSpec) -> np.ndarray:
    """What the page makes of pictures, `(T,h,w,3)` or `(T,h,w,4)`: `(T,3,S,S)`."""
    _, height, width, _ = pictures.shape
    sent = [base64.b64encode(each.tobytes()).decode() for each in pictures]
    given = page.get(f"prepared({width}, {height}, {json.dumps(sent)}, {spec.model_dump_json()})")
    frames = [np.frombuffer(base64.b64decode(each), np.uint8) for each in given]
    return np.stack(frames).reshape(len(frames), 3, spec.size, spec.size)


def as_rgba(pictures: np.ndarray) -> np.ndarray:
    """As a canvas gives them: with a fourth value that means nothing here."""
    return np.concatenate([pictures, np.full((*pictures.shape[:3], 1), 255, np.uint8)], -1)


def sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()


def test_the_packs_pictures_are_bit_equal(page: Devtools, small_pack: SimpleNamespace) -> None:
    pack = small_pack.opened.contents
    for golden in pack.pictures:
        drawn = formula_pictures(pack.clip.frames, golden.width, golden.height)
        assert sha256(in_the_page(page, drawn, pack.clip)) == golden.pixels.sha256, golden.name


def test_the_packs_videos_are_bit_equal(page: Devtools, small_pack: SimpleNamespace, tmp_path: Path) -> None:
    opened = small_pack.opened
    for golden in opened.contents.videos:
        path = tmp_path / f"{golden.name}.mp4"
        path.write_bytes(opened.files[golden.file])
        frames = np.stack(pictures_at(path, np.asarray(golden.indices)))
        assert sha256(in_the_page(page, as_rgba(frames), opened.contents.clip)) == golden.pixels.sha256, golden.name


def test_the_picture_of_the_documentation(page: Devtools) -> None:
    found = in_the_page(page, formula_pictures(1, 320, 240), ClipSpec(frames=1))
    assert sha256(found) == "b3dc0080dfae9a06b0081c616f4f6d54175019f44618c32cffbd74413f42bb83"


def test_pictures_of_any_size_are_bit_equal(page: Devtools) -> None:
    chance = np.random.default_rng(0)
    for _ in range(30):
        height, width = (int(side) for side in chance.integers(3, 400, 2))
        size = int(chance.integers(32, 120))
        spec = ClipSpec(frames=1, size=size, short_side=size + int(chance.integers(0, 60)))
        drawn = chance.integers(0, 256, (1, height, width, 3)).astype(np.uint8)
        np.testing.assert_array_equal(in_the_page(page, as_rgba(drawn), spec), prepare(drawn, spec))


def test_the_same_frames_are_chosen(page: Devtools) -> None:
    chance = np.random.default_rng(1)
    for case in range(60):
        spec = ClipSpec(frames=int(chance.integers(1, 17)), frame_interval=int(chance.integers(1, 9)))
        every = int(chance.integers(1, 40))
        steps = chance.integers(0 if case % 3 == 0 else 1, [120_000, 40_000, 2_000_000][case % 3], 150)
        times = (int(chance.integers(0, 2**50)) + np.cumsum(steps)).tolist()
        camera: Camera[int, int] = Camera(spec, every, lambda frame: frame)
        due = [each for frame, time in enumerate(times) for each in camera.add(time, frame)]
        expected: list[Any] = [[each.tick, list(each.frames)] for each in [*due, *camera.end()]]
        assert page.get(f"clips({json.dumps(times)}, {spec.model_dump_json()}, {every})") == expected
