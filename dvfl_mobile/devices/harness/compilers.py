"""The compilers that build the native programs: which they are, by kind of machine, and what they are exactly."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from dvfl_mobile.errors import MissingToolError
from dvfl_mobile.files import sha256_of

_ARM64 = "linux-arm64"
_C_LIBRARY = "libc.so.6"
_INSTALL = {
    _ARM64: "On Debian and Ubuntu: apt install g++-aarch64-linux-gnu; or put one on the PATH.",
    "host": "On Debian and Ubuntu: apt install g++.",
}
_ASK_S = 60.0


def check_compilers(system: str) -> None:
    """Raise unless there are a C and a C++ compiler for a kind of machine.

    Raises:
        MissingToolError: one isn't there.
    """
    for command in _commands(system):
        name = command.split()[0]
        if shutil.which(name) is None:
            raise MissingToolError(
                f"There is no compiler {name}, and building the programs for {system} needs it.", hint=_INSTALL[system]
            )


def compilers_key(system: str) -> str:
    """What of its compilers shows in what they build: their places and versions, and the C library that is copied."""
    facts = []
    for command in _commands(system):
        name = command.split()[0]
        facts.append(f"{command}={shutil.which(name)}\n{_said(name, '--version')}")
    if system == _ARM64:
        path = Path(_said(_commands(system)[0], f"-print-file-name={_C_LIBRARY}").strip())
        facts.append(sha256_of(path) if path.is_file() else "")
    return "\n".join(facts)


def _commands(system: str) -> tuple[str, str]:
    if system == _ARM64:
        return "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-g++"
    return os.environ.get("CC", "cc"), os.environ.get("CXX", "c++")


def _said(name: str, argument: str) -> str:
    """What a compiler answers; nothing where there is none, or one that doesn't answer: what it builds then fails."""
    try:
        return subprocess.run(
            [name, argument], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ASK_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
