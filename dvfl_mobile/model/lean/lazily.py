"""Graphs that become Python code when somebody asks for it, and not after each change.

torch has such graphs of its own (`torch.fx._lazy_graph_module`), but makes few of them; this makes all of them so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock


@contextmanager
def code_when_it_is_asked_for() -> Iterator[None]:
    """Within the block, `GraphModule.recompile` only notes that the code is out of date.

    It is written when the module is called, printed, pickled, or asked for its code or its `forward`, then or after
    the block.
    """
    from torch.fx.graph import _PyTreeCodeGen
    from torch.fx.graph_module import GraphModule

    recompile, code = GraphModule.recompile, GraphModule.code
    text, pickled = GraphModule.__str__, GraphModule.__reduce__

    def later(module: Any) -> Any:
        kind = type(module)
        if "_wrapped_call" not in vars(kind):  # the first time, it is also made callable
            return recompile(module)
        if isinstance(module.graph._codegen, _PyTreeCodeGen):
            module._in_spec = module.graph._codegen.pytree_info.in_spec
            module._out_spec = module.graph._codegen.pytree_info.out_spec
        kind.forward = _Forward(recompile)
        vars(module).pop("_code", None)
        module._recompile_submodules()
        return _Code(module, recompile)

    def up_to_date(module: Any) -> Any:
        if "_code" not in vars(module):
            recompile(module)
        return module

    with (
        mock.patch.object(GraphModule, "recompile", later),
        mock.patch.object(GraphModule, "code", property(lambda module: code.__get__(up_to_date(module)))),
        mock.patch.object(GraphModule, "__str__", lambda module: text(up_to_date(module))),
        mock.patch.object(GraphModule, "__reduce__", lambda module: pickled(up_to_date(module))),
    ):
        yield


class _Forward:
    """A `forward` that is written when it is looked up: whoever looks may want its parameters' names."""

    def __init__(self, recompile: Callable[[Any], Any]) -> None:
        self._recompile = recompile

    def __get__(self, module: Any, kind: type) -> Any:
        if module is None:
            return self
        self._recompile(module)
        return module.forward

    def __call__(self, module: Any, *arguments: Any, **named: Any) -> Any:
        return self.__get__(module, type(module))(*arguments, **named)


class _Code:
    """What `recompile` gives, once somebody looks at it."""

    def __init__(self, module: Any, recompile: Callable[[Any], Any]) -> None:
        self._made = partial(recompile, module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made(), name)
