"""Settings of a training from what was chosen, an official configuration, and the official defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError

from dvfl_mobile.errors import UsageError
from dvfl_mobile.spelling import Option, option
from dvfl_mobile.training.official.config import OfficialConfig
from dvfl_mobile.training.settings import Augmentation, Distillation, TrainSettings, official_adamw

# Drop-path rates as the official configurations have it, by variant.
_DROP_PATH = {"nano": 0.1, "tiny": 0.2, "small": 0.3, "base": 0.5}


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What is chosen of `TrainSettings`, `Augmentation` and `Distillation`, by their fields; None leaves it open."""

    epochs: int | None = None
    warmup_epochs: int | None = None
    global_batch: int | None = None
    micro_batch: int | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    clip_gradient: float | None = None
    drop_path: float | None = None
    average: float | None = None
    patience: int | None = None
    precision: str | None = None
    seed: int | None = None
    crop_area: tuple[float, float] | None = None
    flip: float | None = None
    jitter: float | None = None
    grey: float | None = None
    mixup: float | None = None
    cutmix: float | None = None
    label_smoothing: float | None = None
    temperature: float | None = None
    weight: float | None = None
    loss: str | None = None


def chosen_settings(
    choices: Choices, official: OfficialConfig | None, *, model: str, processes: int, distils: bool
) -> TrainSettings:
    """The settings: what was chosen, else what the configuration says, else the official defaults.

    Args:
        choices: a `clip_gradient` of 0 clips none.
        distils: whether there is a teacher.

    Raises:
        UsageError: they don't go together.
    """
    asked = {name: value for name, value in vars(choices).items() if value is not None}
    base = dict(official.settings) if official is not None else _defaults(asked, model)
    if official is not None:
        base |= {"micro_batch": official.process_batch[0], "global_batch": official.global_batch(processes)}
    augmentation = {**base.pop("augmentation", {}), **_of(Augmentation, asked)}
    distillation = {**base.pop("distillation", {}), **_of(Distillation, asked)}
    fields = {**base, **_of(TrainSettings, asked)}
    if fields.get("clip_gradient") == 0:
        fields["clip_gradient"] = None
    if "epochs" in asked and "warmup_epochs" not in asked:
        # The official share of a training, where that is made shorter or longer.
        fields["warmup_epochs"] = int(fields["epochs"]) // 6
    try:
        return TrainSettings(
            **fields,
            augmentation=Augmentation(**augmentation),
            distillation=Distillation(**distillation) if distils else None,
        )
    except ValidationError as error:
        problem = error.errors()[0]
        where = "".join(f"{_named(str(part))}: " for part in problem["loc"][:1])
        raise UsageError(f"{where}{problem['msg'].removeprefix('Value error, ')}.") from error


def _named(field: str) -> str:
    name = next((name for name in get_args(Option) if name == field), None)
    return field if name is None else option(name)


def _defaults(asked: Mapping[str, Any], model: str) -> dict[str, Any]:
    chosen: dict[str, Any] = official_adamw() if asked.get("optimizer") == "adamw" else {}
    return {"drop_path": _DROP_PATH.get(model, 0.1), **chosen}


def _of(part: type[Augmentation | Distillation | TrainSettings], asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if name in part.model_fields}
