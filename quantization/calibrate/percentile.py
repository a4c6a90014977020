"""The percentile observer: the range that holds nearly all values of a tensor, by its rarest ones alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase

from dvfl_mobile.model.lean.rounding import in_memory_order

_ROW = 256  # numbers of which only the largest is looked at, unless it is one of the rarest


def percentile_observer(clips: int, kept_percent: float) -> type[UniformQuantizationObserverBase]:
    """The class of observers that keep `kept_percent` of the values of tensors of which so many clips will pass."""

    class PercentileObserver(UniformQuantizationObserverBase):  # type: ignore[misc]
        """The range that holds that much of the values of all clips, as much cut off below as above: exactly.

        Nothing but the values beyond it has to be kept, a few thousand, where a histogram would sort each number into
        its bin: five times the time of all else that calibration does.
        """

        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self._above: Tail | None = None
            self._below: Tail | None = None

        def forward(self, values: Tensor) -> Tensor:
            if not values.numel():
                return values
            if self._above is None or self._below is None:
                cut = int(values.numel() * clips * (100 - kept_percent) / 200)
                self._above, self._below = Tail(cut + 1), Tail(cut + 1, sign=-1)
            numbers = in_memory_order(values.detach().float())
            whole = len(numbers) // _ROW * _ROW
            for rows in (numbers[:whole].view(-1, _ROW), numbers[whole:].view(1, -1)):
                if rows.numel():
                    self._above.add(rows)
                    self._below.add(rows)
            return values

        def calculate_qparams(self, **_: Any) -> tuple[Tensor, Tensor]:
            if self._above is None or self._below is None:
                return torch.ones(1), torch.zeros(1, dtype=torch.int32)
            scale, zero_point = self._calculate_qparams(self._below.end, self._above.end)
            return scale, zero_point

    return PercentileObserver


class Tail:
    """The largest of all values that passed, or with `sign=-1` the least, as many as are asked for."""

    def __init__(self, count: int, sign: int = 1) -> None:
        self._count, self._sign = count, sign
        # Up to twice as many as are asked for: to sort them at every turn would take longer than to look through rows.
        self._values = torch.empty(0)
        self._least = -torch.inf  # what is below it is none of the largest

    def add(self, rows: Tensor) -> None:
        """Look through values, `(R,W)`."""
        largest = rows.amax(1) if self._sign > 0 else -rows.amin(1)
        least = self._least
        if least == -torch.inf and len(largest) >= self._count:
            least = float(largest.topk(self._count).values[-1])  # there are as many rows that reach it
        found = self._sign * rows[largest >= least].flatten()
        self._values = torch.cat((self._values, found[found >= least]))
        if len(self._values) >= self._count * (1 if self._least == -torch.inf else 2):
            self._sort()

    def _sort(self) -> None:
        self._values = self._values.topk(min(self._count, len(self._values))).values
        if len(self._values) == self._count:
            self._least = float(self._values[-1])

    @property
    def end(self) -> Tensor:
        """The last one of them, `()`."""
        self._sort()
        return self._sign * self._values[-1]
