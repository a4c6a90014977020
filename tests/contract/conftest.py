"""One conversion of a small student for each target and recipe, made when a test first asks and shared by all."""

from __future__ import annotations

import pytest

from tests.conversions import Make, shared_conversions


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A function that gives the small student's artifact for a target and a recipe."""
    return shared_conversions(tmp_path_factory)


@pytest.fixture(autouse=True)
def _warm_children(request: pytest.FixtureRequest) -> None:
    """But for tests with `cold_children`."""
    if request.node.get_closest_marker("cold_children") is None:
        request.getfixturevalue("warm_children")
