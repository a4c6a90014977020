"""Load a student: from an official training checkpoint, a bare state dict, or safetensors.

Nothing in a checkpoint is run, its claims are checked before memory is given to them, and what it doesn't say is
assumed aloud, in `Student.notes`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.errors import CheckpointError
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network, weight_shapes
from dvfl_mobile.model.checkpoint.infer import ABOUT_FRAMES, ABOUT_SIZE, infer_architecture, lookup, restated
from dvfl_mobile.model.checkpoint.labels import read_labels
from dvfl_mobile.model.checkpoint.masked import with_finite_masks
from dvfl_mobile.model.checkpoint.opened import CheckpointFile
from dvfl_mobile.model.checkpoint.safetensors_file import is_safetensors, read_safetensors
from dvfl_mobile.model.checkpoint.torchfile import read_torch_file
from dvfl_mobile.model.checkpoint.weight_sets import chosen_set
from dvfl_mobile.model.class_names import numbered_names
from dvfl_mobile.model.source import WeightSource
from dvfl_mobile.model.student import Student, StudentMetadata
from dvfl_mobile.model.wording import brief, listed
from dvfl_mobile.spelling import option

_ABOUT_CLASSES = "class names"
_ALONE = "Save the weights alone: torch.save(model.state_dict(), ...)."
_MAY_GO = (
    "If these are another tool's, such as counters, they may go: save the network's own entries alone, "
    "torch.save({name: weights[name] for name in model.state_dict()}, ...)."
)
_PREFIXES = ("module.", "model.", "_orig_mod.")


def load_checkpoint(
    path: Path,
    labels: Path | None = None,
    *,
    frames: int | None = None,
    size: int | None = None,
    weights: str | None = None,
) -> Student:
    """Read a student from a file of any known kind, recognised by its content.

    Architecture, frames and classes come from the weights and from the configuration beside them; what neither says
    is as published, with a note on `Student.notes`. Weights are kept to the bit, and become float32 if they weren't;
    for a masked class's bias of -inf stands `masked.MASKED`.

    Args:
        labels: class names, as `id,name` CSV or one a line; without it the checkpoint's own, or `class_0`, ….
        frames, size: pictures in a clip, and their side in pixels; None for what the checkpoint was trained with.
        weights: which of several sets of weights in the file, such as `model_ema`; None for the usual one, with a note
            where a moving average lies beside it.

    Raises:
        CheckpointError: the file can't be read, isn't safe to read, or holds another network's weights.
        LabelError: the label file doesn't fit.
    """
    with CheckpointFile(path) as file:
        return read_checkpoint(file, labels, frames=frames, size=size, weights=weights)


def read_checkpoint(
    file: CheckpointFile,
    labels: Path | None = None,
    *,
    frames: int | None = None,
    size: int | None = None,
    weights: str | None = None,
) -> Student:
    """The same of a file that is open already; see `load_checkpoint`."""
    contents = _read(file, weights)
    with _naming(file):
        tensors, converted = _as_float32(contents.weights)
        tensors, masked = with_finite_masks(tensors)
        architecture, assumed = _architecture(contents, tensors, frames, size)
        _check_shapes(tensors, architecture)
        _check_finite(tensors)
    classes, unnamed = _classes(contents, architecture, labels)
    return Student(
        network=build_network(architecture, {key: _own(value) for key, value in tensors.items()}),
        architecture=architecture,
        classes=classes,
        clip=_clip(contents, architecture),
        source=_source(file, contents, weights),
        notes=(
            *_stored_notes(contents, labels, frames, size),
            *contents.notes,
            *assumed,
            *converted,
            *masked,
            *unnamed,
        ),
    )


def read_weights(path: Path) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    """The weights of any file that `load_checkpoint` opens, by their keys, whatever network they are of.

    Returns:
        Weights in float32, and the class names that the file brings; None where it brings none.

    Raises:
        CheckpointError: the file can't be read, isn't safe to read, or holds numbers that aren't finite.
    """
    with CheckpointFile(path) as file:
        contents = _read(file)
        with _naming(file):
            weights, _ = with_finite_masks(_as_float32(contents.weights)[0])
            _check_finite(weights)
    classes = contents.metadata.classes if contents.metadata is not None else None
    return {key: _own(value) for key, value in weights.items()}, classes


@dataclass(frozen=True)
class _Contents:
    """What a file held: weights by official key, and what came with them."""

    weights: Mapping[str, Tensor]
    config: object = None
    metadata: StudentMetadata | None = None
    notes: tuple[str, ...] = ()


def _read(file: CheckpointFile, wanted: str | None = None) -> _Contents:
    value: object
    metadata, config = None, None
    if is_safetensors(file):
        value, metadata = read_safetensors(file)
    else:
        value = read_torch_file(file)
        config = dict.get(value, "config") if isinstance(value, dict) else None
    with _naming(file):
        found = chosen_set(value, wanted)
        return _Contents(_fitting(file, found.entries), config, metadata, found.notes)


def _fitting(file: CheckpointFile, entries: Mapping[Any, Any]) -> dict[str, Tensor]:
    """The entries by official key, all tensors that the file is large enough for."""
    strange = [brief(key) for key, value in entries.items() if not (isinstance(key, str) and _is_dense(value))]
    if strange:
        raise CheckpointError(
            f"it holds entries that are no weights: {listed(strange)}.",
            hint=_MAY_GO if len(strange) < len(entries) else _ALONE,
        )
    weights: dict[str, Tensor] = {str(key): value for key, value in entries.items() if isinstance(value, Tensor)}
    claimed, held = sum(value.nbytes for value in weights.values()), file.size_bytes
    if claimed > held:
        raise CheckpointError(
            f"its weights claim {claimed:,} bytes, but the file has {held:,}.",
            hint="It is damaged or made to harm: get it again from where it came.",
        )
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in weights)), None):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _is_dense(value: object) -> bool:
    """A tensor with numbers of its own, one after the other: not sparse, nested, or of the `meta` device."""
    if not isinstance(value, Tensor) or type(value) not in (Tensor, torch.nn.Parameter):
        return False
    return value.layout is torch.strided and not value.is_nested and value.device.type == "cpu"


def _as_float32(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    others = {key: value.dtype for key, value in weights.items() if value.dtype is not torch.float32}
    odd = [f"{key} ({_dtype(dtype)})" for key, dtype in others.items() if not dtype.is_floating_point]
    if odd:
        raise CheckpointError(
            f"it holds weights that are not floating point: {listed(odd)}.",
            hint="Give the float checkpoint from before quantization, or one of a DVFL-Net student.",
        )
    converted = {key: value.detach().to(torch.float32) for key, value in weights.items()}
    counts = Counter(map(_dtype, others.values()))
    notes = tuple(
        f"{count} of {len(weights)} weights were {name}: converted to float32" for name, count in counts.items()
    )
    return converted, notes


def _architecture(
    contents: _Contents, weights: Mapping[str, Tensor], frames: int | None, size: int | None
) -> tuple[Architecture, tuple[str, ...]]:
    if contents.metadata is not None:
        return restated(contents.metadata.architecture, frames, size)
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    return infer_architecture(shapes, contents.config, frames=frames, size=size)


def _check_shapes(weights: Mapping[str, Tensor], architecture: Architecture) -> None:
    expected = weight_shapes(architecture)
    missing = [key for key in expected if key not in weights]
    surplus = [key for key in weights if key not in expected]
    wrong = [
        f"{key} is {_shape(weights[key].shape)} where {_shape(shape)} belongs"
        for key, shape in expected.items()
        if key in weights and tuple(weights[key].shape) != shape
    ]
    problems = [("missing", missing), ("not of this network", surplus), ("of a wrong shape", wrong)]
    if missing or surplus or wrong:
        listing = "; ".join(f"{len(names)} {problem}: {listed(names)}" for problem, names in problems if names)
        raise CheckpointError(
            f"its weights do not fit a Video-FocalNet ({architecture.name}, "
            f"{architecture.num_classes} classes): {listing}.",
            hint="Give a whole checkpoint of a DVFL-Net or Video-FocalNet student." if missing or wrong else _MAY_GO,
        )


def _check_finite(weights: Mapping[str, Tensor]) -> None:
    broken = [key for key, value in weights.items() if not value.isfinite().all()]
    if broken:
        raise CheckpointError(
            f"it holds weights that are NaN or infinite: {listed(broken)}.",
            hint="Its training diverged, or it is damaged: give an earlier checkpoint.",
        )


def _own(weight: Tensor) -> Tensor:
    """A copy of its own, laid out plainly: in a file, weights may share their numbers with others."""
    return weight.clone(memory_format=torch.contiguous_format)


def _classes(
    contents: _Contents, architecture: Architecture, labels: Path | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if labels is not None:
        return read_labels(labels, architecture.num_classes), ()
    if contents.metadata is not None:
        return contents.metadata.classes, ()
    named = lookup(contents.config, "DATA.LABEL_LIST")
    where = f" (it was trained with {brief(named, 200)})" if isinstance(named, str) and named else ""
    naming = option("labels")
    note = f"{_ABOUT_CLASSES} not in the checkpoint: class_0, class_1, ... assumed; give them with {naming}{where}"
    return numbered_names(architecture.num_classes), (note,)


def _stored_notes(contents: _Contents, labels: Path | None, frames: int | None, size: int | None) -> tuple[str, ...]:
    """The notes of a stored student, less those that what was asked for now has settled."""
    if contents.metadata is None:
        return ()
    asked = {ABOUT_FRAMES: frames, ABOUT_SIZE: size, _ABOUT_CLASSES: labels}
    settled = tuple(subject for subject, value in asked.items() if value is not None)
    return tuple(note for note in contents.metadata.notes if not note.startswith(settled))


def _clip(contents: _Contents, architecture: Architecture) -> ClipSpec:
    official = ClipSpec.official(architecture.num_frames, architecture.img_size)
    if contents.metadata is not None:
        stored = contents.metadata.clip
        fits = (stored.frames, stored.size) == (official.frames, official.size)
        changed = {"frames": official.frames, "size": official.size, "short_side": official.short_side}
        return stored if fits else stored.model_copy(update=changed)
    interval = lookup(contents.config, "AUG.FRAME_INTERVAL")
    if isinstance(interval, int) and 1 <= interval <= 1024:
        return official.model_copy(update={"frame_interval": int(interval)})
    return official


def _source(file: CheckpointFile, contents: _Contents, wanted: str | None) -> WeightSource:
    if contents.metadata is not None:
        return contents.metadata.source
    name = file.path.name if wanted is None else f"{file.path.name} ({brief(wanted)})"
    return WeightSource(kind="checkpoint", name=name, sha256=file.sha256(), size_bytes=file.size_bytes)


@contextmanager
def _naming(file: CheckpointFile) -> Iterator[None]:
    """Put the file's name before what is wrong with it."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"Can't use {file.path}: {error.problem}", hint=error.hint) from error.__cause__


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape)) or "a single number"


def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
