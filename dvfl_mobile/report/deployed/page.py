"""One page for a deploy: verdict, artifacts, clips, engines, where blocks run, ranges, what wasn't exercised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dvfl_mobile.artifacts.manifest import Manifest
from dvfl_mobile.pipeline.summary import DeployRow, DeploySummary
from dvfl_mobile.report.deployed import drawings, tables
from dvfl_mobile.report.formats.html import page, paragraph, table
from dvfl_mobile.spelling import command
from dvfl_mobile.wording import percent, plural

_LEGEND = (
    "Green: products of int8. Blue: floats. Red: outside of the delegate, and the number above a bar is how many "
    "operators of the block run there, whatever their work."
)
_UNSEEN = (
    "No phone took part: what an emulator, a software GPU or a reference executor computes are a device's numbers, and "
    "nothing of its time. Time an artifact on a device with: {command}"
)


def html(summary: DeploySummary, manifests: Mapping[str, Manifest]) -> str:
    """The page, of a summary and the manifest of each of its artifacts.

    Args:
        manifests: by the name of the row, such as `tflite/fp16`.
    """
    verdict = summary.verdict.value
    title = f"{summary.model} from {summary.checkpoint}"
    parts = [
        f'<h1><span class="verdict {verdict}">{verdict}</span> {escape(title)}</h1>',
        paragraph(tables.headline_of(summary)),
        paragraph(f"Made and checked by dvfl-mobile {summary.tool_version}, on {_clips(summary)}.", "quiet"),
        *(paragraph(reason, "fail") for reason in summary.reasons),
        "<h2>Artifacts</h2>",
        table(tables.COLUMNS, tables.rows(summary)),
        *_recorded(summary),
        "<h2>SQNR by clip</h2>",
        f"<figure>{drawings.strips(summary.rows)}<figcaption>Each artifact against PyTorch, a dot for each clip; red "
        "where another class came first. The red line is what the recipe has to reach.</figcaption></figure>",
        *_engines(summary),
        "<h2>What runs where</h2>",
        *_blocks(summary.rows, manifests),
        *_ranges(manifests),
        "<h2>To know</h2>",
        *(
            paragraph(remark, "quiet")
            for remark in (*tables.remarks(summary), _UNSEEN.format(command=command("profile")))
        ),
    ]
    return page(title, parts)


def _clips(summary: DeploySummary) -> str:
    return f"{plural(summary.clips.count, 'clip')}: {summary.clips.source}"


def _recorded(summary: DeploySummary) -> list[str]:
    if not summary.recorded:
        return []
    return ["<h2>Recorded accuracy</h2>", table(tables.RECORDED_COLUMNS, tables.recorded_rows(summary))]


def _engines(summary: DeploySummary) -> list[str]:
    if not tables.has_engines(summary):
        return []
    parts = ["<h2>Engines</h2>", table(tables.ENGINE_COLUMNS, tables.engine_rows(summary.rows))]
    if summary.not_run:
        parts.append(table(tables.NOT_RUN_COLUMNS, tables.not_run_rows(summary)))
    return parts


def _blocks(rows: Sequence[DeployRow], manifests: Mapping[str, Manifest]) -> list[str]:
    parts = []
    for name in dict.fromkeys(row.name for row in rows):
        delegation = manifests[name].delegation if name in manifests else None
        if delegation is None:
            continue
        if delegation.share is None:
            parts.append(paragraph(f"{name}: {delegation.undecided}", "quiet"))
            continue
        outside = f"{plural(delegation.outside or 0, 'operator')} outside"
        said = f"{percent(delegation.share)} of the multiply-adds, {plural(delegation.calls or 0, 'call')}, {outside}"
        parts.append(
            f"<figure><h3>{escape(name)}</h3>{drawings.blocks(delegation)}"
            f"<figcaption>In {escape(delegation.delegate)}: {escape(said)}.</figcaption></figure>"
        )
    return [*parts, paragraph(_LEGEND, "quiet")] if any(part.startswith("<figure") for part in parts) else parts


def _ranges(manifests: Mapping[str, Manifest]) -> list[str]:
    found = [(name, manifest.ranges) for name, manifest in manifests.items() if manifest.ranges is not None]
    if not found:
        return []
    # The network that is lowered has the same values whatever it is lowered to; the largest stands for all.
    name, ranges = max(found, key=lambda pair: pair[1].largest.largest if pair[1].largest else 0.0)
    on = f"{plural(ranges.clips, 'clip')}: {ranges.source}"
    return [
        "<h2>Ranges</h2>",
        f"<figure>{drawings.depth(ranges)}<figcaption>The largest absolute value of each operator of {escape(name)}, "
        f"from the first to the last, on {escape(on)}. A GPU or an NPU computes in half precision."
        "</figcaption></figure>",
    ]
