"""What several unit tests share: exports, and a conformance pack of a small artifact, made when a test first asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest


@pytest.fixture(scope="module")
def remembered_exports() -> Iterator[None]:
    """Each network is exported once. For modules of tests that are about what is done with a graph."""
    from dvfl_mobile.quantization.graph import traces
    from tests import exports

    with mock.patch.object(traces, "exported", exports.remembered):
        yield


@pytest.fixture(scope="session")
def written_form(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small student's quantized form as a file, written once for all of this run's processes; nobody changes it."""
    from dvfl_mobile.files import directory_lock
    from dvfl_mobile.quantization.graph.stored import save_form
    from tests.conversions import shared_folder
    from tests.quantized import small_form

    path = shared_folder(tmp_path_factory, "forms") / "small-static_wi8_ai8.pt2"
    with directory_lock(path, wait=True):
        if not path.exists():
            save_form(small_form(), path)
    return path


@pytest.fixture(scope="session")
def golden_folder(tmp_path_factory: pytest.TempPathFactory, write_video) -> Path:  # type: ignore[no-untyped-def]
    """Two videos to take golden ones from: one that phones play as it is, and one that has to be encoded anew."""
    from dvfl_mobile.pack.making.drawn import video_pictures

    folder = tmp_path_factory.mktemp("golden")
    write_video(folder / "Phone clip.mp4", video_pictures(5)[:30], codec="libx264")
    write_video(folder / "old.avi", video_pictures(6)[:40], codec="mpeg4")
    return folder


@pytest.fixture(scope="session")
def small_pack(tmp_path_factory: pytest.TempPathFactory, golden_folder: Path) -> SimpleNamespace:
    """The pack of a small artifact: its `path`, as it was `made`, as it was `opened` again; and the `artifact`."""
    from dvfl_mobile.model.default import seeded_student
    from dvfl_mobile.pack import archive
    from dvfl_mobile.pack.making import build
    from dvfl_mobile.pipeline.convert import convert
    from dvfl_mobile.pipeline.plan import make_plan
    from tests.checkpoints import SMALL
    from tests.conversions import skip_without
    from tests.faults import quick
    from tests.threads import threads

    skip_without("tflite")
    out = tmp_path_factory.mktemp("pack")
    with (
        threads(1),
        mock.patch("dvfl_mobile.artifacts.make.lower", quick.lower),
        mock.patch.object(build, "open_runner", quick.open_runner),
    ):
        plan = make_plan(["tflite"], "fp32", out / "out")
        [artifact] = convert(seeded_student(SMALL), plan)
        built = build.build(artifact, golden_folder)
    path = out / "pack.zip"
    archive.write(path, built.data)
    return SimpleNamespace(path=path, made=built, opened=archive.read(path), artifact=artifact)
