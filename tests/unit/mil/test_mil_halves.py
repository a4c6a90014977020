"""The executor's pessimistic mode: it rounds to half precision inside of norms, means and products too."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.mil.errors import UnpublishedError
from dvfl_mobile.mil.executor import MilExecutor
from tests.mil import convert, floats, mb

Body = Callable[..., Any]

H = np.float16


def both(body: Body, *inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a program of one output gives as it is declared, and in the pessimistic mode, as float64."""
    with tempfile.TemporaryDirectory() as folder:
        model = convert(body, inputs, "iOS16", Path(folder) / "model.mlpackage")
        names = [each.name for each in model.get_spec().description.input]
        given = dict(zip(names, inputs, strict=True))
        executors = (MilExecutor(Path(model.package_path), pessimistic=mode) for mode in (False, True))
        declared, pessimistic = (next(iter(executor.run(given).values())) for executor in executors)
    assert declared.dtype == pessimistic.dtype
    assert declared.shape == pessimistic.shape
    return declared.astype(np.float64), pessimistic.astype(np.float64)


def halves(*shape: int, seed: int = 0) -> np.ndarray:
    return floats(*shape, seed=seed).astype(H)


OPERATORS: dict[str, tuple[Body, tuple[int, ...]]] = {
    "linear": (lambda x: mb.linear(x=x, weight=halves(5, 40, seed=1), bias=halves(5, seed=2)), (3, 40)),
    "linear of few": (lambda x: mb.linear(x=x, weight=halves(5, 3, seed=1), bias=halves(5, seed=2)), (3, 3)),
    "matmul": (lambda x: mb.matmul(x=x, y=x, transpose_y=True), (2, 6, 40)),
    "matmul, transposed": (lambda x: mb.matmul(x=x, y=x, transpose_x=True), (2, 40, 6)),
    "conv": (lambda x: mb.conv(x=x, weight=halves(4, 20, 3, 1, seed=1), bias=halves(4, seed=2)), (1, 20, 6, 5)),
    "conv, depthwise": (
        lambda x: mb.conv(x=x, weight=halves(6, 1, 5, 5, seed=1), groups=6, pad_type="same"),
        (2, 6, 7, 7),
    ),
    "conv, groups and strides": (
        lambda x: mb.conv(x=x, weight=halves(4, 10, 3, 3, seed=1), groups=2, strides=[2, 1]),
        (1, 20, 7, 6),
    ),
    "conv, 1-D": (lambda x: mb.conv(x=x, weight=halves(4, 20, 9, seed=1), pad_type="same"), (1, 20, 12)),
    "layer_norm": (
        lambda x: mb.layer_norm(x=x, axes=[-1], gamma=halves(40, seed=1), beta=halves(40, seed=2), epsilon=H(1e-3)),
        (2, 3, 40),
    ),
    "layer_norm, two axes": (lambda x: mb.layer_norm(x=x, axes=[1, 2], epsilon=H(1e-3)), (2, 5, 9)),
    "instance_norm": (
        lambda x: mb.instance_norm(x=x, gamma=halves(3, seed=1), beta=halves(3, seed=2), epsilon=H(1e-3)),
        (2, 3, 6, 5),
    ),
    "batch_norm": (
        lambda x: mb.batch_norm(x=x, mean=halves(3, seed=1), variance=np.array([1, 2, 0.5], H), epsilon=H(1e-3)),
        (2, 3, 6, 5),
    ),
    "l2_norm": (lambda x: mb.l2_norm(x=x, epsilon=H(1e-3)), (2, 3, 4, 5)),
    "reduce_mean": (lambda x: mb.reduce_mean(x=x, axes=[1, 2], keep_dims=True), (2, 6, 7, 3)),
    "reduce_mean, squeezed": (lambda x: mb.reduce_mean(x=x, axes=[-1], keep_dims=False), (2, 6, 40)),
    "reduce_sum": (lambda x: mb.reduce_sum(x=x, axes=[0, 2], keep_dims=False), (4, 3, 20)),
    "reduce_sum_square": (lambda x: mb.reduce_sum_square(x=x, axes=[-1], keep_dims=True), (40, 60)),
    "reduce_l1_norm": (lambda x: mb.reduce_l1_norm(x=x, axes=[-1], keep_dims=True), (40, 60)),
    "reduce_l2_norm": (lambda x: mb.reduce_l2_norm(x=x, axes=[-1], keep_dims=True), (40, 60)),
}


@pytest.mark.parametrize("case", OPERATORS)
def test_an_operator_computes_the_same_but_for_the_rounding(case: str) -> None:
    body, shape = OPERATORS[case]
    declared, pessimistic = both(body, halves(*shape, seed=3))
    # Some ten roundings, of half a last bit each, of partial results up to a few times as large as the last.
    np.testing.assert_allclose(pessimistic, declared, rtol=0, atol=2e-2 * np.abs(declared).max())
    assert (pessimistic != declared).any(), "nothing was rounded on the way"


ROW = np.array([[-300, 300, 300, -300]], H)
MANY = np.full((1, 4096), 30, H)
UP_AND_DOWN = np.array([[100] * 16 + [-100] * 16], H)
BEYOND: dict[str, tuple[Body, np.ndarray]] = {
    # 300 squared is beyond the largest half.
    "the squares of a norm": (lambda x: mb.layer_norm(x=x, axes=[-1], epsilon=H(0.01)), ROW),
    "the squares of a picture's norm": (lambda x: mb.instance_norm(x=x, epsilon=H(0.01)), ROW[None, :, :, None]),
    # A sum of 4,096 times 30 is beyond it, and so is one of 8 products of 10,000.
    "the sum of a mean": (lambda x: mb.reduce_mean(x=x, axes=[-1], keep_dims=True), MANY),
    "the sum of a product": (lambda x: mb.linear(x=x, weight=np.full((1, 32), 100, H)), UP_AND_DOWN),
    "the sum of a convolution": (
        lambda x: mb.conv(x=x, weight=np.full((1, 32, 1), 100, H)),
        UP_AND_DOWN.reshape(1, 32, 1),
    ),
}


@pytest.mark.parametrize("case", BEYOND)
def test_it_overflows_inside(case: str) -> None:
    declared, pessimistic = both(*BEYOND[case])
    assert np.isfinite(declared).all()
    assert not np.isfinite(pessimistic).all() or np.abs(pessimistic).max() < 0.1 * np.abs(declared).max()


@pytest.mark.parametrize("kind", ["linear", "conv", "reduce_sum"])
def test_a_sum_is_rounded_on_the_way(kind: str) -> None:
    """Halves from 2048 to 4096 are 2 apart: one more, each after as many terms as are added at once, is none."""
    x = np.zeros((1, 8 * 17), H)
    x[0, 0], x[0, 8::8] = 2048, 1
    bodies: dict[str, tuple[Body, np.ndarray]] = {
        "linear": (lambda x: mb.linear(x=x, weight=np.ones((1, 8 * 17), H)), x),
        "conv": (lambda x: mb.conv(x=x, weight=np.ones((1, 8 * 17, 1), H)), x.reshape(1, -1, 1)),
        "reduce_sum": (lambda x: mb.reduce_sum(x=x, axes=[-1], keep_dims=True), x),
    }
    declared, pessimistic = both(*bodies[kind])
    assert declared.item() == 2064
    assert pessimistic.item() == 2048


def test_what_is_float32_stays_so() -> None:
    declared, pessimistic = both(lambda x: mb.layer_norm(x=x, axes=[-1]), ROW.astype(np.float32))
    np.testing.assert_array_equal(declared, pessimistic)


def test_an_operator_whose_sums_cannot_be_rounded_is_refused_by_name() -> None:
    with pytest.raises(UnpublishedError, match="how softmax sums in half precision"):
        both(lambda x: mb.softmax(x=x, axis=-1), ROW)
