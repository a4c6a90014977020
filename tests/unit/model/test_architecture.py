"""What an architecture refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dvfl_mobile.model.architecture import Architecture


@pytest.mark.parametrize(
    "fields",
    [
        {"focal_windows": (3, 3, 4, 3)},
        {"focal_windows": (3, 3, 4, 3), "focal_levels": (1, 1, 1, 1)},
        {"focal_factor": 1},
        {"focal_factor": 3, "focal_levels": (1, 1, 1, 2)},
    ],
    ids=str,
)
def test_an_even_focal_kernel_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="every focal kernel must be of odd size"):
        Architecture(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"focal_windows": (1, 3, 5, 7)},
        {"focal_factor": 0},
        {"focal_factor": 4},
        # Of one level a stage, nothing grows.
        {"focal_factor": 3, "focal_levels": (1, 1, 1, 1)},
    ],
    ids=str,
)
def test_odd_focal_kernels_are_taken(fields: dict[str, Any]) -> None:
    architecture = Architecture(**fields)
    assert all(size % 2 for stage in range(4) for size in architecture.kernel_sizes(stage))
