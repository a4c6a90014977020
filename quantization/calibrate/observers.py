"""Observers: how the range of a quantized tensor is chosen from what calibration saw of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dvfl_mobile.errors import UsageError

KEPT_PERCENT = 99.999

_Constructor = Callable[[], Any]


def _min_max() -> Any:
    from torchao.quantization.pt2e.observer import MinMaxObserver

    return MinMaxObserver


def _moving_average() -> Any:
    from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver

    return MovingAverageMinMaxObserver


def _histogram() -> Any:
    from torchao.quantization.pt2e.observer import HistogramObserver

    return HistogramObserver


def _percentile() -> Any:
    import torch
    from torchao.quantization.pt2e.observer import HistogramObserver

    class PercentileObserver(HistogramObserver):  # type: ignore[misc]
        """The range that holds `KEPT_PERCENT` of the values, as much cut off below as above."""

        def _non_linear_param_search(self) -> tuple[torch.Tensor, torch.Tensor]:
            cut = (100 - KEPT_PERCENT) / 200
            share = self.histogram.double().cumsum(0) / self.histogram.double().sum()
            edges = torch.linspace(float(self.min_val), float(self.max_val), self.bins + 1)
            low = int(torch.searchsorted(share, cut, right=True))
            high = int(torch.searchsorted(share, 1 - cut))
            return edges[min(low, self.bins - 1)], edges[min(high, self.bins - 1) + 1]

    return PercentileObserver


OBSERVERS: Mapping[str, tuple[_Constructor, str]] = MappingProxyType(
    {
        "minmax": (_min_max, "all that was seen, from the least value to the greatest"),
        "moving_average": (_moving_average, "a moving average of each clip's least and greatest value"),
        "mse": (_histogram, "the range of least squared error by a histogram of 2048 bins"),
        "percentile": (_percentile, f"the range that holds {KEPT_PERCENT} % of all values"),
    }
)


def observer_exists(name: str) -> None:
    """Check that there is an observer of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in OBSERVERS:
        raise UsageError(f"There is no observer {name!r}.", hint=f"Choose one of: {', '.join(OBSERVERS)}.")


def observer_named(name: str) -> Any:
    """The class of torchao's observer, or of one derived from it, for per-tensor ranges.

    Raises:
        UsageError: there is none of that name.
    """
    observer_exists(name)
    return OBSERVERS[name][0]()
