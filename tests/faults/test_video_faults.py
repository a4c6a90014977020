"""Videos that are damaged, are none, or mean harm: a clip that tells its damage, or an error that says what to do."""

from __future__ import annotations

import os
import random
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.clips import SINGLE_VIEW, Clip, ClipSpec
from dvfl_mobile.data.video import MAX_SIDE, probe, read_clip
from dvfl_mobile.data.videos import VideoRef, read_ahead
from dvfl_mobile.errors import VideoError

pytest.importorskip("av")

SPEC = ClipSpec(size=64, short_side=64)
FRAMES = 40
WriteVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, write_video: WriteVideo) -> dict[str, Path]:
    """The same noisy pictures in four containers."""
    folder = tmp_path_factory.mktemp("whole")
    noise = np.random.default_rng(0).integers(0, 256, (FRAMES, 16, 16, 3), np.uint8).repeat(4, 1).repeat(4, 2)
    return {
        "avi": write_video(folder / "v.avi", noise),
        "mp4": write_video(folder / "v.mp4", noise, codec="libx264", options={"movflags": "faststart"}),
        "mkv": write_video(folder / "v.mkv", noise, codec="libx264"),
        "webm": write_video(folder / "v.webm", noise, codec="libvpx-vp9"),
    }


def _nothing(path: Path) -> None:
    """Leave nothing at `path`."""


NOT_VIDEOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (_nothing, "does not exist"),
    "folder": (Path.mkdir, "is a folder"),
    "empty": (Path.touch, "is empty"),
    "pipe": (os.mkfifo, "is not a regular file"),
    "text": (lambda path: path.write_text("just words\n" * 100), "can't be read as a video|not in a format"),
    "zeros": (lambda path: path.write_bytes(bytes(100_000)), "can't be read as a video|not in a format"),
    "playlist": (lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nother.ts\n"), "can't be read|not in a format"),
    "list": (lambda path: path.write_text("ffconcat version 1.0\nfile other.avi\n"), "can't be read|not in a format"),
}


@pytest.mark.parametrize("ending", ["avi", "mp4", "txt", "m3u8"])
@pytest.mark.parametrize("case", NOT_VIDEOS)
def test_what_is_no_video_is_named_with_a_next_step(case: str, ending: str, tmp_path: Path) -> None:
    make, problem = NOT_VIDEOS[case]
    path = tmp_path / f"v.{ending}"
    make(path)
    with pytest.raises(VideoError, match=problem) as caught:
        read_clip(path, SPEC)
    assert str(path) in caught.value.problem
    assert caught.value.hint


def test_a_picture_is_no_video(tmp_path: Path, write_video: WriteVideo) -> None:
    movie = write_video(tmp_path / "v.mov", 1, codec="mjpeg", pix_fmt="yuvj420p").read_bytes()
    picture = tmp_path / "v.jpg"
    picture.write_bytes(movie[movie.find(b"\xff\xd8") : movie.rfind(b"\xff\xd9") + 2])
    with pytest.raises(VideoError, match="not in a format of moving pictures"):
        read_clip(picture, SPEC)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="holds no video, only audio"):
        read_clip(path, SPEC)


def test_a_video_of_no_frames_is_refused(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "none.avi", 1)
    data = path.read_bytes()
    path.write_bytes(data[: data.find(b"movi") + 4])
    with pytest.raises(VideoError, match="holds no frame that can be decoded"):
        read_clip(path, SPEC)


@pytest.mark.parametrize("kind", ["avi", "mp4", "mkv", "webm"])
@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_a_file_cut_short_tells_how_much_is_there(
    kind: str, share: float, whole: dict[str, Path], tmp_path: Path
) -> None:
    cut = tmp_path / whole[kind].name
    data = whole[kind].read_bytes()
    cut.write_bytes(data[: int(len(data) * share)])
    facts = probe(cut)
    assert 0 < facts.decoded < FRAMES
    damage = read_clip(cut, SPEC).damage
    assert damage is not None
    assert damage.startswith(f"decoded {facts.decoded} ")
    if kind in ("avi", "mp4"):
        assert f"of {FRAMES} announced frames" in damage
    else:
        assert f"{cut.stat().st_size} of the {len(data)} bytes" in damage


def test_an_mp4_without_its_index_is_refused(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "v.mp4", 20, codec="libx264")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(VideoError, match="can't be read as a video"):
        read_clip(path, SPEC)


@pytest.mark.parametrize(
    ("kind", "loss"), [("avi", "frames? decoded with errors"), ("mp4", "packets? could not be read")]
)
def test_packets_spoilt_in_the_middle_are_counted(kind: str, loss: str, whole: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(whole[kind].read_bytes())
    middle = len(data) // 2
    data[middle : middle + 6000] = bytes(6000)
    path = tmp_path / whole[kind].name
    path.write_bytes(data)
    damage = read_clip(path, SPEC).damage
    assert damage is not None
    assert re.search(rf"decoded \d+( of 40 announced)? frames; .*[1-9]\d* {loss}", damage)


def test_chunks_lost_inside_an_avi_are_missed(whole: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(whole["avi"].read_bytes())
    chunk = -1
    for _ in range(20):
        chunk = data.find(b"00dc", chunk + 1)
    data[chunk : chunk + 4] = b"JUNK"
    path = tmp_path / "v.avi"
    path.write_bytes(data)
    assert read_clip(path, SPEC).damage == "decoded 39 of 40 announced frames"


def test_a_matroska_of_unknown_size_is_held_to_its_duration(whole: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(whole["mkv"].read_bytes())
    segment = data.find(b"\x18\x53\x80\x67") + 4
    assert data[segment] == 1
    data[segment : segment + 8] = b"\x01" + b"\xff" * 7
    path = tmp_path / "v.mkv"
    path.write_bytes(data)
    assert read_clip(path, SPEC).damage is None
    path.write_bytes(data[: len(data) // 2])
    damage = read_clip(path, SPEC).damage
    assert damage is not None
    assert re.search(r"decoded \d+ frames; it ends after 0\.\d+ of the 1\.60 seconds", damage)


def test_announced_frames_that_are_not_there_are_missed(whole: dict[str, Path], tmp_path: Path) -> None:
    # The header's count alone: 123 in place of 40, and no index to contradict it.
    data = bytearray(whole["avi"].read_bytes())
    header, index = data.find(b"strh"), data.rfind(b"idx1")
    data[header + 8 + 32 : header + 8 + 36] = struct.pack("<I", 123)
    path = tmp_path / "v.avi"
    path.write_bytes(data[:index])
    assert read_clip(path, SPEC).damage == "decoded 40 of 123 announced frames"


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_giant_pictures_are_refused_with_their_size(
    kind: str, whole: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvfl_mobile.data.video.MAX_PIXELS", 64 * 64 - 1)
    with pytest.raises(VideoError, match="pictures of 64x64 pixels"):
        read_clip(whole[kind], SPEC)
    monkeypatch.setattr("dvfl_mobile.data.video.MAX_PIXELS", 64 * 64)
    monkeypatch.setattr("dvfl_mobile.data.video.MAX_SIDE", 63)
    with pytest.raises(VideoError, match="pictures of 64x64 pixels"):
        read_clip(whole[kind], SPEC)


@pytest.mark.parametrize("kind", ["avi", "mp4", "mkv", "webm"])
def test_the_decoder_itself_makes_no_giant_pictures(
    kind: str, whole: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvfl_mobile.data.video.MAX_PIXELS", 63 * 63)
    monkeypatch.setattr("dvfl_mobile.data.video._refuse_giants", lambda *_: None)
    with pytest.raises(VideoError, match="holds no frame that can be decoded"):
        read_clip(whole[kind], SPEC)


def test_pictures_that_become_giants_are_refused(tmp_path: Path) -> None:
    import av

    path = tmp_path / "long.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuvj420p"
        for index, width in enumerate((16, 16, MAX_SIDE + 16)):
            encoder = av.CodecContext.create("mjpeg", "w")
            encoder.height, encoder.width, encoder.pix_fmt, encoder.framerate = 16, width, "yuvj420p", 25
            picture = av.VideoFrame.from_ndarray(np.zeros((16, width, 3), np.uint8), format="rgb24")
            picture.pts = index
            for packet in [*encoder.encode(picture), *encoder.encode()]:
                packet.stream = stream
                container.mux(packet)
    with pytest.raises(VideoError, match="16400x16 pixels"):
        read_clip(path, SPEC)


def test_endless_videos_are_refused(tmp_path: Path, write_video: WriteVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dvfl_mobile.data.video.MAX_FRAMES", 10)
    assert read_clip(write_video(tmp_path / "ten.avi", 10), SPEC).damage is None
    with pytest.raises(VideoError, match="more than 10 frames"):
        read_clip(write_video(tmp_path / "eleven.avi", 11), SPEC)


def test_a_file_that_shrinks_between_the_passes_is_refused(
    whole: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.avi"
    data = whole["avi"].read_bytes()
    path.write_bytes(data)

    def shrinking(path: Path) -> object:
        facts = probe(path)
        path.write_bytes(data[: len(data) // 2])
        return facts

    monkeypatch.setattr("dvfl_mobile.data.video.probe", shrinking)
    with pytest.raises(VideoError, match="fewer frames the second time"):
        read_clip(path, SPEC)


def test_unreadable_videos_are_handed_over_and_the_rest_is_read(whole: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "bad.avi").write_bytes(b"nonsense")
    cut = tmp_path / "cut.avi"
    cut.write_bytes(whole["avi"].read_bytes()[:-20_000])
    refs = [
        VideoRef(tmp_path / "gone.avi"),
        VideoRef(cut, 2, name="a/cut.avi"),
        VideoRef(tmp_path / "bad.avi"),
        VideoRef(whole["mp4"]),
    ]
    read = list(read_ahead(refs, SPEC, [SINGLE_VIEW]))
    assert [video.ref for video in read] == refs
    assert [video.ref.path.name for video in read if video.error] == ["gone.avi", "bad.avi"]
    assert [(clip.name, clip.label, clip.damage is None) for video in read for clip in video.clips] == [
        ("a/cut.avi", 2, False),
        ("v.mp4", None, True),
    ]


def test_videos_are_read_in_order_and_few_of_them_ahead(whole: dict[str, Path]) -> None:
    asked: list[int] = []

    def refs() -> Iterator[VideoRef]:
        for index in range(100):
            asked.append(index)
            yield VideoRef(whole["mp4" if index % 2 else "avi"], index)

    read = read_ahead(refs(), SPEC, [SINGLE_VIEW])
    assert [next(read).clips[0].label for _ in range(7)] == list(range(7))
    read.close()  # type: ignore[attr-defined]
    assert len(asked) < 15


@pytest.mark.parametrize("seed", range(60))
def test_mutated_and_cut_videos_give_a_clip_or_an_error(seed: int, whole: dict[str, Path], tmp_path: Path) -> None:
    kind = ("avi", "mp4", "mkv", "webm")[seed % 4]
    path = tmp_path / whole[kind].name
    path.write_bytes(_mutated(whole[kind].read_bytes(), seed))
    outcome = _outcome(path)
    assert isinstance(outcome, Clip | VideoError)
    if isinstance(outcome, VideoError):
        assert str(path) in outcome.problem
        assert outcome.hint
        return
    assert outcome.pixels.shape == SPEC.shape
    # Matroska and WebM announce no count, and a changed head announces another: what is lost isn't known.
    if kind in ("avi", "mp4") and seed // 4 % 5 != 1 and probe(path).decoded < FRAMES:
        assert outcome.damage is not None


def _outcome(path: Path) -> Clip | VideoError:
    try:
        return read_clip(path, SPEC)
    except VideoError as error:
        return error


def _mutated(data: bytes, seed: int) -> bytes:
    """One kind of harm: bytes changed anywhere or in the head, a stretch zeroed or removed, or an early end."""
    random_ = random.Random(seed)
    harmed = bytearray(data)
    where = random_.randrange(len(harmed))
    stretch = random_.randrange(1, 4000)
    match seed // 4 % 5:
        case 0:
            for _ in range(random_.randrange(1, 60)):
                harmed[random_.randrange(len(harmed))] = random_.randrange(256)
        case 1:
            for _ in range(random_.randrange(1, 12)):
                harmed[random_.randrange(min(len(harmed), 2000))] = random_.randrange(256)
        case 2:
            harmed[where : where + stretch] = bytes(len(harmed[where : where + stretch]))
        case 3:
            del harmed[where : where + stretch]
        case _:
            del harmed[where:]
    return bytes(harmed)
