"""What the executor leaves out, and where it stops because a definition leaves something open: by name, and no more."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dvfl_mobile.mil.errors import MalformedError, UnknownOperatorError, UnpublishedError
from tests.mil import STRUCTURE, convert, counted, floats, mb, run

# Each of them stops at the load: a new one has to be written down here.
LEFT_OUT = {
    # Their state, or what they draw, is of the runtime.
    *("random_bernoulli", "random_categorical", "random_normal", "random_uniform", "read_state"),
    # Recurrent layers, and the lists that they are unrolled with.
    *("gru", "lstm", "rnn"),
    *("list_gather", "list_length", "list_read", "list_scatter", "list_write", "make_list"),
    "conv_quantized",
}
# coremltools' own: no program holds them.
NOT_STORED = {"_const_symbolic", "classify"}


def test_no_other_published_operator_is_left_out() -> None:
    from dvfl_mobile.mil.operators import OPERATORS

    registry = pytest.importorskip("coremltools.converters.mil.mil.ops.registry").SSAOpRegistry
    published = registry.core_ops.keys() - NOT_STORED - STRUCTURE
    assert published - OPERATORS.keys() == LEFT_OUT
    assert OPERATORS.keys() <= published


X = floats(1, 2, 4, 4)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("random_normal", lambda x: mb.add(x=x, y=mb.random_normal(shape=[1, 2, 4, 4], seed=1))),
        ("random_uniform", lambda x: mb.add(x=x, y=mb.random_uniform(shape=[1, 2, 4, 4], seed=1))),
    ],
)
def test_an_operator_that_is_left_out_stops_the_load_by_its_name(name: str, body: Any, tmp_path: Path) -> None:
    from dvfl_mobile.mil.executor import MilExecutor

    package = tmp_path / "model.mlpackage"
    convert(body, [X], "iOS15", package)
    with pytest.raises(UnknownOperatorError, match=f"model.mlpackage needs operators .*: {name}") as stopped:
        MilExecutor(package)
    assert stopped.value.unknown == (name,)
    assert ", relu, " in stopped.value.hint, "what it knows is listed"


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


# Where the docstring of an operator says nothing, contradicts itself, or says "undefined".
OPEN: dict[str, tuple[str, Any, list[np.ndarray]]] = {
    "real_div": ("iOS15", lambda x, y: mb.real_div(x=x, y=y), [ints(7), ints(2)]),
    "cast": ("iOS17", lambda x: mb.cast(x=mb.cast(x=x, dtype="int8"), dtype="int32"), [ints(128)]),
    "one_hot": ("iOS15", lambda i: mb.one_hot(indices=i, one_hot_vector_size=3), [ints(3)]),
    "local_response_norm": ("iOS15", lambda x: mb.local_response_norm(x=x, size=2), [X]),
    "layer_norm": ("iOS15", lambda x: mb.layer_norm(x=x, axes=[3, 2], gamma=floats(4, 4)), [X]),
    "upsample_bilinear": (
        "iOS16",
        lambda x: mb.upsample_bilinear(x=x, scale_factor_height=2, align_corners=True, half_pixel_centers=True),
        [X],
    ),
    "resize": (
        "iOS17",
        lambda x: mb.resize(
            x=x,
            shape=[6, 6],
            resized_dims=np.uint32(2),
            interpolation_mode="NEAREST_NEIGHBOR",
            sampling_mode="UNALIGN_CORNERS",
        ),
        [X],
    ),
}


def test_an_index_out_of_bounds_stops_by_the_operator() -> None:
    """A negative index is out of bounds from iOS 17 on."""
    with pytest.raises(MalformedError, match=r"^gather .*outside of 0 to 2"):
        run(lambda x, i: mb.gather(x=x, indices=i), counted(3), ints(-1), opset="iOS17")


@pytest.mark.parametrize("name", OPEN)
def test_what_a_definition_leaves_open_stops_by_the_operator(name: str) -> None:
    opset, body, inputs = OPEN[name]
    with pytest.raises(UnpublishedError, match=f"^{name} "):
        run(body, *inputs, opset=opset)


def test_the_docs_name_every_operator() -> None:
    from dvfl_mobile.mil.operators import KNOWN

    page = Path(__file__).parents[3] / "docs" / "coreml-executor.md"
    if not page.exists():
        pytest.skip("docs are tested from a checkout, not from an installed wheel")
    table = page.read_text(encoding="utf-8").partition("## The operators")[2].partition("Left out")[0]
    assert set(re.findall(r"`(\w+)`", table)) == KNOWN


def test_the_readme_names_every_family() -> None:
    from dvfl_mobile.mil import operators
    from dvfl_mobile.mil.operators import OPERATORS

    readme = Path(operators.__file__).parent / "README.md"
    if not readme.exists():
        pytest.skip("the README is in a checkout, not in an installed wheel")
    rows = dict(re.findall(r"^\| `(ops/\w+\.py)` \| (.*) \|$", readme.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows.keys() == {f"ops/{name}.py" for name, one in vars(operators).items() if hasattr(one, "OPERATORS")}
    # A name in a family's row is an operator, or with a star the beginning of some, and of that family.
    for file, words in rows.items():
        family = getattr(operators, Path(file).stem).OPERATORS
        for name in re.findall(r"`([\w*]+)`", words):
            assert any(re.fullmatch(name.replace("*", r"\w*"), known) for known in family), f"{file} has no {name}"
    assert sum(len(getattr(operators, Path(file).stem).OPERATORS) for file in rows) == len(OPERATORS)
