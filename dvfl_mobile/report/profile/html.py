"""Render profiles as one self-contained HTML page."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from html import escape

from dvfl_mobile.errors import MissingDependencyError
from dvfl_mobile.profiling.document import DeviceProfile, ProfileReport
from dvfl_mobile.report.formats.html import page, paragraph, table
from dvfl_mobile.report.profile import figures, plots, unicode


def html(report: ProfileReport) -> str:
    """The whole report. Plots need matplotlib (extra `plots`); without it they are of characters, and it says so."""
    is_one = len(report.devices) == 1 and not report.failures
    title = figures.title(report.devices[0]) if is_one else "Profile of several devices"
    parts = [
        _heading("h1", report.devices[0]) if is_one else f"<h1>{escape(title)}</h1>",
        paragraph(f"Measured {report.when} by dvfl-mobile {report.tool_version}.", "quiet"),
    ]
    if not is_one:
        parts += [table(figures.FLEET_COLUMNS, figures.fleet_rows(report)), *map(_failed, figures.failures(report))]
    for index, profile in enumerate(report.devices):
        parts += ([] if is_one else [_heading("h2", profile)]) + _device(report, profile, index)
    return page(title, parts)


def _device(report: ProfileReport, profile: DeviceProfile, index: int) -> list[str]:
    several = len(profile.artifacts) > 1
    parts = [
        paragraph(figures.device_line(profile.device)),
        paragraph(figures.source(report, profile), "quiet"),
        *map(paragraph, (*figures.outputs(profile), *figures.conclusions(profile))),
    ]
    if profile.findings:
        rows = [(figures.finding_name(each), each.sentence, each.evidence) for each in profile.findings]
        parts += ["<h3>To know of these figures</h3>", table(("", "", ""), rows)]
    columns = ("", "A", "B") if several else ("", "")
    parts += ["<h3>Figures</h3>", table(columns, figures.figure_rows(profile)), *_plots(profile, index)]
    for letter, each in zip("AB", profile.artifacts, strict=False):
        of_which = f" of {letter}" if several else ""
        if each.operators:
            parts += [
                f"<h3>Operators{of_which}, not delegated first</h3>",
                table(figures.OPERATOR_COLUMNS, figures.operator_rows(each)),
                f"<h3>Blocks{of_which}</h3>",
                table(figures.BLOCK_COLUMNS, figures.block_rows(each)),
            ]
        parts += [paragraph(sentence, "quiet") for sentence in figures.operator_remarks(each, profile.device.device)]
    return parts


def _plots(profile: DeviceProfile, index: int) -> list[str]:
    try:
        drawn = plots.draw(profile)
    except MissingDependencyError as error:
        return [*_characters(profile), paragraph(f"There are no drawn plots: {error.problem} {error.hint}", "quiet")]
    return [_figure(plot, f"device{index}") for plot in drawn]


def _figure(plot: plots.Plot, prefix: str) -> str:
    # Several devices in one page have plots of one name.
    svg = plot.svg.replace('id="', f'id="{prefix}-').replace("url(#", f"url(#{prefix}-").replace('="#', f'="#{prefix}-')
    png = b64encode(plot.png).decode("ascii")
    file = f"{prefix}-{plot.name.replace(' ', '-')}.png"
    return (
        f"<figure><h3>{escape(plot.name.capitalize())}</h3>{svg}<figcaption>{escape(plot.meaning)} "
        f'<a download="{escape(file)}" href="data:image/png;base64,{png}">As PNG</a></figcaption></figure>'
    )


def _characters(profile: DeviceProfile) -> Iterable[str]:
    for letter, each in zip("AB", profile.artifacts, strict=False):
        runs = [duration for one in each.rounds for duration in one.duration_ns]
        lines = [f"{figures.time_text(start):>9} {drawn} {count}" for start, _, count, drawn in unicode.histogram(runs)]
        yield f"<h3>Runs of {letter}</h3><pre>{escape(chr(10).join([*lines, '', unicode.time_line(runs)]))}</pre>"


def _heading(level: str, profile: DeviceProfile) -> str:
    verdict = profile.verdict.value
    title = escape(figures.title(profile))
    return f'<{level}><span class="verdict {verdict}">{verdict}</span> {title}</{level}>'


def _failed(text: str) -> str:
    return paragraph(text, "fail")
