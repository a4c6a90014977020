"""The calls in a pickle that are as torch.save writes them, and take no more memory than the file has.

torch takes a name of its list whatever it is called with; here each call is held against what torch.save writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from dvfl_mobile.model.checkpoint.known_names import CONFIG_NODE, NUMPY, dtype_bytes
from dvfl_mobile.model.checkpoint.pickled import PLAIN, Global, PickleProblemError, Result, Storage, is_result
from dvfl_mobile.model.wording import brief

ORDERED = "collections.OrderedDict"
COUNTER = "collections.Counter"
SET = "builtins.set"
DICTS = ("dict", ORDERED, COUNTER, CONFIG_NODE)

_ATTRIBUTED = "torch._tensor._rebuild_from_type_v2"
_ENCODE = "_codecs.encode"
_LAYOUT = "torch.serialization._get_layout"
_PARAMETER = "torch.nn.parameter.Parameter"
_QUANTIZED = "torch._utils._rebuild_qtensor"
_PLAIN_TENSORS = (
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    _QUANTIZED,
)
_TENSORS = (
    *_PLAIN_TENSORS,
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_sparse_tensor",
    "torch._utils._rebuild_nested_tensor",
    "torch._utils._rebuild_meta_tensor_no_storage",
    "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    _ATTRIBUTED,
    _PARAMETER,
)
# Encodings of text: others unpack what they are given, or look for a module by their name.
_TEXT = frozenset(("latin1", "latin-1", "utf-8", "utf8", "ascii"))
_MAX_DIMENSIONS = 16
_MATH_BITS = ("conj", "neg")


def is_usual_call(name: str, arguments: Any) -> bool:
    """Whether torch.save would write this call.

    Raises:
        PickleProblemError: it would, but for memory that the file doesn't have.
    """
    try:
        return name in NUMPY or (name in _CALLS and _CALLS[name](*arguments))
    except TypeError:
        return False


def is_usual_state(target: Any, state: Any) -> bool:
    """Whether torch.save would set this state of what a call returned; a dictionary's is for its reader to judge."""
    return isinstance(target, Result) and (target.name in NUMPY or (_is_dict(target) and isinstance(state, Result)))


def _is_dict(value: Any) -> bool:
    return is_result(value, ORDERED, COUNTER, CONFIG_NODE)


def _is_empty_call(*arguments: Any) -> bool:
    return not arguments


def _is_ordered_call(pairs: Any = None) -> bool:
    """Python 2 gave the pairs, each a list; Python 3 gives none, and sets the items."""
    if pairs is None:
        return True
    return isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], PLAIN) for pair in pairs
    )


def _is_counter_call(counts: Any = None) -> bool:
    return counts is None or is_result(counts, "dict")


def _is_set_call(items: Any = ()) -> bool:
    return isinstance(items, list | tuple) and all(isinstance(item, PLAIN) for item in items)


def _is_encode_call(text: Any, encoding: Any = "utf-8") -> bool:
    return isinstance(text, str) and encoding in _TEXT


def _is_bytearray_call(content: Any = "", encoding: Any = "latin-1") -> bool:
    return is_result(content, _ENCODE) or (isinstance(content, str) and encoding in _TEXT)


def _is_complex_call(real: Any, imaginary: Any = 0.0) -> bool:
    return isinstance(real, int | float) and isinstance(imaginary, int | float)


def _is_size_call(sizes: Any) -> bool:
    return isinstance(sizes, tuple) and len(sizes) <= _MAX_DIMENSIONS and all(map(_is_count, sizes))


def _is_device_call(kind: Any, index: Any = 0) -> bool:
    return isinstance(kind, str) and _is_count(index)


def _is_layout_call(name: Any) -> bool:
    return isinstance(name, str)


def _is_plain_parameter_call(tensor: Any = None, requires_grad: Any = True) -> bool:
    return is_result(tensor, *_TENSORS) and isinstance(requires_grad, bool)


def _is_parameter_call(tensor: Any, requires_grad: Any, hooks: Any, state: Any = None) -> bool:
    return _is_plain_parameter_call(tensor, requires_grad) and is_result(hooks, ORDERED) and _is_state(state)


def _is_old_tensor_call(storage: Any, offset: Any, size: Any, stride: Any) -> bool:
    return isinstance(storage, Storage) and _is_within(storage, storage.item_bytes, offset, size, stride)


def _is_tensor_call(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, metadata: Any = None
) -> bool:
    return (
        _is_old_tensor_call(storage, offset, size, stride)
        and isinstance(requires_grad, bool)
        and is_result(hooks, ORDERED)
        and _is_metadata(metadata)
    )


def _is_typed_tensor_call(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any, hooks: Any, dtype: Any, metadata: Any = None
) -> bool:
    item_bytes = dtype_bytes().get(dtype.name) if isinstance(dtype, Global) else None
    return (
        item_bytes is not None
        and isinstance(storage, Storage)
        and _is_within(storage, item_bytes, offset, size, stride)
        and isinstance(requires_grad, bool)
        and is_result(hooks, ORDERED)
        and _is_metadata(metadata)
    )


def _is_quantized_call(
    storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any, requires_grad: Any, hooks: Any
) -> bool:
    # torch gives memory to its whole size first, so that it must not be spread over fewer numbers than it has.
    return (
        _is_tensor_call(storage, offset, size, stride, requires_grad, hooks)
        and math.prod(size) <= storage.numel
        and isinstance(quantizer, tuple)
        and len(quantizer) > 0
        and isinstance(quantizer[0], Global)
        and all(isinstance(each, int | float | list) or _is_whole(each) for each in quantizer[1:])
    )


def _is_sparse_call(layout: Any, parts: Any) -> bool:
    """Indices and values are tensors of the file, each as large as it says: torch looks at all of them."""
    return (
        is_result(layout, _LAYOUT)
        and isinstance(parts, tuple)
        and all(_is_whole(part) or _is_size(part) or part in (True, False, None) for part in parts)
    )


def _is_nested_call(*parts: Any) -> bool:
    return len(parts) == 4 and all(map(_is_whole, parts))


def _is_meta_call(dtype: Any, size: Any, stride: Any, requires_grad: Any) -> bool:
    is_known = isinstance(dtype, Global) and dtype.name in dtype_bytes()
    return is_known and _is_size(size) and _is_size(stride) and isinstance(requires_grad, bool)


def _is_device_tensor_call(tensor: Any, dtype: Any, device: Any, requires_grad: Any) -> bool:
    is_known = isinstance(dtype, Global) and dtype.name in dtype_bytes()
    return _is_whole(tensor) and is_known and isinstance(device, str) and isinstance(requires_grad, bool)


def _is_attributed_call(function: Any, kind: Any, arguments: Any, state: Any) -> bool:
    """A tensor that somebody gave attributes to."""
    return (
        isinstance(function, Global)
        and function.name in _TENSORS
        and function.name != _ATTRIBUTED
        and isinstance(kind, Global)
        and kind.name in ("torch.Tensor", _PARAMETER)
        and isinstance(arguments, tuple)
        and is_usual_call(function.name, arguments)
        and _is_state(state)
    )


def _is_within(storage: Storage, item_bytes: int, offset: Any, size: Any, stride: Any) -> bool:
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and len(size) == len(stride) <= _MAX_DIMENSIONS):
        return False
    if not all(map(_is_count, (offset, *size, *stride))):
        return False
    last = offset + sum((count - 1) * step for count, step in zip(size, stride, strict=True))
    if 0 not in size and (last + 1) * item_bytes > storage.size_bytes:
        raise PickleProblemError(
            f"a tensor in it, {'x'.join(map(str, size)) or '1'}, claims more than the "
            f"{storage.size_bytes // item_bytes:,} numbers that are kept for it under {brief(storage.key)}"
        )
    return True


def _is_whole(tensor: Any) -> bool:
    """Whether it is a tensor that isn't spread over fewer numbers than it has: it will be copied, or gone through."""
    return is_result(tensor, *_PLAIN_TENSORS) and math.prod(tensor.arguments[2]) <= tensor.arguments[0].numel


def _is_size(value: Any) -> bool:
    return _is_size_call(value) or is_result(value, "torch.Size")


def _is_metadata(value: Any) -> bool:
    """Whether numbers are to be read as conjugates or negatives."""
    if value is None:
        return True
    return is_result(value, "dict") and all(
        key in _MATH_BITS and isinstance(bit, bool)
        for key, bit in zip(value.entries[::2], value.entries[1::2], strict=True)
    )


def _is_state(value: Any) -> bool:
    """Attributes that stand in the place of none that a tensor has."""
    parts = value if isinstance(value, tuple) and len(value) == 2 else (value,)
    return all(
        part is None
        or (
            is_result(part, "dict", ORDERED)
            and all(isinstance(key, str) and not hasattr(torch.nn.Parameter, key) for key in part.entries[::2])
        )
        for part in parts
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**62


_CALLS: Mapping[str, Callable[..., bool]] = {
    ORDERED: _is_ordered_call,
    COUNTER: _is_counter_call,
    CONFIG_NODE: _is_empty_call,
    SET: _is_set_call,
    _ENCODE: _is_encode_call,
    "builtins.bytearray": _is_bytearray_call,
    "builtins.complex": _is_complex_call,
    "torch.Size": _is_size_call,
    "torch.device": _is_device_call,
    _LAYOUT: _is_layout_call,
    _PARAMETER: _is_plain_parameter_call,
    "torch._utils._rebuild_tensor": _is_old_tensor_call,
    "torch._utils._rebuild_tensor_v2": _is_tensor_call,
    "torch._utils._rebuild_tensor_v3": _is_typed_tensor_call,
    "torch._utils._rebuild_parameter": lambda *arguments: len(arguments) == 3 and _is_parameter_call(*arguments),
    "torch._utils._rebuild_parameter_with_state": _is_parameter_call,
    _QUANTIZED: _is_quantized_call,
    "torch._utils._rebuild_sparse_tensor": _is_sparse_call,
    "torch._utils._rebuild_nested_tensor": _is_nested_call,
    "torch._utils._rebuild_meta_tensor_no_storage": _is_meta_call,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _is_device_tensor_call,
    _ATTRIBUTED: _is_attributed_call,
}
