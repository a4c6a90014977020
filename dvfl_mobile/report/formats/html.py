"""Self-contained HTML pages: no scripts, no remote resources, light and dark, fit to be printed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

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
@media print { body { max-width: none; margin: 0; } h2, h3 { break-after: avoid; } figure, tr { break-inside: avoid; } }
"""

_SHORT, _LONG_WORD = 12, 20
"""Characters of a cell that stays on a line, and of the longest word that isn't broken."""


def page(title: str, parts: Iterable[str]) -> str:
    """The whole page of these blocks of HTML; `title` is foreign text."""
    head = (
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
    )
    return "\n".join([*head, *parts, "</body></html>"]) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
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


def paragraph(text: str, style: str = "") -> str:
    kind = f' class="{style}"' if style else ""
    return f"<p{kind}>{escape(text)}</p>"
