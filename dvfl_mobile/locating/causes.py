"""Guess the cause of an operator's deviation, from its expected and its actual output."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor

from dvfl_mobile.locating.document import Cause
from dvfl_mobile.locating.measuring import Segment
from dvfl_mobile.locating.reference import kind_of, operator_of

LARGEST_HALF = 65504.0
_EXPLAINS_DB = 15.0
"""A cause explains an error if undoing it takes this much of it away."""
_LEAST_SATURATED = 0.9
"""... or, for a scale, if this share of the error's power is in values beyond the scale's range."""


class Finding(NamedTuple):
    """A cause, and the figures that show it in a sentence."""

    cause: Cause
    evidence: str


def cause_of(segment: Segment) -> Finding:
    """The first of the causes that explains a segment's error."""
    for look in (_overflow, _saturated, _epsilon, _factor, _layout, _offset, _rounding):
        finding = look(segment)
        if finding is not None:
            return finding
    return Finding(Cause.UNKNOWN, "No scale, factor, offset, order of axes or rounding explains the difference.")


def _overflow(segment: Segment) -> Finding | None:
    found, expected = segment.found, segment.expected
    bad = ~found.isfinite() | (found.abs() >= LARGEST_HALF)
    if not bool(bad.any()):
        return None
    largest = float(expected.abs().amax())
    return Finding(
        Cause.OVERFLOW,
        f"{int(bad.sum())} of {found.numel()} values are infinite, NaN or at float16's largest, {LARGEST_HALF:g}; "
        f"{largest:.4g} is the largest that was expected.",
    )


def saturated_share(segment: Segment) -> float | None:
    """Share of int8 values at the ends of the scale; None where they aren't int8."""
    if segment.step.scale is None:
        return None
    values = torch.from_numpy(segment.step.values)
    return float(((values == -128) | (values == 127)).float().mean())


def _saturated(segment: Segment) -> Finding | None:
    scale, share = segment.step.scale, saturated_share(segment)
    if scale is None or not share:
        return None
    low, high = (scale * (end - segment.step.zero_point) for end in (-128, 127))
    outside = (segment.expected < low - scale) | (segment.expected > high + scale)
    error = (segment.found - segment.expected).square()
    if float(error[outside].sum()) < _LEAST_SATURATED * float(error.sum()):
        return None
    least, greatest = float(segment.expected.amin()), float(segment.expected.amax())
    return Finding(
        Cause.SATURATED,
        f"{share:.1%} of the int8 values are at -128 or 127: the scale {scale:.4g} reaches from {low:.4g} to "
        f"{high:.4g}, and values from {least:.4g} to {greatest:.4g} were expected.",
    )


def _epsilon(segment: Segment) -> Finding | None:
    kind, node = kind_of(segment.node), segment.node
    if kind == "add" and isinstance(node.args[1], float):
        stated = node.args[1]
        offset = float((segment.found - segment.expected).double().mean())
        if not _explains(segment, segment.expected + offset):
            return None
        return _wrong_epsilon(stated, stated + offset)
    if kind == "mul" and isinstance(node.args[1], float) and _is_squared(node):  # the root of a per-token scaled norm's
        stated = node.args[1]
        factor = float((segment.found.double() / segment.expected).median())
        if not _explains(segment, segment.expected * factor):
            return None
        return _wrong_epsilon(stated**2, (stated * factor) ** 2)
    if kind == "layer_norm":
        stated = float(node.args[4]) if len(node.args) > 4 else 1e-5  # type: ignore[arg-type]
        source = segment.anchors.get(node.all_input_nodes[0])
        if source is None:
            return None
        centred = (source - source.mean(-1, keepdim=True)).double()
        variance = centred.square().mean(-1, keepdim=True)
        root = (centred * segment.found).sum(-1, keepdim=True) / centred.square().sum(-1, keepdim=True)
        actual = float((1 / root.square() - variance).median())
        if actual < 0 or not _explains(segment, (centred / (variance + actual).sqrt()).float()):
            return None
        return _wrong_epsilon(stated, actual)
    if kind == "rsqrt":
        offset = float((1 / segment.found.double().square() - 1 / segment.expected.double().square()).median())
        if not _explains(segment, torch.rsqrt(1 / segment.expected.square() + offset)):
            return None
        return Finding(Cause.EPSILON, f"{offset:.4g} more under the root than there should be explains the difference.")
    return None


def _is_squared(node: torch.fx.Node) -> bool:
    return any(user.args == (node, node) for user in node.users)


def _wrong_epsilon(stated: float, actual: float) -> Finding:
    return Finding(Cause.EPSILON, f"An epsilon of {actual:.4g} in place of {stated:.4g} explains the difference.")


def _factor(segment: Segment) -> Finding | None:
    bias = _bias(segment)
    if bool(bias.any()):
        return _factor_beside(segment, bias, "what was expected, less the bias") or _factor_beside(
            segment, torch.zeros(1), "what was expected"
        )
    return _factor_beside(segment, bias, "what was expected")


def _factor_beside(segment: Segment, bias: Tensor, about: str) -> Finding | None:
    """Whether a factor explains the difference, for all values or for each channel, of what isn't the bias."""
    expected, found = segment.expected - bias, segment.found - bias
    whole = float((expected * found).double().sum() / expected.double().square().sum().clamp_min(1e-30))
    if _explains(segment, whole * expected + bias):
        return Finding(Cause.FACTOR, f"All values are {whole:.4g} times {about}.")
    others = [axis for axis in range(expected.dim()) if axis != _channel_axis(segment)]
    powers = expected.square().sum(others, keepdim=True).clamp_min(1e-30)
    by_channel = (expected * found).sum(others, keepdim=True) / powers
    if expected.numel() < 4 * by_channel.numel() or not _explains(segment, by_channel * expected + bias):
        return None
    factors = by_channel.reshape(-1)
    off = int(((factors - 1).abs() > 0.01).sum())
    return Finding(
        Cause.FACTOR,
        f"{off} of {factors.numel()} channels are off by a factor of their own, from {float(factors.amin()):.4g} to "
        f"{float(factors.amax()):.4g}, of {about}.",
    )


def _offset(segment: Segment) -> Finding | None:
    others = [axis for axis in range(segment.expected.dim()) if axis != _channel_axis(segment)]
    if segment.expected.numel() < 4 * segment.expected.shape[_channel_axis(segment)]:
        return None
    offsets = (segment.found - segment.expected).mean(others, keepdim=True)
    if not _explains(segment, segment.expected + offsets):
        return None
    least, greatest = float(offsets.amin()), float(offsets.amax())
    return Finding(Cause.OFFSET, f"Each channel is off by a constant of its own, from {least:.4g} to {greatest:.4g}.")


def _layout(segment: Segment) -> Finding | None:
    expected = segment.expected
    for axes in _orders(expected):
        if _explains(segment, expected.permute(axes).reshape(expected.shape)):
            return Finding(Cause.LAYOUT, f"The value is right with its axes in the order {axes}.")
    for source, values, what in _operands(segment):
        for axes in _orders(values):
            if _explains(segment, segment.recompute({source: values.permute(axes).reshape(values.shape)})):
                return Finding(Cause.LAYOUT, f"The value is right with the axes of its {what} in the order {axes}.")
    return None


def _operands(segment: Segment) -> Iterator[tuple[torch.fx.Node, Tensor, str]]:
    """What a product reads: its weight, which has a shape of its own to be mistaken in, and its input."""
    if kind_of(segment.node) not in ("linear", "conv"):
        return
    for source, what in zip(segment.node.all_input_nodes, ("input", "weight"), strict=False):
        values = segment.anchors.get(source, segment.constants.get(source))
        if values is not None:
            yield source, values, what


def _orders(values: Tensor) -> Iterator[tuple[int, ...]]:
    """Other orders of a tensor's axes that move any value."""
    wide = [axis for axis, size in enumerate(values.shape) if size > 1]
    for axes in permutations(range(values.dim())):
        if [axis for axis in axes if axis in wide] != wide:
            yield axes


def _rounding(segment: Segment) -> Finding | None:
    difference = float((segment.found - segment.expected).abs().amax())
    scale = segment.step.scale
    if scale is not None and difference <= 2 * scale:
        return Finding(
            Cause.ROUNDING, f"No value is off by more than {difference / scale:.2f} steps of the scale {scale:.4g}."
        )
    signal, error = float(segment.expected.square().mean()), segment.error
    if scale is None and error and signal / error > 1000:
        bits = 10 * float(torch.tensor(signal / error).log10()) / 6.02
        return Finding(Cause.ROUNDING, f"Values look as if they had been rounded to {bits:.1f} bits.")
    return None


def _explains(segment: Segment, instead: Tensor) -> bool:
    """Whether the error is gone, or nearly, with another value in the expected one's place."""
    left = float((segment.found - instead).square().mean())
    return left <= max(segment.error * 10 ** (-_EXPLAINS_DB / 10), 2 * segment.explained)


def _bias(segment: Segment) -> Tensor:
    """The bias that a product adds, in the shape of what it gives; zero for anything else."""
    node = segment.node
    source = node.args[2] if kind_of(node) in ("linear", "conv") and len(node.args) > 2 else None
    bias = segment.constants.get(source) if isinstance(source, torch.fx.Node) else None
    if bias is None:
        return torch.zeros(1)
    sides = [1] * segment.expected.dim()
    sides[_channel_axis(segment)] = -1
    return bias.reshape(sides)


def _channel_axis(segment: Segment) -> int:
    return 1 if operator_of(segment.node) == "conv2d" else segment.expected.dim() - 1
