"""Check the stages from file to frames: frame count, drawn indices and decoded pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.clips import frame_indices
from dvfl_mobile.pack.archive import OpenPack
from dvfl_mobile.pack.contents import GoldenVideo
from dvfl_mobile.pack.judging import causes
from dvfl_mobile.pack.judging.checking import IDENTICAL, failed, known, missing, passed, within
from dvfl_mobile.pack.judging.verdict import Cause, StageCheck
from dvfl_mobile.pack.results import FrameResult, VideoResult
from dvfl_mobile.wording import plural

# How much nearer another frame has to be than the one that is meant, to be taken for it.
_SAME_FRAME_LEVELS = 1.0


def frame_count(_: OpenPack, video: GoldenVideo, found: VideoResult | None, follows: str | None) -> StageCheck:
    """How many frames the app's decoder gives."""
    stage, right = "frame count", len(video.frames)
    if found is None or found.frame_count is None:
        return missing(stage, video.name, str(right))
    count = found.frame_count
    if count == right:
        return passed(stage, video.name, str(count), str(right))
    sentence = f"The app's decoder gave {plural(count, 'frame')}; the video has {right}."
    return failed(stage, video.name, str(count), str(right), sentence, follows=follows)


def drawn(pack: OpenPack, video: GoldenVideo, found: VideoResult | None, follows: str | None) -> StageCheck:
    """Which frames the app draws. Of another number of frames, the rule's own choice only follows."""
    stage, required = "drawn frames", ", ".join(map(str, video.indices))
    if found is None or found.indices is None:
        return missing(stage, video.name, required)
    measured = ", ".join(map(str, found.indices))
    if found.indices == video.indices:
        return passed(stage, video.name, measured, required)
    spec, indices = pack.contents.clip, found.indices
    by_its_count = found.frame_count and indices == tuple(frame_indices(found.frame_count, spec).tolist())

    def why() -> Cause | None:
        cause = causes.of_indices(indices, video.indices, len(video.frames), spec)
        return None if cause is not None and cause.faults == ("by index",) and video.is_even else cause

    sentence = "Other frames are drawn."
    return failed(stage, video.name, measured, required, sentence, why, follows if by_its_count else None)


def frames(pack: OpenPack, video: GoldenVideo, found: VideoResult | None, follows: str | None) -> StageCheck:
    """Whether the frames are those whose numbers the app gives, upright and in the right colours."""
    stage, near = "decoded frames", pack.contents.tolerances.frame_levels
    if found is None or found.frames is None or found.indices is None:
        return missing(stage, video.name, within(near))
    given, numbers = found.frames, found.indices
    if not _fit(given, numbers, len(video.frames), pack.contents.grid):
        sentence = (
            f"The app gave {plural(len(given), 'frame')} for {len(numbers)} numbers, or such as the video hasn't."
        )
        return failed(stage, video.name, "others", within(near), sentence, follows=follows)
    if all(frame.sha256 == video.frames[number] for frame, number in zip(given, numbers, strict=True)):
        return passed(stage, video.name, IDENTICAL, within(near))
    thumbnails, golden = _thumbnails(given, pack.contents.grid), pack.thumbnails(video)
    apart = np.abs(thumbnails[:, None] - golden[None]).mean(axis=(2, 3, 4))
    own = apart[np.arange(len(numbers)), list(numbers)]
    others = int((own > apart.min(axis=1) + _SAME_FRAME_LEVELS).sum())
    sizes = {(frame.width, frame.height) for frame in given}
    is_sized = sizes == {(video.width, video.height)}
    measured = f"{own.max():.1f} levels"
    if own.max() <= near and is_sized and not others:
        return passed(stage, video.name, measured, within(near))
    sentence = f"The app's frames are up to {measured} off"
    sentence += f", {others} of {len(numbers)} look like other frames" if others else ""
    sentence += "" if is_sized else f", and of {_size(sizes)} where {video.width}x{video.height} is meant"

    def why() -> Cause | None:
        cause = causes.of_frames(thumbnails, golden, numbers, video.stored_turn, near)
        if cause is None and own.max() <= near and not is_sized:
            return known("scaled by the decoder", f"{_size(sizes)}, and otherwise the same.")
        return cause

    return failed(stage, video.name, measured, within(near), f"{sentence}.", why)


def are_identical(video: GoldenVideo, found: VideoResult | None) -> bool:
    """Whether the app decoded a video's drawn frames to the bit."""
    if found is None or found.frames is None or found.indices != video.indices:
        return False
    return [frame.sha256 for frame in found.frames] == [video.frames[index] for index in video.indices]


def _fit(given: tuple[FrameResult, ...], numbers: tuple[int, ...], total: int, grid: int) -> bool:
    lengths = {len(frame.thumbnail) for frame in given}
    is_there = all(0 <= number < total for number in numbers)
    return len(given) == len(numbers) and lengths == {2 * 3 * grid**2} and is_there


def _thumbnails(given: tuple[FrameResult, ...], grid: int) -> NDArray[np.float64]:
    data = b"".join(bytes.fromhex(frame.thumbnail) for frame in given)
    return np.frombuffer(data, np.uint8).reshape(-1, grid, grid, 3).astype(np.float64)


def _size(sizes: set[tuple[int, int]]) -> str:
    return " and ".join(f"{width}x{height}" for width, height in sorted(sizes)[:3])
