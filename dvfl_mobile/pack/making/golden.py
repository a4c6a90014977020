"""Choose and re-encode golden videos, add two synthetic ones, and decode what each must give."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import ClipSpec, frame_indices, prepare
from dvfl_mobile.data.video import drawn_indices, encoding_of, pictures, probe
from dvfl_mobile.data.videos import VideoRef, find_videos
from dvfl_mobile.errors import VideoError
from dvfl_mobile.pack import stages, turns
from dvfl_mobile.pack.making import drawn, encoding
from dvfl_mobile.progress import Step
from dvfl_mobile.wording import plural

MOST_OWN = 3
MOST_BYTES = 700_000
_KEPT_FRAMES, _ENCODED_FRAMES = 300, 64
_PLAYED = ("h264", "hevc")
_LEAST_SIDE = stages.GRID


@dataclass(frozen=True, eq=False)
class Golden:
    """A golden video with all that is known of it.

    Attributes:
        data: the file.
        hashes: of every frame, upright RGB; `thumbnails`: `(N,16,16,3)`.
        clip: the pixels of the clip that is drawn from it, `(T,3,S,S)`.
    """

    name: str
    source: str
    data: bytes
    width: int
    height: int
    stored_turn: str
    is_even: bool
    hashes: tuple[str, ...]
    thumbnails: NDArray[np.uint8]
    indices: tuple[int, ...]
    clip: NDArray[np.uint8]


def gather(source: Path, spec: ClipSpec, classes: Sequence[str], step: Step) -> tuple[list[Golden], list[str]]:
    """Golden videos out of `source`, then the drawn ones; and notes on what was left out.

    Raises:
        VideoError: `source` holds no video that can be used.
        MissingDependencyError: PyAV isn't installed.
    """
    found: list[Golden] = []
    notes: list[str] = []
    refs = find_videos(source, classes)
    with step("golden videos", MOST_OWN + len(drawn.VIDEOS)) as advance, tempfile.TemporaryDirectory() as folder:
        for ref in _spread(refs):
            if len(found) == MOST_OWN:
                break
            try:
                found.append(_own(ref, spec, {one.name for one in found}, Path(folder)))
                advance()
            except VideoError as error:
                notes.append(f"Left out: {error.problem}")
        if not found:
            raise VideoError(
                f"None of the {plural(len(refs), 'video')} in {source} can be a golden video. {notes[0]}",
                hint="Name a folder with short videos that play.",
            )
        for video in drawn.VIDEOS:
            path = Path(folder) / "drawn.mp4"
            encoding.write_mp4(path, drawn.video_pictures(video.seed), turn=video.turn, times_ms=video.times_ms)
            found.append(_described(video.name, "drawn", path, spec))
            advance()
    if len(refs) > MOST_OWN:
        notes.append(f"{len(found) - len(drawn.VIDEOS)} of {plural(len(refs), 'video')}, spread evenly.")
    return found, notes


def _spread(refs: Sequence[VideoRef]) -> Iterator[VideoRef]:
    """As many as are wanted, spread evenly over all; then the others, should one of those not do."""
    places = np.linspace(0, len(refs) - 1, min(MOST_OWN, len(refs))).round().astype(int).tolist()
    yield from (refs[place] for place in places)
    yield from (ref for place, ref in enumerate(refs) if place not in places)


def _own(ref: VideoRef, spec: ClipSpec, taken: set[str], folder: Path) -> Golden:
    path = ref.path
    source = ref.name or path.name
    if not _is_fit(path):
        path = folder / "golden.mp4"
        rate = encoding_of(ref.path).frames_per_second
        encoding.write_mp4(path, islice(pictures(ref.path), _ENCODED_FRAMES), rate=min(max(rate, 1), 60))
        source = f"{source}, at most {_ENCODED_FRAMES} frames, as H.264"
    if path.stat().st_size > MOST_BYTES:
        raise VideoError(f"{ref.path} takes {path.stat().st_size:,} bytes; a golden video may take {MOST_BYTES:,}.")
    return _described(_name(Path(ref.name or ref.path.name).stem, taken), source, path, spec)


def _is_fit(path: Path) -> bool:
    """Whether phones play a video as it is, and it is short enough."""
    how = encoding_of(path)
    if "mp4" not in how.container or how.codec not in _PLAYED or how.pixel_format not in ("yuv420p", "yuvj420p"):
        return False
    if path.stat().st_size > MOST_BYTES:
        return False
    facts = probe(path)
    return facts.damage is None and facts.decoded <= _KEPT_FRAMES and min(facts.width, facts.height) >= _LEAST_SIDE


def _described(name: str, source: str, path: Path, spec: ClipSpec) -> Golden:
    facts = probe(path)
    indices = drawn_indices(facts, spec)
    upright = list(pictures(path))
    if len({one.shape for one in upright}) > 1:
        raise VideoError(f"{source} changes its size on the way.")
    return Golden(
        name=name,
        source=source,
        data=path.read_bytes(),
        width=facts.width,
        height=facts.height,
        stored_turn=turns.turn_between(upright[0], next(pictures(path, upright=False))),
        is_even=np.array_equal(indices, frame_indices(facts.decoded, spec)),
        hashes=tuple(stages.sha256(one) for one in upright),
        thumbnails=np.stack([stages.thumbnail(one) for one in upright]),
        indices=tuple(indices.tolist()),
        clip=prepare(np.stack([upright[index] for index in indices]), spec),
    )


def _name(text: str, taken: set[str]) -> str:
    """A name that every file system and every language takes, and that is there once."""
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:48] or "video"
    taken = taken | {video.name for video in drawn.VIDEOS}
    numbered = (f"{plain}-{number}" for number in range(2, 2 + len(taken) + 1))
    return next(name for name in (plain, *numbered) if name not in taken)
