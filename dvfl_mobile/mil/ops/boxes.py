"""Operators on boxes: cropping and non-maximum suppression.

Where the docstrings are silent, these follow the comments in Core ML's published `NeuralNetwork.proto`: grids within a
box as if it were the whole picture, and padding of what a suppression gives by 0 and -1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.mil.errors import MalformedError, UnpublishedError
from dvfl_mobile.mil.ops.arguments import flag, integer, integers, real, text
from dvfl_mobile.mil.ops.images import spread

_IOS17 = 17


def _crop_resize(
    *,
    x: Tensor,
    roi: Tensor | None = None,
    boxes: Tensor | None = None,
    box_indices: Any = None,
    target_height: Any = 1,
    target_width: Any = 1,
    normalized_coordinates: Any = False,
    spatial_scale: Any = 1.0,
    box_coordinate_mode: Any = "CORNERS_HEIGHT_FIRST",
    sampling_mode: Any = "DEFAULT",
    pad_value: Any = 0.0,
) -> Tensor:
    size, mode = (integer(target_height), integer(target_width)), text(sampling_mode)
    asked = boxes if roi is None else roi.flatten(1)
    if asked is None or x.dim() != 4:
        raise MalformedError("crop_resize takes pictures of rank 4 and boxes.")
    pictures: list[Any] = [slice(None)] * len(asked)  # iOS 16 without indices: each box of every picture
    if roi is None:
        pictures = [
            slice(each, each + 1) for each in integers(range(len(asked)) if box_indices is None else box_indices)
        ]
    elif asked.shape[1] == 5:
        pictures, asked = [slice(int(each), int(each) + 1) for each in asked[:, 0]], asked[:, 1:]
    corners = _corners(asked.double() * real(spatial_scale), text(box_coordinate_mode))
    if flag(normalized_coordinates):
        height, width = x.shape[-2:]
        corners = corners * torch.tensor([height - 1, width - 1, height - 1, width - 1])
    crops = [
        _crop(x[picture], box, size, mode, real(pad_value)) for picture, box in zip(pictures, corners, strict=True)
    ]
    return torch.cat(crops) if roi is None else torch.stack(crops)


_MODES = {
    "CORNERS_HEIGHT_FIRST": (False, [0, 1, 2, 3]),
    "CORNERS_WIDTH_FIRST": (False, [1, 0, 3, 2]),
    "CENTER_SIZE_HEIGHT_FIRST": (True, [0, 1, 2, 3]),
    "CENTER_SIZE_WIDTH_FIRST": (True, [1, 0, 3, 2]),
}
"""Whether a box is its centre and size, and its columns with heights first."""


def _corners(boxes: Tensor, mode: str) -> Tensor:
    """Boxes as top, left, bottom, right."""
    if mode not in _MODES:
        raise UnpublishedError(f"box_coordinate_mode {mode!r}")
    is_centred, columns = _MODES[mode]
    boxes = boxes[:, columns]
    if not is_centred:
        return boxes
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    return torch.cat([centre - half, centre + half], 1)


def _crop(x: Tensor, box: Tensor, size: tuple[int, int], mode: str, fill: float) -> Tensor:
    """One box of pictures, `(B,C,h,w)`; points outside of the picture have the value `fill`."""
    top, left, bottom, right = box.tolist()
    outside = []
    for axis, start, end, count in ((-2, top, bottom, size[0]), (-1, left, right, size[1])):
        last = x.shape[axis] - 1
        places = start + spread(mode, end - start, count)
        outside.append((places < 0) | (places > last))
        places = places.clamp(0, last)
        below = places.floor()
        share = (places - below).to(x.dtype)
        share = share[:, None] if axis == -2 else share
        low = x.index_select(axis, below.long())
        x = low + (x.index_select(axis, (below + 1).clamp(max=last).long()) - low) * share
    return x.masked_fill(outside[0][:, None] | outside[1][None], fill)


def _non_maximum_suppression(
    *,
    boxes: Tensor,
    scores: Tensor,
    opset: int,
    iou_threshold: Any,
    max_boxes: Any,
    score_threshold: Any = -math.inf,
    per_class_suppression: Any = False,
) -> tuple[Tensor, ...]:
    if opset >= _IOS17:  # (n,4,B) and (n,K,B), and no counts
        boxes, scores = boxes.transpose(1, 2), scores.transpose(1, 2)
    most, apart = integer(max_boxes), flag(per_class_suppression)
    kept = [
        _survivors(box, score, real(iou_threshold), real(score_threshold), most, apart)
        for box, score in zip(boxes.double(), scores, strict=True)
    ]
    given = boxes.new_zeros(len(kept), most, 4), scores.new_zeros(len(kept), most, scores.shape[2])
    indices = torch.full((len(kept), most), -1)
    for batch, chosen in enumerate(kept):
        given[0][batch, : len(chosen)] = boxes[batch, chosen]
        given[1][batch, : len(chosen)] = scores[batch, chosen]
        indices[batch, : len(chosen)] = torch.tensor(chosen)
    if opset >= _IOS17:
        return given[0].transpose(1, 2), given[1].transpose(1, 2), indices
    return *given, indices, torch.tensor([len(chosen) for chosen in kept])


def _survivors(boxes: Tensor, scores: Tensor, most_overlap: float, least: float, most: int, apart: bool) -> list[int]:
    """The boxes that stay, best first; the best one where none reaches the least score.

    Args:
        boxes: `(B,4)`, centre and size, width first.
        scores: `(B,K)`; a box has its best class's.
        apart: whether only boxes of one class suppress each other.
    """
    best, classes = scores.max(1)
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    areas = boxes[:, 2] * boxes[:, 3]
    kept: list[int] = []
    for index in best.sort(descending=True, stable=True).indices.tolist():
        if len(kept) == most or best[index] < least:
            break
        rivals = [each for each in kept if not apart or classes[each] == classes[index]]
        common = (
            (torch.minimum(high[rivals], high[index]) - torch.maximum(low[rivals], low[index])).clamp(min=0).prod(1)
        )
        if not bool((common / (areas[rivals] + areas[index] - common) > most_overlap).any()):
            kept.append(index)
    return kept or [int(best.argmax())][:most]


OPERATORS: dict[str, Callable[..., Any]] = {
    "crop_resize": _crop_resize,
    "non_maximum_suppression": _non_maximum_suppression,
}
