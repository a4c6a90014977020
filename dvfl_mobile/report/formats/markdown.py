"""GitHub-flavoured Markdown, for the summary of a CI job."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of foreign text."""
    lines = [_row(columns), _row(["---"] * len(columns)), *(_row([escape(cell) for cell in row]) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def bullets(sentences: Iterable[str]) -> str:
    """A list of foreign sentences."""
    return "\n".join(f"- {escape(sentence)}" for sentence in sentences)


def document(parts: Iterable[str]) -> str:
    """Blocks of Markdown, the empty ones left out."""
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: str) -> str:
    """`text` as it stands: no pipe ends a cell, and no name becomes emphasis, a link or HTML."""
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", text)
