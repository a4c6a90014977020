"""Infer a checkpoint's architecture from the shapes of its weights and from its configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.wording import brief, listed
from dvfl_mobile.spelling import Option, option

Shapes = Mapping[str, tuple[int, ...]]

# What a note on frames, or on size, begins with.
ABOUT_FRAMES: Option = "frames"
_UNSAID = " not in the checkpoint"
ABOUT_SIZE: Option = "size"

_STEM = "patch_embed.proj.weight"
_HEAD = "head.weight"
_BLOCK = re.compile(r"layers\.(\d{1,4})\.blocks\.(\d{1,4})\.")
_PLAIN = (bool, int, float, str)
_MODULATION = "layers.{}.blocks.0.modulation."

# Where an official configuration says what the weights say too, and the Architecture's word for it.
_IN_BOTH = {
    "MODEL.FOCAL.EMBED_DIM": "embed_dim",
    "MODEL.FOCAL.DEPTHS": "depths",
    "MODEL.FOCAL.IN_CHANS": "in_chans",
    "MODEL.FOCAL.PATCH_NORM": "patch_norm",
    "MODEL.FOCAL.MLP_RATIO": "mlp_ratio",
    "MODEL.FOCAL.FOCAL_LEVELS": "focal_levels",
    "MODEL.FOCAL.FOCAL_WINDOWS": "focal_windows",
    "MODEL.FOCAL.USE_CONV_EMBED": "use_conv_embed",
    "MODEL.FOCAL.USE_LAYERSCALE": "use_layerscale",
    "MODEL.FOCAL.USE_POSTLN_IN_MODULATION": "use_postln_in_modulation",
    "MODEL.TUBELET_SIZE": "tubelet_size",
    "DATA.NUM_CLASSES": "num_classes",
}

# What only the configuration knows.
_IN_CONFIGURATION = {
    "DATA.NUM_FRAMES": "num_frames",
    "DATA.INPUT_SIZE": "img_size",
    "MODEL.FOCAL.USE_POSTLN": "use_postln",
    "MODEL.FOCAL.NORMALIZE_MODULATOR": "normalize_modulator",
    "MODEL.DROP_RATE": "drop_rate",
    "MODEL.DROP_PATH_RATE": "drop_path_rate",
}


def infer_architecture(
    shapes: Shapes, config: object, *, frames: int | None, size: int | None
) -> tuple[Architecture, tuple[str, ...]]:
    """The architecture that weights of these shapes belong to, and notes on what had to be assumed.

    Args:
        shapes: of every weight, by official key.
        config: an official configuration (nested dicts), or anything else for none.
        frames, size: say otherwise than the configuration; None where nothing is said.

    Raises:
        CheckpointError: the weights are another network's, or the configuration contradicts them. It names no
            file: whoever knows the file says so.
    """
    inferred = _from_shapes(shapes)
    _compare(inferred, config)
    known = {field: value for key, field in _IN_CONFIGURATION.items() if (value := lookup(config, key)) is not None}
    if inferred["use_conv_embed"] and (patch_size := lookup(config, "MODEL.FOCAL.PATCH_SIZE")) is not None:
        known["patch_size"] = patch_size
    asked = _asked(frames, size)
    architecture = _build({**inferred, **known, **asked})
    return architecture, tuple(_notes(architecture, known, asked))


def restated(architecture: Architecture, frames: int | None, size: int | None) -> tuple[Architecture, tuple[str, ...]]:
    """A stored architecture with other frames or size than it was stored with, and notes on what differs.

    Raises:
        CheckpointError: as `infer_architecture`.
    """
    known, asked = architecture.model_dump(), _asked(frames, size)
    changed = _build({**known, **asked})
    return changed, tuple(_notes(changed, known, asked))


def lookup(config: object, key: str) -> Any:
    """The value at a dotted key of nested dicts, if it is a plain one or a short list of plain ones; else None."""
    value = config
    for name in key.split("."):
        # The stand-in for a configuration node can carry attributes of any name: ask dict itself.
        value = dict.get(value, name) if isinstance(value, dict) else None
    if isinstance(value, list | tuple) and len(value) <= 64 and all(isinstance(item, _PLAIN) for item in value):
        return tuple(value)
    return value if isinstance(value, _PLAIN) else None


def _asked(frames: int | None, size: int | None) -> dict[str, int]:
    return {name: value for name, value in (("num_frames", frames), ("img_size", size)) if value is not None}


def _build(fields: Mapping[str, Any]) -> Architecture:
    try:
        return Architecture(**fields)
    except ValidationError as error:
        raise CheckpointError(
            f"the network it describes can't be built: {_first(error)}.",
            hint=f"Check that weights and configuration belong together; {option('frames')} and {option('size')} say "
            "otherwise than it.",
        ) from error


def _from_shapes(shapes: Shapes) -> dict[str, Any]:
    stem, head = shapes.get(_STEM, ()), shapes.get(_HEAD, ())
    depths = _depths(shapes)
    if len(stem) not in (4, 5) or len(head) != 2 or not depths:
        raise CheckpointError(
            f"its weights are not a Video-FocalNet's: it has no {_missing(stem, head, depths)}, "
            f"but keys such as {listed(list(shapes)[:3])}.",
            hint="Give a checkpoint of a DVFL-Net or Video-FocalNet student.",
        )
    kernels = [_kernels(shapes, stage) for stage in range(len(depths))]
    growth = {sizes[1] - sizes[0] for sizes in kernels if len(sizes) > 1}
    downsample = shapes.get("layers.0.downsample.proj.weight", ())
    hidden = shapes.get("layers.0.blocks.0.mlp.fc1.weight", (4 * stem[0],))[0]
    use_conv_embed = stem[-1] == 7 and downsample[-1:] in ((3,), ())
    return {
        "embed_dim": stem[0],
        "in_chans": stem[1],
        "tubelet_size": stem[2] if len(stem) == 5 else 1,
        "use_conv_embed": use_conv_embed,
        **({} if use_conv_embed else {"patch_size": stem[-1]}),
        "patch_norm": "patch_embed.norm.weight" in shapes,
        "depths": depths,
        "num_classes": head[0],
        "mlp_ratio": _ratio(hidden, stem[0]),
        "focal_levels": tuple(len(sizes) for sizes in kernels),
        "focal_windows": tuple(sizes[0] for sizes in kernels),
        **({"focal_factor": max(0, min(growth))} if growth else {}),
        "use_layerscale": "layers.0.blocks.0.gamma_1" in shapes,
        "use_postln_in_modulation": _MODULATION.format(0) + "ln.weight" in shapes,
    }


def _depths(shapes: Shapes) -> tuple[int, ...]:
    last: dict[int, int] = {}
    for stage, block in (map(int, match.groups()) for key in shapes if (match := _BLOCK.match(key))):
        last[stage] = max(last.get(stage, 0), block + 1)
    return tuple(last.get(stage, 1) for stage in range(max(last) + 1)) if last else ()


def _kernels(shapes: Shapes, stage: int) -> list[int]:
    sizes: list[int] = []
    while len(shape := shapes.get(f"{_MODULATION.format(stage)}focal_layers.{len(sizes)}.0.weight", ())) == 4:
        sizes.append(shape[-1])
    # Of a stage that isn't there, the comparison by name will tell.
    return sizes or [3, 5]


def _ratio(hidden: int, dim: int) -> float:
    ratio = hidden / dim if dim else 0.0
    # The network rounds down: a ratio a hair too small would lose a channel.
    return ratio if int(dim * ratio) == hidden else (hidden + 0.5) / dim


def _missing(stem: Iterable[int], head: Iterable[int], depths: Iterable[int]) -> str:
    parts = {_STEM: stem, "layers.*.blocks.*": depths, _HEAD: head}
    return " and no ".join(name for name, part in parts.items() if not part) or f"{_STEM} or {_HEAD} of its shape"


def _compare(inferred: Mapping[str, Any], config: object) -> None:
    for key, field in _IN_BOTH.items():
        said = lookup(config, key)
        if said is None or field not in inferred:
            continue
        if said != inferred[field]:
            raise CheckpointError(
                f"its configuration and its weights disagree: {key} is {brief(said)}, "
                f"but the weights are those of {field} = {brief(inferred[field])}.",
                hint="Give the weights alone: torch.save(checkpoint['model'], ...), or the right configuration.",
            )


def is_assumed(word: str, notes: Iterable[str]) -> bool:
    """Whether notes on a student say that frames or size were assumed."""
    return any(note.startswith(f"{word}{_UNSAID}:") for note in notes)


def _notes(architecture: Architecture, known: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterable[str]:
    for field, word, unit in (("num_frames", ABOUT_FRAMES, ""), ("img_size", ABOUT_SIZE, " pixels")):
        value = getattr(architecture, field)
        if field in asked and known.get(field, value) != value:
            yield f"{word}: {value}{unit} as asked; it was trained with {brief(known[field])}"
        elif field not in asked and field not in known:
            yield f"{word}{_UNSAID}: {value}{unit} assumed; say otherwise with {option(word)}"
    assumed = [name for name in ("use_postln", "normalize_modulator") if name not in known]
    if assumed:
        yield f"{' and '.join(assumed)} not in the checkpoint: off assumed, as published"


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else problem["msg"].removeprefix("Value error, ")
