"""Modules of the pages, run by Node.js, or in Chromium without a window."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from tests.device_tools import tool

_SECONDS = 120


def run_by_node(module: Path, call: str, given: Any, folder: Path) -> Any:
    """What `call`, an expression of `module` (its exports) and `given`, gives; the test is skipped without Node.js."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs node")
    (folder / "module.mjs").write_text(module.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    (folder / "run.mjs").write_text(
        'import { readFileSync } from "node:fs";\nimport * as module from "./module.mjs";\n'
        'const given = JSON.parse(readFileSync("given.json", "utf8"));\n'
        f"process.stdout.write(JSON.stringify({call}));\n"
    )
    ended = subprocess.run([node, "run.mjs"], cwd=folder, capture_output=True, timeout=_SECONDS, check=True)
    return json.loads(ended.stdout)


def run_by_chromium(module: Path, call: str, given: Any, folder: Path) -> Any:
    """As `run_by_node`, in a page."""
    program = tool("chromium")
    text = module.read_text(encoding="utf-8")
    source = re.sub(r"^export (?=class|function|const)", "", text, flags=re.MULTILINE)
    names = ", ".join(re.findall(r"^export (?:class|function|const) (\w+)", text, re.MULTILINE))
    page = folder / "page.html"
    page.write_text(
        f'<!doctype html><pre id="out"></pre><script type="module">\n{source}\nconst module = {{ {names} }};\n'
        f"const given = {json.dumps(given)};\n"
        f'document.getElementById("out").textContent = JSON.stringify({call});\n</script>',
        encoding="utf-8",
    )
    command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri()]
    ended = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=True)
    found = re.search(r'<pre id="out">(.*?)</pre>', ended.stdout.decode("utf-8"), re.DOTALL)
    assert found, ended.stdout[:2000]
    return json.loads(unescape(found[1]))
