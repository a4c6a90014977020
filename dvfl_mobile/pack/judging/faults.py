"""The known faults of apps, by name: what each means, and how to fix it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dvfl_mobile.pack.resizes import CUTS, FILTERS, RIGHT
from dvfl_mobile.spelling import spelled

SWAPPED = "channels swapped"
UV_SWAPPED = "U and V swapped"
UPSIDE_DOWN = "upside down"
MIRRORED = "mirrored"
ROTATION_IGNORED = "rotation ignored"
WRONG_FRAMES = "wrong frames"
NORMALIZED_TWICE = "normalized twice"
NOT_NORMALIZED = "not normalized"
ZERO_TO_ONE = "0 to 1 instead of 0 to 255"
PLUS_MINUS_ONE = "-1 to 1 instead of 0 to 255"
MIXED_SCALES = "0 to 1, normalized by figures for 0 to 255"
NOT_QUANTIZED = "not quantized"
ZERO_POINT = "zero point left out"
WRAPPED = "bytes taken for signed ones"

_MEANINGS = {
    SWAPPED: "Red and blue are exchanged (BGR, or BGRA read as RGBA): hand over R, G, B.",
    UV_SWAPPED: "The two colour planes are exchanged (NV12 read as NV21): look at the decoder's output format.",
    UPSIDE_DOWN: "The rows come from the bottom up, as OpenGL and Metal read them back: turn them round.",
    MIRRORED: "Left and right are exchanged: a front camera's preview is mirrored, its video isn't.",
    ROTATION_IGNORED: "The video's display matrix is ignored: turn the frames upright before scaling and cropping.",
    WRONG_FRAMES: "These aren't the frames whose numbers the app gives: seek to the exact frame, not to a key frame "
    "near it, and count from 0 in the order shown.",
    "limited range": "Limited range (16 to 235) is handed on as it is: expand it to 0 to 255.",
    "range expanded twice": "Full range is taken for limited range and expanded: use the range that the video states.",
    "BT.709 for BT.601": "Colours are decoded by BT.709 where the video states BT.601: use the matrix that it states.",
    "BT.601 for BT.709": "Colours are decoded by BT.601 where the video states BT.709: use the matrix that it states.",
    "no colour": "Only the luma plane is used: decode the colours too.",
    "scaled by the decoder": "The decoder gives frames of another size: ask it for the video's own size.",
    NORMALIZED_TWICE: "The artifact normalizes by itself, and the app does it before: hand over what the artifact "
    "asks for, and leave mean and standard deviation alone.",
    NOT_NORMALIZED: "This artifact asks for normalized pixels: subtract the ClipSpec's mean, divide by its std.",
    ZERO_TO_ONE: "Pixels are divided by 255; the artifact takes them as they are: leave the division out.",
    PLUS_MINUS_ONE: "Pixels are scaled to -1 to 1; the artifact takes them as they are: leave the scaling out.",
    MIXED_SCALES: "Pixels are divided by 255, and then normalized by a mean and std for 0 to 255: leave both out.",
    NOT_QUANTIZED: "This artifact's input is int8: quantize by the scale and zero point in pack.json under input.",
    ZERO_POINT: "Values are cut at 127: add the input's zero point (in pack.json under input) before the cast to int8.",
    WRAPPED: "Bytes above 127 turn negative: add the input's zero point before the cast to int8.",
    "softmax applied": "These are probabilities: hand over what the model answers, before any softmax.",
    "the same answer to everything": "Every clip gets the same logits: the input isn't written before each run, or "
    "the output is read before the run is done.",
    "answers of other clips": "These are other clips' logits: a run reads its input, or its output is read, too early "
    "or too late.",
    "all zero": "Every logit is 0: the output is read before the run is done, or from another buffer.",
    "classes in another order": "The logits are right and stand in another order: classes are those of pack.json, by "
    "place.",
    "the artifact's own": "The artifact gives the same logits where the pack was made: the app is right, and the "
    "artifact isn't; see {parity}.",
    "by index": "Frames are drawn by their number, though they come at uneven times: draw by their times.",
    "off by one": "Each number is off by the same: frames are counted from 0 in the order shown.",
    "segments' beginnings": "The first frame of each segment is drawn; the rule takes the middle one.",
    "spread to both ends": "Frames are spread from the first to the last; the rule takes the middle of each of equal "
    "segments.",
    "frame_interval left out": "The rule is applied to all frames; it leaves out the last frame_interval - 1.",
    "the first ones": "The first frames are drawn one after the other; the rule spreads them over the whole video.",
    "the last ones": "The last frames are drawn one after the other; the rule spreads them over the whole video.",
    "every frame_interval": "Frames are drawn at a fixed distance from the beginning; the rule spreads them over the "
    "whole video.",
    "another length": "The rule is applied to another number of frames than the video has: count what the decoder "
    "gives, not what the container says.",
    "another model file": "The app runs another file than the pack was made for: ship the file of this artifact, or "
    "make the pack for the other.",
}

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        **_MEANINGS,
        **{name: f"Wrong crop: {what}." for name, what in CUTS.items() if name != RIGHT},
        **{name: f"Wrong filter: {what}." for name, what in FILTERS.items() if name != RIGHT},
    }
)


def meaning(faults: tuple[str, ...]) -> str:
    """What one or several faults mean, in sentences."""
    return " ".join(spelled(MEANINGS[fault]) if fault in MEANINGS else _by_kind(fault) for fault in faults)


def _by_kind(fault: str) -> str:
    if fault.startswith("order "):
        return (
            f"The values lie in the order {fault.removeprefix('order ')}; "
            "frame, channel, row, column is meant (T, C, H, W)."
        )
    return f"The picture is {fault} against the upright one."
