"""Render profiles as one self-contained HTML page: no scripts, no remote resources, light and dark."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from dvfl_mobile.errors import MissingDependencyError
from dvfl_mobile.profiling.document import DeviceProfile, ProfileReport
from dvfl_mobile.report.profile import figures, plots, unicode

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --faint: #9aa1ad; --mark: #c81e1e; --first: #2563a8;
  --second: #c2740c; --grid: #eceef1; --quiet: #5d6573; --page: #ffffff; --good: #1a7f37; --doubt: #9a6700; }
@media (prefers-color-scheme: dark) { :root { --ink: #dfe3ea; --faint: #7d8694; --mark: #ff7b72; --first: #6cb0f5;
  --second: #f0a742; --grid: #2a303b; --quiet: #9aa3b2; --page: #14171d; --good: #4ac26b; --doubt: #d4a72c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); margin: 2rem auto;
  max-width: 62rem; padding: 0 1rem; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; } h1 { font-size: 1.4rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin-top: 1.8rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .15rem 1.2rem .15rem 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; white-space: pre-line; }
td:last-child, th:last-child { padding-right: 0; } .short { white-space: nowrap; } .long { overflow-wrap: anywhere; }
.table { overflow-x: auto; margin: .8rem 0; }
@media (max-width: 40rem) { th, td { padding-right: .6rem; } }
th { font-weight: 600; color: var(--quiet); } figure { margin: 1rem 0; } svg { width: 100%; height: auto; }
figcaption, .quiet { color: var(--quiet); font-size: .85rem; } a { color: var(--first); }
.pass { color: var(--good); } .fail { color: var(--mark); } .inconclusive { color: var(--doubt); }
.verdict { font-weight: 700; text-transform: uppercase; } pre { line-height: 1.15; overflow-x: auto; }
"""

_SHORT, _LONG_WORD = 12, 20
"""Characters of a cell that stays on a line, and of the longest word that isn't broken."""


def html(report: ProfileReport) -> str:
    """The whole report. Plots need matplotlib (extra `plots`); without it they are of characters, and it says so."""
    is_one = len(report.devices) == 1 and not report.failures
    title = figures.title(report.devices[0]) if is_one else "Profile of several devices"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        _heading("h1", report.devices[0]) if is_one else f"<h1>{escape(title)}</h1>",
        _paragraph(f"Measured {report.when} by dvfl-mobile {report.tool_version}.", "quiet"),
    ]
    if not is_one:
        parts += [_table(figures.FLEET_COLUMNS, figures.fleet_rows(report)), *map(_failed, figures.failures(report))]
    for index, profile in enumerate(report.devices):
        parts += ([] if is_one else [_heading("h2", profile)]) + _device(report, profile, index)
    return "\n".join([*parts, "</body></html>"]) + "\n"


def _device(report: ProfileReport, profile: DeviceProfile, index: int) -> list[str]:
    several = len(profile.artifacts) > 1
    parts = [
        _paragraph(figures.device_line(profile.device)),
        _paragraph(figures.source(report, profile), "quiet"),
        *map(_paragraph, (*figures.outputs(profile), *figures.conclusions(profile))),
    ]
    if profile.findings:
        rows = [(figures.finding_name(each), each.sentence, each.evidence) for each in profile.findings]
        parts += ["<h3>To know of these figures</h3>", _table(("", "", ""), rows)]
    columns = ("", "A", "B") if several else ("", "")
    parts += ["<h3>Figures</h3>", _table(columns, figures.figure_rows(profile)), *_plots(profile, index)]
    for letter, each in zip("AB", profile.artifacts, strict=False):
        of_which = f" of {letter}" if several else ""
        if each.operators:
            parts += [
                f"<h3>Operators{of_which}, not delegated first</h3>",
                _table(figures.OPERATOR_COLUMNS, figures.operator_rows(each)),
                f"<h3>Blocks{of_which}</h3>",
                _table(figures.BLOCK_COLUMNS, figures.block_rows(each)),
            ]
        parts += [_paragraph(sentence, "quiet") for sentence in figures.operator_remarks(each, profile.device.device)]
    return parts


def _plots(profile: DeviceProfile, index: int) -> list[str]:
    try:
        drawn = plots.draw(profile)
    except MissingDependencyError as error:
        return [*_characters(profile), _paragraph(f"There are no drawn plots: {error.problem} {error.hint}", "quiet")]
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


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in columns) if any(columns) else ""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    head = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<div class="table"><table>{head}<tbody>{body}</tbody></table></div>'


def _cell(text: str) -> str:
    """Short cells, names and figures with their units, stay on a line; only words as long as paths are broken."""
    if len(text) <= _SHORT:
        return f'<td class="short">{escape(text)}</td>'
    if max(map(len, text.split()), default=0) > _LONG_WORD:
        # At the joints of a path first.
        return f'<td class="long">{escape(text).replace(".", ".<wbr>").replace("_", "_<wbr>")}</td>'
    return f"<td>{escape(text)}</td>"


def _paragraph(text: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f"<p{kind}>{escape(text)}</p>"


def _failed(text: str) -> str:
    return _paragraph(text, "fail")
