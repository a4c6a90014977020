"""Passes over XNNPACK's graph, run just before ExecuTorch serializes it.

ExecuTorch offers no hook for this, so `rewriting` wraps two of its functions for the length of a lowering. It
is written against executorch 1.5, which the extra pins; `tests/contract/test_executorch_graph.py` fails when a
new release makes a pass miss.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from dvfl_mobile.converters.xnnpack.half import Halve, halve_data
from dvfl_mobile.converters.xnnpack.shorten import fold_transposes, fuse_lookups, move_later, share_conversions


@contextmanager
def rewriting(halve: Halve | None = None) -> Iterator[None]:
    """Within the block, graphs lowered to XNNPACK have their transposes folded, and are halved if asked.

    Args:
        halve: `halve_weights` or `compute_in_half`; None: neither.
    """
    from executorch.backends.xnnpack import xnnpack_preprocess

    backend, serialize = xnnpack_preprocess.XnnpackBackend, xnnpack_preprocess.serialize_xnnpack_binary
    preprocess = backend.preprocess
    halved: dict[str, str] = {}
    used: set[str] = set()

    def serialize_rewritten(graph: Any, constant_data: Any) -> Any:
        fuse_lookups(graph)
        move_later(graph)
        share_conversions(graph)
        fold_transposes(graph)
        if halve is not None:
            halved.update(halve(graph))
            used.update(constant.named_key for constant in graph.constant_data)
        return serialize(graph, constant_data)

    def preprocess_rewritten(program: Any, compile_specs: Any) -> Any:
        result = preprocess(program, compile_specs)
        if halved:
            result.data_store_output = halve_data(result.data_store_output, halved, used)
        return result

    with (
        mock.patch.object(xnnpack_preprocess, "serialize_xnnpack_binary", serialize_rewritten),
        mock.patch.object(backend, "preprocess", staticmethod(preprocess_rewritten)),
    ):
        yield
