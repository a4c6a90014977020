"""What quantizing came to, as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from dvfl_mobile.documents import Document, Line
from dvfl_mobile.model.source import weights_notes
from dvfl_mobile.parity.measure import PooledMetrics
from dvfl_mobile.quantization.settings import CalibrationFacts, TrainingFacts
from dvfl_mobile.version import __version__

if TYPE_CHECKING:
    from dvfl_mobile.quantization.graph.forms import QuantizedForm


class QuantizeSummary(Document):
    """What `quantize` made.

    Attributes:
        path, size_bytes: of the file, once it is written.
        products: int8 products (linear layers and convolutions).
        keep: patterns of modules that stay float besides what always does.
        levels: linear layers that bring their tokens to one size.
        near: the fake-quantized graph against the float student, on training clips that calibration didn't see.
    """

    schema_version: Literal[1] = 1
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
    levels: tuple[Line, ...]
    calibration: CalibrationFacts | None
    training: TrainingFacts | None
    near: PooledMetrics | None
    notes: tuple[Line, ...]


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
        levels=settings.levels,
        calibration=settings.calibration,
        training=settings.training,
        near=near,
        notes=(*settings.warnings, *weights_notes(student.source.kind), *student.notes),
    )
