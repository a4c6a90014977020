"""Classifiers: a label, text or a number, and a dictionary of probabilities, beside whatever else a program gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.mil import floats, mb

X = floats(1, 4)


def classifier(package: Path, labels: list[Any], *, precision: str = "FLOAT32", logits: bool = False) -> Any:
    """A softmax over as many inputs as there are labels, with a classifier's outputs, as coremltools makes them."""
    from dvfl_mobile.mil.executor import MilExecutor

    ct = pytest.importorskip("coremltools", reason="programs are built with coremltools")
    specs = [mb.TensorSpec(shape=(1, len(labels)))]

    def body(x: Any) -> Any:
        shifted = mb.mul(x=x, y=np.float32(2), name="logits")
        shares = mb.softmax(x=shifted, axis=-1, name="shares")
        return (shares, shifted) if logits else shares

    ct.convert(
        mb.program(input_specs=specs, opset_version=ct.target.iOS16)(body),
        convert_to="mlprogram",
        classifier_config=ct.ClassifierConfig(labels, "label", predicted_probabilities_output="shares"),
        minimum_deployment_target=ct.target.iOS16,
        compute_precision=getattr(ct.precision, precision),
        skip_model_load=True,
        package_dir=str(package),
    )
    return MilExecutor(package)


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max())
    return powers / powers.sum()


@pytest.mark.parametrize(
    "labels",
    [[3, 5, 7, 9], [0, 1, 2, 3], [-1, 2, 3, 4], [1, 2, 3, 2**40], ["a", "b", "c", "d"], [7], ["only"]],
    ids=lambda labels: str(labels[-1]),
)
def test_a_classifier_gives_its_label_and_each_label_s_probability(labels: list[Any], tmp_path: Path) -> None:
    x = X[:, : len(labels)]
    found = classifier(tmp_path / "model.mlpackage", labels).run({"x": x})
    expected = softmax(2 * x[0].astype(float))
    assert list(found) == ["label", "label_probs"]
    assert found["label"] == labels[int(expected.argmax())]
    assert list(found["label_probs"]) == labels
    assert list(found["label_probs"].values()) == pytest.approx(expected, rel=1e-5)


def test_a_number_as_label_is_of_the_type_that_the_program_declares(tmp_path: Path) -> None:
    executor = classifier(tmp_path / "model.mlpackage", [3, 5, 7, 9])
    label = executor.run({"x": X})["label"]
    assert executor.outputs[0].type.dtype.name == "int64"
    assert (label.dtype, label.shape) == (np.dtype(np.int64), ())


@pytest.mark.parametrize("labels", [[3, 5, 7, 9], ["a", "b", "c", "d"]], ids=["numbers", "text"])
def test_other_outputs_stand_beside_them(labels: list[Any], tmp_path: Path) -> None:
    found = classifier(tmp_path / "model.mlpackage", labels, precision="FLOAT16", logits=True).run({"x": X})
    assert found["logits"] == pytest.approx(2 * X, rel=1e-2)
    assert found["label"] == labels[int(X.argmax())]
