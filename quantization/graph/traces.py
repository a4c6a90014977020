"""Exports of the deploy form: forms that differ in their weights alone are traced once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import astuple, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from dvfl_mobile.model.lean.exports import lean_exports

_OF_MODULES = frozenset(vars(nn.Module()))

# By its structure, without weights. Quantization traces one form to calibrate, to compare with float, and to write.
_last: dict[str, GraphModule] = {}


@lean_exports()
def exported(form: nn.Module, shape: Sequence[int]) -> GraphModule:
    """A graph that computes what a form computes, and holds the form's own parameters and buffers.

    Args:
        shape: (T, 3, H, W) of the input.
    """
    structure, tensors = structure_of(form, shape), _tensors(form)
    if structure in _last:
        return _with(_last[structure], tensors)
    graph: GraphModule = torch.export.export(form, (torch.zeros(tuple(shape)),)).module()
    if structure is not None and all(tensors.get(name) is tensor for name, tensor in _tensors(graph).items()):
        _last.clear()
        _last[structure] = _with(graph, {name: _nowhere(tensor) for name, tensor in tensors.items()})
    return graph


def structure_of(form: nn.Module, shape: Sequence[int]) -> str | None:
    """All that a trace depends on but the numbers in the tensors; None where that can't be said.

    Each module's kind and attributes, each tensor's type and shape, and the input's.
    """
    parts: list[object] = [tuple(shape)]
    for name, module in form.named_modules():
        own = {key: value for key, value in vars(module).items() if key not in _OF_MODULES}
        if not all(map(_is_plain, own.values())) or module._forward_hooks or module._forward_pre_hooks:
            return None
        parts.append((name, type(module).__module__, type(module).__qualname__, module.training, sorted(own.items())))
    for name, tensor in _tensors(form).items():
        parts.append((name, tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.requires_grad))
    return repr(parts)


def _is_plain(value: Any) -> bool:
    """Whether two values are alike where they are written alike."""
    if is_dataclass(value) and not isinstance(value, type):
        return _is_plain(astuple(value))
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _with(graph: GraphModule, tensors: Mapping[str, Tensor]) -> GraphModule:
    """A copy of a graph, with other tensors in the place of its own."""
    return deepcopy(graph, {id(tensor): tensors[name] for name, tensor in _tensors(graph).items()})


def _nowhere(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
