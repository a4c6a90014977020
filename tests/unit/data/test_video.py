"""Decoding: the right frames, the right way up, and nothing kept open."""

from __future__ import annotations

import csv
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.clips import ClipSpec, View, frame_indices, views
from dvfl_mobile.data.video import probe, read_clip, read_views
from dvfl_mobile.errors import MissingDependencyError, VideoError

av = pytest.importorskip("av")

SPEC = ClipSpec(size=64, short_side=64)
KINDS = {
    "avi": {"codec": "mpeg4"},
    "mp4": {"codec": "libx264"},
    "mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mkv": {"codec": "libx264"},
    "webm": {"codec": "libvpx-vp9"},
    "ts": {"codec": "libx264"},
    "mpg": {"codec": "mpeg2video"},
}
WriteVideo = Callable[..., Path]
NumbersOf = Callable[[np.ndarray], list[int]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_official_frames_are_drawn(
    kind: str, tmp_path: Path, write_video: WriteVideo, numbers_of: NumbersOf
) -> None:
    clip = read_clip(write_video(tmp_path / f"v.{kind}", 51, **KINDS[kind]), SPEC, label=3)
    assert clip.pixels.shape == SPEC.shape
    assert clip.pixels.dtype == np.uint8
    assert numbers_of(clip.pixels) == frame_indices(51, SPEC).tolist()
    assert (clip.name, clip.label, clip.damage) == (f"v.{kind}", 3, None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_video_has_no_damage(kind: str, tmp_path: Path, write_video: WriteVideo) -> None:
    facts = probe(write_video(tmp_path / f"v.{kind}", 40, **KINDS[kind]))
    assert (facts.width, facts.height, facts.decoded, facts.announced, facts.damage) == (96, 64, 40, 40, None)


def test_a_video_of_one_frame_gives_a_clip(tmp_path: Path, write_video: WriteVideo, numbers_of: NumbersOf) -> None:
    clip = read_clip(write_video(tmp_path / "one.mp4", 1, codec="libx264"), SPEC, View(2, 4))
    assert numbers_of(clip.pixels) == [0] * 8
    assert clip.damage == "decoded 1 frame; a clip takes 8, so some are repeated"


def test_several_views_are_those_drawn_one_by_one(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "v.mp4", np.random.default_rng(0).integers(0, 256, (30, 64, 128, 3), np.uint8))
    together = read_views(path, SPEC, views(4, 3))
    assert len(together) == 12
    for view, clip in zip(views(4, 3), together, strict=True):
        assert (clip.pixels == read_clip(path, SPEC, view).pixels).all()
    assert len({clip.pixels.tobytes() for clip in together}) == 12


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_uneven_frames_are_drawn_by_time(
    kind: str, tmp_path: Path, write_video: WriteVideo, numbers_of: NumbersOf
) -> None:
    # 20 frames in the first second, 20 in the next ten.
    times_ms = [*range(0, 1000, 50), *range(1000, 11000, 500)]
    path = write_video(tmp_path / f"v.{kind}", 40, codec="libx264", times_ms=times_ms)
    instants = frame_indices(40, SPEC) * (times_ms[-1] / 39)
    nearest = [int(np.abs(np.array(times_ms) - instant).argmin()) for instant in instants]
    assert numbers_of(read_clip(path, SPEC).pixels) == nearest
    assert nearest != frame_indices(40, SPEC).tolist()


def test_an_avi_with_empty_chunks_is_whole_and_drawn_by_index(tmp_path: Path, numbers_of: NumbersOf) -> None:
    # FFmpeg writes an empty chunk for each frame time that is skipped; the header counts those too.
    path = tmp_path / "gap.avi"
    _write_with_gap(path, _numbered(40), gap=5)
    facts = probe(path)
    assert (facts.decoded, facts.announced, facts.damage) == (40, 40, None)
    assert numbers_of(read_clip(path, SPEC).pixels) == frame_indices(40, SPEC).tolist()


def _numbered(count: int) -> np.ndarray:
    greys = 8 + 4 * np.arange(count, dtype=np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 64, 96, 3)).copy()


def _write_with_gap(path: Path, pictures: np.ndarray, gap: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt, stream.bit_rate = 64, 96, "yuv420p", 4_000_000
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = index if index < len(pictures) // 2 else index + gap
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


ORIENTATIONS = [(degrees, hflip, vflip) for degrees in (0, 90, 180, 270) for hflip, vflip in ((0, 0), (1, 0), (0, 1))]


@pytest.mark.parametrize("turn", ORIENTATIONS)
def test_pictures_are_turned_and_mirrored_as_shown(
    turn: tuple[int, int, int], tmp_path: Path, write_video: WriteVideo
) -> None:
    stored = np.full((3, 64, 128, 3), 40, np.uint8)
    stored[:, :32, :32] = (220, 30, 30)
    stored[:, 40:, 100:] = (30, 30, 220)
    options = {"codec": "libx264", "pix_fmt": "yuv444p", "codec_options": {"crf": "1"}}
    path = write_video(tmp_path / "v.mp4", stored, turn=turn, **options)
    shown = np.rot90(stored[0], turn[0] // 90)
    shown = shown[:: -1 if turn[2] else 1, :: -1 if turn[1] else 1]
    facts = probe(path)
    assert (facts.height, facts.width) == shown.shape[:2]
    for view, clip in zip(views(1, 3), read_views(path, SPEC, views(1, 3)), strict=True):
        start = 32 * view.crop
        square = shown[:, start : start + 64] if shown.shape[1] == 128 else shown[start : start + 64]
        difference = np.abs(clip.pixels[0].transpose(1, 2, 0).astype(int) - square)
        assert difference.mean() < 3


def test_what_an_edit_list_cuts_off_is_not_missing(
    tmp_path: Path, write_video: WriteVideo, numbers_of: NumbersOf
) -> None:
    path = write_video(tmp_path / "v.mp4", 40, codec="libx264")
    data = bytearray(path.read_bytes())
    entry = data.find(b"elst") + 12
    _, start = struct.unpack(">Ii", data[entry : entry + 8])
    data[entry : entry + 8] = struct.pack(">Ii", 400, start + 15 * 512)
    path.write_bytes(data)
    facts = probe(path)
    assert (facts.decoded, facts.announced, facts.damage) == (10, 10, None)
    assert numbers_of(read_clip(path, SPEC).pixels) == [15 + index for index in frame_indices(10, SPEC)]


def test_sound_that_outlasts_the_pictures_is_not_damage(tmp_path: Path, write_video: WriteVideo) -> None:
    for kind in ("mkv", "mp4"):
        path = write_video(tmp_path / f"v.{kind}", 20, codec="libx264", audio_s=4.0)
        assert probe(path).damage is None


def test_times_that_go_back_are_not_believed(tmp_path: Path, write_video: WriteVideo, numbers_of: NumbersOf) -> None:
    path = write_video(tmp_path / "v.mkv", 40, codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    # A block's head: its track, its milliseconds since its cluster began, and the flag of a key frame.
    sixth, second = (b"\x81" + struct.pack(">h", time_ms) + b"\x80\xff\xd8" for time_ms in (200, 40))
    assert sixth in data
    path.write_bytes(data.replace(sixth, second, 1))
    assert probe(path).times is None
    assert numbers_of(read_clip(path, SPEC).pixels) == frame_indices(40, SPEC).tolist()


def test_metadata_in_no_encoding_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "PLACEHOLDER"
        stream = container.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for picture in _numbered(SPEC.frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert b"PLACEHOLDER" in data
    path.write_bytes(data.replace(b"PLACEHOLDER", b"\xff\xfe\xe9HOLDER\xff\xc0"))
    with pytest.raises(UnicodeDecodeError):
        av.open(str(path))
    assert read_clip(path, SPEC).damage is None


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        cover = container.add_stream("mjpeg", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(_numbered(1)[0][:, :64], format="rgb24")))
        container.mux(cover.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(sound.encode(silence))
        container.mux(sound.encode())
    with pytest.raises(VideoError, match="holds no video, only audio"):
        read_clip(path, SPEC)


def test_names_that_mean_something_to_ffmpeg_are_only_names(
    tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("concat:a|b.avi", "pipe:0.avi", "v%03d.avi", "-.avi", "naïve 映像.avi"):
        write_video(tmp_path / "v.avi", 3).rename(tmp_path / name)
        assert read_clip(Path(name), SPEC).name == name


def test_no_file_is_left_open(tmp_path: Path, write_video: WriteVideo) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    path = write_video(tmp_path / "v.mp4", noise, codec="libx264", options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(path.read_bytes()[:-500])
    nonsense = tmp_path / "nonsense.mp4"
    nonsense.write_bytes(b"nonsense" * 100)
    read_clip(path, SPEC)
    before = _open_files()
    for _ in range(5):
        read_clip(path, SPEC)
        read_clip(cut, SPEC)
        with pytest.raises(VideoError):
            read_clip(nonsense, SPEC)
    assert _open_files() <= before


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_without_pyav_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingDependencyError, match="PyAV") as caught:
        read_clip(tmp_path / "v.mp4", SPEC)
    assert "dvfl-mobile[video]" in str(caught.value)


def test_every_real_clip_gives_what_its_manifest_says(ucf8: Path) -> None:
    with (ucf8 / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 288
    wrong_headers = 0
    for row in rows:
        facts = probe(ucf8 / row["class"] / row["file"])
        assert facts.decoded == int(row["frames_decoded"]), row["file"]
        assert (facts.width, facts.height) == (int(row["width"]), int(row["height"])), row["file"]
        assert facts.damage is None, row["file"]
        wrong_headers += row["frames_header"] != row["frames_decoded"]
    assert wrong_headers == 9
