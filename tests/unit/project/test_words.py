"""Words that this project no longer uses, since the field has others for what they meant, stay out of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
PLACES = (
    "dvfl_mobile",
    "converters",
    "quantization",
    "benchmarks",
    "android_harness",
    "ios_harness",
    "web_harness",
    "docs",
    "tests",
)
KINDS = {".py", ".pyi", ".md", ".c", ".h", ".cpp", ".swift", ".kt", ".js", ".html"}
# Say: note, message, known, given; median; per-token scaling. The brackets keep this file from finding itself.
RETIRED = re.compile(r"(?<![a-z])(t[o]ld|mi[d]dling|leve[l]led|leve[l]ling)(?![a-z])", re.IGNORECASE)


def test_no_retired_word_comes_back() -> None:
    if not (CHECKOUT / "docs").exists():
        pytest.skip("words are looked for in a checkout, not in an installed wheel")
    pages = [CHECKOUT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")]
    files = [path for place in PLACES for path in (CHECKOUT / place).rglob("*") if path.suffix in KINDS]
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {line.strip()}"
        for path in [*filter(Path.exists, pages), *files]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if RETIRED.search(line)
    ]
    assert not found, "\n".join(found)
