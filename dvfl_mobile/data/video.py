"""Decode videos with PyAV, and count the frames that could not be decoded.

Two passes over a file. The first decodes everything and keeps only counts and timestamps, because what a
container says of its own length is often wrong; the second keeps the drawn frames, each already cut to its crop,
so that memory doesn't grow with the length of a video.

**Which frame stands for which instant.** Where the container gives every frame its time (MP4, Matroska, MPEG-TS,
...), `clips.frame_indices_by_time` draws by it, which for an even frame rate is the official rule by index. AVI
gives frames no times, only places in the file (with B-frames not even in order), so AVI is drawn by index.

**What is damage.** Packets that can't be decoded, frames that the decoder or the container calls corrupt, fewer
frames than the container announces, a file shorter than it says. Not damage: an AVI's empty chunks and MPEG-4's
"not coded" pictures, which only repeat the one before, what an edit list cuts off, and what lies before the first
frame of a container that begins late. MPEG program and transport streams announce nothing, and Matroska no count: a
loss in them shows only where it breaks a packet or the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import SINGLE_VIEW, Clip, ClipSpec, View, frame_indices, frame_indices_by_time, prepare
from dvfl_mobile.data.containers import empty_at_end, missing_bytes
from dvfl_mobile.errors import VideoError, needs
from dvfl_mobile.wording import plural

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

MAX_SIDE = 16_384
MAX_PIXELS = 2**26
MAX_FRAMES = 1_000_000

# Formats that hold moving pictures themselves. FFmpeg would also open playlists that name other files, single
# pictures, and plain text as a scrolling screen.
_FORMATS = (
    "avi,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,apng,nut,rm,dv,ivf,obu,mxf,"
    "h261,h263,h264,hevc,vvc,av1,m4v,mjpeg,vc1,yuv4mpegpipe"
)
_CONVERT_HINT = "Play it to check that it is a whole video, or convert it: ffmpeg -i INPUT -c:v libx264 OUTPUT.mp4"
_NOT_CODED_BYTES = 8
_USUAL_RATE = 30


@dataclass(frozen=True, eq=False)
class VideoFacts:
    """What decoding a whole video showed.

    Attributes:
        width, height: in pixels, of the first frame, upright.
        decoded: frames that came out.
        announced: frames that should have, by the container's count or index, or else by its packets.
        times: when each decoded frame is shown, `(decoded,)`, in ticks of the video's clock; None where the
            container doesn't say.
        damage: what was wrong, in one sentence with counts; None if the video is whole.
    """

    width: int
    height: int
    decoded: int
    announced: int
    times: NDArray[np.int64] | None
    damage: str | None


@dataclass(frozen=True)
class VideoEncoding:
    """How a video is stored.

    Attributes:
        container, codec, pixel_format: as FFmpeg calls them.
        frames_per_second: the average; 0 where the container doesn't say.
    """

    container: str
    codec: str
    pixel_format: str
    frames_per_second: float


def read_clip(path: Path, spec: ClipSpec, view: View = SINGLE_VIEW, label: int | None = None) -> Clip:
    """Draw one clip from a video.

    The clip's `damage` says what was wrong with a video that could still be drawn from; whether that will do is
    the caller's to decide.

    Raises:
        VideoError: not one frame can be had from the file, or it is not what a video may be.
        MissingDependencyError: PyAV isn't installed.
    """
    return read_views(path, spec, [view], label)[0]


def read_views(path: Path, spec: ClipSpec, views: list[View], label: int | None = None) -> list[Clip]:
    """Draw several clips from a video, decoding it as often as for one. Raises what `read_clip` does."""
    facts = probe(path)
    drawn = [drawn_indices(facts, spec, view) for view in views]
    pixels = _draw(path, spec, views, drawn)
    damage = _damage_to_clip(facts, spec)
    return [Clip(of_view, path.name, label, damage) for of_view in pixels]


def probe(path: Path) -> VideoFacts:
    """Decode a video from end to end, keeping nothing but the facts. Raises what `read_clip` does."""
    with _opened(path) as (container, stream):
        tally = _begun(path, container, stream)
        for frame in _frames(path, container, stream, tally):
            tally.add_frame(frame)
        return _facts(path, container, stream, tally)


class Playback:
    """A video as it plays: the time of each frame, and its picture for whoever asks. Nothing is kept.

    Attributes:
        end_us: when the last frame so far ends, in whole microseconds from the first.
        damage: what was wrong, in one sentence, once all frames were taken; None if the video was whole.

    Raises:
        VideoError: as `read_clip`, while it is read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.end_us = 0
        self.damage: str | None = None

    def duration_s(self) -> float | None:
        """How long it is, as the container announces it; None where it doesn't."""
        with _opened(self._path) as (container, stream):
            known = stream.duration * stream.time_base if stream.duration and stream.time_base else None
            duration_s = float(known or (container.duration or 0) / 1e6)
        return duration_s if duration_s > 0 else None

    def frames(self) -> Iterator[tuple[int, Callable[[], NDArray[np.uint8]]]]:
        """Each frame in the order shown: whole microseconds from the first, and what makes `(h,w,3)` RGB, upright.

        A container that gives frames no times has them at its average rate.
        """
        from av.video.reformatter import VideoReformatter

        converter = VideoReformatter()
        with _opened(self._path) as (container, stream):
            tally = _begun(self._path, container, stream)
            frame_us = Fraction(1_000_000) / (stream.average_rate or _USUAL_RATE)
            is_timed = container.format.name != "avi"
            first_us = None
            for frame in _frames(self._path, container, stream, tally):
                time_us = round(tally.decoded * frame_us)
                if is_timed and frame.pts is not None and frame.time_base is not None:
                    time_us = round(frame.pts * frame.time_base * 1_000_000)
                first_us = time_us if first_us is None else first_us
                tally.add_frame(frame)
                self.end_us = max(self.end_us, time_us - first_us + round(frame_us))
                yield time_us - first_us, partial(_picture, self._path, converter, frame)
            self.damage = _facts(self._path, container, stream, tally).damage


def pictures(path: Path, *, upright: bool = True) -> Iterator[NDArray[np.uint8]]:
    """Every frame of a video in the order shown, `(h,w,3)` RGB. Raises what `read_clip` does.

    Args:
        upright: turned as the container says; else as stored.
    """
    _import_av()
    from av.video.reformatter import VideoReformatter

    converter = VideoReformatter()
    with _opened(path) as (container, stream):
        for frame in _frames(path, container, stream, _Tally()):
            rgb: NDArray[Any] = converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            yield _upright(rgb, _matrix(frame)) if upright else rgb


def pictures_at(path: Path, indices: NDArray[np.int64]) -> list[NDArray[np.uint8]]:
    """The decoded frames at `indices`, in that order, each `(h,w,3)` RGB, upright. Raises what `read_clip` does."""
    found = dict(_pictures_at(path, {int(index) for index in indices}))
    return [found[int(index)] for index in indices]


def encoding_of(path: Path) -> VideoEncoding:
    """How a video is stored, by its headers alone. Raises what `read_clip` does."""
    with _opened(path) as (container, stream):
        codec = stream.codec_context
        return VideoEncoding(container.format.name, codec.name, str(codec.pix_fmt), float(stream.average_rate or 0))


def drawn_indices(facts: VideoFacts, spec: ClipSpec, view: View = SINGLE_VIEW) -> NDArray[np.int64]:
    """Which of a video's decoded frames a view is made of: by time where the container tells it, else by index."""
    if facts.times is None:
        return frame_indices(facts.decoded, spec, view)
    return frame_indices_by_time(facts.times, spec, view)


def _begun(path: Path, container: InputContainer, stream: VideoStream) -> _Tally:
    """A tally that knows what the container announces."""
    indexed = sum(entry.size > 0 for entry in stream.index_entries)
    empty = empty_at_end(path, stream.index) if container.format.name == "avi" else 0
    return _Tally(indexed=indexed, frames_in_header=stream.frames, empty_at_end=empty)


def _facts(path: Path, container: InputContainer, stream: VideoStream, tally: _Tally) -> VideoFacts:
    """What decoding the whole video showed."""
    if not tally.decoded:
        raise VideoError(f"{path} holds no frame that can be decoded{_reason(tally)}.", hint=_CONVERT_HINT)
    shortfall = missing_bytes(path) or _missing_time(container, stream, tally)
    announced = _announced(container.format.name, tally)
    return VideoFacts(
        width=tally.width,
        height=tally.height,
        decoded=tally.decoded,
        announced=announced,
        times=_trusted_times(container.format.name, tally),
        damage=_damage(tally, announced, shortfall),
    )


def _picture(path: Path, converter: Any, frame: VideoFrame) -> NDArray[np.uint8]:
    with _as_video_errors(path):
        rgb: NDArray[Any] = converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        return _upright(rgb, _matrix(frame))


def _draw(path: Path, spec: ClipSpec, views: list[View], drawn: list[NDArray[np.int64]]) -> list[NDArray[np.uint8]]:
    pixels = [np.zeros(spec.shape, np.uint8) for _ in views]
    for index, picture in _pictures_at(path, {int(index) for indices in drawn for index in indices}):
        for view, indices, of_view in zip(views, drawn, pixels, strict=True):
            if index in indices:
                of_view[indices == index] = prepare(picture[None], spec, view)[0]
    return pixels


def _pictures_at(path: Path, wanted: set[int]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The decoded frames of these numbers, `(h,w,3)` RGB, upright; no more of the video is read than they need."""
    _import_av()
    from av.video.reformatter import VideoReformatter

    # One converter for all frames, on one thread: setting it up costs 20 times what a small frame does.
    converter = VideoReformatter()
    missing = set(wanted)
    with _opened(path) as (container, stream):
        for index, frame in enumerate(_frames(path, container, stream, _Tally())):
            if index not in missing:
                continue
            rgb = converter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            yield index, _upright(rgb, _matrix(frame))
            missing.remove(index)
            if not missing:
                return
    raise VideoError(f"{path} gave fewer frames the second time it was read.", hint="Wait until it is fully written.")


@dataclass
class _Tally:
    """What is counted while a video is decoded."""

    indexed: int = 0
    frames_in_header: int = 0
    empty_at_end: int = 0
    width: int = 0
    height: int = 0
    packets: int = 0
    decoded: int = 0
    undecodable: int = 0
    corrupt: int = 0
    hidden: int = 0
    last_chunk: int = -1
    ends: dict[int, int] = field(default_factory=dict)
    last_error: str = ""
    times: list[int | None] = field(default_factory=list)

    def add_packet(self, packet: Packet[Any]) -> None:
        self.packets += 1
        self.hidden += packet.is_discard
        if packet.dts is not None:
            self.last_chunk = max(self.last_chunk, packet.dts)

    def add_time(self, packet: Packet[Any]) -> None:
        if packet.pts is not None:
            end = packet.pts + (packet.duration or 0)
            self.ends[packet.stream_index] = max(end, self.ends.get(packet.stream_index, end))

    def add_frame(self, frame: VideoFrame) -> None:
        if not self.decoded:
            self.height, self.width = _turned(frame.height, frame.width, _matrix(frame))
        self.decoded += 1
        self.corrupt += frame.is_corrupt
        self.times.append(frame.pts)


def _frames(path: Path, container: InputContainer, stream: VideoStream, tally: _Tally) -> Iterator[VideoFrame]:
    """Every frame that can be decoded, in the order shown; what can't be goes into `tally`."""
    count = 0
    for packet in _packets(container, tally):
        if packet is not None:
            tally.add_time(packet)
            if packet.stream_index != stream.index:
                continue
        for frame in _decode(stream, packet, tally):
            _refuse_giants(path, frame.width, frame.height)
            count += 1
            if count > MAX_FRAMES:
                raise VideoError(f"{path} has more than {MAX_FRAMES:,} frames.", hint="Cut it into shorter videos.")
            yield frame


def _packets(container: InputContainer, tally: _Tally) -> Iterator[Packet[Any] | None]:
    """All packets of all streams, then None: the moment to empty the decoder."""
    from av.error import FFmpegError

    try:
        for packet in container.demux():
            if packet.size:
                yield packet
    except FFmpegError as error:
        tally.undecodable += 1
        tally.last_error = error.strerror or ""
    yield None


def _decode(stream: VideoStream, packet: Packet[Any] | None, tally: _Tally) -> list[VideoFrame]:
    from av.error import FFmpegError

    if packet is not None:
        tally.add_packet(packet)
    try:
        frames = stream.codec_context.decode(packet)
    except FFmpegError as error:
        tally.undecodable += 1
        tally.last_error = error.strerror or ""
        return []
    if packet is not None and not frames:
        tally.hidden += _holds_no_picture(stream, packet)
    return frames


def _holds_no_picture(stream: VideoStream, packet: Packet[Any]) -> bool:
    """Whether a packet that gave no frame wasn't meant to: VP8's and VP9's hidden references, MPEG-4's repeats."""
    codec = stream.codec_context.name
    return codec in ("vp8", "vp9") or (codec == "mpeg4" and packet.size <= _NOT_CODED_BYTES)


def _announced(container: str, tally: _Tally) -> int:
    """Frames that should come out of a whole file."""
    lost = 0
    if container == "avi":
        # The header counts empty chunks too; they give no packet but a gap in the others' places, or at the end none.
        lost = max(tally.frames_in_header - (tally.last_chunk + 1) - tally.empty_at_end, 0)
    elif tally.indexed > 1 and tally.frames_in_header:
        # MP4's own index has one entry a frame, edit list applied; Matroska's has one a key frame.
        lost = max(tally.indexed - tally.packets, 0)
    return tally.packets + lost - tally.hidden


def _damage(tally: _Tally, announced: int, shortfall: str) -> str | None:
    if tally.decoded >= announced and not (shortfall or tally.undecodable or tally.corrupt):
        return None
    of_announced = f" of {announced} announced" if tally.decoded < announced else ""
    found = [f"decoded {tally.decoded}{of_announced} frames"]
    if shortfall:
        found.append(shortfall)
    if tally.undecodable:
        found.append(f"{plural(tally.undecodable, 'packet')} could not be read ({tally.last_error})")
    if tally.corrupt:
        found.append(f"{plural(tally.corrupt, 'frame')} decoded with errors")
    return "; ".join(found)


def _damage_to_clip(facts: VideoFacts, spec: ClipSpec) -> str | None:
    """What was wrong with the video, and, where it is shorter than a clip, that pictures had to be repeated."""
    if facts.decoded >= spec.frames:
        return facts.damage
    found = facts.damage or f"decoded {plural(facts.decoded, 'frame')}"
    return f"{found}; a clip takes {spec.frames}, so some are repeated"


def _reason(tally: _Tally) -> str:
    if tally.undecodable:
        return f": {plural(tally.undecodable, 'packet')} could not be read ({tally.last_error})"
    return f" ({plural(tally.packets, 'packet')} read)"


def _trusted_times(container: str, tally: _Tally) -> NDArray[np.int64] | None:
    if container == "avi" or None in tally.times:
        return None
    times = np.array(tally.times, np.int64)
    return times if (np.diff(times) >= 0).all() else None


def _missing_time(container: InputContainer, stream: VideoStream, tally: _Tally) -> str:
    """Where a container without a count announces a duration that its packets don't reach."""
    if stream.frames or not container.duration or not tally.packets:
        return ""
    announced_s = container.duration / 1e6
    ends_s = [float(end * (container.streams[index].time_base or 0)) for index, end in tally.ends.items()]
    # Of one that begins late, some writers announce the time of its end, and others how long it plays.
    end_s = max(ends_s, default=0.0) - min(container.start_time or 0, 0) / 1e6
    if announced_s - end_s <= max(0.25, 2 * announced_s / tally.packets):
        return ""
    return f"it ends after {end_s:.2f} of the {announced_s:.2f} seconds that it announces"


def _upright(picture: NDArray[Any], matrix: list[list[int]]) -> NDArray[np.uint8]:
    """A picture `(h,w,3)` turned and mirrored as the display matrix says; angles between go to a quarter turn."""
    (a, b), (c, d) = matrix
    # Rows of the matrix are where the picture's x and y axes point on the screen (ISO 14496-12, 6.2.2).
    if abs(b) + abs(c) > abs(a) + abs(d):
        picture, a, d = picture.transpose(1, 0, 2), c, b
    return picture[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _turned(height: int, width: int, matrix: list[list[int]]) -> tuple[int, int]:
    (a, b), (c, d) = matrix
    return (width, height) if abs(b) + abs(c) > abs(a) + abs(d) else (height, width)


def _matrix(frame: VideoFrame) -> list[list[int]]:
    """The four numbers of the display matrix that turn and mirror, as rows."""
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return [[1, 0], [0, 1]]
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
    return [[a, b], [c, d]]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file and its video stream, with whatever PyAV raises inside turned into a `VideoError`."""
    av = _import_av()
    limits = {"max_pixels": str(MAX_PIXELS)}
    closed = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
    with _as_video_errors(path):
        _refuse_non_files(path)
        # An absolute path can't be read as a protocol; some files' metadata isn't in any encoding.
        with av.open(
            str(path.absolute()), metadata_errors="ignore", options=limits, container_options=closed
        ) as container:
            stream = _shown_video(path, container)
            stream.codec_context.options = limits
            yield container, stream


@contextmanager
def _as_video_errors(path: Path) -> Iterator[None]:
    """Whatever PyAV raises in this block, as a `VideoError`."""
    av = _import_av()
    try:
        yield
    except av.error.ArgumentError as error:
        raise VideoError(
            f"{path} is not in a format of moving pictures that is read here.", hint=_CONVERT_HINT
        ) from error
    # Beside its own errors PyAV lets through what its conversions raise on nonsense.
    except (av.error.FFmpegError, OSError, ValueError, ArithmeticError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise VideoError(f"{path} can't be read as a video: {reason}.", hint=_CONVERT_HINT) from error


def _import_av() -> Any:
    with needs("PyAV", extra="video", why="it decodes videos"):
        import av
        from av.sidedata.sidedata import Type
    # PyAV looks all of a frame's side data up in its list of kinds, and raises at one that FFmpeg knows and the list
    # doesn't (Exif, views of spatial video, ...): such a kind gets a member here, which nothing asks for.
    Type._missing_ = classmethod(_unknown_kind)  # type: ignore[assignment]
    return av


def _unknown_kind(kinds: Any, value: object) -> Any:
    kind = object.__new__(kinds)
    kind._name_, kind._value_ = f"UNKNOWN_{value}", value
    return kind


def _refuse_non_files(path: Path) -> None:
    if path.is_dir():
        raise VideoError(f"{path} is a folder, not a video.", hint="Name a video in it.")
    if not path.exists():
        raise VideoError(f"{path} does not exist.", hint="Check the path.")
    if not path.is_file():
        raise VideoError(f"{path} is not a regular file.", hint="Copy the video to a file first.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty.", hint="Copy or download it again.")


def _shown_video(path: Path, container: InputContainer) -> VideoStream:
    """The stream that a player shows: the first that the container calls default, or else the first."""
    from av.stream import Disposition

    stills = Disposition.attached_pic | Disposition.timed_thumbnails
    pictures = [stream for stream in container.streams.video if not stream.disposition & stills]
    if not pictures:
        held = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise VideoError(f"{path} holds no video, only {held}.", hint="Name a file with moving pictures in it.")
    stream = next((stream for stream in pictures if stream.disposition & Disposition.default), pictures[0])
    if stream.codec_context is None:
        raise VideoError(f"{path} is compressed in a way that this PyAV can't decode.", hint=_CONVERT_HINT)
    _refuse_giants(path, stream.codec_context.width, stream.codec_context.height)
    return stream


def _refuse_giants(path: Path, width: int, height: int) -> None:
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise VideoError(
            f"{path} has pictures of {width}x{height} pixels; at most {MAX_SIDE} a side and {MAX_PIXELS:,} are read.",
            hint="Scale it down: ffmpeg -i INPUT -vf scale=1280:-2 OUTPUT.mp4",
        )
