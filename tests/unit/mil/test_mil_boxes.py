"""Non-maximum suppression by its definition, and by NeuralNetwork.proto's NonMaximumSuppressionLayerParams.

The latter says what the docstring leaves open: scores are the largest of each box's classes, boxes and scores are
padded with 0 and indices with -1, and of no survivors the box with the highest score is given all the same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mil import assert_close, assert_same, mb, run_all


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (x, y, width, height), of which (x, y) is the center."""
    shared = [
        max(0.0, min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2))
        for i in range(2)
    ]
    intersection = shared[0] * shared[1]
    return intersection / (a[2] * a[3] + b[2] * b[3] - intersection)


def kept(boxes: np.ndarray, scores: np.ndarray, most: int, least: float, per_class: bool) -> list[int]:
    chosen: list[int] = []
    for index in np.argsort(-scores.max(1), kind="stable"):
        if scores[index].max() < least:
            continue
        rivals = [i for i in chosen if not per_class or scores[i].argmax() == scores[index].argmax()]
        if all(overlap(boxes[index], boxes[i]) <= IOU for i in rivals):
            chosen.append(int(index))
    return chosen[:most] or [int(scores.max(1).argmax())]


IOU = 0.3
# Two pictures of twelve boxes that overlap much, of three classes; no two scores are the same.
DRAW = np.random.default_rng(5)
BOXES = np.concatenate([DRAW.uniform(0, 4, (2, 12, 2)), DRAW.uniform(1, 4, (2, 12, 2))], -1).astype(np.float32)
SCORES = DRAW.permutation(72).reshape(2, 12, 3).astype(np.float32) / 72


def expect(most: int, least: float, per_class: bool) -> list[np.ndarray]:
    boxes, scores = np.zeros((2, most, 4), np.float32), np.zeros((2, most, 3), np.float32)
    indices, counts = np.full((2, most), -1, np.int32), np.zeros(2, np.int32)
    for batch in range(2):
        of = kept(BOXES[batch].astype(np.float64), SCORES[batch], most, least, per_class)
        boxes[batch, : len(of)], scores[batch, : len(of)] = BOXES[batch][of], SCORES[batch][of]
        indices[batch, : len(of)], counts[batch] = of, len(of)
    return [boxes, scores, indices, counts]


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize(("most", "least"), [(3, 0.0), (12, 0.0), (12, 0.9), (12, 2.0)])
def test_suppression_of_ios15(per_class: bool, most: int, least: float) -> None:
    options = {"iou_threshold": IOU, "score_threshold": least, "max_boxes": most, "per_class_suppression": per_class}
    got = run_all(lambda b, s: mb.non_maximum_suppression(boxes=b, scores=s, **options), BOXES, SCORES)
    for array, expected in zip(got, expect(most, least, per_class), strict=True):
        assert_same(array, expected)


@pytest.mark.parametrize("per_class", [False, True])
def test_suppression_of_ios17_has_the_boxes_last_and_no_threshold(per_class: bool) -> None:
    options = {"iou_threshold": IOU, "max_boxes": 2, "per_class_suppression": per_class}
    got = run_all(
        lambda b, s: mb.non_maximum_suppression(boxes=b, scores=s, **options),
        np.ascontiguousarray(BOXES.swapaxes(1, 2)),
        np.ascontiguousarray(SCORES.swapaxes(1, 2)),
        opset="iOS17",
    )
    boxes, scores, indices, _ = expect(2, -1.0, per_class)
    for array, expected in zip(got, [boxes.swapaxes(1, 2), scores.swapaxes(1, 2), indices], strict=True):
        assert_same(array, expected)


def test_suppression_of_apples_test() -> None:
    boxes = np.repeat(np.arange(4, dtype=np.float32)[None, :, None], 4, -1)
    scores = np.array([[[-3.5], [9.4], [2.3], [0.7]]], np.float32)
    options: dict[str, Any] = {"iou_threshold": 0.2, "score_threshold": 0.4, "max_boxes": 2}
    got = run_all(
        lambda b, s: mb.non_maximum_suppression(boxes=b, scores=s, per_class_suppression=True, **options), boxes, scores
    )
    assert_close(got[0], [[[1] * 4, [2] * 4]])
    assert_close(got[1], [[[9.4], [2.3]]])
    assert_same(got[2], [[1, 2]], np.int32)
    assert_same(got[3], [2], np.int32)
