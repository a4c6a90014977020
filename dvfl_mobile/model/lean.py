"""Exports without what torch does again and again to no effect: on its way, a graph is traced some hundred times.

Written against torch 2.13, which executorch pins. Where a later one has no such function, nothing happens; and
`tests/contract/test_lean.py` then says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock


@contextmanager
def lean_exports() -> Iterator[None]:
    """Within the block, torch's exports and passes over graphs take fewer steps, to the same end.

    - Each copy of a node takes along where it came from, through all passes before, and copies that chain deeply:
      nothing changes a link of it, so that copies may have it in common.
    - Each decomposition asks the dispatcher for every operator there is, once for each of some 30 namespaces: no
      operator comes into being on the way.
    """
    from torch._export import utils
    from torch.fx import traceback

    with (
        mock.patch.object(traceback.NodeSource, "__deepcopy__", _itself, create=True),
        mock.patch.object(utils, "_materialize_cpp_cia_ops", _once(getattr(utils, "_materialize_cpp_cia_ops", None))),
    ):
        yield


def _itself(link: Any, _memo: object) -> Any:
    return link


def _once(function: Any) -> Any:
    """A function that calls another the first time, and never again."""
    waiting = [function] if function is not None else []

    def call() -> None:
        while waiting:
            waiting.pop()()

    return call
