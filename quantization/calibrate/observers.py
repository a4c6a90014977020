"""Observers: how the range of a quantized tensor is chosen from what calibration saw of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from dvfl_mobile.errors import UsageError

_Constructor = Callable[[int], Any]
KEPT_PERCENT = 99.999


def _min_max(_clips: int) -> Any:
    from torchao.quantization.pt2e.observer import MinMaxObserver

    return MinMaxObserver


def _moving_average(_clips: int) -> Any:
    from torchao.quantization.pt2e.observer import MovingAverageMinMaxObserver

    return MovingAverageMinMaxObserver


def _histogram(_clips: int) -> Any:
    from torchao.quantization.pt2e.observer import HistogramObserver

    return HistogramObserver


def _percentile(clips: int) -> Any:
    from dvfl_mobile.quantization.calibrate.percentile import percentile_observer

    return percentile_observer(clips, KEPT_PERCENT)


OBSERVERS: Mapping[str, tuple[_Constructor, str]] = MappingProxyType(
    {
        "minmax": (_min_max, "all that was seen, from the least value to the greatest"),
        "moving_average": (_moving_average, "a moving average of each clip's least and greatest value"),
        "mse": (_histogram, "the range of least squared error by a histogram of 2048 bins"),
        "percentile": (_percentile, f"the range that holds {KEPT_PERCENT} % of all values"),
    }
)

BY_ORDER = ("moving_average", "mse")
"""Those whose range depends on the order in which the clips pass."""


def observer_exists(name: str) -> None:
    """Check that there is an observer of that name.

    Raises:
        UsageError: there is none.
    """
    if name not in OBSERVERS:
        raise UsageError(f"There is no observer {name!r}.", hint=f"Choose one of: {', '.join(OBSERVERS)}.")


def observer_named(name: str, clips: int) -> Any:
    """The class of torchao's observer, or of one that is made like it, for per-tensor ranges.

    Args:
        clips: how many of them will pass.

    Raises:
        UsageError: there is none of that name.
    """
    observer_exists(name)
    return OBSERVERS[name][0](clips)
