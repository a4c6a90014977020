"""Make docs/images/deploy.svg of a real run: `dvfl-mobile deploy` of the default student, on this machine.

    python docs/scripts/picture_deploy.py

What it prints on a terminal is shown up to the place of the artifacts; what was recorded of the default student follows
there, and stands in docs/deploy.md.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

PICTURE = Path(__file__).parents[1] / "images" / "deploy.svg"
COLUMNS = 76
LAST = "Written to"
_THEME = TerminalTheme(
    (27, 31, 35),
    (225, 228, 232),
    [
        (139, 148, 158),
        (249, 117, 131),
        (133, 232, 157),
        (255, 234, 127),
        (121, 184, 255),
        (179, 146, 240),
        (57, 197, 207),
        (209, 213, 218),
    ],
)


def run() -> tuple[str, str]:
    """What `deploy` printed on a terminal of its own, with its colours, and what it said of its progress."""
    keeper, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "-m", "dvfl_mobile", "deploy"]
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as progress:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=terminal, stderr=progress)
        os.close(terminal)
        printed = b"".join(iter(lambda: _read(keeper), b""))
        code = process.wait()
        progress.seek(0)
        said = progress.read()
    if code:
        raise SystemExit(f"deploy ended with {code}:\n{said}")
    return printed.decode(), said


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says that the other end is closed by an error.
        return b""


def draw(printed: str, said: str) -> str:
    """The picture, without any font from elsewhere: the reader's own monospaced one will do."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    console.print(Text.assemble(("$ ", "bright_black"), ("dvfl-mobile deploy", "bold")))
    console.print(Text(said.rstrip("\n"), "bright_black"))
    for line in printed.replace("\r\n", "\n").split("\n"):
        console.print(Text.from_ansi(line.rstrip()))
        if line.startswith(LAST):
            break
    svg = console.export_svg(title="make demo", theme=_THEME, unique_id="deploy")
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "", svg, flags=re.DOTALL).replace("Fira Code, monospace", "monospace")
    return re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE)


def main() -> None:
    """Run it, and write the picture."""
    PICTURE.write_text(draw(*run()), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
