"""Conditions on single operators, by the published rules of TFLite's GPU delegate: see `rules`.

Each function gives the reason why an operator is refused, and nothing where it isn't.
"""

from __future__ import annotations

from dvfl_mobile.gpu_delegate.codes import SIGN_BIT
from dvfl_mobile.gpu_delegate.graph import Operator, Tensor

RANK = 4
"""The most dimensions that a tensor may have."""


def one_computed(operator: Operator) -> str:
    """One input that isn't constant, and one output."""
    return _count_problem(operator, 1)


def unary(operator: Operator) -> str:
    """As `one_computed`, with nothing constant."""
    return _count_problem(operator, 1, constant=0)


def binary(operator: Operator) -> str:
    """Two operands, of which one may be constant."""
    problems = (_count_problem(operator, 2, constant=0), _count_problem(operator, 1, constant=1))
    return "" if "" in problems else f"{len(operator.given)} inputs, or of the wrong kinds"


def binary_with_activation(operator: Operator) -> str:
    """As `binary`, with an activation within it."""
    return binary(operator) or _activation_problem(operator)


def two_inputs(operator: Operator) -> str:
    """Exactly two inputs, of whichever kind."""
    is_two = len(operator.inputs) == len(operator.given) == 2
    return "" if is_two else f"{len(operator.given)} inputs in place of 2"


def add(operator: Operator) -> str:
    """Two inputs whose shapes go together."""
    return two_inputs(operator) or _broadcast_problem(*operator.given)


def mul(operator: Operator) -> str:
    """As `add`, with an activation within it."""
    return add(operator) or _activation_problem(operator)


def matmul(operator: Operator) -> str:
    """Two inputs and one output."""
    return two_inputs(operator) or ("" if len(operator.outputs) == 1 else "more than one output")


def convolution(operator: Operator) -> str:
    """Weights, constant or computed, and steps above zero."""
    return transposed(operator) or _activation_problem(operator)


def transposed(operator: Operator) -> str:
    """As `convolution`, without an activation."""
    computed = _computed(operator)
    if not 1 <= computed <= 2:
        return f"{computed} computed inputs in place of 1 or 2"
    if len(operator.outputs) != 1:
        return f"{len(operator.outputs)} outputs in place of 1"
    return "no weights" if len(operator.given) < 2 else _steps_problem(operator)


def depthwise(operator: Operator) -> str:
    """As `convolution`, with shapes that fit its depth multiplier."""
    if problem := convolution(operator):
        return problem
    source, weight, result = operator.given[0], operator.given[1], operator.outputs[0]
    if any(len(tensor.shape) != RANK for tensor in (source, weight, result)):
        return f"a tensor that isn't of rank {RANK}"
    if source.shape[0] != result.shape[0]:
        return f"a batch of {source.shape[0]} before it and {result.shape[0]} behind"
    multiplier = int(operator.option("depth_multiplier"))
    if weight.shape[3] != result.shape[3] or result.shape[3] != source.shape[3] * multiplier:
        return f"channels that don't fit its depth multiplier of {multiplier}"
    # One that is listed and not given counts as a scalar there.
    sizes = [1 if bias is None else bias.elements for bias in operator.inputs[2:3]]
    return "a bias of another size than its output" if sizes not in ([], [result.shape[3]]) else ""


def pool(operator: Operator) -> str:
    """One computed input, with steps and windows above zero."""
    return _count_problem(operator, 1) or _steps_problem(operator) or _activation_problem(operator)


def fully_connected(operator: Operator) -> str:
    """A computed input, and at most one more: the weights."""
    if operator.option("weights_format"):
        return "weights in another order than the default"
    if _computed(operator) > 2:
        return f"{_computed(operator)} computed inputs, and the delegate takes 2 at most"
    first = operator.inputs[0] if operator.inputs else None
    if first is None or first.is_constant:
        return "no computed input"
    if not operator.outputs:
        return "no output"
    if operator.option("keep_num_dims") and len(first.shape) != len(operator.outputs[0].shape):
        return "another rank behind it, which it is to keep"
    return ""


def reduction(operator: Operator) -> str:
    """A computed input, and constant axes."""
    if problem := _count_problem(operator, 1, constant=1):
        return problem
    axes = operator.given[1]
    return "" if axes.is_constant and axes.type == "int32" else "axes that aren't constant int32"


def gather(operator: Operator) -> str:
    """A vector of indices."""
    if problem := binary(operator):
        return problem
    indices = operator.given[1]
    return "" if len(indices.shape) == 1 and indices.type == "int32" else "indices that aren't a vector of int32"


def cumsum(operator: Operator) -> str:
    """Floats, along a constant axis."""
    if problem := two_inputs(operator):
        return problem
    source, axis = operator.given
    if not axis.is_constant or axis.type != "int32":
        return "an axis that isn't constant int32"
    fits = source.type in ("float16", "float32") and [tensor.type for tensor in operator.outputs] == [source.type]
    return "" if fits else "values that aren't floats"


def sliced(operator: Operator) -> str:
    """Three inputs, the first of rank 3 or 4."""
    return _parts_problem(operator, 3)


def strided_slice(operator: Operator) -> str:
    """As `sliced`, with strides, and without masks that change the rank."""
    masks = ("ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    return next((f"an {name}" for name in masks if operator.option(name)), "") or _parts_problem(operator, 4)


def softmax(operator: Operator) -> str:
    """No temperature."""
    beta = operator.option("beta")
    return "" if beta == 1 else f"a beta of {beta:g} in place of 1"


def blocks(operator: Operator) -> str:
    """Blocks of more than one."""
    size = int(operator.option("block_size"))
    return _count_problem(operator, 1) or ("" if size > 1 else f"a block of {size}")


def pad(operator: Operator) -> str:
    """Paddings of 3 or 4 dimensions; mirrored ones by reflection."""
    if operator.option("mode"):
        return "another mirroring than by reflection"
    if problem := _count_problem(operator, 1):
        return problem
    amounts = operator.inputs[1] if len(operator.inputs) > 1 else None
    fits = amounts is not None and amounts.shape in ((3, 2), (4, 2))
    return "" if fits else "paddings that aren't of 3 or 4 dimensions"


def resize(operator: Operator) -> str:
    """One input, and one way of placing pixels."""
    both = operator.option("align_corners") and operator.option("half_pixel_centers")
    return _count_problem(operator, 1) or ("both align_corners and half_pixel_centers" if both else "")


def dequantize(operator: Operator) -> str:
    """One input and one output, not of int16."""
    if len(operator.given) != 1 or len(operator.outputs) != 1:
        return "more than one input or output"
    return "values in int16" if operator.given[0].type == "int16" else ""


def _computed(operator: Operator) -> int:
    """How many inputs are computed, and not constant."""
    return sum(not tensor.is_constant for tensor in operator.given)


def _count_problem(operator: Operator, computed: int, constant: int | None = None) -> str:
    """One output, so many computed inputs, and so many constant ones where that is asked."""
    found = _computed(operator)
    if constant is not None and len(operator.given) - found != constant:
        return f"{len(operator.given) - found} constant inputs in place of {constant}"
    if found != computed:
        return f"{found} computed inputs in place of {computed}"
    return "" if len(operator.outputs) == 1 else f"{len(operator.outputs)} outputs in place of 1"


def _activation_problem(operator: Operator) -> str:
    """Only one is refused: TFLite takes a number that it doesn't know for none."""
    return "the activation sign_bit within it" if operator.option("activation") == SIGN_BIT else ""


def _broadcast_problem(one: Tensor, other: Tensor) -> str:
    """Tensors of other ranks than each other must be of few kinds; a vector or a scalar goes with anything."""
    longer, shorter = sorted((one.shape, other.shape), key=len, reverse=True)
    if len(longer) == len(shorter) or len(shorter) < 2:
        return ""
    fits = len(longer) == RANK and (
        (len(shorter) == 3 and longer[0] == 1)
        or (shorter == (1, 1) and longer[0] == 1)
        or (len(shorter) == 2 and longer[0] == shorter[0] and longer[3] == shorter[1])
    )
    return "" if fits else f"ranks {len(longer)} and {len(shorter)} whose sides don't go together"


def _steps_problem(operator: Operator) -> str:
    """Strides, dilations and the sides of windows must be above zero."""
    found = operator.options or {}
    steps = (name for name in found if name.endswith(("_w", "_h")))
    return next((f"{name} is {found[name]:g}" for name in steps if found[name] <= 0), "")


def _parts_problem(operator: Operator, least: int) -> str:
    if len(operator.given) < least:
        return f"{len(operator.given)} inputs in place of {least}"
    rank = len(operator.given[0].shape)
    return "" if rank in (3, 4) else f"an input of rank {rank}, and only 3 and 4 are taken"
