"""QuantizeSummary: the document that quantizing ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from dvfl_mobile.documents import Document, Line
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.parity.measure import PooledMetrics
from dvfl_mobile.quantization.settings import CalibrationFacts, TrainingFacts, upgraded
from dvfl_mobile.version import __version__

if TYPE_CHECKING:
    from dvfl_mobile.quantization.graph.forms import QuantizedForm


class QuantizeSummary(Document):
    """What `quantize` made.

    Attributes:
        path, size_bytes: of the file, once it is written.
        products: int8 products (linear layers and convolutions).
        keep: patterns of modules that stay float besides what always does.
        per_token_scaled: linear layers that bring their tokens to one size; `levels` in schema version 1.
        near: the fake-quantized graph against the float student, on clips that neither calibration nor training saw;
            None where there are none, or where calibration was degenerate, as the notes say.
    """

    schema_version: Literal[2] = 2
    tool_version: str = __version__
    model: Line
    checkpoint: Line
    weights: Literal["checkpoint", "seeded"]
    recipe: str
    method: Literal["none", "ptq", "qat"]
    path: Line = ""
    size_bytes: int = Field(default=0, ge=0)
    products: int = Field(ge=0)
    keep: tuple[Line, ...]
    per_token_scaled: tuple[Line, ...]
    calibration: CalibrationFacts | None
    training: TrainingFacts | None
    near: PooledMetrics | None
    notes: tuple[Line, ...]

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, document: Any) -> Any:
        return upgraded(document)


def summarize_form(form: QuantizedForm, near: PooledMetrics | None) -> QuantizeSummary:
    """The summary of a form that isn't written yet."""
    settings, student = form.settings, form.student
    return QuantizeSummary(
        model=student.architecture.name,
        checkpoint=student.source.name,
        weights=student.source.kind,
        recipe=settings.recipe,
        method=settings.method,
        products=len(settings.products),
        keep=settings.keep,
        per_token_scaled=settings.per_token_scaled,
        calibration=settings.calibration,
        training=settings.training,
        near=near,
        notes=(*settings.warnings, *weights_notes(student.source.kind), *student.notes),
    )
