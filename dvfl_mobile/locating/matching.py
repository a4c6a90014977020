"""Match each operator of an artifact to the reference node that it computes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from torch.fx import Node

from dvfl_mobile.locating.reference import ReferenceGraph, kind_of
from dvfl_mobile.runners.tracing import MOVE, ROUND, Step, Trace

_HALF_SUFFIX = "_cast_fp16"
_Item = TypeVar("_Item")


def match(trace: Trace, reference: ReferenceGraph) -> Mapping[str, Node]:
    """The node that each operator computes, by the name of its value; operators that none was found for are missing.

    By name where the artifact carries the nodes' names; else by order, since converters keep it: the longest sequence
    of operators that agree in kind and size.
    """
    if trace.is_named:
        return _by_name(trace, reference)
    steps, nodes = trace.by_name, {node: node for node in reference.nodes}
    step_orders = [list(steps), _by_need(trace.output, lambda name: steps[name].reads)]
    node_orders = [
        list(nodes),
        _by_need(reference.logits, lambda node: [source for source in node.all_input_nodes if source in nodes]),
    ]
    # A graph in several pieces is no longer in the order in which it was written; what reads what is still the same.
    found = (
        _by_order([steps[name] for name in names], order) for names, order in zip(step_orders, node_orders, strict=True)
    )
    return max(found, key=len)


def _by_order(steps: Sequence[Step], nodes: Sequence[Node]) -> Mapping[str, Node]:
    computing = [step for step in steps if step.kind not in (MOVE, ROUND)]
    lowered = [node for node in nodes if kind_of(node) != MOVE]
    pairs = longest_common(
        [(step.kind, step.values.size) for step in computing],
        [(kind_of(node), node.meta["val"].numel()) for node in lowered],
    )
    return {computing[one].name: lowered[other] for one, other in pairs}


def _by_need(last: _Item, sources: Callable[[_Item], Sequence[_Item]]) -> list[_Item]:
    """All that `last` needs, each after what it needs itself: an order that follows from who reads what alone."""
    done: dict[_Item, None] = {}
    waiting = [(last, False)]
    while waiting:
        item, is_ready = waiting.pop()
        if item in done:
            continue
        if is_ready:
            done[item] = None
        else:
            waiting.append((item, True))
            waiting += [(source, False) for source in reversed(sources(item))]
    return list(done)


def _by_name(trace: Trace, reference: ReferenceGraph) -> Mapping[str, Node]:
    nodes = {node.name: node for node in reference.nodes}
    found = {}
    for step in trace.steps:
        name = step.name.removesuffix(_HALF_SUFFIX)
        # coremltools may call the first of its kind `linear_0` where torch calls it `linear`.
        node = nodes.get(name) or nodes.get(name.removesuffix("_0"))
        if node is None and step.name == trace.output:
            node = reference.logits
        if node is not None and node.meta["val"].numel() == step.values.size and _is_alike(step, node):
            found[step.name] = node
    return found


def _is_alike(step: Step, node: Node) -> bool:
    return step.kind != ROUND and (step.kind == kind_of(node) or MOVE in (step.kind, kind_of(node)))


def longest_common(one: Sequence[object], other: Sequence[object]) -> list[tuple[int, int]]:
    """Places of the longest common subsequence of two sequences, in order."""
    lengths = np.zeros((len(one) + 1, len(other) + 1), np.int32)
    for i in range(len(one) - 1, -1, -1):
        for j in range(len(other) - 1, -1, -1):
            lengths[i, j] = (
                lengths[i + 1, j + 1] + 1 if one[i] == other[j] else max(lengths[i + 1, j], lengths[i, j + 1])
            )
    pairs, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        if one[i] == other[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif lengths[i + 1, j] >= lengths[i, j + 1]:
            i += 1
        else:
            j += 1
    return pairs
