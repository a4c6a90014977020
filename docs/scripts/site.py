"""What mkdocs can't do by itself: pages that stand outside docs/, and links that lead out of it.

A link such as `../CHANGELOG.md` is right in the repository, where a test follows it. On the site it leads to the page
made of that file, if it is one of `PAGES`, and to the file in the repository otherwise.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "dvfl_mobile/model/embedded/pico.md": "pico.md",
}
_LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"^( *)```.*?^\1```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each file of `PAGES`."""
    root = Path(config.config_file_path).parent
    for source, name in PAGES.items():
        files.append(File.generated(config, name, content=(root / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001
    """Lead each link out of docs/ to its page, or to the repository."""
    sources = {name: source for source, name in PAGES.items()}
    source = sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def led(match: re.Match[str]) -> str:
        before, target, anchor, after = match.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        return f"{before}{_address(path, page.file.src_uri, config)}{anchor or ''}{after}"

    kept = [(match.start(), match.end()) for match in _FENCE.finditer(markdown)]
    return _LINK.sub(lambda m: m[0] if any(a <= m.start() < b for a, b in kept) else led(m), markdown)


def _address(path: str, from_uri: str, config: Any) -> str:
    """Where a file of the repository, by its path from the root, is found from a page of the site."""
    inside = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
    if inside is None:
        return f"{config.repo_url.rstrip('/')}/blob/main/{path}"
    return posixpath.relpath(inside, posixpath.dirname(from_uri) or ".")
