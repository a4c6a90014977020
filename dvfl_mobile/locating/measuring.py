"""Each operator's own error: the reference operator recomputed on the artifact's own inputs.

Errors add up along the depth, so that values far from the reference say nothing of the operator that gave them. Here
every operator starts afresh from the artifact's values, and what remains is what it did itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.fx import Node

from dvfl_mobile.locating.matching import match
from dvfl_mobile.locating.reference import TO_PICTURES, TO_TOKENS, ReferenceGraph, compute, kind_of
from dvfl_mobile.locating.rounding import Noise, Rounding, allowed_power
from dvfl_mobile.runners.tracing import MOVE, ROUND, Step, Trace

_CLEARLY = 0.3
"""By how much more one layout must resemble the reference than the other, as a cosine."""


@dataclass(frozen=True)
class Segment:
    """An operator of an artifact, and what it stands for in the reference.

    Attributes:
        step: the operator.
        node: what it computes; of a conversion, the node whose value it converts.
        nodes: all that was computed for it: `node`, and those before it that no operator of the artifact answers to.
        anchors: what those read: the artifact's own values, in the layout of their nodes.
        expected: what it should have given on what it read.
        found: what it gave.
        reference: what the reference has there, from the same clip.
        explained: power of the error that rounding explains.
        allowed: power of the error that it may have.
        constants: what the reference's nodes that hold weights and biases hold.
        recompute: `expected` again, with other values for some of the nodes that were read.
    """

    step: Step
    node: Node
    nodes: tuple[Node, ...]
    anchors: Mapping[Node, Tensor]
    expected: Tensor
    found: Tensor
    reference: Tensor
    explained: float
    allowed: float
    constants: Mapping[Node, Tensor]
    recompute: Callable[[Mapping[Node, Tensor]], Tensor]

    @property
    def error(self) -> float:
        """Power of its own error; infinite where a value isn't finite."""
        error = float((self.found - self.expected).square().mean())
        return error if np.isfinite(error) else float("inf")

    @property
    def is_beyond(self) -> bool:
        """Whether its own error is more than it may have."""
        return self.error > self.allowed


def segments(
    trace: Trace,
    reference: ReferenceGraph,
    rounding: Rounding,
    clip: Tensor,
    matched: Mapping[str, Node] | None = None,
) -> Iterator[Segment]:
    """Every operator of an artifact that computes something and that a node was found for, in the artifact's order.

    Args:
        trace: the artifact's values on a clip.
        rounding: what its recipe explains.
        clip: `(T,3,H,W)`, the same, 0 to 255.
        matched: the nodes that operators compute, where that is known; None: found here.
    """
    return _Measuring(trace, reference, rounding, clip, matched).segments()


class _Measuring:
    def __init__(
        self,
        trace: Trace,
        reference: ReferenceGraph,
        rounding: Rounding,
        clip: Tensor,
        matched: Mapping[str, Node] | None,
    ) -> None:
        self._trace, self._reference, self._noise = trace, reference, Noise(rounding)
        self._rounding = rounding
        self._matched = match(trace, reference) if matched is None else matched
        self._steps = trace.by_name
        self._origins: dict[str, tuple[Node, Tensor] | None] = {
            trace.input.name: (reference.clip, _tensor(trace.input))
        }
        self._default: dict[Node, Tensor] = {reference.clip: _tensor(trace.input)}
        # The reference's own values, along the depth.
        self._through: dict[Node, Tensor] = {reference.clip: clip}
        self._reached = 0
        self._wanted = set(self._matched.values())

    def segments(self) -> Iterator[Segment]:
        for step in self._trace.steps:
            segment = self._segment(step)
            if segment is not None:
                yield segment

    def _segment(self, step: Step) -> Segment | None:
        node = self._matched.get(step.name)
        if node is None:
            return self._pass_on(step)
        found = self._laid(step, node, self._through_at(node))
        assert found is not None
        anchors = self._anchors(step)
        self._origins[step.name] = (node, found)
        self._default[node] = found
        return self._measured(step, node, anchors, found)

    def _pass_on(self, step: Step) -> Segment | None:
        """A value that is converted or moved is still its node's."""
        origin = self._origins.get(step.reads[0]) if len(step.reads) == 1 else None
        source = self._steps[step.reads[0]] if step.reads else None
        if origin is None or source is None or source.values.size != step.values.size:
            return None
        node, before = origin
        if step.kind == MOVE and not _keeps_memory(step, source):
            return None
        is_clip = node is self._reference.clip
        after = _tensor(step).reshape(before.shape) if is_clip else self._laid(step, node, before)
        if after is None:
            return None
        self._origins[step.name] = (node, after)
        if step.kind != ROUND:
            return None
        return self._judged(step, node, (), {node: before}, before, after, self._explained_by_grid(before, step))

    def _laid(self, step: Step, node: Node, like: Tensor) -> Tensor | None:
        """A step's value in its node's layout.

        Where the converter was free to compute in the other layout of pictures, shapes may not tell: then that one is
        taken in which the value resembles what it should be.
        """
        values = _tensor(step)
        direct = self._reference.in_layout(node, values, channels_last=bool(self._trace.channels_last))
        if direct is None or self._trace.channels_last is not None or direct.dim() != 4 or values.dim() != 4:
            return direct
        turned = [values.permute(axes) for axes in (TO_PICTURES, TO_TOKENS)]
        fitting = [choice for choice in turned if choice.shape == direct.shape]
        if not fitting:
            return direct
        best = max(fitting, key=lambda choice: _likeness(choice, like))
        if values.shape != direct.shape:
            return best
        # A wrong value resembles nothing much: only what is clearly turned is taken for turned.
        return best if _likeness(best, like) > _likeness(direct, like) + _CLEARLY else direct

    def _anchors(self, step: Step) -> dict[Node, Tensor]:
        """The artifact's values that a step reads, by their nodes: the nearest ones that have one."""
        found: dict[Node, Tensor] = {}
        waiting, seen = list(step.reads), set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            origin = self._origins.get(name)
            if origin is not None:
                found.setdefault(*origin)
            else:
                waiting += self._steps[name].reads
        return found

    def _measured(self, step: Step, node: Node, anchors: dict[Node, Tensor], found: Tensor) -> Segment:
        computed: dict[Node, Tensor] = {}
        expected = self._computed(node, anchors, computed)
        noisy = self._noisy(node, anchors, {})
        if step.scale is not None:
            noisy = self._noise.on_grid(noisy, step.scale)
        explained = float((noisy - expected).square().mean())
        used = {source: value for source, value in (self._default | anchors).items() if _is_read(source, computed)}
        return self._judged(step, node, tuple(computed), used, expected, found, explained)

    def _judged(
        self,
        step: Step,
        node: Node,
        nodes: tuple[Node, ...],
        anchors: Mapping[Node, Tensor],
        expected: Tensor,
        found: Tensor,
        explained: float,
    ) -> Segment:
        allowed = allowed_power(explained, float(expected.square().mean()), self._rounding.least_db)
        constants = self._reference.constants

        def recompute(instead: Mapping[Node, Tensor]) -> Tensor:
            return self._computed(node, {**anchors, **instead}, {})

        reference = self._through_at(node)
        return Segment(step, node, nodes, anchors, expected, found, reference, explained, allowed, constants, recompute)

    def _explained_by_grid(self, before: Tensor, step: Step) -> float:
        noisy = self._noise.activation(before)
        # Where products read what is quantized at run time, what stands for no known scale was so, token by token.
        if step.scale is not None:
            noisy = self._noise.on_grid(noisy, step.scale)
        elif self._rounding.is_dynamic or self._reference.by_token:
            noisy = self._noise.by_token(noisy)
        return float((noisy - before).square().mean())

    def _computed(self, node: Node, anchors: Mapping[Node, Tensor], computed: dict[Node, Tensor]) -> Tensor:
        def read(source: Node) -> Tensor:
            if source in anchors:
                return anchors[source]
            if source in self._reference.constants:
                return self._reference.constants[source]
            if source in self._default:
                return self._default[source]
            return self._computed(source, anchors, computed)

        if node not in computed:
            computed[node] = compute(node, read)
        return computed[node]

    def _noisy(self, node: Node, anchors: Mapping[Node, Tensor], computed: dict[Node, Tensor]) -> Tensor:
        is_product = kind_of(node) in ("linear", "conv")
        is_by_token = node in self._reference.by_token or (is_product and self._rounding.is_dynamic)

        def read(source: Node) -> Tensor:
            if source in self._reference.constants:
                return self._noise.constant(id(source), self._reference.constants[source])
            known = anchors.get(source, self._default.get(source))
            values = self._noise.activation(known) if known is not None else self._noisy(source, anchors, computed)
            return self._noise.by_token(values) if is_by_token else values

        if node not in computed:
            computed[node] = self._noise.activation(compute(node, read))
        return computed[node]

    def _through_at(self, node: Node) -> Tensor:
        """The reference's value of a node; computed as far as needed, and values dropped after their last use."""
        nodes = self._reference.nodes
        while node not in self._through:
            following = nodes[self._reached]
            self._through[following] = compute(following, self._read_through)
            self._reached += 1
            for source in following.all_input_nodes:
                if self._reference.last_use.get(source) is following and source not in self._wanted:
                    self._through.pop(source, None)
        return self._through[node]

    def _read_through(self, source: Node) -> Tensor:
        constant = self._reference.floats.get(source)
        return self._through[source] if constant is None else constant


def _is_read(source: Node, computed: Mapping[Node, Tensor]) -> bool:
    return source not in computed and any(user in computed for user in source.users)


def _likeness(values: Tensor, like: Tensor) -> float:
    """The cosine of the angle between two tensors."""
    return float(torch.nn.functional.cosine_similarity(values.reshape(-1), like.reshape(-1), dim=0).nan_to_num(-1))


def _keeps_memory(step: Step, source: Step) -> bool:
    """Whether a move leaves values in their order, as a reshape does."""
    return np.array_equal(step.values.reshape(-1), source.values.reshape(-1))


def _tensor(step: Step) -> Tensor:
    return torch.from_numpy(np.array(step.floats, np.float32))
