"""What is in an artifact: its manifest on the terminal, with what is delegated and what fell back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dvfl_mobile.delegation import Delegation, OperatorRow
from dvfl_mobile.manifest import Manifest
from dvfl_mobile.parity import weights_notes
from dvfl_mobile.wording import plural

_NUMBERS = ("operators", "count", "multiply-adds", "share")
_NO_MODULE = "(no module)"
_FATES = {True: "delegated", False: "fell back", None: "on the device"}


def terminal(manifest: Manifest, folder: Path, *, operators: bool) -> RenderableType:
    """The manifest as a table of facts, then where its operators run.

    Args:
        operators: show every operator in place of the sums.
    """
    facts = Table.grid(padding=(0, 2))
    for name, value in _facts(manifest):
        facts.add_row(Text(name, "dim"), Text(value))
    parts: list[RenderableType] = [Text(str(folder), "bold"), facts, Text()]
    parts.append(_sentence(manifest.delegation))
    parts.append(_operators(manifest.delegation.rows) if operators else _by_stage(manifest.delegation))
    if manifest.delegation.fallbacks:
        parts += [Text("\nFell back, most multiply-adds first:", "yellow"), _operators(manifest.delegation.fallbacks)]
    parts += [Text(f"\n{note}", "yellow") for note in weights_notes(manifest.weights.kind)]
    return Group(*parts)


def share(delegation: Delegation) -> str:
    """The delegated share of the multiply-adds, cut downwards: 100.0 % means all."""
    return "unknown here" if delegation.share is None else f"{int(delegation.share * 1000) / 10:.1f} %"


def _facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    clip, count = manifest.clip, len(manifest.classes)
    shown = ", ".join(manifest.classes[:4]) + (", …" if count > 4 else "")
    yield "model", f"{manifest.model}, {count} classes: {shown}"
    yield "weights", f"{manifest.weights.name} (sha256 {manifest.weights.sha256[:12]}…)"
    yield "target", f"{manifest.target}, for {manifest.minimum_os} and later"
    yield "recipe", f"{manifest.recipe}: {manifest.recipe_meaning}"
    yield "file", f"{manifest.file}, {manifest.size_bytes / 1e6:.1f} MB; every byte as it was written"
    for entry in manifest.inputs:
        yield "input", f"{entry.name} {list(entry.shape)} {entry.dtype}, {_pixels(manifest)}"
    for entry in manifest.outputs:
        yield "output", f"{entry.name} {list(entry.shape)} {entry.dtype}, a logit for each class"
    yield "clip", f"{clip.frames} frames, short side {clip.short_side}, centre crop {clip.size}x{clip.size}"
    yield "made by", ", ".join(f"{name} {version}" for name, version in manifest.tools.items())
    yield "with", manifest.command


def _pixels(manifest: Manifest) -> str:
    return "raw 0-255 RGB" if manifest.clip.pixels == "raw" else "normalized RGB"


def _sentence(delegation: Delegation) -> Text:
    total = f"{delegation.multiply_adds / 1e9:.2f} G multiply-adds"
    if delegation.share is None:
        return Text(f"{total}. {delegation.undecided}", "yellow")
    calls = plural(delegation.calls or 0, "call")
    style = "green" if delegation.share == 1 else "yellow"
    return Text(f"{total}, {share(delegation)} of them in {calls} of {delegation.delegate}", style)


def _by_stage(delegation: Delegation) -> Table:
    """Operators and multiply-adds by the first step of the module path."""
    counts: Counter[str] = Counter()
    work: Counter[str] = Counter()
    for row in delegation.rows:
        stage = row.module.split(".")[0] or _NO_MODULE
        counts[stage] += row.count
        work[stage] += row.multiply_adds
    table = _table("module", "operators", "multiply-adds", "share")
    total = delegation.multiply_adds or 1
    for stage, count in counts.items():
        table.add_row(stage, str(count), f"{work[stage]:,}", f"{work[stage] / total:.1%}")
    return table


def _operators(rows: Iterable[OperatorRow]) -> Table:
    table = _table("module", "operator", "count", "multiply-adds", "runs")
    for row in rows:
        module = row.module or _NO_MODULE
        table.add_row(module, row.operator, str(row.count), f"{row.multiply_adds:,}", _FATES[row.delegated])
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        # Only a module's path may be folded: figures and fates stay whole.
        justify: Literal["left", "right"] = "right" if column in _NUMBERS else "left"
        table.add_column(column, justify=justify, no_wrap=column != "module", overflow="fold")
    return table
