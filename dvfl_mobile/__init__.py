"""Take a DVFL-Net video action recognizer from a checkpoint to a phone: convert, check against PyTorch, ship.

The public API is what `__all__` names. Each name is imported when it is first used, so that
`import dvfl_mobile` costs nothing and loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dvfl_mobile.version import __version__ as __version__

if TYPE_CHECKING:
    from dvfl_mobile.artifacts.make import Artifact as Artifact
    from dvfl_mobile.artifacts.make import open_artifact as open_artifact
    from dvfl_mobile.artifacts.manifest import Manifest as Manifest
    from dvfl_mobile.data.clips import Clip as Clip
    from dvfl_mobile.data.clips import ClipSpec as ClipSpec
    from dvfl_mobile.data.video import read_clip as read_clip
    from dvfl_mobile.documents import Verdict as Verdict
    from dvfl_mobile.errors import DvflMobileError as DvflMobileError
    from dvfl_mobile.evaluation.document import EvaluationReport as EvaluationReport
    from dvfl_mobile.evaluation.evaluate import Question as Question
    from dvfl_mobile.evaluation.evaluate import evaluate as evaluate
    from dvfl_mobile.model.architecture import Architecture as Architecture
    from dvfl_mobile.model.checkpoint.load import load_checkpoint as load_checkpoint
    from dvfl_mobile.model.default import default_student as default_student
    from dvfl_mobile.model.deploy import DeployForm as DeployForm
    from dvfl_mobile.model.network import VideoFocalNet as VideoFocalNet
    from dvfl_mobile.model.student import Student as Student
    from dvfl_mobile.model.student import save_student as save_student
    from dvfl_mobile.parity.report import ParityReport as ParityReport
    from dvfl_mobile.pipeline.check import check as check
    from dvfl_mobile.pipeline.convert import convert as convert
    from dvfl_mobile.pipeline.deploy import deploy as deploy
    from dvfl_mobile.pipeline.plan import Plan as Plan
    from dvfl_mobile.pipeline.plan import make_plan as make_plan
    from dvfl_mobile.pipeline.prediction import Prediction as Prediction
    from dvfl_mobile.pipeline.prediction import predict as predict
    from dvfl_mobile.pipeline.quantize import QuantizePlan as QuantizePlan
    from dvfl_mobile.pipeline.quantize import quantize as quantize
    from dvfl_mobile.pipeline.summary import DeploySummary as DeploySummary
    from dvfl_mobile.quantization.graph.forms import QuantizedForm as QuantizedForm
    from dvfl_mobile.quantization.graph.stored import load_form as load_form
    from dvfl_mobile.quantization.graph.stored import save_form as save_form
    from dvfl_mobile.recipes import recipe_named as recipe_named
    from dvfl_mobile.runners.base import open_runner as open_runner

_HOMES = {
    "Architecture": "dvfl_mobile.model.architecture",
    "Artifact": "dvfl_mobile.artifacts.make",
    "Clip": "dvfl_mobile.data.clips",
    "ClipSpec": "dvfl_mobile.data.clips",
    "DeployForm": "dvfl_mobile.model.deploy",
    "DeploySummary": "dvfl_mobile.pipeline.summary",
    "DvflMobileError": "dvfl_mobile.errors",
    "EvaluationReport": "dvfl_mobile.evaluation.document",
    "Manifest": "dvfl_mobile.artifacts.manifest",
    "ParityReport": "dvfl_mobile.parity.report",
    "Plan": "dvfl_mobile.pipeline.plan",
    "Prediction": "dvfl_mobile.pipeline.prediction",
    "QuantizePlan": "dvfl_mobile.pipeline.quantize",
    "QuantizedForm": "dvfl_mobile.quantization.graph.forms",
    "Question": "dvfl_mobile.evaluation.evaluate",
    "Student": "dvfl_mobile.model.student",
    "Verdict": "dvfl_mobile.documents",
    "VideoFocalNet": "dvfl_mobile.model.network",
    "check": "dvfl_mobile.pipeline.check",
    "convert": "dvfl_mobile.pipeline.convert",
    "default_student": "dvfl_mobile.model.default",
    "deploy": "dvfl_mobile.pipeline.deploy",
    "evaluate": "dvfl_mobile.evaluation.evaluate",
    "load_checkpoint": "dvfl_mobile.model.checkpoint.load",
    "load_form": "dvfl_mobile.quantization.graph.stored",
    "make_plan": "dvfl_mobile.pipeline.plan",
    "open_artifact": "dvfl_mobile.artifacts.make",
    "open_runner": "dvfl_mobile.runners.base",
    "predict": "dvfl_mobile.pipeline.prediction",
    "quantize": "dvfl_mobile.pipeline.quantize",
    "read_clip": "dvfl_mobile.data.video",
    "recipe_named": "dvfl_mobile.recipes",
    "save_form": "dvfl_mobile.quantization.graph.stored",
    "save_student": "dvfl_mobile.model.student",
}

__all__ = [
    "Architecture",
    "Artifact",
    "Clip",
    "ClipSpec",
    "DeployForm",
    "DeploySummary",
    "DvflMobileError",
    "EvaluationReport",
    "Manifest",
    "ParityReport",
    "Plan",
    "Prediction",
    "QuantizePlan",
    "QuantizedForm",
    "Question",
    "Student",
    "Verdict",
    "VideoFocalNet",
    "check",
    "convert",
    "default_student",
    "deploy",
    "evaluate",
    "load_checkpoint",
    "load_form",
    "make_plan",
    "open_artifact",
    "open_runner",
    "predict",
    "quantize",
    "read_clip",
    "recipe_named",
    "save_form",
    "save_student",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
