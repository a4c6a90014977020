"""Guess the cause of a deviation: apply every known fault to the golden values, and name the nearest.

A cause is named only where the app's values lie near what that fault gives, and much nearer than to the right ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dvfl_mobile.artifacts.manifest import TensorEntry
from dvfl_mobile.data.clips import ClipSpec, frame_indices
from dvfl_mobile.metrics import sqnr_db
from dvfl_mobile.pack.judging import faults
from dvfl_mobile.pack.judging.verdict import Cause
from dvfl_mobile.pack.resizes import resized, resizes
from dvfl_mobile.pack.turns import TURNS, UPRIGHT
from dvfl_mobile.wording import first_few_only

Array = NDArray[Any]

# A fault more has to bring the values nearer by so much, as a share of what counts as near.
_FAULT_COSTS = 0.3
_ORDER = "TCHW"
# A search needs fewer samples than a verdict.
_THINNED = 4


@dataclass(frozen=True)
class Guess:
    """Faults, and how far the values lie from what they give."""

    faults: tuple[str, ...]
    distance: float


def likeliest(guesses: Iterable[Guess], near: float, unit: str) -> Cause | None:
    """The fewest faults that explain most; None where no guess comes near.

    Args:
        guesses: one of them without faults: the right values.
        near: a distance at which values count as explained.
        unit: what distances are in, for people.
    """
    listed = list(guesses)
    right = min((guess.distance for guess in listed if not guess.faults), default=float("inf"))
    fitting = [guess for guess in listed if guess.faults and guess.distance <= min(near, right / 2)]
    if not fitting:
        return None
    best = min(fitting, key=lambda guess: guess.distance / near + _FAULT_COSTS * len(guess.faults))
    evidence = f"{right:.3g} {unit} from what is right, {best.distance:.3g} from this."
    return Cause(faults=best.faults, sentence=faults.meaning(best.faults), evidence=evidence)


def distance(found: Array, predicted: Array) -> float:
    """Mean absolute difference; infinite where the shapes differ or something isn't finite."""
    if found.shape != predicted.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - predicted).mean())


def of_indices(found: Sequence[int], right: Sequence[int], total: int, spec: ClipSpec) -> Cause | None:
    """Why other frames are drawn."""
    evidence = f"Drawn {_listed(found)}; meant {_listed(right)}."
    for fault, drawn in _wrong_rules(right, total, spec):
        if list(found) == drawn:
            return Cause(faults=(fault,), sentence=faults.meaning((fault,)), evidence=evidence)
    for length in range(1, 2 * total + 1):
        if list(found) == frame_indices(length, spec).tolist():
            longer = f"{evidence} That is the rule for {length} frames; there are {total}."
            return Cause(faults=("another length",), sentence=faults.meaning(("another length",)), evidence=longer)
    return None


def _wrong_rules(right: Sequence[int], total: int, spec: ClipSpec) -> Iterator[tuple[str, list[int]]]:
    count, numbers = spec.frames, np.arange(spec.frames)
    yield "by index", frame_indices(total, spec).tolist()
    for shift in (1, -1):
        yield "off by one", [index + shift for index in right]
    span = total - spec.frame_interval + 1
    for length in (span, total):
        yield "segments' beginnings", np.floor(numbers * length / count).astype(int).tolist()
    for end in (total - 1, span - 1):
        spread = np.linspace(0, end, count)
        yield "spread to both ends", spread.astype(int).tolist()
        yield "spread to both ends", spread.round().astype(int).tolist()
    whole = spec.model_copy(update={"frame_interval": 1})
    yield "frame_interval left out", frame_indices(total, whole).tolist()
    yield "the first ones", numbers.tolist()
    yield "the last ones", (total - count + numbers).tolist()
    yield "every frame_interval", (numbers * spec.frame_interval).tolist()


def _listed(indices: Sequence[int]) -> str:
    return first_few_only(indices, 8)


def of_frames(found: Array, golden: Array, drawn: Sequence[int], stored_turn: str, near: float) -> Cause | None:
    """Why decoded frames look otherwise, by their thumbnails.

    Args:
        found: the app's, `(T,16,16,3)`.
        golden: those of every frame of the video, `(N,16,16,3)`.
        drawn: which of them the app says its own are.
        stored_turn: how the frames are stored, as one of `TURNS` of the upright ones.
    """
    guesses, nearest = [], {}
    for turn, lay in TURNS.items():
        turned = () if turn == UPRIGHT else (faults.ROTATION_IGNORED if turn == stored_turn else turn,)
        for colour, paint in _COLOURS.items():
            coloured = (colour,) if colour else ()
            changed = paint(lay(golden))
            guesses.append(Guess((*turned, *coloured), distance(found, changed[list(drawn)])))
            apart = np.abs(found[:, None] - changed[None]).mean(axis=(2, 3, 4))
            several = (*turned, *coloured, faults.WRONG_FRAMES)
            nearest[several] = apart.argmin(axis=1)
            if not np.array_equal(nearest[several], drawn):
                guesses.append(Guess(several, float(apart.min(axis=1).mean())))
    cause = likeliest(guesses, near, "levels")
    if cause is None or faults.WRONG_FRAMES not in cause.faults:
        return cause
    found_at = nearest[cause.faults]
    return cause.model_copy(update={"evidence": f"{cause.evidence} {_which(found_at, drawn)}"})


def _which(found: NDArray[np.int64], drawn: Sequence[int]) -> str:
    shifts = found - np.asarray(drawn)
    if len(set(found.tolist())) == 1:
        return f"All of them are frame {found[0]}."
    if len(set(shifts.tolist())) == 1:
        return f"Each is {abs(shifts[0])} {'before' if shifts[0] < 0 else 'after'} the one that is meant."
    return f"They are {_listed(found.tolist())} where {_listed(drawn)} are meant."


# BT.601 and BT.709 (ITU-R), R'G'B' to Y'CbCr, all of full range.
_BT601 = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_BT709 = np.array([[0.2126, 0.7152, 0.0722], [-0.114572, -0.385428, 0.5], [0.5, -0.454153, -0.045847]])


def _through(matrix: Array, offset: float = 0.0) -> Callable[[Array], Array]:
    return lambda rgb: (rgb @ matrix.T + offset).clip(0, 255)


_COLOURS: Mapping[str, Callable[[Array], Array]] = {
    "": lambda rgb: rgb,
    faults.SWAPPED: lambda rgb: rgb[..., ::-1],
    faults.UV_SWAPPED: _through(np.linalg.inv(_BT601) @ _BT601[[0, 2, 1]]),
    "limited range": _through(np.eye(3) * 219 / 255, 16),
    "range expanded twice": _through(np.eye(3) * 255 / 219, -16 * 255 / 219),
    "BT.709 for BT.601": _through(np.linalg.inv(_BT709) @ _BT601),
    "BT.601 for BT.709": _through(np.linalg.inv(_BT601) @ _BT709),
    "no colour": _through(np.ones((3, 1)) @ _BT601[:1]),
}


def of_pixels(
    found: Array, pictures: NDArray[np.uint8], spec: ClipSpec, stride: int, near: float, stored_turn: str = UPRIGHT
) -> Cause | None:
    """Why the pixels of a clip are others, by their samples.

    Args:
        found: the app's samples.
        pictures: the right pictures before scaling, upright, `(T,h,w,3)`.
        stored_turn: how the video's frames are stored, if the app may not have turned them.
    """
    if found.size != -(-int(np.prod(spec.shape)) // stride):
        return None
    guesses: list[Guess] = []
    for several in range(3):
        # A resize is slow to try, and few apps do two things wrong in it.
        guesses += _pixel_guesses(found, pictures, spec, stride, stored_turn, several)
        cause = likeliest(guesses, near, "levels")
        if cause is not None:
            return cause
    return None


def _pixel_guesses(
    found: Array, pictures: NDArray[np.uint8], spec: ClipSpec, stride: int, stored_turn: str, several: int
) -> Iterator[Guess]:
    arrangements = _arrangements(spec.shape, stride * _THINNED)
    places = np.stack(list(arrangements.values()))
    thinned = found[::_THINNED]
    for turn in dict.fromkeys((UPRIGHT, stored_turn)):
        laid = np.ascontiguousarray(TURNS[turn](pictures))
        ignored = () if turn == UPRIGHT else (faults.ROTATION_IGNORED,)
        for way in resizes(several):
            values = resized(laid, spec, way)
            if values is None:
                continue
            apart = np.abs(values.reshape(-1)[places] - thinned).mean(axis=1)
            for arranged, mean in zip(arrangements, apart, strict=True):
                yield Guess((*ignored, *way.faults, *arranged), float(mean))


@lru_cache(maxsize=4)
def _arrangements(shape: tuple[int, int, int, int], stride: int) -> Mapping[tuple[str, ...], NDArray[np.int32]]:
    """Where in the right array each sample of one lies that is laid out wrongly, by the faults that do it."""
    places = np.arange(int(np.prod(shape)), dtype=np.int32).reshape(shape)
    flips = {(): places, (faults.UPSIDE_DOWN,): places[:, :, ::-1], (faults.MIRRORED,): places[..., ::-1]}
    found = {}
    for flipped, one in flips.items():
        for swapped, other in (((), one), ((faults.SWAPPED,), one[:, ::-1])):
            for axes in permutations(range(4)):
                name = "".join(_ORDER[axis] for axis in axes)
                order = () if name == _ORDER else (f"order {name}",)
                found[*flipped, *swapped, *order] = other.transpose(axes).reshape(-1)[::stride].copy()
    return found


def input_values(pixels: Array, channels: Array, spec: ClipSpec, entry: TensorEntry) -> Array:
    """What an artifact's input holds of pixels of these channels."""
    values = pixels if spec.pixels == "raw" else _normalized(pixels, channels, spec)
    if entry.scale is None or entry.zero_point is None:
        return values
    return (np.rint(values / entry.scale) + entry.zero_point).clip(-128, 127)


def channels_of_samples(shape: tuple[int, ...], stride: int) -> NDArray[np.int64]:
    """The channel of each sample of an array `(T,3,H,W)`."""
    return np.arange(0, int(np.prod(shape)), stride) // (shape[2] * shape[3]) % 3


def _normalized(values: Array, channels: Array, spec: ClipSpec) -> Array:
    return (values - np.asarray(spec.mean)[channels]) / np.asarray(spec.std)[channels]


def of_tensor(
    found: Array, pixels: NDArray[np.uint8], spec: ClipSpec, entry: TensorEntry, stride: int, near_levels: float
) -> Cause | None:
    """Why a tensor is another, by its samples.

    Args:
        pixels: what it was made of, `(T,3,S,S)`.
        near_levels: how far these may be off by themselves, in levels.
    """
    channels = channels_of_samples(spec.shape, stride * _THINNED)
    flat, thinned = pixels.reshape(-1).astype(np.float64), found[::_THINNED]

    def guesses() -> Iterator[Guess]:
        for arranged, places in _arrangements(spec.shape, stride * _THINNED).items():
            for fault, change in _wrong_values(spec, entry):
                values = change(flat[places], channels)
                # In levels, so that a tensor of small values isn't near everything.
                level = max(float(values.std() / max(flat.std(), 1e-9)), 1e-9)
                named = (*arranged, fault) if fault else arranged
                yield Guess(named, distance(thinned, values) / level)

    return likeliest(guesses(), near_levels, "levels of a pixel")


_Change = Callable[[Array, Array], Array]


def _wrong_values(spec: ClipSpec, entry: TensorEntry) -> list[tuple[str, _Change]]:
    """What apps do to pixels in place of what they should, the right thing first; by the value and its channel."""

    def normalized(values: Array, channels: Array) -> Array:
        return _normalized(values, channels, spec)

    wrong: list[tuple[str, _Change]] = [
        ("", lambda values, channels: input_values(values, channels, spec, entry)),
        (faults.NORMALIZED_TWICE, lambda values, channels: normalized(normalized(values, channels), channels)),
        (faults.ZERO_TO_ONE, lambda values, _: values / 255),
    ]
    if spec.pixels == "raw":
        wrong += [
            (faults.NORMALIZED_TWICE, normalized),
            (faults.PLUS_MINUS_ONE, lambda values, _: values / 127.5 - 1),
            (faults.MIXED_SCALES, lambda values, channels: normalized(values / 255, channels)),
        ]
    else:
        wrong.append((faults.NOT_NORMALIZED, lambda values, _: values))
    if entry.scale is not None:
        wrong += [
            (faults.NOT_QUANTIZED, lambda values, _: values),
            (faults.ZERO_POINT, lambda values, _: values.clip(-128, 127)),
            (faults.WRAPPED, lambda values, _: (values + 128) % 256 - 128),
        ]
    return wrong


def of_logits(found: Array, right: Array, made: Array | None, least_db: float) -> Cause | None:
    """Why logits are others, `(N,K)`, where their tensors are right.

    Args:
        made: what the artifact gave where the pack was made.
        least_db: from which SQNR on they count as the same.
    """
    if not np.isfinite(found).all():
        return None
    for fault, predicted in _wrong_logits(found, right, made):
        if sqnr_db(predicted, found) >= least_db:
            evidence = f"{sqnr_db(predicted, found):.1f} dB from that, {sqnr_db(right, found):.1f} from what is right."
            return Cause(faults=(fault,), sentence=faults.meaning((fault,)), evidence=evidence)
    return None


def _wrong_logits(found: Array, right: Array, made: Array | None) -> Iterator[tuple[str, Array]]:
    if not found.any():
        yield "all zero", found
    if len(found) > 1 and (found == found[0]).all() and not (right == right[0]).all():
        yield "the same answer to everything", found
    shares = np.exp(right - right.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    yield "softmax applied", shares
    for shift in range(1, len(right)):
        yield "answers of other clips", np.roll(right, shift, axis=0)
    order = np.argsort(np.argsort(found[0], kind="stable"), kind="stable")
    reordered = np.sort(right[0])[order]
    places = [int(np.argmin(np.abs(right[0] - value))) for value in reordered]
    if sorted(places) == list(range(right.shape[1])):
        yield "classes in another order", right[:, places]
    if made is not None:
        yield "the artifact's own", made
