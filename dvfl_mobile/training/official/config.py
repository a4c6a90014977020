"""Reads the official training configurations (YAML) of DVFL-Net and Video-FocalNets.

A file names what differs from the official defaults; both are taken together here, as the official code does. What
has no counterpart is listed with the reason, never passed over. The file is a stranger's: it is read as plain values,
of a bounded size, and nothing that it names is opened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dvfl_mobile.errors import InputError, needs
from dvfl_mobile.files import read_small
from dvfl_mobile.spelling import spelled

_MOST_BYTES = 2**18
_MOST_DEPTH = 10


@dataclass(frozen=True)
class OfficialConfig:
    """An official configuration in our words.

    Attributes:
        settings: of `TrainSettings`, but for the batch, in nested dicts.
        process_batch: clips that each process takes at once, and how often before it makes a step.
        model: the published variant; None where the file describes none.
        architecture: other fields of the `Architecture`.
        data: the data set's name; None where none is given.
        frames, size, frame_interval: of the clip.
        unmapped: (key, reason) of everything in the file that has no counterpart.
    """

    settings: dict[str, Any]
    process_batch: tuple[int, int]
    model: str | None
    architecture: dict[str, Any]
    data: str | None
    frames: int | None
    size: int | None
    frame_interval: int | None
    unmapped: tuple[tuple[str, str], ...] = field(default=())

    def global_batch(self, processes: int) -> int:
        """Clips in a step of so many processes."""
        at_once, times = self.process_batch
        return at_once * times * processes


def read_official_config(path: Path) -> OfficialConfig:
    """Read an official YAML file.

    Raises:
        InputError: it can't be read, or a value isn't of its kind.
        MissingDependencyError: PyYAML isn't installed.
    """
    given = dict(_flat(_load(path)))
    values = {**_DEFAULTS, **given}
    reader = _Reader(path, values)
    name = str(values["TRAIN.OPTIMIZER.NAME"]).lower()
    if name not in ("sgd", "adamw"):
        raise InputError(f"{path}: TRAIN.OPTIMIZER.NAME is {name!r}.", hint="The official code knows sgd and adamw.")
    mixes = reader.number("AUG.MIXUP") > 0
    settings: dict[str, Any] = {
        "epochs": reader.whole("TRAIN.EPOCHS"),
        "warmup_epochs": reader.whole("TRAIN.WARMUP_EPOCHS"),
        "optimizer": name,
        "learning_rate": reader.number("TRAIN.BASE_LR"),
        "warmup_learning_rate": reader.number("TRAIN.WARMUP_LR"),
        "min_learning_rate": reader.number("TRAIN.MIN_LR"),
        "weight_decay": reader.number("TRAIN.WEIGHT_DECAY"),
        "momentum": reader.number("TRAIN.OPTIMIZER.MOMENTUM"),
        "betas": reader.pair("TRAIN.OPTIMIZER.BETAS"),
        "eps": reader.number("TRAIN.OPTIMIZER.EPS"),
        "clip_gradient": reader.number("TRAIN.CLIP_GRAD") or None,
        "drop_path": reader.number("MODEL.DROP_PATH_RATE"),
        "seed": reader.whole("SEED"),
        "augmentation": {
            "flip": reader.number("AUG.FLIP_RATIO"),
            "jitter": reader.number("AUG.COLOR_JITTER"),
            "grey": reader.number("AUG.GRAY_SCALE"),
            # Without mixup the official code does no cutmix either, and takes the other label smoothing.
            "mixup": reader.number("AUG.MIXUP"),
            "cutmix": reader.number("AUG.CUTMIX") if mixes else 0.0,
            "cutmix_share": reader.number("AUG.MIXUP_SWITCH_PROB"),
            "label_smoothing": reader.number("AUG.LABEL_SMOOTH" if mixes else "MODEL.LABEL_SMOOTHING"),
        },
    }
    if any(key.startswith("KD.") for key in given):
        settings["distillation"] = {"temperature": reader.number("KD.TEMPERATURE"), "weight": reader.number("KD.ALPHA")}
    variant = str(given.get("MODEL.TYPE", "")).removeprefix("videofocalnet_")
    architecture = {ours: reader.plain(key) for key, ours in _ARCHITECTURE.items() if key in given}
    return OfficialConfig(
        settings=settings,
        process_batch=(reader.whole("DATA.BATCH_SIZE"), max(1, reader.whole("TRAIN.ACCUMULATION_STEPS"))),
        model=variant if variant in _VARIANTS else None,
        architecture=architecture,
        data=str(given["DATA.DATASET"]) if "DATA.DATASET" in given else None,
        frames=reader.whole("DATA.NUM_FRAMES"),
        size=reader.whole("DATA.INPUT_SIZE"),
        frame_interval=reader.whole("AUG.FRAME_INTERVAL"),
        unmapped=tuple((key, _reason(key, value)) for key, value in given.items() if not _is_mapped(key, value)),
    )


_VARIANTS = ("nano", "tiny", "small", "base")

# What the official code takes for what a file leaves out, as far as it has a counterpart.
_DEFAULTS: dict[str, Any] = {
    "DATA.NUM_FRAMES": 32,
    "DATA.INPUT_SIZE": 224,
    "DATA.BATCH_SIZE": 128,
    "MODEL.DROP_PATH_RATE": 0.1,
    "MODEL.LABEL_SMOOTHING": 0.1,
    "TRAIN.EPOCHS": 300,
    "TRAIN.WARMUP_EPOCHS": 20,
    "TRAIN.WEIGHT_DECAY": 0.05,
    "TRAIN.BASE_LR": 5e-4,
    "TRAIN.WARMUP_LR": 5e-7,
    "TRAIN.MIN_LR": 5e-6,
    "TRAIN.CLIP_GRAD": 5.0,
    "TRAIN.ACCUMULATION_STEPS": 0,
    "TRAIN.OPTIMIZER.NAME": "adamw",
    "TRAIN.OPTIMIZER.EPS": 1e-8,
    "TRAIN.OPTIMIZER.BETAS": (0.9, 0.999),
    "TRAIN.OPTIMIZER.MOMENTUM": 0.9,
    "AUG.COLOR_JITTER": 0.4,
    "AUG.MIXUP": 0.8,
    "AUG.CUTMIX": 1.0,
    "AUG.MIXUP_SWITCH_PROB": 0.5,
    "AUG.GRAY_SCALE": 0.2,
    "AUG.FLIP_RATIO": 0.5,
    "AUG.FRAME_INTERVAL": 2,
    "AUG.LABEL_SMOOTH": 0.1,
    "KD.ALPHA": 0.2,
    "KD.TEMPERATURE": 10,
    "SEED": 0,
}

_ARCHITECTURE = {
    "MODEL.FOCAL.EMBED_DIM": "embed_dim",
    "MODEL.FOCAL.DEPTHS": "depths",
    "MODEL.FOCAL.MLP_RATIO": "mlp_ratio",
    "MODEL.FOCAL.PATCH_SIZE": "patch_size",
    "MODEL.FOCAL.PATCH_NORM": "patch_norm",
    "MODEL.FOCAL.FOCAL_LEVELS": "focal_levels",
    "MODEL.FOCAL.FOCAL_WINDOWS": "focal_windows",
    "MODEL.FOCAL.USE_CONV_EMBED": "use_conv_embed",
    "MODEL.FOCAL.USE_LAYERSCALE": "use_layerscale",
    "MODEL.FOCAL.USE_POSTLN": "use_postln",
    "MODEL.FOCAL.USE_POSTLN_IN_MODULATION": "use_postln_in_modulation",
    "MODEL.FOCAL.NORMALIZE_MODULATOR": "normalize_modulator",
    "MODEL.TUBELET_SIZE": "tubelet_size",
}

_ALSO_MAPPED = ("DATA.DATASET", "MODEL.TYPE", "MODEL.NAME")

_WHERE = "videos and their split are named with {data}"
_UNREAD = "the official code doesn't read it"
_REASONS = {
    "BASE": "other files aren't followed: give one that says everything",
    "DATA.ROOT": _WHERE,
    "DATA.TRAIN_FILE": _WHERE,
    "DATA.VAL_FILE": _WHERE,
    "DATA.DATA_PATH": _WHERE,
    "DATA.LABEL_LIST": "class names come from the data",
    "DATA.NUM_CLASSES": "the data says how many classes there are",
    "DATA.IMG_SIZE": "the size of a clip is DATA.INPUT_SIZE",
    "DATA.NUM_WORKERS": "threads that decode are {workers}",
    "MODEL.NUM_CLASSES": "the data says how many classes there are",
    "MODEL.DROP_RATE": "dropout isn't offered: its draws would not survive a kill",
    "MODEL.RESUME": "a training goes on by itself from the state in its folder",
    "MODEL.PRETRAINED": "weights to begin with are named with {init}",
    "TRAIN.PRETRAINED_PATH": "weights to begin with are named with {init}",
    "TRAIN.AUTO_RESUME": "a training goes on by itself from the state in its folder",
    "TRAIN.USE_CHECKPOINT": "activations aren't computed twice: lower {micro_batch} where memory is short",
    "AUG.MIXUP_PROB": _UNREAD,
    "AUG.AUTO_AUGMENT": _UNREAD,
    "AUG.REPROB": _UNREAD,
    "AUG.REMODE": _UNREAD,
    "AUG.RECOUNT": _UNREAD,
    "AUG.CUTMIX_MINMAX": _UNREAD,
    "AUG.MIXUP_MODE": _UNREAD,
    "KD.BETA": _UNREAD,
    "KD.GAMMA": _UNREAD,
    "AMP_OPT_LEVEL": "in what numbers to multiply is {precision}",
    "OUTPUT": "where to write is {out}",
    "SAVE_FREQ": "the state is kept every minute and every epoch, the best weights whenever there are better ones",
    "PRINT_FREQ": "every step is in log.jsonl",
    "EVAL_MODE": "evaluation is a command of its own: {evaluate}",
    "THROUGHPUT_MODE": "timing is a command of its own: {profile}",
}
_PREFIX_REASONS = {
    "TEACHER_MODEL.": "the teacher's checkpoint says what it is: {teacher}",
    "TEST.": "evaluation is a command of its own: {evaluate}",
    "TRAIN.LR_SCHEDULER.": "only the cosine schedule is offered",
}


def _is_mapped(key: str, value: Any) -> bool:
    if key == "TRAIN.LR_SCHEDULER.NAME":
        return value == "cosine"
    return key in _DEFAULTS or key in _ARCHITECTURE or key in _ALSO_MAPPED or (key == "BASE" and value in ([""], ""))


def _reason(key: str, value: Any) -> str:
    if key == "MODEL.DROP_RATE" and not value:
        return "no dropout, and none is offered"
    known = _REASONS.get(key)
    known = known or next((why for prefix, why in _PREFIX_REASONS.items() if key.startswith(prefix)), "not known")
    return spelled(known)


@dataclass(frozen=True)
class _Reader:
    """Values by their dotted keys, each checked to be of its kind."""

    path: Path
    values: Mapping[str, Any]

    def number(self, key: str) -> float:
        return float(self._as(key, float, "a number"))

    def whole(self, key: str) -> int:
        value = self.number(key)
        if not value.is_integer():
            raise self._wrong(key, "a whole number")
        return int(value)

    def pair(self, key: str) -> tuple[float, float]:
        value = self.values[key]
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise self._wrong(key, "two numbers")
        try:
            return float(value[0]), float(value[1])
        except (ValueError, TypeError):
            raise self._wrong(key, "two numbers") from None

    def plain(self, key: str) -> Any:
        value = self.values[key]
        return tuple(value) if isinstance(value, list) else value

    def _as(self, key: str, kind: Callable[[Any], Any], called: str) -> Any:
        # YAML 1.1 takes 1e-4 for a text; yacs, which the official code reads with, for a number.
        value = self.values[key]
        try:
            if isinstance(value, bool) or not isinstance(value, int | float | str):
                raise ValueError
            return kind(value)
        except ValueError:
            raise self._wrong(key, called) from None

    def _wrong(self, key: str, expected: str) -> InputError:
        return InputError(
            f"{self.path}: {key} is {str(self.values[key])[:60]!r}, and should be {expected}.",
            hint="Correct it, or leave it out.",
        )


def _load(path: Path) -> Mapping[str, Any]:
    with needs("PyYAML", extra="training", why="official configurations are YAML"):
        import yaml
    hint = "Give a configuration of the official code, such as configs/ucf101/video-focalnet_nano_kd.yaml."
    text = read_small(path, _MOST_BYTES, "is larger than any such file", hint=hint)
    try:
        depth = 0
        # Refused as the text is read: whoever waits for the end of it may wait for hours.
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise InputError(f"{path} refers to parts of itself, as no official configuration does.", hint=hint)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MOST_DEPTH:
                raise InputError(f"{path} is nested deeper than any official configuration.", hint=hint)
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        problem = str(error).partition("\n")[0]
        raise InputError(f"{path} is not YAML: {problem[:200]}", hint=hint) from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds no configuration.", hint=hint)
    return value


def _flat(tree: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value
