"""Core ML programs of one operator or of a few, built with coremltools, saved, and run by the executor.

What to expect is written in numpy, by the published definitions: the docstrings of coremltools'
`converters/mil/mil/ops/defs`, and where they leave something open, `mlmodel/format/NeuralNetwork.proto` and the values
that Apple's own tests expect of its runtime (`converters/mil/mil/ops/tests`, both in the repository apple/coremltools).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.threads import threads

# One operator of float32 against float64: its own rounding, and that of a few partial sums.
ROUNDED = 2e-6
# A float16 has 11 bits: half of the last one.
HALF = 2.0**-11

Outputs = tuple[np.ndarray, ...]
Pads = list[tuple[int, int]]


class _Lazy:
    """An attribute of coremltools by its name: importing it takes seconds, which the rest of the suite doesn't owe."""

    def __init__(self, module: str, name: str) -> None:
        self._module, self._name = module, name

    def __getattr__(self, name: str) -> Any:
        pytest.importorskip("coremltools", reason="programs are built with coremltools")
        module = __import__(self._module, fromlist=[self._name])
        return getattr(getattr(module, self._name), name)


mb = _Lazy("coremltools.converters.mil", "Builder")
types = _Lazy("coremltools.converters.mil.mil", "types")


def run(body: Callable[..., Any], *inputs: np.ndarray, opset: str = "iOS15") -> np.ndarray:
    """The only output of the program that `body` builds of its inputs, run on `inputs`."""
    (output,) = run_all(body, *inputs, opset=opset)
    return output


def run_all(body: Callable[..., Any], *inputs: np.ndarray, opset: str = "iOS15") -> Outputs:
    """All outputs, in the order in which `body` returns them."""
    with tempfile.TemporaryDirectory() as folder:
        model = convert(body, inputs, opset, Path(folder) / "model.mlpackage")
        return run_model(model, *inputs)


def convert(body: Callable[..., Any], inputs: Iterable[np.ndarray], opset: str, package: Path) -> Any:
    """The program as it was built, saved in `package`; no pass of the main pipeline may fold or change it."""
    ct = pytest.importorskip("coremltools", reason="programs are built with coremltools")
    target = getattr(ct.target, opset)
    specs = [mb.TensorSpec(shape=x.shape, dtype=types.numpy_type_to_builtin_type(x.dtype)) for x in inputs]
    return ct.convert(
        mb.program(input_specs=specs, opset_version=target)(body),
        convert_to="mlprogram",
        minimum_deployment_target=target,
        compute_precision=ct.precision.FLOAT32,
        pass_pipeline=ct.PassPipeline.EMPTY,
        skip_model_load=True,
        package_dir=str(package),
    )


def run_model(model: Any, *inputs: np.ndarray) -> Outputs:
    """What the executor makes of the saved package of an `MLModel`; skipped if an operator isn't in its table."""

    from dvfl_mobile.mil.executor import MilExecutor

    description = model.get_spec().description
    skip_unless_known(operator for function in model._mil_program.functions.values() for operator in names_of(function))
    executor = MilExecutor(Path(model.package_path))
    given = {of.name: carried(x).copy() for of, x in zip(description.input, inputs, strict=True)}
    with threads(1):
        outputs = executor.run(given)
        kept = {name: array.copy() for name, array in outputs.items()}
        for array in outputs.values():
            array[...] = 1
        again = executor.run(given)
    for of, x in zip(description.input, inputs, strict=True):
        np.testing.assert_array_equal(
            given[of.name], carried(x), "a run changes its input, or shares it with an output"
        )
    assert again.keys() == kept.keys() == {of.name for of in description.output}
    for name, array in kept.items():
        np.testing.assert_array_equal(again[name], array, "a second run gives something else")
    return tuple(kept[of.name] for of in description.output)


def names_of(block: Any) -> Iterator[str]:
    """The operators of a block, and of the blocks within them."""
    for operation in block.operations:
        yield operation.op_type
        for inner in operation.blocks:
            yield from names_of(inner)


def skip_unless_known(operators: Iterable[str]) -> None:
    from dvfl_mobile.mil.operators import OPERATORS

    left_out = sorted({name for name in operators if name not in OPERATORS and name not in STRUCTURE})
    if left_out:
        pytest.skip(f"the executor leaves out {', '.join(left_out)}")


# Not operators of a table, perhaps: constants, and what holds blocks.
STRUCTURE = {"const", "cond", "while_loop"}


def carried(array: np.ndarray) -> np.ndarray:
    """An array as Core ML's interface carries it: truth as float32, every kind of integer as int32."""
    if array.dtype == bool:
        return array.astype(np.float32)
    return array.astype(np.int32) if np.issubdtype(array.dtype, np.integer) else array


def assert_same(got: np.ndarray, expected: Any, dtype: Any = None) -> None:
    """Each value is exactly the expected one, and the type is that of `expected` at the interface, or `dtype`."""
    wanted = carried(np.asarray(expected, dtype=dtype))
    assert got.dtype == wanted.dtype
    assert got.shape == wanted.shape
    np.testing.assert_array_equal(got, wanted)


def assert_close(got: np.ndarray, expected: Any, dtype: Any = np.float32, within: float | None = None) -> None:
    """Each value is the expected one but for rounding, relative to the largest expected one."""
    wanted = np.asarray(expected, dtype=np.float64)
    assert got.dtype == dtype
    assert got.shape == wanted.shape
    finite = np.isfinite(wanted)
    np.testing.assert_array_equal(got[~finite], wanted[~finite])
    allowed = (ROUNDED if dtype == np.float32 else HALF) if within is None else within
    largest = float(np.abs(wanted[finite]).max(initial=1e-30))
    np.testing.assert_allclose(got[finite].astype(np.float64), wanted[finite], rtol=0, atol=allowed * largest)


def floats(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Values from -2 to 2, no two the same in a small tensor."""
    return np.random.default_rng(seed).uniform(-2, 2, shape).astype(dtype)


def counted(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    """1, 2, 3, …: each value tells where it came from."""
    return np.arange(1, int(np.prod(shape)) + 1).reshape(shape).astype(dtype)


def pads_of(kind: str, sizes: Any, kernel: Any, strides: Any, dilations: Any, custom: Any = None) -> Pads:
    """Padding before and after, by NeuralNetwork.proto's SamePadding: `same` puts the odd one below or right."""
    pads = []
    for i, size in enumerate(sizes):
        if kind == "custom":
            pads.append((custom[2 * i], custom[2 * i + 1]))
            continue
        reach = (kernel[i] - 1) * dilations[i] + 1
        out = -(-size // strides[i])
        total = 0 if kind == "valid" else max(0, (out - 1) * strides[i] + reach - size)
        half, more = total // 2, total - total // 2
        pads.append((more, half) if kind == "same_lower" else (half, more))
    return pads


def grid(mode: str, x_in: float, x_out: int) -> np.ndarray:
    """Where each of `x_out` points lies on [0, x_in - 1], by the docstring of `resize_bilinear`."""
    i = np.arange(x_out)
    if mode == "ALIGN_CORNERS" and x_out == 1:
        return np.array([(x_in - 1) / 2])
    if mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        points = i * ((x_in - 1) / max(1, x_out - 1))
    elif mode == "DEFAULT":
        points = i * (x_in / x_out)
    elif mode == "OFFSET_CORNERS":
        points = (0.5 + i) * max(1, x_in - 1) / x_out
    else:
        points = i * (x_in / x_out) + 0.5 * (x_in / x_out) - 0.5
    return np.clip(points, 0, x_in - 1)
