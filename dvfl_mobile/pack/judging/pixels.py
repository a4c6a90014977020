"""Check resizing and cropping, on formula pictures and on the app's own frames."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.data.video import pictures
from dvfl_mobile.errors import MissingDependencyError, VideoError
from dvfl_mobile.pack.archive import OpenPack
from dvfl_mobile.pack.contents import GoldenPicture, GoldenVideo, Values
from dvfl_mobile.pack.judging import causes
from dvfl_mobile.pack.judging.checking import IDENTICAL, Why, failed, missing, passed, within
from dvfl_mobile.pack.judging.frames import are_identical
from dvfl_mobile.pack.judging.verdict import Cause, StageCheck
from dvfl_mobile.pack.making.drawn import formula_pictures
from dvfl_mobile.pack.results import PictureResult, VideoResult
from dvfl_mobile.pack.turns import UPRIGHT

# At less than this a search would take every small difference for a fault.
_LEAST_NEAR = 2.0


def picture(pack: OpenPack, golden: GoldenPicture, found: PictureResult | None, follows: str | None) -> StageCheck:
    """What the app makes of formula pictures."""
    stage, subject = "resize and crop", f"{golden.name} picture"
    near, spec = pack.contents.tolerances.picture_levels, pack.contents.clip
    if found is None or found.pixels is None:
        return missing(stage, subject, within(near))
    values = found.pixels

    def why() -> Cause | None:
        drawn = formula_pictures(spec.frames, golden.width, golden.height)
        return causes.of_pixels(values.bytes_sampled(), drawn, spec, pack.contents.stride, _LEAST_NEAR)

    return _compared(stage, subject, values, golden.pixels, near, why, follows)


def clip(
    pack: OpenPack, video: GoldenVideo, found: VideoResult | None, follows: str | None, notes: list[str]
) -> StageCheck:
    """What the app makes of the frames that it decoded; held more strictly where it decoded them to the bit.

    Args:
        notes: takes a sentence where the cause can't be looked for here.
    """
    stage, tolerances = "clip pixels", pack.contents.tolerances
    near = tolerances.picture_levels if are_identical(video, found) else tolerances.pixel_levels
    if found is None or found.pixels is None:
        return missing(stage, video.name, within(near))
    values = found.pixels
    # Where the frames were judged, they lie as they should.
    turn = video.stored_turn if found.frames is None else UPRIGHT

    def why() -> Cause | None:
        spec, stride = pack.contents.clip, pack.contents.stride
        try:
            golden = _golden_pictures(pack, video)
        except MissingDependencyError as error:
            notes.append(f"Why pixels of videos are off wasn't looked into: {error.problem} {error.hint}")
            return None
        return causes.of_pixels(values.bytes_sampled(), golden, spec, stride, max(near, _LEAST_NEAR), turn)

    return _compared(stage, video.name, values, video.pixels, near, why, follows)


def _compared(
    stage: str, subject: str, found: Values, right: Values, near: float, why: Why, follows: str | None
) -> StageCheck:
    if found.sha256 == right.sha256:
        return passed(stage, subject, IDENTICAL, within(near))
    if found.count != right.count or len(found.samples) != len(right.samples):
        count = f"{found.count:,} values"
        sentence = f"The app gave {count}; {right.count:,} are meant."
        return failed(stage, subject, count, within(near), sentence, follows=follows)
    apart = causes.distance(found.bytes_sampled(), right.bytes_sampled())
    measured = f"{apart:.2f} levels"
    if apart <= near:
        return passed(stage, subject, measured, within(near))
    return failed(stage, subject, measured, within(near), f"Pixels are {measured} off in the mean.", why, follows)


def _golden_pictures(pack: OpenPack, video: GoldenVideo) -> NDArray[np.uint8]:
    """The drawn frames of a golden video, upright `(T,h,w,3)`, decoded here.

    Raises:
        MissingDependencyError: PyAV isn't installed.
        VideoError: the video isn't what the pack says.
    """
    wanted = set(video.indices)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "golden.mp4"
        path.write_bytes(pack.files[video.file])
        kept = {number: one for number, one in enumerate(pictures(path)) if number in wanted}
    if kept.keys() != wanted or len({one.shape for one in kept.values()}) > 1:
        raise VideoError(f"{video.file} of the pack isn't the video that it tells of.", hint="Make the pack again.")
    return np.stack([kept[index] for index in video.indices])
