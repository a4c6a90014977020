"""Exports of networks, made once for each network: a test of what is done with a graph needs none of its own."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from hashlib import sha256

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from dvfl_mobile.quantization.graph import graphs

exported = graphs.exported
"""The real one."""
_OF_MODULES = frozenset(vars(nn.Module()))
_remembered: dict[str, GraphModule] = {}


def remembered(form: nn.Module, shape: Sequence[int]) -> GraphModule:
    """As `graphs.exported`, but a copy of what it gave for an equal network: seconds of tracing, some hundred times."""
    key = content(form, shape)
    if key not in _remembered:
        _remembered[key] = exported(form, shape)
    return deepcopy(_remembered[key])


def content(form: nn.Module, shape: Sequence[int]) -> str:
    """The digest of all that an export depends on: every module's kind and attributes, every tensor, and the input."""
    digest = sha256(repr((tuple(shape), torch.get_num_threads())).encode())
    for name, module in form.named_modules():
        own = {key: value for key, value in vars(module).items() if key not in _OF_MODULES}
        assert not any(isinstance(value, Tensor) for value in own.values())
        digest.update(repr((name, type(module).__qualname__, module.training, sorted(own.items()))).encode())
    for name, tensor in (*form.named_parameters(), *form.named_buffers()):
        digest.update(repr((name, tensor.dtype, tuple(tensor.shape), tensor.requires_grad)).encode())
        digest.update(tensor.detach().numpy().tobytes())
    return digest.hexdigest()
