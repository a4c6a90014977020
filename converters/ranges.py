"""Measure how large the values become that a converter's graph computes, operator by operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Interpreter, Node
from torch.overrides import TorchFunctionMode

from dvfl_mobile.delegation import module_path
from dvfl_mobile.model.lean.at_once import pixels_of
from dvfl_mobile.model.lean.memory import kept_memory
from dvfl_mobile.model.lean.rounding import rounded
from dvfl_mobile.model.ranges import CONSTANT, MOST_HALF, Ranges

_NAMES = """
abs add bmm clamp conv1d conv2d conv3d div exp gelu layer_norm linear matmul maximum mean minimum mul neg pow radd
reciprocal rmul rsqrt rsub softmax sqrt square sub sum truediv
"""
_ARITHMETIC = frozenset(_NAMES.split())
"""Operators that give new values; all else moves, cuts or converts what is there."""

_MOVING = frozenset(("dequantize_per_tensor", "permute", "reshape", "view"))
"""Operators that leave every number as it is."""

_ROOT = "rsqrt"
"""Its square is the reciprocal that brings tokens to one size. No clip makes that larger than `model.rewrites` lets it
become, 2^14, which half precision holds: it isn't counted."""

Rows = dict[tuple[str, str, int], tuple[float, float | None]]
"""By operator, module, and how many like it came before: the largest value so far, and an int8 scale's reach."""


def measure_ranges(form: nn.Module, clips: Any, source: str) -> Ranges:
    """The ranges of what a target's converter lowers.

    Args:
        form: the deploy form, or the graph of it with operators that quantize.
        clips: `(N,T,3,H,W)` of 0-255 pixels.
        source: what the clips are, in words.
    """
    constants = _constants(form)
    rows: Rows = {}
    with torch.no_grad(), kept_memory():
        weights = _weights(form) if isinstance(form, GraphModule) else {}
        for clip in clips:
            pixels = pixels_of(clip)
            if isinstance(form, GraphModule):
                _Watched(form, rows).run(pixels, initial_env=dict(weights))
            else:
                with _watching(form, rows):
                    form(pixels)
    measured = ((operator, module, *found) for (operator, module, _), found in rows.items())
    return Ranges.of((*measured, *constants), len(clips), source)


def _constants(form: nn.Module) -> list[tuple[str, str, float, float | None]]:
    """The weights that half precision can't hold; the others have their sizes in what they are multiplied to."""
    named = [*form.named_parameters(), *form.named_buffers()]
    sizes = [(name, _largest(value)) for name, value in named if value.is_floating_point() and value.numel()]
    return [(CONSTANT, name.rpartition(".")[0], size, None) for name, size in sizes if size > MOST_HALF]


def _largest(value: Tensor) -> float:
    """The largest absolute value; infinite where one isn't finite."""
    given = value.detach()
    # Two passes that only read take a third of the time of `abs`, which writes a copy.
    largest = max(-float(given.amin()), float(given.amax()))
    return largest if largest == largest else float("inf")


def _weights(graph: GraphModule) -> dict[Node, Any]:
    """What doesn't depend on the clip, by node: int8 weights as floats."""
    interpreter = Interpreter(graph, garbage_collect_values=False)
    for node in graph.graph.nodes:
        if node.op == "get_attr" or (node.all_input_nodes and all(n in interpreter.env for n in node.all_input_nodes)):
            interpreter.env[node] = interpreter.run_node(node)
    return interpreter.env


class _Recorder:
    """Counts operators of a kind in a module within one run, so that each has its own row."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._seen: dict[tuple[str, str], int] = {}

    def take(self, operator: str, module: str, value: Tensor, reach: float | None = None) -> None:
        count = self._seen.get((operator, module), 0)
        self._seen[operator, module] = count + 1
        key = operator, module, count
        before = self._rows.get(key, (0.0, None))[0]
        self._rows[key] = max(before, _largest(value)), reach


class _Watched(Interpreter):
    """Runs a graph node by node. What is quantized stays float, rounded to what int8 holds."""

    def __init__(self, graph: GraphModule, rows: Rows) -> None:
        super().__init__(graph)
        self._recorder = _Recorder(rows)

    def run_node(self, n: Node) -> Any:
        name = _name(n.target)
        if name == "quantize_per_tensor":
            source, scale, zero_point, least, most = self.fetch_args_kwargs_from_env(n)[0][:5]
            reach = float(scale) * max(most - zero_point, zero_point - least)
            self._recorder.take(name, module_path(n.all_input_nodes[0]), source, reach)
            return source if _was_rounded(n) else rounded(source, float(scale), int(zero_point), least, most)
        if name == "dequantize_per_tensor":  # of integers there are only weights, and those were computed before
            return self.fetch_args_kwargs_from_env(n)[0][0]
        given = super().run_node(n)
        if _is_computed(name, given):
            sources = n.all_input_nodes
            if not (name == "mul" and len(sources) == 1 and _name(sources[0].target) == _ROOT):
                self._recorder.take(name, module_path(n), given)
        return given


def _was_rounded(node: Node) -> bool:
    """Whether a quantize reads what was rounded to the same integers, and only moved since: converters want a pair of
    operators on either side of a reshape.
    """
    source = node.all_input_nodes[0]
    while _name(source.target) in _MOVING:
        source = source.all_input_nodes[0]
    return _name(source.target) == "quantize_per_tensor" and source.args[1:] == node.args[1:]


class _Functions(TorchFunctionMode):
    """Sees each function that a form calls; `stack` holds the modules it is in."""

    def __init__(self, recorder: _Recorder, stack: list[str]) -> None:
        super().__init__()
        self._recorder, self._stack = recorder, stack
        self._root: Tensor | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = func(*args, **(kwargs or {}))
        name = _name(func)
        if _is_computed(name, given):
            if not (name == "mul" and args[0] is args[1] is self._root):
                self._recorder.take(name, self._stack[-1], given)
            self._root = given if name == _ROOT else self._root
        return given


@contextmanager
def _watching(form: nn.Module, rows: Rows) -> Iterator[None]:
    stack = [""]
    with ExitStack() as hooks:
        for path, module in form.named_modules():
            before = module.register_forward_pre_hook(lambda _module, _args, path=path: stack.append(path))
            after = module.register_forward_hook(lambda _module, _args, _given: (stack.pop(), None)[1])
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        with _Functions(_Recorder(rows), stack):
            yield


def _is_computed(name: str, given: Any) -> bool:
    """Whether an operator gave new floats."""
    return name in _ARITHMETIC and isinstance(given, Tensor) and given.is_floating_point()


def _name(function: Any) -> str:
    """`linear` of `aten::linear`; `mul` of `Tensor.__mul__`."""
    schema = getattr(function, "_schema", None)
    name = str(schema.name).split("::")[-1] if schema is not None else getattr(function, "__name__", str(function))
    return name.strip("_")
