"""The exception tree's helpers: what isn't installed is reported in one way."""

from __future__ import annotations

from importlib import import_module, metadata

import pytest

from dvfl_mobile.errors import MissingDependencyError, needs


def test_what_can_not_be_imported_names_its_extra() -> None:
    with pytest.raises(MissingDependencyError) as caught, needs("abacus", extra="tflite", why="to count"):
        import_module("no_such_abacus")
    error = caught.value
    assert (error.package, error.extra, error.exit_code) == ("abacus", "tflite", 4)
    assert error.problem == "abacus isn't installed, and this step needs it (to count)."
    assert error.hint == "Install it with: pip install 'dvfl-mobile[tflite]'"
    assert isinstance(error.__cause__, ModuleNotFoundError)


def test_so_does_a_distribution_that_is_not_there() -> None:
    with pytest.raises(MissingDependencyError, match="abacus isn't installed"), needs("abacus", extra="tflite"):
        metadata.version("no-such-abacus")


def test_any_other_error_passes_as_it_is() -> None:
    with pytest.raises(ValueError, match="own"), needs("abacus", extra="tflite"):
        raise ValueError("its own")
