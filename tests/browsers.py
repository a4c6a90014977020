"""A real browser for tests: Chromium, unpacked or installed, and LiteRT.js, from the cache or the registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dvfl_mobile.devices.web import browser, library
from dvfl_mobile.errors import MissingDriverError
from tests.device_tools import tool


@contextmanager
def chromium() -> Iterator[Path]:
    """Chromium as the browser that is driven; the tests are skipped where it, or LiteRT.js, can't be had."""
    program = tool("chromium")
    try:
        library.library_folder()
    except MissingDriverError as error:
        pytest.skip(str(error))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(browser.BROWSER_VARIABLE, program)
        yield Path(program)
