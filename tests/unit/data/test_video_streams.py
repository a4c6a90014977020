"""Videos as others' tools write them: side data, several streams, late beginnings, empty ends."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from dvfl_mobile.data.video import encoding_of, pictures, probe

av = pytest.importorskip("av")

WriteVideo = Callable[..., Path]


def _exif(orientation: int) -> bytes:
    """A JPEG's APP1 segment with one entry of Exif, the orientation."""
    body = b"Exif\0\0MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    return b"\xff\xe1" + struct.pack(">H", 2 + len(body)) + body


def _with_exif(path: Path, orientation: int = 1) -> Path:
    """A copy of a Motion JPEG video with Exif in each of its pictures."""
    copy = path.with_stem("exif")
    with av.open(str(path)) as whole, av.open(str(copy), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        for packet in whole.demux(video=0):
            if packet.size:
                data = bytes(packet)
                made = av.Packet(data[:2] + _exif(orientation) + data[2:])
                made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
                made.time_base, made.stream, made.is_keyframe = packet.time_base, stream, True
                out.mux(made)
    return copy


@pytest.mark.parametrize("kind", ["mov", "avi", "mkv"])
def test_side_data_that_pyav_does_not_know_is_no_obstacle(kind: str, tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / f"v.{kind}", 8, codec="mjpeg", pix_fmt="yuvj420p")
    copy = _with_exif(path)
    facts = probe(copy)
    assert (facts.width, facts.height, facts.decoded, facts.damage) == (96, 64, 8, None)
    assert all(np.array_equal(one, other) for one, other in zip(pictures(path), pictures(copy), strict=True))


def test_a_display_matrix_beside_unknown_side_data_still_turns(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "v.mov", 3, codec="mjpeg", pix_fmt="yuvj420p")
    facts = probe(_with_exif(path, 6))
    assert (facts.width, facts.height, facts.decoded) == (64, 96, 3)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "mov"])
@pytest.mark.parametrize("default", [0, 1, 2, None])
def test_of_several_videos_the_default_is_taken(kind: str, default: int | None, tmp_path: Path) -> None:
    path = tmp_path / f"v.{kind}"
    with av.open(str(path), "w") as container:
        streams = []
        for index in range(3):
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64 + 32 * index, 64, "yuv420p"
            stream.disposition = av.stream.Disposition.default if index == default else av.stream.Disposition(0)
            streams.append(stream)
        for stream in streams:
            for index in range(5):
                frame = av.VideoFrame.from_ndarray(np.full((64, stream.width, 3), 40, np.uint8), format="rgb24")
                frame.pts = index
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    with av.open(str(path)) as container:
        stated = [
            stream.index for stream in container.streams.video if stream.disposition & av.stream.Disposition.default
        ]
    expected = stated[0] if stated else 0
    assert probe(path).width == 64 + 32 * expected
    assert default is None or expected == default
    assert next(pictures(path)).shape[1] == 64 + 32 * expected
    assert encoding_of(path).codec == "mpeg4"


@pytest.mark.parametrize("kind", ["mkv", "webm", "flv", "ts", "mp4", "mov"])
@pytest.mark.parametrize("start_ms", [0, 3000, 60_000])
def test_a_container_that_begins_late_is_whole(
    kind: str, start_ms: int, tmp_path: Path, write_video: WriteVideo
) -> None:
    codec = "libvpx-vp9" if kind == "webm" else "libx264"
    times = [start_ms + 40 * index for index in range(30)]
    facts = probe(write_video(tmp_path / f"v.{kind}", 30, codec=codec, times_ms=times))
    assert (facts.decoded, facts.announced, facts.damage) == (30, 30, None)


@pytest.mark.parametrize("kind", ["mkv", "flv"])
def test_one_that_breaks_off_is_still_damaged(kind: str, tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / f"v.{kind}", 40, codec="mpeg4" if kind == "mkv" else "flv1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert probe(path).damage


@pytest.mark.parametrize("empty", [1, 3])
def test_an_avi_whose_last_chunks_are_empty_is_whole(empty: int, tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "v.avi", 20)
    whole = path.read_bytes()
    path.write_bytes(_with_empty_chunks(whole, empty))
    facts = probe(path)
    assert (facts.decoded, facts.announced, facts.damage) == (20, 20, None)
    cut = bytearray(_with_empty_chunks(whole, empty))
    path.write_bytes(cut[: (cut.index(b"movi") + cut.rindex(b"idx1")) // 2])
    assert probe(path).damage


def _with_empty_chunks(avi: bytes, count: int) -> bytes:
    """An AVI with chunks of no bytes behind its last, counted and indexed as others are."""
    index, movi = avi.rindex(b"idx1"), avi.index(b"movi")
    entries = avi[index + 8 : index + 8 + int.from_bytes(avi[index + 4 : index + 8], "little")]
    for place in range(count):
        entries += struct.pack("<4sIII", b"00dc", 0, index - movi + 8 * place, 0)
    data = bytearray(avi[:index] + count * (b"00dc" + bytes(4)) + b"idx1" + struct.pack("<I", len(entries)) + entries)
    for at, more in ((4, len(data) - len(avi)), (movi - 4, 8 * count)):
        data[at : at + 4] = struct.pack("<I", int.from_bytes(data[at : at + 4], "little") + more)
    for at in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        data[at : at + 4] = struct.pack("<I", int.from_bytes(data[at : at + 4], "little") + count)
    return bytes(data)


def test_an_mp4_whose_last_sample_is_empty_is_whole(tmp_path: Path, write_video: WriteVideo) -> None:
    path = write_video(tmp_path / "v.mp4", 20, codec="mpeg4")
    data = bytearray(path.read_bytes())
    sizes = data.index(b"stsz") + 16
    last = sizes + 4 * 19
    data[last : last + 4] = bytes(4)
    path.write_bytes(data)
    facts = probe(path)
    assert (facts.decoded, facts.announced, facts.damage) == (19, 19, None)


def test_pixels_that_are_not_square_are_not_stretched_as_the_page_says(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert container.streams.video[0].sample_aspect_ratio == 2
    assert next(pictures(path)).shape == (64, 96, 3)
    page = Path(__file__).parents[3] / "docs" / "video.md"
    if not page.is_file():
        pytest.skip("docs are tested from a checkout, not from an installed wheel")
    text = page.read_text(encoding="utf-8")
    assert "HDR isn't tone-mapped" in text
    assert "Pixels that aren't square aren't stretched" in text
