"""Operator times by module, and what isn't delegated."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from dvfl_mobile.delegation import Delegation
from dvfl_mobile.devices.values import OperatorTime
from dvfl_mobile.profiling.document import OperatorRow
from dvfl_mobile.wording import plural

_BLOCK_PARTS = 2


def operator_rows(times: Sequence[OperatorTime], delegation: Delegation) -> tuple[OperatorRow, ...]:
    """Operators of one kind in one module together: what isn't delegated first, then by time, most first."""
    grouped: dict[tuple[str, str, bool | None], list[int]] = defaultdict(list)
    for each in times:
        delegated = each.delegated if each.delegated is not None else _delegated(each.module, delegation)
        grouped[each.name, each.module, delegated].append(each.duration_ns)
    total = sum(each.duration_ns for each in times) or 1
    rows = [
        OperatorRow(
            name=name,
            module=module,
            block=block_of(module),
            delegated=delegated,
            count=len(durations),
            duration_ns=sum(durations),
            share=sum(durations) / total,
        )
        for (name, module, delegated), durations in grouped.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.delegated is not False, -row.duration_ns)))


def undelegated(delegation: Delegation) -> tuple[str, ...]:
    """What the manifest says falls back from the delegate, in words, most multiply-adds first."""
    return tuple(f"{plural(row.count, row.operator)} in {row.module or 'the graph'}" for row in delegation.fallbacks)


def block_of(module: str) -> str:
    """`stage1.block0` of `stage1.block0.mlp.fc1`; the whole path where it is shorter; empty for none."""
    return ".".join(module.split(".")[:_BLOCK_PARTS])


def _delegated(module: str, delegation: Delegation) -> bool | None:
    """Whether the manifest has all of a module delegated, or none; None where it is mixed or not known."""
    fates = {row.delegated for row in delegation.rows if row.module == module} if module else set()
    return fates.pop() if len(fates) == 1 else None
