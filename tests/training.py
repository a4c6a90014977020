"""A small network to train in a second, and drawn clips in the place of videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from dvfl_mobile.data.clips import ClipSpec
from dvfl_mobile.data.drawn import moving_shapes
from dvfl_mobile.model.architecture import Architecture
from dvfl_mobile.model.build import build_network
from dvfl_mobile.model.default import seeded_student
from dvfl_mobile.training.clips.data import Sample
from dvfl_mobile.training.initial_weights import seeded_weights
from dvfl_mobile.training.journal import Journal
from dvfl_mobile.training.loop import Keeping, Outcome, Task, train
from dvfl_mobile.training.process_group import process_group
from dvfl_mobile.training.settings import Augmentation, Distillation, TrainSettings

# Two stages of the small network: enough for every kind of weight.
TINY = Architecture(
    embed_dim=16, img_size=32, num_frames=4, num_classes=4, depths=(1, 1), focal_levels=(2, 2), focal_windows=(3, 3)
)
CLASSES = ("left", "right", "up", "down")
CLIPS = 11

# Everything that is random is on: mixing, drop path, the order of clips.
QUICK = TrainSettings(
    epochs=3,
    warmup_epochs=1,
    global_batch=5,
    micro_batch=2,
    learning_rate=2.0,
    drop_path=0.3,
    average=0.5,
    augmentation=Augmentation(mixup=0.8, cutmix=1.0),
)


@cache
def pixels() -> np.ndarray:
    return np.stack([clip.pixels for clip in moving_shapes(ClipSpec.official(4, 32), CLIPS)])


class Drawn:
    """Samples and test clips alike: shapes whose way is their class, a little brighter with every epoch."""

    def __init__(self, count: int = CLIPS, labelled: bool = True) -> None:
        self.count, self.labelled = count, labelled

    def __len__(self) -> int:
        return self.count

    def sample(self, index: int, epoch: int) -> Sample:
        brighter = np.minimum(pixels()[index].astype(np.int64) + 3 * epoch, 255).astype(np.uint8)
        return Sample(brighter, index % 4 if self.labelled else None)

    def clip(self, index: int) -> tuple[np.ndarray, int]:
        return pixels()[index], index % 4

    @property
    def names(self) -> list[str]:
        return [f"{index} {index % 4}" for index in range(self.count)]

    @property
    def unreadable(self) -> list[str]:
        return []


def architecture(settings: TrainSettings) -> Architecture:
    return TINY.model_copy(update={"drop_path_rate": settings.drop_path})


def task(settings: TrainSettings, **changes: Any) -> Task:
    teacher = seeded_student(TINY, CLASSES, seed=7) if settings.distillation else None
    given: dict[str, Any] = {"samples": Drawn(), "test": Drawn(6), "teacher": teacher, **changes}
    return Task(classes=CLASSES, clip=ClipSpec.official(4, 32), **given)


def trained(
    settings: TrainSettings = QUICK,
    folder: Path | None = None,
    step: Callable[..., Any] | None = None,
    best: Callable[[Mapping[str, torch.Tensor]], None] | None = None,
    **changes: Any,
) -> Outcome:
    """Train the small network; with a folder, its state and its journal are kept there."""
    network = build_network(architecture(settings), seeded_weights(architecture(settings), settings.seed))
    keeping = Keeping(
        state=None if folder is None else folder / "state.safetensors",
        journal=None if folder is None else Journal(folder / "log.jsonl"),
        best=best,
    )
    workers = changes.pop("workers", 1)
    with process_group() as processes:
        more = {} if step is None else {"step": step}
        return train(network, task(settings, **changes), settings, keeping, processes, workers=workers, **more)


@cache
def whole() -> Outcome:
    """What `QUICK` comes to without a kill."""
    return trained()


def distilling(settings: TrainSettings = QUICK, **changes: Any) -> TrainSettings:
    return settings.model_copy(update={"distillation": Distillation(**changes)})


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Killed(Exception):  # noqa: N818
    """What stands for a kill, where a real one would cost a second."""


def killed_after(steps: int, on: Callable[[], None] | None = None) -> Callable[..., Any]:
    """A `step` that breaks off training after so many steps of this run, or calls `on` in the place of that."""
    done = 0

    @contextmanager
    def step(name: str, _total: int | None = None, /) -> Iterator[Callable[[], None]]:
        def advance() -> None:
            nonlocal done
            done += name.startswith("epoch")
            if name.startswith("epoch") and done == steps:
                if on is not None:
                    on()
                raise Killed

        yield advance

    return step


def same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """To the bit."""
    return one.keys() == other.keys() and all(one[name].equal(other[name]) for name in one)


def farthest(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The largest difference of any weight."""
    return max(float((one[name] - other[name]).abs().max()) for name in one)
