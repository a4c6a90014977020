"""Map timed operators to the model's modules, as far as the manifest decides it.

A manifest lists operators in groups of a kind and a module, in the graph's order. XNNPACK renames, merges and leaves
out operators, but keeps the order of each kind; so where it ran as many of a kind as the graph has, the n-th of one is
the n-th of the other. A graph that falls into several pieces runs in another order than the graph's, and its delegated
operators get no module.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import NamedTuple

from dvfl_mobile.delegation import Delegation
from dvfl_mobile.devices.values import OperatorTime


class Timed(NamedTuple):
    """An operator as the runtime reports it; `node` is its number in the graph, where that is known."""

    name: str
    delegated: bool | None
    duration_ns: int
    node: int | None = None


class Kind(NamedTuple):
    """Beginnings of a runtime's names, and the names in manifests, of one kind of operator."""

    runtime: tuple[str, ...]
    manifest: tuple[str, ...]


KINDS = (
    Kind(("Convolution ",), ("convolution", "conv_2d", "depthwise_conv_2d")),
    Kind(("Fully Connected ",), ("linear", "fully_connected")),
    Kind(("Mean ", "Mean Squared "), ("mean",)),
    Kind(("Multiply ", "Square ", "Mean Squared "), ("mul",)),
    Kind(("Add ",), ("add",)),
    Kind(("Subtract ",), ("sub",)),
    Kind(("Reciprocal Square Root ",), ("rsqrt",)),
    Kind(("GELU ",), ("gelu",)),
    Kind(("Slice ",), ("slice", "slice_copy")),
    Kind(("Abs ",), ("abs",)),
)
"""Kinds that names tell apart on either side. "Mean Squared" is a product and a mean in one, and counts as either."""


def with_modules(timed: Sequence[Timed], delegation: Delegation) -> tuple[OperatorTime, ...]:
    """The operators with their modules; an empty one where it isn't certain."""
    modules = {**_delegated(timed, delegation), **_own(timed, delegation)}
    return tuple(
        OperatorTime(
            index=index,
            name=each.name,
            module=modules.get(index, ""),
            delegated=each.delegated,
            duration_ns=each.duration_ns,
        )
        for index, each in enumerate(timed)
    )


def _delegated(timed: Sequence[Timed], delegation: Delegation) -> dict[int, str]:
    if delegation.calls != 1 or not all(each.delegated for each in timed):
        return {}
    found: dict[int, str] = {}
    for kind in KINDS:
        places = [index for index, each in enumerate(timed) if each.name.startswith(kind.runtime)]
        modules = modules_of(delegation, kind.manifest, True)
        if len(places) == len(modules):
            for place, module in zip(places, modules, strict=True):
                found.setdefault(place, module)
    return found


def _own(timed: Sequence[Timed], delegation: Delegation) -> dict[int, str]:
    """Those that the runtime ran by itself: it tells their numbers in the graph, and so their order."""
    found: dict[int, str] = {}
    for name in {each.name for each in timed if each.delegated is False}:
        places = [index for index, each in enumerate(timed) if each.delegated is False and each.name == name]
        modules = modules_of(delegation, (name.lower(),), False)
        nodes = {index: node for index in places if (node := timed[index].node) is not None}
        if len(nodes) == len(set(nodes.values())) == len(places) == len(modules):
            found.update(zip(sorted(places, key=nodes.__getitem__), modules, strict=True))
    return found


def modules_of(delegation: Delegation, operators: Sequence[str], delegated: bool) -> list[str]:
    """The module of each operator of some names, in the graph's order, as far as the manifest's groups still tell it.

    A module runs once, and its operators follow one another, with those of its own parts between them. Where a module
    has several and a part of it has some too, nothing tells which comes first: all of them get that module, which is
    true of each.
    """
    counts: dict[str, int] = {}
    for row in delegation.rows:
        if row.operator in operators and row.delegated is delegated:
            counts[row.module] = counts.get(row.module, 0) + row.count
    rows, found, at = list(counts.items()), [], 0
    while at < len(rows):
        module, count = rows[at]
        parts = [of_part for _, of_part in takewhile(partial(_is_row_of, module), rows[at + 1 :])] if count > 1 else []
        found += [module] * (count + sum(parts))
        at += 1 + len(parts)
    return found


def is_part(module: str, whole: str) -> bool:
    """Whether a module belongs to another one, at any depth; everything belongs to the whole network, `""`."""
    return not whole or module.startswith(f"{whole}.")


def _is_row_of(whole: str, row: tuple[str, int]) -> bool:
    return is_part(row[0], whole)
