"""Students and quantized forms by their one interface, and names of classes that nobody named."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dvfl_mobile.errors import UsageError
from dvfl_mobile.model.class_names import are_numbered, numbered_names
from dvfl_mobile.model.deploy import DeployForm
from dvfl_mobile.model.student import save_student
from dvfl_mobile.pipeline.load import check_scales
from dvfl_mobile.quantization.graph.forms import freeze
from dvfl_mobile.quantization.lowerable import Lowerable, load_lowerable
from dvfl_mobile.quantization.settings import Quantization
from dvfl_mobile.recipes import RECIPES
from dvfl_mobile.targets import TARGETS
from tests.quantized import small_form, small_student

STATIC = RECIPES["static_wi8_ai8"]


def test_a_student_is_its_own_and_has_no_scales() -> None:
    model: Lowerable = small_student()
    assert model.student is model
    assert (model.quantization, model.warnings) == (None, ())
    assert isinstance(model.to_lower(TARGETS["tflite"], "fp32"), DeployForm)
    with pytest.raises(UsageError, match="needs scales"):
        check_scales(model, STATIC)


def test_a_quantized_form_has_the_student_its_scales_were_found_for() -> None:
    model: Lowerable = small_form()
    assert model.quantization is not None
    assert model.quantization.scales
    assert model.warnings == model.quantization.warnings
    check_scales(model, STATIC)
    operators = {str(node.target) for node in model.to_lower(TARGETS["executorch"], "static_wi8_ai8").graph.nodes}  # type: ignore[union-attr]
    assert any("quantize_per_tensor" in name for name in operators)


def test_a_form_of_a_recipe_without_scales_is_refused_where_scales_are_needed() -> None:
    form = freeze(small_student(), Quantization(recipe="weight_only_wi8_afp32", method="none"))
    assert (form.quantization, form.warnings) == (None, ())
    with pytest.raises(UsageError, match="needs scales"):
        check_scales(form, STATIC)


def test_the_file_tells_which_of_both_it_holds(written_form: Path, tmp_path: Path) -> None:
    save_student(small_student(), tmp_path / "student.safetensors")
    assert load_lowerable(tmp_path / "student.safetensors").quantization is None
    found = load_lowerable(written_form)
    assert found.quantization == small_form().quantization
    ours, theirs = found.student.network.state_dict(), small_form().student.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_numbered_names_are_distinguished_from_others() -> None:
    assert numbered_names(2) == ("class_0", "class_1")
    assert are_numbered(["class_0", "class_1"])
    assert not are_numbered(["class_1", "class_0"])
    assert not are_numbered(["class_0", "Basketball"])
