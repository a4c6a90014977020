"""Partition a graph into delegated pieces, as TFLite's runtime does.

That is `PartitionGraphIntoIndependentNodeSubsets` in `tflite/graph_info.cc`, and for float16 weights
`FP16GraphPartitionHelper` in `tflite/delegates/utils.cc`, both at the tag that the rules are of.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from dvfl_mobile.gpu_delegate.graph import Operator
from dvfl_mobile.gpu_delegate.rules import Fate

_ACCEPTED = (Fate.TAKEN, Fate.BREAKS)


def delegated_pieces(operators: Sequence[Operator], fates: Sequence[Fate]) -> list[list[int]]:
    """The pieces that the delegate would get, each the indices of its operators, in the order in which they run.

    A piece is everything of one kind that can run before something of the other kind must. What only unpacks float16
    weights joins the one piece where all else is taken, and otherwise stays outside.
    """
    is_whole = all(fate in (*_ACCEPTED, Fate.FOLDED) for fate in fates)
    kinds = [is_whole or fate in _ACCEPTED for fate in fates]
    waiting = _Waiting(operators, kinds)
    pieces = []
    while (kind := waiting.next_kind()) is not None:
        piece = waiting.run(kind)
        if kind:
            pieces.append(piece)
    return pieces


class _Waiting:
    """Operators that haven't run, and of them those that can, by kind: whether they are delegated."""

    def __init__(self, operators: Sequence[Operator], kinds: Sequence[bool]) -> None:
        self._operators, self._kinds = operators, kinds
        self._unmade = {tensor for operator in operators for tensor in operator.gives}
        self._readers: dict[int, list[int]] = {}
        self._missing = [0] * len(operators)
        self._ready: dict[bool, list[int]] = {False: [], True: []}
        for index, operator in enumerate(operators):
            needed = self._unmade.intersection(operator.reads)
            self._missing[index] = len(needed)
            for tensor in needed:
                self._readers.setdefault(tensor, []).append(index)
            if not needed:
                heapq.heappush(self._ready[kinds[index]], index)

    def next_kind(self) -> bool | None:
        """The kind of the first operator that can run; None where none can."""
        first = min((heap[0] for heap in self._ready.values() if heap), default=None)
        return None if first is None else self._kinds[first]

    def run(self, kind: bool) -> list[int]:
        """Run what can be of one kind, and what of it can then."""
        ran, heap = [], self._ready[kind]
        while heap:
            index = heapq.heappop(heap)
            ran.append(index)
            for tensor in self._unmade.intersection(self._operators[index].gives):
                self._unmade.remove(tensor)
                self._tell(tensor)
        return ran

    def _tell(self, tensor: int) -> None:
        for reader in self._readers.get(tensor, ()):
            self._missing[reader] -= 1
            if not self._missing[reader]:
                heapq.heappush(self._ready[self._kinds[reader]], reader)
