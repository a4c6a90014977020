"""litert-torch's passes over a graph, without the one that the lowering repeats.

Written against litert-torch 0.10, which the extra pins.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def traced_by_the_lowering_alone() -> Iterator[None]:
    """Within the block, a graph isn't traced anew once its layout has been chosen: the lowering begins with that, and
    what lies between the two sees no difference in our graphs. `tests/contract/test_lean.py` holds that.
    """
    from litert_torch._convert.fx_passes import CanonicalizePass
    from litert_torch.fx_infra import ExportedProgramPassResult

    def call(_pass: Any, program: Any) -> Any:
        return ExportedProgramPassResult(program, False)

    with mock.patch.object(CanonicalizePass, "call", call):
        yield
