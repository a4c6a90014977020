"""What several tests need: real clips and a real checkpoint where they can be found, and small videos to write."""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(autouse=True)
def _untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest would keep all that torch traces of each export for its log: gigabytes, and half of the time."""
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Trainings first: a file of them takes a minute, and the last by name would leave all processes but one idle."""
    items.sort(key=lambda item: "/unit/training/" not in item.nodeid)


def pytest_configure() -> None:
    """Looking for garbage again and again takes a tenth of the time: it is looked for between files."""
    gc.set_threshold(20_000, 20, 1_000)


@pytest.fixture(scope="module", autouse=True)
def _garbage_of_this_file_alone() -> Iterator[None]:
    """What is there now stays, packages that earlier files imported above all, and needs no looking through.

    Nor is it looked through meanwhile, which Core ML's converter asks for each time.
    """
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)
        yield


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After the slowest tests, where those are asked for, the slowest files: each runs in one process."""
    most = terminalreporter.config.getoption("durations")
    if not most:
        return
    seconds = Counter[str]()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("::")[0]] += report.duration
    terminalreporter.section(f"slowest {most} files")
    for file, taken in seconds.most_common(most):
        terminalreporter.line(f"{taken:.2f}s {file}")


Outcome = tuple[int, str, str]


@pytest.fixture
def run_command(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """A function that runs the command line in this process, and gives its exit code, stdout and stderr.

    Whatever a test is about, what is printed names no option that the command doesn't have.
    """
    from dvfl_mobile.cli.main import main
    from tests.hints import strange_flags

    def invoke(*arguments: object) -> Outcome:
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert isinstance(end.value.code, int)
        assert strange_flags(list(map(str, arguments)), out + err) == set(), out + err
        return end.value.code, out, err

    return invoke


@pytest.fixture
def warm_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts are opened in children that needn't import their runtimes first."""
    if sys.platform == "linux":
        from dvfl_mobile.runners.child import process
        from tests import warm

        monkeypatch.setattr(process, "_start", warm.start)


@pytest.fixture(scope="session")
def ucf8() -> Path:
    """The folder of 288 real UCF101 clips, eight classes, with their `manifest.csv`."""
    return _found(_SHARED / "data" / "ucf8", "ucf8")


@pytest.fixture(scope="session")
def real_checkpoint() -> Path:
    """A checkpoint that the official training code wrote."""
    name = "ckpt_epoch_71.pth"
    return _found(_SHARED / "checkpoints" / name, f"checkpoints/{name}")


def _found(shared: Path, in_data_folder: str) -> Path:
    places = [shared]
    if "DVFL_MOBILE_DATA" in os.environ:
        places.append(Path(os.environ["DVFL_MOBILE_DATA"]) / in_data_folder)
    for place in places:
        if place.exists():
            return place
    pytest.skip(
        f"needs {' or '.join(map(str, places))} (set DVFL_MOBILE_DATA to the folder that holds {in_data_folder})"
    )


WriteVideo = Callable[..., Path]


@pytest.fixture(scope="session")
def write_video() -> WriteVideo:
    """A function that writes a small video with PyAV, of given pictures or of pictures that tell their own number."""
    pytest.importorskip("av", reason="writing a video needs PyAV")
    return _write_video


def _write_video(
    path: Path,
    pictures: int | np.ndarray = 40,
    codec: str = "mpeg4",
    pix_fmt: str = "yuv420p",
    rate: int = 25,
    times_ms: list[int] | None = None,
    turn: tuple[float, bool, bool] | None = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    audio_s: float = 0.0,
) -> Path:
    """Write `pictures` `(n,h,w,3)`, or so many of `numbered`; `turn` is (degrees counterclockwise, hflip, vflip)."""
    import av

    shown = numbered(pictures) if isinstance(pictures, int) else pictures
    with av.open(str(path), "w", options=options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=codec_options or {})
        stream.height, stream.width, stream.pix_fmt = *shown.shape[1:3], pix_fmt
        stream.bit_rate = 4_000_000
        if turn:
            stream.set_display_rotation(*turn)
        if times_ms:
            stream.codec_context.time_base = Fraction(1, 1000)
        sound: Any = container.add_stream("aac", rate=8000) if audio_s else None
        for index, picture in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = times_ms[index] if times_ms else index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for index in range(int(audio_s * 8000 / 1024)):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate, silence.pts = 8000, index * 1024
            container.mux(sound.encode(silence))
        if sound:
            container.mux(sound.encode())
    return path


def numbered(count: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Pictures of one grey each, 4 levels apart, so that the mean of a decoded one tells its number; up to 60."""
    greys = 8 + 4 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, height, width, 3)).copy()


@pytest.fixture(scope="session")
def numbers_of() -> Callable[[np.ndarray], list[int]]:
    """A function that reads the numbers of drawn `numbered` pictures, `(T,3,S,S)`."""
    return lambda pixels: [round((float(picture.mean()) - 8) / 4) for picture in pixels]
