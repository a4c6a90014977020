"""An adb in which one phone is ready, `ABC`, and whose `reverse` leaves a file, `led`, for as long as a port leads."""

from __future__ import annotations

from pathlib import Path

import pytest

from dvfl_mobile.devices.android.adb import VARIABLE

_TEXT = """#!/bin/sh
cd {folder}
case "$*" in
    "devices -l") printf 'List of devices attached\\nABC device usb:1-1\\n' ;;
    *"reverse --list") sed 's/^/UsbFfs /' led ;;
    *"reverse --remove"*) rm led ;;
    *" reverse "*) echo "$4 $5" > led ;;
esac
"""


def use_leading_adb(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put it in adb's place; the path of its file."""
    program = folder / "adb"
    program.write_text(_TEXT.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    return folder / "led"
