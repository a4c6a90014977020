"""Values inside a graph on a GPU: tensors that copies of it also give, each copy held to leave the logits alone.

A delegate merges operators, and what it merges depends on what it has to give. Values are believed only where the copy
that gave them gave the very logits that the graph itself gives. Each copy is compiled anew, so there are few: one with
the last value of each module, and then one with all values on the way to the first that is off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.fx import Node

from dvfl_mobile.locating.reference import module_of
from dvfl_mobile.runners.traces import Step, Trace
from dvfl_mobile.runners.values import Logits
from dvfl_mobile.wording import first_few, plural

MOST_RUNS = 12

ValuesOf = Callable[[Sequence[str]], tuple[Logits, Mapping[str, NDArray[Any]]]]
"""Gives the logits of a copy of a graph, `(1,K)`, and the values that it also gives, by name."""


class Cuts:
    """What is known of the values of a graph.

    Args:
        whole: a trace of the same file by other kernels: its operators, and who reads what.
        matched: the nodes that they compute, by name.
        values_of: runs a copy that also gives some values.

    Attributes:
        logits: the graph's own, `(1,K)`.
    """

    def __init__(self, whole: Trace, matched: Mapping[str, Node], values_of: ValuesOf) -> None:
        self._whole, self._values_of = whole, values_of
        self._names = [step.name for step in whole.steps if step.name in matched and step.name != whole.output]
        self._modules = {name: module_of(matched[name]) for name in self._names}
        self.logits, _ = values_of(())
        self._runs = 1
        self._found: dict[str, NDArray[Any]] = {whole.output: self.logits}
        self._left_out: list[str] = []

    def take_ends(self) -> None:
        """Get the last value of each module."""
        following = [*self._names[1:], ""]
        self._take(
            [
                name
                for name, after in zip(self._names, following, strict=True)
                if self._modules[name] != self._modules.get(after)
            ]
        )

    def take_before(self, name: str) -> None:
        """Get all values between the one of that name and the last before it that is known."""
        order = [*self._names, self._whole.output]
        end = order.index(name)
        start = max((place for place in range(end) if order[place] in self._found), default=-1)
        self._take(order[start + 1 : end])

    @property
    def trace(self) -> Trace:
        """The values that are known so far; each reads the nearest that are, and the logits come last."""
        nearest: dict[str, tuple[str, ...]] = {self._whole.input.name: (self._whole.input.name,)}
        steps: list[Step] = []
        for step in self._whole.steps:
            read = tuple(dict.fromkeys(name for each in step.reads for name in nearest.get(each, ())))
            is_known = step.name in self._found
            nearest[step.name] = (step.name,) if is_known else read
            if is_known:
                steps.append(replace(step, reads=read, values=self._found[step.name]))
        count = plural(len(self._found) - 1, "value")
        means = f"LiteRT's GPU kernels: {count} that {plural(self._runs, 'copy', 'copies')} of the graph gave too"
        return replace(self._whole, steps=tuple(steps), means=means)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of values that weren't had."""
        if not self._left_out:
            return ()
        return (
            f"{plural(len(self._left_out), 'value')} couldn't be had without changing the logits, or within "
            f"{MOST_RUNS} runs: {first_few(self._left_out)}.",
        )

    def _take(self, names: Sequence[str]) -> None:
        waiting = [list(names)] if names else []
        while waiting:
            group = waiting.pop(0)
            if self._runs == MOST_RUNS:
                self._left_out += group
                continue
            logits, values = self._values_of(group)
            self._runs += 1
            if np.array_equal(logits, self.logits, equal_nan=True):
                self._found |= values
            elif len(group) == 1:
                self._left_out += group
            else:
                waiting += [group[: len(group) // 2], group[len(group) // 2 :]]
