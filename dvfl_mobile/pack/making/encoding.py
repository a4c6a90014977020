"""Encode golden videos reproducibly as H.264 in MP4, which every phone plays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.errors import MissingDependencyError, VideoError, needs

MOST_SIDE = 320
_CODECS = ("libx264", "mpeg4")


def write_mp4(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    *,
    rate: float = 25,
    turn: int = 0,
    times_ms: Sequence[int] | None = None,
) -> None:
    """Encode pictures `(h,w,3)`, all of one size, shrunk to at most 320 pixels a side.

    Args:
        rate: frames a second.
        turn: degrees, counterclockwise, that a player turns them by.
        times_ms: when each is shown, in place of `rate`.
    """
    with needs("PyAV", extra="video", why="it encodes golden videos"):
        import av
    # Without these FFmpeg writes its own version and the time into the file.
    with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact", "movflags": "+faststart"}) as container:
        stream: Any = None
        for index, picture in enumerate(pictures):
            if stream is None:
                stream = _stream(container, picture.shape[0], picture.shape[1], rate)
                if turn:
                    stream.set_display_rotation(turn, False, False)
                if times_ms:
                    stream.codec_context.time_base = Fraction(1, 1000)
            container.mux(stream.encode(_frame(picture, stream, times_ms[index] if times_ms else index)))
        if stream is None:
            raise VideoError("There are no pictures to encode.")
        container.mux(stream.encode())


def _stream(container: Any, height: int, width: int, rate: float) -> Any:
    import av

    known = [name for name in _CODECS if name in av.codecs_available]
    if not known:
        raise MissingDependencyError("PyAV with H.264", extra="video", why="it encodes golden videos")
    options = {"crf": "26", "preset": "medium"} if known[0] == "libx264" else {}
    stream: Any = container.add_stream(known[0], rate=Fraction(rate).limit_denominator(1000), options=options)
    shrink = min(1.0, MOST_SIDE / max(height, width))
    stream.height, stream.width = _even(height * shrink), _even(width * shrink)
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    # One thread: how the work is split would change the bytes.
    context.thread_count = 1
    context.flags |= av.codec.context.Flags.bitexact
    if known[0] != "libx264":
        stream.bit_rate = 1_000_000
    # SMPTE 170M, limited range, as small videos are everywhere; said, so that no decoder has to guess.
    context.colorspace, context.color_primaries, context.color_trc, context.color_range = 6, 6, 6, 1
    return stream


def _frame(picture: NDArray[np.uint8], stream: Any, pts: int) -> Any:
    import av
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24").reformat(
        width=stream.width,
        height=stream.height,
        format="yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.AREA,
        threads=1,
    )
    frame.pts = pts
    return frame


def _even(side: float) -> int:
    """H.264 in 4:2:0 has sides of even length."""
    return max(int(side) // 2 * 2, 16)
