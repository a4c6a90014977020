"""Put what a benchmark measured into a page of the documentation, between the two marks that it has for it."""

from __future__ import annotations

import sys
from pathlib import Path

from dvfl_mobile.files import write_text


def write_between(page: Path, begin: str, text: str, end: str) -> None:
    """Write `text` in place of all that stands between the marks; ends the program where the page hasn't got them."""
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        sys.exit(f"{page} has no place for the tables: {begin} and {end}")
    write_text(page, f"{before}{begin}{text}{end}{after}")
