"""Check the stages from pixels to logits: the input tensor and the model's output."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile import targets
from dvfl_mobile.documents import Verdict
from dvfl_mobile.pack.archive import OpenPack
from dvfl_mobile.pack.contents import GoldenVideo, Pack, Values, floats_of
from dvfl_mobile.pack.judging import causes
from dvfl_mobile.pack.judging.checking import Why, failed, missing, passed
from dvfl_mobile.pack.judging.verdict import Cause, StageCheck
from dvfl_mobile.pack.results import ClipResult, Results, VideoResult
from dvfl_mobile.parity.judge import judge
from dvfl_mobile.parity.measure import measure
from dvfl_mobile.parity.thresholds import Thresholds, arithmetic_of
from dvfl_mobile.wording import plural

_TENSOR = "input tensor"
_CHECKED = {"sqnr": "SQNR", "top1": "top-1 agreement", "finite": "finite logits"}
# In levels: a clip of the pack is the same to the bit, and only rounding may differ.
_NEAR_OF_CLIP = 0.5


def clip_tensor(pack: OpenPack, video: GoldenVideo, found: ClipResult | None, follows: str | None) -> StageCheck:
    """What the app fills the input with, of a clip that it got whole."""
    subject, pixels = f"the pack's clip {video.name}", pack.clip(video)
    if found is None or found.tensor is None or pixels is None:
        return missing(_TENSOR, subject, _required(pack.contents))
    why = _search(pack, found.tensor, pixels, _NEAR_OF_CLIP)
    return _tensor(pack.contents, subject, found.tensor, video.pixels.bytes_sampled(), why, follows)


def video_tensor(pack: OpenPack, video: GoldenVideo, found: VideoResult | None, follows: str | None) -> StageCheck:
    """The same of the app's own pixels: what its decoder does differently is none of this stage's."""
    if found is None or found.tensor is None:
        return missing(_TENSOR, video.name, _required(pack.contents))
    if found.pixels is None or len(found.pixels.samples) != len(video.pixels.samples):
        gone = "The pixels that it is made of are missing, or others in number"
        return missing(_TENSOR, video.name, _required(pack.contents), gone)
    why = _search(pack, found.tensor, pack.clip(video), pack.contents.tolerances.pixel_levels)
    return _tensor(pack.contents, video.name, found.tensor, found.pixels.bytes_sampled(), why, follows)


def _search(pack: OpenPack, found: Values, pixels: NDArray[np.uint8] | None, near: float) -> Why:
    contents = pack.contents

    def why() -> Cause | None:
        if pixels is None:
            return None
        samples, entry = found.floats_sampled(), contents.artifact.input
        return causes.of_tensor(samples, pixels, contents.clip, entry, contents.stride, near)

    return why


def _tensor(
    contents: Pack, subject: str, found: Values, pixels: NDArray[np.float64], why: Why, follows: str | None
) -> StageCheck:
    required, spec, entry = _required(contents), contents.clip, contents.artifact.input
    count, samples = int(np.prod(spec.shape)), found.floats_sampled()
    if found.count != count or samples.shape != pixels.shape:
        given = f"{found.count:,} values"
        return failed(_TENSOR, subject, given, required, f"The app gave {given}; {count:,} are meant.", follows=follows)
    if not np.isfinite(samples).all():
        return failed(_TENSOR, subject, "not finite", required, "Some values are not finite.", follows=follows)
    channels = causes.channels_of_samples(spec.shape, contents.stride)
    right = causes.input_values(pixels, channels, spec, entry)
    apart = float(np.abs(samples - right).max() / _level(contents))
    measured = f"{apart:.3g} levels"
    if apart <= _near(contents):
        return passed(_TENSOR, subject, measured, required)
    sentence = f"The tensor is up to {measured} off what its pixels give."
    return failed(_TENSOR, subject, measured, required, sentence, why, follows)


def _required(contents: Pack) -> str:
    return f"within {_near(contents):g} of a level"


def _near(contents: Pack) -> float:
    """In levels; where int8 rounds pixels, either neighbour will do."""
    scale = contents.artifact.input.scale
    return contents.tolerances.tensor if scale is None or scale == 1 else scale


def _level(contents: Pack) -> float:
    """What one level of a pixel comes to in the tensor, at the least."""
    step = 1.0 if contents.clip.pixels == "raw" else 1 / max(contents.clip.std)
    scale = contents.artifact.input.scale
    return step if scale is None else step / scale


def logits(
    pack: OpenPack,
    stage: str,
    golden: Sequence[GoldenVideo],
    given: Mapping[str, str | None],
    thresholds: Thresholds,
    follows: str | None,
) -> Iterator[StageCheck]:
    """What the app's model answers, by the rules that artifacts are judged by.

    Args:
        given: the logits in hex, by the video's name.
    """
    classes = len(pack.contents.artifact.classes)
    rows: list[tuple[GoldenVideo, NDArray[np.float64]]] = []
    for video in golden:
        text = given.get(video.name)
        values = None if text is None else floats_of(text)
        if values is None:
            yield missing(stage, video.name, thresholds.required["sqnr"])
        elif len(values) != classes:
            sentence = f"The app gave {plural(len(values), 'logit')} for {classes} classes."
            yield failed(stage, video.name, str(len(values)), f"{classes} logits", sentence, follows=follows)
        else:
            rows.append((video, values))
    if rows:
        yield from _judged(stage, rows, thresholds, follows)


def as_computed(pack: OpenPack, results: Results, thresholds: Thresholds) -> Thresholds:
    """The thresholds for what the app computed in, which it doesn't say, and its logits show."""
    artifact = pack.contents.artifact
    target = targets.find(artifact.target)
    is_xnnpack_s = target is not None and target.normalizer_of(artifact.recipe) in ("half_products", "half_means")
    texts = [*(one.logits for one in results.clips), *(one.logits for one in results.videos)]
    given = [floats_of(text) for text in texts if text]
    delegate = "XNNPACK" if is_xnnpack_s else None
    if given and arithmetic_of(artifact.recipe, delegate, np.concatenate(given)) == "float16":
        return thresholds.in_half()
    return thresholds


def video_thresholds(pack: OpenPack, videos: Mapping[str, VideoResult], thresholds: Thresholds) -> Thresholds:
    """What the logits of videos must reach: less than of the pack's clips, where the pixels aren't the same."""
    tolerances = pack.contents.tolerances
    found = {name: video.pixels.sha256 for name, video in videos.items() if video.pixels is not None}
    is_exact = all(found.get(video.name) == video.pixels.sha256 for video in pack.contents.videos)
    if is_exact or tolerances.video_sqnr_db >= thresholds.min_sqnr_db:
        return thresholds
    return thresholds.model_copy(
        update={"min_sqnr_db": tolerances.video_sqnr_db, "sqnr_reason": tolerances.video_sqnr_reason}
    )


def _judged(
    stage: str,
    rows: Sequence[tuple[GoldenVideo, NDArray[np.float64]]],
    thresholds: Thresholds,
    follows: str | None,
) -> Iterator[StageCheck]:
    right = np.array([video.reference_logits for video, _ in rows])
    found = np.stack([values for _, values in rows])
    made = [video.artifact_logits for video, _ in rows if video.artifact_logits is not None]
    known = np.array(made) if len(made) == len(rows) else None
    measurement = measure(right, found, [video.name for video, _ in rows])
    for check in judge(measurement, thresholds):
        subject = f"{plural(len(rows), 'clip')}, {_CHECKED[check.name]}"
        if check.verdict is Verdict.PASS:
            yield passed(stage, subject, check.measured, check.required)
        elif check.verdict is Verdict.INCONCLUSIVE:
            yield missing(stage, subject, check.required, check.sentence.rstrip("."))
        else:
            yield failed(
                stage,
                subject,
                check.measured,
                check.required,
                check.sentence,
                lambda: causes.of_logits(found, right, known, thresholds.min_sqnr_db),
                follows,
            )
