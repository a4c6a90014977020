"""An environment for each foreign engine, made once from its pinned list of packages beside this file."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

from dvfl_mobile.files import sha256_of

HERE = Path(__file__).parent


def python_of(name: str, root: Path, *, borrows: bool = False) -> Path:
    """The interpreter of an environment; it is made, or made again, where it doesn't stand as its list has it.

    Args:
        name: of its list, `requirements-NAME.txt`.
        root: the folder that environments go into.
        borrows: it also sees the packages of this environment, torch among them.
    """
    listed = HERE / f"requirements-{name}.txt"
    folder, is_made_of = root / name, root / name / "made-of.txt"
    python = folder / "bin" / "python"
    found = sha256_of(listed)
    if is_made_of.is_file() and is_made_of.read_text() == found:
        return python
    venv.create(folder, clear=True, with_pip=True)
    if borrows:
        [packages] = folder.glob("lib/python*/site-packages")
        (packages / "borrowed.pth").write_text("\n".join(_own_packages()) + "\n")
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "-r", listed], check=True, stdout=sys.stderr)
    is_made_of.write_text(found)
    return python


def _own_packages() -> list[str]:
    return [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
