"""Which weights of a file are meant, where it holds several sets, and what lies among them that is no weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.wording import brief, listed
from dvfl_mobile.spelling import option
from dvfl_mobile.wording import plural

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""What a set of weights is called, the one that is taken first."""

AVERAGES = (
    *("model_ema", "state_dict_ema", "ema_state_dict", "model_ema_state_dict", "ema_model", "ema", "ema_weights"),
    *("swa_model", "swa_state_dict", "model_swa", "averaged_model", "model_avg", "average"),
)
"""What a moving average of them is called beside them."""

_COUNTERS = frozenset(("total_ops", "total_params", "n_averaged", "num_updates", "num_batches_tracked"))
_METRICS = frozenset(("tp", "fp", "tn", "fn", "correct", "total", "confmat"))
_DEPTH = 3


@dataclass(frozen=True)
class WeightSet:
    """One set of weights by name, and sentences on what else there was."""

    entries: Mapping[Any, Any]
    notes: tuple[str, ...] = ()


def chosen_set(value: object, wanted: str | None = None) -> WeightSet:
    """The weights that are meant, however deep they are wrapped; of several sets the first of `WRAPPERS`.

    Args:
        value: what a file holds.
        wanted: the name of another set.

    Raises:
        CheckpointError: there are no weights by name, or none of the wanted name.
    """
    notes: list[str] = []
    held = list(_sets(value)) or _keys(value)
    for _ in range(_DEPTH):
        sets = _sets(value)
        if wanted is not None and (found := _named(value, sets, wanted)) is not None:
            value, wanted = found, None
            continue
        if not sets:
            break
        name = next(iter(sets))
        others = [other for other in sets if other != name]
        if name in AVERAGES or others:
            notes.append(_which(name, others))
        value = sets[name]
    if wanted is not None:
        raise CheckpointError(
            f"it holds no weights by the name {brief(wanted)}; it holds: {listed(held)}.",
            hint=f"Leave {option('weights')} out, or name one of these.",
        )
    if not isinstance(value, dict) or not value:
        what = "an empty dictionary" if isinstance(value, dict) else f"a {type(value).__name__}"
        raise CheckpointError(
            f"it holds {what}, no weights by name.", hint="Save the weights again: torch.save(model.state_dict(), ...)."
        )
    entries, left_out = without_counters(dict(dict.items(value)))
    return WeightSet(entries, (*notes, *left_out))


def without_counters(entries: Mapping[Any, Any]) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """The entries without the counters of other tools, and a sentence that names these.

    FLOP counters and weight averaging leave numbers among the weights, and so do metrics: single whole numbers, which
    no weight is, and what is called as these tools call it.
    """
    counters = [key for key, value in entries.items() if isinstance(key, str) and _is_counter(key, value)]
    kept = {key: value for key, value in entries.items() if key not in counters}
    if not counters or not any(isinstance(value, Tensor) for value in kept.values()):
        return dict(entries), ()
    return kept, (
        f"{plural(len(counters), 'entry', 'entries')} left out, counters of other tools and no weights, which may go: "
        f"{listed(counters)}",
    )


def _which(name: str, others: list[str]) -> str:
    kind = "a moving average of the weights, " if name in AVERAGES else "the weights "
    beside = ", ".join(f"{option('weights', other)} takes {_called(other)}" for other in others)
    return f"{kind}{name!r} taken" + (f"; {beside}" if beside else "; there are no others")


def _called(name: str) -> str:
    return f"the moving average {name!r}" if name in AVERAGES else repr(name)


def _sets(value: object) -> dict[str, dict[Any, Any]]:
    """The sets of weights in a dictionary, the usual one first; also of one whose keys begin with the sets' names."""
    if not isinstance(value, dict):
        return {}
    names = (*WRAPPERS, *AVERAGES)
    found = {name: inner for name in names if isinstance(inner := dict.get(value, name), dict)}
    named = {name: inner for name, inner in found.items() if _holds_tensors(inner)}
    # What is called so without holding any is called by what it does hold.
    wrapper = {name: inner for name, inner in found.items() if name in WRAPPERS}
    return named or wrapper or _prefixed(value)


def _prefixed(value: dict[Any, Any]) -> dict[str, dict[Any, Any]]:
    """`{"model.a": …, "model_ema.a": …}` as two sets; nothing where no key is an average's, or one is of neither."""
    entries, _ = without_counters(dict(dict.items(value)))
    groups: dict[str, dict[Any, Any]] = {}
    for key, entry in entries.items():
        name, dot, rest = key.partition(".") if isinstance(key, str) else ("", "", "")
        if not dot or name not in (*WRAPPERS, *AVERAGES, "module"):
            return {}
        groups.setdefault(name, {})[rest] = entry
    if not any(name in AVERAGES for name in groups):
        return {}
    return {name: groups[name] for name in (*WRAPPERS, "module", *AVERAGES) if name in groups}


def _named(value: object, sets: Mapping[str, dict[Any, Any]], wanted: str) -> dict[Any, Any] | None:
    inner = sets.get(wanted) or (dict.get(value, wanted) if isinstance(value, dict) else None)
    return inner if isinstance(inner, dict) and inner else None


def _keys(value: object) -> list[str]:
    return [str(key) for key in dict.keys(value)] if isinstance(value, dict) else [type(value).__name__]


def _holds_tensors(entries: dict[Any, Any]) -> bool:
    values = list(dict.values(entries))
    return any(isinstance(each, Tensor) for each in values) or any(
        isinstance(each, dict) and any(isinstance(inner, Tensor) for inner in dict.values(each)) for each in values
    )


def _is_counter(key: str, value: object) -> bool:
    if not isinstance(value, Tensor) or value.layout is not torch.strided or value.is_nested:
        return False
    last = key.rpartition(".")[2]
    is_whole = not value.is_floating_point() and not value.is_complex() and not value.is_quantized
    return (last in _COUNTERS and value.numel() == 1) or (is_whole and (value.ndim == 0 or last in _METRICS))
