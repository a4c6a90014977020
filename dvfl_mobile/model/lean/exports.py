"""Exports without what torch does again and again to no effect: on its way, a graph is traced some hundred times.

Written against torch 2.13, which executorch pins. Where a later one has no such function, an export ends with an
`AttributeError` that names it; where it only does something else, `tests/contract/test_lean.py` says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from dvfl_mobile.model.lean.garbage import looked_for_seldom, not_looked_for_in_what_is_there
from dvfl_mobile.model.lean.lazily import code_when_it_is_asked_for

QUANTIZED = "quantized_decomposed"
"""The namespace of the operators by which a graph quantizes and dequantizes."""


@contextmanager
def lean_exports() -> Iterator[None]:
    """Within the block, torch's exports and passes over graphs take fewer steps, to the same end.

    - Each copy of a node takes along where it came from, through all passes before, and copies that chain deeply:
      nothing changes a link of it, so that copies may have it in common.
    - Each decomposition asks the dispatcher for every operator there is, once for each of some 30 namespaces: no
      operator comes into being on the way.
    - A graph becomes Python code anew after each pass, which nobody runs: it does when somebody asks.
    - Of an operator that isn't torch's own, the shape and the type of the result are worked out anew on each pass: what
      quantizes and dequantizes gives the same to the same, and is remembered as torch's own are.
    - Each node of each trace is given the traceback of whoever traced it, which no artifact holds.
    - Of all the objects that come into being, few are garbage, and looking for it takes the longer the more there are:
      it is looked for seldom, and not among those that were there before.
    """
    from torch._export import utils
    from torch._library import utils as library
    from torch.fx import proxy, traceback

    with (
        mock.patch.object(traceback.NodeSource, "__deepcopy__", _itself, create=True),
        mock.patch.object(utils, "_materialize_cpp_cia_ops", _once(utils._materialize_cpp_cia_ops)),
        mock.patch.object(library, "is_builtin", _or_quantizes(library.is_builtin)),
        mock.patch.object(proxy, "CapturedTraceback", _NoTraceback),
        code_when_it_is_asked_for(),
        looked_for_seldom(),
        not_looked_for_in_what_is_there(),
    ):
        yield


class _NoTraceback:
    """In place of a captured traceback: it has nothing to say."""

    @classmethod
    def extract(cls) -> _NoTraceback:
        return cls()

    def summary(self) -> None:
        return None


def _itself(link: Any, _memo: object) -> Any:
    return link


def _once(function: Any) -> Any:
    """A function that calls another the first time, and never again."""
    waiting = [function]

    def call() -> None:
        while waiting:
            waiting.pop()()

    return call


def _or_quantizes(is_builtin: Any) -> Any:
    """Whether the result of an operator may be remembered."""

    def may_be_remembered(operator: Any) -> bool:
        return is_builtin(operator) or operator.namespace == QUANTIZED

    return may_be_remembered
