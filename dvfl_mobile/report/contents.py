"""Render an artifact's manifest on the terminal, with what is delegated and what falls back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.delegation import Delegation, OperatorRow
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.quantization.floats import MOVES, FloatPart, float_part_of
from dvfl_mobile.quantization.settings import Quantization
from dvfl_mobile.report.formats.terminal import NamedTable
from dvfl_mobile.wording import first_few_only, plural, printable

_NUMBERS = ("operators", "count", "multiply-adds", "share")
_NO_MODULE = "(no module)"
_FATES = {True: "delegated", False: "fell back", None: "on the device"}


def terminal(manifest: Manifest, folder: Path, *, operators: bool) -> RenderableType:
    """The manifest as a table of facts, then where its operators run.

    Args:
        operators: show every operator in place of the sums.
    """
    facts = NamedTable.grid(padding=(0, 2))
    for name, value in _facts(manifest):
        facts.add_row(Text(name, "dim"), _foreign(value))
    parts: list[RenderableType] = [Text(str(folder), "bold"), facts, Text()]
    parts.append(_sentence(manifest.delegation))
    parts.append(_operators(manifest.delegation.rows) if operators else _by_stage(manifest.delegation))
    if manifest.quantization is not None:
        parts += _floats(manifest)
    if manifest.delegation.fallbacks:
        parts += [Text("\nFell back, most multiply-adds first:", "yellow"), _operators(manifest.delegation.fallbacks)]
    warnings = manifest.quantization.warnings if manifest.quantization else ()
    parts += [Text("\n") + _foreign(note, "yellow") for note in (*warnings, *weights_notes(manifest.weights.kind))]
    return Group(*parts)


def share(delegation: Delegation) -> str:
    """The delegated share of the multiply-adds, cut downwards: 100.0 % means all."""
    return "unknown here" if delegation.share is None else f"{int(delegation.share * 1000) / 10:.1f} %"


def delegated(delegation: Delegation) -> tuple[str, str, str]:
    """The delegated share, the delegate's calls, and the operators outside of them; `-` where they are unknown."""
    calls, outside = ("-" if count is None else str(count) for count in (delegation.calls, delegation.outside))
    return share(delegation), calls, outside


def _facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    clip, count = manifest.clip, len(manifest.classes)
    shown = first_few_only(manifest.classes, 4)
    yield "model", f"{manifest.model}, {count} classes: {shown}"
    yield "weights", f"{manifest.weights.name} (sha256 {manifest.weights.sha256[:12]}…)"
    yield "target", f"{manifest.target}, for {manifest.minimum_os} and later"
    yield "recipe", f"{manifest.recipe}: {manifest.recipe_meaning}"
    if manifest.quantization is not None and manifest.quantization.calibration is not None:
        yield "scales", _scales(manifest.quantization)
    yield "file", f"{manifest.file}, {manifest.size_bytes / 1e6:.1f} MB; every byte as it was written"
    for entry in manifest.inputs:
        scaled = "" if entry.scale is None else f" (a pixel of {entry.scale:g} x (value - {entry.zero_point}))"
        yield "input", f"{entry.name} {list(entry.shape)} {entry.dtype}, {_pixels(manifest)}{scaled}"
    for entry in manifest.outputs:
        yield "output", f"{entry.name} {list(entry.shape)} {entry.dtype}, a logit for each class"
    yield "clip", f"{clip.frames} frames, short side {clip.short_side}, centre crop {clip.size}x{clip.size}"
    yield "made by", ", ".join(f"{name} {version}" for name, version in manifest.tools.items())
    yield "with", manifest.command


def _scales(quantization: Quantization) -> str:
    found = quantization.calibration
    assert found is not None
    trained = f", then trained on ({plural(quantization.training.steps, 'step')})" if quantization.training else ""
    return f"{len(quantization.scales)}, found on {plural(found.clips, 'clip')}: {found.source}{trained}"


def _pixels(manifest: Manifest) -> str:
    return "raw 0-255 RGB" if manifest.clip.pixels == "raw" else "normalized RGB"


def _sentence(delegation: Delegation) -> Text:
    total = f"{delegation.multiply_adds / 1e9:.2f} G multiply-adds"
    if delegation.share is None:
        return _foreign(f"{total}. {delegation.undecided}", "yellow")
    calls = plural(delegation.calls or 0, "call")
    outside = f"; {plural(delegation.outside, 'operator')} outside" if delegation.outside else ""
    style = "green" if delegation.share == 1 and not outside else "yellow"
    inside = f". {delegation.undecided}" if delegation.undecided else ""
    return _foreign(f"{total}, {share(delegation)} of them in {calls} of {delegation.delegate}{outside}{inside}", style)


def islands(manifest: Manifest) -> tuple[list[tuple[FloatPart, list[OperatorRow]]], list[OperatorRow]]:
    """The float operators of a quantized artifact: by the part that the recipe leaves float, and those of no part."""
    keep = manifest.quantization.keep if manifest.quantization else ()
    asked: dict[str, tuple[FloatPart, list[OperatorRow]]] = {}
    unasked = []
    for row in manifest.delegation.rows:
        if row.is_int8 is not False or row.operator in MOVES:
            continue
        part = float_part_of(row.module, row.operator, row.count, keep)
        if part is None:
            unasked.append(row)
        else:
            asked.setdefault(part.name, (part, []))[1].append(row)
    return list(asked.values()), unasked


def _floats(manifest: Manifest) -> Iterator[RenderableType]:
    """How much is int8, what stays float and why, and what nobody asked for."""
    asked, unasked = islands(manifest)
    share = manifest.delegation.int8_share or 0.0
    yield Text(f"\n{int(share * 1000) / 10:.1f} % of the multiply-adds in int8. What stays float:")
    table = _table("part", "operators", "share", "why")
    total = manifest.delegation.multiply_adds or 1
    for part, rows in asked:
        work = sum(row.multiply_adds for row in rows) / total
        operators = str(sum(row.count for row in rows))
        table.add_row(_foreign(part.name), operators, f"{work:.1%}", _foreign(part.reason))
    yield table
    if unasked:
        yield Text("\nFloat, though the recipe asks for int8:", "red")
        yield _operators(unasked)


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
        table.add_row(_foreign(stage), str(count), f"{work[stage]:,}", f"{work[stage] / total:.1%}")
    return table


def _operators(rows: Iterable[OperatorRow]) -> Table:
    table = _table("module", "operator", "count", "multiply-adds", "runs")
    for row in rows:
        named = _foreign(row.module or _NO_MODULE), _foreign(row.operator)
        table.add_row(*named, str(row.count), f"{row.multiply_adds:,}", _FATES[row.delegated])
    return table


def _foreign(text: str, style: str = "") -> Text:
    """What a manifest says, which may be a stranger's: no terminal command and no markup of it works."""
    return Text(printable(text), style)


def _table(*columns: str) -> Table:
    table = NamedTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.names = [index for index, column in enumerate(columns) if column == "module"]
    for column in columns:
        # Figures and fates stay whole.
        justify: Literal["left", "right"] = "right" if column in _NUMBERS else "left"
        table.add_column(column, justify=justify, no_wrap=column not in ("module", "why"), overflow="fold")
    return table
