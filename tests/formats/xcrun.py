"""A fake `xcrun` in a test's PATH, on a machine that says it is a Mac."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import pytest

FORMATS = Path(__file__).resolve().parent


class Xcrun:
    """What the fake is to play, and what it was asked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._play: dict[str, Any] = {"list": "devicectl_list_v3.json", "faults": {}}
        self.documents = folder / "documents"
        self.documents.mkdir()
        self.play()

    def play(self, **changes: Any) -> None:
        """Change what it plays; see `xcrun_fake.py`."""
        self._play.update(changes)
        (self._folder / "play.json").write_text(json.dumps(self._play), encoding="utf-8")

    def fault(self, command: str, fault: object) -> None:
        """What comes of a command of devicectl: an answer, `text:…` in its place, `hang` or `silent`."""
        self.play(faults={command: fault})

    @property
    def calls(self) -> list[list[str]]:
        """The arguments of every call."""
        path = self._folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def assert_nothing_runs(self) -> None:
        """No process of the fake is left; each has the folder in its environment.

        One that was killed is there until the system has had it scheduled once more, so that it is waited for. One
        that wasn't sleeps for far longer.
        """
        name = b"XCRUN_FAKE=" + os.fsencode(self._folder)
        late = time.monotonic() + 20
        while left := [entry.name for entry in Path("/proc").glob("[0-9]*") if name in _command_of(entry)]:
            assert time.monotonic() < late, f"still running: {left}"
            time.sleep(0.05)


def installed_xcrun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Xcrun:
    """Put the fake into PATH, and have this machine say that it is a Mac."""
    place = folder / "xcode"
    place.mkdir()
    program = place / "xcrun"
    # Started by another program, as xcrun starts devicectl: ending the first alone wouldn't end it.
    program.write_text(f'#!/bin/sh\n"{sys.executable}" -I -S "{FORMATS / "xcrun_fake.py"}" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XCRUN_FAKE", str(place))
    monkeypatch.delenv("DVFL_MOBILE_IOS_BUNDLE", raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    return Xcrun(place)


def _command_of(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes() if b"xcrun" in (process / "cmdline").read_bytes() else b""
    except OSError:
        return b""
