"""Read the clips of videos: of one, or of many, some ahead of when they are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from dvfl_mobile.data.clips import Clip, ClipSpec, View
from dvfl_mobile.data.video import read_views
from dvfl_mobile.data.videos import VideoRef
from dvfl_mobile.errors import VideoError

_READERS, _AHEAD = 2, 4


@dataclass(frozen=True)
class VideoRead:
    """What came of a video.

    Attributes:
        clips: one of each view; a clip's `damage` says what was wrong with a video that could still be drawn from.
        error: why it couldn't be read; there are no clips then.
    """

    ref: VideoRef
    clips: tuple[Clip, ...] = ()
    error: VideoError | None = None


def read_video(ref: VideoRef, spec: ClipSpec, views: Sequence[View]) -> VideoRead:
    """Draw the views of a video."""
    try:
        clips = read_views(ref.path, spec, list(views), ref.label)
    except VideoError as error:
        return VideoRead(ref, error=error)
    return VideoRead(ref, tuple(replace(clip, name=ref.name or clip.name) for clip in clips))


def read_ahead(refs: Iterable[VideoRef], spec: ClipSpec, views: Sequence[View]) -> Iterator[VideoRead]:
    """Draw the views of each video, in order. Whoever has enough may stop: what was begun is finished and dropped.

    PyAV and numpy let go of the interpreter where they work, so that threads read some videos ahead.
    """
    waiting: deque[Future[VideoRead]] = deque()
    with ThreadPoolExecutor(_READERS, thread_name_prefix="clips") as pool:
        try:
            for ref in refs:
                waiting.append(pool.submit(read_video, ref, spec, views))
                if len(waiting) > _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
