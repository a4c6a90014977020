"""Printing profiles, their history and devices: results on stdout, as tables or as JSON, and files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dvfl_mobile.cli.console import print_json, print_note

if TYPE_CHECKING:
    from rich.console import RenderableType

    from dvfl_mobile.devices.values import FoundDevice
    from dvfl_mobile.profiling.document import ProfileReport
    from dvfl_mobile.profiling.history import History


def show_devices(found: Sequence[FoundDevice], *, json: bool) -> None:
    """A line for each device."""
    from dvfl_mobile.report.profile.terminal import devices

    if json:
        print_json({"schema_version": 1, "devices": [each.model_dump(mode="json") for each in found]})
    else:
        _print(devices(found))


def show_profile(report: ProfileReport, *, json: bool, html: Path | None) -> None:
    """One profile, on however many devices."""
    from dvfl_mobile.files import write_text
    from dvfl_mobile.report.profile import html as profile_html
    from dvfl_mobile.report.profile.terminal import terminal

    try:
        if html is not None:
            write_text(html, profile_html.html(report))
            print_note(f"The report is {html}.")
    finally:  # a file that can't be written takes nothing from what was found
        if json:
            print_json(report)
        else:
            _print(terminal(report))


def show_history(history: History, *, json: bool) -> None:
    """The versions of what was profiled before."""
    from dvfl_mobile.report.profile.history import terminal

    if json:
        print_json(history)
    else:
        _print(terminal(history))


def _print(renderable: RenderableType) -> None:
    from rich.console import Console

    Console(highlight=False).print(renderable)
