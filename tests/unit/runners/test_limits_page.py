"""What the documentation says of a child's limits."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from dvfl_mobile.artifacts import manifest, packages
from dvfl_mobile.runners.child import limits
from dvfl_mobile.runners.child.limits import DEADLINE_VARIABLE, MEMORY_VARIABLE, MIB, limits_for

PAGE = Path(__file__).parents[3] / "docs" / "untrusted.md"
NANO_BYTES = 88_800_000

pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="docs are tested from a checkout")


def test_the_page_gives_the_limits_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text(encoding="utf-8")
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    nano = limits_for(NANO_BYTES)
    for said in (
        f"| {limits.DEADLINE_S} + {limits.DEADLINE_S_PER_MIB} per MiB of the artifact's files | "
        f"{nano.deadline_s:.0f} s |",
        f"| {limits.MEMORY_MIB:,} MiB + {limits.MEMORY_PER_BYTE} bytes per byte of the files + "
        f"{limits.MEMORY_MIB_PER_CORE} MiB per core | {nano.memory_bytes // MIB:,} MiB on 2 cores |",
        f"| the same times the cores: for when the tool itself has been stopped | {2 * nano.deadline_s:.0f} s |",
        f"| {limits.WRITTEN_MIB} MiB + {limits.WRITTEN_PER_BYTE} bytes per byte of the files | "
        f"{nano.written_bytes // MIB} MiB |",
        f"may take {limits.TRACED_PER_CLIP_BYTE:,} bytes more for each byte of the clip",
        f"more than {manifest.MOST_BYTES // MIB} MiB; anything its schema",
        f"clips of more than {manifest.MOST_CLIP_BYTES // MIB} MiB; more than {packages.MOST_FILES:,} files |",
        f"more than {packages.MOST_BYTES // MIB:,} MiB; a `.mlmodel`",
        f"of more than {packages.MOST_HEADER_BYTES['.mlmodel'] // MIB} MiB, a `.json` of more than "
        f"{packages.MOST_HEADER_BYTES['.json'] // MIB} MiB |",
    ):
        assert said in page


def test_the_page_names_every_variable() -> None:
    section = PAGE.read_text(encoding="utf-8").partition("## Other limits\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(DVFL_MOBILE_\w+)`", section)) == {DEADLINE_VARIABLE, MEMORY_VARIABLE}
