"""Pages held against the program's tables."""

from __future__ import annotations

import re

from dvfl_mobile import targets


def targets_left_out(page: str) -> list[str]:
    """Targets without a row that names them and their file in a page's table, as Markdown."""
    told = set(re.findall(r"^\| `(\w[\w-]*)`[^|]*\| `([^`]+)`[^|]*\|", page, re.MULTILINE))
    return [target.name for target in targets.every() if (target.name, target.file) not in told]
